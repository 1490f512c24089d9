"""Stage 2: turn webhooks into canonical events, one fact once, and hand each to `match` in the same transaction.

Rows are claimed and worked inside one transaction: a worker that dies lets go of them by that. Remembered states are
locked in sorted order, so webhooks of one object are normalised one after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from pydantic import BaseModel

from app import events as canonical
from app.clock import Clock
from app.connector import ConnectionProblemError, Facts, Ignored, RawWebhook, Remembered
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.errors import MalformedError
from app.events import Event, Ref
from app.ids import new_id
from app.pipeline import match
from app.pipeline.match import Matched
from app.store import events as store
from app.store import webhooks
from app.store.database import Database, Row, to_json
from app.store.events import NewEvent, NewState
from app.store.packing import pack, unpack

log = structlog.get_logger()


@dataclass
class Work:
    """One webhook while it is normalised."""

    row: Row
    connection: Connection | None
    payload: Any = None
    state: str = "normalised"
    reason: str | None = None
    events: list[Event] = field(default_factory=list)
    kept: int = 0

    def end(self, state: str, reason: str | None) -> None:
        self.state, self.reason = state, reason


@dataclass(frozen=True)
class Normaliser:
    """The stage with what it needs."""

    database: Database
    connections: Connections
    clock: Clock
    hasher: Hasher
    matcher: match.Matcher
    batch: int = 200

    async def drain(self) -> bool:
        """Work one batch of due webhooks; True when there may be more."""
        try:
            async with self.database.transaction() as db:
                rows = await webhooks.claim(db, self.batch)
                outcome = await self._work(db, rows)
        except asyncpg.DataError:
            return await self._one_by_one()
        await self.matcher.after_commit(outcome)
        return len(rows) == self.batch

    async def _one_by_one(self) -> bool:
        """A batch failed for one webhook's bytes: nobody pays for another's."""
        worked = 0
        for _ in range(self.batch):
            async with self.database.transaction() as db:
                rows = await webhooks.claim(db, 1)
                try:
                    async with db.transaction():
                        outcome = await self._work(db, rows)
                except asyncpg.DataError as e:
                    log.warning("a webhook cannot be stored as events", webhook=str(rows[0]["id"]), error=str(e)[:200])
                    reason = f"its events cannot be stored: {type(e).__name__}"
                    await webhooks.finish(db, [(rows[0]["id"], rows[0]["at"], "malformed", reason, 0)])
                    outcome = Matched()
            await self.matcher.after_commit(outcome)
            worked += len(rows)
            if not rows:
                return False
        return worked == self.batch

    async def _work(self, db: Any, rows: Sequence[Row]) -> Matched:
        if not rows:
            return Matched()
        works = [Work(row, self.connections.get(row["connection_id"])) for row in rows]
        for work in works:
            self._read(work)
        states = await self._lock_remembered(db, works)
        for work in works:
            if work.state == "normalised":
                self._normalise(work, states)
        fresh = await self._new_facts(db, works)
        matched = await self.matcher.match(db, fresh)
        await store.insert(db, [_row(item, matched) for item in fresh])
        await webhooks.finish(db, [(w.row["id"], w.row["at"], w.state, w.reason, w.kept) for w in works])
        return matched

    def _read(self, work: Work) -> None:
        """Parse the body, and sort out what is ignored or unknown."""
        connection, topic = work.connection, work.row["topic"]
        if connection is None or connection.connector.source is None:
            return work.end("ignored", "its connection was removed")
        source = connection.source
        if topic in source.ignored:
            return work.end("ignored", source.ignored[topic])
        if topic not in source.topics:
            return work.end("unknown", f"no rule for the topic {topic!r}")
        try:
            work.payload = canonical.clean(source.parse(self._raw(work)))
        except MalformedError as e:
            work.end("malformed", str(e)[:500])
        return None

    def _raw(self, work: Work) -> RawWebhook:
        headers = webhooks.unpack_headers(work.row["headers"])
        return RawWebhook(unpack(work.row["body"]), headers, {}, work.row["at"])

    async def _lock_remembered(self, db: Any, works: Sequence[Work]) -> dict[bytes, Any]:
        wanted = [
            self._state(work.connection, ref, None, None)
            for work in works
            if work.state == "normalised" and work.connection is not None
            for ref in work.connection.source.remembers(work.row["topic"], work.payload)
        ]
        return await store.lock_states(db, wanted)

    def _normalise(self, work: Work, states: dict[bytes, Any]) -> None:
        """Run the connector's pure function; whatever it meets ends as a state of the webhook, never as an error."""
        connection, topic = work.connection, work.row["topic"]
        assert connection is not None  # noqa: S101 (sorted out by _read)
        source = connection.source
        seen = {}
        for ref in source.remembers(topic, work.payload):
            version, data = states.get(self._state_key(connection, ref), (None, None))
            if version is not None or data:
                seen[ref] = Remembered(version, data)
        facts = Facts(
            topic=topic,
            settings=connection.settings,
            headers=webhooks.unpack_headers(work.row["headers"]),
            received_at=work.row["at"],
            since=connection.created_at,
            role=connection.role,
            test=work.row["test"],
            reads=work.row["reads"] or {},
        )
        try:
            said = source.topics[topic](work.payload, facts, seen)
            if isinstance(said, Ignored):
                return work.end("ignored", said.reason)
            for event in said:
                event.check()
            work.events = list(said)
            self._update(states, connection, work.events)
        except MalformedError as e:
            work.end("malformed", str(e)[:500])
        except ConnectionProblemError as e:
            work.end("malformed", f"the sender reports a problem: {e}"[:500])
        except Exception as e:
            log.exception("a connector failed to normalise a webhook", webhook=str(work.row["id"]), topic=topic)
            work.end("malformed", f"{type(e).__name__}: {e}"[:500])
        return None

    def _update(self, states: dict[bytes, Any], connection: Connection, events: Sequence[Event]) -> None:
        """What one webhook remembers, the next of the same batch sees."""
        for event in events:
            key = self._state_key(connection, event.object)
            if key in states and event.remember is not None:
                version = states[key][0]
                if version is None or event.version is None or event.version >= version:
                    states[key] = (event.version or version, event.remember)

    async def _new_facts(self, db: Any, works: Sequence[Work]) -> "list[Fact]":
        """Leave out stale updates and facts that were met before; what is left becomes events."""
        newest: dict[bytes, NewState] = {}
        for work in works:
            for event in work.events:
                if work.connection is not None and (event.version is not None or event.remember is not None):
                    state = self._state(work.connection, event.object, event.version, event.remember)
                    newest[state.key] = _newer(newest.get(state.key), state)
        current = await store.remember(db, list(newest.values()))
        facts: dict[bytes, Fact] = {}
        for work in works:
            for event in work.events:
                fact = self._fact(work, event)
                key = self._state_key(fact.connection, event.object)
                stale = event.version is not None and (
                    key not in current or event.version < (newest[key].version or "")
                )
                if stale and event.type.endswith((".updated", ".changed")):
                    work.reason = "stale: a newer version of the object was seen before"
                else:
                    facts.setdefault(fact.identity, fact)
        fresh_keys = await store.claim_identities(db, [(fact.identity, fact.id) for fact in facts.values()])
        fresh = [fact for fact in facts.values() if fact.identity in fresh_keys]
        for fact in fresh:
            fact.work.kept += 1
        for work in works:
            if work.events and not work.kept and work.reason is None:
                work.reason = "nothing new: its events exist already"
        return fresh

    def _fact(self, work: Work, event: Event) -> "Fact":
        connection = work.connection
        assert connection is not None  # noqa: S101 (it made the event)
        identity = self.hasher(
            "event", connection.id.bytes, event.object.kind, event.object.id, event.type, event.occurrence() or ""
        )
        test = event.test or work.row["test"]
        return Fact(new_id(), identity, work, connection, event, test, self.clock.now())

    def _state_key(self, connection: Connection, ref: Ref) -> bytes:
        return self.hasher("state", connection.id.bytes, ref.kind, ref.id)

    def _state(
        self, connection: Connection | None, ref: Ref, version: str | None, data: dict[str, Any] | None
    ) -> NewState:
        assert connection is not None  # noqa: S101
        remembered = None if data is None else to_json(data)
        key = self._state_key(connection, ref)
        return NewState(key, connection.workspace, connection.id, ref.kind, ref.id, version, remembered)


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that becomes an event if it is new."""

    id: UUID
    identity: bytes
    work: Work
    connection: Connection
    event: Event
    test: bool
    now: datetime

    @property
    def occurred_at(self) -> datetime:
        return self.event.occurred_at or self.work.row["at"]


def _newer(one: NewState | None, other: NewState) -> NewState:
    """Of two states of one object in a batch, the newer version; the later where versions are equal or unsaid."""
    if one is None or one.version is None or other.version is None:
        return other if one is None or other.version is not None or other.data is not None else one
    return other if other.version >= one.version else one


def search_terms(data: BaseModel) -> tuple[str | None, str | None]:
    """(order number, e-mail in lower case) that people search an event by."""
    order = getattr(data, "order", None)
    customer = canonical.customer_of(data)
    email = getattr(order, "email", None) or getattr(customer, "email", None)
    return getattr(order, "number", None), email.strip().lower() if email else None


def _row(fact: Fact, matched: Matched) -> NewEvent:
    event = fact.event
    number, email = search_terms(event.data)
    return NewEvent(
        id=fact.id,
        workspace=fact.connection.workspace,
        type=event.type,
        connection_id=fact.connection.id,
        webhook_id=fact.work.row["id"],
        object_kind=event.object.kind,
        object_id=event.object.id,
        subject_connection_id=fact.connection.id,
        subject_kind=event.subject.kind,
        subject_id=event.subject.id,
        version=event.version,
        occurred_at=fact.occurred_at,
        data=pack(canonical.dump(event.data)),
        schema_version=canonical.SCHEMA_VERSION,
        test=fact.test,
        historical=event.historical,
        note=event.note,
        number=number,
        email=email,
        customer_id=None,
        decisions=to_json(matched.decisions.get(fact.id, {})),
        waiters_due=False,
    )
