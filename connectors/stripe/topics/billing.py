"""Subscriptions, invoices and payouts."""

from collections.abc import Mapping

from app.connector import Facts
from app.events import Event, Invoice, InvoiceEvent, PayoutEvent, Ref, SubscriptionEvent, iso
from connectors.stripe.body import Notice, Obj
from connectors.stripe.models import Settings
from connectors.stripe.nouns import billing, people
from connectors.stripe.topics.statement import Handler, Said, event


def _subscription(notice: Notice, facts: Facts[Settings], name: str, part: str | None = None) -> Event:
    o = notice.object
    ref = Ref("subscription", o.must("id"))
    who = people.known_customer(o)
    data = SubscriptionEvent(subscription=billing.subscription(o, notice.previous), customer=who)
    return event(notice, facts, f"subscription.{name}", ref, ref, data, part=part)


def subscription_created(notice: Notice, facts: Facts[Settings]) -> Said:
    """`incomplete`: the first payment is still to come, and with it (an update to active) the start."""
    waits = (notice.object.text("status") or "").startswith("incomplete")
    return [_subscription(notice, facts, "updated" if waits else "started")]


def subscription_updated(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_subscription(notice, facts, name) for name in (*_changes(notice), "updated")]


def _changes(notice: Notice) -> list[str]:
    """What a change of fields means; `previous_attributes` holds the old value of each that changed."""
    o, was = notice.object, notice.previous
    status, before = o.text("status"), was.text("status")
    changes = []
    if before == "incomplete" and status in ("active", "trialing"):
        changes.append("started")
    if was.has("pause_collection") and bool(was.of("pause_collection")) != bool(o.of("pause_collection")):
        changes.append("paused" if o.of("pause_collection") else "resumed")
    if before is not None and status == "canceled":
        changes.append("ended")
    elif _cancels(was, o) != _cancels(o, o):
        changes.append("cancel_scheduled" if _cancels(o, o) else "resumed")
    return list(dict.fromkeys(changes))


def _cancels(o: Obj, otherwise: Obj) -> bool:
    """Whether it will end by itself; a field that did not change is as it stands."""
    at_end = (o if o.has("cancel_at_period_end") else otherwise).flag("cancel_at_period_end")
    at = (o if o.has("cancel_at") else otherwise).whole("cancel_at")
    return bool(at_end or at)


def _told(name: str) -> Handler:
    def handle(notice: Notice, facts: Facts[Settings]) -> Said:
        return [_subscription(notice, facts, name)]

    return handle


def trial_ending(notice: Notice, facts: Facts[Settings]) -> Said:
    end = notice.object.time("trial_end")
    return [_subscription(notice, facts, "trial_ending", iso(end) if end else None)]


# --- invoices, payouts


def _invoice(
    notice: Notice, facts: Facts[Settings], name: str, bill: Invoice | None = None, part: str | None = None
) -> Event:
    o = notice.object
    data = InvoiceEvent(invoice=bill or billing.invoice(o), customer=billing.payer(o))
    payment = billing.invoice_payment(o)
    links = (Ref("payment", payment),) if payment else ()
    ref, subject = billing.invoice_ref(o), billing.invoice_subject(o)
    return event(notice, facts, f"invoice.{name}", ref, subject, data, part=part, versioned=False, links=links)


def _billed(notice: Notice, facts: Facts[Settings], name: str, bill: Invoice, part: str) -> list[Event]:
    """What an invoice means for its subscription, if it has one."""
    if bill.subscription_id is None:
        return []
    ref = Ref("subscription", bill.subscription_id)
    data = SubscriptionEvent(
        subscription=billing.subscription_of_invoice(notice.object), customer=bill.customer, invoice=bill
    )
    return [event(notice, facts, f"subscription.{name}", ref, ref, data, part=part, versioned=False)]


def invoice_made(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_invoice(notice, facts, "created")]


def invoice_paid(notice: Notice, facts: Facts[Settings]) -> Said:
    """`invoice.paid` also tells what was paid elsewhere, `invoice.payment_succeeded` only what Stripe took."""
    bill = billing.invoice(notice.object)
    paid = [_invoice(notice, facts, "paid", bill)]
    if not billing.is_renewal(notice.object):
        return paid
    period = iso(bill.period_start) if bill.period_start else notice.object.must("id")
    return paid + _billed(notice, facts, "renewed", bill, period)


def invoice_failed(notice: Notice, facts: Facts[Settings]) -> Said:
    bill = billing.invoice(notice.object)
    part = notice.occurrence if bill.attempt is None else f"attempt {bill.attempt}"
    failed = [_invoice(notice, facts, "payment_failed", bill, part)]
    return failed + _billed(notice, facts, "payment_failed", bill, f"{notice.object.must('id')} {part}")


def invoice_voided(notice: Notice, facts: Facts[Settings]) -> Said:
    return [_invoice(notice, facts, "voided")]


def _payout(name: str) -> Handler:
    def handle(notice: Notice, facts: Facts[Settings]) -> Said:
        ref = Ref("payout", notice.object.must("id"))
        data = PayoutEvent(payout=billing.payout(notice.object))
        return [event(notice, facts, f"payout.{name}", ref, ref, data)]

    return handle


TOPICS: Mapping[str, Handler] = {
    "customer.subscription.created": subscription_created,
    "customer.subscription.updated": subscription_updated,
    "customer.subscription.deleted": _told("ended"),
    "customer.subscription.paused": _told("paused"),
    "customer.subscription.resumed": _told("resumed"),
    "customer.subscription.trial_will_end": trial_ending,
    "customer.subscription.pending_update_applied": _told("updated"),
    "customer.subscription.pending_update_expired": _told("updated"),
    "invoice.created": invoice_made,
    "invoice.finalized": invoice_made,
    "invoice.paid": invoice_paid,
    "invoice.payment_succeeded": invoice_paid,
    "invoice.payment_failed": invoice_failed,
    "invoice.voided": invoice_voided,
    "invoice.deleted": invoice_voided,
    "payout.paid": _payout("paid"),
    "payout.failed": _payout("failed"),
}
