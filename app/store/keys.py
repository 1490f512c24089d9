"""API keys: only their hashes are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import api_key as table

_MAKING = 7201950
"""Advisory lock: of two processes that start at once, one makes the first key."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be stored; `workspace` None is every workspace, `digest` is SHA-256 of the key."""

    id: UUID
    workspace: str | None
    name: str
    prefix: str
    digest: bytes
    scopes: Sequence[str]
    expires_at: datetime | None = None
    connections: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it may be shown; `connections` None is all of its workspace."""

    id: UUID
    workspace: str | None
    name: str
    prefix: str
    digest: bytes
    scopes: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    connections: Sequence[UUID] | None


_SHOWN = [table.c[name] for name in KeyRow.__slots__]


def _unexpired() -> ColumnElement[bool]:
    return table.c.expires_at.is_(None) | (table.c.expires_at > func.clock_timestamp())


async def insert_key(db: AsyncConnection, key: NewKey) -> None:
    values = {name: getattr(key, name) for name in NewKey.__slots__}
    limits = None if key.connections is None else list(key.connections)
    await db.execute(insert(table).values(**values | {"scopes": list(key.scopes), "connections": limits}))


async def find(db: AsyncConnection, digest: bytes) -> KeyRow | None:
    """The key with this digest that is neither revoked nor expired; notes that it was used, once a minute at most."""
    now = func.clock_timestamp()
    good = (table.c.digest == digest) & table.c.revoked_at.is_(None) & _unexpired()
    row = (await db.execute(select(*_SHOWN).where(good))).one_or_none()
    if row is None:
        return None
    unnoted = table.c.last_used_at.is_(None) | (table.c.last_used_at < now - text("interval '1 minute'"))
    await db.execute(update(table).where(table.c.id == row.id, unnoted).values(last_used_at=now))
    return KeyRow(*row)


async def list_keys(db: AsyncConnection, workspace: str, everywhere: bool) -> list[KeyRow]:
    """The keys of a workspace, newest first; revoked ones too. Keys of every workspace only if `everywhere`."""
    mine = table.c.workspace == workspace
    mine = mine | table.c.workspace.is_(None) if everywhere else mine
    return [KeyRow(*row) for row in await db.execute(select(*_SHOWN).where(mine).order_by(table.c.id.desc()))]


async def revoke(db: AsyncConnection, workspace: str, key_id: UUID, everywhere: bool) -> bool:
    """Close a key for ever; False if the workspace has no such key. Keys of every workspace only if `everywhere`."""
    mine = table.c.workspace == workspace
    changed = await db.execute(
        update(table)
        .where(table.c.id == key_id, mine | table.c.workspace.is_(None) if everywhere else mine)
        .values(revoked_at=func.coalesce(table.c.revoked_at, func.clock_timestamp()))
        .returning(table.c.id)
    )
    return changed.one_or_none() is not None


async def lock_making(db: AsyncConnection) -> None:
    """Hold off other processes that would make the first key, until the transaction ends."""
    await db.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MAKING})


async def any_admin(db: AsyncConnection) -> bool:
    """Whether a key for every workspace with every right was ever made and still opens."""
    found = select(table.c.id).where(
        table.c.workspace.is_(None), table.c.scopes.contains(["admin"]), table.c.revoked_at.is_(None), _unexpired()
    )
    return (await db.execute(found.limit(1))).first() is not None
