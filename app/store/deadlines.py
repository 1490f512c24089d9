"""Timers of normalising: deadlines of parcels and checkouts, and the API reads that webhooks wait for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection, Row, to_json


@dataclass(frozen=True, slots=True)
class Deadline:
    """A timer that normalising sets; a later one under the same key takes its place."""

    id: UUID
    workspace: str
    kind: str
    connection_id: UUID | None
    key: bytes
    data: Mapping[str, Any]
    due_at: datetime


async def put(connection: Connection, timers: Iterable[Deadline]) -> None:
    """Set timers, one a key; those that are there are set again."""
    rows = [(t.id, t.workspace, t.kind, t.connection_id, t.key, to_json(dict(t.data)), t.due_at)
            for t in sorted(timers, key=lambda t: t.key)]  # fmt: skip
    if rows:
        await connection.execute(
            """insert into timer (id, workspace, kind, connection_id, key, data, due_at)
               select * from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::jsonb[],
                   $7::timestamptz[])
               on conflict (key) do update set data = excluded.data, due_at = excluded.due_at""",
            *map(list, zip(*rows, strict=True)),
        )


async def claim(connection: Connection, kinds: Sequence[str], now: datetime, limit: int) -> list[Row]:
    """Lock due timers of these kinds for the length of the transaction, the longest due first."""
    rows: list[Row] = await connection.fetch(
        """select id, workspace, kind, connection_id, key, data, due_at from timer
           where kind = any($1::text[]) and due_at <= $2 order by due_at limit $3 for update skip locked""",
        list(kinds),
        now,
        limit,
    )
    return rows


async def claim_one(connection: Connection, timer_id: UUID) -> list[Row]:
    """Lock this timer; none when it is gone, or another process has it."""
    rows: list[Row] = await connection.fetch(
        """select id, workspace, kind, connection_id, key, data, due_at from timer
           where id = $1 for update skip locked""",
        timer_id,
    )
    return rows


async def data_of(connection: Connection, timer_id: UUID) -> Mapping[str, Any] | None:
    """What a timer holds; None when it is gone."""
    found: Mapping[str, Any] | None = await connection.fetchval("select data from timer where id = $1", timer_id)
    return found


async def claim_reads(
    connection: Connection, connection_id: UUID, now: datetime, until: datetime, limit: int
) -> list[Row]:
    """Take the due reads of a connection until `until`: whoever dies with one lets go of it by then."""
    rows: list[Row] = await connection.fetch(
        """update timer t set due_at = $3 from (
               select id from timer where kind = 'read' and connection_id = $1 and due_at <= $2
               order by due_at limit $4 for update skip locked) as due
           where t.id = due.id returning t.id, t.data""",
        connection_id,
        now,
        until,
        limit,
    )
    return rows


async def try_later(
    connection: Connection,
    timer_id: UUID,
    due_at: datetime,
    data: Mapping[str, Any],
    webhook: tuple[UUID, datetime],
    why: str,
) -> None:
    """Set a read's next try, and say at its webhook (id, at) why it still waits."""
    await postpone(connection, timer_id, due_at, data)
    await connection.execute(
        "update webhook set reason = $3 where id = $1 and at >= $2 and state = 'reading'", *webhook, why
    )


async def postpone(connection: Connection, timer_id: UUID, due_at: datetime, data: Mapping[str, Any]) -> None:
    await connection.execute(
        "update timer set due_at = $2, data = $3::jsonb where id = $1", timer_id, due_at, to_json(dict(data))
    )


async def reads_of_removed(
    connection: Connection, before: datetime, limit: int
) -> list[tuple[UUID, tuple[UUID, datetime], Mapping[str, Any]]]:
    """Lock reads of connections that were removed before that moment: (timer id, webhook (id, at), data)."""
    rows = await connection.fetch(
        """select t.id, t.data from timer t join connection n on n.id = t.connection_id
           where t.kind = 'read' and n.removed and n.updated_at < $1 order by t.id limit $2
           for update of t skip locked""",
        before,
        limit,
    )
    ids = [UUID(row["data"]["webhook_id"]) for row in rows]
    return [(row["id"], (id, time_of(id)), row["data"]) for row, id in zip(rows, ids, strict=True)]


async def hand_over(
    connection: Connection, timer_id: UUID, webhook: tuple[UUID, datetime], reads: Mapping[str, Any]
) -> None:
    """Give a webhook (id, at) what was read for it: it is due again."""
    await connection.execute(
        """update webhook set state = 'due', reason = null, reads = $3::jsonb
           where id = $1 and at >= $2 and state = 'reading'""",
        *webhook,
        to_json(dict(reads)),
    )
    await connection.execute("delete from timer where id = $1", timer_id)


async def remove(connection: Connection, timer_ids: Sequence[UUID]) -> None:
    if timer_ids:
        await connection.execute("delete from timer where id = any($1::uuid[])", list(timer_ids))
