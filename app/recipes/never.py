"""What of a recipe can never happen: steps that nothing reaches, and waits that no event can end."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from jinja2 import nodes

from app.documents import Path
from app.events import event_type
from app.expressions import Expression, asked, certain, paths
from app.recipes.model import Awaited, Choose, Equality, Recipe, Step, WaitFor

BEGINNINGS = ("created", "opened", "requested", "started")
THINGS = frozenset((
    "order", "checkout", "payment", "refund", "dispute", "fulfillment", "return", "customer", "subscription", "invoice",
    "payout", "review",
))  # fmt: skip
"""Whose ids senders tell apart."""
Found = tuple[Path, str, str]
"""The place, what is wrong, what to do."""


def never(recipe: Recipe) -> Iterator[Found]:
    """Conditions that no event can meet, or every one does, with what they shut out; waits that only time can end."""
    if recipe.where is not None and certain(recipe.where) is False:
        yield ("where",), "this is never true: no event runs the recipe", "`enabled: false` switches a recipe off"
    elif recipe.where is not None and recipe.triggers:
        yield from _left_out(recipe, recipe.where)
    for awaited in recipe.cancel_on:
        yield from _awaited(recipe, awaited, "cancels a run")
    for step in recipe.all_steps():
        yield from _step(recipe, step)


def _left_out(recipe: Recipe, where: Expression) -> Iterator[Found]:
    """A `where` that asks for events of a kind that `on` leaves out."""
    read = {path for each in asked(where) if (path := _path(each))}
    for kind in ("test", "historical"):
        taken = any(getattr(trigger, kind) != "no" for trigger in recipe.triggers)
        nouns = {"event", *(["order"] if kind == "test" else [])}
        if not taken and any((noun, kind) in read for noun in nouns):
            event = recipe.triggers[0].event
            mend = f"take them in `on`, as in `on: {{event: {event}, {kind}: only}}`"
            yield ("where",), f"this is never true: {kind} events do not run this recipe", mend


def _path(node: nodes.Node) -> tuple[str, str] | None:
    """A plain field, as in `order.test`."""
    return (
        (node.node.name, node.attr) if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) else None
    )


def _step(recipe: Recipe, step: Step) -> Iterator[Found]:
    if step.condition is not None and certain(step.condition) is False:
        yield (*step.at, "if"), "this step is never reached: its `if` is never true", "remove the step, or its `if`"
    if isinstance(step.does, Choose):
        yield from _branches(step, step.does)
    if isinstance(step.does, WaitFor):
        yield from _awaited(recipe, step.does.awaited, "ends this wait")
        if step.does.timeout == timedelta(0):
            yield step.at, "this waits for no time at all", "say how long to wait at most, as in `timeout: 23h`"


def _branches(step: Step, choose: Choose) -> Iterator[Found]:
    """Branches that are never taken: their own `when` is never true, or one before them always is."""
    taken = False
    for index, branch in enumerate(choose.branches):
        at, known = (*step.at, "choose", index, "when"), certain(branch.when)
        if taken or known is False:
            why = "a branch before it always is" if taken else "its `when` is never true"
            yield at, f"this branch is never taken: {why}", "remove it, or mend the `when`"
        taken = taken or known is True
    if taken and choose.otherwise:
        mend = "remove it, or mend the `when` that is always true"
        yield (*step.at, "otherwise"), "`otherwise` is never taken: a branch before it always is", mend


def _awaited(recipe: Recipe, awaited: Awaited, deed: str) -> Iterator[Found]:
    at = (*awaited.at, "where")
    if certain(awaited.where) is False or (awaited.branches and all(map(_itself, awaited.branches))):
        yield at, f"this is never true: no event ever {deed}", "mend the condition"
        return
    for name in awaited.events:
        if recipe.events == (name,) and awaited.branches and _its_own(awaited, name):
            noun = event_type(name).noun
            message = f"no event ever {deed}: {name} comes once for each {noun}, and that began the run"
            yield at, message, f"wait for another event, or for another {noun}"


def hardly(recipe: Recipe) -> Iterator[Found]:
    """Waits that are in vain nearly always, but with some sender may not be."""
    waiting = [step.does.awaited for step in recipe.all_steps() if isinstance(step.does, WaitFor)]
    for awaited in (*recipe.cancel_on, *waiting):
        yield from _other_things(awaited)
    if recipe.triggers and not recipe.schedules:
        yield from _already(recipe, (*recipe.cancel_on, *waiting))


def _other_things(awaited: Awaited) -> Iterator[Found]:
    """Equalities between the ids of two kinds of things."""
    for each in dict.fromkeys(each for branch in awaited.branches for each in branch):
        for use in paths(each.value):
            one, other = _thing(each.field), _thing(use.path)
            if one and other and one != other:
                said = f"{each} is the id of one {one}, and {use} of one {other}: they are hardly ever the same"
                yield (*awaited.at, "where"), said, f"compare ids of one kind, of the {one} or of the {other}"


def _already(recipe: Recipe, waiting: Sequence[Awaited]) -> Iterator[Found]:
    """Waits for the beginning of a thing that runs the recipe because more happened to it since: senders tell things in
    any order, but rarely so."""
    for awaited in waiting:
        for name in awaited.events:
            noun, _, deed = name.partition(".")
            later = [each for each in recipe.events if each != name and each.partition(".")[0] == noun]
            if deed in BEGINNINGS and len(later) == len(recipe.events) and awaited.branches and _its_own(awaited, name):
                message = f"{name} comes before {' or '.join(later)} of the same {noun}: what began the run is later"
                yield (*awaited.at, "event"), message, f"wait for another event, or for another {noun}"


def _thing(path: Sequence[str]) -> str | None:
    """What an event's id is the id of: `order` for `order.id`, and for `payment.order_id`; None for any other value."""
    *before, last = path
    if path[0] in ("steps", "inputs"):
        return None
    named = before[-1] if last == "id" and before else last.removesuffix("_id") if last.endswith("_id") else ""
    thing = named.rpartition("_")[2]
    return thing if thing in THINGS else None


def _itself(branch: Sequence[Equality]) -> bool:
    """Whether a branch asks for the very event that began the run."""
    return any(
        each.field == ("event", "id") and [use.path for use in paths(each.value)] == [("run", "event", "id")]
        for each in branch
    )


def _its_own(awaited: Awaited, name: str) -> bool:
    """Whether every branch asks for the object by whose milestone the run began."""
    try:
        kind = event_type(name)
    except ValueError:
        return False
    own, its = (kind.noun, "id"), [("run", kind.noun, "id")]
    return kind.milestone and all(
        any(each.field == own and [use.path for use in paths(each.value)] == its for each in branch)
        for branch in awaited.branches
    )
