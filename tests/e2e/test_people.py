"""Customers by hand: found, shown, exported and erased, by API and in every table; never across workspaces."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.domain.suppressions import Suppressions
from app.ids import new_id
from app.pipeline.normalise import erasing
from app.registry import Registry
from app.store import backtests
from app.store.database import to_json
from app.store.packing import unpack_json
from tests.e2e.test_erasure import SHIP, WAIT, kept, sink
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order
from tests.support.serving import serving

KEY = {"authorization": "Bearer test-admin-key-of-good-length"}
ELSEWHERE = {**KEY, "tradewind-workspace": "another"}
PHONE = "+4915112345678"
REMEMBER = """
title: Remember
on: order.paid
once_per: customer.email
steps:
  - set: {customer: {attributes: {wrote: "{{ customer.first_name }} at {{ customer.email }}"}, add_tags: [buyer]}}
"""
FAIL = """
title: Fail
on: order.created
steps:
  - use: testbench.say_repeat
    with: {id: "{{ order.id }}", note: "{{ customer.first_name }}", amount: "{{ customer.email }}"}
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
        for name, source in (("ship", SHIP), ("ask-for-a-review", WAIT), ("remember", REMEMBER)):
            await hub.recipe(name, source)
        yield hub


async def order(hub: Harness, number: int, topic: str = "orders/paid", **who: Any) -> None:
    first, email = who.get("first_name", "Zelda"), who.get("email", "zelda@example.com")
    phone = PHONE if first == "Zelda" else None
    id_ = 7_049_234_112 if first == "Zelda" else 8_000_000_000 + number
    customer = {"id": id_, "email": email, "first_name": first, "last_name": f"{first}sdottir", "phone": phone}
    address = {"first_name": first, "last_name": f"{first}sdottir", "address1": f"{first} Lane 1", "phone": phone}
    body = shopify_order(number, email=email, customer=customer, billing_address=address, shipping_address=address)
    answer = await hub.send("store", topic, body)
    assert answer.status_code == 200, answer.text


