"""A backtest: stored events of the past run through one or two versions of a recipe, each with a clock of its own.

Nothing is sent or stored. What a call answered is what the stored run recorded, else an example; a decision that
rests on one is counted as *assumed*. Waits end in the time that passed; events that are waited for are those that came.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.domain.connections import Connections
from app.domain.recipes import Recipes, outline_of, read_by, set_by_shop
from app.events import Reads
from app.pipeline.match.assumed import assumed
from app.pipeline.match.dry import simulated, stated
from app.pipeline.match.reports import NOTHING, Answered, Backtest, Difference, MadeCall, Totals
from app.pipeline.match.simulate import SimulatedRun, Simulation
from app.pipeline.match.standins import Told
from app.recipes import Recipe
from app.registry import Registry
from app.store import remembered, runs, waiters
from app.store.database import Database, Row

log = structlog.get_logger()

BATCH = 500
Recorded = Mapping[UUID, Mapping[str, list[Any]]]
"""Event id -> step path -> what the stored run's calls answered."""
Progress = Callable[[int, datetime], None]


@dataclass
class _Side:
    """One version in its own world. calls: of runs that have not ended; answered: events whose runs have, and that are
    not yet compared (kept only where there is another version to compare with)."""

    world: Simulation
    totals: Totals
    compares: bool
    calls: dict[UUID, list[MadeCall]] = field(default_factory=dict)
    answered: dict[UUID, Answered] = field(default_factory=dict)

    def take(self) -> None:
        """Count what is new, and forget it: memory stays flat."""
        for call in self.world.calls:
            self.totals.count(call, self.world)
            if self.compares and call.event_id is not None:
                self.calls.setdefault(call.event_id, []).append(MadeCall.of(call))
            call.input = b"{}"
        self.world.calls.clear()
        for run in self.world.ended:
            self._ended(run)
        self.world.ended.clear()
        for decision in self.world.decisions:
            if decision.startswith("could not be decided"):
                self.totals.errors[decision[:300]] += 1
        self.world.decisions.clear()

    def _ended(self, run: SimulatedRun) -> None:
        self.totals.runs[run.state] += 1
        self.totals.assumed += assumed(run)
        if run.state == "failed":
            self.totals.errors[(run.reason or "failed")[:300]] += 1
        if self.compares:
            calls = self.calls.pop(run.facts.event_id, [])
            self.answered[run.facts.event_id] = Answered(run.state, tuple(calls))

    def close(self) -> None:
        """What still waits at the end of the span is counted as it stands."""
        for run in list(self.world.open_runs()):
            self.world.look_at(run)
            run.state = "waiting" if run.state == "running" else run.state
            self._ended(run)


async def backtest(
    database: Database, recipes: Recipes, connections: Connections, registry: Registry, workspace: str, recipe: Recipe,
    since: datetime, until: datetime, *, inputs: Mapping[str, Any] | None = None, against: Recipe | None = None,
    end: datetime | None = None, shown: int = 50, progress: Progress = lambda events, at: None,
) -> Backtest:  # fmt: skip
    """Run the stored events of a span through a version, and `against` another, and compare them event by event.

    end: to which moment waits go on after the last event, if not to the end of the span; shown: differences that are
    told one by one (all are counted). progress is told after each batch how many events were read, and up to when; what
    it raises ends the backtest."""
    active = recipes.find(workspace, recipe.name)
    given = inputs if inputs is not None else set_by_shop(active)
    report = Backtest(recipe.name, since, until)
    sides = []
    for version, totals in ((recipe, report.new), (against, Totals())):
        if version is not None:
            world = simulated(recipes, registry, workspace, version, given, {}, since)
            world.keeps = False
            sides.append(_Side(world, totals, against is not None))
    report.current = sides[1].totals if against is not None else None
    reads = read_by(side.world.recipe for side in sides)
    memory = _Memory(database, connections, workspace, sides, since, until)
    async for rows, recorded in _batches(database, workspace, [side.world.recipe for side in sides], since, until):
        for row in rows:
            if memory.counts:
                await memory.until(row["at"])
            _one(row, recorded, sides, connections, report, reads)
        _compare(report, sides, shown)
        progress(report.events, rows[-1]["at"])
        await asyncio.sleep(0)
    for side in sides:
        side.world.forward(max((end or until) - side.world.now, timedelta(0)))
        side.take()
        side.close()
    _compare(report, sides, shown, over=True)
    return report


