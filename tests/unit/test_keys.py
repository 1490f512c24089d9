"""API keys: what is kept of them, what they open, and for how long an answer about one holds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain import keys
from app.domain.keys import SCOPES, Caller, Keys, MadeKey, checked_scopes, digest_of, ensure_admin_key, new_key
from app.errors import MalformedError
from app.settings import Settings
from app.store.database import Database


@dataclass
class Hublike:
    settings: Settings
    database: Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database(database_url, size=4).open()
    yield opened
    await opened.close()


async def make(database: Database, *given: Any, **more: Any) -> MadeKey:
    async with database.begin() as db:
        return await keys.make(db, *given, **more)


async def revoke(database: Database, workspace: str, key_id: UUID, **more: Any) -> bool:
    async with database.begin() as db:
        return await keys.revoke(db, workspace, key_id, **more)


def test_a_key_is_long_random_and_told_apart_by_its_beginning() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith(keys.PREFIX) and len(key) >= keys.SHOWN + 43 for key in made)
    assert len({key[: keys.SHOWN] for key in made}) == 100


@pytest.mark.parametrize("scope", SCOPES)
def test_a_caller_may_do_what_its_scopes_say_and_admin_everything(scope: keys.Scope) -> None:
    assert Caller("x", frozenset({scope})).may(scope)
    assert Caller("x", frozenset({"admin"})).may(scope)
    for other in SCOPES:
        if other not in (scope, "admin"):
            assert not Caller("x", frozenset({other})).may(scope)


def test_unknown_scopes_and_none_are_refused() -> None:
    assert checked_scopes(["replay", "read", "read"]) == ("read", "replay")
    with pytest.raises(MalformedError, match="'write'"):
        checked_scopes(["write"])
    with pytest.raises(MalformedError, match="needs a scope"):
        checked_scopes([])


async def test_only_the_hash_of_a_key_is_kept(database: Database) -> None:
    made = await make(database, "reporting", ["read"])
    async with database.acquire() as db:
        row = await db.fetchrow("select * from api_key")
    assert row["digest"] == digest_of(made.key)
    secret = made.key.rpartition("_")[2]
    assert secret not in str(dict(row))
    assert made.key.startswith(row["prefix"])


async def test_a_key_opens_its_workspace_until_it_is_revoked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REMEMBERED", 0.0)
    known = Keys(database)
    made = await make(database, "reporting", ["read"], "other")
    caller = await known.check(made.key)
    assert caller == Caller("reporting", frozenset({"read"}), "other", id=str(made.id))
    assert not await revoke(database, "main", made.id), "a key of another workspace"
    assert await revoke(database, "other", made.id)
    assert await known.check(made.key) is None


async def test_an_expired_key_and_a_wrong_one_open_nothing(database: Database) -> None:
    known = Keys(database)
    ended = await make(database, "old", ["admin"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    later = await make(database, "new", ["admin"], expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert await known.check(ended.key) is None
    assert await known.check(later.key) is not None
    for wrong in ("", "tw_", later.key[:-1], later.key + "x", "\ud800", "\x00"):
        assert await known.check(wrong) is None


async def test_the_answer_about_a_key_is_remembered_for_a_second_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(keys, "monotonic", lambda: now)
    known = Keys(database)
    made = await make(database, "reporting", ["read"])
    assert await known.check(made.key) is not None
    await revoke(database, "main", made.id)
    now = 100.9
    assert await known.check(made.key) is not None, "asked of the database twice within a second"
    now = 101.0
    assert await known.check(made.key) is None


async def test_the_use_of_a_key_is_noted(database: Database) -> None:
    made = await make(database, "reporting", ["read"])
    await Keys(database).check(made.key)
    async with database.acquire() as db:
        assert await db.fetchval("select last_used_at from api_key") is not None


async def test_the_key_of_the_settings_opens_everything_and_is_stored_nowhere(database: Database) -> None:
    known = Keys(database, "a-key-from-the-environment")
    caller = await known.check("a-key-from-the-environment")
    assert caller is not None
    assert caller.may("admin")
    assert caller.everywhere
    assert await known.check("a-key-from-the-environmen") is None
    hub = Hublike(Settings(admin_key="a-key-from-the-environment"), database)
    assert await ensure_admin_key(hub) is None
    async with database.acquire() as db:
        assert await db.fetchval("select count(*) from api_key") == 0


async def test_the_first_key_is_made_once_however_many_start_at_once(database: Database) -> None:
    hub = Hublike(Settings(admin_key=""), database)
    made = await asyncio.gather(*(ensure_admin_key(hub) for _ in range(4)))
    shown = [key for key in made if key is not None]
    assert len(shown) == 1
    caller = await Keys(database).check(shown[0])
    assert caller is not None
    assert caller.may("admin")
    assert caller.everywhere
    assert await ensure_admin_key(hub) is None
