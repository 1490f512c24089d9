"""A fact: an event that is about to be stored, with what the hub adds to what its source said."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.crypto import Hasher
from app.domain.connections import Connection
from app.events import Event, Ref
from app.ids import new_id


@dataclass(slots=True)
class Fact:
    """An event on its way into the store.

    received_at: when its webhook came, or its timer was due. shop: the connection whose order is the subject, where
    that is another one's (a processor's payment on the timeline of the shop's order); `order` is that order's id.
    stale: an update older than what is known of its object: it stands on the timeline, and nothing follows from it.
    """

    id: UUID
    identity: bytes
    connection: Connection
    event: Event
    test: bool
    received_at: datetime
    webhook_id: UUID | None = None
    customer_id: UUID | None = None
    shop: UUID | None = None
    order: str | None = None
    stale: bool = False

    @property
    def occurred_at(self) -> datetime:
        return self.event.occurred_at or self.received_at

    @property
    def subject_connection_id(self) -> UUID:
        return self.shop or self.connection.id

    @property
    def subject(self) -> Ref:
        """The thing on whose timeline it stands."""
        return self.event.subject if self.order is None else Ref("order", self.order)


def first_told(facts: Iterable[Fact]) -> dict[bytes, Fact]:
    """{identity: the first of the facts that have it}."""
    first: dict[bytes, Fact] = {}
    for fact in facts:
        first.setdefault(fact.identity, fact)
    return first


def identity_of(hasher: Hasher, connection: Connection, object_: Ref, type_: str, occurrence: str) -> bytes:
    """What makes two statements of one fact one event."""
    return hasher("event", connection.id.bytes, object_.kind, object_.id, type_, occurrence)


def fact_of(
    hasher: Hasher, connection: Connection, event: Event, test: bool, received_at: datetime, webhook_id: UUID | None
) -> Fact:
    identity = identity_of(hasher, connection, event.object, event.type, event.occurrence() or "")
    return Fact(new_id(), identity, connection, event, event.test or test, received_at, webhook_id)
