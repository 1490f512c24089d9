"""Replays of many events: a filter, a preview, and then run after run at a pace, that can be paused and stopped.

The worker reads the events by pages and keeps none of them. What it has done is written in the transaction that makes
the runs of an event, so a process that dies repeats nothing; and effect keys guard the outside in any case.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.byhand.replay import ReplayWanted, begin_planned, plan_event
from app.byhand.runs import retry
from app.byhand.texts import PlainText
from app.errors import ConflictError, MalformedError, NotFoundError, RejectedError
from app.hub import Hub
from app.ids import new_id
from app.pipeline.match import Matcher
from app.store import byhand as audit
from app.store import replays as store
from app.store.byhand import Deed
from app.store.database import Connection as Db
from app.store.database import Row, to_json

PAGE = 50
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
    per_second: float = Field(20, gt=0, le=1000, description="Runs begun a second, at most.")


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
        return shown(row, await store.states_of_runs(db, replay_id))


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


@dataclass(frozen=True)
class Replays:
    """The worker's side of replays."""

    hub: Hub
    matcher: Matcher

    async def drain(self) -> bool:
        """Work a page of each replay that is due; True when there may be more at once."""
        async with self.hub.database.acquire() as db:
            due = await store.due(db, self.hub.clock.now())
        return any([await self._page(replay_id) for replay_id in due])

    async def _page(self, replay_id: UUID) -> bool:
        async with self.hub.database.transaction() as db:
            row = await store.lock(db, replay_id, wait=False)
            if row is None or row["state"] not in ("running", "previewing"):
                return False
            after = row["cursor"] if row["state"] == "running" else (row["preview"] or {}).get("cursor")
            items = await self._items(db, row, UUID(after) if after else store.FIRST)
            if row["state"] == "previewing":
                await self._preview(db, row, items)
                return bool(items)
            if not items:
                await store.set_state(db, replay_id, "done")
                return False
        for item, recipes in items:
            if not await self._work(replay_id, after, item, recipes):
                return True
            after = str(item)
        return True

    async def _items(self, db: Db, row: Row, after: UUID) -> list[tuple[UUID, list[str] | None]]:
        wanted = await _resolved(db, self.hub, row["workspace"], ReplayFilter.model_validate(row["filter"]))
        find = store.failed_runs_after if row["options"]["begin"] == "failed_step" else store.events_after
        return await find(db, row["workspace"], wanted, after, PAGE)

    async def _work(self, replay_id: UUID, after: str | None, item: UUID, recipes: list[str] | None) -> bool:
        """Begin the runs of one item; False when it is not this process's turn any more."""
        lanes: set[UUID] = set()
        try:
            async with self.hub.database.transaction() as db:
                row = await store.lock(db, replay_id, wait=False)
                now = self.hub.clock.now()
                if row is None or row["state"] != "running" or row["cursor"] != after or (row["next_at"] or now) > now:
                    return False
                options, tally = ReplayOptions.model_validate(row["options"]), _Tally(row["report"])
                if options.begin == "failed_step":
                    begun = await self._retry(db, row, item, tally)
                else:
                    begun, lanes = await self._again(db, row, options, item, recipes, tally)
                next_at = now + timedelta(seconds=begun / options.per_second) if begun else None
                await store.advance(db, replay_id, item, row["done"] + 1, tally.counts, next_at)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            return False
        for connection_id in lanes:
            self.hub.bells.ring(f"lane:{connection_id}", elsewhere=True)
        return await _pause(begun / options.per_second)

    async def _again(
        self, db: Db, row: Row, options: ReplayOptions, event_id: UUID, recipes: list[str] | None, tally: _Tally
    ) -> tuple[int, set[UUID]]:
        """Begin new runs for an event, in this transaction."""
        try:
            plan, refused = await plan_event(
                self.hub, self.matcher, db, row["workspace"], event_id, _asked(options, recipes)
            )
        except RejectedError as e:
            tally.refuse(event_id, None, str(e))
            return 0, set()
        for name, why in refused.items():
            tally.refuse(event_id, name, why)
        plan = [replace(each, beginning=replace(each.beginning, replay_id=row["id"])) for each in plan]
        tally.add("runs", len(plan))
        tally.effects(Counter(effect.standing for each in plan for effect in each.foreseen.effects))
        return len(plan), await begin_planned(self.hub, self.matcher.runner, db, row["workspace"], plan)

    async def _retry(self, db: Db, row: Row, run_id: UUID, tally: _Tally) -> int:
        """Let a failed run go on. That commits by itself; after a crash the run is not failed any more, so it is not
        met again."""
        standing = await store.standing_of_calls(db, run_id)
        try:
            await retry(self.hub, row["workspace"], run_id, row["actor"])
        except RejectedError as e:
            tally.refuse(run_id, None, str(e))
            return 0
        await store.belongs(db, run_id, row["id"])
        tally.add("runs")
        tally.effects(Counter(standing))
        return 1

    async def _preview(self, db: Db, row: Row, items: list[tuple[UUID, list[str] | None]]) -> None:
        tally = _Tally({"items": 0, "runs": 0, "effects": {}} | (row["preview"] or {}))
        options = ReplayOptions.model_validate(row["options"])
        for item, recipes in items:
            tally.add("items")
            try:
                await self._look(db, row, options, item, recipes, tally)
            except RejectedError as e:
                tally.refuse(item, None, str(e))
        if items:
            tally.counts["cursor"] = str(items[-1][0])
        await store.previewed(db, row["id"], tally.counts, None if items else tally.counts.get("items", 0))

    async def _look(
        self, db: Db, row: Row, options: ReplayOptions, item: UUID, recipes: list[str] | None, tally: _Tally
    ) -> None:
        if options.begin == "failed_step":
            tally.add("runs")
            tally.effects(Counter(await store.standing_of_calls(db, item)))
            return
        plan, refused = await plan_event(self.hub, self.matcher, db, row["workspace"], item, _asked(options, recipes))
        for name, why in refused.items():
            tally.refuse(item, name, why)
        tally.add("runs", len(plan))
        tally.add("runs_not_whole", sum(not each.foreseen.whole for each in plan))
        tally.effects(Counter(effect.standing for each in plan for effect in each.foreseen.effects))


async def _pause(seconds: float) -> bool:
    """Wait for the pace; False when that is for the poll to do."""
    if seconds > 1:
        return False
    await asyncio.sleep(seconds + 0.001 if seconds else 0)
    return True


def _asked(options: ReplayOptions, recipes: list[str] | None) -> ReplayWanted:
    """What is asked of one event: the recipes that its runs matched, and of those only the wanted ones."""
    chosen = options.recipes
    if recipes is not None:
        chosen = recipes if chosen is None else [name for name in chosen if name in recipes]
    return ReplayWanted(recipes=chosen, version=options.version, redo=options.redo)
