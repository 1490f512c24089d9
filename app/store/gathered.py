"""Writes that nothing of their transaction waits for, sent together: one round trip instead of one for each."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Protocol


class Connection(Protocol):
    """An asyncpg connection, as much of it as the stores use; values are what PostgreSQL's types map to."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def execute(self, query: str, *args: Any) -> str: ...

    async def executemany(self, command: str, args: Any) -> None: ...

    def transaction(self) -> Any: ...


async def later(connection: Connection, query: str, *args: Any) -> None:
    """Run a statement that answers nothing before the next one that does, at the latest with the commit. Only for what
    touches other rows than the statements that are gathered beside it: they all see the tables as they were."""
    if isinstance(connection, Gathering):
        connection.gather(query, args)
    else:
        await connection.execute(query, *args)


class Gathering:
    """A connection inside its transaction. What is put off is sent before anything else is asked, so that whoever reads
    finds it written."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gathered: list[tuple[str, tuple[Any, ...]]] = []

    def gather(self, query: str, args: tuple[Any, ...]) -> None:
        self._gathered.append((query, args))

    async def send(self, *, last: bool = False) -> None:
        """Run what was put off, as one statement. `last`: it is the transaction's, whose commit waits for no disk."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            counts = tuple((query, len(args)) for query, args in gathered)
            together = _together(counts, UNFLUSHED if last else None)
            await self._connection.execute(together, *(each for _, args in gathered for each in args))

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        await self.send()
        return await self._connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        await self.send()
        return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        await self.send()
        return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        await self.send()
        return await self._connection.execute(query, *args)

    async def executemany(self, command: str, args: Any) -> None:
        await self.send()
        await self._connection.executemany(command, args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A part that may fail alone (a savepoint). What was put off in it is written in it, and fails with it."""
        await self.send()
        async with self._connection.transaction():
            try:
                yield
            except BaseException:
                self._gathered.clear()
                raise
            await self.send()


UNFLUSHED = "select set_config('synchronous_commit', 'off', true)"
"""Lets the commit of this transaction not wait for the disk."""
_PARAMETER = re.compile(r"\$(\d+)")


@lru_cache(maxsize=256)
def _together(statements: tuple[tuple[str, int], ...], beside: str | None) -> str:
    """Statements, each with the number of its parameters, as one, with a question beside them; a single one that has
    none beside it stays as it is."""
    if len(statements) == 1 and beside is None:
        return statements[0][0]
    parts, before = [], 0
    for number, (query, count) in enumerate(statements):
        shifted = _PARAMETER.sub(lambda found, by=before: f"${int(found[1]) + by}", query)  # type: ignore[misc]
        parts.append(f"w{number} as (\n{shifted.strip()}\n)")
        before += count
    return f"with {', '.join(parts)}\n{beside or 'select 1'}"
