"""Any number of processes against one database and one Redis, also behind a pooler that hands connections out by the
transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.facts import fact_of
from app.hub import open_hub
from app.registry import Registry
from app.worker import work
from tests.support.bench import TWO_STEPS, Outside
from tests.support.harness import Harness, running
from tests.support.pooler import Pooler, pooling
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload

OPEN = "select (select count(*) from webhook where state = 'due') + (select count(*) from run where state <> 'done')"

LEFT = "select (select count(*) from pg_prepared_statements where name <> '') from pg_sleep(0.3)"


@pytest.fixture
def outside() -> Outside:
    return Outside()


async def worker(hub: Harness, stop: asyncio.Event) -> None:
    """A whole worker process but for the process."""
    async with open_hub(hub.hub.settings, Registry(testbench)) as own:
        await work(own, stop)


async def drained(hub: Harness, orders: int, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while await hub.one("select count(*) from run") < orders or await hub.one(OPEN):
            await asyncio.sleep(0.05)


async def flow(hub: Harness, outside: Outside, workers: int, orders: int) -> None:
    """Orders, each delivered twice, through as many workers; one effect each."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(worker(hub, stop)) for _ in range(workers)]
    try:
        numbers = [*range(orders), *range(orders)]
        sent = await asyncio.gather(*(hub.send("shop", "order.paid", payload(n)) for n in numbers))
        assert {answer.status_code for answer in sent} == {200}
        await drained(hub, orders)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert (outside.count("/native"), outside.count("/unsafe")) == (orders, orders)
    assert await hub.one("select count(distinct key) from effect where state = 'done'") == 2 * orders


@pytest.fixture
async def pooled(database_url: str) -> AsyncIterator[Pooler]:
    async with pooling(database_url, 6) as pooler:
        yield pooler


async def staged(stack: AsyncExitStack, url: str, redis_url: str, home: Path, outside: Outside, **more: Any) -> Harness:
    address = await stack.enter_async_context(serving(outside.app()))
    hub = await stack.enter_async_context(running(url, redis_url, home, testbench, poll_seconds=0.2, **more))
    await hub.connect("shop", testbench, {"account": "bench"}, role="shop", base_url=address)
    await hub.recipe("two-steps", TWO_STEPS)
    return hub


async def test_three_workers_share_the_work_without_being_told_of_each_other(
    database_url: str, redis_url: str, tmp_path: Path, outside: Outside
) -> None:
    async with AsyncExitStack() as stack:
        hub = await staged(stack, database_url, redis_url, tmp_path, outside)
        await flow(hub, outside, workers=3, orders=60)


async def test_the_hub_works_behind_a_pooler_in_transaction_mode(
    pooled: Pooler, redis_url: str, tmp_path: Path, outside: Outside
) -> None:
    async with AsyncExitStack() as stack:
        hub = await staged(stack, pooled.url, redis_url, tmp_path, outside, statement_cache=0)
        await flow(hub, outside, workers=2, orders=40)
        assert pooled.moved > 100, "transactions of one client ran on several server connections"
        left = await asyncio.gather(*(hub.one(LEFT) for _ in range(6)))
        assert left == [0] * 6, "a statement prepared under a name would meet another process's of that name"


ONE = """
title: One thing for each paid order of a shop
on: {{event: order.paid, connection: {shop}}}
steps:
  - {{id: thing, use: testbench.make_native, connection: {shop}, with: {{id: "{{{{ order.id }}}}"}}}}
"""


async def test_a_flood_of_one_connection_holds_up_no_other(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A hundred orders of one shop, whose system answers nothing, are there before the one of another."""
    flooded, calm, stop = Outside(), Outside(), asyncio.Event()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(
            running(database_url, redis_url, tmp_path, testbench, poll_seconds=0.2, drain_batch=8)
        )
        for shop, outside in {"flooded": flooded, "calm": calm}.items():
            address = await stack.enter_async_context(serving(outside.app()))
            await hub.connect(shop, testbench, {"account": shop}, role="shop", base_url=address)
            await hub.recipe(shop, ONE.format(shop=shop))
        for shop, number in [("flooded", n) for n in range(100)] + [("calm", 100)]:
            assert (await hub.send(shop, "order.paid", payload(number))).status_code == 200
        flooded.open.clear()
        tasks = [asyncio.create_task(worker(hub, stop)) for _ in range(2)]
        try:
            async with asyncio.timeout(20):
                while not await hub.one("select exists (select 1 from run where recipe = 'calm' and state = 'done')"):
                    await asyncio.sleep(0.02)
            assert await hub.one("select count(*) from run where recipe = 'flooded' and state = 'done'") == 0
            flooded.open.set()
            await drained(hub, 101)
        finally:
            flooded.open.set()
            stop.set()
            await asyncio.gather(*tasks)
        effects = await hub.rows("select state, doubled, count(*) from effect group by state, doubled")
        assert [tuple(each) for each in effects] == [("done", False, 101)]
    assert (flooded.made(), calm.made()) == (100, 1)


async def test_a_flood_of_webhooks_takes_another_connections_along(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running(database_url, redis_url, tmp_path, testbench) as hub:
        normaliser = replace(hub.normaliser, batch=8)
        for shop in ("flooded", "calm"):
            await hub.connect(shop, testbench, {"account": shop}, role="shop")
        for shop, number in [("flooded", n) for n in range(20)] + [("calm", n) for n in range(20, 23)]:
            assert (await hub.send(shop, "order.paid", payload(number))).status_code == 200
        seen = []
        while await hub.one("select count(*) from webhook where state = 'due'"):
            await normaliser.drain()
            seen.append(
                await hub.one(
                    """select count(*) from webhook w join connection c on c.id = w.connection_id
                       where c.slug = 'calm' and w.state = 'normalised'"""
                )
            )
        assert seen == [2, 3, 3]


async def test_a_bad_webhook_of_another_connection_holds_up_no_flood(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken along, and is found while older ones of the flood still wait."""

    def refusing(hasher: Any, connection: Any, *more: Any) -> Any:
        if connection.slug == "bad":
            raise ValueError("a fault")
        return fact_of(hasher, connection, *more)

    monkeypatch.setattr("app.pipeline.normalise.fact_of", refusing)
    async with running(database_url, redis_url, tmp_path, testbench) as hub:
        for shop in ("flooded", "bad"):
            await hub.connect(shop, testbench, {"account": shop}, role="shop")
        for shop, number in [("flooded", n) for n in range(20)] + [("bad", 20)]:
            assert (await hub.send(shop, "order.paid", payload(number))).status_code == 200
        assert await replace(hub.normaliser, batch=8).drain()
        states = await hub.rows("select state, count(*) from webhook group by state order by state")
    assert [tuple(each) for each in states] == [("due", 12), ("malformed", 1), ("normalised", 8)]
