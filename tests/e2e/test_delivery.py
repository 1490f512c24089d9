"""Delivery inside one hub: retries, parking, effects, order, questions, fences. The outside answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.byhand.answers import answer
from app.connector import Limit
from app.domain.connections import Connection
from app.ids import new_id
from app.pipeline.deliver.delivery import Delivery
from app.pipeline.deliver.ending import storable
from app.pipeline.deliver.lane import Lane
from app.pipeline.deliver.record import Ledger
from app.pipeline.deliver.removed import Removed
from app.pipeline.receive import SMALL, Intake
from app.store import calls, lanes
from app.store.calls import Ended, Sending
from app.store.database import Database
from app.store.lanes import Held
from app.store.packing import pack, unpack
from app.store.webhooks import NewWebhook
from tests.support.harness import Harness, running
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload

RECIPE = """
title: One thing for every paid order
on: {events}
steps:
  - id: thing
    use: testbench.{action}
    with: {{id: "{{{{ order.id }}}}"}}
"""


@dataclass
class Outside:
    """The outside system: `answers` are its next (status, headers), below zero: once `hold` is set; afterwards it does
    what it is asked."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    asked: list[tuple[str, float]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, request: Request) -> Response:
        self.asked.append((orjson.loads(await request.body())["id"], asyncio.get_running_loop().time()))
        self.keys.append(request.headers["x-effect-key"])
        self.proofs.append(request.headers["authorization"].removeprefix("Bearer "))
        self.arrived.set()
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if status < 0:
            await self.hold.wait()
        return JSONResponse({"as": "told"}, abs(status), headers)

    async def found(self, request: Request) -> Response:
        return JSONResponse({"found": False})

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/found", self.found), Route("/{path:path}", self.make, methods=["POST", "PUT"])]
        )

    @property
    def orders(self) -> list[str]:
        return [order for order, _ in self.asked]


