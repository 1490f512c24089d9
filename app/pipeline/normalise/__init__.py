"""Stage 2: turn webhooks into canonical events, one fact once, and hand each to `match` in the same transaction.

reading.py   one webhook: parse it, run its connector's pure function, say how it ended
states.py    what is remembered of objects: locked, compared, brought up to date
erasing.py   privacy requests, carried out in batches
publish.py   new facts: whose they are, where they belong, what follows; matched and stored

Rows are claimed and worked inside one transaction: a worker that dies lets go of them by that. Remembered states,
customers and orders are locked in sorted order, so webhooks of one object are normalised one after another. What comes
of time (`drain_timers`) ends as events in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from app import events as canonical
from app.clock import Clock
from app.crypto import Hasher
from app.domain import derived
from app.domain.connections import Connections
from app.domain.facts import Fact, fact_of
from app.events import Ref
from app.logs import traced
from app.pipeline import match
from app.pipeline.match import Matched
from app.pipeline.normalise import erasing
from app.pipeline.normalise.publish import Publisher, search_terms
from app.pipeline.normalise.reading import Work, normalise, read, reads_wanted
from app.pipeline.normalise.states import States
from app.store import connections, deadlines, webhooks
from app.store import events as store
from app.store.database import Connection as Db
from app.store.database import Database, Row, batch_or_each, is_refused
from app.store.packing import unpack

log = structlog.get_logger()

OTHERS = 4
"""While one connection fills the batches, the others get a fourth beside."""
STALE = "stale: a newer version of the object was seen before"


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
        return await batch_or_each(self._batch, self._one_by_one)

    async def _batch(self) -> bool:
        async with self.database.transaction(flushed=False) as db:
            rows = await self._claim(db)
            outcome = await self._work(db, rows)
        await self.matcher.after_commit(outcome)
        return len(rows) >= self.batch

    async def _claim(self, db: Db) -> list[Row]:
        """A batch of webhooks, and where there are more, some of those connections that have none among them."""
        rows = await webhooks.claim(db, self.batch)
        if len(rows) == self.batch:
            others = max(1, self.batch // OTHERS)
            rows += await webhooks.claim_others(db, [row["connection_id"] for row in rows], rows[0]["at"], others)
        return rows

    async def _one_by_one(self) -> bool:
        """A batch failed for one webhook: nobody pays for another's bytes, or for a bug that another met. All that the
        batch would have taken are worked, each in a transaction of its own."""
        async with self.database.transaction() as db:
            wanted = [(row["id"], row["at"]) for row in await self._claim(db)]
        for webhook_id, at in wanted:
            async with self.database.transaction() as db:
                rows = await webhooks.claim_one(db, webhook_id, at)
                try:
                    async with db.transaction():
                        outcome = await self._work(db, rows)
                except Exception as e:
                    if not is_refused(e):
                        raise
                    log.error("a webhook cannot be stored as events", webhook=str(rows[0]["id"]), **traced(e))
                    reason = f"its events cannot be stored: {type(e).__name__}: {e}"[:500]
                    await webhooks.finish(db, [(rows[0]["id"], rows[0]["at"], "malformed", reason, 0)])
                    outcome = Matched()
            await self.matcher.after_commit(outcome)
        return bool(wanted)

    async def _work(self, db: Db, rows: Sequence[Row]) -> Matched:
        if not rows:
            return Matched()
        if any(self.connections.get(row["connection_id"]) is None for row in rows):
            await self.connections.refresh()  # one that was just made, by another process
        works = [Work(row, self.connections.get(row["connection_id"])) for row in rows]
        states = States(self.hasher)
        for work in works:
            read(work)
            if work.state == "normalised" and not work.refs:
                normalise(work, states)  # at once, while its payload is near: later it costs a quarter more
        await deadlines.put(db, reads_wanted(works, self.hasher, self.clock.now()))
        await states.lock(db, works)
        for work in works:
            if work.state == "normalised" and work.refs:
                normalise(work, states)
            if work.connection is not None:
                states.update(work.connection, work.events)
        await _sender_problems(db, works)
        facts = [fact for work in works for fact in self._facts(work)]
        new = await states.remember(db, facts)
        _mark_stale(works)
        matched = await self._publisher().publish(db, facts, new)
        matched.lanes |= {w.connection.id for w in works if w.state == "reading" and w.connection is not None}
        _count(works, matched.decisions)
        await webhooks.finish(db, [(w.row["id"], w.row["at"], w.state, w.reason, w.kept) for w in works])
        return matched

    def _facts(self, work: Work) -> list[Fact]:
        """The events of a webhook as facts."""
        if work.connection is None:
            return []
        webhook = work.row
        for event in work.events:
            fact = fact_of(self.hasher, work.connection, event, webhook["test"], webhook["at"], webhook["id"])
            work.facts.append(fact)
        return work.facts

    def _publisher(self) -> Publisher:
        return Publisher(self.connections, self.clock, self.hasher, self.matcher)

    async def drain_timers(self) -> bool:
        """Turn timers that fell due into events, and carry out privacy requests; True when there may be more."""
        return await batch_or_each(self._erase_and_timers, partial(self._timers, 1))

    async def _erase_and_timers(self) -> bool:
        async with self.database.transaction() as db:
            erased = await erasing.carry_out(db, self.hasher, self.clock.now())
        return await self._timers(self.batch) or erased is not None

    async def _timers(self, limit: int) -> bool:
        """Work due timers; one alone that fails is given up, so that it does not stand in the others' way."""
        async with self.database.transaction() as db:
            due = await deadlines.claim(db, derived.KINDS, self.clock.now(), limit)
            try:
                async with db.transaction():
                    outcome = await self._fall_due(db, due) if due else Matched()
            except Exception as e:
                if limit > 1 or not is_refused(e):
                    raise
                log.error("a timer cannot be made an event", timer=str(due[0]["id"]), **traced(e))
                await deadlines.remove(db, [due[0]["id"]])
                outcome = Matched()
        await self.matcher.after_commit(outcome)
        return len(due) == limit

    async def _fall_due(self, db: Db, due: Sequence[Row]) -> Matched:
        stored = await store.load(db, [UUID(timer["data"]["event_id"]) for timer in due])
        over = await store.met(db, [key for timer in due for key in self._ends(timer)])
        facts = []
        for timer in due:
            event = stored.get(UUID(timer["data"]["event_id"]))
            fact = self._late(timer, event) if event is not None else None
            if fact is not None and not over.intersection(self._ends(timer)):
                facts.append(fact)
        outcome = await self._publisher().publish(db, facts)
        await deadlines.remove(db, [timer["id"] for timer in due])
        return outcome

    def _ends(self, timer: Row) -> list[bytes]:
        connection = self.connections.get(timer["connection_id"])
        if connection is None:
            return []
        return derived.ends(self.hasher, connection, timer["kind"], Ref(*timer["data"]["object"]))

    def _late(self, timer: Row, event: Any) -> Fact | None:
        """The fact of a timer, made of the event that set it; None if its connection is gone."""
        connection = self.connections.get(timer["connection_id"])
        if connection is None:
            return None
        data = canonical.load(event["type"], event["schema_version"], unpack(event["data"]))
        subject = Ref(event["subject_kind"], event["subject_id"])
        said = derived.fell_due(
            timer["kind"], Ref(*timer["data"]["object"]), subject, data, timer["due_at"], event["test"]
        )
        fact = fact_of(self.hasher, connection, said, event["test"], self.clock.now(), event["webhook_id"])
        if event["subject_connection_id"] not in (None, connection.id):
            fact.shop, fact.order = event["subject_connection_id"], subject.id
        return fact


TOLD = "the sender reports a problem"


async def _sender_problems(db: Db, works: Sequence[Work]) -> None:
    """A sender that posts its own errors has a problem that the operator must know of, until it speaks well again."""
    told = {work.connection.id: work.problem for work in works if work.connection is not None and work.problem}
    well = {
        work.connection.id: None
        for work in works
        if work.events and work.connection is not None and (work.connection.problem or "").startswith(TOLD)
    }
    for connection_id, problem in sorted({**well, **told}.items()):
        await connections.set_told_problem(db, connection_id, problem)


def _mark_stale(works: Sequence[Work]) -> None:
    """An older update than what is known of the object is history."""
    for work in works:
        for fact in work.facts:
            if fact.stale:
                work.reason, event = STALE, fact.event
                fact.event = replace(event, historical=True, note=f"{event.note}; {STALE}" if event.note else STALE)


def _count(works: Sequence[Work], kept: dict[UUID, Any]) -> None:
    for work in works:
        work.kept = sum(fact.id in kept for fact in work.facts)
        if work.events and not work.kept and work.reason is None:
            work.reason = "nothing new: its events exist already"


__all__ = ["Normaliser", "search_terms"]
