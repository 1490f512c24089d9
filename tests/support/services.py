"""Real PostgreSQL and Redis for tests: one server of each for a pytest process, a fresh database for a test.

A database is a copy of a migrated template (40 ms of CPU in memory, up to 600 on a busy disk), so that no test sees
another's rows and tests may end the server's connections, drop tables or fill partitions as they like. A test that
needs a server of its own starts it on a copy of a migrated data folder: making and migrating one costs seconds.
"""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TypeVar

import asyncpg
import psutil

from app.embedded import Service, free_port, start_postgres, start_redis
from tests.support.secrecy import search_tables

__all__ = ["Databases", "apart", "execute", "free_port", "running_postgres", "running_redis", "temporary_home"]

T = TypeVar("T")

QUICK = {
    "fsync": "off",  # a killed server keeps what it wrote; only a power cut would not
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "60s",
    "plan_cache_mode": "force_generic_plan",  # hardly a connection lives for the five askings before PostgreSQL's own
}


MEMORY = Path("/dev/shm")
ENOUGH = 6 * 2**30
"""Bytes of memory that must be free before data folders are put there."""


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for servers' data, removed at the end; short enough for any path limit."""
    home = _new_home()
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _new_home() -> Path:
    return Path(tempfile.mkdtemp(prefix=f"tradewind-{os.getpid()}-", dir=_folder()))


@cache
def _folder() -> Path | None:
    """Memory where there is enough of it, else the usual place. What killed test runs left in memory is removed."""
    if not os.access(MEMORY, os.W_OK):
        return None
    for left in MEMORY.glob("tradewind-[0-9]*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    return MEMORY if free > ENOUGH else None


def migrated_postgres(home: Path) -> Service:
    """Start a server under `home` whose database `tradewind` is empty and has the newest schema."""
    shutil.copytree(_migrated(), home / "postgres")
    return start_postgres(home, options=QUICK)


@cache
def _migrated() -> Path:
    """The data folder that others are copied from, made once for this process and removed at its end."""
    from app.store.migrating import migrate

    home = _new_home()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    service = start_postgres(home, options=QUICK)
    try:
        apart(lambda: migrate(service.url))
    finally:
        service.stop()
    return home / "postgres"


@contextmanager
def running_postgres() -> Iterator[Service]:
    with temporary_home() as home:
        service = migrated_postgres(home)
        try:
            yield service
        finally:
            service.stop()


@contextmanager
def running_redis() -> Iterator[Service]:
    with temporary_home() as home:
        service = start_redis(home)
        try:
            yield service
        finally:
            service.stop()


class Databases:
    """Makes and drops the databases of one server of `running_postgres`, over one connection in a thread of its own: a
    connection costs a fork of the server's, and each test needs two statements."""

    def __init__(self, server_url: str) -> None:
        self._server_url = f"{server_url.rpartition('/')[0]}/postgres"
        self._names = (f"test_{n}" for n in count(1))
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.Runner()
        self._connection: asyncpg.Connection | None = None

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The address of a migrated, empty database; dropped at the end, whoever is still connected."""
        name = next(self._names)
        self._statement(f"create database {name} template tradewind strategy file_copy")
        try:
            yield self._url(name)
            apart(lambda: search_tables(self._url(name)))
        finally:
            self._statement(f"drop database if exists {name} with (force)")

    def close(self) -> None:
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()

    def _url(self, name: str) -> str:
        return f"{self._server_url.rpartition('/')[0]}/{name}"

    def _statement(self, statement: str) -> None:
        self._thread.submit(lambda: self._loop.run(self._execute(statement))).result()

    async def _execute(self, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._server_url)
        await self._connection.execute(statement)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def apart(work: Callable[[], T]) -> T:
    """Do `work` in a thread of its own, so that it may run an event loop whatever runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
