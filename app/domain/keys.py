"""API keys: who may ask for what. A key is shown once, when it is made; afterwards only its hash is known."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
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
        name, workspace = row.name or row.prefix, row.workspace or "main"
        return Caller(name, frozenset(row.scopes), workspace, row.workspace is None, str(row.id))

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
) -> MadeKey:
    """Make a key for one workspace, or with None for all. Raises MalformedError for scopes that are none."""
    key = new_key()
    row = store.NewKey(new_id(), workspace, name, key[:SHOWN], digest_of(key), checked_scopes(scopes), expires_at)
    await store.insert_key(db, row)
    return MadeKey(row.id, key)


async def revoke(database: Database, workspace: str, key_id: UUID) -> bool:
    """Close a key; processes that know it notice within a second. False if there is no such key."""
    async with database.begin() as db:
        return await store.revoke(db, workspace, key_id)


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
    return key
