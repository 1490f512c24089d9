"""Rotating the keys that encrypt secrets: all is re-encrypted, an interruption loses nothing, the old key can go."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.crypto import KeyRing, new_key, parse_keys
from app.domain.rotation import rotate, standing
from app.errors import ConfigError
from app.hub import Hub, open_hub
from app.store import connections as store
from app.store import sealed
from app.store.database import Database
from app.store.tables import metadata
from tests.support.harness import Harness, running, settings_for
from tests.support.testconnector import connector as testbench

OLD, NEW = new_key(), new_key()
SECRET = "hush-hush-signing-secret"


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path, testbench, secret_keys=OLD) as harness:
        for number in range(5):
            connection = await harness.connect(f"c{number}", testbench, {"account": f"a{number}", "token": SECRET})
            async with harness.hub.database.transaction() as db:
                held = harness.hub.ring.seal_json({"refresh_token": f"r{number}"}, connection.id.bytes)
                await store.save_credentials(db, connection.id, held, None)
        bearer = {"authorization": "Bearer test-admin-key-of-good-length", "idempotency-key": "once"}
        made = await harness.client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=bearer)
        assert made.status_code == 201, made.text
        yield harness


def ring(*keys: str) -> KeyRing:
    return KeyRing([key for text in keys for key in parse_keys(text)])


async def test_after_a_rotation_the_old_key_is_needed_nowhere(hub: Harness, tmp_path: Path) -> None:
    both, old_id = ring(NEW, OLD), ring(OLD).current
    before = hub.hub.hasher("the same for ever")
    rotated = await rotate(hub.hub.database, both, "somebody")
    assert (rotated.resealed, rotated.unused) == (12, (old_id.hex(),))
    assert rotated.under == {both.current.hex(): 12, old_id.hex(): 0}
    assert await places_of(hub, b"\x01" + old_id) == []
    assert (await rotate(hub.hub.database, both, "somebody")).resealed == 0
    settings = settings_for(hub.hub.settings.database_url, hub.hub.settings.redis_url, tmp_path, secret_keys=NEW)
    async with open_hub(settings, hub.hub.registry) as later:
        assert secrets_of(later) == {SECRET}
        assert later.hasher("the same for ever") == before, "keys that are kept for ever are found after a rotation"
        async with later.database.acquire() as db:
            for row in await store.load_all(db):
                assert (
                    later.ring.open_json(row["credentials"], row["id"].bytes)["refresh_token"] == f"r{row['slug'][1:]}"
                )
    (noted,) = await hub.rows("select actor, detail from audit where verb = 'rotate'")
    assert (noted["actor"], noted["detail"]["resealed"]) == ("somebody", 12)


async def test_an_interrupted_rotation_goes_on_where_it_was(hub: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    both, done, real = ring(NEW, OLD), 0, sealed.reseal_some

    async def two_then_killed(db: Any, column: Any, current: bytes, reseal: Any, last: Any) -> tuple[int, Any]:
        nonlocal done
        if done >= 4:
            raise ConnectionError("the power went")
        count, key = await real(db, column, current, reseal, last, limit=2)
        done += count
        return count, key

    monkeypatch.setattr(sealed, "reseal_some", two_then_killed)
    with pytest.raises(ConnectionError):
        await rotate(hub.hub.database, both, "somebody")
    monkeypatch.undo()
    assert (await standing(hub.hub.database, both))[both.current.hex()] == 5
    hub.hub.connections._ring = both
    await hub.hub.connections.refresh(always=True)
    assert secrets_of(hub.hub) == {SECRET}, "the hub goes on in between, under both keys"
    assert (await rotate(hub.hub.database, both, "somebody")).resealed == 7


async def test_a_rotation_without_the_old_key_says_so_and_changes_nothing(hub: Harness) -> None:
    with pytest.raises(ConfigError, match="no longer names"):
        await rotate(hub.hub.database, ring(NEW), "somebody")
    assert (await standing(hub.hub.database, ring(OLD)))[ring(OLD).current.hex()] == 12


def secrets_of(hub: Hub) -> set[str]:
    return {connection.settings.token.get_secret_value() for connection in hub.connections}  # type: ignore[attr-defined]


async def places_of(hub: Harness, start: bytes) -> list[tuple[str, UUID]]:
    """Every column of every table in which a value begins so: a sealed column that is not rotated is found."""
    database: Database = hub.hub.database
    found = []
    async with database.acquire() as db:
        for table in metadata.sorted_tables:
            for row in await db.fetch(f'select * from "{table.name}"'):
                found += [(table.name, name) for name, value in row.items()
                          if isinstance(value, bytes) and value.startswith(start)]  # fmt: skip
    return found
