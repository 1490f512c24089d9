"""Events that no source states: they follow from what is remembered, and from time going by."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.registry import Registry
from app.store.packing import unpack_json
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

START = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path) as hub:
        settings = {"shop": "demo.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", Registry()["shopify"], settings, role="shop")
        yield hub


def stock(available: int, minute: int) -> dict[str, Any]:
    at = (START + timedelta(minutes=minute)).isoformat()
    return {"inventory_item_id": 5, "location_id": 6, "available": available, "updated_at": at}


async def types(hub: Harness, like: str) -> list[str]:
    return [row["type"] for row in await hub.rows("select type from event where type like $1 order by id", like)]


async def test_stock_that_runs_out_and_comes_back_is_told_with_the_quantity_before(hub: Harness) -> None:
    for minute, available in enumerate((3, 0, 0, -1, 2)):
        await hub.send("store", "inventory_levels/update", stock(available, minute))
        await hub.settle()
    assert await types(hub, "inventory.%_stock") == ["inventory.out_of_stock", "inventory.back_in_stock"]
    data = await hub.one("select data from event where type = 'inventory.out_of_stock'")
    assert unpack_json(data)["inventory"]["before"] == 3


async def test_stock_is_compared_within_one_batch_too(hub: Harness) -> None:
    for minute, available in enumerate((3, 0, 5)):
        await hub.send("store", "inventory_levels/update", stock(available, minute))
    await hub.settle()
    assert await types(hub, "inventory.%_stock") == ["inventory.out_of_stock", "inventory.back_in_stock"]


async def test_an_order_paid_in_parts_says_each_part_once(hub: Harness) -> None:
    order = shopify_order(1, financial_status="partially_paid", total_outstanding="20.00")
    for minute in (0, 1):
        order["updated_at"] = (START + timedelta(minutes=minute)).isoformat()
        await hub.send("store", "orders/updated", order)
    order |= {"total_outstanding": "10.00", "updated_at": (START + timedelta(minutes=3)).isoformat()}
    await hub.send("store", "orders/updated", order)
    await hub.settle()
    assert len(await types(hub, "order.partially_paid")) == 2


def parcel(status: str, id_: int, estimate: datetime | None) -> dict[str, Any]:
    return {
        "id": id_,
        "fulfillment_id": 42,
        "order_id": 7,
        "status": status,
        "happened_at": (START + timedelta(seconds=id_)).isoformat(),
        "created_at": (START + timedelta(seconds=id_)).isoformat(),
        "estimated_delivery_at": estimate.isoformat() if estimate else None,
    }


async def fall_due(hub: Harness) -> None:
    async with hub.hub.database.acquire() as db:
        await db.execute("update timer set due_at = clock_timestamp() - interval '1 second'")
    while await hub.normaliser.drain_timers():
        pass


async def test_a_parcel_that_did_not_come_by_its_estimate_is_late_once(hub: Harness) -> None:
    await hub.send("store", "fulfillment_events/create", parcel("in_transit", 1, START + timedelta(days=2)))
    await hub.settle()
    await hub.normaliser.drain_timers()
    assert await types(hub, "fulfillment.delayed") == []
    for _ in range(2):
        await fall_due(hub)
    assert await types(hub, "fulfillment.delayed") == ["fulfillment.delayed"]
    (row,) = await hub.rows("select * from event where type = 'fulfillment.delayed'")
    assert (row["subject_kind"], row["object_id"]) == ("order", "42")
    assert await hub.one("select count(*) from timer") == 0


async def test_a_parcel_that_arrived_is_never_late(hub: Harness) -> None:
    await hub.send("store", "fulfillment_events/create", parcel("in_transit", 1, START + timedelta(days=2)))
    await hub.send("store", "fulfillment_events/create", parcel("delivered", 2, None))
    await hub.settle()
    await fall_due(hub)
    assert await types(hub, "fulfillment.delayed") == []


async def test_news_of_a_parcel_move_its_deadline(hub: Harness) -> None:
    await hub.send("store", "fulfillment_events/create", parcel("in_transit", 1, START + timedelta(days=2)))
    await hub.settle()
    later = START + timedelta(days=5)
    await hub.send("store", "fulfillment_events/create", parcel("out_for_delivery", 2, later))
    await hub.settle()
    assert await hub.one("select due_at from timer") == later


async def test_a_checkout_that_nobody_completed_expires(hub: Harness) -> None:
    at = START.isoformat()
    checkout = {"id": 9, "token": "tok9", "created_at": at, "updated_at": at, "email": "ada@example.com",
                "currency": "EUR", "total_price": "10.00", "line_items": []}  # fmt: skip
    await hub.send("store", "checkouts/create", checkout)
    await hub.settle()
    await fall_due(hub)
    assert await types(hub, "checkout.%") == ["checkout.created", "checkout.expired"]


async def test_a_completed_checkout_does_not_expire(hub: Harness) -> None:
    at = START.isoformat()
    checkout = {"id": 9, "token": "tok9", "created_at": at, "updated_at": at, "email": "ada@example.com",
                "currency": "EUR", "total_price": "10.00", "line_items": []}  # fmt: skip
    await hub.send("store", "checkouts/create", checkout)
    await hub.send("store", "checkouts/update", checkout | {"completed_at": at})
    await hub.settle()
    await fall_due(hub)
    assert "checkout.completed" in await types(hub, "checkout.%")
    assert "checkout.expired" not in await types(hub, "checkout.%")
