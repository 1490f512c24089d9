"""Fixtures for all tests. Servers start when the first test asks for them: unit tests never wait."""

import gc
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import redis
import structlog

from app.embedded import Service
from tests.support.journal import Journal, told
from tests.support.secrecy import listen, pytest_runtest_makereport
from tests.support.services import Databases, running_postgres, running_redis

__all__ = ["pytest_runtest_makereport"]

sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # httpx looks for it at each request over ASGI

gc.set_threshold(50_000, 20, 20)  # a look through all that a long run keeps takes a second

structlog.get_config()["processors"][-1].exception_formatter = structlog.dev.plain_traceback
"""The one that tests log with who set up nothing: with every local of every frame a traceback takes seconds to draw."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """The collector rests meanwhile, and need not look again at what was made."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients of the tests' own read one authority instead of all (50 ms each); what the hub calls with reads its own
    list, whatever the environment says."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    (file := tmp_path_factory.mktemp("authorities") / "one.pem").write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """What the developer exported (TRADEWIND_HOME, a real database ...) must not reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TRADEWIND_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _logs_as_set_up() -> Iterator[None]:
    """A command that ran within a test sets up its own logs; the next test's are as they were."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """For a test that bounds CPU time: a look through all that other tests keep takes a second, and is not its own."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def sandbox_journal(_no_settings_from_outside: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """Where every sandbox of this run, in whichever process, writes what it was sent."""
    folder = tmp_path_factory.mktemp("sandboxes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADEWIND_SANDBOX_JOURNAL", str(folder))
        yield Journal(folder)


@pytest.fixture(autouse=True)
def _every_request_is_judged(request: pytest.FixtureRequest, sandbox_journal: Journal) -> Iterator[None]:
    """What any sandbox was sent in a test, and what it answered, fits the vendor's description."""
    yield
    judged = sandbox_journal.judge_new()
    if judged.counts:
        request.node.user_properties.append(("judged", [[*what, number] for what, number in judged.counts.items()]))
    assert judged.wrong == []


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
def databases(postgres_server: Service) -> Iterator[Databases]:
    """The databases of this process; `databases.fresh()` for tests that want several."""
    with pytest.MonkeyPatch.context() as patch:
        listen(patch)
        made = Databases(postgres_server.url)
        yield made
        made.close()


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
    """Print what tests recorded to be read, whichever process they ran in, and what the sandboxes were sent in all."""
    counts: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.getreports("") + terminalreporter.getreports("error"):
        for name, said in getattr(report, "user_properties", ()):
            if name == "judged" and report.when == "teardown":
                counts.update({(slug, what): number for slug, what, number in said})
    if counts:
        terminalreporter.write_line("requests to sandboxes, held against the vendors' descriptions:")
        for line in told(counts):
            terminalreporter.write_line(line)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, said in getattr(report, "user_properties", ()):
            if name == "printed" and report.when == "call":
                terminalreporter.write_line(str(said))
