"""One sale, one order: a shop and the processor of its payments tell of one sale, in every order of arrival."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from app.registry import Registry
from app.store.packing import unpack_json
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

INVOICE = """
title: Invoice every paid order
on: order.paid
where: order.total.amount > 0
steps:
  - use: testbench.put_upsert
    with: {id: "{{ order.id }}", note: "Order {{ order.number }}", amount: "{{ order.total }}"}
"""


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path, testconnector.connector) as hub:
        registry = Registry()
        await connect_shop(hub, "store")
        stripe = {"account": "acct_shop", "webhook_secrets": ["whsec_roles"]}
        await hub.connect("stripe", registry["stripe"], stripe, role="payments")
        await hub.connect("books", testconnector.connector, {}, base_url="http://127.0.0.1:9")
        await hub.recipe("invoice-orders", INVOICE)
        yield hub


async def connect_shop(hub: Harness, slug: str) -> None:
    settings = {"shop": f"{slug}.myshopify.com", "webhook_secrets": ["hush-hush"]}
    await hub.connect(slug, Registry()["shopify"], settings, role="shop")


def order_id(sale: int) -> str:
    return str(5_000_000_000_000 + sale)


def transaction(sale: int) -> dict[str, Any]:
    """The shop's own word for the payment: it names the processor's intent."""
    at = datetime.now(UTC).isoformat()
    return {"id": 800 + sale, "order_id": int(order_id(sale)), "kind": "sale", "status": "success", "created_at": at,
            "processed_at": at, "amount": "34.51", "currency": "EUR", "gateway": "shopify_payments",
            "authorization": f"pi_{sale}", "test": False}  # fmt: skip


def stripe_event(sale: int, topic: str, metadata: dict[str, str]) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    common = {"amount": 3451, "currency": "eur", "created": now, "livemode": True, "metadata": metadata}
    intent = {"id": f"pi_{sale}", "object": "payment_intent", "status": "succeeded", "amount_received": 3451,
              "capture_method": "automatic", "latest_charge": f"ch_{sale}", **common}  # fmt: skip
    charge = {"id": f"ch_{sale}", "object": "charge", "payment_intent": f"pi_{sale}", "captured": True, "paid": True,
              "status": "succeeded", "amount_captured": 3451, "amount_refunded": 0, **common}  # fmt: skip
    said = intent if topic.startswith("payment_intent") else charge
    return {"id": f"evt_{sale}_{topic}", "object": "event", "type": topic, "created": now, "livemode": True,
            "api_version": "2025-09-30.clover", "data": {"object": said}}  # fmt: skip


async def tell(hub: Harness, sale: int, what: str, metadata: dict[str, str]) -> None:
    match what:
        case "order":
            answer = await hub.send("store", "orders/paid", shopify_order(sale))
        case "transaction":
            answer = await hub.send("store", "order_transactions/create", transaction(sale))
        case _:
            answer = await hub.send("stripe", what, stripe_event(sale, what, metadata))
    assert answer.status_code == 200, answer.text
    while await hub.normaliser.drain():
        pass


async def stands_on_one_order(hub: Harness, sale: int, why: object) -> None:
    """One order.paid, one invoice, and everything told of the payment on the timeline of the shop's order."""
    shop, stripe = hub.hub.connections.find("main", "store"), hub.hub.connections.find("main", "stripe")
    assert shop is not None
    assert stripe is not None
    rows = await hub.rows("select * from event where data is not null and subject_id = any($1)",
                          [order_id(sale), f"pi_{sale}", f"ch_{sale}"])  # fmt: skip
    assert [row["type"] for row in rows].count("order.paid") == 1, why
    assert {row["type"] for row in rows if row["connection_id"] == stripe.id} == {"payment.succeeded"}, why
    for row in rows:
        assert (row["subject_connection_id"], row["subject_id"]) == (shop.id, order_id(sale)), (why, row["type"])


async def test_a_sale_that_the_shop_links_is_one_order_in_every_order_of_arrival(hub: Harness) -> None:
    told = ("order", "transaction", "payment_intent.succeeded", "charge.succeeded")
    sales = dict(enumerate(permutations(told), 1))
    for sale, arrival in sales.items():
        for what in arrival:
            await tell(hub, sale, what, {})
        await stands_on_one_order(hub, sale, arrival)
    assert await hub.one("select count(*) from call") == len(sales)
    assert await hub.one("select count(*) from event where type = 'order.paid'") == len(sales)


async def test_a_sale_that_the_payment_s_metadata_links_is_one_order_in_every_order_of_arrival(hub: Harness) -> None:
    told = ("order", "payment_intent.succeeded", "charge.succeeded")
    sales = dict(enumerate(permutations(told), 1))
    for sale, arrival in sales.items():
        for what in arrival:
            await tell(hub, sale, what, {"order_id": order_id(sale)} if what.startswith("charge") else {})
        await stands_on_one_order(hub, sale, arrival)
    assert await hub.one("select count(*) from call") == len(sales)


async def test_a_linked_payment_names_the_shop_s_order(hub: Harness) -> None:
    for what in ("transaction", "charge.succeeded"):
        await tell(hub, 1, what, {})
    data = await hub.one("select data from event where object_id = 'pi_1'")
    assert unpack_json(data)["payment"]["order_id"] == order_id(1)


async def test_what_nobody_links_stays_on_a_timeline_of_its_own(hub: Harness) -> None:
    await tell(hub, 1, "order", {})
    await tell(hub, 2, "charge.succeeded", {})
    (row,) = await hub.rows("select * from event where type = 'payment.succeeded'")
    assert (row["subject_connection_id"], row["subject_id"]) == (row["connection_id"], "pi_2")


async def test_of_two_shops_the_one_that_knows_the_payment_has_it(hub: Harness) -> None:
    await connect_shop(hub, "outlet")
    await tell(hub, 1, "charge.succeeded", {"order_id": order_id(1)})
    (row,) = await hub.rows("select * from event where type = 'payment.succeeded'")
    assert row["subject_connection_id"] == row["connection_id"], "which shop is meant is not known"
    await tell(hub, 1, "transaction", {})
    await tell(hub, 1, "order", {})
    await stands_on_one_order(hub, 1, "told late")


async def test_a_store_without_a_role_does_not_stand_in_the_named_shop_s_way(hub: Harness) -> None:
    await hub.connect("blog", Registry()["woocommerce"], {"site": "https://w.example", "webhook_secrets": ["hush"]})
    await tell(hub, 1, "charge.succeeded", {"order_id": order_id(1)})
    await tell(hub, 1, "order", {})
    await stands_on_one_order(hub, 1, "the metadata names the shop's order")
