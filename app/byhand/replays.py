"""Replays of many events: a filter, a preview, and then run after run at a pace, that can be paused and stopped.

The worker reads the events by batches and keeps none of them. How far it has got is written in the transaction that
makes the runs of a batch, so a process that dies repeats nothing; and effect keys guard the outside in any case.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.byhand.replay import PlannedRun, ReplayWanted, begin_planned, plan_events
from app.byhand.runs import retry_within
from app.byhand.texts import PlainText
from app.errors import ConflictError, MalformedError, NotFoundError, RejectedError
from app.hub import Hub
from app.ids import new_id
from app.pipeline.match import Matcher
from app.store import byhand as audit
from app.store import replays as store
from app.store.byhand import Deed
from app.store.database import AWAY, Row, to_json
from app.store.database import Connection as Db

log = structlog.get_logger()

BATCH = 100
"""Events in one transaction: what a pause or a cancel may have to wait for."""
SOON = timedelta(seconds=1)
EXAMPLES = 100
"""Refusals that a report tells in full."""

State = Literal["draft", "previewing", "previewed", "running", "paused", "cancelled", "done"]
Verb = Literal["preview", "start", "pause", "resume", "cancel"]
_MAY: dict[str, tuple[tuple[str, ...], str]] = {
    "preview": (("draft", "previewed"), "previewing"),
    "start": (("draft", "previewed"), "running"),
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("draft", "previewing", "previewed", "running", "paused"), "cancelled"),
}


class ReplayFilter(BaseModel):
    """Which events; all conditions hold at once."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime | None = Field(None, description="Events that came in from this moment on.")
    until: AwareDatetime | None = Field(None, description="... and before this one; the replay's making unless said.")
    connection: PlainText | None = Field(None, description="Slug of the connection that the event came from.")
    type: PlainText | None = Field(None, description="Type of the event; may end in `*`.", examples=["order.*"])
    recipe: PlainText | None = Field(None, description="Only this recipe, where it ran for the event.")
    state: Literal["running", "waiting", "held", "done", "failed", "cancelled"] | None = Field(
        None, description="Only recipes whose last run for the event stands so.", examples=["failed"]
    )
    error: PlainText | None = Field(None, description="Part of the last run's error.", examples=["429"])
    text: PlainText | None = Field(None, description="An order number, an e-mail address or a sender's id.")


class ReplayOptions(BaseModel):
    """How."""

    model_config = ConfigDict(extra="forbid")

    begin: Literal["start", "failed_step"] = Field(
        "start", description="start: new runs from their first step. failed_step: failed runs go on where they failed."
    )
    version: Literal["original", "current"] = Field("current", description="Recipe versions of then, or today's.")
    recipes: list[PlainText] | None = Field(None, description="Only these; they need not have run before.")
    redo: list[PlainText] = Field([], description="Effects to do anew although they exist, by step path.")
    per_second: float = Field(20, gt=0, le=10_000, description="Runs begun a second, at most.")


class ManyReplay(BaseModel):
    """A replay of many events, as it stands."""

    id: UUID
    filter: ReplayFilter
    options: ReplayOptions
    state: State
    preview: dict[str, Any] | None = Field(
        description="What it would do: events, runs, effects that exist (done: skipped) and are new."
    )
    done: int = Field(description="Events (or failed runs) worked so far.")
    total: int | None = Field(description="Of how many; known after a preview.")
    report: dict[str, Any] = Field(description="What it did: runs, effects met, what was refused and why.")
    runs: dict[str, int] = Field(description="How its runs stand now.")
    actor: str
    created_at: datetime
    ended_at: datetime | None


async def create_replay(
    hub: Hub, workspace: str, wanted: ReplayFilter, options: ReplayOptions, actor: str
) -> ManyReplay:
    """Make a replay that does nothing yet. Raises MalformedError, NotFoundError for an unknown connection."""
    if options.begin == "failed_step" and (options.redo or options.recipes or options.version == "original"):
        raise MalformedError("a run that goes on from its failed step keeps its version and its effects")
    until = min(wanted.until or hub.clock.now(), hub.clock.now())
    wanted = wanted.model_copy(update={"until": until})
    replay_id = new_id()
    async with hub.database.transaction() as db:
        await _resolved(db, hub, workspace, wanted)
        await store.create(
            db, replay_id, workspace, wanted.model_dump(mode="json"), options.model_dump(mode="json"), actor
        )
        await _note(db, workspace, actor, "create", replay_id, {"filter": _unnamed(wanted)})
    return await get_replay(hub, workspace, replay_id)


async def get_replay(hub: Hub, workspace: str, replay_id: UUID) -> ManyReplay:
    """Raises NotFoundError."""
    async with hub.database.acquire() as db:
        row = await store.load(db, workspace, replay_id)
        if row is None:
            raise NotFoundError("there is no such replay")
        return shown(row, (await store.states_of_runs(db, [replay_id]))[replay_id])


