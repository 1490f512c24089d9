"""Pings about sales: `sale`, `refund`, `dispute`, `dispute_won`. What the sale is now says what happened; the ping only
that something did."""

from collections.abc import Sequence
from datetime import datetime

from app.connector import Facts, Ignored, Json, State
from app.events import (
    Dispute,
    DisputeEvent,
    Event,
    Order,
    OrderEvent,
    Ref,
    Refund,
    RefundEvent,
    SubscriptionEvent,
    from_minor,
)
from connectors.gumroad.forms import text, truth
from connectors.gumroad.orders import CURRENCY, is_paid, is_renewal, membership_of, order_of
from connectors.gumroad.sale import Sale, sale_of
from connectors.gumroad.settings import Settings

NO_AMOUNT = "Gumroad does not say how much was given back"


def sale_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
    """Every milestone that the sale implies by now, whichever ping came."""
    sale = sale_of(payload, facts)
    order = order_of(sale)
    events = [
        *_own(sale, order, facts, state),
        *_membership(sale, order, facts),
        *_refund(sale, order, facts, state),
        *_dispute(sale, order, facts),
    ]
    if facts.topic == "refund" and not any(event.type == "refund.created" for event in events):
        return Ignored("the sale as it was read back has no refund")
    return events


def _past(when: datetime | None, facts: Facts[Settings]) -> bool:
    return when is not None and facts.since is not None and when < facts.since


def _before(sale: Sale, state: State) -> int:
    """US cents that were known to be given back."""
    known = state.get(Ref("order", sale.id))
    cents = known.data.get("refunded") if known else None
    return cents if isinstance(cents, int) else 0


def _own(sale: Sale, order: Order, facts: Facts[Settings], state: State) -> list[Event]:
    """The events whose object is the sale itself."""
    ref, when, old = Ref("order", sale.id), order.created_at, _past(order.created_at, facts)
    kept = {"refunded": max(_before(sale, state), sale.refunded_cents or 0)}
    data, test = OrderEvent(order=order), facts.test or order.test is True

    def say(type_: str, moment: datetime | None, part: str | None = None, past: bool = old) -> Event:
        return Event(
            type_, ref, ref, moment, data, part=part, test=test, historical=past, note=sale.note, remember=kept
        )

    events = [say("order.created", when)]
    if is_paid(sale):
        events.append(say("order.paid", when))
    if order.fulfillment_status == "fulfilled":
        events.append(say("order.fulfilled", None))
    if facts.topic != "sale":
        events.append(say("order.updated", None, part=_standing(sale, facts), past=False))
    return events


def _standing(sale: Sale, facts: Facts[Settings]) -> str:
    """How a sale stands after refunds and disputes; Gumroad counts no versions."""
    refunds = "whole" if sale.refunded else sale.refundable or facts.received_at.isoformat()
    return f"refundable={refunds};disputed={truth(sale.said, 'disputed')};won={truth(sale.said, 'dispute_won')}"


def _membership(sale: Sale, order: Order, facts: Facts[Settings]) -> list[Event]:
    number = text(sale.said, "subscription_id")
    if number is None or truth(sale.said, "is_upgrade_purchase"):
        return []
    ref, when, test = Ref("subscription", number), order.created_at, facts.test or order.test is True
    data = SubscriptionEvent(subscription=membership_of(sale), customer=order.customer, order=order)
    type_ = "subscription.renewed" if is_renewal(sale) else "subscription.started"
    past, part = _past(when, facts), sale.id if is_renewal(sale) else None
    return [Event(type_, ref, ref, when, data, part=part, test=test, historical=past, note=sale.note)]


# --- refunds -----------------------------------------------------------------------------------------------------


def _refund(sale: Sale, order: Order, facts: Facts[Settings], state: State) -> list[Event]:
    """What was given back since the last look. Gumroad gives refunds no id: the amount that is left names each."""
    partly = truth(sale.said, "partially_refunded") is True or (facts.topic == "refund" and not sale.proven)
    if not sale.refunded and not partly:
        return []
    left = "whole" if sale.refunded else sale.refundable or facts.received_at.isoformat()
    all_of_it, before = sale.refunded_cents, _before(sale, state)
    noun = Refund(
        id=f"{sale.id}:{left}",
        order_id=sale.id,
        payment_id=sale.id,
        amount=None if all_of_it is None else from_minor(max(all_of_it - before, 0), CURRENCY),
        total_refunded=from_minor(all_of_it, CURRENCY),
        is_full=sale.refunded and before == 0,
        status="succeeded",
        gateway="gumroad",
        extra={"amount_refundable_in_currency": sale.refundable} if sale.refundable else {},
    )
    data = RefundEvent(refund=noun, order=order, customer=order.customer)
    notes = [sale.note, NO_AMOUNT if all_of_it is None else None]
    note = "; ".join(each for each in notes if each) or None
    ref, test = Ref("refund", noun.id or ""), facts.test or order.test is True
    return [Event("refund.created", ref, Ref("order", sale.id), None, data, test=test, note=note)]


# --- disputes ----------------------------------------------------------------------------------------------------


def _dispute(sale: Sale, order: Order, facts: Facts[Settings]) -> list[Event]:
    """A sale is disputed once. Gumroad tells when the seller wins, never when the buyer does."""
    if truth(sale.said, "disputed") is not True:
        return []
    won = truth(sale.said, "dispute_won") is True
    noun = Dispute(
        id=sale.id,
        order_id=sale.id,
        payment_id=sale.id,
        kind="chargeback",
        amount=order.total,
        status="won" if won else "under_review",
        email=order.email,
        gateway="gumroad",
    )
    ref, test = Ref("dispute", sale.id), facts.test or order.test is True
    data = DisputeEvent(dispute=noun, order=order, customer=order.customer)
    types = ["dispute.opened", "dispute.won"] if won else ["dispute.opened"]
    return [Event(each, ref, Ref("order", sale.id), None, data, test=test, note=sale.note) for each in types]
