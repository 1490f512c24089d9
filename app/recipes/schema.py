"""The language as JSON Schema, for editors: completion, hover texts, each action's inputs and each event.

It helps while typing; what a recipe may say is decided by `check`, which knows types inside expressions too.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from app.connector import Action
from app.events import EVENT_TYPES, FAMILIES, EventType
from app.expressions import shape_of
from app.recipes import texts
from app.recipes.catalogue import RegistryCatalogue
from app.recipes.reading import INPUT_KEYS, INPUT_TYPES, RECIPE_KEYS
from app.recipes.steps import OWN
from app.recipes.templates import FIELDS, takes
from app.recipes.texts import told
from app.registry import Registry

Json = dict[str, Any]

SPAN: Json = {
    "type": "string",
    "title": "duration",
    "description": "A duration like 90m, 3d or 1h30m, or an expression that gives one.",
}
CONDITION: Json = {
    "type": ["string", "boolean"],
    "title": "condition",
    "description": "A bare expression; true or false.",
}
VALUES: Json = {"type": "object", "description": "Names and their values; {{ ... }} puts in what an expression gives."}

TEMPLATE: Mapping[str, Json] = {
    "template": {"type": "string", "description": "A template of the folder templates/: it fills in the texts."},
    "data": {"type": "object", "description": "What the template sees beside what the step sees."},
    "locale": {"type": "string", "description": "The language; that of order or customer if not said."},
}
RECIPE_TEXTS: Mapping[str, str] = {
    "title": "What it does, in a line.",
    "description": "What it does and when, for the shop.",
    "stage": "Where on the customer's journey it acts.",
    "group": "Recipes of one group share their limits.",
    "enabled": "false: it makes no runs.",
    "priority": "From -100 to 100: whose calls and places under limits come first.",
    "was": "Earlier names of this file: their effects are known as this recipe's.",
    "on": "The events or the schedule that run it.",
    "where": "It runs only for events of which this is true.",
    "inputs": "What a shop may set without editing the file.",
    "once_per": "Events run it once per this value; {value, within} frees the value after a while.",
    "again": "What a further event of one `once_per` value does: ignore, restart the waits, or queue.",
    "cancel_on": "Events that end its runs.",
    "limits": "At most so many runs per value within a time, across the recipes of its group.",
    "quiet_hours": "No calls between these local times.",
    "connection": "Which connection it uses, where there are several; or by connector.",
    "on_error": "What follows when a step fails: fail, continue, or steps.",
    "steps": "What it does, in order.",
}
STEP_TEXTS: Mapping[str, str] = {
    "id": "Its name in expressions: `steps.<id>`.",
    "if": "It is done only when this is true.",
    "for_each": "It is done for each item of this list.",
    "as": "What an item is called in expressions; `item` if not said.",
    "key": "What tells one item from another.",
    "at_once": "How many items go together; 1 if not said.",
    "on_error": "What follows when it fails, or a step inside it that says nothing itself: fail, continue, or steps.",
    "timeout": "How long one attempt, a wait for an event or for a person may take.",
    "use": "An action: connector.action; `store` is the shop that sent the event.",
    "with": "What the action takes.",
    "connection": "Which connection, where there are several of one connector.",
    "retry": "How long a failing call is tried again; false: not at all.",
    "if_unsure": "What to do when nobody can know whether the call acted.",
    "effect": "A name that several recipes share, so that only one of them acts.",
    "wait": "A duration, or {until: next 09:00, timezone: customer}.",
    "wait_for": "Until an event comes (`steps.x.event`) or the time is over (`steps.x.timed_out`).",
    "choose": "The steps of the first branch whose `when` is true.",
    "otherwise": "The steps where no branch is.",
    "parallel": "Branches that go on side by side.",
    "steps": "Steps that share an `if` or a `for_each`.",
    "emit": "States an event of your own, which other recipes can take.",
    "set": "Attributes and tags to remember of the customer or the order.",
    "approve": "A person answers (`steps.x.approved`), or the timeout passes.",
    "stop": "Ends the run here.",
}


def json_schema(registry: Registry | None = None) -> Json:
    """JSON Schema (2020-12) of a recipe file, with the actions of the installed connectors."""
    catalogue = RegistryCatalogue(registry or Registry())
    actions = dict(_actions(catalogue))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tradewind recipe",
        "type": "object",
        "required": ["title", "on", "steps"],
        "additionalProperties": False,
        "properties": {key: {**_recipe_key(key), "description": RECIPE_TEXTS[key]} for key in RECIPE_KEYS},
        "$defs": {
            "step": _step(actions),
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
            "event": {"anyOf": [_events(), {"$ref": "#/$defs/own_event"}]},
            "own_event": _own_event(),
            "trigger": _trigger(),
            "awaited": _awaited(),
            "template": _object(TEMPLATE, ["template"]),
            "on_error": {"anyOf": [{"enum": ["fail", "continue"]}, {"$ref": "#/$defs/steps"}]},
        },
    }


def _events() -> Json:
    return {"oneOf": [{"const": each.name, "description": _told(each)} for each in EVENT_TYPES.values()]}


def _own_event() -> Json:
    """An event that a recipe emits: by no word of the hub's own, so that a misspelt event is none."""
    return {
        "type": "string",
        "pattern": r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$",
        "not": {"pattern": rf"^({'|'.join(sorted(FAMILIES))})\."},
    }


