"""Checkout sessions: checkouts, and the orders of sales without a shop."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.connector import Facts
from app.events import CheckoutEvent, Event, LineItem, OrderEvent, Ref
from connectors.stripe.body import Notice
from connectors.stripe.models import Settings
from connectors.stripe.nouns import checkout
from connectors.stripe.topics.statement import Handler, Said, event, shop_links


def session_completed(notice: Notice, facts: Facts[Settings]) -> Said:
    """Bought. `unpaid`: the money comes later (a bank debit); async_payment_succeeded will say so."""
    o = checkout.of_any_version(notice.object)
    notice = replace(notice, object=o)
    names = ("created", "paid") if checkout.is_paid(o) else ("created",)
    lines, note = _lines(notice, facts)
    basket = checkout.basket(o, notice, lines, facts.settings.order_metadata)
    done = _checkout(notice, facts, "completed", basket, note)
    return [done, *(_orders(notice, facts, names, "open", basket, note) if checkout.is_sale(o) else ())]


def session_paid_late(notice: Notice, facts: Facts[Settings]) -> Said:
    return _ended(notice, facts, ("created", "paid"), "open")


def session_not_paid(notice: Notice, facts: Facts[Settings]) -> Said:
    return _ended(notice, facts, ("created", "cancelled"), "cancelled")


def _ended(notice: Notice, facts: Facts[Settings], names: Sequence[str], status: str) -> list[Event]:
    lines, note = _lines(notice, facts)
    basket = checkout.basket(notice.object, notice, lines, facts.settings.order_metadata)
    return _orders(notice, facts, names, status, basket, note)


def session_expired(notice: Notice, facts: Facts[Settings]) -> Said:
    basket = checkout.basket(notice.object, notice, None, facts.settings.order_metadata)
    return [_checkout(notice, facts, "expired", basket, None)]


def _checkout(notice: Notice, facts: Facts[Settings], name: str, basket: checkout.Basket, note: str | None) -> Event:
    o = notice.object
    return event(
        notice,
        facts,
        f"checkout.{name}",
        Ref("checkout", o.must("id")),
        Ref("order", checkout.sale_id(o)),
        CheckoutEvent(checkout=checkout.checkout(o, notice, basket)),
        note=note,
        links=shop_links(notice, facts),
    )


def _orders(
    notice: Notice,
    facts: Facts[Settings],
    names: Sequence[str],
    status: str,
    basket: checkout.Basket,
    note: str | None,
) -> list[Event]:
    o = notice.object
    sale = Ref("order", checkout.sale_id(o))
    data = OrderEvent(order=checkout.order(o, notice, basket, status))
    links = (Ref("checkout", o.must("id")), *shop_links(notice, facts))
    return [event(notice, facts, f"order.{name}", sale, sale, data, note=note, links=links) for name in names]


def _lines(notice: Notice, facts: Facts[Settings]) -> tuple[list[LineItem] | None, str | None]:
    why_not = "Stripe's event has none; give the connection an api_key to read them"
    if facts.settings.api_key is not None:
        why_not = "they were not read"
    return checkout.read_lines(notice.object, facts.reads.get(checkout.LINES), why_not)


TOPICS: Mapping[str, Handler] = {
    "checkout.session.completed": session_completed,
    "checkout.session.async_payment_succeeded": session_paid_late,
    "checkout.session.async_payment_failed": session_not_paid,
    "checkout.session.expired": session_expired,
}
