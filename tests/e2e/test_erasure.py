"""A redact request erases a person from everything that is kept, and the proof is on record."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.registry import Registry
from app.store.packing import unpack
from app.store.tables import metadata
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order
from tests.support.serving import serving

SHIP = """
title: Ship
on: order.paid
steps:
  - use: testbench.put_upsert
    with: {id: "{{ order.id }}", note: "for {{ order.email }}, {{ order.customer.first_name }}"}
"""
WAIT = """
title: Ask for a review
on: order.paid
steps:
  - wait: 30d
  - use: testbench.say_repeat
    with: {id: "{{ order.id }}", note: "Dear {{ order.customer.first_name }}"}
"""


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with (
        serving(sink) as address,
        running(database_url, redis_url, tmp_path, testconnector.connector) as hub,
    ):
        settings = {"shop": "demo.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", Registry()["shopify"], settings, role="shop")
        await hub.connect("sink", testconnector.connector, {}, base_url=address)
        await hub.recipe("ship", SHIP)
        await hub.recipe("ask-for-a-review", WAIT)
        yield hub


async def sink(scope: Any, receive: Any, send: Any) -> None:
    """Says yes to everything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"id": "made-1"}'})


async def order(hub: Harness, number: int, email: str, first_name: str) -> None:
    customer = {"id": 7_000 + number, "email": email, "first_name": first_name, "last_name": f"{first_name}son"}
    address = {"first_name": first_name, "last_name": f"{first_name}son", "address1": f"{first_name} Lane 1"}
    body = shopify_order(number, email=email, customer=customer, billing_address=address, shipping_address=address)
    answer = await hub.send("store", "orders/paid", body)
    assert answer.status_code == 200, answer.text


async def kept(hub: Harness, word: str) -> list[str]:
    """The tables in which a word stands, opened where it is packed or sealed."""
    found = []
    for table in metadata.sorted_tables:
        for row in await hub.rows(f'select * from "{table.name}"'):
            values = dict(row)
            if table.name == "attempt" and row["requests"]:
                values["requests"] = hub.hub.ring.open(row["requests"], row["call_id"].bytes)
            if table.name == "idempotency" and row["answer"]:
                values["answer"] = hub.hub.ring.open(row["answer"], row["key"])
            if any(word.lower() in readable(value).lower() for value in values.values()):
                found.append(table.name)
    return sorted(set(found))


def readable(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return unpack(value).decode("latin-1")
        except Exception:
            return value.decode("latin-1")
    return str(value)


async def redact(hub: Harness, topic: str, body: dict[str, Any]) -> None:
    answer = await hub.send("store", topic, {"shop_id": 1, "shop_domain": "demo.myshopify.com", **body})
    assert answer.status_code == 200, answer.text
    await hub.settle()
    while await hub.normaliser.drain_timers():
        pass


async def test_a_redacted_customer_is_nowhere_any_more(hub: Harness) -> None:
    for number in (1, 2):
        await order(hub, number, "zelda@example.com", "Zelda")
    await order(hub, 3, "bob@example.com", "Bob")
    await hub.settle()
    before = await kept(hub, "zelda")
    assert {"webhook", "event", "customer", "call", "attempt"} <= set(before), before
    person = {"id": 7_001, "email": "zelda@example.com", "phone": None}
    await redact(hub, "customers/redact", {"customer": person, "orders_to_redact": [5_000_000_000_001]})
    assert await kept(hub, "zelda") == []
    assert "event" in await kept(hub, "bob")
    (request,) = await hub.rows("select note, data from event where type = 'privacy.customer_redacted'")
    assert request["note"] == "erased: 2 events, 1 customers"
    (proof,) = await hub.rows("select * from audit where verb = 'customer.erased'")
    assert (proof["actor"], proof["detail"]["events"]) == ("privacy request", 2)


async def test_what_was_sold_stays_and_who_waits_is_cancelled(hub: Harness) -> None:
    await order(hub, 1, "zelda@example.com", "Zelda")
    await hub.settle()
    await redact(hub, "customers/redact", {"customer": {"id": 7_001, "email": "zelda@example.com"}})
    states = {row["recipe"]: row["state"] for row in await hub.rows("select recipe, state from run")}
    assert states == {"ship": "done", "ask-for-a-review": "cancelled"}
    data = readable(await hub.one("select data from event where type = 'order.paid'"))
    assert "34.51" in data
    assert await hub.one("select orders from customer") == 1
    await order(hub, 2, "zelda@example.com", "Zelda")
    await hub.settle()
    assert await hub.one("select count(*) from customer") == 2, "whoever comes back is somebody new"


async def test_a_request_without_a_valid_signature_erases_nothing(hub: Harness) -> None:
    await order(hub, 1, "zelda@example.com", "Zelda")
    await hub.settle()
    answer: httpx.Response = await hub.send(
        "store",
        "customers/redact",
        {"customer": {"email": "zelda@example.com"}},
        headers={"x-shopify-hmac-sha256": "no"},
    )
    assert answer.status_code == 401
    assert "event" in await kept(hub, "zelda")


async def test_a_redacted_shop_leaves_nobody(hub: Harness) -> None:
    await order(hub, 1, "zelda@example.com", "Zelda")
    await order(hub, 2, "bob@example.com", "Bob")
    await hub.settle()
    await redact(hub, "shop/redact", {})
    assert await kept(hub, "zelda") == []
    assert await kept(hub, "bob@") == []
