"""A backtest: stored events of the past run through one or two versions of a recipe, each with a clock of its own.

Nothing is sent or stored. What a call answered is what the stored run recorded, else it is made up, and counted as
*assumed*. Waits end in the time that passed; events that are waited for are those that really came.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import structlog

from app.connector import Action
from app.domain.connections import Connections
from app.domain.recipes import Recipes, outline_of
from app.errors import PermanentError
from app.pipeline.match.dry import simulated, stated
from app.pipeline.match.simulate import OPEN, Captured, Simulation, Told
from app.recipes import Recipe
from app.registry import Registry
from app.store import runs, waiters
from app.store.database import Database, Row

log = structlog.get_logger()

BATCH = 500
SHOWN = 50
"""Differences that a report tells one by one; all are counted."""


@dataclass
class Totals:
    """What one version did: runs by state, calls by action, what they count, and calls whose answer was made up."""

    runs: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    money: dict[str, Decimal] = field(default_factory=dict)
    contacts: int = 0
    assumed: int = 0

    def as_json(self) -> dict[str, Any]:
        money = {currency: str(amount) for currency, amount in sorted(self.money.items())}
        return {"runs": dict(self.runs), "calls": dict(self.calls), "money": money, "contacts": self.contacts,
                "assumed": self.assumed}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that two versions answer otherwise: the calls of each, as text."""

    event_id: UUID
    at: datetime
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass
class Backtest:
    """events: that were read; unreadable: left out, their data cannot be read any more."""

    recipe: str
    since: datetime
    until: datetime
    events: int = 0
    unreadable: int = 0
    new: Totals = field(default_factory=Totals)
    current: Totals | None = None
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe, "since": self.since.isoformat(), "until": self.until.isoformat(),
            "events": self.events, "unreadable": self.unreadable, "new": self.new.as_json(),
            "current": self.current.as_json() if self.current else None, "differing": self.differing,
            "differences": [
                {"event_id": str(d.event_id), "at": d.at.isoformat(), "before": d.before, "after": d.after}
                for d in self.differences
            ],
        }  # fmt: skip


@dataclass
class _Side:
    """One version in its own world. said: the calls of events that are not yet compared."""

    world: Simulation
    totals: Totals
    said: dict[UUID, list[str]] = field(default_factory=dict)

    def take(self) -> None:
        """Count what is new, and forget what has ended: memory stays flat."""
        runs_of = {run.facts.run_id: run.facts.event_id for run in self.world.runs}
        for call in self.world.calls:
            self._count(call, runs_of.get(call.run_id))
        self.world.calls.clear()
        for run in self.world.runs:
            if run.state not in OPEN:
                self.totals.runs[run.state] += 1
        self.world.forget_ended()

    def _count(self, call: Captured, event_id: UUID | None) -> None:
        self.totals.calls[call.use] += 1
        self.totals.assumed += call.assumed
        action = self._action(call)
        if action is not None and action.counts is not None:
            counted = action.counts(action.input.model_validate(call.values))
            self.totals.contacts += counted.contacts
            if counted.money is not None:
                before = self.totals.money.get(counted.money.currency, Decimal(0))
                self.totals.money[counted.money.currency] = before + counted.money.amount
        if event_id is not None:
            values = orjson.dumps(call.values, option=orjson.OPT_SORT_KEYS).decode()
            self.said.setdefault(event_id, []).append(f"{call.use} {call.step} {values}"[:2000])

    def _action(self, call: Captured) -> Action | None:
        connector = self.world.connectors.get(call.use.partition(".")[0])
        name = call.use.partition(".")[2]
        return next((a for a in connector.actions if a.name == name), None) if connector else None

    def open_events(self) -> set[UUID]:
        return {run.facts.event_id for run in self.world.runs}


async def backtest(
    database: Database, recipes: Recipes, connections: Connections, registry: Registry, workspace: str, recipe: Recipe,
    since: datetime, until: datetime, *, inputs: Mapping[str, Any] | None = None, against: Recipe | None = None,
    kept_since: datetime | None = None, progress: Callable[[int, datetime], None] = lambda events, at: None,
) -> Backtest:  # fmt: skip
    """Run the stored events of a span through a version, and `against` another, and compare them event by event.

    kept_since: how far back stored events reach. progress is told after each batch how many events were read, and up
    to when. Raises PermanentError for a span that retention has cut."""
    if kept_since is not None and since < kept_since:
        raise PermanentError(f"events are kept since {kept_since:%Y-%m-%d}: a backtest from {since:%Y-%m-%d} would lie")
    active = recipes.find(workspace, recipe.name)
    given = inputs if inputs is not None else active.inputs if active else {}
    report = Backtest(recipe.name, since, until)
    sides = [_Side(simulated(recipes, registry, workspace, recipe, given, {}, since), report.new)]
    if against is not None:
        report.current = Totals()
        sides.append(_Side(simulated(recipes, registry, workspace, against, given, {}, since), report.current))
    wanted = {event for side in sides for event in (*side.world.recipe.events, *outline_of(side.world.recipe).awaits)}
    moments: dict[UUID, datetime] = {}
    async for rows, recorded in _batches(database, workspace, sorted(wanted), recipe.name, since, until):
        for row in rows:
            moments[row["id"]] = row["at"]
            _one(row, recorded, sides, connections, report)
        _compare(report, sides, moments)
        progress(report.events, rows[-1]["at"])
    for side in sides:
        side.world.forward(max(until - side.world.now, timedelta(0)))
        side.take()
        side.totals.runs.update(run.state for run in side.world.runs)
        side.world.runs.clear()
    _compare(report, sides, moments)
    return report


async def _batches(
    database: Database, workspace: str, types: list[str], recipe: str, since: datetime, until: datetime
) -> AsyncIterator[tuple[list[Row], dict[UUID, dict[str, list[Any]]]]]:
    """Stored events in their order, with what the recipe's calls for them answered."""
    after: UUID | None = None
    while True:
        async with database.acquire() as db:
            rows = await waiters.span(db, workspace, types, since, until, after, BATCH)
            recorded = await runs.outputs(db, [row["id"] for row in rows], recipe)
        if not rows:
            return
        yield rows, recorded
        after = rows[-1]["id"]


def _one(
    row: Row, recorded: Mapping[UUID, Mapping[str, list[Any]]], sides: list[_Side], connections: Connections,
    report: Backtest,
) -> None:  # fmt: skip
    """One event through all versions."""
    report.events += 1
    try:
        fact = stated(connections, row)
    except ValueError as e:
        report.unreadable += 1
        log.debug("a stored event cannot be read", event=str(row["id"]), error=str(e)[:200])
        return
    told = {path: [Told(each) for each in outputs] for path, outputs in recorded.get(row["id"], {}).items()}
    for side in sides:
        if side.world.runs:
            side.world.forward(max(row["at"] - side.world.now, timedelta(0)))
        side.world.now = max(side.world.now, row["at"])
        if told:
            side.world.recorded[row["id"]] = told
        side.world.state(fact)
        side.take()


def _compare(report: Backtest, sides: list[_Side], moments: dict[UUID, datetime]) -> None:
    """Events of which all runs have ended, one version against the other."""
    still = {event_id for side in sides for event_id in side.open_events()}
    for event_id in [each for each in moments if each not in still]:
        said = [tuple(side.said.pop(event_id, ())) for side in sides]
        at = moments.pop(event_id)
        if len(said) == 2 and said[0] != said[1]:
            report.differing += 1
            if len(report.differences) < SHOWN:
                report.differences.append(Difference(event_id, at, said[1], said[0]))
