"""A server that is away is said once, not every time that it is asked."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import asyncpg
import pytest
import structlog

from app.api.problems import HANDLERS
from app.bells import Bells, Drain
from app.dev import Dev
from app.flow import Flow
from app.logs import Outage, set_up_logging
from app.pipeline.deliver import reads
from app.pipeline.deliver.attempt import Attempt, LaneLostError, Line
from app.pipeline.deliver.attempt import _failed as failed
from app.pipeline.deliver.lane import Lane
from app.pipeline.deliver.record import Ledger
from app.settings import Settings
from app.store.calls import DueCall, Ended, Sending
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


async def test_what_nobody_foresaw_in_redis_does_not_end_the_wake_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    async def run(worker: object) -> None:
        tried.append(1)
        if len(tried) == 3:
            raise asyncio.CancelledError
        raise ExceptionGroup("", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a message of somebody else's")])

    monkeypatch.setattr("app.worker.PushedWorker.async_run", run)
    monkeypatch.setattr("app.worker.asyncio.sleep", AsyncMock())
    with structlog.testing.capture_logs() as said, suppress(asyncio.CancelledError):
        await supervise_arq(Bells("redis://127.0.0.1:9/0", "test"))
    assert len(tried) == 3
    assert len(said) == 1


async def test_a_stage_that_stumbles_says_so_once_until_it_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Exception | None] = [KeyError(), KeyError(), None, KeyError(), asyncpg.ReadOnlySQLTransactionError("")]
    monkeypatch.setattr("app.bells.asyncio.sleep", AsyncMock())

    async def work() -> bool:
        error = met.pop(0)
        if error is not None:
            raise error
        return False

    drain = Drain("run", work)
    with structlog.testing.capture_logs() as said:
        while met:
            await drain._until_nothing_is_due()
    assert [each["event"] for each in said] == ["a stage stumbled; it goes on with the next poll"] * 3


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("another operation is in progress"),
        asyncpg.TooManyConnectionsError(""),
        asyncpg.DiskFullError(""),
        asyncpg.ReadOnlySQLTransactionError(""),
        asyncpg.ConnectionDoesNotExistError(""),
    ],
)
async def test_a_server_in_trouble_is_no_fault_of_ours(error: Exception, tmp_path: Path) -> None:
    """Callers are told to come again, and the screen of `tradewind dev` waits for better times."""
    handler = next(HANDLERS[each] for each in type(error).__mro__ if each in HANDLERS)
    answer = await handler(Mock(), error)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    shown = Dev(Settings(home=tmp_path), demo=False, every=4)

    async def lines() -> list[str]:
        shown.stop.asked = 1
        raise error

    assert await shown._follow(cast(Flow, SimpleNamespace(lines=lines, last=None))) == 0


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


@dataclass
class TroubledLedger:
    """Refuses as told, one after another, and then keeps what comes."""

    refusals: list[Exception]
    kept: list[Ended] = field(default_factory=list)

    async def record(self, ended: Ended) -> bool:
        if self.refusals:
            raise self.refusals.pop(0)
        self.kept.append(ended)
        return True


DONE = Ended(
    *(UUID(int=1), UUID(int=2), UUID(int=3), "main", UUID(int=4), 1, 1, "ok", 200, None, b"{}", 5, "done"),
    *(datetime.now(UTC), 0, False, '{"id": "inv-1"}', None, None, b"k", "done"),
)


@pytest.mark.parametrize(
    ("refusals", "output"),
    [
        ([asyncpg.DiskFullError(""), asyncpg.TooManyConnectionsError("")], '{"id": "inv-1"}'),
        ([asyncpg.ReadOnlySQLTransactionError(""), asyncpg.QueryCanceledError("")], '{"id": "inv-1"}'),
        ([OSError(), asyncpg.DeadlockDetectedError("")], '{"id": "inv-1"}'),
        ([asyncpg.DataError("")], None),
    ],
)
async def test_what_a_call_came_to_outlives_the_trouble_of_the_server(
    refusals: list[Exception], output: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a failover, no room for a connection: the answer waits for the end of that. Only what PostgreSQL
    would never hold is left out."""
    monkeypatch.setattr("app.pipeline.deliver.lane.asyncio.sleep", AsyncMock())
    ledger = TroubledLedger(list(refusals))
    lane = Lane(Mock(), "me", Mock(), Mock(), Mock(), cast(Ledger, ledger), Mock(), AsyncMock())
    await lane._record(DONE)
    assert [ended.output for ended in ledger.kept] == [output]


@pytest.mark.parametrize(
    ("error", "sent", "kind"),
    [
        (ConnectionRefusedError(), False, "retryable"),
        (asyncpg.ReadOnlySQLTransactionError(""), False, "retryable"),
        (asyncpg.ConnectionDoesNotExistError(""), False, "retryable"),
        (asyncpg.AdminShutdownError(""), True, "unsure"),
        (asyncpg.DataError(""), False, "permanent"),
        (KeyError(""), False, "permanent"),
    ],
)
def test_a_call_is_not_given_up_because_postgresql_was_away(error: Exception, sent: bool, kind: str) -> None:
    """It is asked while a call is made: for tokens to be refreshed, and for addresses that are not written to."""
    call = cast(DueCall, SimpleNamespace(action="books.invoice"))
    assert failed(error, Attempt(call, sent=sent), ()).kind == kind


@pytest.mark.parametrize(("error", "raised"), [(asyncpg.DiskFullError(""), LaneLostError), (KeyError(""), KeyError)])
async def test_what_cannot_be_marked_is_not_sent(error: Exception, raised: type[Exception]) -> None:
    ledger = SimpleNamespace(mark=AsyncMock(side_effect=error))
    lane = Lane(Mock(), "me", Mock(), Mock(), Mock(), cast(Ledger, ledger), Mock(), AsyncMock())
    with pytest.raises(raised):
        await lane._mark(cast(Sending, None))


async def test_a_read_is_not_done_without_because_postgresql_was_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's fault: whoever has the lane next makes it again, and no try is counted."""
    monkeypatch.setattr(reads, "_get", AsyncMock(side_effect=asyncpg.ReadOnlySQLTransactionError("")))
    monkeypatch.setattr(reads, "_record", recorded := AsyncMock())
    line = cast(Line, SimpleNamespace(options=SimpleNamespace(timeout=5)))
    waiting = reads.Waiting(UUID(int=1), UUID(int=2), [{"name": "order", "required": True}], 0, {}, {})
    assert await reads.make(line, Mock(), waiting, Mock()) is None
    recorded.assert_not_awaited()
