"""What is wrong with a set-up, and how to mend each fault."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import asyncpg
import httpx
import redis.asyncio as redis
from redis.exceptions import AuthenticationError, RedisError
from sqlalchemy.exc import DBAPIError

from app.crypto import KeyRing
from app.errors import ConfigError
from app.hub import Hub, open_hub
from app.keyfile import FILE
from app.probing import probe
from app.production import check_secrets
from app.recipes import RegistryCatalogue, load_folder
from app.registry import Registry
from app.running import find
from app.settings import Settings
from app.store.changes.connections import health
from app.store.database import Database
from app.store.migrating import DOWN, newer, newest, revisions
from app.store.refusals import Refusal, refusal
from app.store.secret import HASH_SECRET

OLDEST_SERVER = 15
SKEW = 2.0
"""Seconds that this machine's clock may be off the database's."""
REFUSED_SKEW = 60.0
"""Seconds from which on webhooks may be refused: senders' signatures carry times, and hold for some minutes."""
ROOM = 256 * 1024 * 1024
"""Bytes that a data folder should have left."""

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
    """Look at everything in turn, and set nothing up; `url` is where the hub should answer. What cannot be looked at
    without what is broken is left out."""
    works = True
    async for finding in _database(settings):
        works = works and (finding.verdict != "fault" or finding.about == "durability")
        yield finding
    yield await _redis(settings)
    keys = _keys(settings)
    if keys.verdict == "warning" and works and await _began(settings):
        mend = f"Set TRADEWIND_SECRET_KEYS to the keys they were stored under, or bring back {settings.home / FILE}."
        keys = Finding("secrets", "fault", "there is no key, and the database holds secrets", mend)
    yield keys
    for finding in _folder(settings):
        yield finding
    if works and keys.verdict == "ok":
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
                reads = await db.fetchval("show transaction_read_only") == "on"
                there = await db.fetchval("select to_regclass('alembic_version') is not null")
                schema = await db.fetchval("select version_num from alembic_version") if there else None
            before = time.monotonic()
            theirs = await database.now()
    except Exception as e:
        yield _refused("database", e)
        return
    finally:
        await database.close()
    if version < OLDEST_SERVER:
        yield Finding("database", "fault", f"PostgreSQL {version}", f"Tradewind needs {OLDEST_SERVER} or newer.")
    elif reads:
        mend = "It is a standby, or default_transaction_read_only is on: name the primary in TRADEWIND_DATABASE_URL."
        yield Finding("database", "fault", f"PostgreSQL {version}, which takes no writes", mend)
    else:
        yield Finding("database", "ok", f"PostgreSQL {version}")
    if fsync != "on":
        yield Finding(
            "durability", "fault", "fsync is off", "Set fsync = on: a power cut would lose what was accepted."
        )
    yield _schema(schema)
    yield _clock(theirs, time.monotonic() - before)


def _refused(about: str, error: Exception) -> Finding:
    """What PostgreSQL, or the way to it, says."""
    mend = "Is PostgreSQL running, and does TRADEWIND_DATABASE_URL name host, port, user and database rightly?"
    found = refusal(error) or Refusal(f"{type(error).__name__}: {error}", mend)
    return Finding(about, "fault", found.said, found.mend)


def _schema(found: str | None) -> Finding:
    if found == newest():
        return Finding("migrations", "ok", f"at {found}, the newest")
    if found is not None and found not in revisions():
        return Finding("migrations", "fault", newer(found), DOWN)
    known = "none were made" if found is None else f"at {found}, the newest is {newest()}"
    return Finding("migrations", "fault", known, "Run `tradewind migrate`.")


def _clock(theirs: datetime, took: float) -> Finding:
    skew = abs((datetime.now(UTC) - theirs).total_seconds()) - took
    if skew > SKEW:
        mend = "Switch on time synchronisation (NTP): senders' signatures carry times, and are refused when too old."
        verdict: Verdict = "fault" if skew > REFUSED_SKEW else "warning"
        return Finding("clock", verdict, f"this machine and PostgreSQL differ by {skew:.1f} s", mend)
    return Finding("clock", "ok", f"within {max(skew, 0):.2f} s of PostgreSQL's")


