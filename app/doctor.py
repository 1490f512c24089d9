"""What is wrong with a set-up, and how to mend each fault."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import redis.asyncio as redis
from alembic.config import Config
from alembic.script import ScriptDirectory
from redis.exceptions import RedisError

import app.store
from app.crypto import KeyRing
from app.errors import ConfigError
from app.hub import Hub, open_hub
from app.keyfile import FILE
from app.probing import probe
from app.production import check_secrets
from app.recipes import RegistryCatalogue, load_folder
from app.registry import Registry
from app.settings import Settings
from app.store.changes.connections import health
from app.store.database import Database

OLDEST_SERVER = 15
SKEW = 2.0
"""Seconds that this machine's clock may be off; signatures with a time in them are refused at some minutes."""

ASK_BEFORE = timedelta(days=14)
"""How long before an authorisation ends somebody is asked for a new one."""

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    verdict: Verdict
    said: str
    mend: str = ""


async def examine(settings: Settings, url: str | None = None) -> AsyncIterator[Finding]:
    """Look at everything in turn; `url` is where the hub should answer. What cannot be looked at without what is
    broken is left out."""
    works = True
    async for finding in _database(settings):
        works = works and finding.verdict != "fault"
        yield finding
    yield await _redis(settings)
    yield _keys(settings)
    if works:
        async for finding in _hub(settings):
            yield finding
    for finding in _recipes(settings):
        yield finding
    yield await reachable(url or settings.public_url.rstrip("/") or f"http://{_host(settings)}:{settings.port}")


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.database_url:
        mend = "Start `tradewind dev`, or set TRADEWIND_DATABASE_URL to postgresql://user:password@host:port/name."
        yield Finding("database", "fault", "none is named, and no `tradewind dev` runs here", mend)
        return
    database = Database(settings.database_url, size=1, statement_cache=settings.statement_cache)
    try:
        async with asyncio.timeout(10):
            await database.open()
            async with database.acquire() as db:
                version = int(await db.fetchval("show server_version_num")) // 10_000
                fsync = await db.fetchval("show fsync")
                there = await db.fetchval("select to_regclass('alembic_version') is not null")
                schema = await db.fetchval("select version_num from alembic_version") if there else None
            before = time.monotonic()
            theirs = await database.now()
    except Exception as e:
        mend = "Is PostgreSQL running, and does TRADEWIND_DATABASE_URL name host, port, user and database rightly?"
        yield Finding("database", "fault", f"it does not answer: {type(e).__name__}: {e}", mend)
        return
    finally:
        await database.close()
    if version < OLDEST_SERVER:
        yield Finding("database", "fault", f"PostgreSQL {version}", f"Tradewind needs {OLDEST_SERVER} or newer.")
    else:
        yield Finding("database", "ok", f"PostgreSQL {version}")
    if fsync != "on":
        yield Finding(
            "durability", "fault", "fsync is off", "Set fsync = on: a power cut would lose what was accepted."
        )
    yield _schema(schema)
    yield _clock(theirs, time.monotonic() - before)


