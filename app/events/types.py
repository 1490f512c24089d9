"""The event types: for each its model, whose fields are the nouns in a recipe's scope, and whether it happens once.

A *milestone* happens once in an object's life. The others repeat, and need the sender's version or a part (billing
period, attempt, stock movement) to tell one occurrence from the next; in doubt a type repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.events.billing import Invoice, Subscription
from app.events.moves import Dispute, Fulfillment, Payment, Payout, Refund, Return
from app.events.nouns import HubTrouble, InventoryLevel, Message, PrivacyRequest, Product, Review, Shop, Slot
from app.events.order import Checkout, Order
from app.events.parties import Customer, FreeDict


class Nouns(BaseModel):
    """The data of an event: one field per noun in a recipe's scope; the type's own noun comes first."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class OrderEvent(Nouns):
    order: Order


class CheckoutEvent(Nouns):
    checkout: Checkout


class PaymentEvent(Nouns):
    payment: Payment
    order: Order | None = None
    customer: Customer | None = None


class RefundEvent(Nouns):
    refund: Refund
    order: Order | None = None
    payment: Payment | None = None
    customer: Customer | None = None


class DisputeEvent(Nouns):
    dispute: Dispute
    order: Order | None = None
    payment: Payment | None = None
    customer: Customer | None = None


class FulfillmentEvent(Nouns):
    fulfillment: Fulfillment
    order: Order | None = None
    customer: Customer | None = None


# `return` is the noun that recipes use, and a keyword that no class body can declare.
ReturnEvent: type[Nouns] = create_model(
    "ReturnEvent",
    __base__=Nouns,
    **cast(Any, {"return": (Return, ...), "order": (Order | None, None), "customer": (Customer | None, None)}),
)


def return_event(returned: Return, order: Order | None = None, customer: Customer | None = None) -> Nouns:
    """A ReturnEvent; its noun in recipes is `return`."""
    return ReturnEvent(**{"return": returned, "order": order, "customer": customer})


class CustomerEvent(Nouns):
    customer: Customer


class ProductEvent(Nouns):
    product: Product


class InventoryEvent(Nouns):
    inventory: InventoryLevel
    product: Product | None = None


class SubscriptionEvent(Nouns):
    subscription: Subscription
    customer: Customer | None = None
    invoice: Invoice | None = None
    payment: Payment | None = None
    order: Order | None = None


class InvoiceEvent(Nouns):
    invoice: Invoice
    customer: Customer | None = None
    subscription: Subscription | None = None
    payment: Payment | None = None
    order: Order | None = None


class PayoutEvent(Nouns):
    payout: Payout


class ReviewEvent(Nouns):
    review: Review
    order: Order | None = None
    product: Product | None = None
    customer: Customer | None = None


class MessageEvent(Nouns):
    message: Message
    order: Order | None = None
    customer: Customer | None = None


class PrivacyEvent(Nouns):
    request: PrivacyRequest
    customer: Customer | None = None


class AppEvent(Nouns):
    shop: Shop


class HubEvent(Nouns):
    trouble: HubTrouble


class ScheduleEvent(Nouns):
    slot: Slot


class CustomEvent(Nouns):
    """What a recipe emitted: free data, and the nouns that it was about."""

    data: FreeDict = Field(default_factory=dict)
    order: Order | None = None
    customer: Customer | None = None


@dataclass(frozen=True, slots=True)
class EventType:
    """One word of the canonical language. `noun` is the model's field for the object that the event states."""

    name: str
    noun: str
    model: type[BaseModel]
    milestone: bool
    title: str
    description: str


ONCE, REPEATS = True, False

