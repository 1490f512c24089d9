"""New facts become events: whose they are, where they belong, what follows; then matched and stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from app import events as canonical
from app.clock import Clock
from app.connector import Connector
from app.crypto import Hasher
from app.domain import customers, derived, links
from app.domain.connections import Connections
from app.domain.customers import Recognised
from app.domain.facts import Fact, fact_of, first_told
from app.events import Event, event_type
from app.pipeline import match
from app.pipeline.match import Matched
from app.pipeline.normalise import erasing
from app.store import deadlines, echo
from app.store import events as store
from app.store.database import Connection as Db
from app.store.database import to_json
from app.store.events import NewEvent
from app.store.packing import pack


@dataclass(frozen=True)
class Publisher:
    """What publishing needs."""

    connections: Connections
    clock: Clock
    hasher: Hasher
    matcher: match.Matcher

    async def publish(self, db: Db, facts: Sequence[Fact], new: set[bytes] | None = None) -> Matched:
        """Store what is new among these facts as events, with all that follows from it, in this transaction. A fact
        that was met before is dropped; the answer's decisions name those that were not. `new`: their identities that no
        event had, if they are taken already."""
        await links.link(db, self.hasher, self.connections, facts)  # a fact told again may say whose it is
        fresh = await self._fresh(db, facts, new)
        if not fresh:
            return Matched()
        await self._mark_echoes(db, fresh)
        found = await customers.recognise(db, self.hasher, fresh, self._known)
        told = await self._fresh(db, self._of_customers(found))
        await self._mark_echoes(db, told)
        fresh += told
        matched = await self.matcher.match(db, [fact for fact in fresh if not fact.stale])
        matched.decisions.update({fact.id: {} for fact in fresh if fact.stale})
        await store.insert(db, [_row(fact, matched) for fact in fresh])
        now = self.clock.now()
        set_ = {timer.key: timer for fact in fresh if (timer := derived.timer(self.hasher, fact)) is not None}
        await deadlines.put(db, [timer for timer in set_.values() if timer.due_at > now])
        await deadlines.put(db, [due for fact in fresh if (due := erasing.asked(self.hasher, fact, now)) is not None])
        return matched

    async def _mark_echoes(self, db: Db, facts: Sequence[Fact]) -> None:
        """Name, on an event, the action of ours at its connection that may have caused it: one that causes events of
        this type and changed this object a moment before. It is a mark, and nothing is suppressed: somebody at the shop
        may have changed the same thing in the same minutes."""
        causing = {
            number: actions
            for number, fact in enumerate(facts)
            if fact.webhook_id is not None and (actions := caused_by(fact.connection.connector, fact.event.type))
        }
        if not causing:
            return
        asked = [
            (n, each.connection.id, each.event.object.id, each.event.subject.id, each.received_at)
            for n, each in ((n, facts[n]) for n in causing)
        ]
        for number, action in await echo.of_objects(db, asked):
            if action in causing[number] and facts[number].event.echo is None:
                facts[number].event = replace(facts[number].event, echo=action)

    def _known(self, workspace: str) -> bool:
        return customers.history_known(self.connections, workspace)

    async def _fresh(self, db: Db, facts: Sequence[Fact], new: set[bytes] | None = None) -> list[Fact]:
        """Those that no event states yet, each once."""
        first = first_told(facts)
        if new is None:
            new = await store.claim_identities(db, [(fact.identity, fact.id) for fact in first.values()])
        await store.happened_earlier(db, _told_again(facts, first, new))
        return [fact for fact in first.values() if fact.identity in new]

    def _of_customers(self, found: Recognised) -> list[Fact]:
        """What is told of customers because of an order: that they are, that they became VIPs."""
        wanted = [(derived.first_order, found.first_guest_orders), (derived.vip_reached, found.vips)]
        told = [self._following(of, fact) for of, facts in wanted for fact in facts]
        return [fact for fact in told if fact is not None]

    def _following(self, of: Callable[[Fact, bool], Event | None], fact: Fact) -> Fact | None:
        event = of(fact, self._known(fact.connection.workspace))
        if event is None:
            return None
        said = fact_of(self.hasher, fact.connection, event, fact.test, fact.received_at, fact.webhook_id)
        said.customer_id = fact.customer_id
        return said


def caused_by(connector: Connector[Any], event_type: str) -> frozenset[str]:
    """The actions of a connector that set off events of a type, as `connector.action`."""
    return frozenset(f"{connector.slug}.{each.name}" for each in connector.actions if event_type in each.causes)


def _told_again(facts: Sequence[Fact], first: dict[bytes, Fact], new: set[bytes]) -> list[tuple[bytes, datetime]]:
    """(identity, the sender's time) of milestones that an event states already. Webhooks come in any order, and each
    may say only that it had happened by then: the earliest time holds."""
    again = []
    for fact in facts:
        known, at = first[fact.identity], fact.event.occurred_at
        if at is None or not event_type(fact.event.type).milestone:
            continue
        if fact.identity not in new:
            again.append((fact.identity, at))
        elif fact is not known and known.event.occurred_at is not None and at < known.event.occurred_at:
            known.event = replace(known.event, occurred_at=at)
    return again


def search_terms(data: BaseModel) -> tuple[str | None, str | None]:
    """(order number, e-mail in lower case) that people search an event by; by the latter it is erased as well."""
    order = getattr(data, "order", None)
    customer = canonical.customer_of(data)
    email = getattr(order, "email", None) or getattr(customer, "email", None)
    email = email or next(filter(None, (getattr(noun, "email", None) for _, noun in data)), None)
    return getattr(order, "number", None), email.strip().lower() if email else None


def _row(fact: Fact, matched: Matched) -> NewEvent:
    event, subject = fact.event, fact.subject
    number, email = search_terms(event.data)
    return NewEvent(
        id=fact.id,
        workspace=fact.connection.workspace,
        type=event.type,
        connection_id=fact.connection.id,
        webhook_id=fact.webhook_id,
        object_kind=event.object.kind,
        object_id=event.object.id,
        subject_connection_id=fact.subject_connection_id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        version=event.version,
        occurred_at=fact.occurred_at,
        data=pack(canonical.dump(event.data)),
        schema_version=canonical.SCHEMA_VERSION,
        test=fact.test,
        historical=event.historical,
        note=event.note,
        echo=event.echo,
        number=number,
        email=email,
        customer_id=fact.customer_id,
        decisions=to_json(matched.decisions.get(fact.id, {})),
        waiters_due=fact.id in matched.awaited,
    )
