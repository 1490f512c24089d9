"""What was still to be done at a connection that was removed: given up after a while, for it may come back."""

from dataclasses import dataclass
from datetime import timedelta

from app.bells import Bells
from app.clock import Clock
from app.store import calls, deadlines, effects
from app.store.calls import DueCall
from app.store.database import Connection, Database

AFTER = timedelta(days=1)
BATCH = 200
GONE = "its connection was removed"


@dataclass(frozen=True)
class Removed:
    """The look for it."""

    database: Database
    clock: Clock
    bells: Bells

    async def look(self) -> None:
        """End the calls of connections that were removed more than `AFTER` ago, and the reads that webhooks of theirs
        wait for."""
        while await self._calls():
            self.bells.ring("run")
        while await self._reads():
            self.bells.ring("normalise")

    async def _calls(self) -> bool:
        now = self.clock.now()
        async with self.database.transaction() as db:
            left = await calls.of_removed(db, now - AFTER, BATCH)
            await calls.give_up(db, left, GONE)
            await self._let_go(db, left)
            await calls.wake_runs(db, [call.run_id for call in left], now)
        return bool(left)

    async def _let_go(self, db: Connection, left: list[DueCall]) -> None:
        states = [(c.effect_key, c.id, "uncertain" if c.unsure else "released", None) for c in left]
        await effects.finish(db, states)

    async def _reads(self) -> bool:
        async with self.database.transaction() as db:
            left = await deadlines.reads_of_removed(db, self.clock.now() - AFTER, BATCH)
            for timer_id, webhook, data in left:
                unread = {want["name"]: GONE for want in data["wanted"]} | dict(data.get("unread", {}))
                await deadlines.hand_over(db, timer_id, webhook, {"read": data.get("read", {}), "unread": unread})
        return bool(left)