def _schema(found: str | None) -> Finding:
    config = Config()
    config.set_main_option("script_location", str(Path(app.store.__file__).parent / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    if found == newest:
        return Finding("migrations", "ok", f"at {found}, the newest")
    known = "none were made" if found is None else f"at {found}, the newest is {newest}"
    return Finding("migrations", "fault", known, "Run `tradewind migrate`.")


def _clock(theirs: datetime, took: float) -> Finding:
    skew = abs((datetime.now(UTC) - theirs).total_seconds()) - took
    if skew > SKEW:
        mend = "Switch on time synchronisation (NTP): senders' signatures carry times."
        return Finding("clock", "warning", f"this machine and PostgreSQL differ by {skew:.1f} s", mend)
    return Finding("clock", "ok", f"within {max(skew, 0):.2f} s of PostgreSQL's")


async def _redis(settings: Settings) -> Finding:
    mend = "Is Redis running, and is TRADEWIND_REDIS_URL redis://host:port/number? Until then work is found by polling."
    if not settings.redis_url:
        return Finding("Redis", "fault", "none is named", mend)
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=3, socket_timeout=3)
    try:
        version = (await client.info("server"))["redis_version"]
    except (RedisError, OSError, ValueError) as e:
        return Finding("Redis", "fault", f"it does not answer: {e}", mend)
    finally:
        await client.aclose()
    return Finding("Redis", "ok", f"Redis {version}")


def _keys(settings: Settings) -> Finding:
    """The keys that encrypt secrets at rest."""
    path = settings.home / FILE
    if not settings.secret_keys and not path.exists():
        mend = "It is made at the first start; in production set TRADEWIND_SECRET_KEYS (`tradewind keys new-secret`)."
        return Finding("secrets", "warning", "there is no key yet", mend)
    try:
        KeyRing.parse(settings.secret_keys or path.read_text())
        check_secrets(settings)
    except (ConfigError, OSError) as e:
        mend = "Set TRADEWIND_SECRET_KEYS to the keys that secrets were stored under, or one of `keys new-secret`."
        return Finding("secrets", "fault", str(e), mend)
    if settings.secret_keys:
        return Finding("secrets", "ok", "encrypted under TRADEWIND_SECRET_KEYS")
    return Finding("secrets", "ok", f"encrypted under {path}: keep a copy of it elsewhere")


async def _hub(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with open_hub(settings) as hub:
            if not list(hub.connections):
                mend = "Write a connections.yaml and run `tradewind connections apply connections.yaml`."
                yield Finding("connections", "warning", "there are none", mend)
            for finding in await asyncio.gather(*(_connection(hub, slug) for slug in _slugs(hub))):
                yield finding
            for active in hub.recipes:
                missing = hub.recipes.missing(active, next(iter(hub.connections), None)) if active.enabled else None
                if missing:
                    mend = "Connect it, or set `enabled: false` in the recipe."
                    yield Finding(f"recipe {active.name}", "warning", missing, mend)
    except ConfigError as e:
        yield Finding(
            "hub", "fault", str(e), "Set TRADEWIND_SECRET_KEYS to the keys that the secrets were stored under."
        )


def _slugs(hub: Hub) -> list[tuple[str, str]]:
    return sorted((each.workspace, each.slug) for each in hub.connections)


async def _connection(hub: Hub, key: tuple[str, str]) -> Finding:
    connection = hub.connections.find(*key)
    if connection is None:
        raise LookupError(key)
    about = f"connection {connection.slug}"
    if connection.paused:
        mend = f"`tradewind connections resume {connection.slug}` lets its calls go on."
        return Finding(about, "warning", "it is paused: its calls wait", mend)
    proof = await probe(hub, connection)
    at_risk = ", ".join(hub.recipes.at_risk(connection)) or "none"
    if not proof.works:
        mend = f"Check its settings, and that {connection.host} can be reached. Recipes at risk: {at_risk}."
        return Finding(about, "fault", proof.said, mend)
    async with hub.database.begin() as db:
        known = (await health(db)).get(connection.id)
    until = known.authorised_until if known else None
    if until is not None and until - hub.clock.now() < ASK_BEFORE:
        mend = f"Authorise it again before {until:%Y-%m-%d}. Recipes at risk: {at_risk}."
        return Finding(about, "warning", f"{proof.said}; its authorisation ends in {_days(until, hub)} days", mend)
    return Finding(about, "ok", proof.said + (f"; authorised for {_days(until, hub)} days" if until else ""))


def _days(until: datetime, hub: Hub) -> int:
    return max(0, (until - hub.clock.now()).days)


def _recipes(settings: Settings) -> list[Finding]:
    folder = settings.recipes_folder
    if not folder.is_dir():
        return [Finding("recipes", "fault", f"{folder} is no folder", "Set TRADEWIND_RECIPES to a folder of recipes.")]
    loaded = load_folder(folder, RegistryCatalogue(Registry.of(settings)))
    found = [
        Finding("recipes", "fault" if problem.severity == "error" else "warning", str(problem))
        for each in loaded
        for problem in each.problems
    ]
    return [Finding("recipes", "ok", f"{sum(each.usable for each in loaded)} of {len(loaded)} are good"), *found]


async def reachable(url: str) -> Finding:
    """Whether webhooks come in at an address."""
    mend = f"Is `tradewind serve` running there? Senders post to {url}/webhooks/<connection>; set another by --url."
    try:
        async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
            ready = await client.get(f"{url}/readyz")
            refused = await client.get(f"{url}/webhooks/-")  # only POST is taken: nothing is noted
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        return Finding("webhooks", "fault", f"{url} does not answer: {e}", mend)
    if ready.status_code != 200 or refused.status_code != 405:
        said = f"{url} answers {ready.status_code} to /readyz and {refused.status_code} to a GET at /webhooks"
        return Finding("webhooks", "fault", said, "Something between here and the hub answers in its place.")
    return Finding("webhooks", "ok", f"{url}/webhooks/<connection> takes them in")


def _host(settings: Settings) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
