"""What expressions can see, at each place of a recipe: name -> shape."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from app.events import EVENT_TYPES, Customer, event_type
from app.expressions import Expression, Shape, expressions, list_of, object_of, paths, shape_of
from app.recipes.inputs import SHAPES
from app.recipes.model import Approve, Call, Choose, Emit, Recipe, SetFacts, Step, Stop, Wait, WaitFor

Scope = dict[str, Shape]
TEXT, FLAG, TIME, ANYTHING = shape_of(str), shape_of(bool), shape_of(datetime), shape_of(Any)
ENVELOPE: Mapping[str, Shape] = {
    "id": TEXT,
    "type": TEXT,
    "occurred_at": TIME,
    "connection": TEXT,
    "platform": TEXT,
    "test": FLAG,
    "historical": FLAG,
    "echo": TEXT,
}
ERROR = object_of({"message": TEXT, "step": TEXT, "action": TEXT})
APPROVAL = object_of({"approved": FLAG, "timed_out": FLAG, "by": TEXT, "note": TEXT, "decided_at": TIME})


UNKNOWN = "?"
"""Stands for an event that does not exist: nothing can be said of what it brings."""


def nouns_of(events: Iterable[str]) -> Scope:
    """The nouns of these event types; one that differs between two of them is anything. Where one is UNKNOWN, all that
    any event could bring is there, and may be anything."""
    if UNKNOWN in (events := tuple(events)):
        return dict.fromkeys(["data", *(n for each in EVENT_TYPES.values() for n in each.model.model_fields)], ANYTHING)
    nouns: Scope = {}
    for event in events:
        try:
            fields = event_type(event).model.model_fields
        except ValueError:
            continue
        for name, each in fields.items():
            shape = shape_of(each.annotation)
            known = nouns.get(name, shape)
            nouns[name] = shape if known.model is shape.model and known.kind == shape.kind else ANYTHING
    return nouns


def facts_of(events: Iterable[str]) -> Scope:
    """What an event brings into a scope: its nouns, its customer, its envelope."""
    return {"customer": shape_of(Customer), "event": object_of(ENVELOPE)} | nouns_of(events)


def recipe_scope(recipe: Recipe, events: Iterable[str], unclear: Collection[str] = ()) -> Scope:
    """What every expression of a recipe sees, before any step is done. events: those that run it; unclear: inputs whose
    type is not told."""
    shapes = {name: ANYTHING if name in unclear else SHAPES[each.type] for name, each in recipe.inputs.items()}
    facts = facts_of(events := tuple(events))
    if not any(map(_of_a_customer, events)):
        del facts["customer"]
    return {**facts, "inputs": object_of(shapes), "now": TIME}


def _of_a_customer(event: str) -> bool:
    """Whether an event can say whose it is."""
    try:
        nouns = [shape_of(each.annotation) for each in event_type(event).model.model_fields.values()]
    except ValueError:
        return True
    return any(noun.model is Customer or "customer" in (noun.fields() or {}) for noun in nouns)


def awaited_scope(run: Scope, events: Iterable[str]) -> Scope:
    """What the `where` of a `wait_for` or `cancel_on` sees: the awaited event first, the run's own as `run.<noun>`."""
    return {**run, **facts_of(events), "run": object_of(run)}


def awaited_result(events: Iterable[str]) -> Shape:
    """`steps.x` of a `wait_for`: the event with its nouns, and whether the time was over."""
    return object_of({"event": object_of({**ENVELOPE, **facts_of(events)}), "timed_out": FLAG})


def result_of(step: Step, output: Shape, awaited: Iterable[str] = ()) -> Shape:
    """`steps.x` of a step; output: what its action gives; awaited: the events that it waits for."""
    shape = object_of({})
    if isinstance(step.does, Call):
        shape = output
    elif isinstance(step.does, WaitFor):
        shape = awaited_result(awaited)
    elif isinstance(step.does, Approve):
        shape = APPROVAL
    elif isinstance(step.does, Emit):
        shape = object_of({"id": TEXT})
    return list_of(shape) if step.for_each else shape


def expressions_of(step: Step) -> list[Expression]:
    """The expressions that a step itself holds, not those of the steps inside it."""
    found: list[Expression | None] = [step.condition, _expression(step.timeout)]
    if step.for_each:
        found += [step.for_each.items, step.for_each.key]
    does = step.does
    if isinstance(does, Call | Emit):
        found += [each for _, each in expressions(does.values)]
    elif isinstance(does, Wait):
        found += [_expression(does.span), _expression(does.until)]
    elif isinstance(does, WaitFor):
        found += [does.awaited.where, _expression(does.timeout)]
    elif isinstance(does, Choose):
        found += [branch.when for branch in does.branches]
    elif isinstance(does, SetFacts):
        parts = [(each.attributes, each.add_tags, each.remove_tags) for each in does.facts.values()]
        found += [each for _, each in expressions(tuple(parts))]
    elif isinstance(does, Approve | Stop):
        said = (does.title, does.message) if isinstance(does, Approve) else (does.reason,)
        found += [each for _, each in expressions(said)]
    return [each for each in found if each is not None]


def _expression(value: object) -> Expression | None:
    return value if isinstance(value, Expression) else None


def used(recipe: Recipe) -> dict[str, set[str]]:
    """The names that a recipe reads, with the fields read of each: `{"order": {"total.amount"}, "now": {""}}`."""
    rules = [recipe.where, recipe.once_per.value if recipe.once_per else None]
    rules += [limit.per for limit in recipe.limits] + [each.where for each in recipe.cancel_on]
    found = [each for each in rules if each] + [one for step in recipe.all_steps() for one in expressions_of(step)]
    found += [part.text for template in recipe.templates.values() for part in template.parts()]
    names: dict[str, set[str]] = {}
    for expression in found:
        for use in paths(expression):
            names.setdefault(use.path[0], set()).add(".".join(use.path[1:]))
    return names
