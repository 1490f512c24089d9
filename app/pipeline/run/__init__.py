"""Stage 4: move runs to their next step.

A run begins in the transaction that stores its event (`begin`), and goes on whenever it is due (`drain`): a call of
its ended, or a wait is over. Due runs are locked for the transaction; nothing outside is done here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from app import events as canonical
from app.bells import Bells
from app.clock import Clock
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.recipes import ActiveRecipe, Recipes
from app.domain.scope import scope_of
from app.pipeline.run.advance import Facts, Surroundings, Walk
from app.recipes import Call, Recipe, Step
from app.store import calls, events, runs
from app.store.database import Connection as Db
from app.store.database import Database
from app.store.packing import unpack, unpack_json
from app.store.runs import DueRun, NewRun

log = structlog.get_logger()


Standing = tuple[UUID, str, str | None, datetime | None, datetime | None]
"""How a run stands: id, state, reason, due_at, ended_at."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that should begin now."""

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


@dataclass(frozen=True)
class Runner:
    """The stage with what it needs."""

    database: Database
    recipes: Recipes
    connections: Connections
    hasher: Hasher
    clock: Clock
    bells: Bells
    batch: int = 200

    async def begin(self, db: Db, beginnings: Sequence[Beginning]) -> set[UUID]:
        """Store new runs with their first steps and calls; answers the connections whose lanes now have work."""
        now = self.clock.now()
        walks = []
        rows = []
        for beginning in beginnings:
            held = beginning.active.paused and beginning.mode == "live"
            walk = self._walk(_facts(beginning), dict(beginning.scope), [], [], now)
            if not held:
                walks.append(walk.go())
            rows.append(_new_run(beginning, walk, held, now))
        await runs.insert(db, rows)
        return await self._write(db, walks, now)

    async def drain(self) -> bool:
        """Move one batch of due runs; True when there may be more."""
        now = self.clock.now()
        async with self.database.transaction() as db:
            due = await runs.claim(db, now, self.batch)
            lanes = await self._advance(db, due, now) if due else set()
        for connection_id in lanes:
            self.bells.ring(f"lane:{connection_id}")
        return len(due) == self.batch

    async def _advance(self, db: Db, due: Sequence[DueRun], now: datetime) -> set[UUID]:
        steps, made = await runs.progress(db, [run.id for run in due])
        stored = await events.load(db, list({run.event_id for run in due}))
        walks: list[Walk] = []
        saved: list[Standing] = []
        for run in due:
            recipe = await self.recipes.version(run.version_id)
            event = stored.get(run.event_id)
            if recipe is None or (event is None and run.data is None):
                reason = "its recipe version cannot be loaded" if recipe is None else "its event expired"
                saved.append((run.id, "failed", reason, None, now))
                continue
            walk = self._walk(*self._resumed(run, recipe, event), steps[run.id], made[run.id], now)
            walks.append(walk.go())
            saved.append(_standing(walk, now))
        lanes = await self._write(db, walks, now)
        await runs.save(db, saved)
        return lanes

    def _resumed(self, run: DueRun, recipe: Recipe, event: Any) -> tuple[Facts, dict[str, Any]]:
        connection = self.connections.get(run.connection_id)
        facts = Facts(
            run.id, run.workspace, recipe, run.event_id, connection, run.subject, run.once_value, run.generation,
            run.mode == "dry",
        )  # fmt: skip
        kept = unpack_json(run.data) if run.data else {
            "type": event["type"], "data": unpack(event["data"]), "schema": event["schema_version"], "test": event["test"],
            "occurred_at": event["occurred_at"], "historical": event["historical"],
        }  # fmt: skip
        data = canonical.load(kept["type"], kept["schema"], kept["data"])
        scope = scope_of(
            data, run.event_id, kept["type"], _moment(kept["occurred_at"]), connection, kept["test"], kept["historical"]
        )
        active = self.recipes.find(run.workspace, run.recipe)
        defaults = {name: declared.default for name, declared in recipe.inputs.items()}
        inputs = defaults | (dict(active.inputs) if active else {})
        return facts, {**scope, "inputs": inputs, "now": self.clock.now()}

    def _walk(self, facts: Facts, scope: dict[str, Any], steps: Any, made: Any, now: datetime) -> Walk:
        by_path: dict[str, list[Any]] = {}
        for call in made:
            by_path.setdefault(call.path, []).append(call)
        around = Surroundings(self._target, self.recipes.action, partial(effect_key, self.hasher), now)
        return Walk(facts, around, scope, {step.path: step for step in steps}, by_path)

    def _target(self, facts: Facts, call: Call) -> Connection | str:
        return self.recipes.target(facts.workspace, facts.recipe, call, facts.connection)

    async def _write(self, db: Db, walks: Sequence[Walk], now: datetime) -> set[UUID]:
        await runs.insert_steps(db, [step for walk in walks for step in walk.new_steps])
        await runs.end_steps(db, [step for walk in walks for step in walk.ended_steps], now)
        made = [call for walk in walks for call in walk.new_calls]
        await calls.insert(db, made)
        return {call.connection_id for call in made if call.state == "due"}


def effect_key(hasher: Hasher, facts: Facts, step: Step, target: Connection, item: str | None) -> bytes:
    """The key under which the ledger knows this effect: never the version, the run or the attempt."""
    call = step.does
    named = f"effect/{call.effect}" if isinstance(call, Call) and call.effect else f"{facts.recipe.name}/{step.path}"
    source = facts.connection.id.bytes if facts.connection else b""
    return hasher(
        "effect", facts.workspace, source, named, target.id.bytes, facts.once_value, item or "", str(facts.generation)
    )


def _facts(beginning: Beginning) -> Facts:
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
    )


def _new_run(beginning: Beginning, walk: Walk, held: bool, now: datetime) -> NewRun:
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
        state="held" if held else state,
        reason="the recipe is paused" if held else reason,
        due_at=due_at,
        ended_at=ended_at,
    )


def _standing(walk: Walk, now: datetime) -> Standing:
    over = walk.state in ("done", "failed", "cancelled")
    return walk.facts.run_id, walk.state, walk.reason, None if over else walk.due_at, now if over else None


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
