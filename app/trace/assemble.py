"""Putting the rows of a trace together: from whatever was asked for up to its webhook, then down to every attempt."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from app.domain.connections import blot
from app.ids import time_of
from app.settings import Settings
from app.store import partitions
from app.store import trace as store
from app.store.database import Connection, Database, Row
from app.store.kinds import PARTITIONED
from app.store.packing import unpack, unpack_json
from app.trace.shapes import (
    Attempt,
    Call,
    Decision,
    Effect,
    Event,
    EventDetail,
    EventWay,
    Gone,
    RunDetail,
    Step,
    Trace,
    Way,
    Webhook,
)

MOST = 50
"""Events that one trace shows."""

ANSWER = 2000
"""Bytes of a failed attempt's answer that are shown."""

M = TypeVar("M", bound=BaseModel)


async def trace(
    database: Database,
    workspace: str,
    text: str,
    *,
    settings: Settings | None = None,
    secrets: Collection[str] = (),
    delivered: Sequence[bytes] = (),
) -> Trace:
    """The whole way of an order number, an e-mail address, a sender's id, any id of ours (webhook, event, run, step,
    call, attempt), or an effect key (32 hex digits). `secrets` are blotted out wherever a system echoed them.
    `delivered`: the hashes that the text would have as the sender's id of a delivery."""
    asked = text.strip().replace("\x00", "")
    async with database.acquire() as db:
        tracing = _Tracing(db, workspace, settings or Settings())
        found = await tracing.of_id(asked) or await tracing.of_effect(asked) or await tracing.of_name(asked)
        if not found.found and delivered:
            found = await tracing.of_delivery(asked, delivered) or found
    return without(found, secrets) if secrets else found


async def run_detail(database: Database, workspace: str, run_id: UUID) -> RunDetail | None:
    """One run with its steps, calls, attempts and effects."""
    async with database.acquire() as db:
        rows = await store.runs(db, workspace, [run_id])
        return next(iter(await in_full(db, workspace, rows)), None)


async def event_detail(database: Database, workspace: str, event_id: UUID) -> EventDetail | None:
    """One event with its data, decisions and runs."""
    async with database.acquire() as db:
        rows = await store.events(db, workspace, [event_id])
        if not rows:
            return None
        runs = await in_full(db, workspace, await store.runs_of(db, workspace, [event_id]))
    row = rows[0]
    return EventDetail(
        **event_of(row).model_dump(),
        version=row["version"],
        schema_version=row["schema_version"],
        data=unpack_json(row["data"]),
        decisions=decisions(row["decisions"]),
        runs=runs,
    )


def expires_on(kind: str, row_id: UUID, settings: Settings) -> Any:
    """The day on which retention drops the partition of a row; None for ids that tell no time."""
    days = {
        "raw": settings.retention_raw_days,
        "events": settings.retention_events_days,
        "attempts": settings.retention_attempts_days,
    }[PARTITIONED[kind]]
    try:
        end = partitions.following(kind, partitions.first_of(kind, time_of(row_id)))
        return (end + timedelta(days=days)).date()
    except (ValueError, OverflowError):
        return None


def without(shown: M, secrets: Collection[str]) -> M:
    """The same with every secret blotted out, wherever it stands."""
    return type(shown).model_validate(blotted(shown.model_dump(mode="json"), secrets))


def blotted(value: Any, secrets: Collection[str]) -> Any:
    """A JSON value with every secret in its texts replaced."""
    match value:
        case str():
            return blot(value, secrets)
        case dict():
            return {key: blotted(item, secrets) for key, item in value.items()}
        case list():
            return [blotted(item, secrets) for item in value]
        case _:
            return value


