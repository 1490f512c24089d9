"""What is on record, by what points to what: the reads behind traces, and behind one event or run in full.

Partitioned rows are found by id and `at >=` the time in the id: rows that outlive their partition move to a later one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection, Row

UP = {"event": "webhook", "run": "event", "step": "run", "call": "run", "attempt": "call"}
"""Kind of row -> the kind that it points to."""

_SLACK = timedelta(seconds=5)
"""How far the clocks of two processes may be apart."""

_WHAT_IS = """
select 'webhook' as kind, null::uuid as parent from webhook where id = $2 and at >= $3 and workspace = $1
union all select 'event', webhook_id from event where id = $2 and at >= $3 and workspace = $1
union all select 'run', event_id from run where id = $2 and at >= $3 and workspace = $1
union all select 'step', run_id from step where id = $2 and at >= $3 and workspace = $1
union all select 'call', run_id from call where id = $2 and at >= $3 and workspace = $1
union all select 'attempt', call_id from attempt where id = $2 and at >= $3 and workspace = $1
"""


async def what_is(db: Connection, workspace: str, row_id: UUID) -> tuple[str, UUID | None] | None:
    """(kind, id of the row that it points to) of the row with this id; None if there is none."""
    row = await db.fetchrow(_WHAT_IS, workspace, row_id, time_in(row_id))
    return (row["kind"], row["parent"]) if row else None


async def delivered_under(db: Connection, keys: Sequence[bytes]) -> UUID | None:
    """The webhook that has one of these delivery keys."""
    found: UUID | None = await db.fetchval("select webhook_id from delivery where key = any($1) limit 1", list(keys))
    return found


_EVENT_FIELDS = """
select e.id, e.at, e.type, c.slug as connection, e.webhook_id, e.object_kind, e.object_id, e.subject_kind, e.subject_id,
    e.occurred_at, e.number, e.email, e.test, e.historical, e.note, e.echo, e.version, e.schema_version,
    e.data, e.decisions
from event e left join connection c on c.id = e.connection_id
"""


async def events_named(db: Connection, workspace: str, text: str, limit: int) -> list[Row]:
    """Events of an order number, an e-mail address or a sender's id (subject's, else object's), newest first."""
    bare = text.strip()
    by_name = """where e.workspace = $1 and (e.number = any($2) or e.email = $3 or e.subject_id = $4)
        order by e.id desc limit $5"""
    numbers = [bare, bare.removeprefix("#"), f"#{bare}"]
    rows: list[Row] = await db.fetch(_EVENT_FIELDS + by_name, workspace, numbers, bare.lower(), bare, limit)
    if rows:
        return rows
    by_object = "where e.workspace = $1 and e.object_id = $2 order by e.id desc limit $3"
    return await db.fetch(_EVENT_FIELDS + by_object, workspace, bare, limit)


async def events(db: Connection, workspace: str, ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        f"{_EVENT_FIELDS} where e.id = any($2) and e.at >= $3 and e.workspace = $1 order by e.id",
        workspace,
        list(ids),
        _earliest(ids),
    )


async def events_of_webhook(db: Connection, workspace: str, webhook: Row) -> list[Row]:
    """The events that were made of one webhook: their ids lie between its arrival and its normalising."""
    if webhook["normalised_at"] is None:
        return []
    return await db.fetch(
        f"""{_EVENT_FIELDS} where e.webhook_id = $2 and e.workspace = $1 and e.id between $3 and $4 and e.at >= $5
            order by e.id""",
        workspace,
        webhook["id"],
        lowest_id(webhook["at"] - _SLACK),
        lowest_id(webhook["normalised_at"] + _SLACK),
        webhook["at"] - _SLACK,
    )


async def webhooks(db: Connection, workspace: str, ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        """select w.id, w.at, c.slug as connection, w.topic, w.size, w.state, w.reason, w.test, w.events,
             w.normalised_at
           from webhook w left join connection c on c.id = w.connection_id
           where w.id = any($2) and w.at >= $3 and w.workspace = $1 order by w.id""",
        workspace,
        list(ids),
        _earliest(ids),
    )


async def raw_webhook(db: Connection, workspace: str, webhook_id: UUID) -> Row | None:
    """Headers and body as packed, with the connection's id."""
    row: Row | None = await db.fetchrow(
        "select id, at, connection_id, topic, headers, body from webhook where id = $2 and at >= $3 and workspace = $1",
        workspace,
        webhook_id,
        time_in(webhook_id),
    )
    return row


RUN_FIELDS = """
select r.id, r.at, r.recipe, v.number as version, r.event_id, c.slug as connection, r.state, r.reason, r.mode,
    r.replay_of, r.generation, r.due_at, r.ended_at
from run r left join recipe_version v on v.id = r.version_id left join connection c on c.id = r.connection_id
"""


async def runs(db: Connection, workspace: str, ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        f"{RUN_FIELDS} where r.id = any($2) and r.at >= $3 and r.workspace = $1 order by r.id",
        workspace,
        list(ids),
        _earliest(ids),
    )


async def runs_of(db: Connection, workspace: str, event_ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        f"{RUN_FIELDS} where r.event_id = any($2) and r.at >= $3 and r.workspace = $1 order by r.id",
        workspace,
        list(event_ids),
        _earliest(event_ids),
    )


async def steps_of(db: Connection, run_ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        """select id, at, run_id, path, kind, state, output, error, due_at, ended_at from step
           where run_id = any($1) and at >= $2 order by id""",
        list(run_ids),
        _earliest(run_ids),
    )


async def calls_of(db: Connection, run_ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        """select a.id, a.at, a.run_id, a.path, a.item, a.action, c.slug as connection, a.state, a.effect_key, a.input,
             a.output, a.error, a.error_kind, a.question, a.failures, a.unsure, a.due_at, a.ended_at
           from call a left join connection c on c.id = a.connection_id
           where a.run_id = any($1) and a.at >= $2 order by a.id""",
        list(run_ids),
        _earliest(run_ids),
    )


async def attempts_of(db: Connection, call_ids: Sequence[UUID]) -> list[Row]:
    return await db.fetch(
        """select id, at, call_id, number, state, status, error, duration_ms, ended_at,
             case when state <> 'ok' then response end as response from attempt
           where call_id = any($1) and at >= $2 order by id""",
        list(call_ids),
        _earliest(call_ids),
    )


async def effects(db: Connection, workspace: str, keys: Sequence[bytes]) -> list[Row]:
    """Effects are kept for ever: one is there even where its call expired."""
    return await db.fetch(
        """select key, state, call_id, label, output, doubled, at, ended_at from effect
           where workspace = $1 and key = any($2)""",
        workspace,
        list(keys),
    )


def lowest_id(moment: datetime) -> UUID:
    """The lowest UUIDv7 of a moment: ids compare as their times do."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def time_in(row_id: UUID) -> datetime:
    """The time in an id; ids that are no UUIDv7 of ours may hold none that a database knows: the beginning of time."""
    try:
        return time_of(row_id)
    except (ValueError, OverflowError):
        return time_of(UUID(int=0))


def _earliest(ids: Iterable[UUID]) -> datetime:
    return min((time_in(row_id) for row_id in ids), default=time_of(UUID(int=0)))
