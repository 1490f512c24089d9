"""The reference page of the language: every key with its type, default and meaning, off the schema and the models, and
an example that the tests execute."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from app.recipes import model
from app.recipes.schema import json_schema
from app.recipes.templates import KEYS as TEMPLATE_KEYS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
"""A folder of recipes with their test files: `tradewind recipes test docs/examples` runs them."""
Json = Mapping[str, Any]
TITLES = {"duration": "duration", "condition": "condition"}
WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list", "null": "nothing"}


@dataclass(frozen=True, slots=True)
class Place:
    """Keys that stand at one place: how the page calls it, where the schema has it, and the model that holds them.
    renamed: key -> field of the model, where they differ."""

    title: str
    at: tuple[str, ...]
    model: type | None = None
    renamed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: keys by place, and the recipes that show them."""

    title: str
    keys: tuple[tuple[Place, Sequence[str]], ...]
    examples: tuple[str, ...]


RECIPE = Place("a recipe", ("properties",), model.Recipe)
STEP = Place("a step", ("$defs", "step", "properties"), model.Step, {"if": "condition"})
TRIGGER = Place("on", ("$defs", "trigger"), model.Trigger)
SCHEDULE = Place("on, as a schedule", ("$defs", "trigger"), model.Schedule, {"schedule": "cron"})
INPUT = Place("an input", ("properties", "inputs"), model.Input)
ONCE = Place("once_per", ("properties", "once_per"), model.OncePer)
AWAITED = Place("cancel_on and wait_for", ("$defs", "awaited"), model.Awaited)
LIMIT = Place("limits", ("properties", "limits"), model.Limit)
QUIET = Place("quiet_hours", ("properties", "quiet_hours"), model.QuietHours, {"from": "begin", "to": "end"})
RETRY = Place("retry", ("$defs", "step", "properties", "retry"), model.Retry)
EACH = Place("a step with for_each", STEP.at, model.ForEach, {"as": "name", "for_each": "items"})
CALL = Place("a step that calls", STEP.at, model.Call, {"with": "values"})
WAIT = Place("wait", ("$defs", "step", "properties", "wait"), model.Wait)
BRANCH = Place("a branch of choose", ("$defs", "step", "properties", "choose"), model.Branch)
SET = Place("set", ("$defs", "step", "properties", "set"))
REMEMBER = Place("set, below customer or order", ("$defs", "step", "properties", "set"), model.Remember)
APPROVE = Place("approve", ("$defs", "step", "properties", "approve"), model.Approve)
STOP = Place("stop", ("$defs", "step", "properties", "stop"), model.Stop)
TEMPLATE = Place("with, beside the action's own inputs", ("$defs", "template"))

SECTIONS = (
    Section(
        "What a recipe says about itself",
        ((RECIPE, ("title", "description", "stage", "enabled", "group", "priority", "was", "where", "steps")),),
        ("about-a-recipe",),
    ),
    Section(
        "The events that run it",
        ((RECIPE, ("on",)), (TRIGGER, ("event", "connection", "platform", "historical", "test")),
         (SCHEDULE, ("schedule", "timezone"))),
        ("events-that-run-it", "every-monday"),
    ),
    Section(
        "What a shop may set",
        ((RECIPE, ("inputs",)),
         (INPUT, ("type", "default", "description", "minimum", "maximum", "options", "required"))),
        ("inputs",),
    ),
    Section("Once per value", ((RECIPE, ("once_per", "again")), (ONCE, ("value", "within"))), ("once-per-customer",)),
    Section(
        "Cancelling, and starting over",
        ((RECIPE, ("cancel_on",)), (AWAITED, ("event", "where", "connection", "reason"))),
        ("start-over",),
    ),
    Section(
        "Limits and quiet hours",
        ((RECIPE, ("limits", "quiet_hours")), (LIMIT, ("per", "at_most", "within", "over")),
         (QUIET, ("from", "to", "timezone"))),
        ("limits",),
    ),
    Section(
        "Calls",
        ((STEP, ("id", "if", "timeout")), (CALL, ("use", "with", "connection", "retry", "if_unsure", "effect")),
         (RETRY, ("attempts", "within")), (RECIPE, ("connection",))),
        ("calls",),
    ),
    Section("Mails and other texts in files", ((TEMPLATE, TEMPLATE_KEYS),), ("mail",)),
    Section("Errors", ((STEP, ("on_error",)), (RECIPE, ("on_error",))), ("errors",)),
    Section("For each item", ((EACH, ("for_each", "as", "key", "at_once")),), ("each-item",)),
    Section("Waiting for a time", ((STEP, ("wait",)), (WAIT, ("until", "timezone"))), ("waits",)),
    Section(
        "Waiting for an event",
        ((STEP, ("wait_for",)), (AWAITED, ("event", "where", "connection", "timeout"))),
        ("wait-for",),
    ),
    Section(
        "Choices, side by side, groups",
        ((STEP, ("choose", "otherwise", "parallel", "steps")), (BRANCH, ("when", "steps"))),
        ("choices",),
    ),
    Section(
        "Remembering, and events of your own",
        ((STEP, ("set", "emit", "with")), (SET, ("customer", "order")),
         (REMEMBER, ("attributes", "add_tags", "remove_tags"))),
        ("remembered", "takes-an-event-of-our-own"),
    ),
    Section(
        "People, and ends",
        ((STEP, ("approve", "stop")), (APPROVE, ("title", "message")), (STOP, ("reason", "failed"))),
        ("a-person-decides", "choices"),
    ),
)  # fmt: skip


