"""What can be done in QuickBooks Online. Every write carries a request id made of the effect key."""

import base64
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from app.connector import Action, Context, Counts, Json, action, lookup, native_key, upsert
from app.errors import PermanentError, RetryableError
from app.events import Address, Customer, LineItem, Money, Order, Refund, RefundLine, ShippingLine, Totals
from connectors.quickbooks import books, customers
from connectors.quickbooks.lines import (
    Draft,
    booked,
    draft_of_order,
    draft_of_refund,
    item_name,
    item_sku,
    to_json,
    wanted,
)
from connectors.quickbooks.models import (
    CreateCreditMemo,
    CreateInvoice,
    CreateRefundReceipt,
    CreateSalesReceipt,
    CustomerFound,
    FindOrCreateCustomer,
    FindOrCreateItem,
    InvoiceRef,
    InvoiceSent,
    InvoiceVoided,
    ItemFound,
    Pdf,
    RecordPayment,
    SendInvoice,
    Settings,
    Transaction,
)

KEPT_FOR = timedelta(hours=24)
"""How long a request id is trusted. Intuit says no time; afterwards the document is searched for by its number and
the effect key in its private note."""
SETTLE = timedelta(seconds=30)
KEY_LENGTH = 50
SAMPLE_CUSTOMER = "1"
SAMPLE_INVOICE = "101"
"""In the sample company of the sandbox."""


# --- examples ---------------------------------------------------------------------------------------------------


def example_order() -> Order:
    def usd(amount: str) -> Money:
        return Money(amount=Decimal(amount), currency="USD")

    return Order(
        id="5001",
        number="#1001",
        currency="USD",
        email="grace@example.com",
        customer=Customer(id="9", email="grace@example.com", first_name="Grace", last_name="Example"),
        billing_address=Address(address1="1 High St", city="Springfield", postal_code="12345", country_code="US"),
        totals=Totals(
            items=usd("24.00"), shipping=usd("5.00"), discount=usd("3.00"), tax=usd("2.08"), total=usd("28.08")
        ),
        line_items=[
            LineItem(
                id="1", sku="MUG", title="Mug", quantity=2, price=usd("12.00"), subtotal=usd("24.00"), tax=usd("2.08")
            )
        ],
        shipping_lines=[ShippingLine(title="Standard", price=usd("5.00"))],
    )


def example_refund() -> Refund:
    paid = Money(amount=Decimal("13.04"), currency="USD")
    line = RefundLine(
        line_item_id="1",
        sku="MUG",
        quantity=1,
        amount=Money(amount=Decimal("12.00"), currency="USD"),
        tax=Money(amount=Decimal("1.04"), currency="USD"),
    )
    return Refund(id="77", order_id="5001", amount=paid, lines=[line])


# --- customers and items ----------------------------------------------------------------------------------------


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=upsert),
    exclusive_by=customers.key_of,
    counts=lambda input: Counts(contacts=1),
    example=lambda: FindOrCreateCustomer(order=example_order()),
)
async def find_or_create_customer(ctx: Context[Settings], input: FindOrCreateCustomer) -> CustomerFound:
    """Find the customer by e-mail address, or create it.

    Names are unique among customers, vendors and employees: a taken name gets the e-mail address behind it."""
    return await customers.find(ctx, input) or await customers.create(ctx, input)


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=upsert),
    exclusive_by=lambda input: (input.sku or input.name).lower(),
    example=lambda: FindOrCreateItem(name="Blue mug", sku="MUG-BLUE", price=Money(amount=Decimal(12), currency="USD")),
)
async def find_or_create_item(ctx: Context[Settings], input: FindOrCreateItem) -> ItemFound:
    """Find a product or service by SKU, or else by name, or create it under the income account."""
    sku = item_sku(input.sku)
    wheres = [f"Sku = {books.quoted(sku)}"] if sku else []
    for where in [*wheres, f"Name = {books.quoted(item_name(input.name))}"]:
        if found := await books.query(ctx, "Item", where, 1):
            return _item(found[0], created=False)
    body = {
        "Name": item_name(input.name),
        "Type": input.type,
        "Sku": sku,
        "Description": input.description[:4000] if input.description else None,
        "UnitPrice": input.price.amount if input.price else None,
    }
    item, created = await books.create_item(ctx, _said({**body, **input.fields}))
    return _item(item, created)


def _item(item: dict[str, Json], created: bool) -> ItemFound:
    return ItemFound(id=str(item["Id"]), name=item["Name"], sku=item.get("Sku"), created=created)


# --- invoices ---------------------------------------------------------------------------------------------------