@dataclass
class _Memory:
    """What runs had remembered (`set`) by the time of an event, where a version reads such things: those of other
    recipes, and before the span also its own."""

    database: Database
    connections: Connections
    workspace: str
    sides: list[_Side]
    since: datetime
    end: datetime
    next: deque[Row] = field(default_factory=deque)
    last: UUID | None = None
    over: bool = False

    @property
    def counts(self) -> bool:
        return any(outline_of(side.world.recipe).recalls for side in self.sides)

    async def until(self, moment: datetime) -> None:
        """Lay into each world what was remembered up to a moment."""
        while True:
            if not self.next and not self.over:
                await self._read()
            if not self.next or self.next[0]["said_at"] > moment:
                return
            self._lay(self.next.popleft())

    async def _read(self) -> None:
        async with self.database.acquire() as db:
            self.next.extend(await remembered.said(db, self.workspace, self.end, self.last, BATCH))
        self.over = len(self.next) < BATCH
        self.last = self.next[-1]["step_id"] if self.next else self.last

    def _lay(self, row: Row) -> None:
        own = {name for side in self.sides for name in (side.world.recipe.name, *side.world.recipe.was)}
        if not isinstance(row["said"], dict) or (row["recipe"] in own and row["said_at"] >= self.since):
            return
        try:
            fact = stated(self.connections, row)
        except ValueError:  # data that nothing can read any more
            return
        for side in self.sides:
            side.world.recall(fact, row["said"])


async def _batches(
    database: Database, workspace: str, versions: list[Recipe], since: datetime, until: datetime
) -> AsyncIterator[tuple[list[Row], Recorded]]:
    """Stored events in their order, with what the recipe's calls for them answered; the next are read meanwhile."""
    types = sorted({event for each in versions for event in (*each.events, *outline_of(each).awaits)})
    begin = {event for each in versions for event in each.events}
    names = sorted({name for each in versions for name in (each.name, *each.was)})

    async def read(after: UUID | None) -> tuple[list[Row], Recorded]:
        async with database.acquire() as db:
            rows = await waiters.span(db, workspace, types, since, until, after, BATCH)
            begun = [row["id"] for row in rows if row["type"] in begin]
            return rows, await runs.outputs(db, begun, names)

    ahead = asyncio.create_task(read(None))
    try:
        while (found := await ahead)[0]:
            ahead = asyncio.create_task(read(found[0][-1]["id"]))
            await asyncio.sleep(0)
            yield found
    finally:
        ahead.cancel()


def _one(
    row: Row, recorded: Recorded, sides: list[_Side], connections: Connections, report: Backtest, reads: Reads | None
) -> None:
    """One event through all versions, which look at no more of it than `reads`."""
    report.events += 1
    try:
        fact = stated(connections, row, reads)
    except ValueError as e:
        report.unreadable += 1
        log.debug("a stored event cannot be read", id=str(row["id"]), error=type(e).__name__)
        return
    outputs = recorded.get(row["id"])
    told = {path: [Told(each) for each in answers] for path, answers in outputs.items()} if outputs else None
    for side in sides:
        side.world.forward(max(row["at"] - side.world.now, timedelta(0)))
        side.world.state(fact, told)
        side.take()


def _compare(report: Backtest, sides: list[_Side], shown: int, over: bool = False) -> None:
    """Events of which all runs have ended (or all events, when it is `over`), one version against the other."""
    if len(sides) < 2:
        return
    new, current = sides
    still = set() if over else {run.facts.event_id for side in sides for run in side.world.open_runs()}
    for event_id in sorted({*new.answered, *current.answered} - still):
        after, before = new.answered.pop(event_id, NOTHING), current.answered.pop(event_id, NOTHING)
        if before != after:
            report.differing += 1
            if len(report.differences) < shown:
                report.differences.append(Difference(event_id, before, after))
