"""Checkout sessions: checkouts, and the orders of sales without a shop."""

from collections.abc import Mapping

from app.connector import Facts, State
from app.events import (
    CheckoutEvent,
    Event,
    LineItem,
    OrderEvent,
    Ref,
)
from connectors.stripe.body import Notice
from connectors.stripe.models import Settings
from connectors.stripe.nouns import checkout
from connectors.stripe.topics.statement import Handler, Said, event, shop_links


def session_completed(notice: Notice, facts: Facts[Settings], state: State) -> Said:
    """Bought. `unpaid`: the money comes later (a bank debit); async_payment_succeeded will say so."""
    o = notice.object
    done = [_checkout(notice, facts, "completed")]
    if not checkout.is_sale(o):
        return done
    made = [_order(notice, facts, "created", "open")]
    return done + made + ([_order(notice, facts, "paid", "open")] if checkout.is_paid(o) else [])


def session_paid_late(notice: Notice, facts: Facts[Settings], state: State) -> Said:
    return [_order(notice, facts, "created", "open"), _order(notice, facts, "paid", "open")]


def session_not_paid(notice: Notice, facts: Facts[Settings], state: State) -> Said:
    return [_order(notice, facts, "created", "cancelled"), _order(notice, facts, "cancelled", "cancelled")]


def session_expired(notice: Notice, facts: Facts[Settings], state: State) -> Said:
    return [_checkout(notice, facts, "expired")]


def _checkout(notice: Notice, facts: Facts[Settings], name: str) -> Event:
    o = notice.object
    lines, note = _lines(notice, facts) if name == "completed" else (None, None)
    return event(
        notice,
        facts,
        f"checkout.{name}",
        Ref("checkout", o.must("id")),
        Ref("order", checkout.sale_id(o)),
        CheckoutEvent(checkout=checkout.checkout(o, notice, lines, facts.settings.order_metadata)),
        note=note,
        links=shop_links(facts, o),
    )


def _order(notice: Notice, facts: Facts[Settings], name: str, status: str) -> Event:
    o = notice.object
    lines, note = _lines(notice, facts)
    sale = Ref("order", checkout.sale_id(o))
    made = checkout.order(o, notice, lines, facts.settings.order_metadata, status)
    links = (Ref("checkout", o.must("id")), *shop_links(facts, o))
    return event(notice, facts, f"order.{name}", sale, sale, OrderEvent(order=made), note=note, links=links)


def _lines(notice: Notice, facts: Facts[Settings]) -> tuple[list[LineItem] | None, str | None]:
    why_not = "Stripe's event has none; give the connection an api_key to read them"
    if notice.account and facts.settings.api_key is not None:
        why_not = "they belong to a connected account, which the connection's api_key does not read"
    elif facts.settings.api_key is not None:
        why_not = "they were not read"
    return checkout.read_lines(notice.object, facts.reads.get(checkout.LINES), why_not)


TOPICS: Mapping[str, Handler] = {
    "checkout.session.completed": session_completed,
    "checkout.session.async_payment_succeeded": session_paid_late,
    "checkout.session.async_payment_failed": session_not_paid,
    "checkout.session.expired": session_expired,
}
