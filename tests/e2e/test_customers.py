"""Customers: one person across ids, addresses and connections; orders and money counted once; nothing invented."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.domain import customers
from app.domain.links import sellers
from app.events import money
from app.registry import Registry
from app.store.packing import unpack_json
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path) as hub:
        await connect(hub, "store")
        yield hub


async def connect(hub: Harness, slug: str) -> None:
    settings = {"shop": f"{slug}.myshopify.com", "webhook_secrets": ["hush-hush"]}
    await hub.connect(slug, Registry()["shopify"], settings, role="shop")


async def know_the_past(hub: Harness) -> None:
    async with hub.hub.database.acquire() as db:
        await db.execute("update connection set history = 'complete', updated_at = clock_timestamp()")
    await hub.hub.connections.refresh(always=True)


async def order(hub: Harness, number: int, topic: str = "orders/create", slug: str = "store", **more: Any) -> None:
    answer = await hub.send(slug, topic, shopify_order(number, **more))
    assert answer.status_code == 200, answer.text


def guest(number: int, email: str) -> dict[str, Any]:
    return {"customer": None, "email": email, "contact_email": email}


def account(id_: int, email: str | None) -> dict[str, Any]:
    return {"customer": {"id": id_, "email": email, "first_name": "Ada", "last_name": "Example"}}


async def people(hub: Harness) -> list[Any]:
    return await hub.rows("select * from customer where merged_into is null order by id")


async def told(hub: Harness, type_: str, number: int) -> dict[str, Any]:
    """What an event says of its customer."""
    data = await hub.one("select data from event where type = $1 and number = $2", type_, f"#{number}")
    found: dict[str, Any] = unpack_json(data)["order"]["customer"]
    return found


async def test_an_order_is_counted_once_whatever_topics_state_it(hub: Harness) -> None:
    await know_the_past(hub)
    for topic in ("orders/paid", "orders/create", "orders/updated", "orders/paid"):
        await order(hub, 1, topic, **account(7, "Ada@Example.com "))
        await hub.settle()
    (ada,) = await people(hub)
    assert (ada["orders"], ada["email"], ada["lifetime"]) == (1, "ada@example.com", {"EUR": "34.51"})
    assert await hub.one("select count(*) from customer_order") == 1


async def test_orders_know_their_number_and_what_was_paid_till_then(hub: Harness) -> None:
    await know_the_past(hub)
    for number in (1, 2, 3):
        await order(hub, number, **account(7, "ada@example.com"), financial_status="pending")
        await hub.settle()
        await order(hub, number, "orders/paid", **account(7, "ada@example.com"))
        await hub.settle()
    second = await told(hub, "order.created", 2)
    assert second["order_number"] == 2
    assert second["lifetime_value"] == [{"amount": "34.51", "currency": "EUR"}]
    assert (await told(hub, "order.paid", 2))["lifetime_value"] == [{"amount": "69.02", "currency": "EUR"}]
    assert (await told(hub, "order.paid", 3))["order_number"] == 3
    first = await told(hub, "order.created", 1)
    assert (first["order_number"], first["lifetime_value"]) == (1, [])


def asking(condition: str) -> str:
    return f"title: Ask\non: order.created\nwhere: {condition}\nsteps:\n  - stop: true\n"


@pytest.mark.parametrize(
    "condition",
    ["order.customer.order_number == 1", "order.customer.order_number != 1", "not customer.lifetime_value"],
)
async def test_until_the_past_is_imported_a_recipe_that_asks_for_it_says_why_it_does_not_run(
    hub: Harness, condition: str
) -> None:
    await hub.recipe("asks", asking(condition))
    await order(hub, 1, **account(7, "ada@example.com"))
    await hub.settle()
    assert not (await told(hub, "order.created", 1)).keys() & {"order_number", "lifetime_value", "first_order_at"}
    decisions = await hub.one("select decisions from event where type = 'order.created'")
    assert "is not known: the past of the workspace's shops was not imported" in decisions["asks"]


async def test_a_shop_that_begins_here_knows_who_orders_first(hub: Harness) -> None:
    await know_the_past(hub)
    await hub.recipe("asks", asking("order.customer.order_number == 1"))
    for number in (1, 2):
        await order(hub, number, **account(7, "ada@example.com"))
        await hub.settle()
    rows = await hub.rows("select decisions from event where type = 'order.created' order by id")
    assert rows[0]["decisions"]["asks"].startswith("run ")
    assert rows[1]["decisions"]["asks"].startswith("where is false")


async def test_one_shop_with_an_unknown_past_leaves_the_workspace_unknown(hub: Harness) -> None:
    await know_the_past(hub)
    assert customers.history_known(hub.hub.connections, "main")
    await connect(hub, "outlet")
    assert not customers.history_known(hub.hub.connections, "main")


async def test_only_what_sells_has_a_past_to_know(hub: Harness) -> None:
    await know_the_past(hub)
    audience = {"list_id": "a1b2c3", "api_key": "key-us21", "url_tokens": ["a-long-enough-token"]}
    await hub.connect("mail", Registry()["mailchimp"], audience)
    assert customers.history_known(hub.hub.connections, "main"), "a mailing list has no orders"
    assert [each.slug for each in sellers(hub.hub.connections, "main").shops] == ["store"]


async def test_a_person_is_one_across_connections_and_guest_orders(hub: Harness) -> None:
    await connect(hub, "outlet")
    await order(hub, 1, **account(7, "ada@example.com"))
    await order(hub, 2, slug="outlet", **account(99, " ADA@example.com"))
    await order(hub, 3, **guest(3, "ada@EXAMPLE.com"))
    await order(hub, 4, **guest(4, "a.da@example.com"))
    await hub.settle()
    assert [(row["email"], row["orders"]) for row in await people(hub)] == [
        ("ada@example.com", 3),
        ("a.da@example.com", 1),
    ]


async def test_merging_loses_neither_orders_nor_money_nor_ids(hub: Harness) -> None:
    await know_the_past(hub)
    await order(hub, 1, "orders/paid", **account(7, None), email=None, contact_email=None)
    await hub.settle()
    await order(hub, 2, "orders/paid", **guest(2, "ada@example.com"))
    await hub.settle()
    older, younger = [row["id"] for row in await people(hub)]
    await order(hub, 3, "orders/paid", **account(7, "ada@example.com"))
    await hub.settle()
    (ada,) = await people(hub)
    assert (ada["id"], ada["orders"], ada["lifetime"]) == (older, 3, {"EUR": "103.53"})
    async with hub.hub.database.acquire() as db:
        profile = await customers.profile(db, "main", younger)
    assert profile is not None
    assert (profile.id, profile.merged, profile.email) == (older, [younger], "ada@example.com")
    assert sorted(each.order_id[-1] for each in profile.orders) == ["1", "2", "3"]
    assert profile.lifetime_value == [money("103.53", "EUR")]
    kept = await hub.rows("select type from event where customer_id = $1 order by type", younger)
    assert [row["type"] for row in kept] == ["customer.created", "order.paid"]


async def test_a_refund_lessens_the_lifetime_value_once(hub: Harness) -> None:
    await know_the_past(hub)
    await order(hub, 1, "orders/paid", **account(7, "ada@example.com"))
    refund = {
        "id": 44,
        "order_id": 5_000_000_000_001,
        "created_at": "2026-01-02T10:00:00Z",
        "transactions": [{"id": 4, "kind": "refund", "status": "success", "amount": "10.00", "currency": "EUR"}],
        "refund_line_items": [],
        "order_adjustments": [],
    }
    for _ in range(2):
        await hub.send("store", "refunds/create", refund)
        await hub.settle()
    (ada,) = await people(hub)
    assert ada["lifetime"] == {"EUR": "24.51"}
    assert await hub.one("select refunded from customer_order") == Decimal("10.00")
    assert await hub.one("select customer_id from event where type = 'refund.created'") == ada["id"]


async def test_a_test_order_counts_for_nothing(hub: Harness) -> None:
    await order(hub, 1, "orders/paid", **account(7, "ada@example.com"), test=True)
    await hub.settle()
    (ada,) = await people(hub)
    assert (ada["orders"], ada["lifetime"]) == (0, {})


async def test_a_guest_becomes_a_customer_with_the_first_order_only(hub: Harness) -> None:
    for number in (1, 2):
        await order(hub, number, **guest(number, "guest@example.com"))
        await hub.settle()
    rows = await hub.rows("select data, customer_id, note from event where type = 'customer.created'")
    assert len(rows) == 1
    assert unpack_json(rows[0]["data"])["customer"]["email"] == "guest@example.com"
    assert "may have ordered before" in rows[0]["note"]


async def vip_from(hub: Harness, amount: str) -> None:
    key = {"authorization": "Bearer test-admin-key-of-good-length"}
    answer = await hub.client.patch("/v1/workspaces/main", headers=key, json={"vip_at": {"EUR": amount}})
    assert answer.json()["vip_at"] == {"EUR": amount}, answer.text


async def test_a_customer_is_a_vip_once_with_the_order_that_reaches_the_threshold(hub: Harness) -> None:
    await vip_from(hub, "69.02")
    for number in (1, 2, 3):
        await order(hub, number, **account(7, "ada@example.com"), financial_status="pending")
        for _ in range(2):
            await order(hub, number, "orders/paid", **account(7, "ada@example.com"))
        await order(hub, number + 50, "orders/paid", **account(8, "bob@example.com"), currency="USD",
                    total_price_set=None)  # fmt: skip
        await hub.settle()
    (told_,) = await hub.rows("select * from event where type = 'customer.vip_reached'")
    assert unpack_json(told_["data"])["customer"]["email"] == "ada@example.com"
    assert told_["webhook_id"] == await hub.one(
        "select webhook_id from event where type = 'order.paid' and number = '#2'"
    )
    assert "may have reached it before" in told_["note"]


async def test_two_who_turn_out_to_be_one_vip_are_told_of_once(hub: Harness) -> None:
    await know_the_past(hub)
    await vip_from(hub, "60.00")
    await order(hub, 1, "orders/paid", **account(7, None), email=None, contact_email=None)
    await order(hub, 2, "orders/paid", **guest(2, "ada@example.com"))
    await order(hub, 3, "orders/paid", **guest(3, "ada@example.com"))
    await hub.settle()
    assert await hub.one("select count(*) from event where type = 'customer.vip_reached'") == 1
    await order(hub, 4, "orders/paid", **account(7, "ada@example.com"))
    await hub.settle()
    assert len(await people(hub)) == 1
    assert await hub.one("select count(*) from event where type = 'customer.vip_reached'") == 1
    assert await hub.one("select note from event where type = 'customer.vip_reached'") is None


async def test_keys_are_kept_as_hashes(hub: Harness) -> None:
    await order(hub, 1, **account(7, "ada@example.com"))
    await hub.settle()
    keys = await hub.rows("select key, kind from customer_key")
    assert sorted(row["kind"] for row in keys) == ["email", "id"]
    assert all(len(row["key"]) == 16 for row in keys)


async def test_workers_at_once_never_make_two_first_orders(hub: Harness) -> None:
    """Three workers with batches of two, orders of three people whose ids and addresses overlap in odd ways."""
    await know_the_past(hub)
    for number in range(1, 61):
        who = number % 3
        more = account(who + 1, f"p{who}@example.com") if number % 2 else guest(number, f"P{who}@example.com")
        await order(hub, number, "orders/create" if number % 4 else "orders/paid", **more)
    workers = [replace(hub.normaliser, batch=size) for size in (2, 3, 5)]

    async def work(worker: Any) -> None:
        while await worker.drain():
            pass

    async with asyncio.timeout(30):
        await asyncio.gather(*map(work, workers))
    await hub.settle()
    assert await hub.one("select count(*) from webhook where state <> 'normalised'") == 0
    rows = await people(hub)
    assert [row["orders"] for row in rows] == [20, 20, 20]
    numbers = await hub.rows("select array_agg(number order by number) as n from customer_order group by customer_id")
    assert [row["n"] for row in numbers] == [list(range(1, 21))] * 3
    assert await hub.one("select count(*) from customer_order where number = 1") == 3


def test_addresses_are_never_rewritten_by_a_mail_provider_s_rules() -> None:
    assert customers.normal_email("  A.da+shop@GMail.com ") == "a.da+shop@gmail.com"
    assert customers.normal_email("   ") is None


@pytest.mark.parametrize(
    ("said", "country", "number"),
    [
        ("+49 151 123-45678", None, "+4915112345678"),
        ("0151 12345678", "DE", "+4915112345678"),
        ("0151 12345678", None, None),
        ("call me", "DE", None),
    ],
)
def test_phone_numbers_are_read_as_e164(said: str, country: str | None, number: str | None) -> None:
    assert customers.e164(said, country) == number
