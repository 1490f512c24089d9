"""Events that no source states: they follow from what one stated, from what is remembered, or from time going by."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from app.crypto import Hasher
from app.domain.connections import Connection
from app.domain.facts import Fact, identity_of
from app.events import (
    Checkout,
    Customer,
    CustomerEvent,
    Event,
    Fulfillment,
    InventoryEvent,
    InventoryLevel,
    Money,
    Order,
    OrderEvent,
    Ref,
    customer_of,
    iso,
)
from app.ids import new_id
from app.store.deadlines import Deadline

STOCK = frozenset({"inventory.out_of_stock", "inventory.back_in_stock"})
DELAYED, EXPIRED = "fulfillment.delayed", "checkout.expired"
KINDS = (DELAYED, EXPIRED)
"""Kinds of timers that end as an event of the same type."""
CHECKOUT_LIVES = timedelta(days=90)
"""A checkout of which nothing is heard for so long has expired, where its source does not say when it does."""
ENDS = {DELAYED: ("fulfillment.delivered", "fulfillment.cancelled"),
        EXPIRED: ("checkout.completed", "checkout.expired")}  # fmt: skip


def following(events: Sequence[Event]) -> list[Event]:
    """What follows from the events of one webhook; nothing that its source states itself."""
    types = {event.type for event in events}
    derived: list[Event] = []
    for event in events:
        if event.type == "inventory.changed" and not types & STOCK:
            derived += _stock(event)
        elif event.type in ("order.created", "order.updated") and event.remember is None:
            derived += _partly_paid(event, types)
    return derived


def _stock(event: Event) -> list[Event]:
    """Stock that ran out or came back, by the quantity before (None: not known, then nothing follows)."""
    level = event.data.inventory if isinstance(event.data, InventoryEvent) else None
    if not isinstance(level, InventoryLevel) or level.available is None or level.before is None:
        return []
    had, has = level.before > 0, level.available > 0
    if had == has:
        return []
    type_ = "inventory.back_in_stock" if has else "inventory.out_of_stock"
    return [replace(event, type=type_, part=event.occurrence(), version=None, remember=None)]


def _partly_paid(event: Event, types: set[str]) -> list[Event]:
    """A part of an order is paid; told once for each amount. A source that remembers its orders says so itself."""
    if types & {"order.partially_paid", "order.paid"} or not isinstance(event.data, OrderEvent):
        return []
    order: Order = event.data.order
    paid = _paid(order)
    if order.payment_status != "partially_paid" or paid is None:
        return []
    return [replace(event, type="order.partially_paid", part=f"paid {paid}", version=None, remember=None)]


def _paid(order: Order) -> Money | None:
    told = [each.paid for each in (order.current, order.totals) if each is not None and each.paid is not None]
    return told[0] if told else None


def first_order(fact: Fact, known: bool) -> Event | None:
    """`customer.created` for a guest: whoever has no account at the shop begins to be a customer with an order."""
    note = None if known else "the shop's past was not imported: the guest may have ordered before"
    return _of_customer("customer.created", fact, note)


def vip_reached(fact: Fact, known: bool) -> Event | None:
    """What a customer paid so far reached the workspace's `vip_at`, by this order."""
    note = None if known else "the shop's past was not imported: the customer may have reached it before"
    return _of_customer("customer.vip_reached", fact, note)


def _of_customer(type_: str, fact: Fact, note: str | None) -> Event | None:
    """An event about the person who is a customer of the workspace, whatever id a sender has for them."""
    customer = customer_of(fact.event.data) or _guest(fact.event.data)
    if fact.customer_id is None or customer is None:
        return None
    ref = Ref("customer", str(fact.customer_id))
    return Event(
        type=type_,
        object=ref,
        subject=ref,
        occurred_at=fact.occurred_at,
        data=CustomerEvent(customer=customer),
        test=fact.test,
        historical=fact.event.historical,
        note=note,
    )


def _guest(data: BaseModel) -> Customer | None:
    order = getattr(data, "order", None)
    return Customer(email=order.email, phone=order.phone, locale=order.locale) if isinstance(order, Order) else None


# --- what comes of time -----------------------------------------------------------------------------------------


def timer(hasher: Hasher, fact: Fact) -> Deadline | None:
    """The timer that a fact sets: at its estimate a parcel not delivered is late, at its end a checkout is expired."""
    if fact.event.historical or not fact.event.type.startswith(("fulfillment.", "checkout.")):
        return None
    noun: Any = getattr(fact.event.data, "fulfillment", None) or getattr(fact.event.data, "checkout", None)
    if isinstance(noun, Fulfillment):
        return _lateness(hasher, fact, noun)
    if isinstance(noun, Checkout) and fact.event.type in ("checkout.created", "checkout.updated"):
        heard = noun.updated_at or noun.created_at or fact.occurred_at
        return _timer(hasher, fact, EXPIRED, noun.expires_at or heard + CHECKOUT_LIVES)
    return None


def _lateness(hasher: Hasher, fact: Fact, noun: Fulfillment) -> Deadline | None:
    due = noun.estimated_delivery_at
    over = fact.event.type in (*ENDS[DELAYED], DELAYED)
    return None if over or due is None else _timer(hasher, fact, DELAYED, due)


def _timer(hasher: Hasher, fact: Fact, kind: str, due_at: datetime) -> Deadline:
    object_ = fact.event.object
    key = hasher("timer", kind, fact.connection.id.bytes, object_.kind, object_.id)
    data = {"event_id": str(fact.id), "object": list(object_)}
    return Deadline(new_id(), fact.connection.workspace, kind, fact.connection.id, key, data, due_at)


def ends(hasher: Hasher, connection: Connection, kind: str, object_: Ref) -> list[bytes]:
    """Identities of the events by which a timer has nothing to say any more."""
    return [identity_of(hasher, connection, object_, type_, "") for type_ in ENDS[kind]]


def fell_due(kind: str, object_: Ref, subject: Ref, data: BaseModel, due_at: datetime, test: bool) -> Event:
    """The event of a timer that fell due, with what was last said of the thing."""
    return Event(
        type=kind,
        object=object_,
        subject=subject,
        occurred_at=due_at,
        data=data,
        part=f"estimated {iso(due_at)}" if kind == DELAYED else None,
        test=test,
    )