_FAMILIES: dict[tuple[str, str, type[BaseModel]], dict[str, tuple[bool, str, str]]] = {
    ("order", "order", OrderEvent): {
        "created": (ONCE, "Order created", "A buyer ordered; paid or not."),
        "updated": (REPEATS, "Order updated", "Something about the order changed."),
        "paid": (ONCE, "Order paid", "The whole amount is paid."),
        "partially_paid": (REPEATS, "Order partly paid", "A part of the amount is paid."),
        "cancelled": (ONCE, "Order cancelled", "The order will not be carried out."),
        "fulfilled": (ONCE, "Order fulfilled", "Everything was sent or delivered for the first time."),
        "partially_fulfilled": (REPEATS, "Order partly fulfilled", "A part of the goods was sent."),
        "closed": (REPEATS, "Order closed", "The order was archived; it may be opened and closed again."),
        "edited": (REPEATS, "Order edited", "Lines were added, removed or changed after ordering."),
        "deleted": (ONCE, "Order deleted", "The shop no longer has the order."),
    },
    ("checkout", "checkout", CheckoutEvent): {
        "created": (ONCE, "Checkout begun", "A buyer began to check out."),
        "updated": (REPEATS, "Checkout updated", "The buyer changed goods, address or contact."),
        "completed": (ONCE, "Checkout completed", "The checkout became an order."),
        "expired": (ONCE, "Checkout expired", "The checkout can no longer be completed."),
    },
    ("payment", "payment", PaymentEvent): {
        "authorized": (ONCE, "Payment authorized", "The money is reserved, not yet taken."),
        "succeeded": (ONCE, "Payment succeeded", "The money was taken."),
        "failed": (REPEATS, "Payment failed", "An attempt to take the money failed; another may follow."),
        "captured": (REPEATS, "Payment captured", "Reserved money, or a part of it, was taken."),
        "voided": (ONCE, "Payment voided", "Reserved money was let go."),
    },
    ("refund", "refund", RefundEvent): {
        "created": (ONCE, "Refund made", "Money or goods are given back, in part or in whole."),
        "updated": (REPEATS, "Refund updated", "The state of a refund changed."),
        "failed": (ONCE, "Refund failed", "The money came back to the merchant; this can be days after."),
    },
    ("dispute", "dispute", DisputeEvent): {
        "opened": (ONCE, "Dispute opened", "A buyer disputes a payment; evidence has a deadline."),
        "updated": (REPEATS, "Dispute updated", "The state of a dispute changed."),
        "won": (ONCE, "Dispute won", "The money stays with the merchant."),
        "lost": (ONCE, "Dispute lost", "The money goes back to the buyer."),
    },
    ("fulfillment", "fulfillment", FulfillmentEvent): {
        "created": (ONCE, "Fulfilment created", "A parcel or a digital delivery was made."),
        "in_transit": (ONCE, "In transit", "The carrier has the parcel."),
        "out_for_delivery": (REPEATS, "Out for delivery", "The parcel is on its last way; it may come again next day."),
        "delivered": (ONCE, "Delivered", "The parcel arrived."),
        "failed": (REPEATS, "Delivery failed", "An attempt to deliver failed, or the parcel was lost."),
        "delayed": (REPEATS, "Delivery delayed", "The parcel will come later than estimated."),
        "updated": (REPEATS, "Fulfilment updated", "Tracking or another detail changed."),
        "cancelled": (ONCE, "Fulfilment cancelled", "The parcel will not be sent."),
    },
    ("return", "return", ReturnEvent): {
        "requested": (ONCE, "Return requested", "A buyer wants to send goods back."),
        "approved": (ONCE, "Return approved", "The goods may be sent back."),
        "declined": (ONCE, "Return declined", "The return was refused."),
        "cancelled": (ONCE, "Return cancelled", "The goods will not come back."),
        "reopened": (REPEATS, "Return reopened", "A closed return goes on."),
        "updated": (REPEATS, "Return updated", "Something about the return changed."),
        "received": (REPEATS, "Return received", "Goods came back, perhaps a part of them."),
        "closed": (REPEATS, "Return closed", "The return is done; it may be reopened."),
    },
    ("customer", "customer", CustomerEvent): {
        "created": (ONCE, "Customer created", "A customer's record was made."),
        "updated": (REPEATS, "Customer updated", "Something about the customer changed."),
        "deleted": (ONCE, "Customer deleted", "The customer's record is gone."),
        "vip_reached": (ONCE, "VIP reached", "What the customer paid so far reached the workspace's `vip_at`."),
    },
    ("product", "product", ProductEvent): {
        "created": (ONCE, "Product created", "A product was made."),
        "updated": (REPEATS, "Product updated", "A product or one of its variants changed."),
        "deleted": (ONCE, "Product deleted", "The product is gone."),
    },
    ("inventory", "inventory", InventoryEvent): {
        "changed": (REPEATS, "Stock changed", "The number available of one item at one place changed."),
        "out_of_stock": (REPEATS, "Out of stock", "Stock went from some to none."),
        "back_in_stock": (REPEATS, "Back in stock", "Stock went from none to some."),
    },
    ("subscription", "subscription", SubscriptionEvent): {
        "started": (ONCE, "Subscription started", "A subscription began, with or without a trial."),
        "renewed": (REPEATS, "Subscription renewed", "A further period was paid."),
        "updated": (REPEATS, "Subscription updated", "Plan, quantity or another detail changed."),
        "paused": (REPEATS, "Subscription paused", "No payments are taken until it resumes."),
        "resumed": (REPEATS, "Subscription resumed", "A paused or cancelled subscription goes on."),
        "cancel_scheduled": (
            REPEATS,
            "Cancellation scheduled",
            "It will end at the end of the period; it may be undone.",
        ),
        "ended": (ONCE, "Subscription ended", "Access is to be taken back."),
        "payment_failed": (REPEATS, "Subscription payment failed", "A period could not be paid."),
        "trial_ending": (REPEATS, "Trial ending", "The trial ends soon."),
    },
    ("invoice", "invoice", InvoiceEvent): {
        "created": (ONCE, "Invoice created", "A bill was made."),
        "paid": (ONCE, "Invoice paid", "A bill was paid in whole."),
        "payment_failed": (REPEATS, "Invoice payment failed", "An attempt to pay a bill failed."),
        "voided": (ONCE, "Invoice voided", "A bill was taken back."),
    },
    ("payout", "payout", PayoutEvent): {
        "paid": (ONCE, "Payout paid", "Money arrived at the merchant's bank."),
        "failed": (ONCE, "Payout failed", "Money could not be sent to the bank, or came back."),
    },
    ("review", "review", ReviewEvent): {
        "received": (ONCE, "Review received", "A customer reviewed a product or the shop.")
    },
    ("message", "message", MessageEvent): {"received": (ONCE, "Message received", "A customer wrote.")},
    ("privacy", "request", PrivacyEvent): {
        "data_requested": (ONCE, "Data requested", "A customer wants to see the stored data."),
        "customer_redacted": (REPEATS, "Customer to be erased", "A customer's data must be erased."),
        "shop_redacted": (REPEATS, "Shop to be erased", "A shop's data must be erased."),
    },
    ("app", "shop", AppEvent): {
        "uninstalled": (REPEATS, "App uninstalled", "The shop ended the connection; its token is dead.")
    },
    ("hub", "trouble", HubEvent): {
        "run_failed": (REPEATS, "Run failed", "A run ended with an error."),
        "effect_uncertain": (REPEATS, "Effect uncertain", "Nobody can know whether a call acted; somebody must say."),
        "lane_parked": (REPEATS, "Lane parked", "A destination is down or refuses; calls wait."),
        "connection_failing": (REPEATS, "Connection failing", "A connection's credentials or settings do not work."),
        "connection_expiring": (
            REPEATS,
            "Connection expiring",
            "A connection must be authorised again soon.",
        ),
        "source_silent": (REPEATS, "Source silent", "A source that usually speaks has said nothing."),
    },
    ("schedule", "slot", ScheduleEvent): {"due": (ONCE, "Schedule due", "A slot of a recipe's schedule has come.")},
}


def _types() -> Iterator[EventType]:
    for (family, noun, model), members in _FAMILIES.items():
        for name, (milestone, title, description) in members.items():
            yield EventType(f"{family}.{name}", noun, model, milestone, title, description)


EVENT_TYPES: dict[str, EventType] = {each.name: each for each in _types()}
"""Every type that Tradewind itself knows, by name, in the order in which they are documented."""

FAMILIES = frozenset(family for family, _, _ in _FAMILIES)
"""First words that `emit` may not use."""

_EMITTED = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def event_type(name: str) -> EventType:
    """The type of that name: one of EVENT_TYPES, or a repeating CustomEvent for a name that recipes may emit.

    ValueError for a name that is neither: not of the form `noun.happened`, or an unknown one of our own families.
    """
    known = EVENT_TYPES.get(name)
    if known is not None:
        return known
    if not _EMITTED.fullmatch(name) or name.split(".", 1)[0] in FAMILIES:
        raise ValueError(f"there is no event type {name!r}")
    return EventType(name, "data", CustomEvent, REPEATS, name, "Emitted by a recipe.")
