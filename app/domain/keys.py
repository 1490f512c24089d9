"""API keys: who may ask for what. A key is shown once, when it is made; afterwards only its hash is known."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Literal, Protocol, get_args
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import MalformedError
from app.ids import new_id
from app.settings import Settings
from app.store import keys as store
from app.store.byhand import Deed
from app.store.changes.audit import note_change
from app.store.changes.connections import ids_of_slugs
from app.store.database import Database

Scope = Literal["read", "replay", "recipes", "connections", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

REMEMBERED = 1.0
"""Seconds for which the answer about a key holds: a revoked key opens nothing after that."""
REMEMBERED_AT_MOST = 10_000
PREFIX = "tw_"
SHOWN = len(PREFIX) + 8
"""Characters of a key that stay readable, to tell keys apart."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and about which workspace; with `everywhere` it may name another one. id: the key's own."""

    name: str
    scopes: frozenset[str]
    workspace: str = "main"
    everywhere: bool = False
    id: str = ""
    connections: frozenset[UUID] | None = None
    """The connections that it is limited to, by permanent id; None: all of the workspace."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key just made: the only time that `key` itself is known."""

    id: UUID
    key: str


class Hublike(Protocol):
    """What the first key needs of a hub."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...


class Keys:
    """Checks keys against the database, each at most once a second, and against the key of the settings."""

    def __init__(self, database: Database, admin_key: str = "") -> None:
        self._database = database
        self._admin = digest_of(admin_key) if admin_key else None
        self._known: dict[bytes, tuple[float, Caller | None]] = {}

    async def check(self, key: str) -> Caller | None:
        """Who holds this key; None if nobody does (unknown, expired, revoked). Raises one of AWAY without a store."""
        digest = digest_of(key)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return Caller("admin", frozenset({"admin"}), everywhere=True, id="admin")
        until, caller = self._known.get(digest, (0.0, None))
        if monotonic() >= until:
            caller = await self._look_up(digest)
            self._remember(digest, caller)
        return caller

    async def _look_up(self, digest: bytes) -> Caller | None:
        async with self._database.begin() as db:
            row = await store.find(db, digest)
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        limits = None if row.connections is None else frozenset(row.connections)
        name, workspace = row.name or row.prefix, row.workspace or "main"
        return Caller(name, frozenset(row.scopes), workspace, row.workspace is None, str(row.id), limits)

    def _remember(self, digest: bytes, caller: Caller | None) -> None:
        if len(self._known) >= REMEMBERED_AT_MOST:
            self._known.clear()
        self._known[digest] = (monotonic() + REMEMBERED, caller)


def digest_of(key: str) -> bytes:
    """SHA-256. A key holds 256 random bits, so a slow hash would guard nothing more."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def new_key() -> str:
    """A fresh key: 8 characters to tell it by, 43 that are secret."""
    return f"{PREFIX}{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """These scopes, each once, in order. Raises MalformedError for an unknown one, or none."""
    wanted = set(scopes)
    if unknown := sorted(wanted - set(SCOPES)):
        raise MalformedError(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    if not wanted:
        raise MalformedError(f"a key needs a scope: {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


async def make(
    db: AsyncConnection,
    name: str,
    scopes: Iterable[str],
    workspace: str | None = "main",
    expires_at: datetime | None = None,
    connections: Iterable[str] | None = None,
    *,
    actor: str = "command line",
) -> MadeKey:
    """Make a key for one workspace, or with None for all; `connections`: the slugs that it is limited to. Raises
    MalformedError for scopes that are none or need the whole workspace, and for unknown connections."""
    key, wanted = new_key(), checked_scopes(scopes)
    limits = None if connections is None else await _limits(db, workspace, wanted, sorted(set(connections)))
    ids = None if limits is None else list(limits.values())
    row = store.NewKey(new_id(), workspace, name, key[:SHOWN], digest_of(key), wanted, expires_at, ids)
    await store.insert_key(db, row)
    detail = {"name": name, "scopes": list(wanted), "prefix": row.prefix, "every_workspace": workspace is None}
    detail |= {"expires_at": expires_at and expires_at.isoformat(), "connections": limits and list(limits)}
    await note_change(db, Deed(workspace or "main", actor, "make", f"key/{row.id}", detail))
    return MadeKey(row.id, key)


async def _limits(
    db: AsyncConnection, workspace: str | None, scopes: Sequence[str], slugs: Sequence[str]
) -> dict[str, UUID]:
    """The permanent ids of the connections that a key is limited to."""
    if workspace is None:
        raise MalformedError("a key of every workspace cannot be limited to connections")
    if whole := [scope for scope in scopes if scope in ("admin", "recipes")]:
        raise MalformedError(f"the scope {whole[0]!r} is of the whole workspace: it cannot be limited to connections")
    if not slugs:
        raise MalformedError("name at least one connection, or leave `connections` out")
    known = await ids_of_slugs(db, workspace, slugs)
    if unknown := [slug for slug in slugs if slug not in known]:
        raise MalformedError(f"there is no connection {unknown[0]!r}")
    return known


async def revoke(
    db: AsyncConnection, workspace: str, key_id: UUID, *, everywhere: bool = True, actor: str = "command line"
) -> bool:
    """Close a key; processes that know it notice within a second. False if there is no such key, or (without
    `everywhere`) if it is one of every workspace."""
    if not await store.revoke(db, workspace, key_id, everywhere):
        return False
    await note_change(db, Deed(workspace, actor, "revoke", f"key/{key_id}", {}))
    return True


async def ensure_admin_key(hub: Hublike) -> str | None:
    """Make the first key if there is none and the settings name none. Answers it only when it was just made: show it
    once, it cannot be read back."""
    if hub.settings.admin_key:
        return None
    key = new_key()
    async with hub.database.begin() as db:
        await store.lock_making(db)
        if await store.any_admin(db):
            return None
        first = store.NewKey(new_id(), None, "made at the first start", key[:SHOWN], digest_of(key), ("admin",))
        await store.insert_key(db, first)
        detail = {"name": first.name, "scopes": ["admin"], "prefix": first.prefix, "every_workspace": True}
        await note_change(db, Deed("main", "start of the hub", "make", f"key/{first.id}", detail))
    return key