def _told(event: EventType) -> str:
    """What an event says, and what expressions can read of it."""
    own = shape_of(event.model.model_fields[event.noun].annotation).fields() or {}
    others = [name for name in (*event.model.model_fields, "customer", "event", "now") if name != event.noun]
    reads = f"`{event.noun}` has {', '.join(sorted(own))}" if own else f"`{event.noun}` can be read"
    return f"{event.description}\n\n{reads}; beside it there is {', '.join(dict.fromkeys(others))}."


def _actions(catalogue: RegistryCatalogue) -> Iterable[tuple[str, Action]]:
    for connector in sorted(catalogue.connectors()):
        for name, action in sorted(catalogue.actions(connector).items()):
            yield f"{connector}.{name}", action
    shops = catalogue.store_actions()
    for name in sorted({name for own in shops.values() for name in own}):
        yield f"store.{name}", next(own[name] for _, own in sorted(shops.items()) if name in own)


def _recipe_key(key: str) -> Json:
    flags: dict[str, Json] = {
        "enabled": {"type": "boolean"},
        "priority": {"type": "integer", "minimum": -100, "maximum": 100},
        "was": _one_or_many({"type": "string"}),
        "on": _one_or_many({"$ref": "#/$defs/trigger"}),
        "where": CONDITION,
        "inputs": {"type": "object", "additionalProperties": _input()},
        "once_per": {"anyOf": [{"type": "string"}, _once()]},
        "again": {"enum": ["ignore", "restart", "queue"]},
        "cancel_on": _one_or_many({"$ref": "#/$defs/awaited"}),
        "limits": _one_or_many(_limit()),
        "quiet_hours": _object(told(texts.QUIET, {key: {"type": "string"} for key in texts.QUIET}), ["from", "to"]),
        "connection": {"type": ["string", "object"]},
        "on_error": {"$ref": "#/$defs/on_error"},
        "steps": {"$ref": "#/$defs/steps"},
    }  # fmt: skip
    return flags.get(key, {"type": "string"})


def _one_or_many(each: Json) -> Json:
    return {"anyOf": [each, {"type": "array", "items": each}]}


def _object(properties: Mapping[str, Json], required: list[str]) -> Json:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _once() -> Json:
    return _object(told(texts.ONCE, {"value": {"type": "string"}, "within": SPAN}), ["value"])


def _limit() -> Json:
    said: dict[str, Json] = {"per": {"type": "string"}, "at_most": {"type": "integer", "minimum": 1}, "within": SPAN}
    return _object(told(texts.LIMIT, {**said, "over": {"enum": ["defer", "skip"]}}), list(said))


def _input() -> Json:
    made: dict[str, Json] = {key: {} for key in INPUT_KEYS}
    made |= {"type": {"enum": list(INPUT_TYPES)}, "options": {"type": "array"}, "required": {"type": "boolean"}}
    return _object(told(texts.INPUT, {**made, "description": {"type": "string"}}), ["type"])


def _trigger() -> Json:
    also: Json = {"enum": [True, False, "only"]}
    narrowed = {
        "event": _one_or_many({"$ref": "#/$defs/event"}), "connection": {"type": "string"},
        "platform": {"type": "string"}, "historical": also, "test": also,
    }  # fmt: skip
    slot = told(texts.SCHEDULE, {"schedule": {"type": "string"}, "timezone": {"type": "string"}})
    narrow = _object(told(texts.TRIGGER, narrowed), ["event"])
    return {"anyOf": [{"$ref": "#/$defs/event"}, narrow, _object(slot, ["schedule"])]}


