"""What follows from one event, without memory but its own: stock, parts of payments, deadlines."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from app.crypto import Hasher
from app.domain import derived
from app.events import (
    Checkout,
    CheckoutEvent,
    Event,
    Fulfillment,
    FulfillmentEvent,
    InventoryEvent,
    InventoryLevel,
    Order,
    OrderEvent,
    Ref,
    Totals,
    money,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HASHER = Hasher(b"k" * 32)


def stock(before: int | None, available: int | None) -> Event:
    ref = Ref("inventory", "1:2")
    data = InventoryEvent(inventory=InventoryLevel(item_id="1", available=available, before=before))
    return Event("inventory.changed", ref, ref, NOW, data, version="v1")


def order(paid: str | None, status: str = "partially_paid", remember: dict[str, Any] | None = None) -> Event:
    ref = Ref("order", "1")
    totals = Totals(total=money("20", "EUR"), paid=money(paid, "EUR"))
    data = OrderEvent(order=Order(id="1", payment_status=status, totals=totals))
    return Event("order.updated", ref, ref, NOW, data, version="v1", remember=remember)


@pytest.mark.parametrize(
    ("before", "available", "follows"),
    [
        (3, 0, ["inventory.out_of_stock"]),
        (3, -2, ["inventory.out_of_stock"]),
        (0, 4, ["inventory.back_in_stock"]),
        (-1, 4, ["inventory.back_in_stock"]),
        (3, 2, []),
        (0, 0, []),
        (-2, -1, []),
        (None, 0, []),
        (3, None, []),
    ],
)
def test_stock_crosses_nothing_by_the_quantity_before(
    before: int | None, available: int | None, follows: list[str]
) -> None:
    made = derived.following([stock(before, available)])
    assert [event.type for event in made] == follows
    for event in made:
        event.check()


def test_what_a_source_says_itself_is_not_derived() -> None:
    said = stock(3, 0)
    own = Event("inventory.out_of_stock", said.object, said.subject, NOW, said.data, part="own")
    assert derived.following([said, own]) == []
    assert derived.following([order("5", remember={"status": "on-hold"})]) == []


def test_a_part_of_an_order_s_amount_is_told_by_the_amount() -> None:
    (first,), (second,) = derived.following([order("5")]), derived.following([order("12")])
    assert (first.type, first.occurrence(), second.occurrence()) == (
        "order.partially_paid",
        "paid 5 EUR",
        "paid 12 EUR",
    )
    assert derived.following([order(None)]) == []
    assert derived.following([order("20", "paid")]) == []


def fact(event: Event) -> Any:
    connection = SimpleNamespace(id=UUID(int=1), workspace="main")
    return SimpleNamespace(id=UUID(int=2), event=event, connection=connection, occurred_at=NOW)


def parcel(type_: str, estimate: datetime | None, historical: bool = False) -> Any:
    ref = Ref("fulfillment", "9")
    data = FulfillmentEvent(fulfillment=Fulfillment(id="9", estimated_delivery_at=estimate))
    return fact(Event(type_, ref, Ref("order", "1"), NOW, data, part="p", historical=historical))


def test_a_parcel_has_a_deadline_until_it_arrives() -> None:
    estimate = NOW + timedelta(days=3)
    set_ = derived.timer(HASHER, parcel("fulfillment.in_transit", estimate))
    assert set_ is not None
    assert (set_.kind, set_.due_at) == ("fulfillment.delayed", estimate)
    for type_ in ("fulfillment.delivered", "fulfillment.cancelled", "fulfillment.delayed"):
        assert derived.timer(HASHER, parcel(type_, estimate)) is None
    assert derived.timer(HASHER, parcel("fulfillment.created", None)) is None
    assert derived.timer(HASHER, parcel("fulfillment.created", estimate, historical=True)) is None


def test_a_checkout_expires_when_its_source_says_or_long_after_the_last_word() -> None:
    def due(**said: Any) -> datetime:
        ref = Ref("checkout", "5")
        event = Event("checkout.updated", ref, ref, NOW, CheckoutEvent(checkout=Checkout(id="5", **said)), version="v")
        set_ = derived.timer(HASHER, fact(event))
        assert set_ is not None
        return set_.due_at

    assert due(expires_at=NOW + timedelta(hours=1)) == NOW + timedelta(hours=1)
    assert due(updated_at=NOW + timedelta(days=1)) == NOW + timedelta(days=1) + derived.CHECKOUT_LIVES
    assert due() == NOW + derived.CHECKOUT_LIVES
