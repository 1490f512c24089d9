"""Stopping a flood: pauses hold within a second whoever works and whatever carries the bells; many runs end at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.byhand.held import release_held
from app.hub import open_hub
from app.ids import new_id
from app.registry import Registry
from app.worker import work
from tests.support.bench import Bench, benched
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


@asynccontextmanager
async def workers(bench: Bench, count: int, **settings: Any) -> AsyncIterator[None]:
    """Whole workers beside the API, each with connections and caches of its own."""
    stop = asyncio.Event()

    async def one() -> None:
        changed = bench.hub.hub.settings.model_copy(update={"poll_seconds": 0.2, **settings})
        async with open_hub(changed, Registry(testbench)) as hub:
            await work(hub, stop)

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def flood(bench: Bench, first: int, count: int) -> None:
    sent = [bench.hub.send("shop", "order.paid", payload(number)) for number in range(first, first + count)]
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}


@pytest.mark.parametrize("redis", ["there", "away"])
@pytest.mark.parametrize("what", ["connections/shop", "connections/shop/lane", "recipes/two-steps"])
async def test_a_pause_holds_on_every_worker_within_a_second(bench: Bench, what: str, redis: str) -> None:
    away = {"redis_url": "redis://127.0.0.1:9/0"} if redis == "away" else {}
    async with workers(bench, 2, **away):
        await flood(bench, 1, 3)
        await until(lambda: _ended(bench, 3))
        await bench.post(f"/v1/{what}/pause")
        await asyncio.sleep(1.0)
        calls = len(bench.outside.asked)
        await flood(bench, 4, 20)
        await until(lambda: _taken_in(bench, 23))
        await asyncio.sleep(0.5)
        assert len(bench.outside.asked) == calls
        await bench.post(f"/v1/{what}/resume")
        await until(lambda: _ended(bench, 23))
        assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (23, 23)
    kind = "lane" if what.endswith("lane") else what.partition("s/")[0]
    verbs = await bench.hub.rows("select verb from audit where object like $1 order by at", f"{kind}/%")
    assert [row["verb"] for row in verbs][-2:] == ["pause", "resume"]


async def test_a_lane_that_was_paused_stays_so_though_its_connection_is_resumed(bench: Bench) -> None:
    await bench.post("/v1/connections/shop/lane/pause")
    await bench.post("/v1/connections/shop/pause")
    shown = await bench.post("/v1/connections/shop/resume")
    assert (shown["paused"], shown["lane"]["paused"]) == (False, True)
    assert await bench.hub.one("select paused from lane")
    await bench.post("/v1/connections/shop/pause")
    await bench.post("/v1/connections/shop/lane/resume")
    assert await bench.hub.one("select paused from lane"), "its connection is paused"
    await bench.post("/v1/connections/shop/resume")
    assert not await bench.hub.one("select paused from lane")
    await bench.post("/v1/connections/nowhere/lane/pause", expect=404)


async def test_a_lane_that_waits_as_it_was_told_says_so(bench: Bench) -> None:
    """A `Retry-After` may be a day: whoever wonders why nothing goes out sees until when."""
    until = "update lane set pauses = jsonb_build_object('', extract(epoch from now()) + $1::float8)"
    await bench.hub.rows(until, 3600.0)
    shown, health = await bench.get("/v1/connections/shop"), await bench.get("/v1/connections/shop/health")
    left = datetime.fromisoformat(shown["lane"]["told_to_wait_until"]) - datetime.now(UTC)
    assert 3500 < left.total_seconds() <= 3605
    assert (health["verdict"], len(health["reasons"])) == ("degraded", 1)
    assert health["reasons"][0].startswith("its system wants no requests until 2")
    await bench.hub.rows(until, -1.0)
    assert (await bench.get("/v1/connections/shop"))["lane"]["told_to_wait_until"] is None


async def _taken_in(bench: Bench, count: int) -> bool:
    return bool(await bench.hub.one("select count(*) = $1 from event where type = 'order.paid'", count))


async def _ended(bench: Bench, count: int) -> bool:
    return bool(await bench.hub.one("select count(*) = $1 from run where state = 'done'", count))


async def test_what_a_paused_recipe_held_goes_on_in_order(bench: Bench) -> None:
    await bench.post("/v1/recipes/two-steps/pause")
    await bench.refresh()
    for version in range(1, 6):
        await bench.hub.send("shop", "order.paid", payload(version))
        await bench.hub.settle()
    assert await bench.hub.one("select count(*) from run where state = 'held'") == 5
    assert (await bench.post("/v1/recipes/two-steps/resume"))["released"] == 5
    await bench.refresh()
    await bench.work()
    rows = await bench.hub.rows("select sent_at from call where path = 'first' order by event_id")
    assert [row["sent_at"] for row in rows] == sorted(row["sent_at"] for row in rows)
    assert bench.outside.count("/unsafe") == 5


async def test_many_runs_are_cancelled_by_a_filter_after_a_look(bench: Bench) -> None:
    await bench.order(0)
    await bench.post("/v1/connections/shop/pause")
    await bench.refresh()
    await flood(bench, 1, 30)
    await _begun(bench, 31)
    look = await bench.post("/v1/runs/cancel", {"recipe": "two-steps"}, dry_run=True)
    assert (look["dry_run"], look["runs"], look["calls"], look["done"]) == (True, 30, 30, 0)
    assert await bench.hub.one("select count(*) from run where state = 'running'") == 30
    assert (await bench.post("/v1/runs/cancel", {"type": "refund.created"}))["runs"] == 0
    done = await bench.post("/v1/runs/cancel", {"recipe": "two-steps", "connection": "shop", "type": "order.paid"})
    assert (done["runs"], done["calls"], done["in_flight"], done["left"]) == (30, 30, 0, False)
    await bench.post("/v1/connections/shop/resume")
    await bench.refresh()
    await bench.work()
    assert len(bench.outside.asked) == 2, "only what was done before"
    states = await bench.hub.rows("select state, count(*) as runs from run group by state order by state")
    assert [tuple(row) for row in states] == [("cancelled", 30), ("done", 1)]
    assert await bench.hub.one("select count(*) from effect where state = 'reserved'") == 0
    (noted,) = await bench.hub.rows("select detail from audit where object = 'runs' and detail->>'runs' = '30'")
    assert noted["detail"]["filter"]["recipe"] == "two-steps"
    event_id = str(await bench.hub.one("select id from event where subject_id = '7' and type = 'order.paid'"))
    await bench.post(f"/v1/events/{event_id}/replay")
    await bench.work()
    assert bench.outside.count("/unsafe") == 2, "and it can still be replayed"


async def test_cancelling_waits_for_what_is_being_sent_and_leaves_none_behind(bench: Bench) -> None:
    bench.outside.open.clear()
    await bench.hub.send("shop", "order.paid", payload(1))
    await _begun(bench, 1)
    await bench.hub.delivery.poll()
    await until(lambda: _asked(bench, 1))
    asking = asyncio.create_task(bench.post("/v1/runs/cancel", {"state": "running"}))
    await until(lambda: _cancelled(bench))
    bench.outside.open.set()
    done = await asking
    assert (done["runs"], done["in_flight"]) == (1, 0)
    await bench.work()
    assert await bench.hub.one("select state from effect") == "done"
    assert bench.outside.count("/unsafe") == 0


@pytest.mark.parametrize(("status", "effect"), [(429, "released"), (500, "uncertain")])
async def test_a_call_whose_run_is_cancelled_while_it_flies_is_never_tried_again(
    bench: Bench, status: int, effect: str
) -> None:
    bench.outside.open.clear()
    bench.outside.statuses["/native"] = [status]
    await bench.hub.send("shop", "order.paid", payload(1))
    await _begun(bench, 1)
    await bench.hub.delivery.poll()
    await until(lambda: _asked(bench, 1))
    run_id = await bench.hub.one("select id from run")
    asking = asyncio.create_task(bench.post(f"/v1/runs/{run_id}/cancel"))
    await until(lambda: _cancelled(bench))
    bench.outside.open.set()
    assert (await asking)["in_flight"] == 0
    await bench.work()
    (call,) = await bench.hub.rows("select state, unsure from call")
    assert (call["state"], call["unsure"]) == ("cancelled", status == 500)
    assert await bench.hub.one("select state from effect") == effect
    assert len(bench.outside.asked) == 1


async def test_a_retry_of_a_cancelled_run_is_not_sent_though_who_cancelled_it_died(bench: Bench) -> None:
    await bench.hub.send("shop", "order.paid", payload(1))
    await _begun(bench, 1)
    await bench.hub.rows("update call set attempts = 1, failures = 1")
    await bench.hub.rows("update run set state = 'cancelled', ended_at = now(), due_at = null")
    await bench.hub.settle()
    assert await bench.hub.one("select state from call") == "cancelled"
    assert not bench.outside.asked


async def test_runs_that_no_paused_recipe_holds_go_on_though_nobody_says_so(bench: Bench) -> None:
    await bench.post("/v1/recipes/two-steps/pause")
    await bench.refresh()
    await flood(bench, 1, 3)
    await _begun(bench, 3)
    await release_held(bench.hub.hub)
    assert await bench.hub.one("select count(*) from run where state = 'held'") == 3, "it is paused"
    await bench.hub.rows("update recipe set paused = false, updated_at = now()")
    await bench.refresh()
    await release_held(bench.hub.hub)
    await bench.work()
    assert bench.outside.count("/unsafe") == 3


async def test_a_cancel_that_names_nothing_is_refused(bench: Bench) -> None:
    await bench.post("/v1/runs/cancel", {}, 400)
    await bench.post("/v1/runs/cancel", {"connection": "nowhere"}, 422)
    assert (await bench.post("/v1/runs/cancel", {"replay": str(new_id())}))["runs"] == 0


async def _begun(bench: Bench, count: int) -> None:
    """Events and runs are made, and no call."""
    while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
        pass
    assert await bench.hub.one("select count(*) from run") == count


async def _asked(bench: Bench, count: int) -> bool:
    return len(bench.outside.asked) == count


async def _cancelled(bench: Bench) -> bool:
    return bool(await bench.hub.one("select count(*) from run where state = 'cancelled'"))
