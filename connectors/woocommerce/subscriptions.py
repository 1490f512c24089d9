"""Subscriptions of the WooCommerce Subscriptions extension."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.connector import Facts, Json, Remembered, State
from app.events import (
    Event,
    Ref,
    Subscription,
    SubscriptionEvent,
    SubscriptionItem,
)
from connectors.woocommerce.fields import (
    Body,
    amount,
    ident,
    moment,
    nested,
    number,
    occurrence,
    past,
    resource,
    status_of,
    text,
)
from connectors.woocommerce.lines import coupons, line_items
from connectors.woocommerce.people import address, buyer
from connectors.woocommerce.settings import Settings

_STATUS = {"pending": "incomplete", "on-hold": "paused", "pending-cancel": "pending_cancel"}
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_OVER = frozenset({"cancelled", "expired"})


def subscription_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """What a subscription's body says.

    Pausing and resuming are seen by the status before, so the first body of an older subscription says neither.
    """
    body = resource(payload)
    subscription = subscription_of(body)
    ref, (version, update) = Ref("subscription", subscription.id or ""), occurrence(body)
    data = SubscriptionEvent(subscription=subscription, customer=subscription.customer)
    status, known, kept = status_of(body), state.get(ref), {"status": status_of(body)}

    def say(type_: str, when: datetime | None, part: str | None = None) -> Event:
        return Event(type_, ref, ref, when, data, version, part, historical=past(when, facts), remember=kept)

    changed, paid = subscription.updated_at, moment(body, "last_payment_date_gmt")
    events = []
    if status != "pending" and not (status == "cancelled" and paid is None):
        events.append(say("subscription.started", subscription.started_at or subscription.created_at))
    if paid is not None and _is_renewal(body, paid):
        events.append(say("subscription.renewed", paid, part=paid.isoformat()))
    if status == "pending-cancel":
        when = subscription.cancelled_at or changed
        events.append(say("subscription.cancel_scheduled", when, part=when.isoformat() if when else update))
    if status in _OVER:
        events.append(say("subscription.ended", subscription.ended_at or subscription.cancelled_at or changed))
    if turned := _turned(known, status, version):
        events.append(say(turned, changed, part=update))
    if facts.topic != "subscription.created":
        events.append(say("subscription.updated", changed, part=update))
    return events or [say("subscription.updated", changed, part=update)]


def _turned(known: Remembered | None, status: str, version: str | None) -> str | None:
    """Paused or resumed, by the status that was known before; nothing of a body older than that."""
    before = known.data.get("status") if known else None
    if known is None or before is None or (known.version or "") > (version or ""):
        return None
    if status == "on-hold" and before == "active":
        return "subscription.paused"
    return "subscription.resumed" if status == "active" and before in ("on-hold", "pending-cancel") else None


def _is_renewal(body: Body, paid: datetime) -> bool:
    """Whether the last payment was for a further period: the first one comes within half a period of the start (a
    bank transfer takes days)."""
    start = moment(body, "start_date_gmt")
    every = number(body.get("billing_interval"))
    days = _DAYS.get(text(body, "billing_period") or "", 1) * (int(every) if every is not None and every > 0 else 1)
    return start is not None and paid - start >= timedelta(days=min(days, 36_500)) / 2


def subscription_deleted(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """Moved to the trash, which ends it; the body is the id alone."""
    ref = Ref("subscription", ident(resource(payload), "id") or "")
    data = SubscriptionEvent(subscription=Subscription(id=ref.id, status="cancelled"))
    return [Event("subscription.ended", ref, ref, None, data)]


def subscription_of(body: Body) -> Subscription:
    currency, status = text(body, "currency"), status_of(body)
    billing, shipping = address(nested(body, "billing")), address(nested(body, "shipping"))
    next_payment, trial_end = moment(body, "next_payment_date_gmt"), moment(body, "trial_end_date_gmt")
    ended, cancelled = moment(body, "end_date_gmt"), moment(body, "cancelled_date_gmt")
    every = number(body.get("billing_interval"))
    return Subscription(
        id=ident(body, "id"),
        number=text(body, "number"),
        customer_id=ident(body, "customer_id"),
        customer=buyer(body, billing, shipping, None),
        email=billing.email if billing else None,
        order_id=ident(body, "parent_id"),
        status=_STATUS.get(status, status),
        items=_items(body, currency),
        amount=amount(body, "total", currency),
        currency=currency,
        interval=text(body, "billing_period"),
        interval_count=int(every) if every is not None else None,
        created_at=moment(body, "date_created_gmt"),
        updated_at=moment(body, "date_modified_gmt"),
        started_at=moment(body, "start_date_gmt"),
        current_period_end=next_payment,
        trial_end=trial_end,
        next_payment_at=next_payment,
        cancel_at_period_end=status == "pending-cancel",
        cancel_at=ended if status == "pending-cancel" else None,
        cancelled_at=cancelled,
        ended_at=ended if status in _OVER else None,
        payment_method=text(body, "payment_method"),
        discounts=coupons(body, currency),
    )


def _items(body: Body, currency: str | None) -> list[SubscriptionItem]:
    return [
        SubscriptionItem(
            id=line.id,
            product_id=line.product_id,
            variant_id=line.variant_id,
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            price=line.price,
            interval=text(body, "billing_period"),
        )
        for line in line_items(body, currency)
    ]
