"""A sale as an Order: Gumroad sells one product at a time, in US dollars whatever the listing says."""

from decimal import Decimal

from app.connector import Json
from app.events import (
    Address,
    Attribution,
    Customer,
    Discount,
    LineItem,
    Money,
    Order,
    Payment,
    Subscription,
    SubscriptionItem,
    Totals,
    from_minor,
    with_discrepancy,
)
from connectors.gumroad.forms import Body, nested, text, truth, whole
from connectors.gumroad.sale import Sale, moment

CURRENCY = "USD"
INTERVALS = {
    "monthly": ("month", 1),
    "quarterly": ("month", 3),
    "biannually": ("month", 6),
    "yearly": ("year", 1),
    "every_two_years": ("year", 2),
}
_KEPT = ("referrer", "ip_country", "formatted_display_price", "affiliate", "shipping_rate", "tracking_url")


def order_of(sale: Sale) -> Order:
    said, total = sale.said, from_minor(sale.cents, CURRENCY)
    given_back, paid = from_minor(sale.refunded_cents, CURRENCY), is_paid(sale)
    fulfilment = _fulfillment_status(said)
    order = Order(
        id=sale.id,
        number=text(said, "order_id"),
        created_at=sale.created_at,
        paid_at=sale.created_at if paid else None,
        status="pending" if not paid else "processing" if fulfilment == "unfulfilled" else "completed",
        payment_status=_payment_status(sale, paid),
        fulfillment_status=fulfilment,
        currency=CURRENCY,
        presentment_currency=(text(sale.ping, "currency") or "").upper() or None,
        taxes_included=True,
        totals=_totals(total, given_back, paid),
        current=_current(total, given_back),
        line_items=[_line(sale, total)],
        discounts=[Discount(code=code, type="code", target="order")] if (code := _offer_code(sale)) else [],
        discount_codes=[code] if code else [],
        shipping_address=_shipping_address(said),
        customer=customer_of(sale),
        email=_email(said),
        attributes=_attributes(sale),
        channel="subscription" if is_renewal(sale) else "web",
        attribution=_attribution(sale),
        gateways=["gumroad"],
        payments=[_payment(sale, total)] if paid else [],
        subscription_id=text(said, "subscription_id"),
        test=truth(sale.ping, "test") is True,
        extra={name: value for name in _KEPT if (value := said.get(name, sale.ping.get(name))) not in (None, "")},
    )
    return with_discrepancy(order)


def is_paid(sale: Sale) -> bool:
    """A pre-order is only authorised, and a free trial is paid by its first recurring charge."""
    said = sale.said
    trial = said.get("free_trial_ends_on") is not None and truth(said, "free_trial_ended") is not True
    authorised = truth(said, "is_preorder_authorization") is True
    return not authorised and not (trial and not is_renewal(sale))


def is_renewal(sale: Sale) -> bool:
    return truth(sale.said, "recurring_charge") is True


def _payment_status(sale: Sale, paid: bool) -> str:
    if sale.refunded:
        return "refunded"
    if truth(sale.said, "partially_refunded") is True:
        return "partially_refunded"
    return "paid" if paid else "authorized" if truth(sale.said, "is_preorder_authorization") else "pending"


def _fulfillment_status(said: Body) -> str | None:
    """Only physical goods are sent; the API knows whether they were."""
    if truth(said, "is_product_physical") is not True and "shipped" not in said:
        return None
    return "fulfilled" if truth(said, "shipped") is True else "unfulfilled"


def _totals(total: Money | None, given_back: Money | None, paid: bool) -> Totals:
    nothing = Money.zero(CURRENCY)
    return Totals(
        items=total,
        total=total,
        paid=total if paid else nothing,
        refunded=given_back if given_back and given_back.amount else None,
        outstanding=nothing if paid else total,
    )


def _current(total: Money | None, given_back: Money | None) -> Totals | None:
    if total is None or given_back is None or not given_back.amount:
        return None
    return Totals(total=total - given_back, refunded=given_back)


