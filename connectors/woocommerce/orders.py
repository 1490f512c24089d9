"""A WooCommerce order as an Order, and a draft of the block checkout as a Checkout."""

import re
from collections.abc import Sequence
from datetime import datetime

from app.connector import Json
from app.events import (
    Attribution,
    Checkout,
    Money,
    Order,
    Payment,
    Refund,
    Totals,
    total,
    with_discrepancy,
)
from connectors.woocommerce.fields import (
    Body,
    ident,
    meta,
    moment,
    nested,
    status_of,
    text,
)
from connectors.woocommerce.lines import coupons, fees, is_tip, line_items, shipping_lines, tax_lines, totals
from connectors.woocommerce.people import address, buyer, tax_number
from connectors.woocommerce.settings import Settings
from connectors.woocommerce.tracking import fulfillments_of

TAGS = "tradewind_tags"
"""The meta key under which `tag_order` keeps its tags: orders of WooCommerce have none."""

_STATUS = {"on-hold": "on_hold"}
PARTLY_PAID = frozenset({"partial-payment", "partially-paid", "partial-paid"})
_CHANNELS = {"checkout": "web", "store-api": "web", "rest-api": "api", "admin": "admin", "subscription": "subscription"}
_ATTRIBUTION = "_wc_order_attribution_"
_LINKED = re.compile(r"(pi|ch|py)_[A-Za-z0-9]+")
_LINK_KINDS = {"pi": "stripe_payment_intent", "ch": "stripe_charge", "py": "stripe_charge"}


def order_of(body: Body, settings: Settings, refunds: Sequence[Refund]) -> Order:
    currency, status, said = text(body, "currency"), status_of(body), meta(body)
    locale = said.get("wpml_language") if isinstance(said.get("wpml_language"), str) else None
    billing, shipping = address(nested(body, "billing"), tax_number(said)), address(nested(body, "shipping"))
    lines, paid_at = line_items(body, currency), moment(body, "date_paid_gmt")
    given_back = total(refund.amount for refund in refunds)
    paid = None if status in PARTLY_PAID else paid_at is not None
    extra = fees(body, currency)
    sums = totals(body, currency, lines, extra, paid, given_back)
    grand, discounts = sums.total, coupons(body, currency)
    order = Order(
        id=ident(body, "id"),
        number=text(body, "number") or ident(body, "id"),
        created_at=moment(body, "date_created_gmt"),
        updated_at=moment(body, "date_modified_gmt"),
        paid_at=paid_at,
        fulfilled_at=moment(body, "date_completed_gmt"),
        cancelled_at=moment(body, "date_modified_gmt") if status == "cancelled" else None,
        status=_STATUS.get(status, status),
        payment_status=_payment_status(status, paid_at, grand, given_back),
        fulfillment_status={"completed": "fulfilled", "processing": "unfulfilled"}.get(status),
        currency=currency,
        taxes_included=False,
        totals=sums,
        current=_current(sums, given_back),
        tax_lines=tax_lines(body, currency),
        line_items=lines,
        shipping_lines=shipping_lines(body, currency),
        fee_lines=[fee for fee in extra if not is_tip(fee)],
        discounts=discounts,
        discount_codes=[each.code for each in discounts if each.code],
        billing_address=billing,
        shipping_address=shipping,
        customer=buyer(body, billing, shipping, locale),
        email=billing.email if billing else None,
        phone=(billing.phone if billing else None) or (shipping.phone if shipping else None),
        locale=locale,
        tags=tags_of(said),
        note=text(body, "customer_note"),
        attributes={key: value for key, value in said.items() if not key.startswith("_") and key != TAGS},
        channel=_CHANNELS.get(text(body, "created_via") or "", text(body, "created_via")),
        source=text(body, "created_via"),
        ip_address=text(body, "customer_ip_address"),
        attribution=_attribution(said),
        gateways=[method] if (method := text(body, "payment_method")) else [],
        payments=_payments(body, currency, paid_at, grand),
        refunds=list(refunds),
        fulfillments=fulfillments_of(body, said),
        checkout_id=ident(body, "id") if text(body, "created_via") == "store-api" else None,
        subscription_id=_subscription_id(said),
        external_ids=_external_ids(body, said),
        links=_links(body, settings),
        extra={name: body[name] for name in ("prices_include_tax", "order_key", "parent_id") if body.get(name)},
    )
    return with_discrepancy(order)


