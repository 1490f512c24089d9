"""The shop in Mailchimp: store, customers, products, orders and carts, each under the shop's own ids.

Orders of an unknown product are refused there, so products come first. What is there is changed, never made again.
"""

from datetime import datetime
from decimal import Decimal
from urllib.parse import quote

from app.connector import Action, Context, Json, Reply, action, upsert
from app.errors import PermanentError, UnsureError
from app.events import Address, Checkout, Customer, LineItem, Money, Order, Product, Variant, iso
from connectors.mailchimp.members import consented, example_customer, nothing_said
from connectors.mailchimp.models import (
    ConnectStore,
    DeleteCart,
    Kept,
    OrderKept,
    Settings,
    UpsertCart,
    UpsertCustomer,
    UpsertOrder,
    UpsertProduct,
    hash_of,
)

Body = dict[str, Json]
_FINANCIAL = {
    "paid": "paid",
    "partially_refunded": "paid",
    "refunded": "refunded",
    "voided": "cancelled",
    "cancelled": "cancelled",
    "pending": "pending",
    "authorized": "pending",
    "partially_paid": "pending",
    "unpaid": "pending",
}
"""Our payment_status -> the words that set off Mailchimp's order notifications."""
MOST_OF_AN_ID = 50
_ADDRESS = ("address1", "address2", "city", "province", "province_code", "postal_code", "country", "country_code")


# --- examples ---------------------------------------------------------------------------------------------------


def _eur(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="EUR")


def example_line() -> LineItem:
    return LineItem(id="1", product_id="p9", variant_id="v9", title="Mug", sku="MUG", quantity=2, price=_eur("12.00"))


def example_order() -> Order:
    return Order.model_validate(
        {
            "id": "5001",
            "currency": "EUR",
            "payment_status": "paid",
            "email": "grace@example.com",
            "customer": example_customer(),
            "totals": {"total": _eur("24.00"), "tax": _eur("3.83")},
            "line_items": [example_line()],
        }
    )


def example_checkout() -> Checkout:
    return Checkout.model_validate(
        {
            "id": "c1",
            "url": "https://shop.example.com/checkout/c1",
            "currency": "EUR",
            "customer": example_customer(),
            "totals": {"total": _eur("24.00")},
            "line_items": [example_line()],
        }
    )


def example_product() -> Product:
    variant = Variant(id="v2", title="Red", sku="CUP-RED", price=_eur("9.00"), inventory_quantity=3)
    return Product(id="p2", title="Cup", handle="cup", variants=[variant])


# --- actions ----------------------------------------------------------------------------------------------------


@action(safe=upsert, example=lambda: ConnectStore(id="main-store", name="Main store", currency="EUR"))
async def connect_store(ctx: Context[Settings], input: ConnectStore) -> Kept:
    """Make the store that customers, products and orders belong to, for the connection's audience; once a shop."""
    body = said({"name": input.name, "currency_code": input.currency, "domain": input.url})
    new = {"id": input.id, "list_id": ctx.settings.list_id, **body}
    return await _keep(ctx, "/3.0/ecommerce/stores", input.id, new, body)


@action(
    safe=upsert,
    exclusive_by=lambda input: customer_id(_customer(input), "none"),
    example=lambda: UpsertCustomer(customer=example_customer()),
)
async def upsert_customer(ctx: Context[Settings], input: UpsertCustomer) -> Kept:
    """Add a customer to the store, or bring it up to date. Consent never overrides a member's own decision."""
    customer = _customer(input)
    body = {**customer_body(customer, input.order), **input.fields}
    if "email_address" not in body:
        raise PermanentError("the customer has no e-mail address")
    path = f"{store(ctx)}/customers/{quote(body['id'], safe='')}"
    return Kept(id=_id(await ctx.http.request("PUT", path, json=body)))


@action(
    safe=upsert,
    exclusive_by=lambda input: input.product.id or "none",
    example=lambda: UpsertProduct(product=example_product()),
)
async def upsert_product(ctx: Context[Settings], input: UpsertProduct) -> Kept:
    """Add a product with its variants to the store, or bring both up to date."""
    product = input.product
    if not product.id:
        raise PermanentError("the product has no id")
    variants = product_variants(product)
    body = said(
        {
            "title": product.title or product.id,
            "handle": product.handle,
            "url": product.url,
            "description": product.description,
            "type": product.type,
            "vendor": product.vendor,
            "image_url": next(iter(product.image_urls or ()), None),
            **input.fields,
        }
    )
    place = f"{store(ctx)}/products"
    kept = await _keep(ctx, place, product.id, {"id": product.id, **body, "variants": variants}, body)
    for variant in [] if kept.created else variants:
        await _put_variant(ctx, product.id, variant)
    return kept


