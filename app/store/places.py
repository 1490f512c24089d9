"""Places that runs took under a limit: so many per value within a sliding window."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.store.database import Connection


async def lock(connection: Connection, keys: Sequence[bytes]) -> None:
    """Hold values for the length of the transaction, in sorted order: only one counts them at a time."""
    await connection.execute(
        """select pg_advisory_xact_lock(number) from (
             select distinct ('x' || encode(substring(key from 1 for 8), 'hex'))::bit(64)::bigint as number
             from unnest($1::bytea[]) as t(key) order by 1) as sorted""",
        sorted(keys),
    )


async def free_at(
    connection: Connection, key: bytes, at_most: int, within: timedelta, now: datetime
) -> datetime | None:
    """When a further place is free; None if one is free now."""
    nth: datetime | None = await connection.fetchval(
        "select at from place where key = $1 and at > $2 order by at desc offset $3 limit 1",
        key,
        now - within,
        at_most - 1,
    )
    return None if nth is None else nth + within


async def take(connection: Connection, key: bytes, run_id: UUID, now: datetime, expires_at: datetime) -> None:
    await connection.execute(
        """insert into place (key, run_id, at, expires_at) values ($1, $2, $3, $4)
           on conflict (key, run_id) do update set at = excluded.at,
             expires_at = greatest(place.expires_at, excluded.expires_at)""",
        key,
        run_id,
        now,
        expires_at,
    )
    await connection.execute("delete from place where key = $1 and expires_at <= $2", key, now)
