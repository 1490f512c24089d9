"""Stage 3: which recipes answer an event, and why the others do not; the runs of those that do begin at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from app.bells import Bells
from app.clock import Clock
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.facts import Fact as StatedFact
from app.domain.memory import recall
from app.domain.recipes import ActiveRecipe, Recipes, outline_of
from app.domain.scope import scope_of
from app.events import Event, Reads, Ref, ScheduleEvent, event_type
from app.expressions import EvaluationError
from app.ids import new_id
from app.pipeline.match.explain import false_part, unknown_past
from app.pipeline.run import Beginning, Runner
from app.recipes import Recipe
from app.store import runs
from app.store.database import Connection as Db


class Fact(Protocol):
    """An event about to be stored, as the stage before hands it over."""

    @property
    def id(self) -> UUID: ...
    @property
    def connection(self) -> Connection | None: ...
    @property
    def event(self) -> Event: ...
    @property
    def test(self) -> bool: ...
    @property
    def occurred_at(self) -> datetime: ...


@dataclass
class Matched:
    """What was decided: {event id: {recipe: reason or the id of its run}}, the lanes that now have work, and the
    events that runs may wait for."""

    decisions: dict[UUID, dict[str, str]] = field(default_factory=dict)
    lanes: set[UUID] = field(default_factory=set)
    awaited: set[UUID] = field(default_factory=set)
    begun: int = 0


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
        asked: list[tuple[Fact, Sequence[ActiveRecipe], dict[str, Any]]] = []
        for fact in facts:
            matched.decisions[fact.id] = {}
            workspace = workspace_of(fact)
            if self.recipes.awaited(workspace, fact.event.type):
                matched.awaited.add(fact.id)
            candidates = self.recipes.for_event(workspace, fact.event.type)
            if candidates:
                asked.append((fact, candidates, event_scope(fact, self.recipes.read_of(workspace, fact.event.type))))
        await self._recall(db, asked)
        wanted: list[Wanted] = []
        for fact, candidates, scope in asked:
            for active in candidates:
                found = self._decide(active, fact, scope)
                if isinstance(found, str):
                    matched.decisions[fact.id][active.name] = found
                else:
                    wanted.append(found)
        await self._begin(db, wanted, matched)
        return matched

    async def _recall(self, db: Db, asked: Sequence[tuple[Fact, Sequence[ActiveRecipe], dict[str, Any]]]) -> None:
        """Lay what recipes remembered over the scopes of events whose recipes read it."""
        wanted = []
        for fact, candidates, scope in asked:
            nouns = frozenset[str]().union(*(outline_of(active.recipe).recalls for active in candidates))
            if nouns:
                wanted.append((workspace_of(fact), fact.connection, scope, nouns))
        if wanted:
            await recall(db, self.hasher, wanted)

    async def after_commit(self, matched: Matched) -> None:
        """Ring the lanes that now have work, and those who wait for such events."""
        for connection_id in matched.lanes:
            self.bells.ring(f"lane:{connection_id}")
        if matched.awaited:
            self.bells.ring("waiters")
        if matched.begun:
            self.bells.ring("run")

    def _decide(self, active: ActiveRecipe, fact: Fact, scope: dict[str, Any]) -> "Wanted | str":
        reason = why_not(active, fact) or self.recipes.missing(active, fact.connection)
        if reason:
            return reason
        recipe = active.recipe
        absent = outline_of(recipe).absent
        scope = {**absent, **scope, "inputs": active.inputs, "steps": {}, "now": self.clock.now()}
        try:
            if recipe.where is not None and (unknown := unknown_past(recipe.where, scope)):
                return unknown
            if recipe.where is not None and not recipe.where.evaluate(scope):
                return f"where is false: {false_part(recipe.where, scope)}"
            return self._wanted(active, fact, scope)
        except EvaluationError as e:
            return f"could not be decided: {e}"

    def _wanted(self, active: ActiveRecipe, fact: Fact, scope: dict[str, Any]) -> Wanted:
        recipe = active.recipe
        kind, value, within = once_for(recipe, fact, scope)
        free_at = self.clock.now() + within if within else None
        key = None
        if kind == "value" or (kind == "object" and len(recipe.events) > 1):
            source = fact.connection.id.bytes if fact.connection else b""
            key = self.hasher("once", active.workspace, source, recipe.name, kind, value)
        if within:
            value = f"{value}@{self.clock.now().isoformat(timespec='seconds')}"
        if recipe.again == "queue":
            value = f"{value}#{fact.id}"
        return Wanted(fact, active, scope, f"{kind}:{value}", key, free_at, new_id())

    async def _begin(self, db: Db, wanted: Sequence[Wanted], matched: Matched) -> None:
        owners = await self._owners(db, wanted)
        beginnings = []
        for want in wanted:
            decisions = matched.decisions[want.fact.id]
            owner = owners.get(want.run_id, want.run_id)
            if owner == want.run_id or isinstance(owner, Behind):
                decisions[want.active.name] = f"run {want.run_id}"
                beginnings.append(self._beginning(want, owner.run_id if isinstance(owner, Behind) else None))
            else:
                decisions[want.active.name] = f"ran already for {want.once_value}: run {owner}"
        matched.begun = sum(bool(want.active.recipe.waits or want.active.recipe.limits) for want in wanted)
        matched.lanes |= await self.runner.begin(db, beginnings)

    async def _owners(self, db: Db, wanted: Sequence[Wanted]) -> "dict[UUID, UUID | Behind]":
        """Whose the `once_per` value of each wanted run is: its own, another run's, or it stands behind another."""
        lines: dict[bytes, list[Wanted]] = {}
        for want in wanted:
            if want.once_key is not None:
                lines.setdefault(want.once_key, []).append(want)
        if not lines:
            return {}
        claims = {key: line[-1] if _restarts(line[0]) else line[0] for key, line in lines.items()}
        taken = await runs.take_once(
            db, [(key, want.run_id, want.free_at) for key, want in claims.items()], self.clock.now()
        )
        met = [taken[key] for key, want in claims.items() if _restarts(want) and taken[key] != want.run_id]
        replaced = await runs.replace_untouched(db, met, "a later event took its place", self.clock.now())
        owners: dict[UUID, UUID | Behind] = {}
        moved = []
        for key, line in lines.items():
            owner = taken[key]
            if line[0].active.recipe.again == "queue":
                for want in line:
                    owners[want.run_id] = want.run_id if owner == want.run_id else Behind(owner)
                    owner = want.run_id
            else:
                owner = claims[key].run_id if owner in replaced else owner
                owners |= {want.run_id: owner for want in line}
            if owner != taken[key]:
                moved.append((key, owner, claims[key].free_at))
        await runs.take_over(db, moved)
        return owners

    def _beginning(self, want: Wanted, after: UUID | None = None) -> Beginning:
        fact = want.fact
        source, subject = subject_of(fact)
        return Beginning(
            run_id=want.run_id,
            active=want.active,
            event_id=fact.id,
            connection=fact.connection,
            subject=self.hasher("subject", source, subject.kind, subject.id),
            once_value=want.once_value,
            scope=want.scope,
            about=(subject.kind, subject.id),
            after=after,
        )


