"""The migrations make what `app/store/tables.py` declares, partitions included, however many processes run them."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.embedded import Service
from app.store import partitions
from app.store.kinds import PARTITIONED
from app.store.migrating import migrate
from app.store.tables import metadata
from tests.support.services import execute


async def test_tables_and_migrations_agree(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))

    def differences(connection: Connection) -> list[object]:
        def ours(name: str | None, kind: str, parents: object) -> bool:
            made = any((name or "").startswith(f"{table}_2") for table in PARTITIONED)
            return kind != "table" or (name != "alembic_version" and not made)

        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        return [difference for difference in compare_metadata(context, metadata) if difference]

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert not found, found


def test_processes_that_migrate_at_once_do_not_quarrel_and_make_partitions_ahead(postgres_server: Service) -> None:
    url = postgres_server.url.rsplit("/", 1)[0] + "/migrated_by_many"
    asyncio.run(execute(postgres_server.url, "create database migrated_by_many"))
    began = datetime.now(UTC)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(migrate, url) for _ in range(4)]:
            done.result()
    rows = asyncio.run(_fetch(url, "select relname from pg_class where relkind = 'r' and relispartition"))
    names = {row["relname"] for row in rows}  # type: ignore[index]
    ended = datetime.now(UTC)
    assert any(_partitions_at(moment) <= names for moment in (began, ended)), "partitions for now and ahead"


def _partitions_at(now: datetime) -> set[str]:
    return {partitions.partition_name(t, start) for t in PARTITIONED for start, _ in partitions.periods(t, now)}


async def _fetch(url: str, query: str) -> list[object]:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


def test_a_command_on_a_database_without_tables_says_what_to_run(
    postgres_server: Service, redis_server: Service, tmp_path: Path
) -> None:
    asyncio.run(execute(postgres_server.url, "create database without_tables"))
    servers = {
        "TRADEWIND_HOME": str(tmp_path),
        "TRADEWIND_DATABASE_URL": postgres_server.url.rsplit("/", 1)[0] + "/without_tables",
        "TRADEWIND_REDIS_URL": redis_server.url,
    }
    for words in (["runs"], ["serve", "--no-prepare"]):
        command = [sys.executable, "-m", "app.cli", *words]
        done = subprocess.run(command, env=os.environ | servers, capture_output=True, text=True, check=False)
        assert (done.returncode, "tradewind migrate" in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
