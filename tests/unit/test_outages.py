"""A server that is away is said once, not every time that it is asked."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import structlog

from app.bells import Bells
from app.logs import Outage, set_up_logging
from app.settings import Settings
from app.worker import supervise_arq


def test_an_outage_is_said_once_and_so_is_its_end() -> None:
    outage = Outage("PostgreSQL", "work waits")
    with structlog.testing.capture_logs() as said:
        outage.met()
        for _ in range(3):
            outage.missed(OSError())
        outage.met()
        outage.met()
        outage.missed(TimeoutError())
    assert [each["event"] for each in said] == [
        "PostgreSQL is away; work waits",
        "PostgreSQL is back",
        "PostgreSQL is away; work waits",
    ]


async def test_a_worker_without_redis_says_so_once() -> None:
    bells = Bells("redis://127.0.0.1:9/0", "test")
    with structlog.testing.capture_logs() as said, suppress(TimeoutError):
        async with asyncio.timeout(1.3):
            await supervise_arq(bells)
    await bells.close()
    assert [each["event"] for each in said] == ["Redis is away; work is found by polling"]


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


def test_the_pool_does_not_tell_of_each_try(logging_as_it_was: None) -> None:
    set_up_logging(Settings())
    assert not logging.getLogger("asyncpg.pool").isEnabledFor(logging.WARNING)
