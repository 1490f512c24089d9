"""What waiting runs hear: events that were matched to them, events that happened since their own, and whether
webhooks are still on their way that could matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app import events as canonical
from app.crypto import Hasher
from app.domain.connections import Connections
from app.domain.recipes import outline_of
from app.domain.scope import scope_of_stored
from app.ids import new_id, time_of
from app.logs import traced
from app.pipeline.run.advance import LISTENING
from app.pipeline.run.awaiting import field_of, same
from app.pipeline.run.facts import Ear, Facts, Heard
from app.recipes import Recipe
from app.store import waiters
from app.store.database import Connection as Db
from app.store.database import Row
from app.store.packing import unpack_json
from app.store.runs import DueRun, StepRow
from app.store.waiters import NewWaiter

log = structlog.get_logger()

HOLD = timedelta(seconds=60)
"""How long a step that comes due waits for webhooks that were accepted before it."""
HOLD_STEP = timedelta(seconds=1)
YOUNG = timedelta(seconds=10)
"""Within which other processes may not know of a new recipe version: its waiters look back once more after it."""
LOOK_BATCH = 500
ENDED = "run.ended"
"""Event type of the waiters by which a queued run hears that the one before it ended."""


@dataclass
class Listening:
    """What was found for a batch of due runs."""

    heard: dict[UUID, list[Heard]] = field(default_factory=dict)
    looked: set[UUID] = field(default_factory=set)
    held: dict[UUID, datetime] = field(default_factory=dict)
    weighed: list[tuple[UUID, UUID]] = field(default_factory=list)


def value_hash(hasher: Hasher, workspace: str, value: Any) -> bytes:
    return hasher("waiter", workspace, same(value))


def new_waiters(hasher: Hasher, facts: Facts, ears: Sequence[Ear]) -> list[NewWaiter]:
    return [
        NewWaiter(
            new_id(), facts.workspace, ear.event_type, ear.path, value_hash(hasher, facts.workspace, ear.value),
            facts.run_id, ear.step,
        )
        for ear in ears
    ]  # fmt: skip


def as_heard(row: Row, connections: Connections) -> Heard | None:
    """A stored event as a run hears it; None if its data cannot be read any more, or meets a fault of the hub: nobody
    else who listens pays for it."""
    connection = connections.get(row["connection_id"]) if row["connection_id"] else None
    slug, platform = (connection.slug, connection.connector.slug) if connection else (None, None)
    try:
        data = unpack_json(row["data"])
        stored = waiters.stored(row, slug, platform, data)
        facts = scope_of_stored(canonical.load(row["type"], row["schema_version"], data), row["id"], stored)
    except Exception as e:
        log.error("a stored event cannot be heard", id=str(row["id"]), **traced(e))
        return None
    return Heard(row["id"], row["type"], slug, facts, stored)


async def listen(
    db: Db,
    hasher: Hasher,
    connections: Connections,
    due: Sequence[tuple[DueRun, Recipe]],
    steps: Mapping[UUID, Sequence[StepRow]],
    now: datetime,
) -> Listening:
    """All that due runs of recipes that wait for events need to know before they go on."""
    found = Listening()
    listeners = [(run, recipe) for run, recipe in due if outline_of(recipe).awaits]
    if not listeners:
        return found
    rows = await _came(db, [run for run, _ in listeners], found)
    await _look_back(db, hasher, connections, [run for run, _ in listeners], steps, found)
    coming_due = [(run, outline_of(recipe).awaits) for run, recipe in listeners if run.state == "waiting"]
    if coming_due:
        await _last_look(db, coming_due, rows)
        await _hold(db, [run for run, _ in coming_due], steps, now, found)
    known: dict[UUID, Heard | None] = {}
    for run_id, events in rows.items():
        for row in events:
            if row["id"] not in known:
                known[row["id"]] = as_heard(row, connections)
            if (heard := known[row["id"]]) is not None:
                found.heard.setdefault(run_id, []).append(heard)
    return found


async def _last_look(db: Db, runs: Sequence[tuple[DueRun, frozenset[str]]], rows: dict[UUID, list[Row]]) -> None:
    """Events that are committed and were not yet held against the waiters, for runs of which a step comes due."""
    types = frozenset[str]().union(*(awaits for _, awaits in runs))
    fresh = await waiters.unmatched(db, sorted({run.workspace for run, _ in runs}), sorted(types))
    for run, awaits in runs:
        rows.setdefault(run.id, []).extend(
            row
            for row in fresh
            if row["type"] in awaits and row["workspace"] == run.workspace and row["id"] > run.event_id
        )


async def _came(db: Db, runs: Sequence[DueRun], found: Listening) -> dict[UUID, list[Row]]:
    """The events that were matched to runs since they last went on."""
    came = await waiters.heard(db, [run.id for run in runs])
    if not came:
        return {}
    ids = {event_id for events in came.values() for event_id in events}
    stored = {row["id"]: row for row in await waiters.load(db, list(ids))}
    found.weighed = [(run_id, event_id) for run_id, events in came.items() for event_id in events]
    return {run_id: [stored[each] for each in events if each in stored] for run_id, events in came.items()}


async def _look_back(
    db: Db,
    hasher: Hasher,
    connections: Connections,
    runs: Sequence[DueRun],
    steps: Mapping[UUID, Sequence[StepRow]],
    found: Listening,
) -> None:
    """For waiters that were committed and have not yet looked: the events since the run's own that fit them."""
    for run in runs:
        types = {name for step in steps[run.id] if _unlooked(step) for name in step.output.get("for", ())}
        if not types:
            continue
        wanted = {(w["event_type"], w["path"], w["value"]) for w in await waiters.of_run(db, run.id)}
        after, full = run.event_id, True
        while full:
            rows = await waiters.since(db, run.workspace, sorted(types), after, LOOK_BATCH)
            full = len(rows) == LOOK_BATCH
            after = rows[-1]["id"] if rows else after
            for heard in (as_heard(row, connections) for row in rows):
                if heard is not None and _fits(hasher, run.workspace, wanted, heard):
                    found.heard.setdefault(run.id, []).append(heard)
        found.looked.add(run.id)


