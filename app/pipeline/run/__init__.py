"""Stage 4: move runs to their next step.

A run begins in the transaction that stores its event (`begin`), and goes on whenever it is due (`drain`): a call of
its ended, a wait is over, an event came. Due runs are locked for the transaction; nothing outside is done here.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID

import structlog

from app import events as canonical
from app.bells import Bells
from app.clock import Clock
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.memory import recall
from app.domain.recipes import ActiveRecipe, Recipes, inputs_of, outline_of
from app.domain.scope import LateScope, scope_of_stored
from app.ids import new_id, time_of
from app.logs import traced
from app.pipeline.run import leave, listening
from app.pipeline.run.advance import LIMITS, Walk
from app.pipeline.run.facts import Facts, RunEnd, Surroundings
from app.pipeline.run.listening import Listening
from app.pipeline.run.written import write
from app.recipes import Call, Recipe, Step
from app.store import events, runs, waiters
from app.store.database import Connection as Db
from app.store.database import Database, batch_or_each, is_refused, to_json
from app.store.packing import unpack, unpack_json
from app.store.runs import DueRun, NewRun, NewStep, StepRow
from app.store.waiters import NewWaiter

__all__ = ["Beginning", "Facts", "RunEnd", "Runner", "Surroundings", "Walk", "effect_key"]

log = structlog.get_logger()

BEHIND = timedelta(seconds=2)
"""After which a run that stands behind another looks again, should nobody have woken it."""
QUEUE = "queue"
"""Path of the row that stands for a run's place behind the run before it (`again: queue`)."""
IN_FLIGHT = timedelta(milliseconds=300)
AT_A_TIME = 4
"""Runs that are walked before others of the process get their turn: a walk takes milliseconds, and calls go out
meanwhile."""

Standing = tuple[UUID, str, str | None, datetime | None, datetime | None]
"""How a run stands: id, state, reason, due_at, ended_at."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that should begin now. about: kind and id of its subject; after: the run that it is queued behind."""

    run_id: UUID
    active: ActiveRecipe
    event_id: UUID
    connection: Connection | None
    subject: bytes
    once_value: str
    scope: dict[str, Any]
    generation: int = 0
    mode: str = "live"
    replay_of: UUID | None = None
    replay_id: UUID | None = None
    about: tuple[str, str] | None = None
    after: UUID | None = None


