"""Credentials are tried before a call needs them, and somebody is asked for new ones before they end."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.connections import Connection
from app.events import HubEvent, load
from app.probing import EVERY, Probes
from app.sandbox import make_app
from app.store.packing import unpack
from app.worker import troubles_of
from tests.support.harness import Harness, running
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench

INVOICE = """
title: Invoice
on: order.paid
steps:
  - use: quickbooks.find_or_create_customer
    with: {customer: "{{ order.customer }}"}
"""
KEY = {"authorization": "Bearer test-admin-key-of-good-length"}


@dataclass
class Desk:
    """A hub with QuickBooks and a shop, and the daily look at both."""

    hub: Harness
    books: Connection
    probes: Probes

    async def shown(self) -> Any:
        return (await self.hub.client.get("/v1/connections/books", headers=KEY)).json()

    async def troubles(self, later: timedelta) -> list[Any]:
        """All troubles told so far about the books, after a look some time from now."""
        hub = self.hub.hub
        await troubles_of(hub, self.hub.normaliser.matcher).look(hub.clock.now() + later)
        rows = await self.hub.rows("select * from event where type like 'hub.connection_%' order by id")
        said = [load(row["type"], row["schema_version"], unpack(row["data"])) for row in rows]
        return [each.trouble for each in said if isinstance(each, HubEvent)]


@pytest.fixture
async def desk(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with running(database_url, redis_url, tmp_path, testbench) as hub, serving(make_app(hub.hub.registry)) as url:
        quickbooks = hub.hub.registry["quickbooks"]
        assert quickbooks.sandbox is not None
        settings = dict(quickbooks.sandbox().settings)
        books = await hub.connect("books", quickbooks, settings, base_url=f"{url}/quickbooks")
        await hub.recipe("invoice", INVOICE)
        yield Desk(hub, books, Probes(hub.hub))


async def test_a_saved_connection_is_tested_at_once_and_daily_from_then_on(desk: Desk) -> None:
    await desk.probes.look()
    first = await desk.shown()
    assert first["probe_works"], first
    assert first["probe_said"]
    await desk.probes.look()
    assert (await desk.shown())["probed_at"] == first["probed_at"], "not before a day is over"
    await desk.hub.rows("update connection set probed_at = probed_at - $1::interval", EVERY)
    await desk.probes.look()
    assert (await desk.shown())["probed_at"] > first["probed_at"]
    await desk.hub.connect(
        "books", desk.books.connector, desk.books.settings.model_dump(), base_url="http://127.0.0.1:9"
    )
    assert (await desk.shown())["probed_at"] is None, "saved anew, tried anew"


async def test_refused_credentials_are_a_problem_until_they_work(desk: Desk) -> None:
    settings = {**desk.books.settings.model_dump(), "refresh_token": "revoked"}
    await desk.hub.connect("books", desk.books.connector, settings, base_url=desk.books.base_url)
    await desk.probes.look()
    shown = await desk.shown()
    assert not shown["probe_works"]
    assert "connect it again" in shown["problem"]
    (trouble,) = await desk.troubles(timedelta())
    assert trouble.kind == "connection_failing"
    assert trouble.reason.endswith("recipes at risk: invoice")


async def test_what_waited_for_credentials_goes_on_as_soon_as_they_work(desk: Desk) -> None:
    await desk.hub.rows(
        """update lane set state = 'parked', reason = 'credentials: refused', parked_at = clock_timestamp(),
             probe_at = clock_timestamp() + interval '1 minute' where connection_id = $1""",
        desk.books.id,
    )
    assert (await desk.shown())["lane"]["state"] == "parked"
    await desk.hub.client.post("/v1/connections/books/test", headers=KEY)
    assert (await desk.shown())["lane"]["state"] == "open", (
        "who mended it and tried it need not wait for the next probe"
    )


async def test_a_system_that_is_away_is_no_fault_of_the_credentials_and_is_asked_again_soon(desk: Desk) -> None:
    settings = desk.books.settings.model_dump()
    await desk.hub.connect("books", desk.books.connector, settings, base_url="http://127.0.0.1:9")
    await desk.probes.look()
    shown = await desk.shown()
    assert (shown["probe_works"], shown["problem"]) == (False, None)
    due = "select probed_at + interval '1 day' - clock_timestamp() from connection where slug = 'books'"
    assert timedelta(minutes=8) < await desk.hub.one(due) < timedelta(minutes=11)


async def test_days_left_and_recipes_at_risk_are_shown_and_somebody_is_asked_in_time(desk: Desk) -> None:
    await desk.probes.look()
    shown = await desk.shown()
    assert shown["days_left"] in (100, 101)
    assert shown["recipes"] == ["invoice"]
    assert await desk.troubles(timedelta(days=80)) == []
    (first,) = await desk.troubles(timedelta(days=88))
    assert (first.kind, first.title) == ("connection_expiring", "books must be connected again soon")
    assert first.reason.startswith("authorise it again before ")
    assert first.reason.endswith("recipes at risk: invoice")
    assert len(await desk.troubles(timedelta(days=90))) == 1, "once, then a week before, then the day before"
    assert len(await desk.troubles(timedelta(days=95))) == 2
    assert len(await desk.troubles(timedelta(days=100, hours=12))) == 3
