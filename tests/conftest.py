"""Fixtures for all tests. Servers start when the first test asks for them: unit tests never wait."""

import os
from collections.abc import Iterator

import pytest
import redis

from app.embedded import Service
from tests.support.services import Databases, running_postgres, running_redis


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """What the developer exported (TRADEWIND_HOME, a real database ...) must not reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TRADEWIND_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Service]:
    """A PostgreSQL server for this pytest process. A test that stops or kills it starts one of its own instead."""
    with running_postgres() as service:
        yield service


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Service]:
    """A Redis server for this pytest process."""
    with running_redis() as service:
        yield service


@pytest.fixture(scope="session")
def databases(postgres_server: Service) -> Databases:
    """The databases of this process; `databases.fresh()` for tests that want several."""
    return Databases(postgres_server.url)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """`postgresql://...`: a migrated, empty database of this test's own."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: Service) -> str:
    """`redis://...`: an empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded to be read, whichever process they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, said in getattr(report, "user_properties", ()):
            if name == "printed" and report.when == "call":
                terminalreporter.write_line(str(said))