@dataclass(frozen=True)
class Runner:
    """The stage with what it needs."""

    database: Database
    recipes: Recipes
    connections: Connections
    hasher: Hasher
    clock: Clock
    bells: Bells
    batch: int = 100
    _turn: Iterator[bool] = field(default_factory=lambda: cycle((False, True)))
    """Whether the next batch takes what came due last, where more is due than one batch: thousands of waits that end at
    one moment hold up no run whose call ended meanwhile."""

    # --- beginning -----------------------------------------------------------------------------------------------

    async def begin(self, db: Db, beginnings: Sequence[Beginning]) -> set[UUID]:
        """Store new runs with their first steps and calls; answers the connections whose lanes now have work."""
        now = self.clock.now()
        behind = await self._behind(db, beginnings)
        walks, rows, queued = [], [], []
        for number, beginning in enumerate(beginnings, 1):
            if number % 10 == 0:
                await asyncio.sleep(0)  # others of this process go on meanwhile
            walk = self._walk(facts_of(beginning), dict(beginning.scope), [], [], now)
            stays = "the recipe is paused" if _held(beginning) else None
            if stays is None and beginning.run_id in behind:
                stays = "it waits for an earlier run"
                walk.due_at = now + BEHIND
                queued.append(beginning)
            if stays is None:
                walks.append(walk.go())
            rows.append(_new_run(beginning, walk, stays, now))
        walks = await self._with_leave(db, walks, now)
        if any(walk.facts.recipe.limits for walk in walks):
            rows = _standing_anew(rows, walks, now)
        await runs.insert(db, rows)
        if queued:
            await self._queue(db, [each for each in queued if each.after is not None], now)
        return await write(db, self.hasher, self.recipes, walks, now)

    async def _behind(self, db: Db, beginnings: Sequence[Beginning]) -> set[UUID]:
        """Which new runs stand behind another of their recipe and subject, or in a queue."""
        ordered = [b for b in beginnings if b.mode == "live" and outline_of(b.active.recipe).ordered]
        behind = await runs.blocked(
            db, [(b.run_id, b.active.workspace, b.active.name, b.subject, b.event_id) for b in ordered]
        )
        seen: set[tuple[str, str, bytes]] = set()
        for b in ordered:
            line = (b.active.workspace, b.active.name, b.subject)
            behind |= {b.run_id} if line in seen else set()
            seen.add(line)
        queued = {b.run_id: b.after for b in beginnings if b.after is not None}
        if queued:
            new = {b.run_id for b in beginnings}
            states = await runs.states(db, [after for after in queued.values() if after not in new])
            behind |= {i for i, after in queued.items() if after in new or states.get(after) in _OPEN}
        return behind

    async def _queue(self, db: Db, queued: Sequence[Beginning], now: datetime) -> None:
        """Note behind which runs these stand: a row that people see, and a waiter for the other's end."""
        steps, ears = [], []
        for b in queued:
            output = to_json({"after": str(b.after)})
            steps.append(
                NewStep(new_id(), b.active.workspace, b.run_id, QUEUE, QUEUE, "running", output, None, None, None)
            )
            assert b.after is not None  # noqa: S101 (asked by the caller)
            value = b.after.bytes
            ears.append(NewWaiter(new_id(), b.active.workspace, listening.ENDED, "run", value, b.run_id, QUEUE))
        await runs.insert_steps(db, steps)
        await waiters.insert(db, ears)

    # --- going on ------------------------------------------------------------------------------------------------

    async def drain(self) -> bool:
        """Move one batch of due runs; True when there may be more."""
        now = self.clock.now()
        return await batch_or_each(partial(self._batch, now), partial(self._one_by_one, now))

    async def _batch(self, now: datetime) -> bool:
        async with self.database.transaction(flushed=False) as db:
            due = await runs.claim(db, now, self.batch, next(self._turn))
            lanes, others = await self._advance(db, due, now) if due else (set(), set())
        self._ring(lanes, others)
        return len(due) == self.batch

    async def _one_by_one(self, now: datetime) -> bool:
        """A batch failed for one run: that one ends, and nobody pays for what it met."""
        for _ in range(self.batch):
            async with self.database.transaction() as db:
                due = await runs.claim(db, now, 1)
                if not due:
                    return False
                try:
                    async with db.transaction():
                        found = await self._advance(db, due, now)
                except Exception as e:
                    if not is_refused(e):
                        raise
                    log.error("a run cannot be moved", run=str(due[0].id), **traced(e))
                    reason = f"it cannot be moved: a fault of the hub ({type(e).__name__})"
                    await runs.save(db, [(due[0].id, "failed", reason, None, now)])
                    await _give_way(db, due, now)
                    found = set(), set()
            self._ring(*found)
        return True

    def _ring(self, lanes: Iterable[UUID], others: Iterable[str]) -> None:
        for name in [*others, *(f"lane:{connection_id}" for connection_id in lanes)]:
            self.bells.ring(name)

    async def match_waiters(self) -> bool:
        """Hold a batch of committed events against the runs that wait; True when there may be more."""
        return await batch_or_each(partial(self._match_waiters, self.batch), self._match_each)

    async def _match_each(self) -> bool:
        """A batch failed for one event: that one is heard by nobody, the others are."""
        for _ in range(self.batch):
            if not await self._match_waiters(1):
                return False
        return True

    async def _match_waiters(self, limit: int) -> bool:
        heard = 0
        async with self.database.transaction() as db:
            claimed = await waiters.claim_events(db, limit)
            if not claimed:
                return False
            try:
                async with db.transaction():
                    heard = await listening.match_waiters(db, self.hasher, self.connections, claimed, self.clock.now())
            except Exception as e:
                if limit > 1 or not is_refused(e):
                    raise
                log.error("an event cannot be held against those that wait", id=str(claimed[0]["id"]), **traced(e))
            await waiters.matched(db, claimed)
        if heard:
            self.bells.ring("run")
        return len(claimed) == limit

    async def _advance(self, db: Db, due: Sequence[DueRun], now: datetime) -> tuple[set[UUID], set[str]]:
        steps, made = await runs.progress(db, [run.id for run in due])
        stored = await events.load(db, list({run.event_id for run in due}))
        saved: list[Standing] = []
        known: list[tuple[DueRun, Recipe]] = []
        lost: list[DueRun] = []
        for run in due:
            recipe = await self.recipes.version(run.version_id)
            if recipe is None or (run.event_id not in stored and run.data is None):
                reason = "its recipe version cannot be loaded" if recipe is None else "its event expired"
                saved.append((run.id, "failed", reason, None, now))
                lost.append(run)
            else:
                known.append((run, recipe))
        stay = await self._staying(db, known, steps, now)
        heard = await listening.listen(db, self.hasher, self.connections, known, steps, now)
        resumed = {run.id: self._resumed(run, recipe, stored.get(run.event_id)) for run, recipe in known}
        await self._recall(db, [resumed[run.id] for run, _ in known])
        walks = []
        for number, (run, _) in enumerate(known):
            if number % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
            if (until := stay.get(run.id) or heard.held.get(run.id)) is not None:
                saved.append(
                    (run.id, run.state, "it waits for an earlier run" if run.id in stay else None, until, None)
                )
                continue
            walk = self._walk(*resumed[run.id], steps[run.id], made[run.id], now)
            self._hear(walk, run, heard, now)
            walks.append(walk.go())
        walks = await self._with_leave(db, walks, now)
        await self._cancel(db, walks, heard, now)
        lanes = await write(db, self.hasher, self.recipes, walks, now)
        saved += [_standing(walk, now) for walk in walks]
        await runs.save(db, saved)
        await waiters.forget_heard(db, heard.weighed)
        await self._after(db, walks, now)
        await _give_way(db, lost, now)
        others = {"timed"} if any(walk.emitted for walk in walks) else set[str]()
        soon = any(walk.due_at is not None and walk.due_at <= now and walk.state not in _OVER for walk in walks)
        return lanes, others | {"run"} if soon else others

    async def _staying(
        self, db: Db, known: Sequence[tuple[DueRun, Recipe]], steps: Mapping[UUID, list[StepRow]], now: datetime
    ) -> dict[UUID, datetime]:
        """Runs that have not begun and may not yet, with when they look again."""
        unbegun = [
            run
            for run, recipe in known
            if run.mode == "live" and outline_of(recipe).ordered and not any(row.path != QUEUE for row in steps[run.id])
        ]
        blocked = await runs.blocked(db, [(r.id, r.workspace, r.recipe, r.subject, r.event_id) for r in unbegun])
        queued = {
            run.id: (row, UUID(row.output["after"]))
            for run, _ in known
            for row in steps[run.id]
            if row.path == QUEUE and row.state == "running"
        }
        if queued:
            states = await runs.states(db, [after for _, after in queued.values()])
            over = [run_id for run_id, (_, after) in queued.items() if states.get(after) not in _OPEN]
            await runs.end_steps(db, [(queued[i][0].id, "done", to_json(queued[i][0].output), None) for i in over], now)
            for run_id in over:
                row = queued[run_id][0]
                steps[run_id].remove(row)
                steps[run_id].append(replace(row, state="done"))
            blocked |= queued.keys() - set(over)
        waited = {run.id: now - time_of(run.id) for run, _ in known if run.id in blocked}
        return {i: now + max(BEHIND, min(timedelta(minutes=1), span / 4)) for i, span in waited.items()}

    async def _recall(self, db: Db, resumed: Sequence[tuple[Facts, dict[str, Any]]]) -> None:
        wanted = [
            (facts.workspace, facts.connection, scope, nouns)
            for facts, scope in resumed
            if (nouns := outline_of(facts.recipe).recalls)
        ]
        if wanted:
            await recall(db, self.hasher, wanted)

    def _hear(self, walk: Walk, run: DueRun, heard: Listening, now: datetime) -> None:
        """Tell a walk what its run heard. A version that other processes may not know yet looks back again later."""
        walk.heard = heard.heard.get(run.id, ())
        if run.id in heard.looked:
            awaits = outline_of(walk.facts.recipe).awaits
            everywhere = all(self.recipes.awaited(run.workspace, each) for each in awaits)
            walk.looked = everywhere and not listening.young(run, now)
            walk.looks_at = now + listening.YOUNG / 2

    async def _with_leave(self, db: Db, walks: list[Walk], now: datetime) -> list[Walk]:
        """Ask the limits for the runs that stand before their first call; those that may go on are walked again."""
        asking = [walk for walk in walks if walk.asks_leave and walk.state not in _OVER]
        if not asking:
            return walks
        answers = await leave.ask(db, self.hasher, [(walk.facts, walk.scope) for walk in asking], now, self._longest)
        answered = {id(w): after_leave(w, a, now) for w, a in zip(asking, answers, strict=True)}
        return [answered.get(id(walk), walk) for walk in walks]

    async def _cancel(self, db: Db, walks: Sequence[Walk], heard: Listening, now: datetime) -> None:
        """End the unsent calls of cancelled runs. One whose call is under way ends when that is over."""
        cancelled = {walk.facts.run_id: walk for walk in walks if walk.state == "cancelled"}
        going = await runs.cancel_calls(db, list(cancelled))
        for run_id in going:
            walk = cancelled[run_id]
            walk.state, walk.reason, walk.due_at = "running", f"cancelling: {walk.reason}", now + IN_FLIGHT
            walk.fresh.clear()
            walk.ended_steps.clear()
            walk.emitted.clear()
        heard.weighed = [pair for pair in heard.weighed if pair[0] not in going]
        again = [(run_id, h.id) for run_id in going for h in heard.heard.get(run_id, ())]
        await waiters.note(db, again)

    async def _after(self, db: Db, walks: Sequence[Walk], now: datetime) -> None:
        """What others do when runs ended or began to wait: waiters go, and who stood behind goes on."""
        over = [walk for walk in walks if walk.state in _OVER]
        listened = [walk.facts.run_id for walk in over if outline_of(walk.facts.recipe).awaits]
        await waiters.remove(db, listened, [pair for walk in walks for pair in walk.deaf])
        freed = [walk for walk in walks if walk.state != "running" and outline_of(walk.facts.recipe).ordered]
        lines = [(w.facts.workspace, w.facts.recipe.name, w.facts.subject, w.facts.event_id) for w in freed]
        await runs.wake_next(db, lines, now)
        ended = [walk.facts for walk in over if walk.facts.recipe.again == "queue"]
        await _wake_queued(db, [(f.event_id, f.workspace, f.run_id) for f in ended], now)

    # --- one run -------------------------------------------------------------------------------------------------

    def _resumed(self, run: DueRun, recipe: Recipe, event: Any) -> tuple[Facts, dict[str, Any]]:
        connection = self.connections.get(run.connection_id)
        kept = unpack_json(run.data) if run.data else _kept(event)
        about = (kept["subject_kind"], kept["subject_id"]) if "subject_id" in kept else None
        facts = Facts(
            run.id, run.workspace, recipe, run.event_id, connection, run.subject, run.once_value, run.generation,
            run.mode == "dry", about, run.replay_id is not None,
        )  # fmt: skip
        return facts, LateScope(lambda: self._scope(run, recipe, connection, kept))

    def _scope(
        self, run: DueRun, recipe: Recipe, connection: Connection | None, kept: Mapping[str, Any]
    ) -> dict[str, Any]:
        slug, platform = (connection.slug, connection.connector.slug) if connection else (None, None)
        data = canonical.load(kept["type"], kept["schema"], kept["data"])
        scope = scope_of_stored(data, run.event_id, {**kept, "connection": slug, "platform": platform})
        absent = outline_of(recipe).absent
        return {**absent, **scope, "inputs": self._inputs(run, recipe), "now": self.clock.now()}

    def _inputs(self, run: DueRun, recipe: Recipe) -> Mapping[str, Any]:
        active = self.recipes.find(run.workspace, run.recipe)
        if active is not None and active.version_id == run.version_id:
            return active.inputs
        return inputs_of(recipe, active.inputs if active else {})[0]

    def _walk(self, facts: Facts, scope: dict[str, Any], steps: Any, made: Any, now: datetime) -> Walk:
        by_path: dict[str, list[Any]] = {}
        for call in made:
            by_path.setdefault(call.path, []).append(call)
        around = Surroundings(
            self._target, self.recipes.action, partial(effect_key, self.hasher), now, self._zone, self._locale
        )
        return Walk(facts, around, scope, {step.path: step for step in steps}, by_path)

    def _target(self, facts: Facts, call: Call) -> Connection | str:
        return self.recipes.target(facts.workspace, facts.recipe, call, facts.connection)

    def _locale(self, facts: Facts) -> str | None:
        return self.recipes.locale(facts.workspace)

    def _longest(self, facts: Facts) -> timedelta:
        return self.recipes.counted_within(facts.workspace, facts.recipe.group)

    def _zone(self, facts: Facts, name: str | None, scope: Mapping[str, Any]) -> Any:
        return self.recipes.zone(facts.workspace, name, scope)


