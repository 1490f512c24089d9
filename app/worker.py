"""The worker process: arq carries the wake-ups, drains do the work, a slow poll finds what a lost wake-up left."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from arq.connections import create_pool
from arq.worker import Worker as ArqWorker
from arq.worker import func
from redis.exceptions import RedisError

from app.bells import Bells, Drain
from app.byhand.backtests import Backtests
from app.byhand.held import release_held
from app.byhand.replays import Replays
from app.domain.credentials import Credentials
from app.domain.retention import Retention
from app.http import Transport
from app.hub import Hub
from app.logs import Outage, Stumbles
from app.pipeline.deliver.delivery import Delivery
from app.pipeline.deliver.removed import Removed
from app.pipeline.match import Matcher
from app.pipeline.match.timed import Timed
from app.pipeline.normalise import Normaliser
from app.pipeline.normalise.publish import Publisher
from app.pipeline.normalise.troubles import Troubles
from app.pipeline.run import Runner
from app.probing import Probes
from app.store.database import AWAY

log = structlog.get_logger()

STOP_WITHIN = 20.0
"""Seconds that calls in flight get to end after SIGTERM."""
JOB_TIMEOUT = 20


class PushedWorker(ArqWorker):
    """An arq worker that is woken by a message instead of polling often: picks up in 2 ms, idles for nothing."""

    def __init__(self, bells: Bells, outage: Outage, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bells = bells
        self._outage = outage
        self._woken = asyncio.Event()

    async def main(self) -> None:
        if self._pool is None:
            self._pool = await create_pool(self.redis_settings, default_queue_name=self.queue_name)
        self.ctx["redis"] = self.pool
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                self._woken.clear()
                await self._poll_iteration()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.poll_delay_s):
                        await self._woken.wait()

    async def _listen(self) -> None:
        async with self.pool.pubsub() as messages:
            await messages.subscribe(self._bells.channel)
            self._outage.met()
            self._woken.set()
            async for message in messages.listen():
                name = message.get("data")
                if not isinstance(name, bytes) or self._bells.heard(name.decode()):
                    self._woken.set()


async def supervise_arq(bells: Bells) -> None:
    """Run arq for as long as the process lives: a worker ends when Redis drops, so a new one is made each time."""

    async def drain(ctx: dict[str, Any], name: str) -> None:
        await bells.picked_up(ctx["redis"], name)
        bells.here(name)

    jobs = [func(drain, name="drain", keep_result=0, timeout=JOB_TIMEOUT)]
    outage, stumbles = Outage("Redis", "work is found by polling"), Stumbles()
    while True:
        worker = PushedWorker(
            bells,
            outage,
            jobs,
            queue_name=bells.queue,
            redis_settings=bells.settings,
            handle_signals=False,
            poll_delay=2,
            keep_result=0,
            max_jobs=20,
        )
        try:
            await worker.async_run()
        except* (RedisError, OSError, TimeoutError) as e:
            outage.missed(e.exceptions[0])
        except* Exception as e:
            stumbles.say(e.exceptions[0], "the wake-ups stumbled; work is found by polling meanwhile")
        await asyncio.sleep(0.5)


async def poll_slowly(every: float, looks: list[Callable[[], Awaitable[None]]]) -> None:
    """Look for work at a slow pace, bells or no bells."""
    while True:
        for look in looks:
            try:
                await look()
            except AWAY:
                log.debug("PostgreSQL is away; the poll waits")
            except Exception:
                log.exception("a poll stumbled")
        await asyncio.sleep(every)


async def work(hub: Hub, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
    """Work until `stop` is set; then claim no more and give what flies `STOP_WITHIN` seconds."""
    logging_of_arq_off()
    async with Transport() as transport:
        credentials = Credentials(hub.database, hub.ring, transport, hub.clock)
        delivery = Delivery(
            hub.database, hub.connections, hub.clock, hub.bells, transport, credentials, hub.name, hub.suppressions
        )
        runner = Runner(hub.database, hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells)
        matcher = Matcher(hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells, runner)
        normaliser = Normaliser(hub.database, hub.connections, hub.clock, hub.hasher, matcher, hub.settings.drain_batch)
        drains = [Drain("normalise", normaliser.drain), Drain("run", runner.drain)]
        drains.append(Drain("deadlines", normaliser.drain_timers))
        drains += [Drain("waiters", runner.match_waiters), Drain("timed", Timed(hub.database, matcher).drain)]
        drains.append(Drain("held", partial(release_held, hub)))
        drains.append(Drain("replays", Replays(hub, matcher).drain))
        backtests = Backtests(hub)
        drains.append(Drain("backtests", backtests.drain))
        drains.append(Drain("troubles", troubles_of(hub, matcher).drain))
        for drain in drains:
            hub.bells.answer(drain.name, drain.ring)
        hub.bells.lane = delivery.ring
        hub.bells.holder = delivery.knocked

        async def ring_all() -> None:
            for drain in drains:
                drain.ring()

        background = [
            asyncio.create_task(job)
            for job in (
                hub.keep_fresh(),
                supervise_arq(hub.bells),
                poll_slowly(hub.settings.poll_seconds, [ring_all, delivery.poll]),
                poll_slowly(5, [Probes(hub).look]),
                poll_slowly(
                    60,
                    [
                        Retention(hub.database, hub.clock, hub.settings).look,
                        Removed(hub.database, hub.clock, hub.bells).look,
                    ],
                ),
            )
        ]
        working = [asyncio.create_task(drain.run()) for drain in drains]
        started()
        await stop.wait()
        for drain in drains:
            drain.stop()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await backtests.stop()
                await asyncio.gather(*working, return_exceptions=True)
                await delivery.stop()
        except TimeoutError:
            log.warning("some calls were still in flight at the end; another worker decides about them")
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


def troubles_of(hub: Hub, matcher: Matcher) -> Troubles:
    """The look for the hub's own troubles."""
    publisher = Publisher(hub.connections, hub.clock, hub.hasher, matcher)
    return Troubles(hub.database, hub.connections, hub.clock, hub.hasher, publisher, hub.settings)


def logging_of_arq_off() -> None:
    import logging

    logging.getLogger("arq").setLevel(logging.WARNING)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
