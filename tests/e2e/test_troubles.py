"""The hub's own troubles are events: gathered, told once, and never of what tells them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app import events as canonical
from app.store.packing import unpack
from app.worker import troubles_of
from tests.support.bench import Outside
from tests.support.harness import Harness, running
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload

SELLING = """
title: A thing for every paid order
on: order.paid
connection: shop
steps:
  - id: made
    use: testbench.make_unsafe
    with: {id: "{{ order.id }}"}
"""
TELLING = """
title: Somebody is told
on: [hub.run_failed, hub.effect_uncertain, hub.lane_parked, hub.connection_failing, hub.source_silent]
connection: chat
steps:
  - use: testbench.make_native
    with: {id: "{{ event.type }}", note: "{{ trouble.title }}"}
"""


class Stage:
    """A shop whose calls go to `books`, and a chat beside it that is told."""

    def __init__(self, hub: Harness, books: Outside, chat: Outside) -> None:
        self.hub, self.books, self.chat = hub, books, chat
        self.troubles = troubles_of(hub.hub, hub.normaliser.matcher)

    async def look(self, later: timedelta = timedelta()) -> list[Any]:
        """Look for troubles, as if so much later; let them be told; answers those that there are, oldest first."""
        self.troubles.listen_at = None
        await self.troubles.look(self.hub.hub.clock.now() + later)
        await self.hub.settle()
        rows = await self.hub.rows("select * from event where type like 'hub.%' order by id")
        return [(row["type"], _trouble(row)) for row in rows]

    async def parked(self) -> None:
        """Wait until the one lane is that failed: a moment after its call's end is on record."""
        async with asyncio.timeout(10):
            while await self.hub.one("select count(*) from lane where state = 'parked'") != 1:
                await asyncio.sleep(0.01)

    async def orders(self, *numbers: int, status: int | None = None) -> None:
        for number in numbers:
            if status:
                self.books.statuses["/unsafe"].append(status)
            await self.hub.send("shop", "order.paid", payload(number))
            await self.hub.settle()


def _trouble(row: Any) -> canonical.HubTrouble:
    data = canonical.load(row["type"], row["schema_version"], unpack(row["data"]))
    assert isinstance(data, canonical.HubEvent)
    return data.trouble


@pytest.fixture
async def stage(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    books, chat = Outside(), Outside()
    async with (
        serving(books.app()) as books_at,
        serving(chat.app()) as chat_at,
        running(database_url, redis_url, tmp_path, testbench) as hub,
    ):
        await hub.connect("shop", testbench, {"account": "shop"}, role="shop", base_url=books_at)
        await hub.connect("chat", testbench, {"account": "chat"}, base_url=chat_at)
        await hub.recipe("selling", SELLING)
        await hub.recipe("telling", TELLING)
        yield Stage(hub, books, chat)


async def test_failed_runs_are_one_event_a_recipe_and_later_ones_gather(stage: Stage) -> None:
    await stage.orders(1, 2, 3, status=422)
    ((kind, trouble),) = await stage.look()
    assert (kind, trouble.recipe, trouble.count, trouble.connection) == ("hub.run_failed", "selling", 3, "shop")
    assert trouble.title == "selling failed"
    assert trouble.reason
    assert stage.chat.count("/native") == 1
    assert len(await stage.look()) == 1, "told once"
    await stage.orders(4, 5, status=422)
    assert len(await stage.look()) == 1, "within the window they gather"
    found = await stage.look(timedelta(seconds=301))
    assert [trouble.count for _, trouble in found] == [3, 2]
    assert stage.chat.count("/native") == 2
    assert len(await stage.look(timedelta(seconds=700))) == 2, "nothing new"


async def test_a_run_that_answers_a_trouble_is_never_one(stage: Stage) -> None:
    stage.chat.statuses["/native"] = [422]
    await stage.orders(1, status=422)
    assert len(await stage.look()) == 1
    assert await stage.hub.one("select count(*) from run where state = 'failed'") == 2
    assert len(await stage.look(timedelta(seconds=301))) == 1
    untold = "select count(*) from run where state = 'failed' and (told_at is null or told_at < ended_at)"
    assert await stage.hub.one(untold) == 0, "and it is not looked at again"


async def test_a_parked_lane_is_told_by_another_one_and_told_again_when_it_parks_again(stage: Stage) -> None:
    stage.books.statuses["/unsafe"] = [401] * 20  # however often a slow machine lets the lane probe meanwhile
    await stage.hub.send("shop", "order.paid", payload(1))
    await stage.hub.settle()
    await stage.parked()
    found = await stage.look()
    assert sorted(kind for kind, _ in found) == ["hub.connection_failing", "hub.lane_parked"]
    assert {trouble.connection for _, trouble in found} == {"shop"}
    assert stage.chat.count("/native") == 2
    assert len(await stage.look(timedelta(seconds=400))) == 2, "it still is the same"
    await stage.hub.rows("update lane set parked_at = parked_at + interval '1 hour' where state = 'parked'")
    assert len(await stage.look(timedelta(seconds=800))) == 4


async def test_a_lane_parked_by_nothing_but_what_tells_troubles_is_none(stage: Stage) -> None:
    stage.chat.statuses["/native"] = [401] * 20
    await stage.orders(1, status=422)
    assert len(await stage.look()) == 1
    await stage.parked()
    assert len(await stage.look(timedelta(seconds=301))) == 1


async def test_an_effect_that_nobody_is_sure_of_is_told(stage: Stage) -> None:
    await stage.orders(1)
    await stage.hub.rows("update call set state = 'uncertain', question = 'Did it happen?', ended_at = null")
    ((kind, trouble),) = await stage.look()
    assert (kind, trouble.action, trouble.step) == ("hub.effect_uncertain", "testbench.make_unsafe", "made")
    assert (trouble.reason, trouble.count) == ("Did it happen?", 1)


async def test_a_shop_that_falls_silent_is_told_of_once_for_each_silence(stage: Stage) -> None:
    await stage.orders(*range(1, 21))
    assert await stage.look() == []
    assert await stage.look(timedelta(minutes=59)) == []
    found = await stage.look(timedelta(minutes=61))
    assert [(kind, trouble.connection) for kind, trouble in found] == [("hub.source_silent", "shop")]
    assert found[0][1].title == "shop has said nothing for 61 minutes"
    assert len(await stage.look(timedelta(hours=9))) == 1
    await stage.orders(21)
    assert len(await stage.look(timedelta(hours=12))) == 2


async def test_of_two_workers_one_tells(stage: Stage) -> None:
    await stage.orders(1, status=422)
    other = troubles_of(stage.hub.hub, stage.hub.normaliser.matcher)
    import asyncio

    await asyncio.gather(*(each.drain() for each in (other, stage.troubles, other, stage.troubles)))
    assert len(await stage.look()) == 1
