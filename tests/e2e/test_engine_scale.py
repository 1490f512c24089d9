"""A million runs that wait cost nothing but rows: what is due, and who waits for an event, is found by an index."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
import pytest

from app.ids import new_id
from app.store import calls, lanes, runs, waiters
from app.store.calls import DueCall, NewCall
from app.store.database import Database

MILLION = 1_000_000 if os.environ.get("CI") else 50_000
RUNS = """insert into filled (id, at, workspace, recipe, version_id, event_id, subject, state, due_at)
    select id, $1::timestamptz, 'main', 'welcome', id, id, '\\x00', 'waiting',
      $1::timestamptz + make_interval(mins => n)
    from (select n, lpad(to_hex(n), 32, '0')::uuid as id from generate_series(1, $2) as t(n) offset 0) as numbered"""
WOKEN = """insert into run (id, at, workspace, recipe, version_id, event_id, subject, state, due_at)
    select id, $1::timestamptz, 'main', case when n = $2 then 'new' else 'woken' end, id, id, '\\x00', 'waiting',
      $1::timestamptz - make_interval(secs => case when n = $2 then 1 else 5 end)
    from (select n, lpad(to_hex(n), 32, '0')::uuid as id from generate_series(1, $2) as t(n)) as numbered"""
WAITERS = """insert into waiter (id, workspace, event_type, path, value, run_id)
    select id, 'main', case get_byte(uuid_send(id), 14) % 2 when 0 then 'order.created' else 'review.received' end,
      case get_byte(uuid_send(id), 15) % 2 when 0 then 'order.customer.email' else 'order.checkout_id' end,
      uuid_send(id), id
    from run"""


async def fill(db: asyncpg.Connection, now: datetime) -> None:
    """A million waiting runs and their waiters, each index made after its rows: a tenth of the work, the same index."""
    part = f"run_{now:%Y%m}01"
    bound = await db.fetchval("select pg_get_expr(relpartbound, oid) from pg_class where relname = $1", part)
    indexes = await db.fetch(
        "select indexname, indexdef from pg_indexes where tablename = 'waiter' and indexdef not like '%UNIQUE%'"
    )
    await db.execute("set maintenance_work_mem = '256MB'")
    await db.execute(f"create table filled (like {part} including defaults including constraints)")
    await db.execute(RUNS, now, MILLION)
    await db.execute(f"alter table run detach partition {part}; drop table {part}; alter table filled rename to {part}")
    await db.execute(f"alter table run attach partition {part} {bound}")
    await db.execute("; ".join(f"drop index {row['indexname']}" for row in indexes))
    await db.execute(WAITERS)
    await db.execute("; ".join(row["indexdef"] for row in indexes))
    await db.execute("analyze run, waiter, event, timer")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)
    try:
        yield connection
    finally:
        await connection.close()


async def plan(db: asyncpg.Connection, query: str, *args: object) -> str:
    """The plan of a query as it was carried out, with what it touched."""
    rows = await db.fetch(f"explain (analyze, buffers, costs off, timing off) {query}", *args)
    return "\n".join(row[0] for row in rows)


async def test_among_a_million_waiting_runs_what_is_due_is_found_by_an_index(db: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    await fill(db, now)

    due = await plan(db, runs.CLAIM, now, 200)
    assert "Index Scan using" in due, due
    assert f"Seq Scan on run_{now:%Y%m}01" not in due, due
    assert buffers(due) < 500, due

    probe = (new_id(), "main", "order.created", "order.customer.email", b"\0" * 16)
    columns = [[value] for value in probe]
    found = await plan(db, waiters.FIND, *columns)
    assert "waiter_by_value" in found, found
    assert buffers(found) < 20, found

    paths = await waiters.paths(db, [("main", "order.created"), ("main", "order.paid")])
    assert paths == {("main", "order.created"): ["order.checkout_id", "order.customer.email"]}
    walked = await plan(db, waiters.PATHS, ["main"], ["order.created"])
    assert "Seq Scan on waiter" not in walked, walked
    assert buffers(walked) < 100, walked
    assert await waiters.types(db) == {("main", "order.created"), ("main", "review.received")}


async def test_waits_that_end_at_one_moment_hold_no_new_order_up(database_url: str) -> None:
    """Thousands of woken runs and some new orders: their calls take turns in a lane, and so do their runs."""
    database = await Database(database_url, size=2).open()
    lane, now = new_id(), datetime.now(UTC)

    def call(note: str, late: bool, priority: int = 0) -> NewCall:
        made = new_id()
        return NewCall(made, "main", lane, new_id(), new_id(), "recipe", note, None, "testbench.x", made.bytes,
                       made.bytes, b"", "{}", priority, late, "due", now - timedelta(seconds=1))  # fmt: skip

    async with database.transaction() as db:
        await lanes.make(db, [(lane, "main")])
        await calls.insert(db, [call(f"woken {n}", True) for n in range(3000)])
        await calls.insert(db, [call(f"new {n}", False) for n in range(12)])
        await calls.insert(db, [call("urgent", True, 100)])
        await db.execute(WOKEN, now, 300)
    async with database.acquire() as db:
        await db.execute("analyze call, run")
        held = await lanes.acquire(db, lane, "worker")
        assert held is not None

        async def claim(limit: int) -> list[DueCall]:
            return await calls.claim(db, held, now, limit)

        first = [each.path for each in await claim(9)]
        assert first == ["urgent", *(f"{kind} {n}" for n in range(4) for kind in ("woken", "new"))]
        rest = [each.path for each in await claim(20)]
        assert rest[:16] == [f"{kind} {n}" for n in range(4, 12) for kind in ("woken", "new")]
        assert rest[16:] == [f"woken {n}" for n in range(12, 16)]  # where nobody else waits, they have all the room
        shown = await plan(db, calls._CLAIM, lane, "worker", held.fence, now, 20, False)
        assert buffers(shown) < 1000, shown
    async with database.transaction() as db:
        assert {run.recipe for run in await runs.claim(db, now, 100)} == {"woken"}
        newest = await runs.claim(db, now, 100, newest=True)
        assert [run.recipe for run in newest[-2:]] == ["woken", "new"]
    await database.close()


def buffers(shown: str) -> int:
    """Pages that the whole plan touched, by its first line of buffers."""
    line = next(line for line in shown.splitlines() if "Buffers:" in line)
    return sum(int(part.partition("=")[2]) for part in line.split() if part.partition("=")[0] in ("hit", "read"))
