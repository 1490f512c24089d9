"""Checkout sessions as checkouts and, where they sell something, as orders.

The order of a sale without a shop is a checkout session that was completed: nothing else that Stripe sends says what
was bought, by whom and where it goes, and that the buyer is done. An intent alone is a payment, an invoice an invoice.
The order's id is the session's payment intent, which refunds, disputes and charges name too, so all of one sale stands
on one timeline whatever comes first; a session without one (free, or a subscription, whose first payment hangs on its
invoice) is known by its own id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.connector import Json, Read, Unread
from app.events import (
    Address,
    Checkout,
    Customer,
    Discount,
    LineItem,
    Money,
    Order,
    Places,
    ShippingLine,
    Totals,
    with_discrepancy,
)
from connectors.stripe.body import Notice, Obj, said
from connectors.stripe.nouns.payments import DASHBOARD, ids, presentment, shop_order
from connectors.stripe.nouns.people import address, buyer, contact

LINES = "line_items"
_STATUS = {"open": "open", "complete": "completed", "expired": "expired"}


def sale_id(o: Obj) -> str:
    return o.id("payment_intent") or o.must("id")


def is_sale(o: Obj) -> bool:
    """A session in `setup` mode only keeps a card."""
    return o.text("mode") != "setup"


def is_paid(o: Obj) -> bool:
    """`no_payment_required` is a sale of nothing, or a trial: whatever was owed is paid. Before 2020-05 nothing was
    said, and only cards could pay: a completed session was a paid one."""
    return o.text("payment_status") in (None, "paid", "no_payment_required")


def of_any_version(o: Obj) -> Obj:
    """The session with amounts and line items: before 2020 it had neither, but `display_items` with a price of one."""
    items = o.all("display_items")
    if o.has("amount_total") or not items:
        return o
    whole = sum((each.whole("amount") or 0) * (each.whole("quantity") or 0) for each in items)
    known = {"amount_subtotal": whole, "amount_total": whole, "currency": items[0].text("currency")}
    return Obj({**o.raw, **known, LINES: [_displayed(each) for each in items]})


def _displayed(each: Obj) -> dict[str, Json]:
    thing = each.of("custom", "sku", "plan")
    amount, currency = each.whole("amount") or 0, each.text("currency")
    price = {"id": thing.id("id"), "product": thing.id("product"), "unit_amount": amount, "currency": currency}
    subtotal = amount * (each.whole("quantity") or 0)
    title = thing.text("name", "nickname", "description")
    return {**each.raw, "description": title, "price": price, "amount_subtotal": subtotal, "id": None}


# --- line items: never in the event, so they are read


def lines_read(session_id: str, headers: Mapping[str, str]) -> Read:
    """GET /v1/checkout/sessions/{id}/line_items, with the products for their names and sku."""
    path = f"/v1/checkout/sessions/{session_id}/line_items"
    return Read(LINES, path, {"limit": "100", "expand[]": "data.price.product"}, headers)


def read_lines(o: Obj, read: "Json | Unread | None", why_not: str) -> tuple[list[LineItem] | None, str | None]:
    """(line items, note): of the body if it holds them, else of the read; None and the reason if neither does."""
    if o.has(LINES):
        return _lines(o), None
    if isinstance(read, dict) and isinstance(read.get("data"), list):
        more = "more than 100 line items: the others were not read" if read.get("has_more") is True else None
        return _lines(Obj({LINES: read})), more
    reason = read.reason if isinstance(read, Unread) else why_not
    return None, f"line items are missing: {reason}"


def _lines(o: Obj) -> list[LineItem]:
    return [line_item(each) for each in o.all(LINES)]


def line_item(o: Obj) -> LineItem:
    price = o.of("price")
    product = price.of("product")
    images = product.texts("images")
    own = product.metadata() | price.metadata()
    return LineItem(
        id=o.id("id"),
        product_id=price.id("product"),
        variant_id=price.id("id"),
        sku=own.get("sku") or own.get("SKU") or price.text("lookup_key"),
        title=o.text("description") or product.text("name"),
        variant_title=price.text("nickname"),
        quantity=o.whole("quantity"),
        price=price.unit_price(),
        subtotal=o.money("amount_subtotal"),
        discount=o.money("amount_discount"),
        tax=o.money("amount_tax"),
        total=_less(o.money("amount_subtotal"), o.money("amount_discount")),
        tax_code=product.id("tax_code"),
        requires_shipping=product.flag("shippable"),
        url=product.text("url"),
        image_url=images[0] if images else None,
        properties={**own},
    )


# --- amounts


def totals(o: Obj) -> Totals:
    """`amount_subtotal` is all items before discounts; taxes are in it if prices include them."""
    details, currency = o.of("total_details"), o.text("currency")
    return Totals(
        items=o.money("amount_subtotal"),
        shipping=_shipping_price(o),
        tax=details.money("amount_tax", currency=currency),
        discount=details.money("amount_discount", currency=currency),
        total=o.money("amount_total"),
    )


def _settled(known: Totals, paid: bool) -> Totals:
    """A session is paid in whole or not at all."""
    if known.total is None:
        return known
    nothing = known.total * 0
    paid_part, open_part = (known.total, nothing) if paid else (nothing, known.total)
    return known.model_copy(update={"paid": paid_part, "outstanding": open_part})


def taxes_included(known: Totals) -> bool | None:
    """Stripe says it only at each price; here it is what makes the total, if just one of the two does."""
    if not known.tax or not known.tax.amount or known.items is None or known.total is None:
        return None
    net = known.items + (known.shipping or Money.zero(known.items.currency))
    net = net - (known.discount or Money.zero(known.items.currency))
    if net == known.total:
        return True
    return False if net + known.tax == known.total else None


def _shipping_price(o: Obj) -> Money | None:
    currency, cost = o.text("currency"), o.of("shipping_cost")
    return cost.money("amount_subtotal", currency=currency) or o.of("total_details").money(
        "amount_shipping", currency=currency
    )


def _less(one: Money | None, other: Money | None) -> Money | None:
    return one if one is None or other is None else one - other


# --- nouns


@dataclass(frozen=True, slots=True)
class Basket:
    """What checkout and order say alike of one session, read once."""

    who: Customer
    totals: Totals
    shown: Money | None
    lines: list[LineItem] | None
    shipping_lines: list[ShippingLine] | None
    discounts: list[Discount] | None
    shipping_address: Address | None
    attributes: dict[str, str]
    channel: str
    external_ids: Places
    extra: dict[str, str]


def basket(o: Obj, notice: Notice, lines: list[LineItem] | None, keys: Sequence[str]) -> Basket:
    return Basket(
        who=buyer(o),
        totals=totals(o),
        shown=presentment(o),
        lines=lines,
        shipping_lines=_shipping_lines(o),
        discounts=_discounts(o),
        shipping_address=shipping_address(o),
        attributes=_attributes(o),
        channel="payment_link" if o.id("payment_link") else "web",
        external_ids=_external_ids(o, keys),
        extra=_extra(o, notice),
    )


def order(o: Obj, notice: Notice, said: Basket, status: str) -> Order:
    """The sale. `status`: the order's own; whether it is paid is the session's `payment_status`."""
    who, paid, cancelled = said.who, is_paid(o), status == "cancelled"
    made = Order(
        id=sale_id(o),
        created_at=notice.created,
        paid_at=notice.created if paid else None,
        status=status,
        payment_status="paid" if paid else "failed" if cancelled else "pending",
        cancel_reason="declined" if cancelled else None,
        cancelled_at=notice.created if cancelled else None,
        currency=o.currency,
        presentment_currency=said.shown.currency if said.shown else None,
        taxes_included=taxes_included(said.totals),
        totals=_settled(said.totals, paid),
        presentment=Totals(total=said.shown) if said.shown else None,
        line_items=said.lines,
        shipping_lines=said.shipping_lines,
        discounts=said.discounts,
        billing_address=who.default_address,
        shipping_address=said.shipping_address,
        customer=who,
        email=who.email,
        phone=who.phone,
        locale=who.locale,
        email_consent=who.email_consent,
        attributes=said.attributes,
        channel=said.channel,
        source="stripe checkout",
        gateways=["stripe"],
        checkout_id=o.id("id"),
        cart_id=o.text("client_reference_id"),
        subscription_id=o.id("subscription"),
        invoice_id=o.id("invoice"),
        payment_id=o.id("payment_intent"),
        external_ids=said.external_ids,
        links=_links(o),
        test=o.test,
        extra=said.extra,
    )
    return with_discrepancy(made)


def checkout(o: Obj, notice: Notice, said: Basket) -> Checkout:
    who = said.who
    recovery = o.of("after_expiration").of("recovery")
    return Checkout(
        id=o.id("id"),
        order_id=sale_id(o) if o.text("status") == "complete" and is_sale(o) else None,
        payment_id=o.id("payment_intent"),
        subscription_id=o.id("subscription"),
        status=_STATUS.get(o.text("status") or "", o.text("status")),
        payment_status=o.text("payment_status"),
        mode=o.text("mode"),
        created_at=o.time("created"),
        completed_at=notice.created if notice.topic == "checkout.session.completed" else None,
        expires_at=o.time("expires_at"),
        url=recovery.text("url") or o.text("url"),
        customer=who,
        email=who.email,
        phone=who.phone,
        locale=who.locale,
        email_consent=who.email_consent,
        currency=o.currency,
        presentment_currency=said.shown.currency if said.shown else None,
        taxes_included=taxes_included(said.totals),
        totals=said.totals,
        presentment=Totals(total=said.shown) if said.shown else None,
        line_items=said.lines,
        shipping_lines=said.shipping_lines,
        discounts=said.discounts,
        billing_address=who.default_address,
        shipping_address=said.shipping_address,
        attributes=said.attributes,
        channel=said.channel,
        gateway="stripe",
        test=o.test,
        external_ids=said.external_ids,
        extra=said.extra,
    )


def shipping_address(o: Obj) -> Address | None:
    """Three places, by age: `shipping`, `shipping_details`, `collected_information.shipping_details` (basil)."""
    where = o.of("collected_information").of("shipping_details") or o.of("shipping_details", "shipping")
    return contact(where) or address(where)


def _shipping_lines(o: Obj) -> list[ShippingLine] | None:
    cost, currency = o.of("shipping_cost"), o.text("currency")
    rate = cost.of("shipping_rate")
    price = cost.money("amount_subtotal", currency=currency)
    if price is None:
        return None
    tax = cost.money("amount_tax", currency=currency)
    return [
        ShippingLine(id=cost.id("shipping_rate"), title=rate.text("display_name"), price=price, tax=tax, total=price)
    ]


def _discounts(o: Obj) -> list[Discount] | None:
    """Each with its amount where `total_details.breakdown` is expanded; else nothing is known but the sum."""
    parts = o.of("total_details").of("breakdown").all("discounts")
    made = [_discount(each.of("discount"), each.money("amount", currency=o.text("currency"))) for each in parts]
    return made or None


def _discount(o: Obj, amount: Money | None) -> Discount:
    coupon = o.of("coupon") or o.of("source").of("coupon")
    return Discount(code=o.of("promotion_code").text("code"), title=coupon.text("name", "id"), amount=amount)


def _attributes(o: Obj) -> dict[str, str]:
    """Metadata, and the merchant's own fields that the buyer filled in."""
    answers = said(**{field.text("key") or "": _answer(field) for field in o.all("custom_fields") if field.text("key")})
    return answers | o.metadata()


def _answer(field: Obj) -> str | None:
    return field.of(field.text("type") or "text", "text", "dropdown", "numeric").text("value")


def _external_ids(o: Obj, keys: Sequence[str]) -> Places:
    own = ids(
        checkout_session=o.id("id"),
        payment_intent=o.id("payment_intent"),
        invoice=o.id("invoice"),
        payment_link=o.id("payment_link"),
    )
    return {**own, **said(client_reference=o.text("client_reference_id"), order=shop_order(o.metadata(), keys))}


def _links(o: Obj) -> dict[str, str]:
    payment = o.id("payment_intent")
    return {"admin": f"{DASHBOARD}/payments/{payment}"} if payment else {}


def _extra(o: Obj, notice: Notice) -> dict[str, str]:
    """`currency_conversion` (before 2025-03-31): the amounts were converted from this currency of the shop."""
    shop_currency = o.of("currency_conversion").text("source_currency")
    return said(account=notice.account, mode=o.text("mode"), shop_currency=shop_currency)
