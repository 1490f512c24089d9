"""Partitions by time: made ahead, dropped by retention, never emptied by mass delete."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import PARTITIONED

WEEKLY = {"webhook"}
AHEAD = 2
"""Periods made beyond the current one."""

_STORAGE = (
    "fillfactor=70, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05, "
    "autovacuum_vacuum_insert_scale_factor=0.2, toast_tuple_target=4080"
)


async def make_ahead(connection: AsyncConnection, now: datetime | None = None) -> list[str]:
    """Make the partitions of the previous period, this one and `AHEAD` more for each table; answers the new names."""
    now = now or (await connection.execute(text("select clock_timestamp()"))).scalar_one()
    await connection.execute(text("select pg_advisory_xact_lock(7201945)"))
    made = []
    for table in PARTITIONED:
        for start, end in periods(table, now):
            name = partition_name(table, start)
            if (await connection.execute(text("select to_regclass(:name)"), {"name": name})).scalar_one() is None:
                await _make(connection, table, name, start, end)
                made.append(name)
    return made


async def _make(connection: AsyncConnection, table: str, name: str, start: datetime, end: datetime) -> None:
    await connection.execute(
        text(
            f"create table {name} partition of {table} "
            f"for values from ('{start.isoformat()}') to ('{end.isoformat()}') with ({_STORAGE})"
        )
    )
    if table == "webhook":
        for column in ("body", "headers"):
            await connection.execute(text(f"alter table {name} alter column {column} set storage external"))


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
