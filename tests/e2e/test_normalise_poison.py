"""Nobody pays for another's webhook: neither for its bytes, nor for a bug that it meets, nor for a lost deadlock."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.domain import customers, derived
from app.registry import Registry
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path) as hub:
        settings = {"shop": "demo.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", Registry()["shopify"], settings, role="shop")
        yield hub


async def test_a_webhook_that_meets_a_bug_ends_alone(hub: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = customers._learn

    def stumbles(row: Any, told: Any) -> None:
        if told.email == "bad@example.com":
            raise RuntimeError("a bug")
        learn(row, told)

    monkeypatch.setattr(customers, "_learn", stumbles)
    for number, email in enumerate(("a@example.com", "bad@example.com", "b@example.com"), 1):
        await hub.send("store", "orders/paid", shopify_order(number, email=email))
    await hub.settle()
    assert await hub.one("select count(*) from event") == 2
    (bad,) = await hub.rows("select state, reason from webhook where state <> 'normalised'")
    assert (bad["state"], bad["reason"]) == ("malformed", "its events cannot be stored: RuntimeError: a bug")


async def test_a_batch_that_lost_a_deadlock_is_worked_again(hub: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    recognise, lost = customers.recognise, []

    async def loses_once(*args: Any) -> Any:
        if not lost:
            lost.append(True)
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        return await recognise(*args)

    monkeypatch.setattr(customers, "recognise", loses_once)
    await hub.send("store", "orders/paid", shopify_order(1))
    assert await hub.normaliser.drain(), "there may be more"
    await hub.settle()
    assert lost
    assert await hub.one("select count(*) from event") == 1


async def test_a_timer_that_cannot_become_an_event_is_given_up_alone(
    hub: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "2026-11-20T10:00:00Z"
    for number in (1, 2):
        checkout = {"id": number, "token": f"t{number}", "created_at": at, "updated_at": at, "currency": "EUR",
                    "email": "ada@example.com", "total_price": "10.00", "line_items": []}  # fmt: skip
        await hub.send("store", "checkouts/create", checkout)
    await hub.settle()
    async with hub.hub.database.acquire() as db:
        await db.execute("update timer set due_at = clock_timestamp()")
    fell_due, met = derived.fell_due, []

    def stumbles(kind: str, object_: Any, *more: Any) -> Any:
        met.append(object_.id)
        if object_.id == met[0]:
            raise RuntimeError("a bug")
        return fell_due(kind, object_, *more)

    monkeypatch.setattr(derived, "fell_due", stumbles)
    while await hub.normaliser.drain_timers():
        pass
    while await hub.normaliser.drain_timers():
        pass
    assert await hub.one("select count(*) from event where type = 'checkout.expired'") == 1
    assert await hub.one("select count(*) from timer") == 0