_OPEN = ("running", "waiting", "held")
_OVER = ("done", "failed", "cancelled")


async def _wake_queued(db: Db, ended: Sequence[tuple[UUID, str, UUID]], now: datetime) -> None:
    """Let go on what is queued behind runs (event id, workspace, run id) that ended."""
    probes = [(event, workspace, listening.ENDED, "run", run.bytes) for event, workspace, run in ended]
    next_ones = await waiters.find(db, probes)
    if next_ones:
        await runs.make_due(db, [run_id for run_id, _ in next_ones], now, skip=True)
        await waiters.remove(db, [], [(run_id, QUEUE) for run_id, _ in next_ones])


async def _give_way(db: Db, failed: Sequence[DueRun], now: datetime) -> None:
    """Runs that failed without a walk wait for nothing any more, and hold nobody back, whatever their recipe says."""
    if failed:
        await waiters.remove(db, [run.id for run in failed], [])
        await runs.wake_next(db, [(run.workspace, run.recipe, run.subject, run.event_id) for run in failed], now)
        await _wake_queued(db, [(run.event_id, run.workspace, run.id) for run in failed], now)


def effect_key(hasher: Hasher, facts: Facts, step: Step, target: Connection, item: str | None) -> bytes:
    """The key under which the ledger knows this effect: never the version, the run or the attempt."""
    call = step.does
    named = f"effect/{call.effect}" if isinstance(call, Call) and call.effect else f"{facts.recipe.name}/{step.path}"
    source = facts.connection.id.bytes if facts.connection else b""
    return hasher(
        "effect", facts.workspace, source, named, target.id.bytes, facts.once_value, item or "", str(facts.generation)
    )


