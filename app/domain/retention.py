"""Growth: partitions are made ahead and dropped by age, and nothing that has not ended goes with them.

Every transaction here is short and takes a transaction-level lock first, so any number of workers may look at once
and one of them works; nothing needs a session.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from app.clock import Clock
from app.settings import Settings
from app.store import echo, partitions, retention, untied
from app.store.byhand import Deed, note
from app.store.database import Connection, Database, to_json
from app.store.kinds import PARTITIONED
from app.store.partitions import Partition

log = structlog.get_logger()
T = TypeVar("T")

EVERY = timedelta(hours=1)
SOON = timedelta(minutes=1)
"""When it is tried again after something stood in the way."""
NOBODYS = timedelta(days=29, hours=20)
"""30 days at most, with room for the hours between two passes."""
_NOBODYS: tuple[tuple[str, Callable[..., Awaitable[Mapping[str, int] | None]]], ...] = (
    ("webhook", untied.blank_webhooks),
    ("attempt", untied.blank_attempts),
)
_AGES = {"rejected": "raw", "backtest": "attempts"}
"""Of tables whose rows carry no time of their own: whose retention they have."""
ORDER = ("webhook", "run", "event", "step", "call", "attempt")
"""Runs before their events, so that all that is open is in its table when events are copied into it."""


@dataclass
class Kept:
    """What one pass did: names of partitions made and dropped; rows moved, keys trimmed, bodies blanked, by table.
    busy: another process was at it; later: partitions that long transactions kept from going."""

    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    trimmed: dict[str, int] = field(default_factory=dict)
    blanked: dict[str, int] = field(default_factory=dict)
    busy: bool = False
    later: list[str] = field(default_factory=list)


class _BusyError(Exception):
    """Another process does the maintenance."""


async def _note(db: Connection, what: str, rows: Mapping[str, int], age: timedelta) -> None:
    """Write down for each workspace what went by its age."""
    for workspace, count in rows.items():
        await note(db, Deed(workspace, "retention", "expire", what, {}), to_json({"rows": count, "days": age.days}))


async def events_kept_since(database: Database, settings: Settings, now: datetime) -> datetime:
    """Since when all events are there: what is older may be gone, by the settings of today, or of an earlier day."""
    async with database.acquire() as db:
        dropped = await retention.dropped_until(db)
    oldest = now - timedelta(days=settings.retention_events_days)
    return oldest if dropped is None else max(oldest, dropped)


@dataclass
class Retention:
    """The maintenance of one process. `look()` is cheap between passes: call it as often as you like."""

    database: Database
    clock: Clock
    settings: Settings
    next_at: datetime | None = None

    async def look(self) -> None:
        """Make a pass if one is due: at start, then every hour."""
        now = self.clock.now()
        if self.next_at is not None and now < self.next_at:
            return
        self.next_at = now + SOON
        kept = await self.pass_over(now)
        self.next_at = now + (SOON if kept.later else EVERY)
        if kept.made or kept.dropped or kept.later:
            log.info("partitions", made=kept.made, dropped=kept.dropped, moved=kept.moved, later=kept.later)

    async def pass_over(self, now: datetime) -> Kept:
        """Make what will be needed, drop what is past its retention, trim what expired."""
        kept = Kept()
        async with self.database.transaction() as connection:
            kept.made = await partitions.make_ahead(connection, now)
        try:
            for table in ORDER:
                for partition in await self._past(table, now - self._age(PARTITIONED[table])):
                    await self._let_go(partition, now, kept)
            await self._let_go_of_nobodys(now, kept)
            for table in retention.TRIMMED:
                before = now - self._age(_AGES[table]) if table in _AGES else now
                await self._batches(kept.trimmed, table, partial(retention.trim, table=table, before=before))
            async with self.database.acquire() as db:
                await echo.forget(db)
        except _BusyError:
            kept.busy = True
        return kept

    async def _let_go_of_nobodys(self, now: datetime, kept: Kept) -> None:
        """Bodies that are tied to nobody go after `NOBODYS`, whatever the settings are."""
        for name, blank in _NOBODYS:
            gone, before = Counter[str](), now - NOBODYS
            while (batch := await self._alone(partial(blank, before=before))) is not None:
                gone.update(batch)
            kept.blanked[name] = gone.total()
            if gone:
                await self._alone(partial(_note, what=f"{name}/bodies", rows=gone, age=NOBODYS))

    def _age(self, kind: str) -> timedelta:
        days: int = getattr(self.settings, f"retention_{kind}_days")
        return timedelta(days=days)

    async def _past(self, table: str, moment: datetime) -> list[Partition]:
        async with self.database.acquire() as db:
            return await partitions.over_before(db, table, moment)

    async def _let_go(self, partition: Partition, now: datetime, kept: Kept) -> None:
        """Move on what has not ended, take the partition out, move what became open meanwhile, drop it."""
        if partition.attached:
            if partition.table == "attempt":
                await self._alone(lambda db: retention.doubt_the_cut_off(db, partition))
            if partition.table == "event":
                await self._batches({}, "run", lambda db: retention.fill(db, partition))
            await self._batches(kept.moved, partition.table, lambda db: retention.move(db, partition, now))
            async with self.database.acquire() as db:
                if not await partitions.detach(db, partition):
                    kept.later.append(partition.name)
                    return
        await self._alone(lambda db: self._drop(db, partition, now, kept))

    async def _drop(self, db: Connection, partition: Partition, now: datetime, kept: Kept) -> None:
        while partition.table == "event" and await retention.fill(db, partition):
            pass
        late, kind = await retention.move_stragglers(db, partition, now), PARTITIONED[partition.table]
        kept.moved[partition.table] = kept.moved.get(partition.table, 0) + late
        await _note(db, partition.name, await retention.rows_by_workspace(db, partition), self._age(kind))
        await partitions.drop(db, partition)
        if partition.table == "event":
            await retention.note_dropped(db, partition.end)
        kept.dropped.append(partition.name)

    async def _batches(self, counts: dict[str, int], name: str, work: Callable[[Connection], Awaitable[int]]) -> None:
        """Work in transactions of one batch each until nothing is left."""
        while done := await self._alone(work):
            counts[name] = counts.get(name, 0) + done

    async def _alone(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self.database.transaction() as db:
            if not await retention.alone(db):
                raise _BusyError
            return await work(db)