def shown(row: Row, runs: dict[str, int]) -> ManyReplay:
    preview = {name: value for name, value in (row["preview"] or {}).items() if name != "cursor"}
    taken = ("id", "filter", "options", "state", "done", "total", "report", "actor", "created_at", "ended_at")
    return ManyReplay(**{name: row[name] for name in taken}, preview=preview or None, runs=runs)


async def set_replay(hub: Hub, workspace: str, replay_id: UUID, verb: Verb, actor: str) -> ManyReplay:
    """Preview, start, pause, resume or cancel it. Raises NotFoundError, and ConflictError where it stands otherwise."""
    before, after = _MAY[verb]
    async with hub.database.transaction() as db:
        row = await store.lock(db, replay_id)
        if row is None or row["workspace"] != workspace or not row["options"]:
            raise NotFoundError("there is no such replay")
        if row["state"] not in before:
            raise ConflictError(f"the replay is {row['state']}: {verb} is for one that is {' or '.join(before)}")
        await store.set_state(db, replay_id, after)
        await _note(db, workspace, actor, verb, replay_id, {})
    hub.bells.ring("replays", elsewhere=True)
    return await get_replay(hub, workspace, replay_id)


def _unnamed(wanted: ReplayFilter) -> dict[str, Any]:
    """A filter as the audit keeps it, which only grows: without what may name a person. (The replay has it.)"""
    said = wanted.model_dump(mode="json", exclude_none=True)
    return said | {name: "not kept" for name in ("text", "error") if name in said}


async def _note(db: Db, workspace: str, actor: str, verb: str, replay_id: UUID, detail: dict[str, Any]) -> None:
    await audit.note(db, Deed(workspace, actor, verb, f"replay/{replay_id}", {}), to_json(detail))


async def _resolved(db: Db, hub: Hub, workspace: str, wanted: ReplayFilter) -> store.Wanted:
    connections = None
    if wanted.connection is not None:
        connections = await store.connections_named(db, workspace, wanted.connection)
        if not connections:
            raise NotFoundError(f"there is no connection {wanted.connection!r}")
    return store.Wanted(
        since=wanted.since or datetime(2000, 1, 1, tzinfo=UTC),
        until=wanted.until or hub.clock.now(),
        connections=connections,
        **{name: getattr(wanted, name) for name in ("type", "recipe", "state", "error", "text")},
    )


# --- working them -----------------------------------------------------------------------------------------------


@dataclass
class _Tally:
    """What was met: of items, runs, effects by standing; refusals with examples."""

    counts: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def effects(self, standings: Counter[str]) -> None:
        met = Counter(self.counts.get("effects", {}))
        met.update(standings)
        self.counts["effects"] = dict(met)

    def refuse(self, item: UUID, recipe: str | None, reason: str) -> None:
        self.add("refused")
        examples = self.counts.setdefault("refusals", [])
        if len(examples) < EXAMPLES:
            examples.append({"id": str(item), "recipe": recipe, "reason": reason[:300]})


Item = tuple[UUID, list[str] | None]
"""An event (or a failed run), and the recipes whose last runs for it matched; None where runs do not matter."""


