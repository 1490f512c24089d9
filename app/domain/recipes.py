"""The recipes that a running hub knows: current versions to match events against, older ones of running runs."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from app import events as canonical
from app.connector import Action
from app.documents import DocumentError
from app.domain.connections import Connection, Connections
from app.domain.zones import customer_zone, zone_of
from app.events import event_type
from app.recipes import (
    Call,
    Choose,
    Parallel,
    Recipe,
    Stop,
    WaitFor,
    compiled,
    connection_of,
    nouns_of,
    parse_recipe,
    settled,
    used,
)
from app.registry import Registry
from app.store import recipes as store
from app.store import waiters, workspaces
from app.store.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ActiveRecipe:
    """A recipe version in a workspace, with the inputs that the shop set."""

    workspace: str
    version_id: UUID
    number: int
    recipe: Recipe
    inputs: Mapping[str, Any]
    enabled: bool
    paused: bool
    problem: str | None = None
    """Why it cannot run: an input that must be set, or has a wrong value."""

    @property
    def name(self) -> str:
        return self.recipe.name


@dataclass(frozen=True, slots=True)
class Outline:
    """What the engine asks of a recipe version again and again.

    absent: its events' nouns, all None (an event brings only some). awaits: event types that its runs may wait for.
    ordered: runs of one subject can stand in each other's way. recalls: nouns whose remembered attributes it reads.
    ids: of its steps, all None (a step that has not ended gives nothing). reads: of a recipe that looks at its event by
    expressions alone, the nouns that they read and the fields of each (None: all of it); None for any other.
    """

    absent: Mapping[str, None]
    ids: Mapping[str, None]
    awaits: frozenset[str]
    ordered: bool
    recalls: frozenset[str]
    reads: canonical.Reads | None


def outline_of(recipe: Recipe) -> Outline:
    """Made once for each version."""
    key = (recipe.name, recipe.digest)
    if key not in _OUTLINES:
        _OUTLINES[key] = _outline(recipe)
    return _OUTLINES[key]


_OUTLINES: dict[tuple[str, str], Outline] = {}


def _outline(recipe: Recipe) -> Outline:
    waiting = [each.does.awaited for each in recipe.all_steps() if isinstance(each.does, WaitFor)]
    awaits = frozenset(event for each in (*waiting, *recipe.cancel_on) for event in each.events)
    reads = used(recipe)
    recalls = {
        noun
        for noun in ("customer", "order")
        if any(field.partition(".")[0] in ("attributes", "tags") for field in reads.get(noun, ()))
    }
    if any(field.startswith(("customer.attributes", "customer.tags")) for field in reads.get("order", ())):
        recalls.add("customer")
    kinds = [event_type(each) for each in recipe.events]
    alone = len(kinds) == 1 and kinds[0].milestone and kinds[0].noun in ("order", "checkout") and not recipe.once_per
    return Outline(
        absent=dict.fromkeys(nouns_of(recipe.events)),
        ids=dict.fromkeys(step.id for step in recipe.all_steps() if step.id is not None),
        awaits=awaits,
        ordered=len(tuple(recipe.all_steps())) > 1 and not alone,
        recalls=frozenset(recalls),
        reads=None if recalls or not _reads_by_expressions(recipe) else _fields(reads),
    )


def _reads_by_expressions(recipe: Recipe) -> bool:
    """Whether nothing else looks at the event: no time zone or language of a customer, no limit, no
    remembering, no emitting."""
    plain = all(isinstance(step.does, Call | Choose | Parallel | Stop) for step in recipe.all_steps())
    return plain and not (recipe.quiet_hours or recipe.limits or recipe.cancel_on or recipe.templates)


def _fields(reads: Mapping[str, set[str]]) -> dict[str, frozenset[str] | None]:
    tops = {noun: frozenset(path.partition(".")[0] for path in paths) for noun, paths in reads.items()}
    return {noun: None if fields & {"", "[]"} else fields for noun, fields in tops.items()}


def read_by(recipes: Iterable[Recipe]) -> canonical.Reads | None:
    """The nouns of an event that these recipes read, with their fields (None: all); None where all must be there."""
    together: dict[str, frozenset[str] | None] = {}
    for recipe in recipes:
        reads = outline_of(recipe).reads
        if reads is None:
            return None
        for noun, fields in reads.items():
            before = together.get(noun, frozenset())
            together[noun] = None if fields is None or before is None else before | fields
    return together


class Recipes:
    """Recipes of this process, refreshed from the database when they change."""

    def __init__(self, database: Database, registry: Registry, connections: Connections) -> None:
        self._database = database
        self._registry = registry
        self._connections = connections
        self._changed_at: datetime | None = None
        self._active: list[ActiveRecipe] = []
        self._by_event: dict[tuple[str, str], list[ActiveRecipe]] = {}
        self._reads: dict[tuple[str, str], canonical.Reads | None] = {}
        self._versions: dict[UUID, Recipe] = {}
        self._awaited: set[tuple[str, str]] = set()
        self._zones: dict[str, ZoneInfo] = {}
        self._locales: dict[str, str] = {}
        self.refreshed = 0
        """How often the recipes were read anew."""

    def __iter__(self) -> Iterator[ActiveRecipe]:
        return iter(self._active)

    def for_event(self, workspace: str, event_type: str) -> Sequence[ActiveRecipe]:
        """The recipes of a workspace that this event type could start."""
        return self._by_event.get((workspace, event_type), ())

    def read_of(self, workspace: str, event_type: str) -> canonical.Reads | None:
        """What these recipes read of such an event; None where all of it must be there."""
        return self._reads.get((workspace, event_type))

    def find(self, workspace: str, name: str) -> ActiveRecipe | None:
        return next((r for r in self._active if r.workspace == workspace and r.name == name), None)

    def awaited(self, workspace: str, event_type: str) -> bool:
        """Whether a run may wait for events of this type."""
        return (workspace, event_type) in self._awaited

    def counted_within(self, workspace: str, group: str | None) -> timedelta:
        """The longest span in which a recipe of this group limits its runs."""
        spans = (
            limit.within
            for active in self._active
            if group is not None and active.workspace == workspace and active.recipe.group == group
            for limit in active.recipe.limits
        )
        return max(spans, default=timedelta(0))

    def zone(self, workspace: str, name: str | None, scope: Mapping[str, Any]) -> ZoneInfo:
        """The zone that `customer`, `shop`, None (the workspace's) or a name stands for."""
        own = self._zones.get(workspace) or ZoneInfo("UTC")
        if name == "customer":
            return customer_zone(scope) or own
        return own if name in (None, "shop") else zone_of(name) or own

    def locale(self, workspace: str) -> str | None:
        """The language of a workspace's texts, where it says one."""
        return self._locales.get(workspace)

    async def version(self, version_id: UUID) -> Recipe | None:
        """Any version, current or not; None if it cannot be loaded any more."""
        if version_id not in self._versions:
            async with self._database.acquire() as db:
                stored = await store.load_version(db, version_id)
            recipe = _parsed(*stored) if stored else None
            if recipe is None:
                return None
            self._versions[version_id] = recipe
        return self._versions[version_id]

    async def refresh(self, *, always: bool = False) -> None:
        """Read the recipes again if any changed."""
        async with self._database.acquire() as connection:
            changed_at = await store.changed_at(connection)
        if changed_at == self._changed_at and not always:
            return
        async with self._database.acquire() as connection:
            rows = await store.load_all(connection)
            zones, self._locales = await workspaces.zones(connection), await workspaces.locales(connection)
            waited = await waiters.types(connection)
        self._zones = {name: zone for name, said in zones if (zone := zone_of(said)) is not None}
        actives = []
        for row in rows:
            if row.version_id not in self._versions:
                await asyncio.sleep(0)  # reading one takes some ms: a folder of new ones holds up nothing
            actives.append(self._activate(row))
        self._active = [active for active in actives if active is not None]
        by_event: dict[tuple[str, str], list[ActiveRecipe]] = defaultdict(list)
        for active in self._active:
            for event in active.recipe.events:
                by_event[active.workspace, event].append(active)
        self._by_event = dict(by_event)
        self._reads = {event: read_by(active.recipe for active in each) for event, each in by_event.items()}
        self._awaited = waited | {(a.workspace, e) for a in self._active for e in outline_of(a.recipe).awaits}
        self.refreshed += 1
        self._changed_at = changed_at

    def _activate(self, row: store.Stored) -> ActiveRecipe | None:
        recipe = self._versions.get(row.version_id) or _parsed(row.name, row.source, row.templates)
        if recipe is None:
            log.error("a stored recipe cannot be loaded any more", recipe=row.name)
            return None
        self._versions[row.version_id] = recipe
        given, problem = inputs_of(recipe, row.inputs)
        enabled = row.enabled and recipe.enabled
        return ActiveRecipe(row.workspace, row.version_id, row.number, recipe, given, enabled, row.paused, problem)

    def missing(self, active: ActiveRecipe, event_connection: Connection | None) -> str | None:
        """Why the recipe cannot run in its workspace: a connection that it needs and that is not there."""
        if active.problem:
            return active.problem
        for step in active.recipe.all_steps():
            if not isinstance(step.does, Call) or step.does.connector == "store":
                continue
            found = self.target(active.workspace, active.recipe, step.does, event_connection)
            if isinstance(found, str):
                return found
        return None

    def target(
        self, workspace: str, recipe: Recipe, call: Call, event_connection: Connection | None
    ) -> Connection | str:
        """The connection that a call goes to, or why there is none."""
        if call.connector == "store" and call.connection:
            return self._connections.find(workspace, call.connection) or f"there is no connection {call.connection!r}"
        if call.connector == "store":
            return event_connection or "the event came from no store"
        there = {each.slug: each for each in self._connections.of_connector(workspace, call.connector)}
        slug = connection_of(recipe, call, {call.connector: list(there)})
        if slug is not None:
            return there.get(slug) or f"there is no {call.connector} connection {slug!r}"
        if not there:
            return f"{call.connector} is not connected"
        return f"several {call.connector} connections, and the recipe names none"

    def at_risk(self, connection: Connection) -> list[str]:
        """The enabled recipes whose calls go to a connection; a call at `store` goes to any shop that may send its
        event."""
        return sorted(
            active.name
            for active in self._active
            if active.enabled and active.workspace == connection.workspace and self._calls(active, connection)
        )

    def _calls(self, active: ActiveRecipe, connection: Connection) -> bool:
        source = connection if _may_send(active.recipe, connection) else None
        calls = (step.does for step in active.recipe.all_steps() if isinstance(step.does, Call))
        return any(_id(self.target(active.workspace, active.recipe, call, source)) == connection.id for call in calls)

    def action(self, connection: Connection, call: Call) -> Action | None:
        """The action that a call means at a connection; `store.<action>` by the connector's own mapping."""
        name = connection.connector.store.get(call.action) if call.connector == "store" else call.action
        return next((action for action in connection.connector.actions if action.name == name), None)


def _id(target: Connection | str) -> UUID | None:
    return None if isinstance(target, str) else target.id


def _may_send(recipe: Recipe, connection: Connection) -> bool:
    """Whether a connection is a shop whose events may start the recipe."""
    return bool(connection.connector.store) and any(
        (trigger.connection or connection.slug) == connection.slug
        and (trigger.platform or connection.connector.slug) == connection.connector.slug
        for trigger in recipe.triggers
    )


def cannot(connection: Connection, action: str) -> str:
    """Why a store has no such action: in its connector's words, where it has some."""
    why = connection.connector.cannot.get(action)
    return f"{connection.connector.title} cannot {action.replace('_', ' ')}" + (f": {why}" if why else "")


def set_by_shop(active: ActiveRecipe | None) -> dict[str, Any]:
    """The inputs of a recipe that differ from its version's defaults: those that the shop set."""
    if active is None:
        return {}
    defaults, _ = inputs_of(active.recipe, {})
    return {name: value for name, value in active.inputs.items() if value != defaults.get(name)}


def inputs_of(recipe: Recipe, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """The inputs of a version as expressions see them, from what the shop set for any version of it; beside them what
    is wrong with them."""
    known = {name: value for name, value in given.items() if name in recipe.inputs}
    try:
        return settled(recipe, known), None
    except ValueError as error:
        return {name: declared.default for name, declared in recipe.inputs.items()} | known, str(error)


def _parsed(name: str, source: str, templates: Mapping[str, str]) -> Recipe | None:
    """A stored version, which was checked when it came in; None if this version of Tradewind cannot read it."""
    try:
        return _read(name, source, tuple(sorted(templates.items())))
    except DocumentError as e:
        log.error("a stored recipe cannot be read", recipe=name, problem=str(e.problems[0]) if e.problems else "")
        return None


@lru_cache(maxsize=256)
def _read(name: str, source: str, templates: tuple[tuple[str, str], ...]) -> Recipe:
    """Of the same texts the same recipe: processes forked of one that has read them (`tradewind dev`) need not."""
    return parse_recipe(source, name, compiled(dict(templates)))
