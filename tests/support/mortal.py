"""A worker that can be killed at any of its commits, right before or right after, and whose successor finds what it
left: in one process, with the real database, as `kill -9` leaves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from app.domain.credentials import Credentials
from app.ids import new_id
from app.pipeline.deliver.delivery import Delivery
from app.pipeline.match import Matcher
from app.pipeline.match.timed import Timed
from app.pipeline.normalise import Normaliser
from app.pipeline.run import Runner
from app.store.database import Connection, Database
from tests.support.harness import Harness

When = Literal["before", "after"]

TIME_PASSES = """
with lanes as (update lane set lease_until = clock_timestamp() - interval '1 s' where owner is not null),
     sent as (update attempt set deadline = clock_timestamp() - interval '1 h' where state = 'sending')
update call set due_at = $1 where state = 'due' and due_at > $1
"""
"""What the lease, the answers' deadline and the time between tries would bring by themselves."""
DUE = """
select (select count(*) from webhook where state = 'due')
     + (select count(*) from run where due_at <= $1 and state in ('running', 'waiting'))
     + (select count(*) from event where waiters_due)
     + (select count(*) from timer where due_at <= $1 and kind in ('event', 'schedule'))
     + (select count(*) from call where state = 'due')
     + (select count(*) from attempt where state = 'sending')
"""


MOMENT = timedelta(seconds=2)
"""A busy machine may take so long from looking at the clock to the look at the database."""


class Killed(BaseException):
    """The worker is dead: nothing that it still does reaches the database."""


@dataclass
class Mortal:
    """The database as one worker reaches it. Dies at the commit number `at` (None: never)."""

    whole: Database
    at: int | None = None
    when: When = "before"
    commits: list[str] = field(default_factory=list)
    dead: bool = False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with self.whole.acquire() as connection:
            self._breathe()
            writes = Writes(connection)
            yield writes  # type: ignore[misc]
            if writes.wrote:
                self._committing(writes.wrote)
                self._committed()

    @asynccontextmanager
    async def transaction(self, *, flushed: bool = True) -> AsyncIterator[Connection]:
        wrote = ""
        async with self.whole.acquire() as connection:
            self._breathe()
            async with connection.transaction():
                yield connection
                if await connection.fetchval("select pg_current_xact_id_if_assigned()") is not None:
                    wrote = "transaction"
                    self._committing(wrote)
        if wrote:
            self._committed()

    def _breathe(self) -> None:
        if self.dead:
            raise Killed

    def _committing(self, what: str) -> None:
        self._breathe()
        self.commits.append(what)
        self._die_if("before")

    def _committed(self) -> None:
        self._die_if("after")

    def _die_if(self, when: When) -> None:
        if self.at == len(self.commits) and self.when == when:
            self.dead = True
            raise Killed


class Writes:
    """A connection whose statements commit by themselves; notes the first that may write."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.wrote = ""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval", "executemany"):
            return found

        async def run(query: str, *args: Any, **more: Any) -> Any:
            answer = await found(query, *args, **more)
            if not query.lstrip().lower().startswith("select") and answer and not str(answer).endswith(" 0"):
                self.wrote = self.wrote or " ".join(query.split())[:40]
            return answer

        return run


@dataclass
class Life:
    """One worker with all its stages, on a database of its own death."""

    hub: Harness
    mortal: Mortal
    sends: bool = True
    """Whether it can die while it makes calls too."""

    async def work(self) -> bool:
        """Work until nothing is due; False when it died before."""
        hub, database = self.hub.hub, cast(Database, self.mortal)
        credentials = Credentials(hub.database, hub.ring, self.hub.delivery.transport, hub.clock)
        delivery = Delivery(
            database if self.sends else hub.database, hub.connections, hub.clock, hub.bells,
            self.hub.delivery.transport, credentials,
            f"life-{new_id()}",
        )  # fmt: skip
        runner = Runner(database, hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells)
        matcher = Matcher(hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells, runner)
        normaliser = Normaliser(database, hub.connections, hub.clock, hub.hasher, matcher)
        hub.bells.lane = delivery.ring
        try:
            async with asyncio.timeout(20):
                while await self._left():
                    for drain in (normaliser.drain, Timed(database, matcher).drain, runner.match_waiters, runner.drain):
                        while await drain():
                            pass
                    await delivery.poll()
                    await asyncio.sleep(0.002)
        except Killed:
            pass
        finally:
            hub.bells.lane = self.hub.delivery.ring
            await _end(delivery, self.mortal.dead and self.sends)
        return not self.mortal.dead

    async def _left(self) -> bool:
        if self.mortal.dead:
            raise Killed
        soon = self.hub.hub.clock.now() + MOMENT  # what becomes due while we ask counts too
        return bool(await self.hub.one(DUE, soon))


async def _end(delivery: Delivery, dead: bool) -> None:
    """Let go of a worker's tasks; a dead one's are cut off where they stand."""
    if not dead:
        await delivery.stop()
        return
    delivery._stopping = True
    flying = [task for lane in delivery._lanes.values() for task in lane._flying]
    for task in (*delivery._tasks, *flying):
        task.cancel()
    await asyncio.gather(*delivery._tasks, *flying, return_exceptions=True)


async def live(
    hub: Harness, at: int | None = None, when: When = "before", sends: bool = True
) -> tuple[list[str], bool]:
    """One worker's life; answers its commits and whether it came to its end alive. Its successor's time has come."""
    asyncio.get_running_loop().set_exception_handler(_but_deaths)
    mortal = Mortal(hub.hub.database, at, when)
    alive = await Life(hub, mortal, sends).work()
    if not alive:
        async with hub.hub.database.acquire() as db:
            await db.execute(TIME_PASSES, hub.hub.clock.now())
    return mortal.commits, alive


def _but_deaths(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    if not isinstance(told.get("exception"), Killed):
        loop.default_exception_handler(told)
