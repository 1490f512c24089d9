"""A million runs that wait cost nothing but rows: what is due, and who waits for an event, is found by an index."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import orjson
import pytest

from app.ids import new_id
from app.store import runs, waiters

MILLION = 1_000_000 if os.environ.get("CI") else 50_000  # filling a million takes half a minute
NTH = "lpad(to_hex(n), 32, '0')::uuid"
FILL = [
    f"""insert into run (id, at, workspace, recipe, version_id, event_id, subject, state, due_at)
        select {NTH}, $1::timestamptz, 'main', 'welcome', {NTH}, {NTH}, '\\x00', 'waiting',
          $1::timestamptz + make_interval(mins => n)
        from generate_series(1, $2) as t(n)""",
    f"""insert into waiter (id, workspace, event_type, path, value, run_id)
        select {NTH}, 'main', case when n <= $2 / 2 then 'order.created' else 'review.received' end,
          case when n % 2 = 0 then 'order.customer.email' else 'order.checkout_id' end,
          decode(lpad(to_hex(n), 32, '0'), 'hex'), {NTH}
        from generate_series(1, $2) as t(n)""",
]


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
    await db.execute(FILL[0], now, MILLION)
    await db.execute(FILL[1].replace("$2", str(MILLION)))
    await db.execute("analyze run, waiter, event, timer")

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


def buffers(shown: str) -> int:
    """Pages that the whole plan touched, by its first line of buffers."""
    line = next(line for line in shown.splitlines() if "Buffers:" in line)
    return sum(int(part.partition("=")[2]) for part in line.split() if part.partition("=")[0] in ("hit", "read"))
