"""The newest schema, with partitions made for now and ahead."""

import asyncio
import threading
from pathlib import Path

import asyncpg
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.errors import ConfigError
from app.store import partitions, stream
from app.store.database import DRIVER

_MIGRATIONS = Path(__file__).parent / "migrations"


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
    engine = create_async_engine(DRIVER, connect_args={"dsn": url}, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(7201944)"))
            await connection.run_sync(_upgrade)
        await _make_partitions(url)
        async with engine.begin() as connection:
            await stream.carry_on(connection)
    finally:
        await engine.dispose()


def _upgrade(connection: SyncConnection) -> None:
    stands = _stands(connection)
    if stands == [newest()]:
        return  # Alembic takes half a second to say so
    if foreign := [each for each in stands if each not in revisions()]:
        raise ConfigError(f"{newer(foreign[0])} {DOWN}")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _stands(connection: SyncConnection) -> list[str]:
    """Where the schema stands; nowhere in a new database."""
    if connection.execute(text("select to_regclass('alembic_version')")).scalar() is None:
        return []
    return list(connection.execute(text("select version_num from alembic_version")).scalars())


def revisions() -> list[str]:
    """The migrations of this program: their files are named by number, in one line."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def newest() -> str:
    return revisions()[-1]


def newer(found: str) -> str:
    """A sentence about a schema that this program does not know."""
    return f"the database is at {found}, made by a newer Tradewind; this one knows up to {newest()}."


DOWN = "Run the newer one, or bring back the copy of the database from before it."


async def _make_partitions(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await partitions.make_ahead(connection)
    finally:
        await connection.close()
