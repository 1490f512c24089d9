"""Recipes seen together: what only shows when all of them are there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.connector import Action
from app.documents import Document, Path, Problem, Severity
from app.events import EVENT_TYPES, event_type
from app.expressions import hint
from app.recipes.catalogue import Catalogue
from app.recipes.check import emits
from app.recipes.model import Call, Emit, Recipe, Step, WaitFor

Pair = tuple[Recipe, Document]


def check_together(pairs: Sequence[Pair], catalogue: Catalogue) -> list[Problem]:
    """Loops through `emit` (errors) or through what actions set off (warnings), and things that are made twice."""
    enabled = [(recipe, document) for recipe, document in pairs if recipe.enabled]
    found = [*_names(pairs), *_loops(enabled), *_caused(enabled, catalogue), *_doubles(enabled, catalogue)]
    return sorted(dict.fromkeys(found))


def check_connections(
    recipe: Recipe, document: Document, catalogue: Catalogue, connections: Mapping[str, Sequence[str]]
) -> list[Problem]:
    """Whether each call knows its connection, and the connected shops can do what is wanted of `store`. Errors where a
    connection is named that is not there, or must be named; a warning where its system is not connected (yet).
    connections: slugs of a workspace, by connector."""
    return [
        *_unconnected(recipe, document, connections),
        *_untold(recipe, document, catalogue, connections),
        *_impossible(recipe, document, catalogue, connections),
    ]


def connection_of(recipe: Recipe, call: Call, connections: Mapping[str, Sequence[str]]) -> str | None:
    """The slug of the connection that a call uses: the one named, or the only one. None where it cannot be told.

    `store` is not looked up here: it is the connection that sent the event."""
    named = call.connection or recipe.connections.get(call.connector) or recipe.connections.get("")
    slugs = connections.get(call.connector, ())
    if named is not None and (named in slugs or call.connection):
        return named
    return slugs[0] if len(slugs) == 1 else None


def _unconnected(recipe: Recipe, document: Document, connections: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Events of a connection that is not there: of `on`, `wait_for` and `cancel_on`."""
    known = {slug for slugs in connections.values() for slug in slugs}
    waiting = [step.does.awaited for step in recipe.all_steps() if isinstance(step.does, WaitFor)]
    named: list[tuple[str | None, Path]] = [(each.connection, each.at[:-1]) for each in recipe.triggers]
    named += [(each.connection, each.at) for each in (*recipe.cancel_on, *waiting)]
    for slug, path in dict.fromkeys(named):
        if slug and slug not in known:
            at = next((p for p in ((*path, "connection"), (*path[:-1], "connection")) if p in document.marks), path)
            yield document.problem(at, f"there is no connection {slug!r}", _offer(slug, known))


