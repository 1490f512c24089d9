"""Pings about memberships: `cancellation`, `subscription_updated`, `subscription_ended`, `subscription_restarted`.

The subscriber is read back; the ping adds what the API does not tell (who cancelled, which plans). A membership's
beginning and its renewals come as sales.
"""

from collections.abc import Sequence
from datetime import datetime

from app.connector import Facts, Ignored, Json, State
from app.errors import MalformedError
from app.events import Customer, Event, Ref, Subscription, SubscriptionEvent, SubscriptionItem
from connectors.gumroad.forms import Body, digest, nested, text, texts, truth, whole
from connectors.gumroad.orders import INTERVALS
from connectors.gumroad.sale import UNPROVEN, moment, read_back
from connectors.gumroad.settings import Settings

_STATUS = {
    "alive": "active",
    "pending_cancellation": "pending_cancel",
    "pending_failure": "past_due",
    "failed_payment": "cancelled",
    "fixed_subscription_period_ended": "expired",
}
_ENDED = {"failed_payment": "payment_failed", "fixed_subscription_period_ended": "fixed_period_ended"}
_CANCELLED_BY = {
    "cancelled_by_buyer": "customer",
    "cancelled_by_seller": "seller",
    "cancelled_by_admin": "admin",
    "cancelled_due_to_payment_failures": "payment_failed",
}


def subscription_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
    """One event a ping, if the subscriber as it was read back agrees."""
    ping, said = _read(payload, facts)
    match facts.topic:
        case "cancellation":
            return _cancelled(ping, said, facts)
        case "subscription_ended":
            return _ended(ping, said, facts)
        case "subscription_restarted":
            return _restarted(ping, said, facts)
        case _:
            return _updated(ping, said, facts)


def _read(payload: Json, facts: Facts[Settings]) -> tuple[Body, Body]:
    """(the ping, the subscriber: read back, or the ping in its place)."""
    if not isinstance(payload, dict) or text(payload, "subscription_id") is None:
        raise MalformedError("the ping names no subscription")
    if facts.settings.access_token is None:
        return payload, payload | {"id": payload["subscription_id"]}
    said = read_back(facts.reads, "subscriber")
    if text(said, "id") != text(payload, "subscription_id"):
        raise MalformedError("the subscription that was read back is another one")
    return payload, said


def _event(
    type_: str, subscription: Subscription, facts: Facts[Settings], when: datetime | None, part: str | None = None
) -> Event:
    ref = Ref("subscription", subscription.id or "")
    note = UNPROVEN if facts.settings.access_token is None else None
    past = when is not None and facts.since is not None and when < facts.since
    data = SubscriptionEvent(subscription=subscription, customer=subscription.customer)
    return Event(type_, ref, ref, when, data, part=part, test=facts.test, historical=past, note=note)


def _cancelled(ping: Body, said: Body, facts: Facts[Settings]) -> list[Event] | Ignored:
    """`cancelled_at` is the end of the paid period; when it was asked for, only the API tells."""
    until, asked = moment(said, "cancelled_at"), moment(said, "user_requested_cancellation_at")
    if until is None:
        return Ignored("the cancellation was undone before it could be read back")
    by = next((word for name, word in _CANCELLED_BY.items() if truth(ping, name) is True), None)
    subscription = subscription_of(
        said,
        cancel_at=until,
        cancel_at_period_end=True,
        cancelled_at=asked,
        cancel_reason=by,
        status="pending_cancel",
    )
    part = (asked or until).isoformat()
    events = [_event("subscription.cancel_scheduled", subscription, facts, asked, part)]
    if by == "payment_failed":
        events.append(_event("subscription.payment_failed", subscription, facts, asked, part))
    return events


def _ended(ping: Body, said: Body, facts: Facts[Settings]) -> list[Event] | Ignored:
    ended = moment(said, "ended_at")
    if ended is None:
        return Ignored("the subscription was restarted before its end could be read back")
    reason = text(ping, "ended_reason")
    status = "expired" if reason == "fixed_subscription_period_ended" else "cancelled"
    subscription = subscription_of(
        said,
        ended_at=ended,
        cancelled_at=moment(said, "user_requested_cancellation_at"),
        cancel_reason=_ENDED.get(reason or "", reason),
        status=status,
    )
    return [_event("subscription.ended", subscription, facts, ended)]


def _restarted(ping: Body, said: Body, facts: Facts[Settings]) -> list[Event]:
    when = moment(ping, "restarted_at")
    part = when.isoformat() if when else facts.received_at.isoformat()
    return [_event("subscription.resumed", subscription_of(said), facts, when, part)]


def _updated(ping: Body, said: Body, facts: Facts[Settings]) -> list[Event]:
    """A change of plan; two that take effect on one day are told apart by the plans."""
    when, old, new = moment(ping, "effective_as_of"), nested(ping, "old_plan"), nested(ping, "new_plan")
    part = f"{text(ping, 'effective_as_of')}#{digest([old, new])[:16]}"
    interval, count = INTERVALS.get(text(new, "recurrence") or "", (None, None))
    tier = nested(new, "tier")
    item = SubscriptionItem(
        product_id=text(said, "product_id"),
        variant_id=text(tier, "id"),
        title=text(tier, "name") or text(said, "product_name"),
        quantity=whole(new, "quantity"),
        interval=interval,
        interval_count=count,
    )
    change = {"change": text(ping, "type"), "effective_as_of": text(ping, "effective_as_of"), "new_plan": new}
    subscription = subscription_of(said, items=[item], interval=interval, interval_count=count, previous={"plan": old})
    subscription = subscription.model_copy(update={"extra": {**subscription.extra, **change}})
    return [_event("subscription.updated", subscription, facts, when, part)]


def subscription_of(said: Body, **known: object) -> Subscription:
    """A subscriber of the API, or the ping in its place; `known` are fields that the ping tells better."""
    interval, count = INTERVALS.get(text(said, "recurrence") or "", (None, None))
    email, status = text(said, "user_email") or text(said, "email"), text(said, "status")
    fields = {
        "id": text(said, "id"),
        "customer_id": text(said, "user_id"),
        "customer": Customer(id=text(said, "user_id"), email=email),
        "email": email,
        "status": _STATUS.get(status or "", status),
        "title": text(said, "product_name"),
        "items": [SubscriptionItem(product_id=text(said, "product_id"), title=text(said, "product_name"))],
        "interval": interval,
        "interval_count": count,
        "created_at": moment(said, "created_at"),
        "started_at": moment(said, "created_at"),
        "trial_end": moment(said, "free_trial_ends_at"),
        "license_key": text(said, "license_key"),
        "extra": {"purchase_ids": texts(said, "purchase_ids")},
    }
    return Subscription.model_validate(fields | known)
