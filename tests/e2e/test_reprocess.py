"""What a sender sends is known, ignored, unknown or malformed, counted and told; reading it again doubles nothing."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.registry import Registry
from app.store import lists
from app.store import webhooks as store
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

KEY = {"authorization": "Bearer test-admin-key-of-good-length"}
SHIP = """
title: Ship
on: order.paid
steps:
  - use: testbench.put_upsert
    with: {id: "{{ order.id }}", note: said}
"""
ERROR = {"code": "woocommerce_rest_cannot_view", "message": "Sorry, you cannot view this.", "data": {"status": 401}}


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path, testconnector.connector) as hub:
        hub.hub.bells.lane = lambda connection_id: None  # calls are made, and wait
        registry = Registry()
        shop = {"shop": "demo.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", registry["shopify"], shop, role="shop")
        await hub.connect("woo", registry["woocommerce"], {"site": "https://w.example", "webhook_secrets": ["hush"]})
        await hub.connect("sink", testconnector.connector, {}, base_url="http://127.0.0.1:9")
        await hub.recipe("ship", SHIP)
        yield hub


async def drain(hub: Harness) -> None:
    while await hub.normaliser.drain():
        pass
    while await hub.runner.drain():
        pass


async def again(hub: Harness, state: str) -> int:
    async with hub.hub.database.acquire() as db:
        count = await store.reprocess(db, "main", [state], None)
    await drain(hub)
    return count


def knowing(hub: Harness, topic: str, like: str) -> None:
    """Mend the connector: from now on it knows a topic, as it knows another."""
    known = hub.hub.connections
    found = known.find("main", "store")
    assert found is not None
    source = replace(found.source, topics={**found.source.topics, topic: found.source.topics[like]})
    known._by_id[found.id] = replace(found, connector=replace(found.connector, source=source))


async def stated(hub: Harness) -> list[tuple[str, str]]:
    return [(row["type"], row["object_id"]) for row in await hub.rows("select type, object_id from event order by id")]


async def test_unknown_topics_become_events_after_a_fix_and_only_once(hub: Harness) -> None:
    money = {"id": 4, "kind": "refund", "status": "success", "amount": "10.00", "currency": "EUR"}
    body = {
        "id": 7,
        "order_id": 1,
        "created_at": "2026-11-20T10:00:00Z",
        "refund_line_items": [],
        "transactions": [money],
    }
    await hub.send("store", "refunds/made", body)
    await drain(hub)
    assert await hub.one("select state from webhook") == "unknown"
    assert await again(hub, "unknown") == 1
    assert await stated(hub) == []
    knowing(hub, "refunds/made", "refunds/create")
    assert await again(hub, "unknown") == 1
    assert await stated(hub) == [("refund.created", "7")]
    assert await again(hub, "unknown") == 0


async def test_reading_malformed_webhooks_again_makes_what_was_missed_and_doubles_nothing(hub: Harness) -> None:
    for number in (1, 2):
        await hub.send("store", "orders/paid", shopify_order(number))
    await hub.send("store", "orders/paid", b'{"id": 12, "line')
    await drain(hub)
    assert await hub.one("select count(*) from call") == 2
    await hub.rows("update webhook set state = 'malformed', reason = 'a bug of ours' where state = 'normalised'")
    for _ in range(2):
        assert await again(hub, "malformed") in (3, 1)
    assert sorted(await stated(hub)) == [("order.paid", "5000000000001"), ("order.paid", "5000000000002")]
    assert await hub.one("select count(*) from call") == 2
    assert await hub.one("select count(*) from run") == 2
    reasons = await hub.rows("select reason from webhook where state = 'normalised'")
    assert [row["reason"] for row in reasons] == ["nothing new: its events exist already"] * 2


async def test_the_four_states_are_counted_for_each_connection(hub: Harness) -> None:
    for topic in ("orders/paid", "themes/publish", "nobody/knows"):
        await hub.send("store", topic, shopify_order(1))
    await hub.send("store", "orders/paid", b"{")
    await drain(hub)
    health = (await hub.client.get("/v1/connections/store/health", headers=KEY)).json()
    assert health["webhooks"] == {"normalised": 1, "ignored": 1, "unknown": 1, "malformed": 1, "due": 0, "reading": 0}
    async with hub.hub.database.acquire() as db:
        counts = await lists.webhook_counts(db, "main")
        found = await lists.webhooks(db, "main", lists.Page(), lists.WebhookFilter("unknown", "store"))
    assert [(row["connection"], row["count"]) for row in counts] == [("store", 1)] * 4
    assert [(row["topic"], row["reason"]) for row in found] == [
        ("nobody/knows", "no rule for the topic 'nobody/knows'")
    ]


async def problem(hub: Harness) -> Any:
    return (await hub.client.get("/v1/connections/woo", headers=KEY)).json()["problem"]


async def test_a_sender_s_own_error_is_the_connection_s_problem_until_it_speaks_well_again(hub: Harness) -> None:
    await hub.send("woo", "order.created", ERROR)
    await drain(hub)
    assert "lost rights" in await problem(hub)
    assert await hub.one("select state from webhook") == "malformed"
    assert await stated(hub) == []
    await hub.hub.connections.refresh()
    await hub.send(
        "woo", "customer.updated", {"id": 7, "email": "a@example.com", "date_modified_gmt": "2026-11-20T10:00:00"}
    )
    await drain(hub)
    assert await problem(hub) is None
