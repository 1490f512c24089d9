"""The main job: a signed order comes in, an invoice and an alert go out, once."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.registry import Registry
from app.sandbox import make_app as make_sandbox
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order
from tests.support.serving import serving

INVOICE = """
title: Invoice every paid order
on: order.paid
where: order.total.amount > 0 and not order.test
inputs:
  due_days: {type: integer, default: 14, description: Days until the invoice is due}
steps:
  - id: customer
    use: quickbooks.find_or_create_customer
    with: {customer: "{{ order.customer }}"}
  - id: invoice
    use: quickbooks.create_invoice
    with: {order: "{{ order }}", customer_id: "{{ steps.customer.id }}", due_in_days: "{{ inputs.due_days }}"}
  - use: quickbooks.send_invoice
    with: {invoice_id: "{{ steps.invoice.id }}"}
"""
ANNOUNCE = """
title: Announce paid orders
on: order.paid
steps:
  - use: slack.post_message
    with: {channel: "#orders", text: "Order {{ order.number }}: {{ order.total | money }}"}
"""


@pytest.fixture
async def shop(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, httpx.AsyncClient]]:
    """A hub with a Shopify shop, books and a chat, all against sandboxes."""
    registry = Registry()
    async with (
        serving(make_sandbox(registry)) as sandbox,
        running(database_url, redis_url, tmp_path) as hub,
        httpx.AsyncClient(base_url=sandbox) as outside,
    ):
        secrets = {"shop": "demo.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", registry["shopify"], secrets, role="shop")
        for slug in ("quickbooks", "slack"):
            connector = registry[slug]
            assert connector.sandbox is not None
            await hub.connect(slug, connector, connector.sandbox().settings, base_url=f"{sandbox}/{slug}")
        await hub.recipe("invoice-paid-orders", INVOICE)
        await hub.recipe("announce-orders", ANNOUNCE)
        yield hub, outside


async def test_a_signed_order_becomes_one_invoice_and_one_message(shop: tuple[Harness, httpx.AsyncClient]) -> None:
    hub, outside = shop
    order = shopify_order(1001)
    for _ in range(2):
        answer = await hub.send("store", "orders/paid", order, headers={"x-shopify-webhook-id": "w-1"})
        assert answer.status_code == 200, answer.text
    await hub.settle()

    failures = await hub.rows("select recipe, state, reason from run where state <> 'done'")
    assert not failures, failures
    books = (await outside.get("/_state/quickbooks")).json()
    assert len(books["invoices"]) == 1, books
    assert str(books["invoices"][0]["TotalAmt"]) == order["total_price"].rstrip("0").rstrip(".")
    assert books["invoices"][0]["EmailStatus"] == "EmailSent"
    chat = (await outside.get("/_state/slack")).json()
    assert [message["text"] for posts in chat["messages"].values() for message in posts] == ["Order #1001: 34.51 EUR"]
    assert await hub.one("select count(*) from webhook") == 1
    assert await hub.one("select count(*) from attempt where state <> 'ok'") == 0
