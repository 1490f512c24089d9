"""Shipped recipes in a whole hub, against the sandbox's mail server: what they wait for is pushed by the shop."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.recipes_folder import sync_folder
from app.registry import Registry
from app.sandbox import make_app
from app.settings import shipped_recipes
from tests.support import testconnector
from tests.support.harness import Harness, running


class Shop:
    """A hub that other systems push events to, and the mailbox that its mails reach."""

    def __init__(self, hub: Harness, people: httpx.AsyncClient) -> None:
        self.hub = hub
        self.people = people
        hub.client.headers["authorization"] = "Bearer test-admin-key-of-good-length"

    async def push(self, type_: str, kind: str, id_: str, **noun: Any) -> None:
        body = {"type": type_, "object": {"kind": kind, "id": id_}, "data": {kind: {"id": id_, **noun}}}
        if type_.startswith("inventory."):
            body |= {"part": "1", "data": {kind: noun}}
        answer = await self.hub.client.post("/v1/events", json=body)
        assert answer.status_code == 202, answer.text
        await self.hub.hub.connections.refresh(always=True)
        await self.hub.settle()

    async def subjects(self) -> list[tuple[str, str]]:
        messages = (await self.people.get("/_state/email")).json()["messages"]
        return [(each["rcpt_to"][0], each["subject"]) for each in messages]


@pytest.fixture
async def shop(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    app, registry = make_app(Registry(), ("127.0.0.1", 0)), Registry()
    people = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox.test")
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "templates").symlink_to(shipped_recipes() / "templates")
    text = (shipped_recipes() / "back-in-stock.yaml").read_text().replace("enabled: false", "enabled: true")
    awake = re.sub(r"^quiet_hours: .*\n", "", text, flags=re.MULTILINE)
    assert awake != text
    (folder / "back-in-stock.yaml").write_text(awake)
    async with (
        people,
        app.router.lifespan_context(app),
        running(database_url, redis_url, tmp_path / "home", testconnector.connector) as hub,
    ):
        sandbox = registry["email"].sandbox
        assert sandbox is not None
        url = f"smtp://127.0.0.1:{app.state.smtp_port}"
        await hub.connect("mail", registry["email"], dict(sandbox().settings), base_url=url)
        assert await sync_folder(hub.hub.database, hub.hub.registry, folder) == []
        await hub.hub.recipes.refresh(always=True)
        yield Shop(hub, people)


async def test_who_waits_for_goods_hears_once_they_are_back(shop: Shop) -> None:
    wish = {"channel": "stock_alert", "subject": "MUG-1", "body": "Blue mug", "url": "https://shop.example/mug"}
    await shop.push("message.received", "message", "w1", email="ada@example.com", **wish)
    await shop.push("message.received", "message", "w2", email="grace@example.com", locale="de", **wish)
    await shop.push("message.received", "message", "w3", email="ada@example.com", **wish)
    await shop.push("inventory.back_in_stock", "inventory", "9", sku="CUP-1", available=3)
    assert await shop.subjects() == []
    await shop.push("inventory.back_in_stock", "inventory", "8", sku="MUG-1", available=3)
    assert sorted(await shop.subjects()) == [
        ("ada@example.com", "Blue mug is back"),
        ("grace@example.com", "Blue mug ist wieder da"),
    ]