@dataclass
class Bench:
    """A hub with one connection to the outside."""

    hub: Harness
    outside: Outside
    connection: Connection

    async def recipe(self, action: str, name: str = "thing", events: str = "order.paid", more: str = "") -> None:
        await self.hub.recipe(name, RECIPE.format(action=action, events=events) + f"    {more}\n")

    async def order(self, number: int, topic: str = "order.paid", **more: Any) -> None:
        sent = await self.hub.send("shop", topic, payload(number, topic=topic, **more))
        assert sent.status_code == 200

    async def settle_now(self) -> None:
        """Work, as if every retry were due at once."""
        await self.hub.settle()
        while await self.hub.one("select count(*) from call where state = 'due'"):
            await self.hub.rows("update call set due_at = clock_timestamp() where state = 'due'")
            await self.hub.rows("update lane set probe_at = clock_timestamp() where state = 'parked'")
            await self.hub.settle()

    async def until(self, done: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
        """Work until something is so; for when things stay due."""
        async with asyncio.timeout(seconds):
            while not await done():
                await self.hub.normaliser.drain()
                await self.hub.runner.drain()
                await self.hub.delivery.poll()
                await asyncio.sleep(0.01)

    async def parked(self) -> bool:
        return bool(await self.hub.one("select count(*) from lane where state = 'parked'"))

    async def calls(self) -> list[Any]:
        return await self.hub.rows("select state, attempts, failures, unsure, question, error from call order by id")


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    outside = Outside()
    async with serving(outside.app()) as address, running(database_url, redis_url, tmp_path, testbench) as hub:
        connection = await hub.connect("shop", testbench, {"account": "bench"}, role="shop", base_url=address)
        yield Bench(hub, outside, connection)
        outside.hold.set()


# --- retries ----------------------------------------------------------------------------------------------------


async def test_a_throttled_lane_waits_as_long_as_it_is_told_and_fails_nothing(bench: Bench) -> None:
    await bench.recipe("make_native")
    bench.outside.answers = [(429, {"retry-after": "1"})]
    await bench.order(1)
    await bench.hub.settle()
    while len(bench.outside.asked) < 2:
        await bench.hub.settle()
        await asyncio.sleep(0.05)
    await bench.hub.settle()
    (first, at), (again, later) = bench.outside.asked
    assert first == again
    assert 1.0 <= later - at < 3
    (call,) = await bench.calls()
    assert (call["state"], call["attempts"], call["failures"]) == ("done", 2, 0)
    assert await bench.hub.one("select max(duration_ms) from attempt") < 900, "waiting for its turn is no attempt"
    assert len(set(bench.outside.keys)) == 1


async def test_a_dead_letter_keeps_all_its_attempts(bench: Bench) -> None:
    await bench.recipe("make_native", more="retry: {attempts: 5}")
    bench.outside.answers = [(408, {})] * 12
    await bench.order(1)
    await bench.settle_now()
    (call,) = await bench.calls()
    assert call["state"] == "dead"
    tried = await bench.hub.rows("select state, status, requests is not null as kept from attempt order by number")
    assert [(row["state"], row["status"], row["kept"]) for row in tried] == [("retryable", 408, True)] * 5
    assert await bench.hub.one("select state from effect") == "released"
    assert await bench.hub.one("select state from run") == "failed"


async def test_a_system_that_is_away_makes_no_dead_letter_of_the_call_that_probes_it(bench: Bench) -> None:
    await bench.recipe("make_native", more="retry: {attempts: 9}")
    bench.outside.answers = [(503, {})] * 9
    await bench.order(1)
    await bench.settle_now()
    (call,) = await bench.calls()
    assert (call["state"], call["attempts"], call["failures"]) == ("done", 10, 8)


async def test_an_age_ends_a_call_that_is_only_ever_told_to_wait(bench: Bench) -> None:
    await bench.recipe("make_native", more="retry: {within: 1s}")
    bench.outside.answers = [(429, {"retry-after": "1"})] * 3
    await bench.order(1)
    await bench.settle_now()
    (call,) = await bench.calls()
    assert (call["state"], call["attempts"]) == ("dead", 2)


async def test_the_next_owner_of_a_lane_knows_how_long_the_system_wants_peace(bench: Bench) -> None:
    await bench.recipe("make_native")
    bench.outside.answers = [(429, {"retry-after": "3600"})]
    await bench.order(1)
    await bench.until(lambda: _pauses(bench))
    hub, first = bench.hub.hub, bench.hub.delivery
    second = Delivery(hub.database, hub.connections, hub.clock, hub.bells, first.transport, first.credentials, "other")
    hub.bells.lane = second.ring
    await bench.order(2)
    while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
        pass
    await bench.hub.rows("update lane set owner = null, lease_until = null")
    second.ring(f"lane:{bench.connection.id}")
    await bench.until(lambda: _owned_by(bench, "other"))
    await asyncio.sleep(0.2)
    assert bench.outside.orders == ["1"]
    await second.stop()


async def test_the_next_owner_of_a_lane_knows_what_its_windows_hold(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    outside = Outside()
    assert testbench.http is not None
    slow = replace(testbench, http=replace(testbench.http, limits=(Limit(3, 600),)))
    async with serving(outside.app()) as address, running(database_url, redis_url, tmp_path, slow) as hub:
        bench = Bench(hub, outside, await hub.connect("shop", slow, {}, role="shop", base_url=address))
        await bench.recipe("make_lookup")
        await bench.order(1)
        await hub.settle()
        await hub.delivery.stop()
        windows = await hub.one("select windows -> 'held' -> '3/600' -> '' from lane")
        assert sum(number for _, number in windows) == 1
        first, hub.delivery = (
            hub.delivery,
            replace(hub.delivery, owner="other", _lanes={}, _tasks=set(), _stopping=False),
        )
        hub.hub.bells.lane = hub.delivery.ring
        assert first is not hub.delivery
        for number in (2, 3, 4, 5):
            await bench.order(number)
        await bench.until(lambda: _asked(outside, 3))
        await asyncio.sleep(0.2)
        assert outside.orders == ["1", "2", "3"]
        await hub.delivery.stop()


async def _asked(outside: Outside, number: int) -> bool:
    return len(outside.asked) >= number


async def _pauses(bench: Bench) -> bool:
    return bool(await bench.hub.one("select (pauses->>'')::float8 > 0 from lane"))


async def _owned_by(bench: Bench, owner: str) -> bool:
    return bool(await bench.hub.one("select owner = $1 from lane", owner))


async def test_what_waits_for_a_connection_that_was_removed_ends_after_a_day(bench: Bench) -> None:
    await bench.recipe("make_native")
    await bench.hub.rows("update lane set paused = true")
    await bench.order(1)
    while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
        pass
    hub = bench.hub.hub
    removed = Removed(hub.database, hub.clock, hub.bells)
    await bench.hub.rows("update connection set removed = true, updated_at = now() - interval '23 hours'")
    await removed.look()
    assert [row["state"] for row in await bench.calls()] == ["due"], "it may come back"
    await bench.hub.rows("update connection set updated_at = now() - interval '25 hours'")
    await removed.look()
    await bench.hub.runner.drain()
    assert [(row["state"], row["error"]) for row in await bench.calls()] == [("dead", "its connection was removed")]
    assert await bench.hub.one("select state from run") == "failed"


async def test_what_the_system_refuses_is_not_tried_again(bench: Bench) -> None:
    await bench.recipe("make_unsafe")
    bench.outside.answers = [(422, {})]
    await bench.order(1)
    await bench.hub.settle()
    assert [call["state"] for call in await bench.calls()] == ["dead"]
    assert len(bench.outside.asked) == 1


async def test_the_stored_request_goes_out_again_byte_for_byte(bench: Bench) -> None:
    await bench.recipe("make_native")
    bench.outside.answers = [(500, {})]
    await bench.order(1)
    await bench.settle_now()
    sent = await bench.hub.rows("select requests, call_id from attempt order by number")
    first, second = (bench.hub.hub.ring.open(each["requests"], each["call_id"].bytes) for each in sent)
    assert first == second
    assert b"http" in unpack(first)
    assert b"http" not in sent[0]["requests"]


def test_an_output_that_no_column_can_hold_is_kept_as_far_as_it_can() -> None:
    kept = '{"id": "a\\\\u0000b"}'
    assert storable(kept) == '{"id":"a\\\\u0000b"}', "an escaped backslash is no U+0000"
    assert orjson.loads(storable('{"id": "a\\u0000b"}')) == {"id": "a\ufffdb"}


# --- questions --------------------------------------------------------------------------------------------------


async def test_when_nobody_can_know_a_question_is_asked_and_nothing_sent_twice(bench: Bench) -> None:
    await bench.recipe("make_unsafe")
    bench.outside.answers = [(500, {})]
    await bench.order(1)
    await bench.order(2)
    await bench.hub.settle()
    states = {row["state"]: row["question"] for row in await bench.calls()}
    assert set(states) == {"uncertain", "done"}
    assert states["uncertain"]
    assert sorted(bench.outside.orders) == ["1", "2"]


async def test_repeating_when_in_doubt_says_that_it_may_have_doubled(bench: Bench) -> None:
    await bench.recipe("say_repeat")
    bench.outside.answers = [(500, {})]
    await bench.order(1)
    await bench.settle_now()
    assert bench.outside.orders == ["1", "1"]
    effect = (await bench.hub.rows("select state, doubled from effect"))[0]
    assert (effect["state"], effect["doubled"]) == ("done", True)


# --- effects ----------------------------------------------------------------------------------------------------


async def test_a_call_that_meets_a_reserved_effect_waits_and_then_skips(bench: Bench) -> None:
    shared = RECIPE.replace("    use:", "    effect: the-thing\n    use:")
    for name in ("one", "two"):
        await bench.hub.recipe(name, shared.format(action="make_unsafe", events="order.paid"))
    bench.outside.answers = [(-200, {})]
    await bench.order(1)
    await bench.until(lambda: _is(bench.outside.arrived.is_set()))
    assert len(bench.outside.asked) == 1
    bench.outside.hold.set()
    await bench.settle_now()
    assert bench.outside.orders == ["1"]
    assert sorted(row["state"] for row in await bench.calls()) == ["done", "skipped"]


# --- order ------------------------------------------------------------------------------------------------------


async def test_calls_of_one_order_go_in_order_and_others_pass(bench: Bench) -> None:
    await bench.recipe("make_native", events="[order.paid, order.updated]")
    bench.outside.answers = [(503, {"retry-after": "3600"})]
    await bench.order(1)
    await bench.hub.settle()
    await bench.order(1, "order.updated", at="2026-11-20T11:00:00Z")
    await bench.order(2)
    await bench.until(lambda: _is("2" in bench.outside.orders))
    assert bench.outside.orders == ["1", "2"], "order 1 was overtaken, or held up order 2"
    await bench.hub.rows("update call set due_at = clock_timestamp() where state = 'due'")
    await bench.hub.settle()
    assert bench.outside.orders == ["1", "2", "1", "1"]


# --- parking ----------------------------------------------------------------------------------------------------


async def test_a_lane_parks_burns_nothing_and_resumes_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    parked: list[str] = []
    monkeypatch.setattr("app.pipeline.deliver.lane.log.warning", lambda said, **more: parked.append(said))
    await bench.recipe("make_native")
    bench.outside.answers = [(-503, {})] * 20 + [(503, {})] * 900
    for number in range(1, 21):
        await bench.order(number)
    await bench.until(lambda: _asked(bench.outside, 20))
    bench.outside.hold.set()
    await bench.until(bench.parked)
    await bench.hub.rows("update lane set probe_at = clock_timestamp() + interval '1 hour'")
    await bench.until(lambda: _flies_nothing(bench))
    burned = len(bench.outside.asked)
    assert parked == ["a lane is parked; the connection says why"]
    for number in range(21, 42):
        await bench.order(number)
    await bench.until(lambda: _count(bench, 41))
    await bench.hub.delivery.poll()
    assert len(bench.outside.asked) == burned
    bench.outside.answers.clear()
    await bench.hub.rows("update call set due_at = clock_timestamp() + interval '1 day' where failures > 0")
    await bench.hub.rows("update lane set probe_at = clock_timestamp()")
    await bench.hub.settle()
    assert not await bench.parked()
    assert bench.outside.orders[burned] == "21"
    assert sorted(bench.outside.orders[burned:], key=int) == [str(n) for n in range(21, 42)]


async def test_a_refused_credential_parks_at_once_and_a_new_one_opens(bench: Bench) -> None:
    await bench.recipe("make_native")
    bench.outside.answers = [(401, {})] * 1000
    for number in range(1, 4):
        await bench.order(number)
    await bench.until(bench.parked)
    assert (await bench.hub.one("select reason from lane where state = 'parked'")).startswith("credentials:")
    assert (await bench.hub.one("select problem from connection")).endswith("recipes that wait: thing")
    assert len(bench.outside.asked) <= 6
    bench.outside.answers.clear()
    made = {"account": "bench", "token": "another-token-than-before"}
    await bench.hub.connect("shop", testbench, made, role="shop", base_url=bench.connection.base_url)
    await bench.until(lambda: _is_open(bench), seconds=5)
    assert await bench.hub.one("select problem from connection") is None
    await bench.hub.settle()
    assert [row["state"] for row in await bench.calls()] == ["done"] * 3


async def test_what_old_credentials_are_refused_parks_nobody_who_has_new_ones(bench: Bench) -> None:
    await bench.recipe("make_native")
    bench.outside.answers = [(-401, {}), (401, {})]
    await bench.order(1)
    await bench.until(lambda: _is(bench.outside.arrived.is_set()))
    made = {"account": "bench", "token": "another-token-than-before"}
    await bench.hub.connect("shop", testbench, made, role="shop", base_url=bench.connection.base_url)
    bench.outside.hold.set()
    await bench.until(lambda: _is_over(bench))
    (call,) = await bench.calls()
    assert (call["state"], call["attempts"]) == ("done", 2)
    assert bench.outside.proofs[-1] == made["token"], "the next attempt is made with the new ones"
    assert not await bench.parked()
    assert await bench.hub.one("select problem from connection") is None


async def _is(said: bool) -> bool:
    return said


async def _is_over(bench: Bench) -> bool:
    return bool(await bench.hub.one("select count(*) from call where state <> 'due'"))


async def _is_open(bench: Bench) -> bool:
    return not await bench.parked()


async def _count(bench: Bench, number: int) -> bool:
    return bool(await bench.hub.one("select count(*) from call") == number)


async def _flies_nothing(bench: Bench) -> bool:
    return not await bench.hub.one("select count(*) from call where lease_until is not null")


async def test_a_paused_recipe_or_lane_is_read_in_the_claim(bench: Bench) -> None:
    await bench.recipe("make_native")
    for table in ("recipe", "lane"):
        await bench.hub.rows(f"update {table} set paused = true")
        await bench.order({"recipe": 1, "lane": 2}[table])
        while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
            pass
        bench.hub.delivery.ring(f"lane:{bench.connection.id}")
        await asyncio.sleep(0.1)
        assert bench.outside.asked == [] if table == "recipe" else len(bench.outside.asked) == 1
        await bench.hub.rows(f"update {table} set paused = false")
        await bench.hub.rows("update run set due_at = clock_timestamp() where state = 'held'")
        await bench.hub.settle()
    assert bench.outside.orders == ["1", "2"]


# --- fences -----------------------------------------------------------------------------------------------------


async def _claimed(bench: Bench, owner: str) -> tuple[Held, calls.DueCall]:
    """One call of a lane that an owner holds, made without anybody to drain it."""
    bench.hub.hub.bells.lane = lambda name: True
    await bench.recipe("make_unsafe")
    await bench.order(1)
    while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
        pass
    async with bench.hub.hub.database.acquire() as db:
        held = await lanes.acquire(db, bench.connection.id, owner)
        assert held is not None
        (call,) = await calls.claim(db, held, bench.hub.hub.clock.now(), 10)
    return held, call


def _sending(held: Held, call: calls.DueCall, seconds: float = 30) -> Sending:
    return Sending(
        new_id(), call.id, call.connection_id, call.attempts + 1, held.fence, held.owner, pack(b"[]"), seconds
    )


def _ended(call: calls.DueCall, sending: Sending, attempt: str = "ok", state: str = "done") -> Ended:
    return Ended(
        sending.id, call.id, call.connection_id, call.workspace, call.run_id, sending.fence, sending.number, attempt,
        200, None, None, 5, state, call.at, 0, False, "{}", None, None, call.effect_key, "done",
    )  # fmt: skip


async def _lose(db: Any, held: Held) -> Held:
    await db.execute("update lane set lease_until = clock_timestamp() - interval '1 s'")
    other = await lanes.acquire(db, held.connection_id, "another")
    assert other is not None
    return other


async def test_an_owner_that_wakes_late_may_not_send(bench: Bench) -> None:
    held, call = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        assert await lanes.acquire(db, held.connection_id, "another") is None
        other = await _lose(db, held)
        assert await calls.mark_sending(db, [_sending(held, call)]) == set()
        assert await lanes.renew(db, held) is None
        assert not await lanes.release(db, held)
        (taken,) = await calls.claim(db, other, bench.hub.hub.clock.now(), 10)
        assert await calls.mark_sending(db, [_sending(other, taken)]) == {call.id}
        await db.execute("update lane set owner = null, lease_until = null")
        assert await calls.mark_sending(db, [_sending(other, taken)]) == set()


@pytest.mark.parametrize("table", ["lane", "recipe"])
async def test_what_was_claimed_before_a_pause_is_not_sent_after_it(bench: Bench, table: str) -> None:
    held, call = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        await db.execute(f"update {table} set paused = true")
        assert await calls.mark_sending(db, [_sending(held, call)]) == set()
        await db.execute(f"update {table} set paused = false")
        assert await calls.mark_sending(db, [_sending(held, call)]) == {call.id}


async def test_what_may_be_on_the_wire_is_left_alone_until_its_answer_cannot_come(bench: Bench) -> None:
    held, call = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
        other = await _lose(db, held)
        now, margin = bench.hub.hub.clock.now(), timedelta(seconds=1)
        assert await calls.claim(db, other, now, 10) == []
        assert await calls.orphans(db, other, margin, []) == []
        await db.execute("update attempt set deadline = clock_timestamp() - interval '2 s'")
        assert [left[0] for left in await calls.orphans(db, other, margin, [])] == [sending.id]
        assert await calls.orphans(db, other, margin, [call.id]) == []


@pytest.mark.parametrize("repeated", ["before", "after", "never"])
async def test_a_late_answer_is_kept_and_the_effect_says_so_where_it_is_there_twice(
    bench: Bench, repeated: str
) -> None:
    held, call = await _claimed(bench, "first")
    ledger = _ledger(bench.hub.hub.database, bench)
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
        other = await _lose(db, held)
        await calls.adopt(db, other, [call.id])
        await db.execute("update attempt set state = 'unsure', fence = $1", other.fence)
        again = replace(_sending(other, replace(call, attempts=1)), number=2)
        answers = [(_ended(call, sending), False), (_ended(call, again), True)]
        if repeated != "never":
            await calls.mark_sending(db, [again])
    for ended, ours in {"before": answers[::-1], "after": answers, "never": answers[:1]}[repeated]:
        assert await ledger.record(ended) is ours
    assert await bench.hub.one("select state from attempt where number = 1") == "late"
    assert await bench.hub.one("select doubled from effect") is (repeated != "never")
    assert [call["state"] for call in await bench.calls()] == ["done"], "what is known to be done is not repeated"


@pytest.mark.parametrize("other", ["rests", "released it", "is claimed", "is claimed, a repeat is no second"])
async def test_an_effect_that_another_call_has_only_reserved_is_not_there_twice(bench: Bench, other: str) -> None:
    """The late answer of one says that it is done: the other finds it so, unless it is about to do it itself."""
    held, call = await _claimed(bench, "first")
    ledger, dead = _ledger(bench.hub.hub.database, bench), replace(_ended(call, _sending(held, call)), number=1)
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
        await db.execute("update call set state = 'dead', fence = fence + 1")
        await bench.order(2)
        while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
            pass
        second = await db.fetchval("update call set effect_key = $1 where state = 'due' returning id", call.effect_key)
        state = "released" if other == "released it" else "reserved"
        await db.execute("update effect set call_id = $1, state = $2 where key = $3", second, state, call.effect_key)
        if other.startswith("is claimed"):
            (claimed,) = await calls.claim(db, held, bench.hub.hub.clock.now(), 10)
            assert (claimed.id, claimed.reserved) == (second, True)
    await ledger.record(replace(dead, attempt_id=sending.id, alike=other.endswith("no second")))
    (effect,) = await bench.hub.rows("select state, doubled, call_id from effect")
    begun = other.startswith("is claimed")
    assert tuple(effect) == ("reserved" if begun else "done", other == "is claimed", second if begun else call.id)
    if not begun:
        await bench.hub.rows("update lane set owner = null, lease_until = null")
        await bench.hub.settle()
        assert await bench.hub.one("select state from call where id = $1", second) == "skipped"
        assert bench.outside.asked == []


@pytest.mark.parametrize("answered", ["nobody yet", "it did not", "another call has the effect"])
async def test_a_late_answer_closes_the_question_that_it_answers(bench: Bench, answered: str) -> None:
    held, call = await _claimed(bench, "first")
    ledger = _ledger(bench.hub.hub.database, bench)
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
        other = await _lose(db, held)
        await calls.adopt(db, other, [call.id])
    asked = replace(_ended(call, replace(sending, fence=other.fence), "unsure", "uncertain"), effect_state="uncertain")
    await ledger.record(replace(asked, unsure=True, question="Did it happen?", output=None))
    if answered == "it did not":
        await answer(bench.hub.hub, "main", str(call.id), "did_not", "ada")
    elif answered == "another call has the effect":
        await bench.hub.rows("update effect set call_id = $1, state = 'done'", new_id())
    await ledger.record(_ended(call, sending))
    assert await bench.hub.one("select state from attempt") == "late"
    (known,) = await bench.calls()
    assert (known["state"], known["unsure"], known["question"]) == ("done", False, None)
    (effect,) = await bench.hub.rows("select state, doubled from effect")
    assert tuple(effect) == ("done", answered == "another call has the effect")
    await bench.hub.settle()
    assert await bench.hub.one("select state from run") == "done"
    assert bench.outside.asked == [], "nothing is sent again"


@pytest.mark.parametrize("other", ["none", "may have acted", "was refused too"])
async def test_a_late_refusal_closes_the_question_that_it_answers_and_no_other(bench: Bench, other: str) -> None:
    held, call = await _claimed(bench, "first")
    ledger = _ledger(bench.hub.hub.database, bench)
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
        new = await _lose(db, held)
        await calls.adopt(db, new, [call.id])
        if other != "none":
            again = replace(_sending(new, replace(call, attempts=1)), number=2)
            await calls.mark_sending(db, [again])
            state, status = ("unsure", None) if other == "may have acted" else ("late", 422)
            await db.execute("update attempt set state = $2, status = $3 where id = $1", again.id, state, status)
    asked = replace(_ended(call, replace(sending, fence=new.fence), "unsure", "uncertain"), effect_state="uncertain")
    await ledger.record(replace(asked, unsure=True, question="Did it happen?", output=None))
    refused = replace(_ended(call, sending, "permanent", "dead"), status=422, error="no such customer", output=None)
    await ledger.record(replace(refused, effect_state="released", error_kind="permanent"))
    (known,) = await bench.calls()
    effect = await bench.hub.one("select state from effect")
    if other == "may have acted":
        assert (known["state"], known["question"], effect) == ("uncertain", "Did it happen?", "uncertain")
        return
    assert (known["state"], known["unsure"], known["question"], effect) == ("dead", False, None, "released")
    assert known["error"] == "no such customer"
    await bench.hub.settle()
    assert await bench.hub.one("select state from run") == "failed"
    assert bench.outside.asked == []


async def test_of_a_call_that_a_crash_took_back_no_end_is_kept(bench: Bench) -> None:
    held, call = await _claimed(bench, "first")
    await bench.hub.rows("delete from call")
    assert await _ledger(bench.hub.hub.database, bench).record(_ended(call, _sending(held, call))) is False
    assert await bench.hub.one("select count(*) from attempt") == 0


async def test_an_end_written_twice_is_written_once(bench: Bench) -> None:
    """The commit was done, its answer lost: the second writing must not take it for somebody else's."""
    held, call = await _claimed(bench, "first")
    ledger = _ledger(bench.hub.hub.database, bench)
    async with bench.hub.hub.database.acquire() as db:
        sending = _sending(held, call)
        await calls.mark_sending(db, [sending])
    for _ in range(2):
        assert await ledger.record(_ended(call, sending)) is True
    assert await bench.hub.one("select state from attempt") == "ok"
    effect = (await bench.hub.rows("select state, doubled from effect"))[0]
    assert (effect["state"], effect["doubled"]) == ("done", False)


def _ledger(database: Database, bench: Bench) -> Ledger:
    return Ledger(database, bench.hub.hub.clock, lambda: None)


async def test_claims_that_do_not_fly_are_freed(bench: Bench) -> None:
    held, call = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        now = bench.hub.hub.clock.now()
        await calls.free_leaked(db, held, [call.id])
        assert await calls.claim(db, held, now, 10) == []
        await calls.free_leaked(db, held, [])
        assert [again.id for again in await calls.claim(db, held, now, 10)] == [call.id]


@pytest.mark.parametrize("opened", ["by new credentials", "by a probe"])
async def test_the_time_in_which_a_lane_was_parked_ages_no_call_whoever_drains_it_then(
    bench: Bench, opened: str
) -> None:
    held, call = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        assert await calls.first_tried(db, call) is None
        await calls.mark_sending(db, [_sending(held, call)])
        began = await calls.first_tried(db, call)
        assert began == await db.fetchval("select at from attempt")
        await lanes.park(db, held, "credentials: 401", timedelta(seconds=60))
        if opened == "by a probe":
            await lanes.unpark(db, held.connection_id)
        else:
            assert await lanes.credentials_changed(db, held.connection_id, bench.hub.hub.clock.now())
        resumed = await db.fetchval("select resumed_at from lane where state = 'open'")
        assert await calls.first_tried(db, call) == resumed > began


async def test_a_claim_that_a_crash_took_back_is_not_sent_a_second_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL lost the claim, not the process: it claims the call again while the first taking-up waits its turn."""
    turn, waiting, mark = asyncio.Event(), [], Lane._mark

    async def late(lane: Lane, sending: Sending) -> bool:
        waiting.append(sending)
        await turn.wait()
        return await mark(lane, sending)

    async def claimed() -> bool:
        return bool(waiting) and bool(await bench.hub.one("select count(*) from call where lease_until is not null"))

    monkeypatch.setattr(Lane, "_mark", late)
    await bench.recipe("make_unsafe")
    await bench.order(1)
    await bench.until(claimed)
    await bench.hub.rows("update call set owner = null, lease_until = null")
    await bench.until(claimed)
    await asyncio.sleep(0)
    turn.set()
    await bench.hub.settle()
    assert bench.outside.orders == ["1"]
    assert [call["state"] for call in await bench.calls()] == ["done"]


async def test_a_bell_rung_while_the_lane_is_let_go_is_heard(bench: Bench) -> None:
    held, _ = await _claimed(bench, "first")
    async with bench.hub.hub.database.acquire() as db:
        assert await lanes.ring(db, held.connection_id)
        await lanes.keep(db, held)
        assert not await lanes.release(db, held)
        await lanes.renew(db, held)
        assert await lanes.release(db, held)
        assert not await lanes.ring(db, held.connection_id), "nobody holds it: the ringer must take it itself"


# --- the intake -------------------------------------------------------------------------------------------------


def _webhook(bench: Bench, key: bytes | None, topic: str = "order.paid") -> NewWebhook:
    return NewWebhook(new_id(), "main", bench.connection.id, topic, pack(b"[]"), pack(b"{}"), 2, key)


async def test_one_bad_webhook_among_199_good_fails_alone(bench: Bench) -> None:
    intake = Intake(bench.hub.hub.database, lambda: None)
    rows = [_webhook(bench, bytes([n] * 16), "bad\x00topic" if n == 77 else "order.paid") for n in range(200)]
    results = await asyncio.gather(*map(intake.keep, rows), return_exceptions=True)
    assert [n for n, result in enumerate(results) if result != "new"] == [77]
    assert await bench.hub.one("select count(*) from webhook") == 199


async def test_a_webhook_is_worked_before_it_is_on_disk_and_no_sender_hears_of_it_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pipeline.receive.FLUSH", "select pg_advisory_xact_lock(7)")
    database, rung = bench.hub.hub.database, asyncio.Event()
    async with database.acquire() as disk:
        await disk.execute("select pg_advisory_lock(7)")
        first = asyncio.create_task(Intake(database, rung.set).keep(_webhook(bench, b"k" * 16)))
        await rung.wait()
        assert await bench.hub.one("select count(*) from webhook") == 1
        again = asyncio.create_task(Intake(database, rung.set).keep(_webhook(bench, b"k" * 16)))
        while await bench.hub.one("select count(*) from pg_locks where not granted") < 2:
            await asyncio.sleep(0.01)
        assert not first.done()
        assert not again.done(), "a redelivery is not answered either before what it repeats is on disk"
        await disk.execute("select pg_advisory_unlock(7)")
    assert [await first, await again] == ["new", "duplicate"]


async def test_a_large_batch_of_redeliveries_is_not_answered_before_the_disk_has_what_they_repeat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [_webhook(bench, bytes([n] * 16)) for n in range(SMALL + 1)]
    intake, database = Intake(bench.hub.hub.database, lambda: None), bench.hub.hub.database
    assert set(await intake._store(rows)) == {"new"}
    monkeypatch.setattr("app.pipeline.receive.FLUSH", "select pg_advisory_xact_lock(7)")
    async with database.acquire() as disk:
        await disk.execute("select pg_advisory_lock(7)")
        again = asyncio.create_task(intake._store([_webhook(bench, bytes([n] * 16)) for n in range(SMALL + 1)]))
        while not await bench.hub.one("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        assert not again.done()
        await disk.execute("select pg_advisory_unlock(7)")
    assert set(await again) == {"duplicate"}


async def test_two_processes_with_the_same_keys_in_opposite_order_never_wait_in_a_circle(bench: Bench) -> None:
    one, two = Intake(bench.hub.hub.database, lambda: None), Intake(bench.hub.hub.database, lambda: None)
    keys = [bytes([n] * 16) for n in range(150)]
    for round_ in range(5):
        marked = [bytes([round_]) + key[1:] for key in keys]
        results = await asyncio.gather(
            *(one.keep(_webhook(bench, key)) for key in marked),
            *(two.keep(_webhook(bench, key)) for key in reversed(marked)),
        )
        assert sorted(results) == ["duplicate"] * 150 + ["new"] * 150
    assert await bench.hub.one("select count(*) from webhook") == 750


async def test_an_order_that_comes_alone_asks_postgresql_few_times(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    acquire = Database.acquire

    def note(said: Any) -> None:
        if "typeinfo" not in said.query and "set_config('jit'" not in said.query:  # of a connection that is new
            asked.append(" ".join(said.query.split()))

    @asynccontextmanager
    async def noting(database: Database) -> AsyncIterator[Any]:
        async with acquire(database) as connection:
            with connection.query_logger(note):  # type: ignore[attr-defined]
                yield connection

    await bench.recipe("make_unsafe")
    for number in (1, 2):
        await bench.order(number, email="ada@example.com")
        await bench.hub.settle()
    monkeypatch.setattr(Database, "acquire", noting)
    await bench.order(3, email="ada@example.com")
    assert len(asked) == 2, asked
    asked.clear()
    await bench.hub.normaliser.drain()
    assert len(asked) == 8, asked
