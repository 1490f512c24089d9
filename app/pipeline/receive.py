"""Stage 1: prove who sent a webhook and keep it, durable before the answer; concurrent requests share commits."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from app.connector import Answer, RawWebhook, Source
from app.crypto import Hasher
from app.domain.connections import Connection
from app.errors import MalformedError, UnavailableError
from app.ids import new_id
from app.store import webhooks
from app.store.database import AWAY, FLUSH, Database
from app.store.packing import pack
from app.store.shared import Shared
from app.store.webhooks import NewWebhook

Kept = Literal["new", "duplicate"]

COMMITS_AT_ONCE = 2
SMALL = 4
"""Webhooks of a batch whose work begins before it is on disk."""
BATCH = 500
WAITING_AT_MOST = 20_000
STORED_WITHIN = 2.4
"""Seconds; who asks meanwhile may have to wait for one more such span, and senders give five seconds."""
_UNKEPT_HEADERS = {"authorization", "cookie", "proxy-authorization"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a sender: a handshake's, or 200."""

    answer: Answer
    kept: Kept | None


async def receive(
    connection: Connection,
    headers: Sequence[tuple[str, str]],
    query: Mapping[str, str],
    body: bytes,
    received_at: datetime,
    *,
    intake: "Intake",
    hasher: Hasher,
    admit: Callable[[Connection], None] = lambda connection: None,
) -> Accepted:
    """Verify, identify and keep one webhook. Raises RejectedError with the status that the sender gets. `admit` may
    raise it for a connection that sends too fast: only what has proven itself counts, so nobody else can use up a
    shop's share."""
    source: Source[Any] = connection.source
    raw = RawWebhook(body, dict(headers), query, received_at)
    if source.handshake is not None and (answer := source.handshake(raw, connection.settings)) is not None:
        return Accepted(answer, None)
    source.signature.verify(raw, connection.settings, received_at)
    admit(connection)
    kept = await intake.keep(prepare(connection, source, raw, headers, hasher))
    return Accepted(Answer(200), kept)


def prepare(
    connection: Connection, source: Source[Any], raw: RawWebhook, headers: Sequence[tuple[str, str]], hasher: Hasher
) -> NewWebhook:
    """The row of a webhook that has proven itself. A sender whose identity cannot be read still has its say kept."""
    try:
        receipt = source.identify(raw, connection.settings)
        topic, key, window = receipt.topic, receipt.delivery_key, receipt.window
        test, ignored, problem, always_new = receipt.test, receipt.ignored, None, receipt.always_new
    except MalformedError as e:
        topic, key, window, test, ignored, problem, always_new = "", None, None, False, None, str(e), False
    return NewWebhook(
        id=new_id(),
        workspace=connection.workspace,
        connection_id=connection.id,
        topic=clean(topic)[:200],
        headers=webhooks.pack_headers([(name, clean(value)) for name, value in headers if name not in _UNKEPT_HEADERS]),
        body=pack(raw.body),
        size=len(raw.body),
        key=None if key is None else hasher("delivery", connection.id.bytes, key),
        expires_at=None if window is None else raw.received_at + window,
        test=test,
        state="malformed" if problem else "ignored" if ignored else "due",
        reason=problem or ignored,
        always_new=always_new,
    )


def clean(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


class Intake:
    """The group commit in front of the webhook table."""

    def __init__(self, database: Database, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._given_up: set[asyncio.Task[set[UUID]]] = set()
        self._commit: Shared[NewWebhook, Kept] = Shared(self._store, most=BATCH, at_once=COMMITS_AT_ONCE)

    async def keep(self, row: NewWebhook) -> Kept:
        """Answers after the commit that holds the row. Raises UnavailableError while PostgreSQL is away."""
        if self._commit.waiting >= WAITING_AT_MOST:
            raise UnavailableError("too many webhooks are waiting to be stored")
        try:
            return await self._commit(row)
        except AWAY as e:
            raise UnavailableError(f"PostgreSQL is away: {type(e).__name__}") from e
        except asyncpg.PostgresError as e:
            raise UnavailableError(f"the webhook could not be stored: {type(e).__name__}") from e

    async def drain(self) -> None:
        """Wait until nothing is waiting (before a clean stop)."""
        await self._commit.settle()

    async def _store(self, batch: list[NewWebhook]) -> list[Kept]:
        """Raises TimeoutError where PostgreSQL hangs: senders wait for five seconds. (Should it store the batch after
        all, the senders' next tries are redeliveries.)"""
        writing = asyncio.create_task(self._write(batch))
        await asyncio.wait({writing}, timeout=STORED_WITHIN)
        if not writing.done():
            writing.cancel()  # its connection is given up in its own time
            self._given_up.add(writing)
            writing.add_done_callback(self._given_up.discard)
            raise TimeoutError("PostgreSQL does not answer")
        stored = writing.result()
        return ["new" if row.id in stored else "duplicate" for row in batch]

    async def _write(self, batch: list[NewWebhook]) -> set[UUID]:
        """The bell of a small batch rings before the disk has it: workers begin with it meanwhile, and nothing that
        comes of it leaves the hub before it is on disk too. A large one is spared the second round trip."""
        early = len(batch) <= SMALL
        async with self._database.acquire() as connection:
            stored = await webhooks.store(connection, _one_per_key(batch), flushed=not early)
            if stored:
                self._ring()
            if early or not stored:
                await connection.execute(FLUSH)
        return stored


def _one_per_key(rows: list[NewWebhook]) -> list[NewWebhook]:
    """One row a key, sorted by key; a repeat that is surely new goes without one."""
    first: dict[bytes, NewWebhook] = {}
    for row in rows:
        key = row.key or row.id.bytes
        if key in first and row.always_new:
            first[row.id.bytes] = replace(row, key=None)
        else:
            first.setdefault(key, row)
    return [first[key] for key in sorted(first)]
