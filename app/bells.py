"""Wake-ups: bells between stages and processes, carried by Redis, and the drains that answer them.

A bell says only a name ("normalise", "run", "lane:<id>"); the work itself is found in PostgreSQL. A stage's bell is
pushed to every worker at once, and an arq job follows a second later, once however often it rang: it finds what a
worker heard and did not live to do, and waits where no worker was listening. A lane's bell is an arq job alone: one
worker takes the lane. A lost bell costs at most the slow poll.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.exceptions import RedisError

from app.logs import Stumbles
from app.store.database import AWAY

log = structlog.get_logger()

PATIENCE = 0.25
"""Seconds that ringing may take: Redis may be frozen, and arq sets no timeout."""
ON_ITS_WAY_MS = 1000
FOLLOWS_AFTER = 1.0
"""Seconds after a pushed bell at which its arq job is worked."""


class Bells:
    """Rings by name: in this process where something here answers to it, else through Redis."""

    def __init__(self, redis_url: str, prefix: str) -> None:
        self.settings = RedisSettings.from_dsn(redis_url)
        self.settings.conn_timeout = 1
        self.settings.conn_retries = 0
        self.queue = f"{prefix}:jobs"
        self.channel = f"{prefix}:wake"
        self._prefix = prefix
        self._pool: ArqRedis | None = None
        self._ringing: dict[str, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._here: dict[str, Callable[[], None]] = {}
        self.lane: Callable[[str], bool] | None = None
        """Rings a lane of this process by its name; False when this process should not drain it."""
        self.holder: Callable[[str], None] | None = None
        """Rings a lane that this process holds already."""

    def answer(self, name: str, ring: Callable[[], None]) -> None:
        """Let this process answer to a name."""
        self._here[name] = ring

    def here(self, name: str) -> bool:
        """Ring in this process; False when nothing here answers to the name."""
        if name in self._here:
            self._here[name]()
            return True
        return self.lane is not None and name.startswith("lane:") and self.lane(name)

    def ring(self, name: str, *, elsewhere: bool = False) -> None:
        """Ring, here if possible, and `elsewhere` too when other processes should join or know. Never blocks."""
        if self.here(name) and not elsewhere:
            return
        if name in self._ringing:
            self._ringing[name] = True
            return
        self._ringing[name] = False
        task = asyncio.create_task(self._ring_until_quiet(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def heard(self, name: str) -> bool:
        """A message came: a stage's drain here begins; of lanes only one that this process holds already. True when an
        arq job came along with it."""
        if not name.startswith("lane:"):
            self.here(name)
            return False
        if self.holder is not None:
            self.holder(name)
        return True

    async def knock(self, name: str) -> None:
        """Tell every process at once that there is work under a name; the one that holds it knows what to do."""
        if self._pool is not None:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._pool.publish(self.channel, name)

    async def picked_up(self, redis: ArqRedis, name: str) -> None:
        """A wake-up for this name has arrived: the next ring shall send another."""
        await redis.delete(f"{self._prefix}:bell:{name}")

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._pool is not None:
            await self._pool.aclose()

    async def _ring_until_quiet(self, name: str) -> None:
        try:
            while True:
                self._ringing[name] = False
                await self._send(name)
                if not self._ringing[name]:
                    return
        finally:
            del self._ringing[name]

    async def _send(self, name: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._pool is None:
                    self._pool = await create_pool(self.settings, default_queue_name=self.queue)
                pushed = not name.startswith("lane:")
                listening = bool(pushed and await self._pool.publish(self.channel, name))
                if await self._pool.set(f"{self._prefix}:bell:{name}", b"1", nx=True, px=ON_ITS_WAY_MS):
                    await self._pool.enqueue_job("drain", name, _defer_by=FOLLOWS_AFTER if listening else None)
                    if not pushed:
                        await self._pool.publish(self.channel, name)
        except (RedisError, OSError, TimeoutError):
            log.debug("a bell was lost; the slow poll will find the work", name=name)


class Drain:
    """Calls `work` while it answers that more is due, whenever its bell rings. One at a time in a process. What makes
    it stumble is said once, until it has worked again: a server in trouble is met twice a second."""

    def __init__(self, name: str, work: Callable[[], Awaitable[bool]]) -> None:
        self.name = name
        self._work = work
        self._bell = asyncio.Event()
        self._stopping = False
        self._stumbles = Stumbles()

    def ring(self) -> None:
        self._bell.set()

    def stop(self) -> None:
        """Claim no more; what is being worked is finished."""
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        while not self._stopping:
            await self._bell.wait()
            self._bell.clear()
            await self._until_nothing_is_due()

    async def _until_nothing_is_due(self) -> None:
        try:
            while not self._stopping and await self._work():
                self._stumbles.over()
            self._stumbles.over()
        except AWAY as e:
            log.debug("PostgreSQL is away; work waits", stage=self.name, error=type(e).__name__)
            await asyncio.sleep(0.5)
        except Exception as e:
            self._stumbles.say(e, "a stage stumbled; it goes on with the next poll", stage=self.name)
            await asyncio.sleep(0.5)
