"""Writes that wait for the commit are written with it: seen by whoever reads, gone with what failed, and no wake-up is
lost by being one of several."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from app.ids import new_id
from app.store import calls, runs
from app.store.database import Database
from app.store.gathered import Gathering, later
from app.store.runs import NewRun

ONE, OTHER = "insert into one select $1::int, $2", "insert into other select n from unnest($1::int[]) as t(n)"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database(database_url, size=3).open()
    async with database.acquire() as db:
        await db.execute("create table one (n int, said text); create table other (n int primary key)")
    yield database
    await database.close()


async def _counts(database: Database) -> tuple[int, int]:
    async with database.acquire() as db:
        row = await db.fetchrow("select (select count(*) from one), (select count(*) from other)")
        return row[0], row[1]


class Counting:
    """Counts the round trips of a real connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.asked: list[str] = []

    async def execute(self, query: str, *args: Any) -> Any:
        self.asked.append(query)
        return await self._connection.execute(query, *args)


async def test_what_is_put_off_is_one_round_trip_and_every_value_reaches_its_statement(database: Database) -> None:
    async with database.acquire() as connection:
        counting: Any = Counting(connection)
        gathering = Gathering(counting)
        await later(gathering, ONE, 7, "seven")
        await later(gathering, OTHER, [1, 2, 3])
        await later(gathering, ONE, 8, "eight")
        await gathering.send()
        assert len(counting.asked) == 1
        assert [tuple(row) for row in await connection.fetch("select * from one order by n")] == [
            (7, "seven"),
            (8, "eight"),
        ]
    assert await _counts(database) == (2, 3)


async def test_who_reads_in_the_transaction_finds_what_was_put_off(database: Database) -> None:
    async with database.transaction() as db:
        await later(db, ONE, 1, "a")
        assert await db.fetchval("select count(*) from one") == 1
        await later(db, OTHER, [1])
    assert await _counts(database) == (1, 1)


async def _twice_the_same(db: Any) -> None:
    await later(db, ONE, 2, "within")
    await later(db, OTHER, [1, 1])


async def _within(db: Any) -> None:
    async with db.transaction():
        await _twice_the_same(db)


async def test_a_part_that_fails_takes_what_it_had_put_off_with_it_and_nothing_else(database: Database) -> None:
    async with database.transaction() as db:
        await later(db, ONE, 1, "before")
        with pytest.raises(asyncpg.UniqueViolationError):
            await _within(db)
        await later(db, OTHER, [5])
    assert await _counts(database) == (1, 1)


async def test_a_part_that_is_given_up_is_not_written_by_what_follows(database: Database) -> None:
    async with database.transaction() as db:
        with suppress(RuntimeError):
            async with db.transaction():
                await later(db, ONE, 3, "within")
                raise RuntimeError
        await later(db, OTHER, [5])
    assert await _counts(database) == (0, 1)


async def test_a_transaction_whose_last_writes_fail_writes_nothing(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as db:
            await _twice_the_same(db)

    with pytest.raises(asyncpg.UniqueViolationError):
        await work()
    assert await _counts(database) == (0, 0)


_ASKED_AT_COMMIT = """
create table said (waits text);
create function say() returns trigger language plpgsql as
    $$ begin insert into said select current_setting('synchronous_commit'); return null; end $$;
create constraint trigger at_commit after insert on one deferrable initially deferred
    for each row execute function say()
"""


async def test_only_a_commit_that_is_not_to_be_flushed_does_not_wait_for_the_disk(database: Database) -> None:
    async with database.acquire() as db:
        await db.execute(_ASKED_AT_COMMIT)
    for flushed, more in ((False, []), (True, []), (False, [1, 2])):
        async with database.transaction(flushed=flushed) as db:
            await later(db, ONE, 1, "a")
            if more:
                await later(db, OTHER, more)
    async with database.acquire() as db:
        assert [row["waits"] for row in await db.fetch("select waits from said")] == ["off", "on", "off"]


async def test_after_a_flush_all_that_was_committed_is_on_disk(database: Database) -> None:
    async with database.transaction(flushed=False) as db:
        await later(db, ONE, 1, "a")
    async with database.acquire() as db:
        written = await db.fetchval("select pg_current_wal_insert_lsn()::text")
        await database.flush()
        assert await db.fetchval("select pg_current_wal_flush_lsn() >= $1::text::pg_lsn", written)


async def test_a_run_that_is_being_moved_is_woken_all_the_same_by_what_ends_meanwhile(database: Database) -> None:
    """Who moves it read the calls before this one ended, and writes that nothing is due; the wake-up comes after."""
    run_id, now = new_id(), datetime.now(UTC)
    run = NewRun(
        run_id, "main", "r", new_id(), new_id(), None, b"s", "object:1", 0, "live", None, None, "running", None, now,
        None,
    )  # fmt: skip
    async with database.transaction() as db:
        await runs.insert(db, [run])
    moving, done = asyncio.Event(), asyncio.Event()

    async def move() -> None:
        async with database.transaction() as db:
            assert await runs.claim(db, now, 10)
            moving.set()
            await done.wait()
            await runs.save(db, [(run_id, "running", None, None, None)])

    async def wake() -> None:
        async with database.transaction() as db:
            await later(db, ONE, 1, "beside it")
            await calls.wake_runs(db, [run_id], now)

    mover = asyncio.create_task(move())
    await moving.wait()
    waker = asyncio.create_task(wake())
    async with database.acquire() as db:
        while not await db.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(mover, waker)
    async with database.acquire() as db:
        assert await db.fetchval("select due_at from run where id = $1", run_id) == now


@pytest.mark.parametrize("statement_cache", [0, 100])
async def test_what_postgresql_said_of_its_types_serves_later_connections(
    database_url: str, statement_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[int]] = []
    introspect = asyncpg.Connection._introspect_types

    async def asking(connection: Any, typeoids: Any, timeout: float) -> Any:
        asked.append(set(typeoids))
        return await introspect(connection, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", asking)
    monkeypatch.setattr("app.store.database._told", {})
    one, now = new_id(), datetime.now(UTC)
    for _ in range(3):
        database = await Database(database_url, statement_cache=statement_cache).open()
        async with database.acquire() as db, db.transaction():
            row = await db.fetchrow(
                "select $1::uuid[] as ids, $2::timestamptz[] as times, $3::jsonb[] as data", [one], [now], [{"a": 1}]
            )
            assert (row["ids"], row["times"], row["data"]) == ([one], [now], [{"a": 1}])
        await database.close()
    assert len(asked) == 1