@action(
    safe=upsert,
    exclusive_by=lambda input: input.order.id or "none",
    example=lambda: UpsertOrder(order=example_order()),
)
async def upsert_order(ctx: Context[Settings], input: UpsertOrder) -> OrderKept:
    """Add an order to the store, or bring its amounts, status and addresses up to date (not its lines).

    Products that are not there yet are made of its lines; the order's status may set off Mailchimp's notifications."""
    order = input.order
    if not order.id:
        raise PermanentError("the order has no id")
    body = said({**order_body(order), "campaign_id": input.campaign_id, **input.fields})
    lines = order_lines(order.line_items or [])
    buyer = customer_body(order.customer, order)
    changed = {**body, "customer": {name: buyer[name] for name in buyer if name != "email_address"}}
    made = await _make_products(ctx, order.line_items or [])
    new = {"id": order.id, **body, "customer": buyer, "lines": lines}
    kept = await _keep(ctx, f"{store(ctx)}/orders", order.id, new, changed)
    return OrderKept(id=kept.id, created=kept.created, products=made)


@action(
    safe=upsert,
    exclusive_by=lambda input: input.checkout.id or "none",
    example=lambda: UpsertCart(checkout=example_checkout()),
)
async def upsert_cart(ctx: Context[Settings], input: UpsertCart) -> Kept:
    """Add an open checkout as a cart, or bring its total up to date, for abandoned cart mails. Delete it when it is
    bought."""
    checkout = input.checkout
    if not checkout.id:
        raise PermanentError("the checkout has no id")
    body = said(
        {
            "currency_code": _currency(checkout.currency, checkout.total),
            "order_total": amount(checkout.total) or Decimal(0),
            "tax_total": amount(checkout.totals.tax if checkout.totals else None),
            "checkout_url": checkout.url,
            **input.fields,
        }
    )
    known = checkout.customer or Customer()
    more = {
        "email": checkout.email or known.email,
        "email_consent": checkout.email_consent or known.email_consent,
    }
    buyer = customer_body(known.model_copy(update=more), None)
    await _make_products(ctx, checkout.line_items or [])
    lines = order_lines(checkout.line_items or [], discounts=False)
    new = {"id": checkout.id, **body, "customer": buyer, "lines": lines}
    return await _keep(ctx, f"{store(ctx)}/carts", checkout.id, new, body)


@action(safe=upsert, example=lambda: DeleteCart(cart_id="open-cart"))
async def delete_cart(ctx: Context[Settings], input: DeleteCart) -> Kept:
    """Delete the cart of a checkout that was bought, so that nobody is reminded of it. One that is gone is no error."""
    try:
        nothing_said(await ctx.http.request("DELETE", f"{store(ctx)}/carts/{quote(input.cart_id, safe='')}"))
    except PermanentError as e:
        if e.status != 404:
            raise
    return Kept(id=input.cart_id)


# --- what is sent -----------------------------------------------------------------------------------------------


def order_body(order: Order) -> Body:
    totals = order.totals
    words = {"fulfilled": "shipped", "partial": "partial"}
    cancelled = "cancelled" if order.cancelled_at else None
    return said(
        {
            "currency_code": _currency(order.currency, order.total),
            "order_total": amount(order.total) or Decimal(0),
            "tax_total": amount(totals.tax) if totals else None,
            "shipping_total": amount(totals.shipping) if totals else None,
            "discount_total": amount(totals.discount) if totals else None,
            "financial_status": cancelled or _FINANCIAL.get(order.payment_status or ""),
            "fulfillment_status": words.get(order.fulfillment_status or ""),
            "processed_at_foreign": _time(order.processed_at or order.created_at),
            "updated_at_foreign": _time(order.updated_at),
            "cancelled_at_foreign": _time(order.cancelled_at),
            "landing_site": order.attribution.landing_page if order.attribution else None,
            "order_url": order.links.get("status"),
            "billing_address": _address(order.billing_address, order=True),
            "shipping_address": _address(order.shipping_address, order=True),
        }
    )


def order_lines(items: list[LineItem], discounts: bool = True) -> list[Body]:
    """At least one line; part quantities (1.5 m) become one of the line's own amount."""
    if not items:
        raise PermanentError("Mailchimp takes no order without lines")
    return [_line(number, item, discounts) for number, item in enumerate(items)]


def _line(number: int, item: LineItem, discounts: bool) -> Body:
    product, variant = _named(item)
    quantity = item.quantity if item.quantity is not None else 1
    price = item.price.amount if item.price else Decimal(0)
    if quantity != int(quantity) or quantity < 1:
        quantity, price = 1, item.subtotal.amount if item.subtotal else price * quantity
    return said(
        {
            "id": item.id or str(number + 1),
            "product_id": product,
            "product_variant_id": variant,
            "quantity": int(quantity),
            "price": price,
            "discount": item.discount.amount if discounts and item.discount else None,
        }
    )


def _named(item: LineItem) -> tuple[str, str]:
    """Ids of product and variant: what was typed in by hand has none, and goes by its SKU or title."""
    product = _short(item.product_id or item.sku or item.title or "item")
    return product, _short(item.variant_id or item.sku or product)


def _short(id: str) -> str:
    """An id as Mailchimp takes it: of a long one the beginning, and what tells it from others that begin so."""
    return id if len(id) <= MOST_OF_AN_ID else f"{id[: MOST_OF_AN_ID - 17]}-{hash_of(id)[:16]}"