def _awaited() -> Json:
    said = {
        "event": _one_or_many({"$ref": "#/$defs/event"}), "where": CONDITION, "connection": {"type": "string"},
        "reason": {"type": "string"}, "timeout": SPAN,
    }  # fmt: skip
    return _object(told(texts.AWAITED, said), ["event", "where"])


def _step(actions: Mapping[str, Action]) -> Json:
    properties = {key: {**_step_key(key), "description": STEP_TEXTS[key]} for key in STEP_TEXTS}
    uses = [{"const": use, "description": action.help} for use, action in actions.items()]
    properties["use"] = {"description": STEP_TEXTS["use"], "oneOf": uses}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in OWN],
        "allOf": [_inputs_of(use, action.input) for use, action in actions.items()],
    }


def _step_key(key: str) -> Json:
    steps: Json = {"$ref": "#/$defs/steps"}
    branch = _object(told(texts.BRANCH, {"when": CONDITION, "steps": steps}), ["when", "steps"])
    retried = told(texts.RETRY, {"attempts": {"type": "integer"}, "within": SPAN})
    until = told(texts.WAIT, {"until": {"type": "string"}, "timezone": {"type": "string"}})
    asked = told(texts.APPROVE, {"title": {"type": "string"}, "message": {"type": "string"}})
    ended = told(texts.STOP, {"reason": {"type": "string"}, "failed": {"type": "boolean"}})
    known: dict[str, Json] = {
        "if": CONDITION,
        "at_once": {"type": "integer", "minimum": 1, "maximum": 100},
        "on_error": {"$ref": "#/$defs/on_error"},
        "timeout": SPAN,
        "with": VALUES,
        "retry": {"anyOf": [{"const": False}, _object(retried, [])]},
        "if_unsure": {"enum": ["ask", "repeat", "skip"]},
        "wait": {"anyOf": [SPAN, _object(until, ["until"])]},
        "wait_for": {"$ref": "#/$defs/awaited"},
        "choose": {"type": "array", "items": branch},
        "otherwise": steps,
        "parallel": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/step"}, steps]}, "minItems": 2},
        "steps": steps,
        "emit": {"$ref": "#/$defs/own_event"},
        "set": _set(),
        "approve": {"anyOf": [{"type": "string"}, _object(asked, ["title"])]},
        "stop": {"anyOf": [{"type": ["string", "boolean", "null"]}, _object(ended, [])]},
    }
    return known.get(key, {"type": "string"})


def _set() -> Json:
    tags: Json = {"type": ["array", "string"], "items": {"type": "string"}}
    remember = told(texts.REMEMBER, {"attributes": {"type": "object"}, "add_tags": tags, "remove_tags": tags})
    return _object(told(texts.NOUNS, dict.fromkeys(("customer", "order"), _object(remember, []))), [])


def _inputs_of(use: str, model: type[BaseModel]) -> Json:
    """The inputs of one action, where a step uses it: names and meanings, any of them as an expression too."""
    fields = {
        name: {**_taken(each.annotation), "description": f"{each.description or name} ({shape_of(each.annotation)})"}
        for name, each in model.model_fields.items()
    }
    needed = [name for name, each in model.model_fields.items() if each.is_required()]
    if takes(model):
        fields |= TEMPLATE
        needed = [name for name in needed if name not in FIELDS.values()]
    then: Json = {"properties": {"with": _object(fields, needed)}}
    if needed:
        then["required"] = ["with"]
    return {"if": {"properties": {"use": {"const": use}}, "required": ["use"]}, "then": then}


TAKEN: Mapping[str, list[str]] = {
    "boolean": ["boolean"],
    "integer": ["integer"],
    "number": ["number"],
    "list": ["array"],
    "object": ["object"],
}
"""Kinds of values that are no text, as JSON Schema calls them."""


def _taken(annotation: Any) -> Json:
    """What an editor may accept for an input: its words, or its kind, or text with an expression in it."""
    words = _words(annotation)
    if words:
        return {"anyOf": [{"enum": words}, {"type": "string", "pattern": r"\{\{"}]}
    kind = shape_of(annotation).kind
    return {"type": [*TAKEN[kind], "string", "null"]} if kind in TAKEN else {}


def _words(annotation: Any) -> list[Any]:
    """The words of a Literal, alone or beside None; none for anything else."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    parts = [each for each in get_args(annotation) if each is not type(None)]
    return _words(parts[0]) if len(parts) == 1 and get_origin(annotation) is not list else []
