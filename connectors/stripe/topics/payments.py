"""Payment intents, charges and disputes: one payment, whichever of them tells it first."""

from collections.abc import Mapping
from datetime import datetime

from app.connector import Facts, Ignored, Json
from app.events import DisputeEvent, Event, Money, Payment, PaymentEvent, Ref
from connectors.stripe.body import Notice, said
from connectors.stripe.models import Settings
from connectors.stripe.nouns import payments, people
from connectors.stripe.topics.statement import Handler, Said, event, order_id, remembered, shop_links, shop_order


def _payment(
    notice: Notice,
    facts: Facts[Settings],
    name: str,
    payment: Payment,
    *,
    at: datetime | None = None,
    part: str | None = None,
) -> Event:
    o = notice.object
    who = people.known_customer(o, payment.email, payment.name)
    return event(
        notice,
        facts,
        f"payment.{name}",
        payments.payment_ref(o),
        payments.sale_ref(o),
        PaymentEvent(payment=payment, customer=who),
        at=at,
        part=part,
        versioned=False,
        remember=_order_kept(notice, facts),
        links=shop_links(notice, facts),
    )


def _order_kept(notice: Notice, facts: Facts[Settings]) -> dict[str, Json] | None:
    """Keeps the shop's order of a payment for its refunds and disputes, whose own bodies do not name it."""
    named, known = shop_order(notice, facts), remembered(notice)
    return {**known, "order": named} if named and known.get("order") != named else None


def _capture_part(amount: Money | None) -> str | None:
    """Intent and charge tell the same capture: by the amount that is captured with it."""
    return f"captured {amount}" if amount else None


def intent_succeeded(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    payment = payments.payment_of_intent(o, "succeeded", order_id(notice, facts))
    done = [_payment(notice, facts, "succeeded", payment)]
    if o.text("capture_method") != "manual":
        return done
    capture = payment.model_copy(update={"kind": "capture"})
    return [_payment(notice, facts, "captured", capture, part=_capture_part(payment.amount)), *done]


def intent_capturable(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    return [_payment(notice, facts, "authorized", payments.payment_of_intent(o, "authorized", order_id(notice, facts)))]


def intent_failed(notice: Notice, facts: Facts[Settings]) -> Said:
    """The attempt is known by its charge, so that charge.failed tells nothing new."""
    o = notice.object
    payment = payments.payment_of_intent(o, "failed", order_id(notice, facts))
    return [_payment(notice, facts, "failed", payment, part=payments.attempt_of_intent(o))]


def intent_canceled(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    payment = payments.payment_of_intent(o, "voided", order_id(notice, facts))
    why = said(cancellation_reason=o.text("cancellation_reason"))
    return [_payment(notice, facts, "voided", payment.model_copy(update={"extra": why}))]


def charge_succeeded(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_charged(notice, facts)]


def _charged(notice: Notice, facts: Facts[Settings], at: datetime | None = None) -> Event:
    """A charge that is not captured has only reserved the money."""
    o = notice.object
    name, status = ("authorized", "authorized") if o.flag("captured") is False else ("succeeded", "succeeded")
    return _payment(notice, facts, name, payments.payment_of_charge(o, status, order_id(notice, facts)), at=at)


def charge_captured(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    payment = payments.payment_of_charge(o, "succeeded", order_id(notice, facts))
    capture = payment.model_copy(update={"kind": "capture"})
    return [
        _payment(notice, facts, "captured", capture, part=_capture_part(payment.amount)),
        _payment(notice, facts, "succeeded", payment),
    ]


def charge_failed(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_failed(notice, facts)]


def _failed(notice: Notice, facts: Facts[Settings], at: datetime | None = None) -> Event:
    o = notice.object
    payment = payments.payment_of_charge(o, "failed", order_id(notice, facts))
    return _payment(notice, facts, "failed", payment, at=at, part=o.id("id"))


def charge_expired(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    return [_payment(notice, facts, "voided", payments.payment_of_charge(o, "expired", order_id(notice, facts)))]


def charge_updated(notice: Notice, facts: Facts[Settings]) -> Said:
    """Mostly a description or a fee that came later. It proves again what the charge's own event said then."""
    made, status = notice.object.time("created"), notice.object.text("status")
    if status == "failed" or (status is None and notice.object.flag("paid") is False):
        return [_failed(notice, facts, at=made)]
    if status == "pending":
        return Ignored("the charge is still pending; charge.succeeded or charge.failed will say how it ended")
    return [_charged(notice, facts, at=made)]


# --- disputes


def _dispute(notice: Notice, facts: Facts[Settings], name: str) -> Event:
    o = notice.object
    around = (o.of("charge"), o.of("payment_intent"))
    dispute = payments.dispute(o, order_id(notice, facts, *around))
    return event(
        notice,
        facts,
        f"dispute.{name}",
        Ref("dispute", o.must("id", "charge")),
        payments.sale_ref(o),
        DisputeEvent(dispute=dispute),
        links=shop_links(notice, facts, *around),
    )


def dispute_opened(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_dispute(notice, facts, "opened")]


def dispute_updated(notice: Notice, facts: Facts[Settings]) -> Said:
    """Also closed: an inquiry that is closed is neither won nor lost."""
    events = [_dispute(notice, facts, "updated")]
    if (ended := notice.object.text("status")) in ("won", "lost"):
        events.append(_dispute(notice, facts, ended))
    return events


def dispute_closed(notice: Notice, facts: Facts[Settings]) -> Said:
    ended = notice.object.text("status")
    return [_dispute(notice, facts, ended if ended in ("won", "lost") else "updated")]


TOPICS: Mapping[str, Handler] = {
    "payment_intent.succeeded": intent_succeeded,
    "payment_intent.amount_capturable_updated": intent_capturable,
    "payment_intent.payment_failed": intent_failed,
    "payment_intent.canceled": intent_canceled,
    "charge.succeeded": charge_succeeded,
    "charge.captured": charge_captured,
    "charge.failed": charge_failed,
    "charge.expired": charge_expired,
    "charge.updated": charge_updated,
    "charge.dispute.created": dispute_opened,
    "charge.dispute.updated": dispute_updated,
    "charge.dispute.funds_withdrawn": dispute_updated,
    "charge.dispute.funds_reinstated": dispute_updated,
    "charge.dispute.closed": dispute_closed,
}