def _line(sale: Sale, total: Money | None) -> LineItem:
    said, count = sale.said, whole(sale.said, "quantity") or 1
    variants = nested(said, "variants")
    even = total is not None and sale.cents is not None and count > 0 and sale.cents % count == 0
    return LineItem(
        id=sale.id,
        product_id=text(said, "product_id"),
        sku=text(said, "sku_id") or text(sale.ping, "sku_id"),
        title=text(said, "product_name"),
        variant_title=", ".join(str(value) for value in variants.values()) or None,
        quantity=count,
        price=Money(amount=total.amount / Decimal(count), currency=CURRENCY) if even and total is not None else None,
        subtotal=total,
        total=total,
        requires_shipping=truth(said, "is_product_physical"),
        subscription_id=text(said, "subscription_id"),
        license_key=text(said, "license_key"),
        properties={name or "variant": value for name, value in variants.items()},
    )


def _offer_code(sale: Sale) -> str | None:
    return text(nested(sale.said, "offer_code"), "code") or text(sale.said, "offer_code")


def _shipping_address(said: Body) -> Address | None:
    """Only of goods that are sent: elsewhere country and state are a guess by the buyer's network."""
    street = text(said, "street_address")
    if street is None:
        return None
    return Address(
        name=text(said, "full_name"),
        address1=street,
        city=text(said, "city"),
        province=text(said, "state"),
        postal_code=text(said, "zip_code"),
        country=text(said, "country"),
        country_code=text(said, "country_iso2"),
    )


def _email(said: Body) -> str | None:
    return text(said, "purchase_email") or text(said, "email")


def customer_of(sale: Sale) -> Customer:
    said = sale.said
    return Customer(
        id=text(said, "purchaser_id"),
        email=_email(said),
        name=text(said, "full_name"),
        default_address=_shipping_address(said),
    )


def _attributes(sale: Sale) -> dict[str, Json]:
    """The buyer's answers, and who gave it if it is a gift."""
    giver = text(sale.said, "gifter_email") or text(sale.ping, "gifter_email")
    return nested(sale.said, "custom_fields") | ({"gifter_email": giver} if giver else {})


def _attribution(sale: Sale) -> Attribution | None:
    referrer, params = text(sale.said, "referrer"), nested(sale.ping, "url_params")
    if referrer is None and not params:
        return None
    utm = {name: text(params, f"utm_{name}") for name in ("source", "medium", "campaign", "term", "content")}
    return Attribution(**utm, referrer=referrer, extra=params)


def _payment(sale: Sale, total: Money | None) -> Payment:
    fee = from_minor(whole(sale.said, "gumroad_fee"), CURRENCY)
    card = nested(sale.said, "card")
    return Payment(
        id=sale.id,
        order_id=sale.id,
        kind="sale",
        status="succeeded",
        amount=total,
        fee=fee,
        net=total - fee if total is not None and fee is not None else None,
        gateway="gumroad",
        method="paypal" if text(card, "type") == "paypal" else "card" if text(card, "type") else None,
        card_brand=text(card, "type"),
        card_last4=(text(card, "visual") or "")[-4:] if (text(card, "visual") or "").startswith("*") else None,
        created_at=sale.created_at,
    )


def membership_of(sale: Sale) -> Subscription:
    """The subscription that a sale began or renewed, as far as the sale tells."""
    said = sale.said
    interval, count = INTERVALS.get(
        text(said, "subscription_duration") or text(sale.ping, "recurrence") or "", (None, None)
    )
    return Subscription(
        id=text(said, "subscription_id"),
        customer=customer_of(sale),
        email=_email(said),
        order_id=None if is_renewal(sale) else sale.id,
        latest_order_id=sale.id,
        status="active" if is_paid(sale) else "trialing",
        title=text(said, "product_name"),
        items=[SubscriptionItem(product_id=text(said, "product_id"), title=text(said, "product_name"))],
        amount=from_minor(sale.cents, CURRENCY),
        currency=CURRENCY,
        interval=interval,
        interval_count=count,
        started_at=None if is_renewal(sale) else sale.created_at,
        trial_end=moment(said, "free_trial_ends_at"),
        license_key=text(said, "license_key"),
        test=truth(sale.ping, "test"),
    )
