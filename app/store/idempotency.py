"""Answers to requests that carried an `Idempotency-Key`, sealed, for a day: a repeat is answered the same again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.store.database import Connection

KEPT = timedelta(days=1)
LOCKED = timedelta(minutes=1)
"""How long the first request has to end before a repeat may look whether it did anything."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key. request: hash of what was asked; answer: sealed, None while it is worked on."""

    id: UUID
    request: bytes
    answer: bytes | None
    at: datetime
    locked: bool


async def claim(db: Connection, key: bytes, row_id: UUID, workspace: str, request: bytes) -> Kept | None:
    """Take a key for a request; None if it was free, else what is known of the request that has it."""
    mine = await db.fetchval(
        """insert into idempotency as i (key, id, workspace, request, expires_at, locked_until)
           values ($1, $2, $3, $4, clock_timestamp() + $5, clock_timestamp() + $6)
           on conflict (key) do update set id = excluded.id, request = excluded.request, answer = null,
             at = clock_timestamp(), expires_at = excluded.expires_at, locked_until = excluded.locked_until
             where i.expires_at < clock_timestamp()
           returning id""",
        key,
        row_id,
        workspace,
        request,
        KEPT,
        LOCKED,
    )
    if mine is not None:
        return None
    row = await db.fetchrow(
        "select id, request, answer, at, locked_until > clock_timestamp() from idempotency where key = $1", key
    )
    return Kept(*row) if row else await claim(db, key, row_id, workspace, request)


async def take_over(db: Connection, key: bytes, before: UUID, row_id: UUID) -> bool:
    """Work again on a request that was given up before it did anything; False if another repeat was quicker."""
    mine = await db.fetchval(
        """update idempotency set id = $3, at = clock_timestamp(), locked_until = clock_timestamp() + $4
           where key = $1 and id = $2 and answer is null returning id""",
        key,
        before,
        row_id,
        LOCKED,
    )
    return mine is not None


async def done(db: Connection, workspace: str, kept: Kept) -> bool:
    """Whether the request changed anything: every change leaves its line in the audit log in its own transaction."""
    found: bool = await db.fetchval(
        """select exists (select 1 from audit where workspace = $1 and at >= $2::timestamptz - interval '1 minute'
             and detail ->> 'idempotency' = $3)""",
        workspace,
        kept.at,
        str(kept.id),
    )
    return found


async def keep(db: Connection, key: bytes, row_id: UUID, answer: bytes) -> None:
    await db.execute("update idempotency set answer = $3 where key = $1 and id = $2", key, row_id, answer)


async def let_go(db: Connection, key: bytes, row_id: UUID) -> None:
    """The request did nothing: its key is free."""
    await db.execute("delete from idempotency where key = $1 and id = $2", key, row_id)


async def unlock(db: Connection, key: bytes, row_id: UUID) -> None:
    """The request broke: a repeat may look whether it did anything."""
    await db.execute("update idempotency set locked_until = clock_timestamp() where key = $1 and id = $2", key, row_id)
