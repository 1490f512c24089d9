"""The events that an order's body implies.

WooCommerce builds the body when it delivers, so `order.created` may show an order that was paid, completed or refunded
since. A body therefore states every milestone that it implies; those stated before are dropped by their identity, and
those older than the connection are history.
"""

from collections.abc import Sequence
from datetime import datetime

from app.connector import Facts, Ignored, Json, State
from app.events import (
    CheckoutEvent,
    Event,
    Order,
    OrderEvent,
    Payment,
    PaymentEvent,
    Ref,
    Subscription,
    SubscriptionEvent,
)
from connectors.woocommerce.fields import (
    Body,
    ident,
    meta,
    occurrence,
    past,
    resource,
    status_of,
    text,
    unread,
)
from connectors.woocommerce.orders import PARTLY_PAID, checkout_of, order_of
from connectors.woocommerce.refunds import refund_events, refunds_of
from connectors.woocommerce.settings import Settings
from connectors.woocommerce.tracking import fulfillment_events

DRAFTS = frozenset({"auto-draft", "draft", "new"})
CHECKOUT = "checkout-draft"


def order_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
    """Everything that one order body says."""
    body = resource(payload)
    status = status_of(body)
    if status in DRAFTS:
        return Ignored(f"a draft ({status}): nobody ordered it yet")
    if status == CHECKOUT:
        return _checkout_events(body, facts)
    refunds = refunds_of(body, facts, state)
    order = order_of(body, facts.settings, [refund.noun for refund in refunds])
    return [
        *_own(order, body, facts),
        *refund_events(order, refunds, facts),
        *fulfillment_events(order, facts),
        *_failures(order, body, facts),
        *_begun(order, body, facts),
    ]


def order_deleted(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """Moved to the trash. The body is the id alone: WooCommerce does not say when."""
    ref = Ref("order", ident(resource(payload), "id") or "")
    number = state[ref].data.get("number") if ref in state else None
    return [Event("order.deleted", ref, ref, None, OrderEvent(order=Order(id=ref.id, number=number)))]


def _own(order: Order, body: Body, facts: Facts[Settings]) -> list[Event]:
    """The events whose object is the order itself."""
    ref, changed = Ref("order", order.id or ""), order.updated_at
    version, update = occurrence(body)
    links = tuple(Ref(kind, str(each)) for kind, each in order.external_ids.items())
    kept = {"status": order.status, "number": order.number, "refunds": [each.id for each in order.refunds or []]}
    data = OrderEvent(order=order)
    note = unread(body, ("total", "total_tax", "shipping_total", "discount_total"), order.currency)

    def say(type_: str, when: datetime | None, part: str | None = None) -> Event:
        old = past(when, facts)
        return Event(type_, ref, ref, when, data, version, part, historical=old, note=note, remember=kept, links=links)

    events = [say("order.created", order.created_at)]
    status = status_of(body)
    if order.paid_at is not None and status not in PARTLY_PAID:
        events.append(say("order.paid", order.paid_at))
    if status in PARTLY_PAID:
        events.append(say("order.partially_paid", changed, part=status))
    if order.fulfilled_at is not None or status == "completed":
        events.append(say("order.fulfilled", order.fulfilled_at or changed))
    if status == "cancelled":
        events.append(say("order.cancelled", changed))
    if status == "trash":
        events.append(say("order.deleted", changed))
    if facts.topic != "order.created":
        events.append(say("order.updated", changed, part=update))
    return events


def _failures(order: Order, body: Body, facts: Facts[Settings]) -> list[Event]:
    """A failed order is a failed payment; WooCommerce does not count attempts, so the first one is told. A failed
    renewal is its subscription's failure too."""
    if status_of(body) != "failed":
        return []
    ref, when, old = Ref("order", order.id or ""), order.updated_at, past(order.updated_at, facts)
    payment = Payment(
        order_id=order.id,
        status="failed",
        amount=order.total,
        gateway=text(body, "payment_method"),
        method=text(body, "payment_method_title"),
    )
    failed = PaymentEvent(payment=payment, order=order, customer=order.customer)
    events = [Event("payment.failed", Ref("payment", f"order-{ref.id}"), ref, when, failed, part="1", historical=old)]
    if "_subscription_renewal" in meta(body) and order.subscription_id:
        subject = Ref("subscription", order.subscription_id)
        about = SubscriptionEvent(
            subscription=Subscription(id=subject.id, latest_order_id=order.id), customer=order.customer, order=order
        )
        events.append(
            Event("subscription.payment_failed", subject, subject, when, about, part=f"order-{ref.id}", historical=old)
        )
    return events


def _begun(order: Order, body: Body, facts: Facts[Settings]) -> list[Event]:
    """An order of the block checkout was a checkout with the same id before."""
    if order.checkout_id is None:
        return []
    ref = Ref("checkout", order.checkout_id)
    done = CheckoutEvent(
        checkout=checkout_of(order).model_copy(update={"status": "completed", "completed_at": order.created_at})
    )
    old = past(order.created_at, facts)
    return [Event("checkout.completed", ref, ref, order.created_at, done, historical=old)]


def _checkout_events(body: Body, facts: Facts[Settings]) -> list[Event]:
    """A draft of the block checkout: it may become an order under the same id."""
    order = order_of(body, facts.settings, [])
    ref, changed = Ref("checkout", order.id or ""), order.updated_at
    version, update = occurrence(body)
    data = CheckoutEvent(checkout=checkout_of(order).model_copy(update={"order_id": None, "status": "open"}))
    begun, old = order.created_at or changed, past(order.created_at, facts)
    return [
        Event("checkout.created", ref, ref, begun, data, version, historical=old),
        Event("checkout.updated", ref, ref, changed, data, version, update),
    ]
