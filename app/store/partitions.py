"""Partitions by time: made ahead, dropped by retention, never emptied by mass delete."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg

from app.store.database import Connection
from app.store.kinds import PARTITIONED

WEEKLY = {"webhook"}
AHEAD = 2
"""Periods made beyond the current one."""

_STORAGE = (
    "fillfactor=70, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05, "
    "autovacuum_vacuum_insert_scale_factor=0.2, toast_tuple_target=4080"
)


async def make_ahead(connection: Connection, now: datetime | None = None) -> list[str]:
    """Make the partitions of the previous period, this one and `AHEAD` more for each table; answers the new names."""
    now = now or await connection.fetchval("select clock_timestamp()")
    await connection.execute("select pg_advisory_xact_lock(7201945)")
    made = []
    for table in PARTITIONED:
        for start, end in periods(table, now):
            name = partition_name(table, start)
            if await connection.fetchval("select to_regclass($1) is null", name):
                await _make(connection, table, name, start, end)
                made.append(name)
    return made


async def _make(connection: Connection, table: str, name: str, start: datetime, end: datetime) -> None:
    """Made beside its table and then attached: to make it in its place would wait for everybody who reads the table (a
    dump does for hours), and all others would wait behind that."""
    await connection.execute(f"create table {name} (like {table} including all) with ({_STORAGE})")
    if table == "webhook":
        for column in ("body", "headers"):
            await connection.execute(f"alter table {name} alter column {column} set storage external")
    await connection.execute(
        f"alter table {table} attach partition {name} for values from ('{start.isoformat()}') to ('{end.isoformat()}')"
    )


def periods(table: str, now: datetime) -> list[tuple[datetime, datetime]]:
    """(start, end) of the previous, the current and the next periods of a table."""
    step_back = first_of(table, first_of(table, now) - timedelta(days=1))
    bounds = [step_back]
    for _ in range(AHEAD + 2):
        bounds.append(following(table, bounds[-1]))
    return list(pairwise(bounds))


def first_of(table: str, moment: datetime) -> datetime:
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday()) if table in WEEKLY else day.replace(day=1)


def following(table: str, start: datetime) -> datetime:
    return start + timedelta(days=7) if table in WEEKLY else (start + timedelta(days=32)).replace(day=1)


def partition_name(table: str, start: datetime) -> str:
    return f"{table}_{start:%Y%m%d}"


# --- dropping ---------------------------------------------------------------------------------------------------

DETACH_WITHIN = "200ms"
"""How long detaching may wait for its lock, and so how long at most others queue behind it."""

_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_(\d{{8}})")


@dataclass(frozen=True, slots=True)
class Partition:
    """One period of a table. attached: the table still shows its rows."""

    table: str
    name: str
    start: datetime
    end: datetime
    attached: bool


async def over_before(db: Connection, table: str, moment: datetime) -> list[Partition]:
    """The partitions of a table that ended at that moment or before, oldest first; with those that were detached and,
    because a process died, not dropped."""
    rows = await db.fetch(
        """select c.relname, c.relispartition from pg_class c
           where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace and starts_with(c.relname, $1)
           order by c.relname""",
        f"{table}_",
    )
    return [p for name, attached in rows if (p := _partition(table, name, attached)) is not None and p.end <= moment]


def _partition(table: str, name: str, attached: bool) -> Partition | None:
    found = _NAME.fullmatch(name)
    if found is None or found[1] != table:
        return None
    start = datetime.strptime(found[2], "%Y%m%d").replace(tzinfo=UTC)
    return Partition(table, name, start, following(table, start), attached)


async def detach(db: Connection, partition: Partition) -> bool:
    """Take a partition out of its table; False when somebody used the table for longer than `DETACH_WITHIN`."""
    try:
        async with db.transaction():
            await db.execute(f"set local lock_timeout = '{DETACH_WITHIN}'")
            await db.execute(f"alter table {partition.table} detach partition {partition.name}")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return False
    return True


async def drop(db: Connection, partition: Partition) -> None:
    """Remove a detached partition: nobody else looks at it any more."""
    await db.execute(f"drop table {partition.name}")