class _Tracing:
    """One trace being put together."""

    def __init__(self, db: Connection, workspace: str, settings: Settings) -> None:
        self._db = db
        self._workspace = workspace
        self._settings = settings

    async def of_id(self, asked: str) -> Trace | None:
        row_id = _uuid(asked)
        if row_id is None:
            return None
        found = await store.what_is(self._db, self._workspace, row_id)
        return None if found is None else await self._climb(asked, found[0], row_id, found)

    async def of_delivery(self, asked: str, keys: Sequence[bytes]) -> Trace | None:
        webhook_id = await store.delivered_under(self._db, keys)
        if webhook_id is None:
            return None
        found = await store.what_is(self._db, self._workspace, webhook_id)
        return await self._climb(asked, "webhook", webhook_id, found)

    async def _climb(self, asked: str, kind: str, row_id: UUID, found: tuple[str, UUID | None] | None) -> Trace:
        """Up to the event or the webhook; where a row is gone, from the last one that is there."""
        first, run_id = kind, None
        while found is not None and kind not in ("event", "webhook"):
            run_id = row_id if kind == "run" else None
            if found[1] is None:
                break
            kind, row_id = store.UP[kind], found[1]
            found = await store.what_is(self._db, self._workspace, row_id)
        if found is None:
            gone = self._gone(kind, row_id)
            ways = await self._orphan(run_id, gone) if run_id else []
            return Trace(asked=asked, kind=first, ways=ways, gone=[gone])
        if kind == "webhook":
            webhook = (await store.webhooks(self._db, self._workspace, [row_id]))[0]
            rows = await store.events_of_webhook(self._db, self._workspace, webhook)
            return Trace(asked=asked, kind=first, ways=await self._ways(rows, [row_id]))
        rows = await store.events(self._db, self._workspace, [row_id])
        return Trace(asked=asked, kind=first, ways=await self._ways(rows))

    async def _orphan(self, run_id: UUID, gone: Gone) -> list[Way]:
        rows = await store.runs(self._db, self._workspace, [run_id])
        runs = await in_full(self._db, self._workspace, rows)
        return [Way(webhook=None, events=[EventWay(event=None, gone=gone, runs=runs)])]

    async def of_effect(self, asked: str) -> Trace | None:
        key = _key(asked)
        rows = await store.effects(self._db, self._workspace, [key]) if key else []
        if not rows:
            return None
        call_id = rows[0]["call_id"]
        found = await store.what_is(self._db, self._workspace, call_id)
        if found is None:
            gone = [self._gone("call", call_id)]
            return Trace(asked=asked, kind="effect", effects=[effect_of(rows[0])], gone=gone)
        return (await self._climb(asked, "call", call_id, found)).model_copy(update={"kind": "effect"})

    async def of_name(self, asked: str) -> Trace:
        rows = await store.events_named(self._db, self._workspace, asked, MOST + 1) if asked else []
        if not rows and "://" in asked:  # a global id, or the address of an order's page: its last part is the id
            bare = asked.partition("?")[0].rstrip("/").rpartition("/")[2]
            rows = await store.events_named(self._db, self._workspace, bare, MOST + 1) if bare else []
        kind = "name" if rows else None
        ways = await self._ways(list(reversed(rows[:MOST])))
        return Trace(asked=asked, kind=kind, ways=ways, more=len(rows) > MOST)

    async def _ways(self, events: Sequence[Row], webhook_ids: Iterable[UUID] = ()) -> list[Way]:
        """These events with all that followed, under the webhooks that they came from."""
        runs: dict[UUID, list[RunDetail]] = defaultdict(list)
        if events:
            found = await store.runs_of(self._db, self._workspace, [row["id"] for row in events])
            for run in await in_full(self._db, self._workspace, found):
                runs[run.event_id].append(run)
        wanted = dict.fromkeys([*webhook_ids, *(row["webhook_id"] for row in events if row["webhook_id"])])
        kept = {row["id"]: row for row in await store.webhooks(self._db, self._workspace, list(wanted))}
        ways: dict[UUID | None, Way] = {key: self._way(key, kept.get(key)) for key in wanted}
        for row in events:
            way = ways.setdefault(row["webhook_id"], Way(webhook=None))
            way.events.append(
                EventWay(event=event_of(row), decisions=decisions(row["decisions"]), runs=runs[row["id"]])
            )
        return list(ways.values())

    def _way(self, webhook_id: UUID, row: Row | None) -> Way:
        if row is None:
            return Way(webhook=None, gone=self._gone("webhook", webhook_id), events=[])
        return Way(webhook=Webhook(**row), events=[])

    def _gone(self, kind: str, row_id: UUID) -> Gone:
        return Gone(kind=kind, id=row_id, expired_on=expires_on(kind, row_id, self._settings))


async def in_full(db: Connection, workspace: str, rows: Sequence[Row]) -> list[RunDetail]:
    """Runs with everything below them: steps, calls, attempts and effects, in a read of each."""
    if not rows:
        return []
    run_ids = [row["id"] for row in rows]
    steps, calls = await store.steps_of(db, run_ids), await store.calls_of(db, run_ids)
    attempts: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in await store.attempts_of(db, [call["id"] for call in calls]) if calls else []:
        attempts[attempt["call_id"]].append(_attempt(attempt))
    effects = {row["key"]: row for row in await store.effects(db, workspace, [call["effect_key"] for call in calls])}
    made: dict[tuple[UUID, str], list[Call]] = defaultdict(list)
    for call in calls:
        shown = _call(call, attempts[call["id"]], effects.get(call["effect_key"]))
        made[call["run_id"], call["path"]].append(shown)
    by_run: dict[UUID, list[Step]] = defaultdict(list)
    for step in steps:
        by_run[step["run_id"]].append(Step(**step, calls=made.get((step["run_id"], step["path"]), [])))
    return [RunDetail(**row, steps=by_run[row["id"]]) for row in rows]


def decisions(stored: dict[str, str]) -> list[Decision]:
    """What `match` wrote beside an event: "run <id>" for a recipe that ran, else the reason."""
    return [_decision(recipe, said) for recipe, said in sorted(stored.items())]


def _decision(recipe: str, said: str) -> Decision:
    run_id = _uuid(said.removeprefix("run ")) if said.startswith("run ") else None
    return Decision(
        recipe=recipe, ran=run_id is not None, run_id=run_id, reason="it answers this event" if run_id else said
    )


def event_of(row: Row) -> Event:
    return Event(
        **{name: row[name] for name in Event.model_fields if name not in ("object", "subject")},
        object={"kind": row["object_kind"], "id": row["object_id"]},
        subject={"kind": row["subject_kind"], "id": row["subject_id"]},
    )


def _attempt(row: Row) -> Attempt:
    answer = unpack(row["response"])[:ANSWER].decode(errors="replace") if row["response"] else None
    return Attempt(**row, answer=answer)


def _call(row: Row, attempts: list[Attempt], effect: Row | None) -> Call:
    shown = {name: row[name] for name in Call.model_fields if name not in ("effect", "attempts")}
    shown["input"] = unpack_json(row["input"])
    return Call(**shown, attempts=attempts, effect=effect_of(effect) if effect else None)


def effect_of(row: Row) -> Effect:
    return Effect(**{**row, "key": row["key"].hex()})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def _key(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if len(text) == 32 else None
    except ValueError:
        return None
