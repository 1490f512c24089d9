"""Addresses that are not written to any more: known by a keyed hash, so that an erased one is still left in peace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.database import Connection
from app.store.tables import suppression


@dataclass(frozen=True, slots=True)
class Kept:
    """One address. `address` and `said` are None once the person was erased."""

    key: bytes
    address: str | None
    reason: str
    said: str | None
    since: datetime


_COLUMNS = (
    suppression.c.key,
    suppression.c.address,
    suppression.c.reason,
    suppression.c.said,
    suppression.c.since,
)


async def find(db: AsyncConnection, workspace: str, keys: Sequence[bytes]) -> list[Kept]:
    rows = await db.execute(
        select(*_COLUMNS).where(suppression.c.workspace == workspace, suppression.c.key.in_(list(keys)))
    )
    return [Kept(*row) for row in rows]


async def add(db: AsyncConnection, workspace: str, key: bytes, address: str, reason: str, said: str | None) -> bool:
    """Keep an address; True if it was not there. One that is there stays as it is, but what a person wanted goes before
    what a server said (an unsubscribed address that bounces stays unsubscribed)."""
    values: dict[str, Any] = {"address": address, "reason": reason, "said": said}
    statement = insert(suppression).values(workspace=workspace, key=key, **values)
    changed = statement.on_conflict_do_update(
        index_elements=["workspace", "key"],
        set_=values,
        where=or_(suppression.c.address.is_(None), suppression.c.reason == "bounced"),
    )
    rows = await db.execute(changed.returning(suppression.c.since == func.transaction_timestamp()))
    row = rows.one_or_none()
    return row is not None and bool(row[0])


async def remove(db: AsyncConnection, workspace: str, key: bytes) -> bool:
    """Write to an address again; False if it was not kept."""
    gone = await db.execute(
        delete(suppression)
        .where(suppression.c.workspace == workspace, suppression.c.key == key)
        .returning(suppression.c.key)
    )
    return gone.one_or_none() is not None


@dataclass(frozen=True, slots=True)
class KeptFilter:
    """`after`: (since, key) of the last one that was shown."""

    after: tuple[datetime, bytes] | None = None
    key: bytes | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def newest(db: AsyncConnection, workspace: str, limit: int, wanted: KeptFilter) -> list[Kept]:
    place = tuple_(suppression.c.since, suppression.c.key)
    found = select(*_COLUMNS).where(suppression.c.workspace == workspace)
    if wanted.after is not None:
        found = found.where(place < tuple_(*map(literal, wanted.after)), suppression.c.since <= wanted.after[0])
    if wanted.key is not None:
        found = found.where(suppression.c.key == wanted.key)
    if wanted.reason is not None:
        found = found.where(suppression.c.reason == wanted.reason)
    if wanted.since is not None:
        found = found.where(suppression.c.since >= wanted.since)
    if wanted.until is not None:
        found = found.where(suppression.c.since < wanted.until)
    rows = await db.execute(found.order_by(suppression.c.since.desc(), suppression.c.key.desc()).limit(limit))
    return [Kept(*row) for row in rows]


async def forget_addresses(db: Connection, workspace: str, keys: Sequence[bytes]) -> None:
    """Erase who it was; that nobody writes to them stays."""
    await db.execute(
        "update suppression set address = null, said = null where workspace = $1 and key = any($2::bytea[])",
        workspace,
        list(keys),
    )
