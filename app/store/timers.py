"""Rows that come due with time: events to be stated, slots of schedules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.store.database import Connection


@dataclass(frozen=True, slots=True)
class Timer:
    """kind: `event` (data: an event to be stated) or `schedule` (data: recipe, cron, timezone). data: JSON text when
    it is written, plain data when read. key: a timer of one key is there once."""

    id: UUID
    workspace: str
    kind: str
    connection_id: UUID | None
    key: bytes
    data: Any
    due_at: datetime


_FIELDS = ", ".join(Timer.__slots__)
KINDS = ["event", "schedule"]
DUE = f"""select {_FIELDS} from timer where due_at <= $1 and kind = any($2) order by due_at limit $3
          for update skip locked"""


async def insert(connection: Connection, timers: Sequence[Timer]) -> None:
    """Set timers; one whose key is there already stays as it is."""
    if timers:
        rows = [tuple(getattr(t, name) for name in Timer.__slots__) for t in sorted(timers, key=lambda t: t.key)]
        await connection.execute(
            f"""insert into timer ({_FIELDS}) select * from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[],
                $5::bytea[], $6::jsonb[], $7::timestamptz[]) on conflict (key) do nothing""",
            *map(list, zip(*rows, strict=True)),
        )


async def claim(connection: Connection, now: datetime, limit: int) -> list[Timer]:
    """Lock due timers of the engine, earliest first, for the length of the transaction."""
    return [Timer(*row) for row in await connection.fetch(DUE, now, KINDS, limit)]


async def remove(connection: Connection, ids: Sequence[UUID]) -> None:
    if ids:
        await connection.execute("delete from timer where id = any($1)", list(ids))


async def move(connection: Connection, timers: Sequence[tuple[UUID, datetime]]) -> None:
    """Set timers to their next time."""
    if timers:
        await connection.execute(
            """update timer set due_at = t.due_at from unnest($1::uuid[], $2::timestamptz[]) as t(id, due_at)
               where timer.id = t.id""",
            *map(list, zip(*timers, strict=True)),
        )


async def keep_schedules(connection: Connection, keys: Sequence[bytes]) -> None:
    """Remove the timers of schedules that are no more."""
    await connection.execute("delete from timer where kind = 'schedule' and not (key = any($1))", list(keys))