async def ask(
    hub: Harness, path: str, status: int = 200, method: str = "GET", headers: Any = KEY, **params: Any
) -> Any:
    answer = await hub.client.request(method, f"/v1/{path}", headers=headers, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def zelda(hub: Harness) -> dict[str, Any]:
    (found,) = (await ask(hub, "customers", q="zelda@example.com"))["items"]
    return dict(found)


@pytest.mark.parametrize("text", ["ZELDA@example.com ", PHONE, "+49 1511 2345678", "7049234112", "zelda zel", "zelda@"])
async def test_a_customer_is_found_by_address_phone_name_and_the_sender_s_id(hub: Harness, text: str) -> None:
    await order(hub, 1)
    await order(hub, 2, first_name="Bob", email="bob@example.com")
    await hub.settle()
    found = await ask(hub, "customers", q=text)
    assert [each["email"] for each in found["items"]] == ["zelda@example.com"]
    assert (await ask(hub, "customers", q="nobody@example.com"))["items"] == []


async def test_customers_are_paged_newest_first(hub: Harness) -> None:
    for number in (1, 2, 3):
        await order(hub, number, first_name=f"P{number}", email=f"p{number}@example.com")
        await hub.settle()
    seen, cursor = [], None
    while True:
        page = await ask(hub, "customers", limit=1, **({"cursor": cursor} if cursor else {}))
        seen += [each["email"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ["p3@example.com", "p2@example.com", "p1@example.com"]


async def test_a_profile_shows_orders_money_identities_and_what_recipes_remembered(hub: Harness) -> None:
    await order(hub, 1)
    await order(hub, 2)
    await hub.settle()
    found = await ask(hub, f"customers/{(await zelda(hub))['id']}")
    assert (found["email"], found["phone"], found["orders_count"]) == ("zelda@example.com", PHONE, 2)
    assert found["lifetime_value"] == [{"amount": "69.02", "currency": "EUR"}]
    assert found["identities"] == [{"connection": "store", "id": "7049234112"}]
    assert found["attributes"] == {"wrote": "Zelda at zelda@example.com"}
    assert found["tags"] == ["buyer"]
    assert sorted((each["number"], each["nth"]) for each in found["orders"]) == [("#1", 1), ("#2", 2)]
    assert found["past_known"] is False


async def test_an_order_s_timeline_is_in_the_sender_s_order(hub: Harness) -> None:
    for topic in ("orders/paid", "orders/create"):
        await order(hub, 1, topic)
        await hub.settle()
    path = "subjects/order/5000000000001/timeline"
    whole = (await ask(hub, path, connection="store"))["items"]
    assert {each["type"] for each in whole} == {"order.created", "order.paid"}
    assert [each["occurred_at"] for each in whole] == sorted(each["occurred_at"] for each in whole)
    first = await ask(hub, path, limit=1)
    second = await ask(hub, path, limit=1, cursor=first["next"])
    assert [first["items"][0]["id"], second["items"][0]["id"]] == [each["id"] for each in whole]
    assert second["next"] is None
    assert (await ask(hub, path, connection="elsewhere"))["items"] == []
    await ask(hub, path, 404, headers=ELSEWHERE)


async def test_an_export_holds_all_that_names_the_person(hub: Harness) -> None:
    await order(hub, 1)
    await order(hub, 2, first_name="Bob", email="bob@example.com")
    await hub.send("store", "themes/publish", {"id": 1, "by": "zelda@example.com"})
    await hub.settle()
    said = await ask(hub, f"customers/{(await zelda(hub))['id']}/export")
    assert [each["type"] for each in said["events"]] == ["order.paid"]
    assert sorted(each["topic"] for each in said["webhooks"]) == ["orders/paid", "themes/publish"]
    assert {each["recipe"] for each in said["runs"]} == {"ship", "ask-for-a-review", "remember"}
    assert "bob" not in str(said).lower()
    assert "hush-hush" not in str(said)
    assert await hub.one("select count(*) from audit where verb = 'customer.exported'") == 1


async def test_who_is_erased_stands_in_no_table_any_more(hub: Harness) -> None:
    """Also not where no event is: repeats, unknown topics, reasons of failed runs, what people searched for."""
    await hub.recipe("fail", FAIL)
    for number, topic in ((1, "orders/create"), (1, "orders/paid"), (1, "orders/updated"), (2, "orders/paid")):
        await order(hub, number, topic)
        await hub.settle()
    await hub.send("store", "orders/create", shopify_order(1, email="zelda@example.com", note="a repeat"))
    await hub.send("store", "nobody/knows", {"email": "zelda@example.com"}, headers={"x-buyer": "zelda@example.com"})
    await hub.send("store", "orders/paid", b'{"id": 12, "email": "zelda@example.com", "total_price": {}, "lines')
    await order(hub, 3, first_name="Bob", email="bob@example.com")
    await hub.settle()
    wanted = {"filter": {"text": "zelda@example.com"}}
    await hub.client.post("/v1/replays", headers=KEY, json=wanted)
    suppressions = Suppressions(hub.hub.database, hub.hub.hasher)
    await suppressions.add("main", "zelda@example.com", "unsubscribed", "Zelda asked for it")
    once = {**KEY, "idempotency-key": "once"}
    await hub.client.post("/v1/suppressions", headers=once, json={"address": "zelda@example.com"})
    await told_by_a_backtest(hub)
    before = await kept(hub, "zelda")
    everywhere = "webhook event customer call attempt replay remembered run suppression backtest idempotency"
    assert set(everywhere.split()) <= set(before), before
    id_ = (await zelda(hub))["id"]
    erased = await ask(hub, f"customers/{id_}/erase", method="POST")
    assert (erased["done"], erased["open_calls"]) == (True, 0)
    for word in ("zelda", PHONE, PHONE[1:], "7049234112"):
        assert await kept(hub, word) == [], word
    assert await suppressions.find("main", ["zelda@example.com"]), "who is erased is still left in peace"
    assert await hub.one("select count(*) from run where state in ('running', 'waiting', 'held')") == 1, "Bob's waits"
    assert {"event", "backtest"} <= set(await kept(hub, "bob@example.com"))
    (proof,) = await hub.rows("select actor, detail from audit where verb = 'customer.erased'")
    assert proof["detail"]["customers"] == [id_]
    assert (proof["detail"]["events"], proof["detail"]["webhooks"]) == (erased["events"], erased["webhooks"])
    assert (await ask(hub, "customers", q="zelda"))["items"] == []
    gone = await ask(hub, f"customers/{id_}")
    assert (gone["erased"], gone["email"], gone["orders_count"]) == (True, None, 2)
    assert gone["lifetime_value"] == [{"amount": "69.02", "currency": "EUR"}]
    again = await hub.client.post("/v1/suppressions", headers=once, json={"address": "zelda@example.com"})
    assert again.status_code == 409, "its answer is gone, and that it was done is known"


async def told_by_a_backtest(hub: Harness) -> None:
    """A report that tells of Zelda's events and of Bob's, and quotes Zelda in an error."""
    ids = {
        row["email"]: str(row["id"]) for row in await hub.rows("select id, email from event where type = 'order.paid'")
    }
    differences = [{"event_id": id_, "after": {"calls": [{"input": {"to": email}}]}} for email, id_ in ids.items()]
    report = {"new": {"errors": {"cannot write to zelda@example.com": 1}}, "differences": differences}
    async with hub.hub.database.acquire() as db:
        await db.execute(
            "insert into backtest (id, workspace, recipe, wanted, state, report, ended_at) "
            "values ($1, 'main', 'ship', '{}', 'done', $2::jsonb, now())",
            new_id(),
            to_json(report),
        )


async def test_what_other_systems_pushed_about_a_person_is_erased_too(hub: Harness) -> None:
    await order(hub, 1)
    await hub.settle()
    name = "Zelda Zeldasdottir"
    review = {
        "id": "R-1",
        "author": name,
        "email": "Zelda@example.com",
        "title": f"By {name}",
    }
    visit = {"who": "ZELDA@example.com", "seen": [{name: "came by"}], "till": 7}
    for type_, kind, data in (
        ("review.received", "review", {"review": review}),
        ("till.visited", "visit", {"data": visit}),
    ):
        pushed = {
            "type": type_,
            "object": {"kind": kind, "id": "1"},
            "occurred_at": "2026-11-22T18:00:00Z",
            "data": data,
        }
        assert (await hub.client.post("/v1/events", headers=KEY, json=pushed)).status_code == 202
    await hub.settle()
    assert len((await ask(hub, "events", type="review.received", q="zelda@example.com"))["items"]) == 1
    erased = await ask(hub, f"customers/{(await zelda(hub))['id']}/erase", method="POST")
    assert erased["done"]
    assert await kept(hub, "zelda") == []
    (left,) = await hub.rows("select data from event where type = 'till.visited'")
    assert unpack_json(left["data"]) == {"data": {"who": "erased", "seen": [{"erased": "came by"}], "till": 7}}


async def test_a_backtest_that_runs_while_somebody_is_erased_begins_anew(hub: Harness) -> None:
    """What it has read by then tells of them: its process writes no report of that."""
    await order(hub, 1)
    await hub.settle()
    async with hub.hub.database.acquire() as db:
        id_ = new_id()
        await backtests.create(db, id_, "main", "ship", {}, "ada")
        assert await backtests.claim(db, "reader", 60, 3)
        erased = await ask(hub, f"customers/{(await zelda(hub))['id']}/erase", method="POST")
        assert erased["done"] is True
        assert not await backtests.heard(db, id_, "reader", 1, 0.5)
        await backtests.end(db, id_, "reader", {"differences": ["zelda@example.com"]}, None)
        (row,) = await db.fetch("select state, owner, begun, report from backtest")
    assert tuple(row) == ("queued", None, 0, None)
    assert await kept(hub, "zelda") == []


async def test_an_erasure_that_a_worker_carries_out_is_answered_with_its_counts(
    hub: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await order(hub, 1)
    await order(hub, 2)
    await hub.settle()
    by_hand = erasing.carry_out

    async def by_the_worker(db: Any, hasher: Any, now: Any, only: Any = None) -> Any:
        if only is None:
            return await by_hand(db, hasher, now)
        while await hub.normaliser.drain_timers():
            pass
        return None

    monkeypatch.setattr(erasing, "carry_out", by_the_worker)
    erased = await ask(hub, f"customers/{(await zelda(hub))['id']}/erase", method="POST")
    assert (erased["done"], erased["events"]) == (True, 2)
    assert await kept(hub, "zelda") == []


async def test_erasing_is_for_administrators_of_the_person_s_workspace(hub: Harness) -> None:
    await order(hub, 1)
    await hub.settle()
    id_ = (await zelda(hub))["id"]
    made = await hub.client.post("/v1/keys", headers=KEY, json={"name": "look", "scopes": ["read", "replay"]})
    look = {"authorization": f"Bearer {made.json()['key']}"}
    await ask(hub, f"customers/{id_}/erase", 403, "POST", look)
    made = await hub.client.post("/v1/workspaces", headers=KEY, json={"name": "another"})
    assert made.status_code == 201, made.text
    for path, method in (("", "GET"), ("/export", "GET"), ("/erase", "POST")):
        await ask(hub, f"customers/{id_}{path}", 404, method, ELSEWHERE)
    assert (await ask(hub, "customers", headers=ELSEWHERE, q="zelda@example.com"))["items"] == []
    assert "event" in await kept(hub, "zelda")


async def test_the_command_line_shows_exports_and_erases_a_customer(
    hub: Harness, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await order(hub, 1)
    await hub.settle()
    settings = hub.hub.settings
    for name, value in (("DATABASE_URL", database_url), ("REDIS_URL", redis_url), ("SECRET_KEYS", settings.secret_keys),
                        ("HOME", str(tmp_path))):  # fmt: skip
        monkeypatch.setenv(f"TRADEWIND_{name}", value)
    said = await command("show", "zelda@example.com")
    assert "69.02" not in said
    assert all(word in said for word in ("34.51 EUR", "7049234112 at", "#1"))
    held = json.loads(await command("export", "7049234112"))
    assert [each["type"] for each in held["events"]] == ["order.paid"]
    said = await command("erase", PHONE, "--yes")
    assert "is removed from 1 events" in said
    assert await kept(hub, "zelda") == []


async def command(*arguments: str) -> str:
    """What `tradewind customers ...` prints, run in a thread of its own as a process would."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["customers", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout
