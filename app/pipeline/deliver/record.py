"""Writing down: marks before bytes go, ends as answers come. Both share commits."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from app.clock import Clock
from app.store import calls, echo, effects, runs
from app.store.calls import Ended, Sending
from app.store.database import Connection, Database
from app.store.shared import Shared

ENDED = ("done", "skipped", "dead", "cancelled")


class Ledger:
    """The writes of all lanes of a process."""

    def __init__(self, database: Database, clock: Clock, wake_runs: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self.wake_runs = wake_runs
        self.mark: Shared[Sending, bool] = Shared(self._mark)
        self.record: Shared[Ended, bool] = Shared(self._record)

    async def settle(self) -> None:
        await self.mark.settle()
        await self.record.settle()

    async def _mark(self, attempts: list[Sending]) -> list[bool]:
        async with self._database.acquire() as connection:
            allowed = await calls.mark_sending(connection, attempts)
        return [attempt.call_id in allowed for attempt in attempts]

    async def _record(self, ended: list[Ended]) -> list[bool]:
        """One transaction: calls, attempts, effects, and the runs that wait for them. What was recorded before is left
        as it is. An answer for a call that is no longer ours is kept as a late attempt: it closes the question that
        it answers, or the repeat that waits; and where another attempt acted too, the effect says that it is there
        twice. Of a call that a crash of PostgreSQL took back, nothing was sent and nothing is kept."""
        over: list[UUID] = []
        async with self._database.transaction() as connection:
            ended = await _not_for_cancelled_runs(connection, ended)
            ours = await calls.record_calls(connection, ended)
            others = [e for e in ended if e.call_id not in ours]
            if others:
                there = await calls.lock(connection, [e.call_id for e in others])
                others = [e for e in others if e.call_id in there]
            before = await calls.recorded_before(connection, others) if others else set()
            late = [e for e in others if e.call_id not in before]
            mine = [e for e in ended if e.call_id in ours]
            await self._write(connection, mine, late)
            closed = await _heard_late(connection, [e for e in late if e.attempt_state == "ok"])
            closed |= await _refused_late(connection, [e for e in late if e.attempt_state == "permanent"])
            over = [e.run_id for e in ended if e.call_id in closed or (e.call_id in ours and e.call_state in ENDED)]
            await calls.wake_runs(connection, over, self._clock.now())
        if over:
            self.wake_runs()
        return [e.call_id in ours or e.call_id in before for e in ended]

    async def _write(self, connection: Connection, mine: list[Ended], late: list[Ended]) -> None:
        tried = [e for e in (*mine, *map(_late, late)) if e.attempt_id is not None]
        if tried:
            await calls.record_attempts(connection, tried)
        await effects.finish(
            connection, [(e.effect_key, e.call_id, e.effect_state, e.output) for e in mine if e.effect_state]
        )
        changed = [(e.connection_id, each, e.action) for e in (*mine, *late) for each in e.touched]
        if changed:
            await echo.note(connection, changed)
        twice = await calls.acted_twice(
            connection,
            [e for e in mine if e.number > 1 and e.attempt_state == "ok" and e.error is None],
            [e for e in late if e.attempt_state in ("ok", "unsure")],
        )
        doubled = {e.effect_key for e in (*mine, *late) if e.doubled or e.call_id in twice}
        if doubled:
            await effects.mark_doubled(connection, sorted(doubled))


async def _heard_late(connection: Connection, said: list[Ended]) -> set[UUID]:
    """What late answers said was done is known now; answers the calls that ended by it."""
    if not said:
        return set()
    closed = await calls.heard_late(connection, said)
    each = {e.call_id: (e.effect_key, e.call_id, e.output, e.call_id in closed) for e in said}
    taken = await effects.heard_late(connection, list(each.values()))
    taken -= {e.effect_key for e in said if e.alike}
    if taken:
        await effects.mark_doubled(connection, sorted(taken))
    return closed


async def _refused_late(connection: Connection, said: list[Ended]) -> set[UUID]:
    """What late answers refused for good has not happened; answers the calls that ended by it."""
    if not said:
        return set()
    closed = await calls.refused_late(connection, said)
    await effects.finish(connection, [(e.effect_key, e.call_id, "released", None) for e in said if e.call_id in closed])
    return closed


async def _not_for_cancelled_runs(connection: Connection, ended: list[Ended]) -> list[Ended]:
    """What should be tried again ends here where its run was cancelled while it was under way. The calls are locked by
    a statement of their own, before the runs are read: who cancels looks at the calls once more afterwards."""
    again = [e for e in ended if e.call_state == "due"]
    if not again:
        return ended
    await calls.lock(connection, [e.call_id for e in again])
    over = await runs.cancelled(connection, [e.run_id for e in again])
    return [_stopped(e) if e.call_state == "due" and e.run_id in over else e for e in ended] if over else ended


def _stopped(ended: Ended) -> Ended:
    return replace(ended, call_state="cancelled", effect_state="uncertain" if ended.unsure else "released")


def _late(ended: Ended) -> Ended:
    return replace(ended, attempt_state="late")
