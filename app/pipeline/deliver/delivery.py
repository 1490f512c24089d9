"""All lanes of a process: made when they are first rung, polled, and stopped together."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from app.bells import Bells
from app.clock import Clock
from app.domain.connections import Connections
from app.domain.credentials import Credentials
from app.domain.suppressions import Suppressions
from app.http import Transport
from app.pipeline.deliver.lane import Lane, lane_of
from app.pipeline.deliver.record import Ledger
from app.store import connections, lanes
from app.store.database import Database


@dataclass
class Delivery:
    """All lanes of a process."""

    database: Database
    connections: Connections
    clock: Clock
    bells: Bells
    transport: Transport
    credentials: Credentials
    owner: str
    suppressions: Suppressions | None = None
    _lanes: dict[UUID, Lane] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.database, self.clock, lambda: self.bells.ring("run"))
        self._known = {each.id: each for each in self.connections}
        self.connections.on_change.append(self._changed)

    def ring(self, name: str) -> bool:
        """Ring a lane by its name; made on first use. False when this is no connection of ours."""
        connection_id = UUID(name.removeprefix("lane:"))
        if self._stopping or self.connections.get(connection_id) is None:
            return False
        if connection_id not in self._lanes:
            self._lanes[connection_id] = lane = self._lane(connection_id)
            task = asyncio.create_task(lane.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._lanes[connection_id].ring()
        return True

    def knocked(self, name: str) -> None:
        """Another process rang: only a lane that this process holds listens."""
        lane = self._lanes.get(UUID(name.removeprefix("lane:")))
        if lane is not None and lane.held is not None:
            lane.ring()

    async def poll(self) -> None:
        """Ring every lane that has work and that this process could drain: finds what a lost bell left."""
        async with self.database.acquire() as db:
            for connection_id in await lanes.with_work(db, self.clock.now(), self.owner):
                self.ring(lane_of(connection_id))

    async def stop(self) -> None:
        """Claim no more; wait for the calls in flight and their records."""
        self._stopping = True
        for lane in self._lanes.values():
            await lane.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ledger.settle()

    def _changed(self) -> None:
        """Connections were read anew: what waits for credentials is tried with the new ones."""
        before, self._known = self._known, {each.id: each for each in self.connections}
        changed = [
            each.id for each in self.connections if each.id not in before or before[each.id].known_by != each.known_by
        ]
        if changed and not self._stopping:
            task = asyncio.create_task(self._try_again(changed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try_again(self, connection_ids: list[UUID]) -> None:
        for connection_id in connection_ids:
            async with self.database.transaction() as db:
                opened = await lanes.credentials_changed(db, connection_id, self.clock.now())
                await connections.forget_problem(db, connection_id)
            if opened:
                self.ring(lane_of(connection_id))

    def _lane(self, connection_id: UUID) -> Lane:
        lane = Lane(
            lambda: self.connections.get(connection_id),
            self.owner,
            self.database,
            self.clock,
            self.transport,
            self._ledger,
            self.credentials,
            lambda: self.bells.knock(lane_of(connection_id)),
            self.suppressions,
        )
        lane.read_done = lambda: self.bells.ring("normalise")
        return lane