def _untold(
    recipe: Recipe, document: Document, catalogue: Catalogue, connections: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    for step, call in calls(recipe):
        slugs = connections.get(call.connector, ())
        named = call.connection or recipe.connections.get(call.connector)
        at = (*step.at, "connection") if call.connection else (*step.at, "use")
        if call.connector == "store" or call.connector not in catalogue.connectors():
            continue
        if not slugs:
            message = f"there is no connection to {call.connector}"
            yield document.problem(at, message, "connect one, or leave the step out", severity="warning")
        elif named and named not in slugs:
            yield document.problem(at, f"{call.connector} has no connection {named!r}", _offer(named, slugs))
        elif connection_of(recipe, call, connections) not in slugs:
            message = f"{call.connector} has several connections, and none is named"
            yield document.problem(at, message, f"add `connection:` with one of: {', '.join(slugs)}")


def _impossible(
    recipe: Recipe, document: Document, catalogue: Catalogue, connections: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    """Of a `store.<action>`, the connected shops that have no way to do it: all of them is an error."""
    actions, refusals = catalogue.store_actions(), catalogue.store_refusals()
    shops = {slug: name for name in {*actions, *refusals} for slug in connections.get(name, ())}
    for step, call in calls(recipe):
        if call.connector != "store":
            continue
        meant = {slug: name for slug, name in shops.items() if _is_meant(recipe, call, slug, name, name in actions)}
        cannot = {slug: name for slug, name in meant.items() if call.action not in actions.get(name, {})}
        if not cannot:
            continue
        said = [f"{slug}: {refusals.get(name, {}).get(call.action, f'{name} has no such action')}"
                for slug, name in sorted(cannot.items())]  # fmt: skip
        message = f"not every connected shop can {call.action.replace('_', ' ')}: {'; '.join(said)}"
        if len(cannot) == len(meant):
            message = f"no connected shop can {call.action.replace('_', ' ')}: {'; '.join(said)}"
        severity: Severity = "error" if len(cannot) == len(meant) else "warning"
        yield document.problem((*step.at, "use"), message, "leave the step out for these shops", severity=severity)


def _is_meant(recipe: Recipe, call: Call, slug: str, platform: str, is_shop: bool) -> bool:
    """Whether `store` may be this connection: the one named, else any shop that may send an event of the recipe."""
    if call.connection:
        return call.connection == slug
    return any(
        (each.connection == slug or (each.connection is None and (is_shop or each.platform is not None)))
        and each.platform in (None, platform)
        for each in recipe.triggers
    )


def _offer(slug: str, slugs: Collection[str]) -> str:
    return hint(slug, slugs) or "connect a system first"


def calls(recipe: Recipe) -> Iterator[tuple[Step, Call]]:
    """The steps of a recipe that call an action."""
    for step in recipe.all_steps():
        if isinstance(step.does, Call):
            yield step, step.does


def meant(call: Call, catalogue: Catalogue) -> list[Action]:
    """The actions that a call may mean: one, or for `store` one of each kind of shop."""
    if call.connector == "store":
        return [actions[call.action] for actions in catalogue.store_actions().values() if call.action in actions]
    own = catalogue.actions(call.connector)
    return [own[call.action]] if call.action in own else []


def article(word: str) -> str:
    return "an" if word[:1] in "aeiou" else "a"


def _names(pairs: Sequence[Pair]) -> Iterator[Problem]:
    """A name that two recipes claim, now or with `was`: their effects would be taken for one another's."""
    owner = {recipe.name: recipe.name for recipe, _ in pairs}
    for recipe, document in pairs:
        for index, name in enumerate(recipe.was):
            at: Path = ("was", index) if ("was", index) in document.marks else ("was",)
            if name in owner and owner[name] != recipe.name:
                message = f"the recipe {owner[name]} is or was called {name!r} too"
                yield document.problem(at, message, "remove the name from one of them")
            owner.setdefault(name, recipe.name)


@dataclass(frozen=True, slots=True)
class _Edge:
    """One recipe's step that makes an event by which another (or the same) recipe runs."""

    step: Step
    event: str
    target: str


def _edges(pairs: Sequence[Pair], recipe: Recipe) -> list[_Edge]:
    steps = [(step, step.does.event) for step in recipe.all_steps() if isinstance(step.does, Emit)]
    emitting = [(step, event) for step, event in steps if event not in EVENT_TYPES]
    return [_Edge(step, event, other.name) for step, event in emitting for other, _ in pairs if event in other.events]


def _loops(pairs: Sequence[Pair]) -> Iterator[Problem]:
    """Recipes that run each other without end by what they emit, each loop told at each of its `emit`s."""
    edges = {recipe.name: _edges(pairs, recipe) for recipe, _ in pairs if emits(recipe)}
    for recipe, document in pairs:
        for edge in edges.get(recipe.name, []):
            way = _way(edges, edge.target, recipe.name, [recipe.name])
            if way:
                message = f"this makes a loop without end: {' -> '.join(way)}"
                yield document.problem((*edge.step.at, "emit"), message, "emit an event that none of them takes")


def _way(edges: Mapping[str, list[_Edge]], start: str, goal: str, before: list[str]) -> list[str] | None:
    """The recipes from `start` to `goal`, each once, or None."""
    if start == goal:
        return [*before, goal]
    for edge in edges.get(start, []):
        if edge.target not in before[1:] and start not in before[1:]:
            found = _way(edges, edge.target, goal, [*before, start])
            if found:
                return found
    return None


def _caused(pairs: Sequence[Pair], catalogue: Catalogue) -> Iterator[Problem]:
    """A step whose action sets off the very event that runs the recipe again: one that repeats. A milestone runs a
    recipe once for each object, unless `once_per` says otherwise."""
    for recipe, document in pairs:
        for step, call in calls(recipe):
            causes = {event for action in meant(call, catalogue) for event in action.causes}
            own = [t for t in recipe.triggers if call.connector == "store" or t.platform in (None, call.connector)]
            again = {trigger.event for trigger in own if not _once(trigger.event)}
            for event in sorted(causes & again):
                message = f"{call.use} sets off {event}, which runs this recipe again"
                mend = "say in `where` when it has been done already, or use `once_per`"
                if recipe.where is None and recipe.once_per is None:
                    yield document.problem((*step.at, "use"), message, mend, severity="warning")


def _once(event: str) -> bool:
    return event in EVENT_TYPES and event_type(event).milestone


def _doubles(pairs: Sequence[Pair], catalogue: Catalogue) -> Iterator[Problem]:
    """Two recipes that make the same kind of thing for one event, without a shared effect."""
    first: dict[tuple[str, str], tuple[str, str | None]] = {}
    for recipe, document in pairs:
        for step, call in calls(recipe):
            kinds = {action.makes for action in meant(call, catalogue) if action.makes}
            for key in ((event, kind) for event in recipe.events for kind in sorted(kinds)):
                other, effect = first.setdefault(key, (recipe.name, call.effect))
                if other != recipe.name and (effect is None or effect != call.effect):
                    message = f"{other} makes {article(key[1])} {key[1]} for {key[0]} too"
                    mend = "give both steps one `effect:` name, or narrow one of the recipes"
                    yield document.problem((*step.at, "use"), message, mend, severity="warning")
