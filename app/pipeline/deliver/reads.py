"""The API reads that webhooks wait for before they are normalised: made in their connection's lane, by its rules.

A read is a timer row. Whoever takes one has it for `LEASE`, so that a crash only delays it. What was read is kept with
the webhook, which is then due again. An optional read is given up after `TRIES`, and the webhook says why; a required
one is tried for as long as its failure may pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import structlog

from app.errors import CredentialError, RetryableError, TradewindError, UnsureError
from app.ids import time_of
from app.pipeline.deliver.attempt import Attempt, LaneHttp, LaneLostError, Line
from app.pipeline.deliver.outcome import Failed, Ok
from app.store import deadlines
from app.store.database import IN_TROUBLE, Database

log = structlog.get_logger()

LEASE = timedelta(seconds=60)
TRIES = 6
"""Tries of a read that the event can do without: about a minute in all."""
LONGEST_WAIT = 600.0
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a webhook waits for. read: {name: JSON} so far; unread: {name: why it was given up}."""

    timer_id: UUID
    webhook_id: UUID
    wanted: list[dict[str, Any]]
    tries: int
    read: dict[str, Any]
    unread: dict[str, str]

    @property
    def webhook(self) -> tuple[UUID, datetime]:
        return self.webhook_id, time_of(self.webhook_id)

    def dump(self) -> Mapping[str, Any]:
        return {
            "webhook_id": str(self.webhook_id),
            "wanted": self.wanted,
            "tries": self.tries + 1,
            "read": self.read,
            "unread": self.unread,
        }


async def claim(database: Database, connection_id: UUID, now: datetime) -> list[Waiting]:
    """Take some due reads of a connection."""
    async with database.acquire() as db:
        rows = await deadlines.claim_reads(db, connection_id, now, now + LEASE, AT_ONCE)
    return [_waiting(row["id"], row["data"]) for row in rows]


def _waiting(timer_id: UUID, data: Mapping[str, Any]) -> Waiting:
    return Waiting(
        timer_id,
        UUID(data["webhook_id"]),
        data["wanted"],
        int(data["tries"]),
        dict(data.get("read", {})),
        dict(data.get("unread", {})),
    )


async def make(line: Line, database: Database, waiting: Waiting, done: Callable[[], None]) -> Ok | Failed | None:
    """Make a webhook's reads and record them; `done` rings when it is due again. Answers what the lane learns from it:
    None when nothing."""
    outcome: Ok | Failed | None = None
    failures: dict[str, Exception] = {}
    for want in waiting.wanted:
        name = want["name"]
        if name in waiting.read or name in waiting.unread:
            continue
        try:
            async with asyncio.timeout(line.options.timeout * 2):
                waiting.read[name] = await _get(line, want)
            outcome = Ok("null")
        except (LaneLostError, *IN_TROUBLE) as e:
            if not isinstance(e, TimeoutError):
                return None  # nobody's fault: somebody reads it again when this lease is over
            failures[name], outcome = e, _failed(e)
        except Exception as e:
            if not isinstance(e, TradewindError):
                log.exception("a read failed unexpectedly", connection=line.connection.slug, read=name)
            failures[name], outcome = e, _failed(e)
    await _persistently(lambda: _record(line, database, waiting, failures, done))
    return outcome


async def _get(line: Line, want: Mapping[str, Any]) -> Any:
    http = LaneHttp(line, Attempt(cast(Any, None)))  # a read changes nothing: it is never marked as a call's attempt
    params, headers = want["params"] or None, want.get("headers") or None
    return (await http.request("GET", want["path"], params=params, headers=headers)).json()


def _failed(error: Exception) -> Failed:
    status, wait = getattr(error, "status", None), getattr(error, "retry_after", None)
    match error:
        case CredentialError():
            kind = "credential"
        case RetryableError() | UnsureError() | TimeoutError():
            kind = "throttled" if status == 429 else "retryable"
        case _:
            kind = "permanent"
    return Failed(kind, str(error)[:500] or type(error).__name__, wait, status)  # type: ignore[arg-type]


async def _record(
    line: Line, database: Database, waiting: Waiting, failures: Mapping[str, Exception], done: Callable[[], None]
) -> None:
    last = waiting.tries + 1 >= TRIES
    for want in waiting.wanted:
        error = failures.get(want["name"])
        if error is not None and _given_up(error, last, bool(want["required"])):
            waiting.unread[want["name"]] = str(error)[:300] or type(error).__name__
    left = [name for name in failures if name not in waiting.unread]
    async with database.transaction() as db:
        if not left:
            reads = {"read": waiting.read, "unread": waiting.unread}
            await deadlines.hand_over(db, waiting.timer_id, waiting.webhook, reads)
        else:
            error = failures[left[0]]
            why = f"waits for {', '.join(left)}: {str(error)[:300] or type(error).__name__}"
            due_at = line.now() + _wait(waiting.tries, error)
            await deadlines.try_later(db, waiting.timer_id, due_at, waiting.dump(), waiting.webhook, why)
    if not left:
        done()


def _given_up(error: Exception, last: bool, required: bool) -> bool:
    """Whether to do without. A refusal may still pass (what a webhook names may not be readable yet)."""
    may_pass = isinstance(error, RetryableError | UnsureError | TimeoutError | CredentialError)
    return last and not (required and may_pass)


def _wait(tries: int, error: Exception) -> timedelta:
    told = error.retry_after if isinstance(error, RetryableError) else None
    return timedelta(seconds=min(LONGEST_WAIT, told or 2.0 ** min(tries, 10)))


async def _persistently(record: Callable[[], Awaitable[None]]) -> None:
    try:
        await record()
    except IN_TROUBLE as e:
        log.warning("what was read could not be kept; it will be read again", error=type(e).__name__)
