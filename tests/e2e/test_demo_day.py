"""The demo's day, as `make dev` shows it: what every order sets off, and what happens once a day."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.connections_file import apply, read_connections
from app.domain.recipes_folder import sync_folder
from app.sandbox import make_app
from demo.shop import FOLDER, ORDERS_A_DAY, SLUG, Shop
from tests.support.harness import Harness, running
from tests.support.serving import serving

ROOT = FOLDER.parent


@dataclass
class Day:
    hub: Harness
    shop: Shop
    outside: httpx.AsyncClient

    async def runs(self, recipe: str) -> list[tuple[str, str | None]]:
        rows = await self.hub.rows("select state, reason from run where recipe = $1 order by id", recipe)
        return [(row["state"], row["reason"]) for row in rows]

    async def state(self, slug: str) -> Any:
        return (await self.outside.get(f"/_state/{slug}")).json()


@pytest.fixture
async def day(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Day]:
    async with running(database_url, redis_url, tmp_path) as hub:
        sandboxes = make_app(hub.hub.registry, ("127.0.0.1", 0))
        transport = hub.client._transport
        assert isinstance(transport, httpx.ASGITransport)
        async with (
            sandboxes.router.lifespan_context(sandboxes),
            serving(sandboxes) as outside,
            serving(transport.app) as inside,
            httpx.AsyncClient(base_url=outside) as client,
        ):
            monkeypatch.setenv("TRADEWIND_SANDBOX", outside)
            monkeypatch.setenv("TRADEWIND_SANDBOX_MAIL", f"smtp://127.0.0.1:{sandboxes.state.smtp_port}")
            declared = read_connections(FOLDER / "connections.yaml", hub.hub.registry)
            await apply(hub.hub.database, hub.hub.ring, declared, "demo")
            await hub.hub.connections.refresh(always=True)
            for folder in (ROOT / "recipes", FOLDER / "recipes"):
                assert [
                    p for p in await sync_folder(hub.hub.database, hub.hub.registry, folder) if p.severity == "error"
                ] == []
            await hub.hub.recipes.refresh(always=True)
            store = next(each for each in declared if each.slug == SLUG)
            yield Day(hub, Shop(inside, store, tmp_path / "number"), client)


async def test_a_day_of_the_demo_shows_what_the_hub_is_for(day: Day) -> None:
    with httpx.Client(timeout=10) as client:
        for _ in range(ORDERS_A_DAY):
            await asyncio.to_thread(day.shop.place_order, client)
            await day.hub.settle()
    async with asyncio.timeout(30):  # a call that was slowed down is due a moment later
        while await day.hub.one("select count(*) from run where state = 'running'"):
            await day.hub.settle()
    for recipe in ("invoice-paid-orders", "announce-orders", "demo-tags", "demo-thanks"):
        assert await day.runs(recipe) == [("done", None)] * ORDERS_A_DAY, recipe
    labels = await day.runs("demo-labels")
    assert len([state for state, _ in labels if state == "done"]) >= 5
    assert [why for state, why in labels if state == "failed"] == ["The address is not valid: The street is not known."]
    assert await day.runs("demo-alerts") == [("done", None)]
    assert await day.runs("demo-credit-memos") == [("done", None)]
    books = await day.state("quickbooks")
    assert (len(books["invoices"]), len(books["creditMemos"])) == (ORDERS_A_DAY, 1)
    mails = (await day.outside.get("/email/")).text
    assert "Thank you for order #1001" in mails
    index = (await day.outside.get("/")).text
    assert "what it holds" in index
