"""Claim, lease, attempt, record, crash in any order: two owners, one lane, the real statements, an outside that counts.

What a process does between two statements is a rule of its own, so a crash, a lost lease or a lost commit comes between
any two. A frozen process (its lease and deadlines run out) goes on later where it stood.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.ids import new_id
from app.pipeline.deliver.attempt import Attempt
from app.pipeline.deliver.ending import budget_of, ended
from app.pipeline.deliver.outcome import Failed, Ok, Outcome, Standing, decide
from app.pipeline.deliver.record import Ledger
from app.store import calls, lanes
from app.store.calls import DueCall, NewCall, Sending
from app.store.database import Database
from app.store.lanes import Held
from app.store.packing import pack
from tests.support.services import Databases
from tests.support.testconnector import ACTIONS

OWNERS = ("a", "b")
KINDS = {action.name: action for action in ACTIONS}
MARGIN = timedelta(seconds=1)
STAGES = ("claimed", "marked", "sent", "sent", "unheard", "refused", "ok", "ok, twice", "unsure")


@dataclass
class Flight:
    """A call in a process's hands: claimed, then marked, then sent."""

    call: DueCall
    attempt: Attempt
    stage: str = "claimed"


@dataclass
class Owner:
    """What a process knows."""

    held: Held | None = None
    flights: dict[UUID, Flight] = field(default_factory=dict)


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Delivery(RuleBasedStateMachine):
    """`acted`: what the outside did, by call; `sent`: the attempts that reached it."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self.owners = {name: Owner() for name in OWNERS}
        self.acted: dict[UUID, int] = {}
        self.expired: set[UUID] = set()
        self.ledger = Ledger(self.database, _Clock(), lambda: None)
        self.lane = new_id()
        self.kinds: dict[UUID, str] = {}
        self._do(self._fill())

    def _do(self, work: Any) -> Any:
        return self.runner.run(work)

    def _sql(self, query: str, *args: Any) -> list[Any]:
        async def ask() -> list[Any]:
            async with self.database.acquire() as db:
                return await db.fetch(query, *args)

        return list(self._do(ask()))

    async def _fill(self) -> None:
        async with self.database.acquire() as db:
            await db.execute("truncate call, attempt, effect, lane")
            await lanes.make(db, [(self.lane, "main")])
            new = [self._call(name) for name in KINDS]
            await calls.insert(db, new)
            self.kinds = {call.id: call.action.partition(".")[2] for call in new}

    def _call(self, action: str) -> NewCall:
        id = new_id()
        due = datetime.now(UTC) - timedelta(seconds=1)
        return NewCall(id, "main", self.lane, new_id(), new_id(), "recipe", action, None, f"testbench.{action}",
                       id.bytes, id.bytes, pack(b"{}"), "{}", 0, False, "due", due)  # fmt: skip

    # --- what a process does --------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(OWNERS), upto=st.sampled_from(STAGES))
    def work(self, name: str, upto: str) -> None:
        """Take the lane if it is free, sweep, claim, and bring every call in hand as far as this."""
        self.take(name)
        self.sweep(name)
        self.retries_come_due()
        self.claim(name)
        if upto != "claimed":
            self.mark(name, upto == "unheard")
            self.take_back(name)
        if upto in ("refused", "sent", "ok", "ok, twice", "unsure"):
            self.send(name, upto != "refused")
        if upto in ("ok", "ok, twice", "unsure"):
            self.answer(name, upto != "unsure", upto == "ok, twice")

    def take(self, name: str) -> None:
        async def work() -> Held | None:
            async with self.database.acquire() as db:
                return await lanes.acquire(db, self.lane, name)

        owner = self.owners[name]
        if owner.held is None:
            owner.held = self._do(work())

    def claim(self, name: str) -> None:
        owner = self.owners[name]
        if owner.held is None:
            return

        async def work(held: Held) -> list[DueCall]:
            async with self.database.transaction() as db:
                claimed = await calls.claim(db, held, datetime.now(UTC), 10)
                assert all(call.reserved for call in claimed)
            return claimed

        for call in self._do(work(owner.held)):
            owner.flights[call.id] = Flight(call, Attempt(call))

    def mark(self, name: str, lost: bool) -> None:
        """`lost`: the mark is made, and the process never hears of it: its bytes stay here, and it says so later."""
        for flight in self._flights(name, "claimed"):
            call = flight.call
            if call.unsure and self.kinds[call.id] == "make_lookup" and self.acted.get(call.id):
                self._end(name, flight, Ok("{}", found=True))
            elif not self._do(self.ledger._mark([self._sending(name, flight)]))[0]:
                del self.owners[name].flights[call.id]
            else:
                flight.stage = "unheard" if lost else "marked"

    def _sending(self, name: str, flight: Flight) -> Sending:
        call = flight.call
        return Sending(flight.attempt.id, call.id, self.lane, call.attempts + 1, call.fence, name, pack(b"[]"), 30)

    def take_back(self, name: str) -> None:
        for flight in self._flights(name, "unheard"):
            self._end(name, flight, Failed("retryable", "not sent"))

    def send(self, name: str, acts: bool) -> None:
        """Bytes go only within the deadline; the outside acts, or says that it will not (429)."""
        for flight in self._flights(name, "marked"):
            if flight.attempt.id in self.expired:
                self._end(name, flight, Failed("retryable", "its time was over before it was sent"))
            elif acts:
                flight.attempt.sent, flight.stage = True, "sent"
                self.acted[flight.call.id] = self.acted.get(flight.call.id, 0) + 1
            else:
                self._end(name, flight, Failed("throttled", "429", retry_after=1))

    def answer(self, name: str, ok: bool, twice: bool) -> None:
        """The answers come, or the connections break. `twice`: the commit was done and its answer lost."""
        for flight in self._flights(name, "sent"):
            self._end(name, flight, Ok("{}") if ok else Failed("unsure", "cut off"), 2 if twice else 1)

    def sweep(self, name: str) -> None:
        owner = self.owners[name]
        if owner.held is not None:
            self._do(self._swept(owner.held, list(owner.flights)))

    @rule(name=st.sampled_from(OWNERS))
    def renew(self, name: str) -> None:
        async def work(held: Held) -> Held | None:
            async with self.database.acquire() as db:
                return await lanes.renew(db, held)

        owner = self.owners[name]
        if owner.held is not None:
            owner.held = self._do(work(owner.held))

    @rule(name=st.sampled_from(OWNERS))
    def die(self, name: str) -> None:
        self.owners[name] = Owner()

    # --- what the world does --------------------------------------------------------------------------------------

    @rule(deadlines=st.booleans())
    def freeze(self, deadlines: bool) -> None:
        """Whoever holds the lane stands still for as long as its lease, perhaps for as long as an answer takes."""
        self.lease_runs_out()
        if deadlines:
            self.deadlines_pass()

    def lease_runs_out(self) -> None:
        self._sql("update lane set lease_until = clock_timestamp() - interval '1 s' where owner is not null")

    def deadlines_pass(self) -> None:
        past = self._sql(
            "update attempt set deadline = clock_timestamp() - interval '2 s' where state = 'sending' returning id"
        )
        self.expired |= {row["id"] for row in past}

    def retries_come_due(self) -> None:
        self._sql("update call set due_at = clock_timestamp() - interval '1 s' where state = 'due'")

    # --- the promises ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_acts_twice_unseen(self) -> None:
        doubled = {row["key"] for row in self._sql("select key from effect where doubled")}
        for call_id, acted in self.acted.items():
            kind = self.kinds[call_id]
            if acted > 1 and kind in ("make_unsafe", "say_skip", "make_lookup"):
                raise AssertionError(f"{kind} acted {acted} times")
            if acted > 1 and kind == "say_repeat":
                done = self._sql("select state from call where id = $1", call_id)[0]["state"] == "done"
                assert not done or call_id.bytes in doubled, "repeated, and the effect does not say so"

    @invariant()
    def what_is_done_was_done(self) -> None:
        for row in self._sql("select id from call where state = 'done'"):
            assert self.acted.get(row["id"]), "done by the ledger, never by the outside"

    @invariant()
    def a_released_effect_never_acted(self) -> None:
        for row in self._sql("select call_id from effect where state = 'released'"):
            assert not self.acted.get(row["call_id"])

    def teardown(self) -> None:
        """Everybody dies; a new process brings all to an end, and no call, attempt or effect is left open."""
        self.owners = {"a": Owner()}
        for _ in range(40):
            self.lease_runs_out()
            self.deadlines_pass()
            self.retries_come_due()
            self.owners["a"].held = None
            for step in (self.take, self.sweep):
                step("a")
            self.retries_come_due()
            self.claim("a")
            self.mark("a", False)
            self.send("a", True)
            self.answer("a", True, False)
            if not self._sql("select 1 from call where state = 'due'"):
                break
        self.nothing_acts_twice_unseen()
        states = {row["state"] for row in self._sql("select state from call")}
        assert states <= {"done", "uncertain", "skipped"}, states
        assert not self._sql("select 1 from attempt where state = 'sending'")
        assert not self._sql("select 1 from effect where state = 'reserved'")

    # --- below ----------------------------------------------------------------------------------------------------

    def _flights(self, name: str, stage: str) -> list[Flight]:
        return [flight for flight in self.owners[name].flights.values() if flight.stage == stage]

    def _end(self, name: str, flight: Flight, outcome: Outcome, times: int = 1) -> None:
        for _ in range(times):
            self._do(self._conclude(flight.call, flight.attempt, outcome))
        del self.owners[name].flights[flight.call.id]

    async def _conclude(self, call: DueCall, attempt: Attempt, outcome: Outcome) -> None:
        action = KINDS[self.kinds[call.id]]
        standing = Standing(call.failures, call.unsure, call.sent_at, call.at)
        verdict = decide(
            outcome, standing, action, action.if_unsure, budget_of(call, action), datetime.now(UTC), attempt.sent
        )
        again = call.unsure and attempt.sent and isinstance(outcome, Ok) and not outcome.found
        await self.ledger._record([replace(ended(call, attempt, outcome, verdict), doubled=again)])

    async def _swept(self, held: Held, flying: list[UUID]) -> None:
        async with self.database.acquire() as db:
            await calls.free_leaked(db, held, flying)
            left = await calls.orphans(db, held, MARGIN, flying)
            if left:
                await calls.adopt(db, held, [call.id for _, _, call in left])
        for attempt_id, number, call in left:
            ours = replace(call, fence=held.fence, attempts=number - 1)
            await self._conclude(ours, Attempt(ours, attempt_id, sent=True), Failed("unsure", "its process died"))


@contextmanager
def _against(url: str) -> Iterator[None]:
    with asyncio.Runner() as runner:
        database = runner.run(Database(url, size=2).open())
        Delivery.runner, Delivery.database = runner, database
        try:
            yield
        finally:
            runner.run(database.close())


@pytest.mark.chaos
def test_any_order_of_claims_crashes_and_answers_keeps_the_ledger_true(databases: Databases) -> None:
    quiet: list[Any] = list(HealthCheck)
    bounds = settings(max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=quiet)
    with databases.fresh() as url, _against(url):
        run_state_machine_as_test(Delivery, settings=bounds)


@pytest.mark.chaos
def test_whatever_an_owner_was_doing_when_it_froze_the_next_one_doubles_nothing(databases: Databases) -> None:
    """Every case of: one owner gets so far, stands still, another gets so far, the first wakes and goes on."""
    before, meanwhile = ("claimed", "marked", "sent"), ("claimed", "sent", "ok", "unsure")
    after = ("sent", "ok, twice", "unsure")
    with databases.fresh() as url, _against(url):
        for first, deadlines, second, last in product(before, (False, True), meanwhile, after):
            try:
                _frozen(first, deadlines, second, last)
            except AssertionError as e:
                raise AssertionError(f"{first}, frozen ({deadlines=}), {second} elsewhere, {last}: {e}") from e


def _frozen(first: str, deadlines: bool, second: str, last: str) -> None:
    machine = Delivery()
    machine.work("a", first)
    machine.freeze(deadlines)
    machine.work("b", second)
    machine.nothing_acts_twice_unseen()
    machine.work("a", last)
    machine.nothing_acts_twice_unseen()
    machine.what_is_done_was_done()
    machine.work("b", "ok")
    machine.nothing_acts_twice_unseen()
    machine.a_released_effect_never_acted()
    machine.teardown()
