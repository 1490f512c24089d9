"""The one door to PostgreSQL: asyncpg for what servers do, SQLAlchemy Core for what people and files change.

Nothing here or above it relies on a session (no LISTEN, session locks or SET), so PgBouncer's transaction mode works;
`statement_cache=0` turns prepared-statement caches off for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from app.store.gathered import Connection as Connection
from app.store.gathered import Gathering

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Row = asyncpg.Record
Condition = Callable[["AsyncConnection"], Awaitable[None]]
"""Looks within a transaction whether a change may be made; raises where not."""

AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.InternalClientError, TimeoutError)  # fmt: skip
"""What is raised when PostgreSQL is away or goes away in the middle (asyncpg may find its own state torn then): wait
and try again."""
IN_TROUBLE = (*AWAY, asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
"""And when it is there, but has no room (disk, memory, connections) or takes no writes (a failover)."""
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
    return not is_away(error)


async def batch_or_each(batch: Callable[[], Awaitable[bool]], each: Callable[[], Awaitable[bool]]) -> bool:
    """Work a batch, or where it fails for one of its parts, each of them alone. True when there may be more."""
    try:
        try:
            return await batch()
        except Exception as e:
            if not is_refused(e):
                raise
            return await each()
    except TWICE_LOCKED:
        return True


DRIVER = "postgresql+asyncpg://"
"""SQLAlchemy's engines get the address as `dsn`: asyncpg alone reads it, `sslmode` and all, as it does for the pool."""

FLUSH = "select pg_logical_emit_message(true, 'tradewind', '')"
"""Writes next to nothing, and its commit waits for the disk, and with it for all that was committed before."""
_LOOK = "begin isolation level repeatable read, read only; set local plan_cache_mode = force_custom_plan"


_OWN_TYPES = 16_384
"""PostgreSQL numbers its own types below this, the same in every database."""
_told: dict[int, list[Any]] = {}
"""The number of such a type -> what PostgreSQL told when it was asked about it."""


class _Linked(asyncpg.Connection):  # type: ignore[misc]
    """A connection that knows what others of this process were told of PostgreSQL's own types (of the arrays that our
    statements take). Each would ask anew, and the question costs as much as to connect."""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> tuple[list[Any], Any]:
        """Their types, and the statement that asked (asyncpg wants to know whether it had a name)."""
        asked = set(typeoids)
        new = asked - _told.keys()
        kept = [row for oid in asked - new for row in _told[oid]]
        if not new:
            return kept, SimpleNamespace(name="none was asked")
        rows, statement = await super()._introspect_types(new, timeout)
        _told.update((oid, rows) for oid in new if oid < _OWN_TYPES)
        return kept + rows, statement


class Database:
    """Two pools on one server: `pool` (asyncpg) for the pipeline, `engine` (SQLAlchemy) for everything else."""

    def __init__(self, url: str, *, size: int = 8, statement_cache: int = 200) -> None:
        self.url = url
        self._size = size
        self._cache = statement_cache
        self.pool: asyncpg.Pool | None = None

    @cached_property
    def engine(self) -> "AsyncEngine":
        """Made when it is first used: a worker never does, and saves 15 MB by that."""
        from sqlalchemy.ext.asyncio import create_async_engine

        return create_async_engine(
            DRIVER,
            pool_size=4,
            max_overflow=8,
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=to_json,
            json_deserializer=orjson.loads,
            connect_args={
                "dsn": self.url,
                "connection_class": _Linked,
                "statement_cache_size": self._cache,
                "prepared_statement_cache_size": self._cache,
                "prepared_statement_name_func": None if self._cache else _nameless,
            },
        )

    async def open(self) -> "Database":
        self.pool = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._size,
            statement_cache_size=self._cache,
            connection_class=_Linked,
            init=_json_codec,
            reset=_nothing_to_reset,
            command_timeout=60,
            max_inactive_connection_lifetime=300,
        )
        return self

    async def close(self) -> None:
        if self.pool is not None:
            self.pool.terminate() if self.pool._closed else await self._close_pool(self.pool)
        if "engine" in self.__dict__:
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
    async def begin(self) -> AsyncIterator["AsyncConnection"]:
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