@dataclass(frozen=True, slots=True)
class Behind:
    """A run that is queued behind another."""

    run_id: UUID


def _restarts(want: Wanted) -> bool:
    return want.active.recipe.again == "restart"


def workspace_of(fact: Fact) -> str:
    """The workspace of an event; one without a connection says it itself."""
    return fact.connection.workspace if fact.connection else str(getattr(fact, "workspace", "main"))


def subject_of(fact: Fact) -> tuple[bytes, Ref]:
    """The thing on whose timeline an event stands, and the connection that it is known at."""
    if isinstance(fact, StatedFact):
        return fact.subject_connection_id.bytes, fact.subject
    return fact.connection.id.bytes if fact.connection else b"", fact.event.subject


def why_not(active: ActiveRecipe, fact: Fact) -> str | None:
    """Why a recipe that names this event type does not take this event; None when it does."""
    if not active.enabled:
        return "disabled"
    connection, event = fact.connection, fact.event
    if isinstance(event.data, ScheduleEvent):
        return None if event.data.slot.recipe == active.name else "the schedule of another recipe"
    slug, platform = (connection.slug, connection.connector.slug) if connection else ("", "")
    takes = [
        trigger.takes(event.type, slug, platform, event.historical, fact.test) for trigger in active.recipe.triggers
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
    if event_type(fact.event.type).milestone:
        return "object", f"{fact.event.object.kind}/{fact.event.object.id}"
    return "event", f"{fact.event.object.kind}/{fact.event.object.id}/{fact.event.occurrence() or fact.id}"


def once_for(recipe: Recipe, fact: Fact, scope: Mapping[str, Any]) -> tuple[str, str, timedelta | None]:
    """Kind and value of a recipe's `once_per`, and the span after which it is free again. An absent value equals
    nothing: such events are told apart as where the recipe says none."""
    once = recipe.once_per
    value = once.value.evaluate(scope) if once is not None else None
    return (*once_of(fact), None) if once is None or value is None else ("value", str(value), once.within)


def event_scope(fact: Fact, reads: Reads | None = None) -> dict[str, Any]:
    """What expressions may read of an event, or what some recipes do read."""
    event = fact.event
    return scope_of(
        event.data,
        fact.id,
        event.type,
        fact.occurred_at,
        fact.connection,
        fact.test,
        event.historical,
        reads,
        event.echo,
    )
