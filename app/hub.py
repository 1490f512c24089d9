"""What the parts of a running hub share, wired once per process."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from app.bells import Bells
from app.clock import DatabaseClock
from app.crypto import Hasher, KeyRing
from app.domain.connections import Connections
from app.domain.recipes import Recipes
from app.domain.suppressions import Suppressions
from app.errors import ConfigError
from app.keyfile import made_keys
from app.logs import Outage
from app.registry import Registry
from app.settings import Settings
from app.store import secret
from app.store.database import AWAY, Database

log = structlog.get_logger()

REFRESH = 1.0
"""Seconds after which every process knows of a changed connection or recipe."""
MEASURE_CLOCK = 60.0


@dataclass
class Hub:
    """One process's view of the hub."""

    settings: Settings
    registry: Registry
    database: Database
    ring: KeyRing
    hasher: Hasher
    clock: DatabaseClock
    bells: Bells
    connections: Connections
    recipes: Recipes
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}")

    @property
    def suppressions(self) -> Suppressions:
        """The addresses that are not written to any more."""
        return Suppressions(self.database, self.hasher, self.settings.public_url)

    async def refresh(self) -> None:
        await self.connections.refresh()
        await self.recipes.refresh()

    async def keep_fresh(self) -> None:
        """Follow changes of connections, recipes and the clock, until cancelled."""
        measured = asyncio.get_running_loop().time()
        outage = Outage("PostgreSQL", "webhooks are answered 503, work waits")
        while True:
            await asyncio.sleep(REFRESH)
            try:
                await self.refresh()
                outage.met()
                if asyncio.get_running_loop().time() - measured > MEASURE_CLOCK:
                    await self.clock.measure(self.database)
                    measured = asyncio.get_running_loop().time()
            except AWAY as e:
                outage.missed(e)
            except Exception:
                log.exception("connections and recipes could not be refreshed")


@asynccontextmanager
async def open_hub(settings: Settings, registry: Registry | None = None, *, stays: bool = False) -> AsyncIterator[Hub]:
    """Open the database, read the keys, know connections and recipes. `stays`: this process is there for nothing else.
    Raises ConfigError when a setting is wrong."""
    if not settings.database_url or not settings.redis_url:
        raise ConfigError(
            "TRADEWIND_DATABASE_URL and TRADEWIND_REDIS_URL are not set; `tradewind dev` starts both by itself."
        )
    registry = registry or Registry.of(settings)
    ring = KeyRing.parse(settings.secret_keys or made_keys(settings.home))
    database = await Database(
        settings.database_url, size=settings.database_pool, statement_cache=settings.statement_cache
    ).open()
    bells = Bells(settings.redis_url, settings.redis_prefix)
    clock = DatabaseClock()
    try:
        await clock.measure(database)
        hasher = Hasher(await _hash_secret(database, ring))
        connections = Connections(database, registry, ring)
        recipes = Recipes(database, registry, connections)
        hub = Hub(settings, registry, database, ring, hasher, clock, bells, connections, recipes)
        await hub.refresh()
        if stays:
            _spare_the_collector()
        yield hub
    finally:
        await bells.close()
        await database.close()


def _spare_the_collector() -> None:
    """What was made at start stays: the garbage collector need not look at it again (it took a third of a worker)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _hash_secret(database: Database, ring: KeyRing) -> bytes:
    """The secret of keys that are kept for ever: made once, sealed, never rotated."""
    about = secret.HASH_SECRET.encode()
    async with database.acquire() as db:
        return ring.open(await secret.keep_first(db, ring.seal(os.urandom(32), about)), about)
