"""The worker is killed in the middle of 500 orders: every order ends with its one invoice."""

import asyncio
import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from app.embedded import free_port
from connectors.quickbooks.sandbox import sandbox
from tests.chaos.stage import Stage, ask, stage
from tests.support.orders import shopify_order

ORDERS = 500
SECRET = "hush-hush"
INVOICE = """
title: Invoice every paid order
on: order.paid
steps:
  - id: customer
    use: quickbooks.find_or_create_customer
    with: {customer: "{{ order.customer }}", order: "{{ order }}"}
  - id: invoice
    use: quickbooks.create_invoice
    with: {order: "{{ order }}", customer_id: "{{ steps.customer.id }}"}
"""
NOT_ENDED = """
select (select count(*) from webhook where state = 'due')
     + (select count(*) from run where state not in ('done', 'failed', 'cancelled'))
     + $1 - (select count(*) from run)
"""


@pytest.fixture
def hub() -> Iterator[tuple[Stage, str]]:
    """A hub with a shop and books, and the address of the sandboxes."""
    port = free_port()
    outside = f"http://127.0.0.1:{port}"
    connections = {
        "store": {
            "connector": "shopify",
            "role": "shop",
            "settings": {"shop": "demo.myshopify.com", "webhook_secrets": [SECRET]},
        },
        "books": {
            "connector": "quickbooks",
            "settings": {**sandbox().settings, "home_currency": "EUR"},
            "base_url": f"{outside}/quickbooks",
        },
    }
    text = orjson.dumps({"connections": connections}).decode()
    with stage(text, {"invoice": INVOICE}, "tests.chaos.books") as made:
        made.start("sandbox", "tests.chaos.child", "sandbox", str(port))
        made.hub("api", "serve")
        made.wait_ready(port, "/_state")
        made.wait_ready()
        yield made, outside


@pytest.mark.chaos
async def test_a_worker_killed_in_the_middle_leaves_one_invoice_an_order(hub: tuple[Stage, str]) -> None:
    made, outside = hub
    made.hub("worker", "worker")
    sending = asyncio.create_task(_send_all(made.port))
    db = await asyncpg.connect(made.postgres.url)
    try:
        await _until(db, "select $1 - count(*) from call where action like '%invoice' and state = 'done'", ORDERS // 5)
        made.kill("worker")
        made.hub("worker-2", "worker")
        killed_at = await db.fetchval("select clock_timestamp()")
        open_attempts = await db.fetchval("select count(*) from attempt where state = 'sending'")
        assert set(await sending) == {200}
        await _until(db, NOT_ENDED, ORDERS)
        taken_over = await db.fetchval("select min(at) from attempt where at > $1", killed_at)
        assert (taken_over - killed_at).total_seconds() <= 15
        assert await db.fetchval("select count(*) from run where state = 'done'") == ORDERS
        assert await db.fetchval("select count(*) from effect where state <> 'done'") == 0
        assert await db.fetchval("select count(*) from attempt where state = 'sending'") == 0
    finally:
        await db.close()
    assert open_attempts > 0, "the worker was not killed in the middle of anything"
    books = ask(f"{outside}/_state/quickbooks")
    twice = [number for number, count in Counter(i["DocNumber"] for i in books["invoices"]).items() if count > 1]
    assert not twice
    assert len(books["invoices"]) == ORDERS


async def _send_all(port: int) -> list[int]:
    """Every order once, as Shopify signs it, at most 10 at a time."""
    at_once = asyncio.Semaphore(10)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

        async def one(number: int) -> int:
            async with at_once:
                return (await client.post("/webhooks/store", **_signed(number))).status_code

        return await asyncio.gather(*(one(1000 + n) for n in range(ORDERS)))


def _signed(number: int) -> dict[str, Any]:
    body = orjson.dumps(shopify_order(number, email=f"buyer-{number}@example.com"))
    headers = {
        "x-shopify-topic": "orders/paid",
        "x-shopify-hmac-sha256": base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256)).decode(),
        "x-shopify-shop-domain": "demo.myshopify.com",
        "x-shopify-webhook-id": f"webhook-{number}",
    }
    return {"content": body, "headers": headers}


async def _until(db: asyncpg.Connection, query: str, count: int, seconds: float = 60) -> None:
    """Wait until the query answers 0 or less."""
    async with asyncio.timeout(seconds):
        while await db.fetchval(query, count) > 0:
            await asyncio.sleep(0.05)
