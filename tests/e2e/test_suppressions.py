"""Mail through a whole hub: a recipe sends it, its reader unsubscribes, and is left in peace even when erased."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.registry import Registry
from app.sandbox import make_app
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

RECIPE = """
title: Confirm
on: order.paid
steps:
  - use: email.send
    with: {to: "{{ order.email }}", subject: "Order {{ order.number }}", text: "Thank you."}
"""


class Mailed:
    """A hub with a shop, a mail connection and the sandbox that takes its mail."""

    def __init__(self, hub: Harness, people: httpx.AsyncClient) -> None:
        self.hub = hub
        self.people = people

    async def order(self, number: int) -> None:
        await self.hub.send("store", "orders/paid", shopify_order(number))
        await self.hub.settle()

    async def messages(self) -> list[dict[str, Any]]:
        return list((await self.people.get("/_state/email")).json()["messages"])


@pytest.fixture
async def mailed(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Mailed]:
    sandboxes, registry = make_app(Registry(), ("127.0.0.1", 0)), Registry()
    people = httpx.AsyncClient(transport=httpx.ASGITransport(sandboxes), base_url="http://sandbox.test")
    running_hub = running(database_url, redis_url, tmp_path, testconnector.connector, public_url="https://hub.example")
    async with people, sandboxes.router.lifespan_context(sandboxes), running_hub as hub:
        hub.client.headers["authorization"] = "Bearer test-admin-key-of-good-length"
        settings = {"shop": "store.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", registry["shopify"], settings, role="shop")
        sandbox = registry["email"].sandbox
        assert sandbox is not None
        url = f"smtp://127.0.0.1:{sandboxes.state.smtp_port}"
        await hub.connect("mail", registry["email"], dict(sandbox().settings), base_url=url)
        await hub.recipe("confirm", RECIPE)
        yield Mailed(hub, people)


async def test_a_reader_who_unsubscribes_gets_no_more_mail_even_after_they_were_erased(mailed: Mailed) -> None:
    await mailed.order(1)
    (first,) = await mailed.messages()
    reader = first["rcpt_to"][0]
    key = await mailed.hub.one("select encode(key, 'hex') from effect where state = 'done'")
    assert first["headers"]["Message-ID"] == f"<{key}@demo-store.example>"
    link = first["headers"]["List-Unsubscribe"].strip("<>").removeprefix("https://hub.example")

    asked = await mailed.hub.client.get(link)
    assert (asked.status_code, reader in asked.text) == (200, True)
    assert await mailed.hub.hub.suppressions.newest("main") == [], "to look at a link changes nothing"
    assert (await mailed.hub.client.post(link + "x")).status_code == 404
    done = await mailed.hub.client.post(link, data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    await mailed.order(2)
    assert len(await mailed.messages()) == 1
    assert "is on the suppression list (unsubscribed since" in await mailed.hub.one(
        "select reason from run where state = 'failed'"
    )

    (customer,) = (await mailed.hub.client.get("/v1/customers")).json()["items"]
    erased = await mailed.hub.client.post(f"/v1/customers/{customer['id']}/erase")
    assert erased.status_code == 200, erased.text
    (kept,) = await mailed.hub.hub.suppressions.newest("main")
    assert (kept.address, kept.reason) == (None, "unsubscribed")
    assert await mailed.hub.hub.suppressions.find("main", [reader.upper()])
    assert not await mailed.hub.hub.suppressions.find("other", [reader])


async def test_each_spelling_of_an_address_is_the_same_mailbox(mailed: Mailed) -> None:
    """`Ada@` in To and `ada@` in Cc are one reader; a domain of another script is one domain."""
    listed = mailed.hub.hub.suppressions
    for address in ("ada@example.com", "eve@bücher.example"):
        await listed.add("main", address, "unsubscribed")
    asked = ["ADA@example.com", "ada@Example.COM", "ada@example.com", "bob@example.com", "Eve@xn--bcher-kva.example"]
    assert set(await listed.find("main", asked)) == {*asked} - {"bob@example.com"}


async def test_the_list_is_kept_by_api(mailed: Mailed) -> None:
    client = mailed.hub.client
    made = await client.post("/v1/suppressions", json={"address": "eve@example.com", "reason": "complained"})
    assert (made.status_code, made.json()["reason"]) == (201, "complained")
    again = await client.post("/v1/suppressions", json={"address": "EVE@example.com"})
    assert (again.status_code, again.json()["reason"]) == (200, "complained")
    (listed,) = (await client.get("/v1/suppressions")).json()["items"]
    assert listed["address"] == "eve@example.com"
    assert (await client.delete("/v1/suppressions/eve@example.com")).status_code == 204
    assert (await client.delete("/v1/suppressions/eve@example.com")).status_code == 404
    assert (await client.post("/v1/suppressions", json={"address": "nobody"})).status_code == 422


async def test_the_list_is_kept_by_command_line(mailed: Mailed, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = mailed.hub.hub.settings
    for name in ("database_url", "redis_url", "secret_keys"):
        monkeypatch.setenv(f"TRADEWIND_{name.upper()}", getattr(settings, name))

    async def command(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["suppressions", *arguments])
        return result.exit_code, result.stdout

    assert (await command("add", "eve@example.com", "--reason", "complained"))[1].startswith("eve@example.com is not")
    assert (await command("add", "Eve@example.com"))[1].endswith("complained.\n"), "the first reason stands"
    assert json.loads((await command("list", "--json"))[1])[0]["reason"] == "complained"
    assert (await command("remove", "EVE@example.com"))[0] == 0
    assert (await command("remove", "eve@example.com"))[0] == 1