async def _find_invoice(ctx: Context[Settings], input: CreateInvoice) -> Transaction | None:
    return await _find(ctx, "Invoice", input, input.order)


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=lookup(SETTLE, _find_invoice)),
    makes="invoice",
    counts=lambda input: Counts(money=input.order.total),
    example=lambda: CreateInvoice(order=example_order(), customer_id=SAMPLE_CUSTOMER, due_in_days=14),
)
async def create_invoice(ctx: Context[Settings], input: CreateInvoice) -> Transaction:
    """Create an invoice from an order: items, shipping, discount, tip, fees and tax, to exactly the order's total.

    Its number is the order's. What is missing to the total becomes a line of its own and is said in `adjustment`."""
    draft = draft_of_order(input.order, ctx.settings)
    day = input.date or _day(ctx, input.order)
    due = None if input.due_in_days is None else (day + timedelta(days=input.due_in_days)).isoformat()
    body = {**await _document(ctx, input, input.order, draft, day), "DueDate": due}
    body["CustomerRef"] = await _customer(ctx, input.customer_id, draft)
    made = await books.create(ctx, "Invoice", _said({**body, **input.fields}), ctx.key)
    return _transaction(made, input.order.currency, draft)


async def _find_sent(ctx: Context[Settings], input: SendInvoice) -> InvoiceSent | None:
    invoice = await books.read(ctx, "Invoice", input.invoice_id)
    return _sent(invoice) if invoice.get("EmailStatus") == "EmailSent" else None


@action(
    safe=lookup(SETTLE, _find_sent),
    counts=lambda input: Counts(contacts=1),
    example=lambda: SendInvoice(invoice_id=SAMPLE_INVOICE),
)
async def send_invoice(ctx: Context[Settings], input: SendInvoice) -> InvoiceSent:
    """Have QuickBooks mail an invoice to its own address, or to another."""
    params = {"minorversion": str(ctx.settings.minor_version), "requestid": str(ctx.key)}
    if input.to:
        params["sendTo"] = input.to
    reply = await ctx.http.post(
        books.path(ctx, f"invoice/{quote(input.invoice_id, safe='')}/send"),
        params=params,
        headers={"content-type": "application/octet-stream"},
    )
    return _sent(books.part(reply, "Invoice"))


@action(
    safe=upsert,
    example=lambda: InvoiceRef(invoice_id=SAMPLE_INVOICE),
)
async def void_invoice(ctx: Context[Settings], input: InvoiceRef) -> InvoiceVoided:
    """Void an invoice: it stays in the books with a total of zero."""

    async def void(current: dict[str, Json]) -> Json:
        if not current.get("TotalAmt") and "Voided" in current.get("PrivateNote", ""):
            return current
        return await books.operate(ctx, "Invoice", current, "void")

    voided = await books.change(ctx, "Invoice", input.invoice_id, void)
    return InvoiceVoided(id=str(voided["Id"]), number=voided.get("DocNumber"))


@action(safe=upsert, reads=True, example=lambda: InvoiceRef(invoice_id=SAMPLE_INVOICE))
async def get_invoice_pdf(ctx: Context[Settings], input: InvoiceRef) -> Pdf:
    """Fetch an invoice as a PDF, for instance to attach it to a mail."""
    reply = await ctx.http.request(
        "GET",
        books.path(ctx, f"invoice/{quote(input.invoice_id, safe='')}/pdf"),
        params={"minorversion": str(ctx.settings.minor_version)},
        headers={"accept": "application/pdf"},
    )
    if not reply.body.startswith(b"%PDF"):
        raise RetryableError("QuickBooks' answer is no PDF", status=reply.status)
    content = base64.b64encode(reply.body).decode()
    return Pdf(name=f"invoice-{input.invoice_id}.pdf", content=content, size=len(reply.body))


# --- receipts, credit, payments ---------------------------------------------------------------------------------


async def _find_sales_receipt(ctx: Context[Settings], input: CreateSalesReceipt) -> Transaction | None:
    return await _find(ctx, "SalesReceipt", input, input.order)


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=lookup(SETTLE, _find_sales_receipt)),
    makes="invoice",
    counts=lambda input: Counts(money=input.order.total),
    example=lambda: CreateSalesReceipt(order=example_order(), customer_id=SAMPLE_CUSTOMER),
)
async def create_sales_receipt(ctx: Context[Settings], input: CreateSalesReceipt) -> Transaction:
    """Record a sale that is paid already: a sales receipt instead of an invoice and its payment."""
    draft = draft_of_order(input.order, ctx.settings)
    body = await _document(ctx, input, input.order, draft, input.date or _day(ctx, input.order))
    body |= {
        "CustomerRef": await _customer(ctx, input.customer_id, draft),
        "DepositToAccountRef": _ref(input.deposit_account or ctx.settings.deposit_account),
        "PaymentRefNum": (input.payment_reference or input.order.payment_id or "")[:21] or None,
    }
    made = await books.create(ctx, "SalesReceipt", _said({**body, **input.fields}), ctx.key)
    return _transaction(made, input.order.currency, draft)


async def _find_credit_memo(ctx: Context[Settings], input: CreateCreditMemo) -> Transaction | None:
    return await _find(ctx, "CreditMemo", input, input.order)


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=lookup(SETTLE, _find_credit_memo)),
    makes="credit",
    counts=lambda input: Counts(money=input.refund.amount),
    example=lambda: CreateCreditMemo(refund=example_refund(), customer_id=SAMPLE_CUSTOMER, order=example_order()),
)
async def create_credit_memo(ctx: Context[Settings], input: CreateCreditMemo) -> Transaction:
    """Give credit for a refund: its lines, shipping and tax, to exactly the refund's amount."""
    draft = draft_of_refund(input.refund, input.order, ctx.settings)
    body = await _document(ctx, input, input.order, draft, input.date or _refund_day(ctx, input.refund), input.refund)
    body["CustomerRef"] = await _customer(ctx, input.customer_id, draft)
    made = await books.create(ctx, "CreditMemo", _said({**body, **input.fields}), ctx.key)
    return _transaction(made, draft.total.currency, draft)


async def _find_refund_receipt(ctx: Context[Settings], input: CreateRefundReceipt) -> Transaction | None:
    return await _find(ctx, "RefundReceipt", input, input.order)


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=lookup(SETTLE, _find_refund_receipt)),
    makes="credit",
    counts=lambda input: Counts(money=input.refund.amount),
    example=lambda: CreateRefundReceipt(refund=example_refund(), order=example_order(), deposit_account="35"),
)
async def create_refund_receipt(ctx: Context[Settings], input: CreateRefundReceipt) -> Transaction:
    """Record a refund that was paid out of a bank account."""
    account = input.deposit_account or ctx.settings.deposit_account
    if account is None:
        raise PermanentError("say which account the refund was paid from: `deposit_account`, on the call or connection")
    draft = draft_of_refund(input.refund, input.order, ctx.settings)
    body = await _document(ctx, input, input.order, draft, input.date or _refund_day(ctx, input.refund), input.refund)
    body |= {
        "CustomerRef": await _customer(ctx, input.customer_id, draft),
        "DepositToAccountRef": _ref(account),
    }
    made = await books.create(ctx, "RefundReceipt", _said({**body, **input.fields}), ctx.key)
    return _transaction(made, draft.total.currency, draft)


async def _find_payment(ctx: Context[Settings], input: RecordPayment) -> Transaction | None:
    customer = await customers.in_currency(ctx, input.customer_id, input.amount.currency)
    found = await books.made_by(ctx, "Payment", f"CustomerRef = {books.quoted(customer)}")
    return _transaction(found, input.amount.currency, None) if found else None


@action(
    safe=native_key(KEPT_FOR, KEY_LENGTH, then=lookup(SETTLE, _find_payment)),
    makes="payment",
    counts=lambda input: Counts(money=input.amount),
    example=lambda: RecordPayment(
        customer_id=SAMPLE_CUSTOMER,
        invoice_id=SAMPLE_INVOICE,
        amount=Money(amount=Decimal("10.00"), currency="USD"),
        reference="pi_1",
    ),
)
async def record_payment(ctx: Context[Settings], input: RecordPayment) -> Transaction:
    """Record money that was received, against an invoice or, without one, on the customer's account."""
    booked(input.amount)
    linked = [{"TxnId": input.invoice_id, "TxnType": "Invoice"}]
    customer = await customers.in_currency(ctx, input.customer_id, input.amount.currency)
    body = {
        "CustomerRef": {"value": customer},
        "TotalAmt": input.amount.amount,
        "TxnDate": (input.date or _local(ctx, ctx.now)).isoformat(),
        "PaymentRefNum": input.reference[:21] if input.reference else None,
        "DepositToAccountRef": _ref(input.deposit_account or ctx.settings.deposit_account),
        "CurrencyRef": {"value": input.amount.currency},
        "PrivateNote": books.note(ctx, f"Payment {input.reference or ''}".strip()),
        "Line": [{"Amount": input.amount.amount, "LinkedTxn": linked}] if input.invoice_id else None,
    }
    made = await books.create(ctx, "Payment", _said({**body, **input.fields}), ctx.key)
    return _transaction(made, input.amount.currency, None)


# --- what documents share ---------------------------------------------------------------------------------------

_Input = CreateInvoice | CreateSalesReceipt | CreateCreditMemo | CreateRefundReceipt


async def _document(
    ctx: Context[Settings], input: _Input, order: Order | None, draft: Draft, day: date, refund: Refund | None = None
) -> dict[str, Json]:
    """The body of an invoice or its like, with the items of its lines found or made."""
    items = await books.find_items(ctx, wanted(draft))
    items |= {part.item: part.item.name for part in draft.parts if part.item not in items}
    ordered = (order.email or (order.customer.email if order.customer else None)) if order else None
    email = input.email or customers.mail_address(ordered)
    about = f"Refund {refund.id}" if refund else f"Order {order.id}" if order else "Document"
    billing = order.billing_address if order else None
    shipping = order.shipping_address if order else None
    return {
        **to_json(draft, items, ctx.settings),
        "DocNumber": _number(input, order, refund),
        "TxnDate": day.isoformat(),
        "BillEmail": {"Address": email} if email else None,
        "BillAddr": customers.postal(billing) if billing else None,
        "ShipAddr": customers.postal(shipping) if shipping and not refund else None,
        "CustomerMemo": {"value": input.memo[:1000]} if input.memo else None,
        "PrivateNote": books.note(ctx, about),
        "CurrencyRef": {"value": draft.total.currency},
    }


def _number(input: _Input, order: Order | None, refund: Refund | None) -> str | None:
    """At most 21 characters; a refund's has an R before the order's, and its own id behind."""
    if input.number or refund is None:
        said = input.number or (order.number or order.id if order else None)
        return said.lstrip("#")[:21] if said else None
    of_order = (order.number or order.id or "" if order else refund.order_id or "").lstrip("#")
    return f"R{of_order}-{refund.id or ''}"[:21].rstrip("-")


async def _find(ctx: Context[Settings], entity: str, input: _Input, order: Order | None) -> Transaction | None:
    refund = None if isinstance(input, CreateInvoice | CreateSalesReceipt) else input.refund
    number = _number(input, order, refund)
    if number is None:
        raise PermanentError("a document without a number cannot be searched for")
    found = await books.made_by(ctx, entity, f"DocNumber = {books.quoted(number)}")
    return _transaction(found, order.currency if order else None, None) if found else None


def _transaction(made: dict[str, Json], currency: str | None, draft: Draft | None) -> Transaction:
    books.check(made, ("Id", "TotalAmt"))
    currency = (made.get("CurrencyRef") or {}).get("value") or currency or "USD"
    total = books.amount(made["TotalAmt"], currency)
    off_by = total - draft.total if draft and draft.total.currency == currency else None
    return Transaction(
        id=str(made["Id"]),
        number=made.get("DocNumber"),
        total=total,
        balance=books.amount(made["Balance"], currency) if "Balance" in made else None,
        customer_id=(made.get("CustomerRef") or {}).get("value"),
        adjustment=draft.adjustment if draft else None,
        off_by=off_by if off_by is not None and off_by.amount else None,
    )


def _sent(invoice: dict[str, Json]) -> InvoiceSent:
    to = (invoice.get("BillEmail") or {}).get("Address")
    return InvoiceSent(
        id=str(invoice["Id"]), number=invoice.get("DocNumber"), status=invoice.get("EmailStatus", ""), to=to
    )


async def _customer(ctx: Context[Settings], id: str | None, draft: Draft) -> dict[str, str] | None:
    """A customer has one currency for ever: an order in another goes to that person's customer in it."""
    return {"value": await customers.in_currency(ctx, id, draft.total.currency)} if id else None


def _day(ctx: Context[Settings], order: Order) -> date:
    return _local(ctx, order.processed_at or order.paid_at or order.created_at or ctx.now)


def _refund_day(ctx: Context[Settings], refund: Refund) -> date:
    return _local(ctx, refund.processed_at or refund.created_at or ctx.now)


def _local(ctx: Context[Settings], moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(ctx.settings.timezone)).date()


def _ref(id: str | None) -> dict[str, str] | None:
    return {"value": id} if id else None


def _said(body: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in body.items() if value is not None}


ACTIONS: list[Action] = [
    find_or_create_customer,
    find_or_create_item,
    create_invoice,
    send_invoice,
    create_sales_receipt,
    create_credit_memo,
    create_refund_receipt,
    record_payment,
    void_invoice,
    get_invoice_pdf,
]
