"""What is remembered of objects: locked before their webhooks are read, brought up to date by the events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.connector import Remembered
from app.crypto import Hasher
from app.domain.connections import Connection
from app.domain.facts import Fact, first_told
from app.events import Event, Ref
from app.pipeline.normalise.reading import Work
from app.store import events as store
from app.store.database import Connection as Db
from app.store.database import to_json
from app.store.events import NewState


@dataclass
class States:
    """The states of a batch by their keys: (version, data), those that were asked for locked."""

    hasher: Hasher
    known: dict[bytes, tuple[str | None, Any]] = field(default_factory=dict)

    def seen(self, connection: Connection, ref: Ref) -> Remembered | None:
        """What is known of an object; None if nothing is."""
        version, data = self.known.get(self._key(connection, ref), (None, None))
        return Remembered(version, data) if version is not None or data else None

    def update(self, connection: Connection, events: Sequence[Event]) -> None:
        """What one webhook remembers, the next of the same batch sees."""
        for event in events:
            if event.remember is not None and (key := self._key(connection, event.object)) in self.known:
                version = self.known[key][0]
                if version is None or event.version is None or event.version >= version:
                    self.known[key] = (event.version or version, event.remember)

    async def lock(self, db: Db, works: Sequence[Work]) -> None:
        """Lock what the webhooks' connectors want to see, in sorted order."""
        wanted = [
            self._state(work.connection, ref, None, None)
            for work in works
            if work.state == "normalised" and work.connection is not None
            for ref in work.refs
        ]
        self.known = await store.lock_states(db, wanted)

    async def remember(self, db: Db, facts: Sequence[Fact]) -> set[bytes]:
        """Bring the states up to date, mark the facts that are older than what is known, and take the identities of
        all; answers those that no event had."""
        newest: dict[bytes, NewState] = {}
        versioned: list[tuple[bytes, Fact]] = []
        for fact in facts:
            event = fact.event
            if event.version is not None or event.remember is not None:
                state = self._state(fact.connection, event.object, event.version, event.remember)
                newest[state.key] = _newer(newest.get(state.key), state)
                versioned.append((state.key, fact))
        identities = [(fact.identity, fact.id) for fact in first_told(facts).values()]
        current, new = await store.remember(db, list(newest.values()), identities)
        for key, fact in versioned:
            version = fact.event.version
            if version is not None and fact.event.type.endswith((".updated", ".changed")):
                fact.stale = key not in current or version < (newest[key].version or "")
        return new

    def _key(self, connection: Connection, ref: Ref) -> bytes:
        return self.hasher("state", connection.id.bytes, ref.kind, ref.id)

    def _state(self, connection: Connection, ref: Ref, version: str | None, data: dict[str, Any] | None) -> NewState:
        remembered = None if data is None else to_json(data)
        return NewState(
            self._key(connection, ref), connection.workspace, connection.id, ref.kind, ref.id, version, remembered
        )


def _newer(one: NewState | None, other: NewState) -> NewState:
    """Of two states of one object in a batch, the newer version; the later where versions are equal or unsaid."""
    if one is None or one.version is None or other.version is None:
        return other if one is None or other.version is not None or other.data is not None else one
    return other if other.version >= one.version else one
