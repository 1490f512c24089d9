"""What has not ended is moved out of a partition before it goes; keys that expired are trimmed a few at a time.

A moved row keeps its id; its `at` becomes a moment of today. Every look-up by id asks for `at >= time_of(id)`, so it
is still found.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson

from app.store.database import Connection, Row
from app.store.packing import pack, unpack
from app.store.partitions import Partition

LOCK = 7201946
BATCH = 200

_OPEN_RUNS = "select id from run where id < $1 and state in ('running', 'waiting', 'held')"
_OPEN = {
    "webhook": "t.state in ('due', 'reading')",
    "event": "t.waiters_due",
    "run": "t.state in ('running', 'waiting', 'held')",
    "step": f"t.run_id in ({_OPEN_RUNS})",
    "call": f"(t.state in ('due', 'uncertain') or t.run_id in ({_OPEN_RUNS}))",
    "attempt": "t.call_id in (select id from call where id < $1 and state in ('due', 'uncertain'))",
}
"""Which rows of a table live on; `$1` is the first id that is younger than the partition."""


_DROPPED = "events dropped until"


async def note_dropped(db: Connection, until: datetime) -> None:
    """Remember up to when events were dropped: what looks back must know that some are missing."""
    await db.execute(
        """insert into setting as s (name, value) values ($1, $2) on conflict (name) do update
             set value = excluded.value, updated_at = clock_timestamp() where s.value < excluded.value""",
        _DROPPED,
        until.astimezone(UTC).isoformat().encode(),
    )


async def dropped_until(db: Connection) -> datetime | None:
    """Up to when events were dropped; None if none ever were."""
    value = await db.fetchval("select value from setting where name = $1", _DROPPED)
    return None if value is None else datetime.fromisoformat(bytes(value).decode())


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment."""
    return UUID(int=round(moment.timestamp() * 1000) << 80)


async def alone(db: Connection) -> bool:
    """Whether this transaction may do maintenance; False while another process does."""
    mine: bool = await db.fetchval("select pg_try_advisory_xact_lock($1)", LOCK)
    return mine


async def move(db: Connection, partition: Partition, now: datetime) -> int:
    """Move one batch of what has not ended into today's partition; answers how many, 0 when nothing is left (but for
    rows that somebody works this moment)."""
    table = partition.table
    rows = await db.fetch(
        f"""with open as (select id, at from {table} t where t.at >= $2 and t.at < $3 and {_OPEN[table]}
                and ($1::uuid is not null) order by id limit {BATCH} for update skip locked)
            update {table} t set at = $4 from open
            where t.id = open.id and t.at = open.at and t.at >= $2 and t.at < $3 returning t.id""",
        first_id(partition.end),
        partition.start,
        partition.end,
        now,
    )
    return len(rows)


async def move_stragglers(db: Connection, partition: Partition, now: datetime) -> int:
    """Put what became open again at the last moment back into the table that its partition was taken out of."""
    named = "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped"
    columns = [row["attname"] for row in await db.fetch(named, partition.table)]
    taken = ", ".join("$2::timestamptz" if name == "at" else f"t.{name}" for name in columns)
    status = await db.execute(
        f"""insert into {partition.table} ({", ".join(columns)})
            select {taken} from {partition.name} t where {_OPEN[partition.table]} and ($1::uuid is not null)""",
        first_id(partition.end),
        now,
    )
    return int(status.rpartition(" ")[2])


async def rows_by_workspace(db: Connection, partition: Partition) -> dict[str, int]:
    """How many rows of each workspace a detached partition holds; nothing that lives on is among them."""
    rows = await db.fetch(f"select workspace, count(*) as rows from {partition.name} group by workspace")
    return {row["workspace"]: row["rows"] for row in rows}


async def fill(db: Connection, partition: Partition) -> int:
    """Give one batch of open runs, whose events are about to go, what they need of them; answers how many. `partition`
    is one of events, attached or not."""
    rows = await db.fetch(
        f"""select r.id, r.at, e.type, e.data, e.schema_version, e.occurred_at, e.test, e.historical, e.echo
            from run r join {partition.name} e on e.id = r.event_id
            where r.event_id >= $1 and r.event_id < $2 and r.state in ('running', 'waiting', 'held') and r.data is null
            order by r.id limit {BATCH} for update of r skip locked""",
        first_id(partition.start),
        first_id(partition.end),
    )
    if rows:
        await db.execute(
            """update run r set data = t.data from unnest($1::uuid[], $2::timestamptz[], $3::bytea[])
               as t(id, at, data) where r.id = t.id and r.at = t.at""",
            [row["id"] for row in rows],
            [row["at"] for row in rows],
            [pack(_event(row)) for row in rows],
        )
    return len(rows)


def _event(row: Row) -> bytes:
    return orjson.dumps(
        {
            "type": row["type"],
            "data": orjson.Fragment(unpack(row["data"])),
            "schema": row["schema_version"],
            "occurred_at": row["occurred_at"].isoformat(),
            "test": row["test"],
            "historical": row["historical"],
            "echo": row["echo"],
        }
    )


async def doubt_the_cut_off(db: Connection, partition: Partition) -> None:
    """An attempt that is as old as its retention and still `sending` will not be heard of: its call is unsure now."""
    await db.execute(
        """with lost as (
             update attempt set state = 'unsure', error = 'its answer never came', ended_at = clock_timestamp()
             where at >= $1 and at < $2 and state = 'sending' returning call_id)
           update call c set unsure = true from lost where c.id = lost.call_id and c.state = 'due'""",
        partition.start,
        partition.end,
    )


_EXPIRED = {
    "delivery": "key in (select key from delivery where expires_at < $1 limit $2 for update skip locked)",
    "once": "key in (select key from once where expires_at < $1 limit $2 for update skip locked)",
    "place": "(key, run_id) in (select key, run_id from place where expires_at < $1 limit $2 for update skip locked)",
    "idempotency": "key in (select key from idempotency where expires_at < $1 limit $2 for update skip locked)",
    "rejected": "id in (select id from rejected where id < $1 order by id limit $2)",
    "backtest": "id in (select id from backtest where id < $1 and ended_at is not null order by id limit $2)",
}
TRIMMED: Sequence[str] = tuple(_EXPIRED)


async def trim(db: Connection, table: str, before: datetime, limit: int = 500) -> int:
    """Forget at most `limit` keys that expired before that moment (of `rejected` and `backtest`: rows made before it);
    answers how many went."""
    bound = first_id(before) if table in ("rejected", "backtest") else before
    status = await db.execute(f"delete from {table} where {_EXPIRED[table]}", bound, limit)
    return int(status.rpartition(" ")[2])