def _current(sums: Totals, given_back: Money | None) -> Totals | None:
    """The sums after refunds; of which lines they took, the order does not tell."""
    if sums.total is None or given_back is None:
        return None
    return Totals(total=sums.total - given_back, paid=sums.paid, refunded=given_back)


def _payment_status(status: str, paid_at: datetime | None, grand: Money | None, given_back: Money | None) -> str:
    if status == "refunded" or (grand and given_back and given_back.amount >= grand.amount):
        return "refunded"
    if given_back and given_back.amount > 0:
        return "partially_refunded"
    if status in PARTLY_PAID:
        return "partially_paid"
    if paid_at is not None:
        return "paid"
    return {"failed": "failed", "cancelled": "voided"}.get(status, "pending")


def _payments(body: Body, currency: str | None, paid_at: datetime | None, grand: Money | None) -> list[Payment] | None:
    """The one payment that an order names by its transaction id, once it is paid."""
    transaction = text(body, "transaction_id")
    if transaction is None or paid_at is None:
        return None
    return [
        Payment(
            id=transaction,
            order_id=ident(body, "id"),
            kind="sale",
            status="succeeded",
            amount=grand,
            gateway=text(body, "payment_method"),
            method=text(body, "payment_method_title"),
            created_at=paid_at,
        )
    ]


def tags_of(said: dict[str, Json]) -> list[str] | None:
    """The tags that `tag_order` left in the meta data; None where it never did."""
    kept = said.get(TAGS)
    return [tag for each in kept.split(",") if (tag := each.strip())] if isinstance(kept, str) else None


def _subscription_id(said: dict[str, Json]) -> str | None:
    """Renewals, switches and resubscriptions say to which subscription they belong (WooCommerce Subscriptions)."""
    names = ("_subscription_renewal", "_subscription_switch", "_subscription_resubscribe")
    found = next((said[name] for name in names if isinstance(said.get(name), str | int)), None)
    return None if found is None else str(found)


def _external_ids(body: Body, said: dict[str, Json]) -> dict[str, str]:
    """How the processor knows the payment: `stripe_payment_intent`, `stripe_charge`, `<gateway>_transaction`."""
    found = [
        text(body, "transaction_id"),
        said.get("_stripe_intent_id"),
        said.get("_intent_id"),
        said.get("_charge_id"),
    ]
    known = {
        _LINK_KINDS[match[1]]: each for each in found if isinstance(each, str) and (match := _LINKED.fullmatch(each))
    }
    if known or found[0] is None:
        return known
    return {f"{text(body, 'payment_method') or 'payment'}_transaction": str(found[0])}


def _links(body: Body, settings: Settings) -> dict[str, str]:
    admin = f"{settings.site}/wp-admin/post.php?post={ident(body, 'id')}&action=edit"
    payment = text(body, "payment_url")
    return {"admin": admin} | ({"payment": payment} if payment else {})


def _attribution(said: dict[str, Json]) -> Attribution | None:
    """Where the buyer came from, as WooCommerce 8.5 and later note it in meta data."""
    found = {key.removeprefix(_ATTRIBUTION): str(said[key]) for key in said if key.startswith(_ATTRIBUTION)}
    if not found:
        return None
    known = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
    return Attribution(
        **{name.removeprefix("utm_"): found[name] for name in known if name in found},
        referrer=found.get("referrer"),
        landing_page=found.get("session_entry"),
        device=found.get("device_type"),
        type=found.get("source_type"),
        extra={key: value for key, value in found.items() if key.startswith("session_") and key != "session_entry"},
    )


def checkout_of(order: Order) -> Checkout:
    return Checkout(
        id=order.id,
        order_id=order.id,
        created_at=order.created_at,
        updated_at=order.updated_at,
        url=order.links.get("payment"),
        customer=order.customer,
        email=order.email,
        phone=order.phone,
        locale=order.locale,
        currency=order.currency,
        taxes_included=order.taxes_included,
        totals=order.totals,
        tax_lines=order.tax_lines,
        line_items=order.line_items,
        shipping_lines=order.shipping_lines,
        discounts=order.discounts,
        discount_codes=order.discount_codes,
        billing_address=order.billing_address,
        shipping_address=order.shipping_address,
        note=order.note,
        attributes=order.attributes,
        channel=order.channel,
        source=order.source,
        attribution=order.attribution,
    )