def reference() -> str:
    """The page as Markdown."""
    schema = json_schema()
    lines = ["# The recipe language", "", *HEAD.splitlines()]
    for section in SECTIONS:
        lines += ["", f"## {section.title}"]
        for place, keys in section.keys:
            lines += ["", f"| {place.title} | type | default | what it does |", "|---|---|---|---|"]
            lines += [_row(schema, place, key) for key in keys]
        for name in section.examples:
            lines += ["", *_example(name)]
    return "\n".join(lines) + "\n"


HEAD = """
Every key, with its type, its default, what it does, and a recipe that uses it. `make openapi` writes this page off the
schema that editors use and the models that the engine runs. The recipes lie in [examples](examples), and
`tradewind recipes test docs/examples` runs their tests. How to write and try a recipe is in
[writing recipes](writing-recipes.md).
""".strip()


def _example(name: str) -> Iterator[str]:
    for path in (EXAMPLES / f"{name}.yaml", EXAMPLES / f"{name}.test.yaml"):
        yield from (f"`{path.name}`", "```yaml", *path.read_text().rstrip().splitlines(), "```")


def _row(schema: Json, place: Place, key: str) -> str:
    said = _key(schema, place, key)
    needed = key in said.get("needed", ())
    default = "(must be said)" if needed else _default(place, key)
    return f"| `{key}` | {_type(schema, said)} | {default} | {said.get('description', '')} |"


def _key(schema: Json, place: Place, key: str) -> dict[str, Any]:
    """What the schema says of a key at a place, and which keys must be said there."""
    found: Any = schema
    for name in place.at:
        found = found[name]
    if place.at[-1] == "properties":
        return {**found[key], "needed": schema["required"] if place is RECIPE else ()}
    for each in _objects(schema, found):
        if key in each["properties"]:
            return {**each["properties"][key], "needed": each.get("required", ())}
    raise KeyError(f"the schema has no {key!r} at {place.title}")


def _objects(schema: Json, found: Any) -> Iterator[Json]:
    """The objects that a part of the schema may be, or hold."""
    if "$ref" in found:
        name = found["$ref"].rpartition("/")[2]
        yield from _objects(schema, schema["$defs"][name]) if name not in ("steps", "step") else ()
        return
    if found.get("properties"):
        yield found
        for each in found["properties"].values():
            yield from _objects(schema, each)
    for each in (*found.get("anyOf", ()), found.get("items"), found.get("additionalProperties")):
        if isinstance(each, Mapping):
            yield from _objects(schema, each)


def _type(schema: Json, said: Json) -> str:
    """A type in words."""
    if "$ref" in said:
        name = said["$ref"].rpartition("/")[2]
        named = {"steps": "steps", "step": "a step", "event": "an event's name", "awaited": "an event to wait for",
                 "trigger": "an event, or a schedule"}  # fmt: skip
        return named.get(name) or _type(schema, schema["$defs"][name])
    if "enum" in said:
        return " or ".join(f"`{_shown(each)}`" for each in said["enum"])
    if "const" in said:
        return f"`{_shown(said['const'])}`"
    if "anyOf" in said:
        return " or ".join(dict.fromkeys(_type(schema, each) for each in said["anyOf"]))
    if said.get("title") in TITLES:
        return TITLES[said["title"]]
    if "oneOf" in said:
        return "an action's name"
    if said.get("type") == "array":
        return f"list of {_type(schema, said.get('items', {}))}".replace("list of anything", "list")
    kinds = said.get("type", "anything")
    return " or ".join(WORDS.get(each, each) for each in ([kinds] if isinstance(kinds, str) else kinds))


def _default(place: Place, key: str) -> str:
    """The default off the model; nothing where leaving the key out means nothing."""
    name = (place.renamed or {}).get(key, key)
    found = [each for each in fields(place.model) if each.name == name] if place.model is not None else []
    if not found or (place is INPUT and key == "required"):
        return ""
    value = found[0].default
    if isinstance(value, model.OnError):
        value = value.then
    if not isinstance(value, str | int) or value == "":
        return ""
    return f"`{_shown(MATCHES.get(str(value), value) if key in MATCHED else value)}`"


MATCHED = ("historical", "test")
MATCHES: Mapping[str, object] = {"no": False, "also": True}
"""What a recipe writes for the words that the model has for whether such events run it."""


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