def _unlooked(step: StepRow) -> bool:
    return step.state == "running" and step.kind in ("wait_for", LISTENING) and bool((step.output or {}).get("look"))


def _fits(hasher: Hasher, workspace: str, wanted: set[tuple[str, str, bytes]], heard: Heard) -> bool:
    """Whether a past event is one that is looked for; one that meets a fault of the hub is not."""
    asked = ((path, value) for event_type, path, value in wanted if event_type == heard.type)
    try:
        return any(_hashed(hasher, workspace, heard, path) == value for path, value in asked)
    except Exception as e:
        log.error("a past event cannot be held against what is waited for", id=str(heard.id), **traced(e))
        return False


def _hashed(hasher: Hasher, workspace: str, heard: Heard, path: str) -> bytes | None:
    """What a field of an event is found by; None where it is absent."""
    value = field_of(heard.facts, path)
    return None if value is None else value_hash(hasher, workspace, value)


async def _hold(
    db: Db, runs: Sequence[DueRun], steps: Mapping[UUID, Sequence[StepRow]], now: datetime, found: Listening
) -> None:
    """Runs of which a step is due, while webhooks that came before its time are not yet read: held for a moment."""
    due = {run.id: at for run in runs if (at := _due(steps[run.id], now)) is not None}
    pairs = {(run.workspace, run.connection_id) for run in runs if run.id in due and run.connection_id is not None}
    oldest = await waiters.not_normalised(db, [pair for pair in sorted(pairs, key=str) if pair[1] is not None])
    for run in runs:
        at = due.get(run.id)
        came = oldest.get(run.connection_id) if run.connection_id else None
        if at is not None and came is not None and came <= at and now < at + HOLD:
            found.held[run.id] = now + HOLD_STEP


def _due(steps: Sequence[StepRow], now: datetime) -> datetime | None:
    """When the earliest step that is over now came due."""
    over = [
        step.due_at
        for step in steps
        if step.state == "running" and step.due_at is not None and step.due_at <= now and step.kind in _TIMED
    ]
    return min(over) if over else None


_TIMED = ("wait", "wait_for", "approve", "limits")


def young(run: DueRun, now: datetime) -> bool:
    return now - time_of(run.version_id) < YOUNG


async def match_waiters(db: Db, hasher: Hasher, connections: Connections, events: Sequence[Row], now: datetime) -> int:
    """Hold claimed events against the waiters; answers how many runs heard one."""
    paths = await waiters.paths(db, [(row["workspace"], row["type"]) for row in events])
    probes = []
    for row in events:
        wanted = paths.get((row["workspace"], row["type"]))
        heard = as_heard(row, connections) if wanted else None
        if heard is not None:
            for path in wanted or ():
                hashed = _hashed(hasher, row["workspace"], heard, path)
                if hashed is not None:
                    probes.append((row["id"], row["workspace"], row["type"], path, hashed))
    found = await waiters.find(db, probes)
    await waiters.hear(db, found, now)
    return len(found)