def after_leave(walk: Walk, answer: leave.Answer, now: datetime) -> Walk:
    """A walk after the limits answered: gone on, put off, or ended."""
    before = walk.steps.get(LIMITS)
    if answer.state == "skipped":
        walk.state, walk.reason, walk.due_at = "cancelled", answer.reason, None
        walk.close()
        return walk
    row = before or StepRow(new_id(), walk.facts.run_id, LIMITS, LIMITS, "running", None, None, answer.until)
    if answer.state == "deferred":
        walk.put_off(row, before is None, answer.until)
        return walk
    memory = {**walk.steps, LIMITS: replace(row, state="done")}
    again = Walk(walk.facts, walk.around, walk.scope, memory, walk.calls, walk.heard, walk.looked)
    again.looks_at = walk.looks_at
    again.go().granted(row, before is None)
    return again


def facts_of(beginning: Beginning) -> Facts:
    return Facts(
        beginning.run_id,
        beginning.active.workspace,
        beginning.active.recipe,
        beginning.event_id,
        beginning.connection,
        beginning.subject,
        beginning.once_value,
        beginning.generation,
        beginning.mode == "dry",
        beginning.about,
        beginning.replay_id is not None,
    )


def _held(beginning: Beginning) -> bool:
    return beginning.active.paused and beginning.mode == "live"


