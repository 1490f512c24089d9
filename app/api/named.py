"""A filter that names what never was is refused: an empty list would read as "nothing failed" to whoever misspelt it.

Asked only where a list is empty. What once was stays a filter: removed connections and recipes, types of kept events.
"""

from collections.abc import Iterable, Sequence

from app.domain.keys import Caller
from app.errors import InvalidError
from app.events import EVENT_TYPES, FAMILIES
from app.expressions.errors import nearest
from app.hub import Hub
from app.recipes.check import emits
from app.store import lists
from app.store.byhand import VERBS


class UnknownNameError(InvalidError):
    """A filter names what there never was."""

    name = "unknown-name"


async def refuse_unknown(
    caller: Caller,
    hub: Hub,
    *,
    connection: str | None = None,
    recipe: str | None = None,
    type: str | None = None,
    within: str = "query",
) -> None:
    """Raises UnknownNameError, which says what is like it. `within` says where the filter stands."""
    if connection is None and recipe is None and type is None:
        return
    async with hub.database.looking() as db:
        were = await lists.named_before(db, caller.workspace, connection, recipe, type)
    faults = []
    if connection is not None and not were["connection"]:
        here = [each.slug for each in hub.connections if each.workspace == caller.workspace]
        faults.append(_fault(caller, within, "connection", connection, here))
    if recipe is not None and not were["recipe"]:
        here = [each.name for each in hub.recipes if each.workspace == caller.workspace]
        faults.append(_fault(caller, within, "recipe", recipe, here))
    if type is not None and not were["type"] and (like := _type_meant(hub, type)) is not None:
        faults.append(_fault(caller, within, "type", type, like))
    _refuse(faults)


async def refuse_unknown_recipes(caller: Caller, hub: Hub, names: Iterable[str], field: str) -> None:
    """The same of recipes that are listed in a field of the body."""
    here = [each.name for each in hub.recipes if each.workspace == caller.workspace]
    async with hub.database.looking() as db:
        unknown = [
            each
            for each in names
            if each not in here and not (await lists.named_before(db, caller.workspace, None, each, None))["recipe"]
        ]
    _refuse([{**_fault(caller, "body", "recipe", each, here), "field": field} for each in unknown])


async def refuse_unknown_types(caller: Caller, hub: Hub, names: Sequence[str], field: str) -> None:
    """The same of event types that are listed in a field of the body."""
    faults = []
    for index, name in enumerate(names):
        like = _type_meant(hub, name)
        if like is None:
            continue
        async with hub.database.looking() as db:
            were = await lists.named_before(db, caller.workspace, None, None, name)
        if not were["type"]:
            faults.append({**_fault(caller, "body", "type", name, like), "field": f"{field}.{index}"})
    _refuse(faults)


def refuse_unknown_connector(caller: Caller, hub: Hub, name: str) -> None:
    """The same of a connector."""
    known = hub.registry.slugs
    _refuse([] if name in hub.registry else [_fault(caller, "query", "connector", name, known)])


def refuse_unknown_action(caller: Caller, hub: Hub, name: str) -> None:
    """The same of `connector.action`."""
    slug, _, verb = name.partition(".")
    connector = hub.registry.find(slug)  # this one alone: to look through all would import all, in the event loop
    if connector is None:
        meant = nearest(slug, hub.registry.slugs)
        _refuse([_fault(caller, "query", "action", name, [f"{meant}.{verb}"] if meant else ())])
        return
    known = [f"{slug}.{action.name}" for action in connector.actions]
    _refuse([] if name in known else [_fault(caller, "query", "action", name, known)])


async def refuse_unknown_deed(caller: Caller, hub: Hub, actor: str | None, verb: str | None) -> None:
    """The same of who did what: an actor with no line and no key, a verb of which no line could be."""
    if actor is None and verb is None:
        return
    async with hub.database.looking() as db:
        were = await lists.deeds_before(db, caller.workspace, actor, verb)
    faults = []
    if actor is not None and not were["actor"]:
        faults.append(_fault(caller, "query", "actor", actor, were["actors"] or ()))
    if verb is not None and not were["verb"] and verb not in VERBS:
        faults.append(_fault(caller, "query", "verb", verb, VERBS))
    _refuse(faults)


def _refuse(faults: list[dict[str, str]]) -> None:
    if faults:
        raise UnknownNameError("A filter names what is not there.", faults)


def _fault(caller: Caller, within: str, kind: str, name: str, here: Sequence[str]) -> dict[str, str]:
    what = "type of events" if kind == "type" else kind
    near = nearest(name, here) if caller.connections is None or kind == "type" else None
    return {
        "field": f"{within}.{kind}",
        "detail": f"there is no {what} {name!r}" + (f": did you mean {near!r}?" if near else ""),
    }


def _type_meant(hub: Hub, name: str) -> list[str] | None:
    """The types that there are, where this is none of them; None for a name of a shop's own, which may still come."""
    if name == "*" or name in EVENT_TYPES:
        return None
    family = name.endswith("*")
    emitted = {each for active in hub.recipes for each in emits(active.recipe)}
    known = [*EVENT_TYPES, "schedule.due", *emitted]
    if family:
        if any(each.startswith(name[:-1]) for each in known):
            return None
        known = [f"{each}.*" for each in sorted({each.partition(".")[0] for each in known})]
    own = name.partition(".")[0] not in FAMILIES
    return None if name in known or (own and nearest(name, known) is None) else known
