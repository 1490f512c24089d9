"""What a run would do: the recipe is walked in memory, and the ledger says which of its effects exist already.

The walk goes on behind a call only as far as the effect's output is known; what stands behind a new effect is not
foreseen.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.ids import new_id
from app.pipeline.run import Facts, Runner, Walk
from app.pipeline.run.advance import LIMITS
from app.store import byhand as store
from app.store.calls import NewCall
from app.store.database import Connection as Db
from app.store.database import Row
from app.store.runs import CallRow, NewStep, StepRow

ROUNDS = 200
"""Walks at most: each ends at least one step or begins a call."""


@dataclass(frozen=True, slots=True)
class ForeseenEffect:
    """An effect that a run would meet. standing: done, reserved, uncertain, or new."""

    step: str
    item: str | None
    action: str
    connection_id: UUID
    key: bytes
    standing: str
    call_id: UUID | None


@dataclass
class Foreseen:
    """What a run would do, as far as it can be known before."""

    effects: list[ForeseenEffect] = field(default_factory=list)
    state: str = "running"
    reason: str | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing stands behind what is foreseen."""
        return self.state in ("done", "failed", "cancelled")


@dataclass
class _Memory:
    """Steps and calls as they would be recorded."""

    steps: dict[str, StepRow] = field(default_factory=dict)
    calls: dict[str, list[CallRow]] = field(default_factory=dict)

    def take(self, walk: Walk) -> bool:
        """Remember what a walk would write; False when that is nothing."""
        for step in walk.new_steps:
            self.steps[step.path] = _row(step)
        for step_id, state, output, error in walk.ended_steps:
            path = next(path for path, row in self.steps.items() if row.id == step_id)
            found = None if output is None else orjson.loads(output)
            self.steps[path] = replace(self.steps[path], state=state, output=found, error=error)
        if walk.asks_leave and LIMITS not in self.steps:
            self.steps[LIMITS] = StepRow(new_id(), walk.facts.run_id, LIMITS, LIMITS, "done", None, None, None)
            return True
        return bool(walk.new_steps or walk.ended_steps or walk.new_calls)

    def call(self, call: NewCall, state: str, output: Any) -> None:
        row = CallRow(call.run_id, call.path, call.item, state, output, None)
        self.calls.setdefault(call.path, []).append(row)


def _row(step: NewStep) -> StepRow:
    output = None if step.output is None else orjson.loads(step.output)
    return StepRow(step.id, step.run_id, step.path, step.kind, step.state, output, step.error, step.due_at)


@dataclass
class Wish:
    """A run whose doings shall be foreseen. carried: outputs of effects that are to be known under these keys, though
    the ledger has them under others."""

    facts: Facts
    scope: Mapping[str, Any]
    carried: Mapping[bytes, Any]
    seen: Foreseen = field(default_factory=Foreseen)
    memory: _Memory = field(default_factory=_Memory)
    over: bool = False


async def foresee(db: Db, runner: Runner, wishes: Sequence[Wish]) -> None:
    """Walk runs to their ends, or to what is not known yet, and note it in their `seen`. They go in step, so that the
    ledger is asked once a step for all of them."""
    moments = dict.fromkeys(map(id, wishes), runner.clock.now())
    for _ in range(ROUNDS):
        going = [wish for wish in wishes if not wish.over]
        if not going:
            return
        walks = []
        for wish in going:
            await asyncio.sleep(0)  # new orders are worked meanwhile
            walks.append(_walk(runner, wish, moments[id(wish)]))
        keys = [call.effect_key for walk in walks for call in walk.new_calls]
        standing = await store.standing(db, keys) if keys else {}
        for wish, walk in zip(going, walks, strict=True):
            moments[id(wish)] = _take(wish, walk, standing, moments[id(wish)])


def _walk(runner: Runner, wish: Wish, now: datetime) -> Walk:
    """One walk that met no event to wait for, and that limits let go on."""
    calls = [call for made in wish.memory.calls.values() for call in made]
    walk = runner._walk(wish.facts, dict(wish.scope), list(wish.memory.steps.values()), calls, now)
    walk.looked = True
    return walk.go()


def _take(wish: Wish, walk: Walk, standing: Mapping[bytes, Row], now: datetime) -> datetime:
    """Remember what a walk would do; answers the moment from which the next one looks."""
    moved = wish.memory.take(walk)
    for call in walk.new_calls:
        _meet(wish, call, standing.get(call.effect_key))
    wish.seen.state, wish.seen.reason = walk.state, walk.reason
    wish.over = wish.seen.whole
    if wish.over or moved:
        return now
    wish.over = walk.due_at is None or walk.due_at <= now
    return now if wish.over or walk.due_at is None else walk.due_at


def _meet(wish: Wish, call: NewCall, row: Row | None) -> None:
    """What a call finds in the ledger under its effect key."""
    state = row["state"] if row and row["state"] != "released" else "new"
    output = row["output"] if row else None
    if call.effect_key in wish.carried:
        state, output = "done", wish.carried[call.effect_key]
    wish.memory.call(call, "done" if state == "done" else "due", output)
    wish.seen.effects.append(
        ForeseenEffect(
            call.path, call.item, call.action, call.connection_id, call.effect_key, state,
            row["call_id"] if row else None,
        )
    )  # fmt: skip
