"""One lane, while this process drains it: claim in order, reserve effects, make calls up to the limits, record."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import orjson
import structlog

from app.clock import Clock
from app.connector import Action, NativeKey, Unsafe, Upsert
from app.domain.connections import Connection, secret_texts
from app.domain.credentials import Credentials
from app.domain.suppressions import Suppressions
from app.http import Transport
from app.logs import Stumbles
from app.pipeline.deliver import attempt as attempts
from app.pipeline.deliver import reads
from app.pipeline.deliver.attempt import Attempt, LaneLostError, Line
from app.pipeline.deliver.ending import budget_of, ended, found_done
from app.pipeline.deliver.limits import Breaker, Limiter, Past
from app.pipeline.deliver.outcome import Failed, Ok, Outcome, Standing, Verdict, decide, weakened
from app.pipeline.deliver.record import Ledger
from app.store import calls, connections, effects, lanes, runs
from app.store.calls import DueCall, Ended
from app.store.database import AWAY, IN_TROUBLE, Database, is_away, is_refused
from app.store.lanes import Held
from app.store.packing import unpack

log = structlog.get_logger()

IDLE = 1.0
LOOK_FOR_READS = 0.2
RENEW = 1.0
SWEEP = 2.0
MARGIN = timedelta(seconds=1)
WAIT_FOR_EFFECT = timedelta(seconds=2)


class Lane:
    """Drains one connection. `ring()` says that there may be work; `stop()` claims no more and waits for what flies."""

    def __init__(
        self,
        find: Callable[[], Connection | None],
        owner: str,
        database: Database,
        clock: Clock,
        transport: Transport,
        ledger: Ledger,
        credentials: Credentials,
        held_elsewhere: Callable[[], Awaitable[None]],
        suppressions: Suppressions | None = None,
    ) -> None:
        self._find = find
        self._owner = owner
        self._database = database
        self._clock = clock
        self._transport = transport
        self._ledger = ledger
        self._credentials = credentials
        self._held_elsewhere = held_elsewhere
        self._suppressions = suppressions
        self._bell = asyncio.Event()
        self._parking = asyncio.Lock()
        self._stopping = False
        self._flying: dict[asyncio.Task[None], UUID] = {}
        self._unsent: dict[asyncio.Task[Any] | None, UUID] = {}
        """Of what flies, the calls whose bytes may still go out."""
        self._breaker = Breaker()
        self._stumbles = Stumbles()
        self._exclusive: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._limiter: Limiter | None = None
        self._last_fence = 0
        self._no_reads_before = 0.0
        self.held: Held | None = None
        self.read_done: Callable[[], None] = lambda: None
        """Rings the stage that waits for reads."""

    def ring(self) -> None:
        self._bell.set()

    async def stop(self) -> None:
        """Claim no more, give back what only waits for its turn."""
        self._stopping = True
        if self._limiter is not None:
            self._limiter.close()
        self._bell.set()

    async def run(self) -> None:
        """Wait for the bell, take the lane, drain it, let go; for as long as the process lives."""
        while not self._stopping:
            await self._bell.wait()
            self._bell.clear()
            try:
                await self._take_and_drain()
            except AWAY as e:
                log.debug("PostgreSQL is away; the lane waits", error=type(e).__name__)
                await asyncio.sleep(0.5)
            except Exception as e:
                self._stumbles.say(e, "a lane stumbled")
                await asyncio.sleep(1)
            else:
                self._stumbles.over()
            finally:
                self.held = None
        await asyncio.gather(*self._flying, return_exceptions=True)

    async def _take_and_drain(self) -> None:
        connection = self._find()
        if connection is None or connection.connector.door is None or self._stopping:
            return
        self.held = await self._acquire(connection)
        if self.held is None:
            return
        keeper = asyncio.create_task(self._keep())
        try:
            line = await self._line(connection)
            while not await self._drained(line):
                pass
        finally:
            keeper.cancel()

    async def _acquire(self, connection: Connection) -> Held | None:
        """The lane, or word left for the process that holds it."""
        while True:
            async with self._database.acquire() as db:
                held = await lanes.acquire(db, connection.id, self._owner)
                if held is not None or await lanes.ring(db, connection.id):
                    break
        if held is None:
            await self._held_elsewhere()
        return held

    async def _keep(self) -> None:
        """Keep the lease while the drain itself is held up."""
        while True:
            await asyncio.sleep(lanes.LEASE.total_seconds() / 4)
            held = self.held
            if held is not None:
                with suppress(*AWAY):
                    async with self._database.acquire() as db:
                        await lanes.keep(db, held)

    async def _line(self, connection: Connection) -> Line:
        self._limiter = await self._limits(connection)
        return self._of(connection, self._limiter)

    def _of(self, connection: Connection, limiter: Limiter) -> Line:
        def credentials(fresh: bool) -> Awaitable[Mapping[str, str]]:
            return self._credentials.headers(connection, fresh)

        secrets = secret_texts(connection.settings)
        return Line(
            connection,
            self._owner,
            self._transport,
            limiter,
            credentials,
            self._mark,
            self._clock.now,
            self._seal,
            secrets,
            suppressions=self._suppressions,
        )

    def _seal(self, call_id: UUID, requests: bytes) -> bytes:
        """Requests can hold what proves us (the address of an incoming webhook does)."""
        return self._credentials.ring.seal(requests, call_id.bytes)

    def _as_now(self, line: Line) -> Line:
        """The line with the connection as it is now: its settings may have been changed while we drain."""
        connection = self._find()
        if connection is None or connection is line.connection:
            return line
        return self._of(connection, line.limiter)

    async def _limits(self, connection: Connection) -> Limiter:
        """The limiter of the last time if nobody else drained the lane meanwhile, else one that knows what the last
        owner told: what its windows held, and until when the system wants peace. What may have gone after that
        counts by the attempts on record, under every key."""
        options, fence = connection.connector.door, self.held.fence if self.held else 0
        last, self._last_fence = self._last_fence, fence
        if self._limiter is not None and last == fence - 1:
            return self._limiter
        limits = options.limits if options else ()
        since = self._clock.now() - timedelta(seconds=max((limit.per for limit in limits), default=0.0))
        async with self._database.acquire() as db:
            pauses, windows, told_at = await lanes.told(db, connection.id)
            used = await calls.sent_since(db, connection.id, max(since, told_at or since)) if limits else 0
        return Limiter(limits, Past(pauses, windows, used))

    async def _mark(self, sending: calls.Sending) -> bool:
        try:
            return await self._ledger.mark(sending)
        except Exception as e:
            if is_refused(e):
                raise
            raise LaneLostError("PostgreSQL went away before the request was sent", marked=True) from e

    async def _drained(self, line: Line) -> bool:
        """Drain until idle; True when the lane was let go or lost, False when the bell rang while letting go."""
        slots = asyncio.Semaphore(line.options.at_once)
        idle_since = renewed = time.monotonic()
        swept = 0.0
        while self.held is not None:
            self._bell.clear()
            now = time.monotonic()
            if now - renewed >= RENEW:
                await self._renew()
                renewed = now
            line = self._as_now(line)
            busy = await self._claim_and_start(line, slots)
            if self.held is not None and now - swept >= SWEEP:
                swept = now
                await self._sweep(line)
            await self._start_reads(line)
            if busy or self._flying or (line.limiter.paused_for > 0 and not self._stopping):
                idle_since = time.monotonic()
            elif self._stopping or time.monotonic() - idle_since >= IDLE:
                return await self._let_go()
            if not busy:
                await self._wait(line)
        return True

    async def _let_go(self) -> bool:
        """False when somebody rang meanwhile, and this process does not end."""
        if self.held is None:
            return True
        async with self._database.acquire() as db:
            told = self._limiter.windows(anyway=True) if self._limiter else None
            return await lanes.release(db, self.held, though_rung=self._stopping, windows=told) or self._stopping

    async def _renew(self) -> None:
        if self.held is not None:
            async with self._database.acquire() as db:
                self.held = await lanes.renew(db, self.held, self._limiter.windows() if self._limiter else None)

    async def _wait(self, line: Line) -> None:
        """Until the bell rings, a call ends, or something is due; at most until the lease wants renewing."""
        timeout = 0.25
        if not self._flying and self.held is not None and not self._stopping:
            timeout = min(timeout, max(0.01, line.limiter.paused_for or timeout))
        try:
            async with asyncio.timeout(timeout):
                await self._bell.wait()
        except TimeoutError:
            pass

    async def _claim_and_start(self, line: Line, slots: asyncio.Semaphore) -> bool:
        """Claim what may fly now; False when there was nothing to claim."""
        held = self.held
        if held is None or self._stopping:
            return False
        probe = held.parked
        room = 1 if probe else 2 * line.options.at_once - len(self._flying)
        if room < (1 if probe else line.options.at_once) or line.limiter.paused_for > 0.05:
            return False
        now = self._clock.now()
        if probe and (self._flying or (held.probe_at is not None and now < held.probe_at)):
            return False
        async with self._database.acquire() as db:
            claimed = fresh = await calls.claim(db, held, now, room, probe)
        if not all(call.reserved and not call.attempts for call in claimed):
            async with self._database.transaction() as db:
                wanted = await _without_cancelled(db, claimed)
                fresh, skipped = await self._reserve(db, wanted, now)
            if skipped:
                self._ledger.wake_runs()
        unsent = set(self._unsent.values())
        for call in fresh:
            if call.id in unsent:
                continue  # a crash of PostgreSQL took its claim back; it has it again, and goes out once
            task = asyncio.create_task(self._make(line, call, slots, probe))
            self._flying[task] = self._unsent[task] = call.id
            task.add_done_callback(self._landed)
        return len(claimed) == room

    async def _start_reads(self, line: Line) -> None:
        """Take up reads that webhooks of this connection wait for; looks a few times a second."""
        if line.connection.connector.source is None or time.monotonic() < self._no_reads_before:
            return
        self._no_reads_before = time.monotonic() + LOOK_FOR_READS
        held, now = self.held, self._clock.now()
        if held is None or held.paused or self._stopping or line.limiter.paused_for > 0.05:
            return
        if held.parked and (self._flying or (held.probe_at is not None and now < held.probe_at)):
            return
        for waiting in await reads.claim(self._database, line.connection.id, now):
            task = asyncio.create_task(self._read(line, waiting))
            self._flying[task] = waiting.webhook_id
            task.add_done_callback(self._landed)

    async def _read(self, line: Line, waiting: reads.Waiting) -> None:
        probe = self.held is not None and self.held.parked
        outcome = await reads.make(line, self._database, waiting, self.read_done)
        if outcome is not None:
            await self._learn(line, outcome, probe)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.pop(task, None)
        self._unsent.pop(task, None)
        self._bell.set()

    async def _reserve(self, db: Any, claimed: list[DueCall], now: datetime) -> tuple[list[DueCall], int]:
        """Reserve the effects of the claimed calls: (those that may be made, how many were skipped). What was done
        already is skipped with its output; what another call has reserved waits for that one's end."""
        if not claimed or self.held is None:
            return [], 0
        first: dict[bytes, DueCall] = {}
        for call in claimed:
            first.setdefault(call.effect_key, call)
        standing = await effects.reserve(
            db, [(c.effect_key, c.workspace, c.id, f"{c.recipe}/{c.path} {c.action}") for c in first.values()]
        )
        mine = [call for call in first.values() if standing.get(call.effect_key) is None]
        got = {call.id for call in mine}
        there, waiting = [], []
        for call in claimed:
            stands = standing.get(call.effect_key)
            if stands is not None and stands.state == "done":
                there.append(found_done(call, stands.output, now))
            elif call.id not in got:
                waiting.append(call)
        if there:
            await calls.record_calls(db, there)
            await calls.wake_runs(db, [ended.run_id for ended in there], now)
        if waiting:
            await calls.give_back(db, self.held, waiting, now + WAIT_FOR_EFFECT)
        return mine, len(there)

    async def _make(self, line: Line, call: DueCall, slots: asyncio.Semaphore, probe: bool) -> None:
        attempt = Attempt(call)
        try:
            async with self._alone(line, call), slots:
                attempt.begin()
                if self._stopping or (not probe and self.held is not None and self.held.parked):
                    await self._return(call)
                else:
                    await self._try(line, call, attempt, probe)
        except LaneLostError as e:
            log.info("a call was not sent: its lane was lost, or it was cancelled", call=str(call.id))
            if not attempt.sent:
                await self._not_sent(call, attempt, e)
        except AWAY as e:
            log.warning("PostgreSQL is away; a call is taken up again later", call=str(call.id), error=type(e).__name__)
        except Exception:
            log.exception("a call stumbled; it is taken up again later", call=str(call.id))

    def _alone(self, line: Line, call: DueCall) -> AbstractAsyncContextManager[object]:
        """Of the calls that an action wants one at a time by some value (find or create), the others wait."""
        action = _action(line.connection, call)
        if action is None or action.exclusive_by is None:
            return nullcontext()
        try:
            value = action.exclusive_by(action.input.model_validate_json(unpack(call.input)))
        except ValueError:
            return nullcontext()  # the attempt says what is wrong with the input
        lock = self._exclusive.get((action.name, value)) or asyncio.Lock()
        self._exclusive[action.name, value] = lock
        return lock

    async def _return(self, call: DueCall) -> None:
        """Give a claimed call back, so that anybody can claim it; the sweep finds it if that fails."""
        self._unsent.pop(asyncio.current_task(), None)
        held = self.held
        if held is not None and held.fence == call.fence:
            with suppress(*IN_TROUBLE):
                async with self._database.acquire() as db:
                    await calls.give_back(db, held, [call])

    async def _not_sent(self, call: DueCall, attempt: Attempt, why: LaneLostError) -> None:
        """Its bytes surely stayed here; if it may have been marked as `sending`, that is taken back."""
        if not why.marked:
            await self._return(call)
            return
        now = self._clock.now()
        verdict = Verdict("due", "retryable", None, now, call.failures, call.unsure)
        await self._record(ended(call, attempt, Failed("retryable", f"not sent: {why}"), verdict))

    async def _try(self, line: Line, call: DueCall, attempt: Attempt, probe: bool) -> None:
        action = _action(line.connection, call)
        if action is None:
            outcome: Outcome = Failed("permanent", f"{line.connection.connector.slug} has no action {call.action}")
            action = next(iter(line.connection.connector.actions))
        else:
            stored = await self._stored(call, action)
            seconds = float(call.options.get("timeout") or line.options.timeout * 2)
            try:
                outcome = await attempts.run(line, action, attempt, stored, call.unsure, seconds)
            finally:
                self._unsent.pop(asyncio.current_task(), None)
        await self._conclude(line, call, action, attempt, outcome, self._probe_wait() if probe else None)
        await self._learn(line, outcome, probe)

    async def _stored(self, call: DueCall, action: Action) -> list[bytes]:
        """The requests of an earlier attempt that may have acted, for a system that drops repeats of one key."""
        if not call.unsure or not isinstance(action.safe, NativeKey):
            return []
        async with self._database.acquire() as db:
            sealed = await calls.stored_requests(db, call)
        if sealed is None:
            return []
        packed = self._credentials.ring.open(sealed, call.id.bytes)
        return [text.encode("latin-1") for text in orjson.loads(unpack(packed))]

    async def _conclude(
        self,
        line: Line,
        call: DueCall,
        action: Action,
        attempt: Attempt,
        outcome: Outcome,
        probe: timedelta | None = None,
    ) -> None:
        now = self._clock.now()
        since = now if isinstance(outcome, Ok) else await self._first_tried(call, now)
        standing = Standing(call.failures, call.unsure and not attempt.cleared, call.sent_at, since)
        if_unsure = call.options.get("if_unsure") or action.if_unsure
        verdict = decide(outcome, standing, action, if_unsure, budget_of(call, action), now, attempt.sent, probe)
        again = call.unsure and attempt.sent and not attempt.cleared
        doubled = again and isinstance(outcome, Ok) and not outcome.found and isinstance(action.safe, Unsafe)
        alike = isinstance(weakened(action.safe, call.sent_at or now, now), NativeKey | Upsert)
        await self._record(replace(ended(call, attempt, outcome, verdict), doubled=doubled, alike=alike))

    async def _first_tried(self, call: DueCall, now: datetime) -> datetime:
        """When trying this call began: its age counts from there, and not from before its lane was parked last."""
        if not call.attempts:
            return now
        try:
            async with self._database.acquire() as db:
                return await calls.first_tried(db, call) or now
        except AWAY:
            return now

    async def _record(self, ended: Ended) -> None:
        """Write an end down, however long PostgreSQL is away, or in trouble (a full disk, a failover). What it refuses
        to hold is written without its texts."""
        tried = 0
        while True:
            try:
                await self._ledger.record(ended)
                return
            except Exception as e:
                if not is_refused(e):
                    tried += 1
                    if tried == 1 and not is_away(e):
                        log.warning("an outcome cannot be stored now", call=str(ended.call_id), error=type(e).__name__)
                    await asyncio.sleep(0.5)
                    continue
                if ended.response is None and ended.output is None:
                    raise
                log.exception("an outcome cannot be stored as it is", call=str(ended.call_id))
                error = f"its answer could not be stored: {type(e).__name__}"
                ended = replace(ended, response=None, output=None, error=error)

    async def _learn(self, line: Line, outcome: Outcome, probe: bool) -> None:
        """Open or close the breaker by this outcome. While the lane is parked, failures of what was in flight already
        say nothing new: only its probe counts."""
        held = self.held
        if held is not None and (told := line.limiter.news()):
            async with self._database.acquire() as db:
                await lanes.tell_pauses(db, held, told)
        if isinstance(outcome, Ok) or outcome.kind in ("permanent", "throttled"):
            self._breaker.note(False)
            if held is not None and held.parked:
                await self._unpark(line, held)
        elif held is not None and held.parked and not probe:
            return
        elif outcome.kind == "credential":
            await self._refused(line, outcome.error, probe)
        elif self._breaker.note(True) or probe:
            async with self._parking:
                if self.held is not None and (probe or not self.held.parked):
                    await self._park(line, outcome.error, None)

    async def _refused(self, line: Line, error: str, probe: bool) -> None:
        """Park, for the first of the calls that are told of it, unless the connection was given other credentials since
        they went out: then what the old ones were refused is tried with those."""
        async with self._parking:
            if self.held is not None and (probe or not self.held.parked) and not self._known_anew(line):
                await self._park(line, await self._unknown_to(line, error), timedelta(seconds=60))
        if self._known_anew(line):
            async with self._database.transaction() as db:
                await lanes.credentials_changed(db, line.connection.id, self._clock.now())
                await connections.set_problem(db, line.connection.id, None)
            self.ring()

    def _known_anew(self, line: Line) -> bool:
        connection = self._find()
        return connection is not None and connection.known_by != line.connection.known_by

    async def _unknown_to(self, line: Line, error: str) -> str:
        """Note at the connection that its system does not know us any more, and which recipes wait for that."""
        async with self._database.acquire() as db:
            waiting = await lanes.waiting(db, line.connection.id)
            said = error[:300] + (f"; recipes that wait: {', '.join(waiting)}" if waiting else "")
            await connections.set_problem(db, line.connection.id, said)
        return f"credentials: {said}"

    async def _unpark(self, line: Line, held: Held) -> None:
        self._breaker.reset()
        async with self._database.transaction() as db:
            await lanes.unpark(db, line.connection.id)
            await connections.set_problem(db, line.connection.id, None)
        self.held = replace(held, parked=False, probes=0)
        log.info("a lane resumes", connection=line.connection.slug)

    async def _park(self, line: Line, reason: str, probe_in: timedelta | None) -> None:
        held = self.held
        if held is None:
            return
        wait = probe_in or self._probe_wait()
        async with self._database.acquire() as db:
            await lanes.park(db, held, reason[:500], wait)
        if not held.parked:
            log.warning("a lane is parked; the connection says why", connection=line.connection.slug)
        self.held = replace(held, parked=True, probe_at=self._clock.now() + wait, probes=held.probes + 1)
        self._breaker.reset()

    def _probe_wait(self) -> timedelta:
        """How long the next probe of a parked lane waits: 1, 2, 4 ... 30 s."""
        return timedelta(seconds=min(30.0, 2.0 ** min(self.held.probes if self.held else 0, 5)))

    async def _sweep(self, line: Line) -> None:
        """Take up what was left: claims that do not fly, and attempts of a dead owner (or of ours, when a commit's
        answer was lost) whose answers can no longer come."""
        held, flying = self.held, list(self._flying.values())
        if held is None:
            return
        async with self._database.acquire() as db:
            await calls.free_leaked(db, held, flying)
            left = await calls.orphans(db, held, MARGIN, flying)
            if left:
                await calls.adopt(db, held, [call.id for _, _, call in left])
            await calls.end_loose(db, held)
        for attempt_id, number, call in left:
            await self._settle_orphan(line, replace(call, fence=held.fence, attempts=number - 1), attempt_id)

    async def _settle_orphan(self, line: Line, call: DueCall, attempt_id: UUID) -> None:
        action = _action(line.connection, call)
        if action is not None:
            lost = Failed("unsure", "the process that sent it ended before the answer was recorded")
            await self._conclude(line, call, action, Attempt(call, attempt_id, sent=True), lost)


async def _without_cancelled(db: Any, claimed: list[DueCall]) -> list[DueCall]:
    """Calls that were tried before are not tried again where their run was cancelled, whatever became of who did."""
    over = await runs.cancelled(db, [call.run_id for call in claimed if call.attempts])
    if not over:
        return claimed
    await runs.cancel_calls(db, sorted(over))
    return [call for call in claimed if call.run_id not in over]


def _action(connection: Connection, call: DueCall) -> Action | None:
    verb = call.action.partition(".")[2]
    return next((action for action in connection.connector.actions if action.name == verb), None)


def lane_of(connection_id: UUID) -> str:
    return f"lane:{connection_id}"


__all__ = ["Lane", "lane_of"]
