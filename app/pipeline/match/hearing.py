"""Which runs of a made-up world wait for which events, and the events that came: found by the fields that tell them.

As in a running hub, an event costs one look for each field by which it may be waited for, however many runs wait; and
what begins to wait looks back to its run's own event.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from app.pipeline.run.awaiting import field_of, same
from app.pipeline.run.facts import Ear, Heard
from app.recipes import Recipe, WaitFor

Key = tuple[str, str, str]
"""Event type, field, and the value that a run waits for."""


def asked_fields(recipe: Recipe) -> Mapping[str, frozenset[str]]:
    """By event type the fields by which a recipe's runs find the events that they wait for."""
    found: dict[str, set[str]] = defaultdict(set)
    waiting = [step.does.awaited for step in recipe.all_steps() if isinstance(step.does, WaitFor)]
    for awaited in (*recipe.cancel_on, *waiting):
        for event in awaited.events:
            found[event] |= {str(branch[0]) for branch in awaited.branches if branch}
    return {event: frozenset(fields) for event, fields in found.items()}


@dataclass
class Hearing:
    """Runs that wait, and the events since the oldest open run began."""

    fields: Mapping[str, frozenset[str]]
    waiting: dict[Key, set[UUID]] = field(default_factory=dict)
    past: dict[Key, list[tuple[int, Heard]]] = field(default_factory=dict)
    _keys_of: dict[UUID, set[Key]] = field(default_factory=dict)
    _order: deque[tuple[int, Key]] = field(default_factory=deque)

    def hear(self, number: int, heard: Heard, kept: bool) -> set[UUID]:
        """The runs that an event is for. number: events are counted as they come; kept: runs are open that may look
        back to it."""
        found: set[UUID] = set()
        for name in self.fields.get(heard.type, ()):
            value = field_of(heard.facts, name)
            if value is None:
                continue
            key = (heard.type, name, same(value))
            found |= self.waiting.get(key, set())
            if kept:
                self.past.setdefault(key, []).append((number, heard))
                self._order.append((number, key))
        return found

    def listen(self, run_id: UUID, since: int, ears: Iterable[Ear]) -> list[Heard]:
        """Let a run wait; answers what came for it since its own event (its number)."""
        came: list[Heard] = []
        for ear in ears:
            key = (ear.event_type, ear.path, same(ear.value))
            self.waiting.setdefault(key, set()).add(run_id)
            self._keys_of.setdefault(run_id, set()).add(key)
            came += [heard for number, heard in self.past.get(key, ()) if number > since]
        return came

    def forget(self, run_id: UUID, oldest: int | None) -> None:
        """A run has ended; what came before the event of the `oldest` open run is asked for no more."""
        for key in self._keys_of.pop(run_id, ()):
            self.waiting[key].discard(run_id)
            if not self.waiting[key]:
                del self.waiting[key]
        while self._order and (oldest is None or self._order[0][0] < oldest):
            _, key = self._order.popleft()
            left = self.past[key][1:]
            self.past |= {key: left} if left else {}
            if not left:
                del self.past[key]
