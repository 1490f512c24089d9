"""Addresses that are not written to any more: known by a keyed hash, so that an erased one is still left in peace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.store.database import Connection


@dataclass(frozen=True, slots=True)
class Kept:
    """One address. `address` and `said` are None once the person was erased."""

    key: bytes
    address: str | None
    reason: str
    said: str | None
    since: datetime


_COLUMNS = "key, address, reason, said, since"


async def find(db: Connection, workspace: str, keys: Sequence[bytes]) -> list[Kept]:
    rows = await db.fetch(
        f"select {_COLUMNS} from suppression where workspace = $1 and key = any($2::bytea[])", workspace, list(keys)
    )
    return [Kept(*row) for row in rows]


async def add(db: Connection, workspace: str, key: bytes, address: str, reason: str, said: str | None) -> bool:
    """Keep an address; True if it was not there. One that is there stays as it is, but what a person wanted goes before
    what a server said (an unsubscribed address that bounces stays unsubscribed)."""
    made: bool | None = await db.fetchval(
        """insert into suppression as s (workspace, key, address, reason, said) values ($1, $2, $3, $4, $5)
           on conflict (workspace, key) do update
             set address = excluded.address, reason = excluded.reason, said = excluded.said
             where s.address is null or s.reason = 'bounced'
           returning since = transaction_timestamp()""",
        workspace,
        key,
        address,
        reason,
        said,
    )
    return bool(made)


async def remove(db: Connection, workspace: str, key: bytes) -> bool:
    """Write to an address again; False if it was not kept."""
    gone = await db.execute("delete from suppression where workspace = $1 and key = $2", workspace, key)
    return not gone.endswith(" 0")


@dataclass(frozen=True, slots=True)
class KeptFilter:
    """`after`: (since, key) of the last one that was shown."""

    after: tuple[datetime, bytes] | None = None
    key: bytes | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def newest(db: Connection, workspace: str, limit: int, wanted: KeptFilter) -> list[Kept]:
    at, key = wanted.after or (None, None)
    rows = await db.fetch(
        f"""select {_COLUMNS} from suppression
            where workspace = $1 and ($2::timestamptz is null or ((since, key) < ($2, $3) and since <= $2))
              and ($4::bytea is null or key = $4) and ($5::text is null or reason = $5)
              and ($6::timestamptz is null or since >= $6) and ($7::timestamptz is null or since < $7)
            order by since desc, key desc limit $8""",
        workspace,
        at,
        key,
        wanted.key,
        wanted.reason,
        wanted.since,
        wanted.until,
        limit,
    )
    return [Kept(*row) for row in rows]


async def forget_addresses(db: Connection, workspace: str, keys: Sequence[bytes]) -> None:
    """Erase who it was; that nobody writes to them stays."""
    await db.execute(
        "update suppression set address = null, said = null where workspace = $1 and key = any($2::bytea[])",
        workspace,
        list(keys),
    )
