"""What processes that start at once do one after another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from app.store.database import Database

_STARTING = 7201948


@asynccontextmanager
async def one_at_a_time(database: Database) -> AsyncIterator[None]:
    """Hold off other processes that are filling the database from files, until the end of the block."""
    async with database.begin() as db:
        await db.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _STARTING})
        yield
