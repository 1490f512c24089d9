"""The one door to PostgreSQL: migrations, SQLAlchemy Core for the rest, and asyncpg for the batched hot path.

Nothing here or above it relies on a session (no LISTEN, session locks or SET), so PgBouncer's transaction mode works;
`statement_cache=0` turns prepared-statement caches off for it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.store import partitions, stream
from app.store.gathered import Connection as Connection
from app.store.gathered import Gathering

Row = asyncpg.Record
Condition = Callable[[AsyncConnection], Awaitable[None]]
"""Looks within a transaction whether a change may be made; raises where not."""

AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, TimeoutError)  # fmt: skip
"""What is raised when PostgreSQL is away or goes away in the middle: wait and try again."""
TWICE_LOCKED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Two workers met in opposite order (a merge, a state that only its events name): one begins again."""


def is_away(error: Exception) -> bool:
    """Whether the database is away, and nothing is wrong with the work. (What cannot be encoded for it is.)"""
    return isinstance(error, AWAY) and not isinstance(error, ValueError)


_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


def is_refused(error: Exception) -> bool:
    """Whether something is wrong with the work itself: the database refuses what it holds, or a fault of ours met it.
    Everything else (a full disk, no memory, a statement that took too long, a schema or a partition that is not there)
    is trouble of the server's, which other work would meet as well: wait and try again."""
    if isinstance(error, asyncpg.CheckViolationError):
        return error.constraint_name is not None  # without: no partition takes the row
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, _REFUSED)
    return not is_away(error) and not isinstance(error, asyncpg.InternalClientError)


FLUSH = "select pg_logical_emit_message(true, 'tradewind', '')"
"""Writes next to nothing, and its commit waits for the disk, and with it for all that was committed before."""
_LOOK = "begin isolation level repeatable read, read only; set local plan_cache_mode = force_custom_plan"


class Database:
    """Two pools on one server: `pool` (asyncpg) for the pipeline, `engine` (SQLAlchemy) for everything else."""

    def __init__(self, url: str, *, size: int = 8, statement_cache: int = 200) -> None:
        self.url = url
        self._size = size
        self._cache = statement_cache
        self.pool: asyncpg.Pool | None = None
        self.engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://"),
            pool_size=4,
            max_overflow=8,
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=to_json,
            json_deserializer=orjson.loads,
            connect_args={
                "statement_cache_size": statement_cache,
                "prepared_statement_cache_size": statement_cache,
                "prepared_statement_name_func": None if statement_cache else _nameless,
            },
        )

    async def open(self) -> "Database":
        self.pool = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._size,
            statement_cache_size=self._cache,
            init=_json_codec,
            reset=_nothing_to_reset,
            command_timeout=60,
            max_inactive_connection_lifetime=300,
        )
        return self

    async def close(self) -> None:
        if self.pool is not None:
            self.pool.terminate() if self.pool._closed else await self._close_pool(self.pool)
        await self.engine.dispose()

    async def _close_pool(self, pool: asyncpg.Pool) -> None:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except (TimeoutError, *AWAY):
            pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection outside a transaction: each statement commits by itself."""
        if self.pool is None:
            raise asyncpg.InterfaceError("the database is not open")
        async with self.pool.acquire(timeout=10) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, *, flushed: bool = True) -> AsyncIterator[Connection]:
        """A transaction on the hot path; commits at the end of the block. One that is not `flushed` does not wait for
        the disk: others see it at once, and a crash of PostgreSQL within the next second may take it back, with all
        that was committed after it. For what is then simply done again, and of which nobody outside was told."""
        async with self.acquire() as connection, connection.transaction():
            gathering = Gathering(connection)
            yield gathering
            await gathering.send(last=not flushed)

    async def flush(self) -> None:
        """Wait until all that was committed so far is on disk. (A commit that has written nothing waits for none.)"""
        async with self.acquire() as connection:
            await connection.execute(FLUSH)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Connection]:
        """A transaction that only reads, at one moment, and in which each statement is planned for its own values. What
        people filter by is rare or common: of the one plan that PostgreSQL keeps for all values after the fifth asking,
        a rare one makes a walk through everything."""
        async with self.acquire() as connection:
            await connection.execute(_LOOK)
            try:
                yield connection
            finally:
                await connection.execute("rollback")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A SQLAlchemy transaction; commits at the end of the block."""
        async with self.engine.begin() as connection:
            yield connection

    async def now(self) -> datetime:
        async with self.acquire() as connection:
            now: datetime = await connection.fetchval("select clock_timestamp()")
            return now


def _nameless() -> str:
    """Behind a pooler two processes may meet on one server connection: a statement of a name could be the other's."""
    return ""


async def _nothing_to_reset(connection: Any) -> None:
    """No statement of ours leaves anything in its session (a pooler between would break it), so that what asyncpg
    would run whenever a connection is given back is saved: a round trip for each acquisition."""


async def _json_codec(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_as_text, decoder=orjson.loads, format="text")


def _as_text(value: Any) -> str:
    """jsonb parameters are JSON text already (str), or plain data that is dumped here."""
    return value if isinstance(value, str) else to_json(value)


def to_json(value: Any) -> str:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def migrate(url: str) -> None:
    """Bring the database to the newest schema, with partitions made for now and ahead. Any number of processes may
    call it at once. Blocks; usable with or without a running event loop."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_migrate(url))
        except BaseException as e:
            failure.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


async def _migrate(url: str) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(7201944)"))
            await connection.run_sync(_upgrade)
        async with engine.begin() as connection:
            await partitions.make_ahead(connection)
        async with engine.begin() as connection:
            await stream.carry_on(connection)
    finally:
        await engine.dispose()


_MIGRATIONS = Path(__file__).parent / "migrations"


def _upgrade(connection: SyncConnection) -> None:
    if _is_newest(connection):
        return  # Alembic takes half a second to say so
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_newest(connection: SyncConnection) -> bool:
    """Whether the schema stands at the last migration; their files are named by number, in one line."""
    if connection.execute(text("select to_regclass('alembic_version')")).scalar() is None:
        return False
    stands = connection.execute(text("select version_num from alembic_version")).scalars().all()
    return stands == [max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))]