def product_variants(product: Product) -> list[Body]:
    known = product.variants or [Variant(id=product.id, title=product.title, price=product.price)]
    return [
        said(
            {
                "id": _short(each.id or each.sku or product.id or ""),
                "title": each.title or product.title or product.id,
                "sku": each.sku,
                "price": each.price.amount if each.price else None,
                "inventory_quantity": int(each.inventory_quantity) if each.inventory_quantity is not None else None,
                "image_url": each.image_url,
            }
        )
        for each in known
    ]


def customer_id(customer: Customer | None, email: str) -> str:
    """The shop's id of the buyer; a guest's is made of the address, so that it stays one guest."""
    if customer is not None and customer.id:
        return customer.id
    return f"guest-{hash_of((customer.email if customer else None) or email)}"


def customer_body(customer: Customer | None, order: Order | None) -> Body:
    """Raises PermanentError if nobody can say who it is."""
    email = (order.email if order else None) or (customer.email if customer else None)
    if not email and not (customer and customer.id):
        raise PermanentError("the buyer has neither an id nor an e-mail address")
    consent = consented(order.email_consent if order else None, customer.email_consent if customer else None)
    address = (customer.default_address if customer else None) or (order.billing_address if order else None)
    return said(
        {
            "id": customer_id(customer, email or ""),
            "email_address": email.strip() if email else None,
            "opt_in_status": consent,
            "first_name": (customer.first_name if customer else None) or (address.first_name if address else None),
            "last_name": (customer.last_name if customer else None) or (address.last_name if address else None),
            "company": (customer.company if customer else None) or (address.company if address else None),
            "address": _address(address, order=False),
        }
    )


def amount(money: Money | None) -> Decimal | None:
    if money is not None and not money.is_rounded:
        raise PermanentError(f"{money} is not rounded")
    return money.amount if money is not None else None


def said(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}


def store(ctx: Context[Settings]) -> str:
    if not ctx.settings.store_id:
        raise PermanentError("the connection has no `store_id`: make a store with `connect_store`, and name it there")
    return f"/3.0/ecommerce/stores/{quote(ctx.settings.store_id, safe='')}"


def _customer(input: UpsertCustomer) -> Customer | None:
    return input.customer or (input.order.customer if input.order else None) or _guest(input.order)


def _guest(order: Order | None) -> Customer | None:
    return Customer(email=order.email) if order is not None and order.email else None


def _address(address: Address | None, order: bool) -> Body | None:
    if address is None:
        return None
    more = ("name", "company", "phone") if order else ()
    return said({name: getattr(address, name) for name in (*_ADDRESS, *more)}) or None


def _currency(currency: str | None, total: Money | None) -> str:
    code = (total.currency if total else None) or currency
    if not code:
        raise PermanentError("the order says no currency")
    return code


def _time(moment: datetime | None) -> str | None:
    return iso(moment) if moment is not None else None


# --- making and changing ----------------------------------------------------------------------------------------


async def _keep(ctx: Context[Settings], place: str, id: str, new: Body, changed: Body) -> Kept:
    """Change what is there, or make it."""
    path = f"{place}/{quote(id, safe='')}"
    if await _there(ctx, path) is not None:
        return Kept(id=_id(await ctx.http.request("PATCH", path, json=changed)))
    return Kept(id=_id(await ctx.http.post(place, json=new)), created=True)


async def _there(ctx: Context[Settings], path: str) -> Body | None:
    try:
        found = (await ctx.http.get(path)).json()
    except PermanentError as e:
        if e.status == 404:
            return None
        raise
    return found if isinstance(found, dict) else {}


async def _make_products(ctx: Context[Settings], items: list[LineItem]) -> list[str]:
    """Those products and variants of the lines that the store does not know yet; existing ones are left alone."""
    made = []
    for item in {_named(item): item for item in items}.values():
        product, variant = _named(item)
        title = item.title or product
        one = said(
            {
                "id": variant,
                "title": item.variant_title or title,
                "sku": item.sku,
                "price": item.price.amount if item.price else None,
            }
        )
        found = await _there(ctx, f"{store(ctx)}/products/{quote(product, safe='')}")
        if found is None:
            _id(await ctx.http.post(f"{store(ctx)}/products", json={"id": product, "title": title, "variants": [one]}))
            made.append(product)
        elif variant not in [each.get("id") for each in found.get("variants", ())]:
            await _put_variant(ctx, product, one)
    return made


async def _put_variant(ctx: Context[Settings], product: str, variant: Body) -> None:
    place = f"{store(ctx)}/products/{quote(product, safe='')}/variants/{quote(variant['id'], safe='')}"
    _id(await ctx.http.request("PUT", place, json=variant))


def _id(reply: Reply) -> str:
    answer = reply.json()
    if not isinstance(answer, dict) or "id" not in answer:
        raise UnsureError("Mailchimp's answer has no id", status=reply.status)
    return str(answer["id"])


ACTIONS: list[Action] = [
    connect_store,
    upsert_customer,
    upsert_product,
    upsert_order,
    upsert_cart,
    delete_cart,
]