async def _redis(settings: Settings) -> Finding:
    mend = "Is Redis running, and is TRADEWIND_REDIS_URL redis://host:port/number? Until then work is found by polling."
    if not settings.redis_url:
        return Finding("Redis", "fault", "none is named", mend)
    client = None
    try:
        client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=3, socket_timeout=3)
        await client.ping()
    except AuthenticationError as e:
        named = "Does TRADEWIND_REDIS_URL carry the password? It is redis://:password@host:port/number."
        return Finding("Redis", "fault", f"it refuses us: {e}", named)
    except (RedisError, OSError, ValueError) as e:
        return Finding("Redis", "fault", f"it does not answer: {e}", mend)
    else:
        return await _rings(client, settings.redis_prefix)
    finally:
        if client is not None:
            await client.aclose()


async def _rings(client: "redis.Redis", prefix: str) -> Finding:
    """Whether a wake-up can be written."""
    try:
        await client.set(f"{prefix}:doctor", b"", px=1000)
        version = (await client.info("server"))["redis_version"]
    except (RedisError, OSError) as e:
        mend = "Let it write: a replica, a full disk or memory, or the rights of its user are in the way."
        return Finding("Redis", "fault", f"it takes no wake-ups: {e}", mend)
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


def _folder(settings: Settings) -> list[Finding]:
    """Where keys and embedded servers live; nothing is written there where the environment names all of them."""
    home = settings.home
    if settings.secret_keys and settings.database_url and settings.redis_url and find(home) is None:
        return []
    there = next(each for each in (home.absolute(), *home.absolute().parents) if each.exists())
    try:
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        mend = f"Make room on its disk, let {_user()} write there, or set TRADEWIND_HOME to another folder."
        return [Finding("data folder", "fault", f"{home} cannot be written: {e.strerror}", mend)]
    if (left := shutil.disk_usage(there).free) < ROOM:
        said = f"{home} has {left // (1 << 20)} MB left"
        return [Finding("data folder", "warning", said, "Make room on its disk: without any the database stops.")]
    return [Finding("data folder", "ok", f"{home} can be written")]


def _user() -> str:
    return f"the user of this process (id {os.geteuid()})"


async def _hub(settings: Settings) -> AsyncIterator[Finding]:
    try:
        if not await _began(settings):
            yield Finding("hub", "warning", "it was not started yet: nothing is configured", "Start `tradewind serve`.")
            return
        async with open_hub(settings) as hub:
            if not list(hub.connections):
                mend = "Write a connections.yaml and run `tradewind connections apply connections.yaml`."
                yield Finding("connections", "warning", "there are none", mend)
            for finding in await asyncio.gather(*(_connection(hub, slug) for slug in _slugs(hub))):
                yield finding
            for active in hub.recipes:
                missing = hub.recipes.missing(active, next(iter(hub.connections), None)) if active.enabled else None
                if missing:
                    mend = "Connect it, name one by `connection:` in the recipe, or set `enabled: false` there."
                    yield Finding(f"recipe {active.name}", "warning", missing, mend)
    except ConfigError as e:
        mend = "Set TRADEWIND_SECRET_KEYS to the keys that the secrets were stored under"
        yield Finding("hub", "fault", str(e), f"{mend}{'' if settings.secret_keys else ', or bring back secret.key'}.")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as e:
        yield _refused("hub", e)


async def _began(settings: Settings) -> bool:
    """Whether a hub was ever opened on this database; to open the first seals a secret of it under the keys at hand."""
    database = await Database(settings.database_url, size=1, statement_cache=settings.statement_cache).open()
    try:
        async with database.acquire() as db:
            return bool(await db.fetchval("select count(*) from setting where name = $1", HASH_SECRET))
    finally:
        await database.close()


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
    try:
        loaded = load_folder(folder, RegistryCatalogue(Registry.of(settings)))
    except ConfigError as e:
        return [Finding("connectors", "fault", str(e), "Name modules that can be imported in TRADEWIND_CONNECTORS.")]
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
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return Finding("webhooks", "fault", f"{url} is no address", "It begins with https:// (or http://) and a host.")
    except (httpx.HTTPError, OSError) as e:
        return Finding("webhooks", "fault", f"{url} does not answer: {e or type(e).__name__}", mend)
    if ready.status_code != 200 or refused.status_code != 405:
        said = f"{url} answers {ready.status_code} to /readyz and {refused.status_code} to a GET at /webhooks"
        return Finding("webhooks", "fault", said, "Something between here and the hub answers in its place.")
    return Finding("webhooks", "ok", f"{url}/webhooks/<connection> takes them in")


def _host(settings: Settings) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