def _new_run(beginning: Beginning, walk: Walk, stays: str | None, now: datetime) -> NewRun:
    _, state, reason, due_at, ended_at = _standing(walk, now)
    return NewRun(
        id=beginning.run_id,
        workspace=beginning.active.workspace,
        recipe=beginning.active.name,
        version_id=beginning.active.version_id,
        event_id=beginning.event_id,
        connection_id=beginning.connection.id if beginning.connection else None,
        subject=beginning.subject,
        once_value=beginning.once_value,
        generation=beginning.generation,
        mode=beginning.mode,
        replay_of=beginning.replay_of,
        replay_id=beginning.replay_id,
        state="held" if _held(beginning) else state,
        reason=stays or reason,
        due_at=due_at,
        ended_at=ended_at,
    )


def _standing_anew(rows: Sequence[NewRun], walks: Sequence[Walk], now: datetime) -> list[NewRun]:
    """New runs as they stand after their limits were asked."""
    by_id = {walk.facts.run_id: walk for walk in walks}
    made = []
    for row in rows:
        if row.id in by_id:
            _, state, reason, due_at, ended_at = _standing(by_id[row.id], now)
            row = replace(row, state=state, reason=reason, due_at=due_at, ended_at=ended_at)
        made.append(row)
    return made


def _standing(walk: Walk, now: datetime) -> Standing:
    over = walk.state in _OVER
    return walk.facts.run_id, walk.state, walk.reason, None if over else walk.due_at, now if over else None


def _kept(event: Any) -> dict[str, Any]:
    return {
        "type": event["type"], "data": unpack(event["data"]), "schema": event["schema_version"],
        "test": event["test"], "occurred_at": event["occurred_at"], "historical": event["historical"],
        "echo": event["echo"],
        "subject_kind": event["subject_kind"], "subject_id": event["subject_id"],
    }  # fmt: skip