@dataclass(frozen=True)
class Replays:
    """The worker's side of replays."""

    hub: Hub
    matcher: Matcher

    async def drain(self) -> bool:
        """Work a batch of each replay that is due; True when there may be more soon."""
        async with self.hub.database.acquire() as db:
            due = await store.due(db, self.hub.clock.now() + SOON)
        turns = [turn for replay_id in due if (turn := await self._turn(replay_id)) is not None]
        if not turns:
            return False
        await asyncio.sleep(min(turns))
        return True

    async def _turn(self, replay_id: UUID) -> float | None:
        """Work a batch; answers the seconds until the next one, None when that is for the poll to see. What fails in a
        batch is found by itself, so that nobody pays for another's event."""
        try:
            return await self._batch(replay_id, BATCH)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            return 0.1
        except Exception as e:
            if isinstance(e, AWAY) and not isinstance(e, ValueError):
                raise
            log.exception("a batch of a replay failed; its events are tried one by one", replay=str(replay_id))
        wait: float | None = 0.0
        for _ in range(BATCH):
            wait = await self._batch(replay_id, 1)
            if wait is None:
                break
        return wait

    async def _batch(self, replay_id: UUID, size: int) -> float | None:
        lanes: set[UUID] = set()
        now = self.hub.clock.now()
        async with self.hub.database.transaction() as db:
            row = await store.lock(db, replay_id, wait=False)
            if row is None or row["state"] not in ("running", "previewing"):
                return None
            if row["next_at"] is not None and row["next_at"] > now:
                return float((row["next_at"] - now).total_seconds())
            previewing = row["state"] == "previewing"
            options = ReplayOptions.model_validate(row["options"])
            after = (row["preview"] or {}).get("cursor") if previewing else row["cursor"]
            items = await self._items(db, row, UUID(after) if after else store.FIRST, _at_once(options, size))
            known = {"items": 0, "runs": 0, "effects": {}} | (row["preview"] or {}) if previewing else row["report"]
            tally = _Tally(known)
            begun = tally.counts.get("runs", 0)
            if items and size == 1:
                lanes = await self._alone(db, row, options, items[0], tally)
            elif items:
                lanes = await self._work(db, row, options, items, tally)
            begun = tally.counts.get("runs", 0) - begun
            wait = await _keep(db, row, items, tally, now, begun / options.per_second)
        if not previewing and begun:
            self.hub.bells.ring("run", elsewhere=True)
        for connection_id in lanes:
            self.hub.bells.ring(f"lane:{connection_id}", elsewhere=True)
        return wait

    async def _items(self, db: Db, row: Row, after: UUID, limit: int) -> list[Item]:
        wanted = await _resolved(db, self.hub, row["workspace"], ReplayFilter.model_validate(row["filter"]))
        find = store.failed_runs_after if row["options"]["begin"] == "failed_step" else store.events_after
        return await find(db, row["workspace"], wanted, after, limit)

    async def _alone(self, db: Db, row: Row, options: ReplayOptions, item: Item, tally: _Tally) -> set[UUID]:
        """One item, of which a batch perhaps failed: then it is refused, with what went wrong."""
        before = deepcopy(tally.counts)
        try:
            async with db.transaction():
                return await self._work(db, row, options, [item], tally)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            raise
        except Exception as e:
            if isinstance(e, AWAY) and not isinstance(e, ValueError):
                raise
            log.exception("an event cannot be replayed", item=str(item[0]))
            tally.counts = before
            tally.refuse(item[0], None, f"{type(e).__name__}: {e}")
            return set()

    async def _work(self, db: Db, row: Row, options: ReplayOptions, items: Sequence[Item], tally: _Tally) -> set[UUID]:
        """Begin (or, in a preview, count) what a batch comes to; answers the connections whose lanes now have work."""
        if options.begin == "failed_step":
            return await self._failed_steps(db, row, items, tally)
        asked = [(item, _asked(options, recipes)) for item, recipes in items]
        found = await plan_events(self.hub, self.matcher, db, row["workspace"], asked)
        plan: list[PlannedRun] = []
        for (item, _), each in zip(items, found, strict=True):
            if isinstance(each, RejectedError):
                tally.refuse(item, None, str(each))
                continue
            for name, why in each[1].items():
                tally.refuse(item, name, why)
            plan += each[0]
        tally.add("runs", len(plan))
        tally.effects(Counter(effect.standing for each in plan for effect in each.foreseen.effects))
        if row["state"] == "previewing":
            tally.add("runs_not_whole", sum(not each.foreseen.whole for each in plan))
            return set()
        plan = [replace(each, beginning=replace(each.beginning, replay_id=row["id"])) for each in plan]
        return await begin_planned(self.hub, self.matcher.runner, db, row["workspace"], plan)

    async def _failed_steps(self, db: Db, row: Row, items: Sequence[Item], tally: _Tally) -> set[UUID]:
        """Let failed runs go on where they failed."""
        lanes: set[UUID] = set()
        standing = await store.standing_of_calls(db, [run_id for run_id, _ in items])
        for run_id, _ in items:
            if row["state"] != "previewing":
                try:
                    lanes |= (await retry_within(self.hub, db, row["workspace"], run_id, row["actor"]))[1]
                except RejectedError as e:
                    tally.refuse(run_id, None, str(e))
                    continue
                await store.belongs(db, run_id, row["id"])
            tally.add("runs")
            tally.effects(Counter(standing[run_id]))
        return lanes


def _at_once(options: ReplayOptions, size: int) -> int:
    """How many items a batch takes: a quarter of a second's worth at most, so that a pace is kept evenly and a pause
    is heard soon."""
    return max(1, min(size, round(options.per_second / 4)))


async def _keep(db: Db, row: Row, items: Sequence[Item], tally: _Tally, now: datetime, pace: float) -> float | None:
    """Remember how far it has got, in the transaction that made the runs; answers the seconds until the next batch,
    None at the end."""
    if row["state"] == "previewing":
        tally.add("items", len(items))
        if items:
            tally.counts["cursor"] = str(items[-1][0])
        await store.previewed(db, row["id"], tally.counts, None if items else tally.counts["items"])
        return 0.0 if items else None
    if not items:
        await store.set_state(db, row["id"], "done")
        return None
    next_at = now + timedelta(seconds=pace) if pace else None
    await store.advance(db, row["id"], items[-1][0], row["done"] + len(items), tally.counts, next_at)
    return pace if pace <= SOON.total_seconds() else None


def _asked(options: ReplayOptions, recipes: list[str] | None) -> ReplayWanted:
    """What is asked of one event: the recipes that its runs matched, and of those only the wanted ones."""
    chosen = options.recipes
    if recipes is not None:
        chosen = recipes if chosen is None else [name for name in chosen if name in recipes]
    return ReplayWanted(recipes=chosen, version=options.version, redo=options.redo)
