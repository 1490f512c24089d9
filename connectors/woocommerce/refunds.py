"""Refunds: an order lists them as negative texts (`"-8.10"`); there is no topic of their own.

With REST keys they are read back, with time, lines and the part of each; else the event says what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.connector import Facts, Json, Read, State, Unread
from app.events import Event, Money, Order, Ref, Refund, RefundEvent, RefundLine, total
from connectors.woocommerce.fields import (
    Body,
    amount,
    flag,
    ident,
    meta,
    moment,
    number,
    past,
    quantity,
    rows,
    status_of,
    text,
    title,
)
from connectors.woocommerce.settings import API, Settings

WHOLE = "whole"
"""Id, behind the order's, of a full refund that WooCommerce states by the order's status alone."""


@dataclass(frozen=True, slots=True)
class Given:
    """A refund as far as it is known. when: None if its time could not be read."""

    noun: Refund
    when: datetime | None
    note: str | None


def needs(topic: str, payload: Json, settings: Settings) -> Sequence[Read]:
    """The refunds of an order that lists some, if the connection has keys."""
    if not topic.startswith("order.") or not isinstance(payload, dict) or not settings.can_read:
        return ()
    number = ident(payload, "id")
    if number is None or not number.isdecimal() or not rows(payload, "refunds"):
        return ()
    return [Read("refunds", f"{API}/orders/{number}/refunds", {"per_page": "100"})]


def refunds_of(body: Body, facts: Facts[Settings], state: State) -> list[Given]:
    """The refunds that an order lists; or one of the whole, where its status says so and none is listed."""
    order, currency = ident(body, "id") or "", text(body, "currency")
    known = state.get(Ref("order", order))
    before = known.data.get("refunds", []) if known else []
    listed = [row for row in rows(body, "refunds") if ident(row, "id")]
    whole = f"{order}-{WHOLE}"
    if whole in before or (not listed and status_of(body) == "refunded" and not before):
        return _whole(body, whole, currency)
    details, note = _details(facts)
    sums = total(_positive(row, "total", currency) for row in listed)
    return [_given(row, details.get(ident(row, "id") or "", {}), body, sums, note) for row in listed]


def _whole(body: Body, number: str, currency: str | None) -> list[Given]:
    grand = amount(body, "total", currency)
    noun = Refund(
        id=number,
        order_id=ident(body, "id"),
        amount=grand,
        total_refunded=grand,
        is_full=True,
        status="succeeded",
        gateway=text(body, "payment_method"),
    )
    return [Given(noun, None, "the order's status says that it was refunded; WooCommerce lists no refund")]


def _details(facts: Facts[Settings]) -> tuple[dict[str, Body], str | None]:
    """({refund id: what was read}, why nothing was)."""
    read = facts.reads.get("refunds")
    if isinstance(read, list):
        return {number: row for row in read if isinstance(row, dict) and (number := ident(row, "id"))}, None
    reason = read.reason if isinstance(read, Unread) else "the connection has no REST keys"
    return {}, f"time and lines of the refund were not read: {reason}"


def _given(row: Body, detail: Body, body: Body, sums: Money | None, note: str | None) -> Given:
    currency, when = text(body, "currency"), moment(detail, "date_created_gmt")
    given, grand = _positive(row, "total", currency), amount(body, "total", currency)
    lines = [_line(each, currency) for each in rows(detail, "line_items")] if detail else None
    goods = total(line.amount for line in lines or ())
    shipping = total(_positive(each, "total", currency) for each in rows(detail, "shipping_lines"))
    fees = total(_positive(each, "total", currency) for each in rows(detail, "fee_lines"))
    taxed = [*rows(detail, "line_items"), *rows(detail, "shipping_lines"), *rows(detail, "fee_lines")]
    tax = total(_positive(each, "total_tax", currency) for each in taxed)
    explained = total([goods, shipping, fees, tax])
    rest = given - explained if detail and given is not None and explained is not None else None
    noun = Refund(
        id=ident(row, "id"),
        order_id=ident(body, "id"),
        customer_id=ident(body, "customer_id"),
        amount=given,
        total_refunded=sums,
        is_full=None if given is None or grand is None else given.amount >= grand.amount,
        status="succeeded",
        reason=text(row, "reason") or text(detail, "reason"),
        lines=lines,
        items=goods,
        shipping=shipping,
        tax=tax,
        adjustment=total([rest, fees]),
        gateway=text(body, "payment_method"),
        created_at=when,
        extra={} if (paid := flag(detail, "refunded_payment")) is None else {"by_gateway": paid},
    )
    return Given(noun, when, note)


def _positive(row: Body, name: str, currency: str | None) -> Money | None:
    said = amount(row, name, currency)
    return None if said is None else abs(said)


def _line(row: Body, currency: str | None) -> RefundLine:
    count = quantity(row, "quantity")
    original = meta(row).get("_refunded_item_id")
    return RefundLine(
        id=ident(row, "id"),
        line_item_id=str(original) if number(original) is not None else None,
        product_id=ident(row, "product_id"),
        variant_id=ident(row, "variation_id"),
        sku=text(row, "sku"),
        title=title(row, "name"),
        quantity=None if count is None else abs(count),
        amount=_positive(row, "total", currency),
        tax=_positive(row, "total_tax", currency),
    )


def refund_events(order: Order, refunds: Sequence[Given], facts: Facts[Settings]) -> list[Event]:
    """One refund.created each. Where its time was not read, the order's last change stands for it."""
    subject, found = Ref("order", order.id or ""), []
    for each in refunds:
        when = each.when or order.updated_at
        data = RefundEvent(refund=each.noun, order=order, customer=order.customer)
        ref, old = Ref("refund", each.noun.id or ""), past(when, facts)
        found.append(Event("refund.created", ref, subject, when, data, historical=old, note=each.note))
    return found
