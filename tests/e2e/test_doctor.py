"""`tradewind doctor` on set-ups that are broken for real: each fault is a finding with its mend; nothing changes."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from app import doctor
from app.crypto import new_key
from app.doctor import Finding, examine
from app.errors import ConfigError
from app.hub import open_hub
from app.keyfile import FILE, made_keys
from app.preparing import migrate_database
from app.settings import Settings
from app.store.database import Database
from app.store.refusals import refusal
from tests.support.services import execute


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "recipes").mkdir()
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        home=tmp_path / "home",
        recipes=tmp_path / "recipes",
        port=1,
        secret_keys=new_key(),
    )


async def findings(settings: Settings, **changed: object) -> dict[str, Finding]:
    seen = {each.about: each async for each in examine(settings.model_copy(update=changed))}
    assert all(each.mend for each in seen.values() if each.verdict != "ok"), "each fault says what to do"
    return seen


async def test_a_database_that_lets_nobody_in_is_told_apart(settings: Settings, redis_url: str) -> None:
    url = settings.database_url
    await execute(url, "create role stranger login")
    elsewhere = {
        f"{url}_no": ("does not exist", "createdb"),
        f"{url}?sslmode=require": ("SSL", "host and port"),
        "postgresql://me:hush@127.0.0.1:1/x": ("does not answer", "Is PostgreSQL running?"),
        f"postgresql://stranger@{url.partition('@')[2]}": ("permission denied", "the owner"),
    }
    try:
        for address, (said, mend) in elsewhere.items():
            found = await findings(settings, database_url=address)
            assert found["database"].verdict == "fault"
            assert said in found["database"].said, address
            assert mend in found["database"].mend, address
            assert "hub" not in found, "what needs the database is left out"
            with pytest.raises(ConfigError) as refused:
                migrate_database(settings.model_copy(update={"database_url": address}))
            assert mend in str(refused.value)
            assert "hush" not in str(refused.value)
    finally:
        await execute(url, "drop role stranger")


def test_a_wrong_password_is_said_as_one() -> None:
    found = refusal(asyncpg.InvalidPasswordError('password authentication failed for user "shop"'))
    assert found is not None
    assert "user and password" in found.mend
    assert refusal(asyncpg.UniqueViolationError("a fault of ours")) is None


async def test_an_address_with_options_is_read_alike_by_both_pools(settings: Settings) -> None:
    database = await Database(f"{settings.database_url}?sslmode=prefer&application_name=shop").open()
    try:
        async with database.begin() as db:
            assert (await db.execute(text("show application_name"))).scalar() == "shop"
        migrate_database(settings.model_copy(update={"database_url": database.url}))
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("schema", "said", "mend"), [("0001", "the newest is", "tradewind migrate"), ("9999", "newer", "newer")]
)
async def test_an_older_and_a_newer_schema_are_told_apart(
    settings: Settings, schema: str, said: str, mend: str
) -> None:
    await execute(settings.database_url, f"update alembic_version set version_num = '{schema}'")
    found = (await findings(settings))["migrations"]
    assert (found.verdict, said in found.said, mend in found.mend) == ("fault", True, True), found
    if schema == "9999":
        with pytest.raises(ConfigError, match="made by a newer Tradewind"):
            migrate_database(settings)


async def test_a_look_at_a_new_database_seals_nothing_in_it(settings: Settings) -> None:
    """What a wrong key sealed first would keep the hub from ever starting with the right one."""
    assert (await findings(settings))["hub"].verdict == "warning"
    without = await findings(settings, secret_keys="")
    assert without["secrets"].verdict == "warning"
    assert not (settings.home / FILE).exists(), "nor is a key made"
    async with open_hub(settings):
        pass


async def test_lost_and_wrong_keys_are_faults(settings: Settings) -> None:
    async with open_hub(settings):
        pass
    lost = (await findings(settings, secret_keys=""))["secrets"]
    assert (lost.verdict, FILE in lost.mend) == ("fault", True)
    assert not (settings.home / FILE).exists()
    assert (await findings(settings, secret_keys=new_key()))["hub"].verdict == "fault"
    assert (await findings(settings, secret_keys="hello,world"))["secrets"].verdict == "fault"


async def test_a_redis_that_refuses_or_takes_nothing_is_a_fault(settings: Settings, redis_url: str) -> None:
    admin = Redis.from_url(redis_url)
    user, url = f"shop-{os.getpid()}", redis_url.partition("//")[2]
    try:
        await admin.acl_setuser(user, enabled=True, passwords=["+right"], commands=["+ping"])
        refused = (await findings(settings, redis_url=f"redis://{user}:wrong@{url}"))["Redis"]
        assert (refused.verdict, "password" in refused.mend) == ("fault", True)
        limited = (await findings(settings, redis_url=f"redis://{user}:right@{url}"))["Redis"]
        assert (limited.verdict, "takes no wake-ups" in limited.said) == ("fault", True), limited
    finally:
        await admin.acl_deluser(user)
        await admin.aclose()
    assert (await findings(settings, redis_url="redis://127.0.0.1:1/0?socket_timeout=x"))["Redis"].verdict == "fault"


async def test_a_clock_that_is_off_is_a_warning_and_a_fault_when_webhooks_would_be_refused() -> None:
    now = datetime.now(UTC)
    verdicts = {off: doctor._clock(now + timedelta(seconds=off), 0.0).verdict for off in (0, 10, -10, 400, -400)}
    assert verdicts == {0: "ok", 10: "warning", -10: "warning", 400: "fault", -400: "fault"}


async def test_a_data_folder_that_cannot_be_written_is_a_fault(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    bare = {"secret_keys": "", "home": tmp_path / "file" / "home"}
    assert (await findings(settings, **bare))["data folder"].verdict == "fault"
    assert "data folder" not in await findings(settings), "it is not used where the environment names everything"
    with pytest.raises(ConfigError, match="cannot be written"):
        made_keys(tmp_path / "file" / "home")


async def test_an_address_that_is_none_is_said(settings: Settings) -> None:
    for url in ("hooks.example.com", "http://[::"):
        found = (await findings(settings, public_url=url))["webhooks"]
        assert (found.verdict, "begins with https://" in found.mend) == ("fault", True)
