"""Stage 3: which recipes answer an event, and why the others do not; the runs of those that do begin at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from app.bells import Bells
from app.clock import Clock
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.recipes import ActiveRecipe, Recipes
from app.domain.scope import scope_of
from app.events import EVENT_TYPES, Event
from app.expressions import EvaluationError
from app.ids import new_id
from app.pipeline.run import Beginning, Runner
from app.store import runs
from app.store.database import Connection as Db


class Fact(Protocol):
    """An event about to be stored, as the stage before hands it over."""

    @property
    def id(self) -> UUID: ...
    @property
    def connection(self) -> Connection: ...
    @property
    def event(self) -> Event: ...
    @property
    def test(self) -> bool: ...
    @property
    def occurred_at(self) -> datetime: ...


@dataclass
class Matched:
    """What was decided: {event id: {recipe: reason or the id of its run}}, and the lanes that now have work."""

    decisions: dict[UUID, dict[str, str]] = field(default_factory=dict)
    lanes: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that should begin, unless its `once_per` value was used."""

    fact: Fact
    active: ActiveRecipe
    scope: dict[str, Any]
    once_value: str
    once_key: bytes | None
    free_at: datetime | None
    run_id: UUID


@dataclass(frozen=True)
class Matcher:
    """The stage with what it needs."""

    recipes: Recipes
    connections: Connections
    hasher: Hasher
    clock: Clock
    bells: Bells
    runner: Runner

    async def match(self, db: Db, facts: Sequence[Fact]) -> Matched:
        """Decide for events, in the transaction that stores them, and begin the runs."""
        matched = Matched()
        wanted: list[Wanted] = []
        for fact in facts:
            matched.decisions[fact.id] = decisions = {}
            candidates = self.recipes.for_event(fact.connection.workspace, fact.event.type)
            scope = event_scope(fact) if candidates else {}
            for active in candidates:
                found = self._decide(active, fact, scope)
                if isinstance(found, str):
                    decisions[active.name] = found
                else:
                    wanted.append(found)
        await self._begin(db, wanted, matched)
        return matched

    async def after_commit(self, matched: Matched) -> None:
        """Ring the lanes that now have work."""
        for connection_id in matched.lanes:
            self.bells.ring(f"lane:{connection_id}")

    def _decide(self, active: ActiveRecipe, fact: Fact, scope: dict[str, Any]) -> "Wanted | str":
        reason = why_not(active, fact) or self.recipes.missing(active, fact.connection)
        if reason:
            return reason
        scope = {**scope, "inputs": active.inputs, "steps": {}, "now": self.clock.now()}
        recipe = active.recipe
        try:
            if recipe.where is not None and not recipe.where.evaluate(scope):
                return f"where is false: {recipe.where.source}"
            return self._wanted(active, fact, scope)
        except EvaluationError as e:
            return f"could not be decided: {e}"

    def _wanted(self, active: ActiveRecipe, fact: Fact, scope: dict[str, Any]) -> Wanted:
        recipe, once = active.recipe, active.recipe.once_per
        kind, value = once_of(fact)
        free_at = None
        if once is not None:
            kind, value = "value", str(once.value.evaluate(scope))
            free_at = self.clock.now() + once.within if once.within else None
        key = None
        if once is not None or (kind == "object" and len(recipe.events) > 1):
            key = self.hasher("once", active.workspace, fact.connection.id.bytes, recipe.name, kind, value)
        if once is not None and once.within is not None:
            value = f"{value}@{_window(self.clock.now(), once.within)}"
        return Wanted(fact, active, scope, f"{kind}:{value}", key, free_at, new_id())

    async def _begin(self, db: Db, wanted: Sequence[Wanted], matched: Matched) -> None:
        first: dict[bytes, Wanted] = {}
        for want in wanted:
            if want.once_key is not None:
                first.setdefault(want.once_key, want)
        taken = await runs.take_once(
            db, [(key, want.run_id, want.free_at) for key, want in first.items()], self.clock.now()
        )
        beginnings = []
        for want in wanted:
            decisions = matched.decisions[want.fact.id]
            if want.once_key is not None and taken[want.once_key] != want.run_id:
                decisions[want.active.name] = f"ran already for {want.once_value}: run {taken[want.once_key]}"
                continue
            decisions[want.active.name] = f"run {want.run_id}"
            beginnings.append(self._beginning(want))
        matched.lanes |= await self.runner.begin(db, beginnings)

    def _beginning(self, want: Wanted) -> Beginning:
        fact = want.fact
        subject = fact.event.subject
        return Beginning(
            run_id=want.run_id,
            active=want.active,
            event_id=fact.id,
            connection=fact.connection,
            subject=self.hasher("subject", fact.connection.id.bytes, subject.kind, subject.id),
            once_value=want.once_value,
            scope=want.scope,
        )


def why_not(active: ActiveRecipe, fact: Fact) -> str | None:
    """Why a recipe that names this event type does not take this event; None when it does."""
    if not active.enabled:
        return "disabled"
    connection, event = fact.connection, fact.event
    takes = [
        trigger.takes(event.type, connection.slug, connection.connector.slug, event.historical, fact.test)
        for trigger in active.recipe.triggers
    ]
    if any(takes):
        return None
    if event.historical:
        return "the event is historical, and the recipe does not ask for such"
    if fact.test:
        return "the event is a test, and the recipe does not ask for such"
    return "another connection or platform"


def once_of(fact: Fact) -> tuple[str, str]:
    """Kind and value of the default `once_per`: the object for milestones, the event for what repeats."""
    if EVENT_TYPES[fact.event.type].milestone:
        return "object", f"{fact.event.object.kind}/{fact.event.object.id}"
    return "event", f"{fact.event.object.kind}/{fact.event.object.id}/{fact.event.occurrence() or fact.id}"


def event_scope(fact: Fact) -> dict[str, Any]:
    """What expressions may read of an event."""
    event = fact.event
    return scope_of(event.data, fact.id, event.type, fact.occurred_at, fact.connection, fact.test, event.historical)


def _window(now: datetime, within: timedelta) -> str:
    return now.isoformat(timespec="seconds")
