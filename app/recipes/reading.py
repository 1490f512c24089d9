"""From a document to a recipe: the keys of the language, each read once. Faults are noted, never raised."""

import hashlib
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast, get_args

import orjson

from app.documents import Document, Problem
from app.recipes.cursor import SWITCHES, Cursor
from app.recipes.durations import parse_clock
from app.recipes.model import (
    Again,
    Awaited,
    Input,
    InputType,
    Limit,
    Match,
    OncePer,
    QuietHours,
    Recipe,
    Schedule,
    Trigger,
)
from app.recipes.schedules import parse_cron
from app.recipes.steps import StepReader
from app.recipes.waiting import awaited, event_name
from app.recipes.zones import timezone

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,49}")
RECIPE_KEYS = tuple(
    """title description stage group enabled priority was on where inputs once_per again cancel_on limits quiet_hours
    connection on_error steps""".split()  # noqa: SIM905
)
INPUT_KEYS = ("type", "default", "description", "minimum", "maximum", "options", "required")
INPUT_TYPES = tuple(get_args(InputType))
MATCHES: dict[Any, Match] = {False: "no", True: "also", "only": "only"}


def read_recipe(document: Document, name: str) -> tuple[Recipe | None, list[Problem]]:
    """The recipe of a document, or None where it is too broken to go on with, and every fault of its writing."""
    problems: list[Problem] = []
    top = Cursor(document, (), document.data, problems)
    if not isinstance(document.data, dict):
        top.wrong("the file holds no recipe", "it begins with `title:`, `on:` and `steps:`")
        return None, problems
    if not NAME.fullmatch(name):
        top.wrong(f"the file's name {name!r} is not a recipe's name", "use small letters, digits and dashes")
    keys = top.mapping(RECIPE_KEYS, needed=("title", "on", "steps"))
    recipe = _Reader(name, _digest(document)).recipe(keys)
    broken = any(problem.severity == "error" for problem in problems)
    return (None if broken and not recipe.steps else recipe), problems


def _digest(document: Document) -> str:
    """32 hex digits of what the document says; comments and layout do not count."""
    said = orjson.dumps(document.data, default=repr, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(said, digest_size=16).hexdigest()


@dataclass(slots=True)
class _Reader:
    name: str
    digest: str
    triggers: list[Trigger] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)

    def recipe(self, keys: dict[str, Cursor]) -> Recipe:
        steps = StepReader()
        if "on" in keys:
            for each in keys["on"].items_or_one():
                self.on(each)
        on_error = steps.on_error(keys["on_error"]) if "on_error" in keys else None
        body = steps.body(keys["steps"]) if "steps" in keys else ()
        values: dict[str, Any] = {
            "title": keys["title"].text() if "title" in keys else "",
            "description": keys["description"].text(2000) if "description" in keys else "",
            "stage": keys["stage"].text(50) if "stage" in keys else None,
            "group": keys["group"].plain(50) if "group" in keys else None,
            "enabled": keys["enabled"].flag(True) if "enabled" in keys else True,
            "priority": keys["priority"].whole(-100, 100) if "priority" in keys else 0,
            "was": tuple(map(file_name, keys["was"].items_or_one())) if "was" in keys else (),
            "where": keys["where"].condition() if "where" in keys else None,
            "inputs": inputs(keys["inputs"]) if "inputs" in keys else {},
            "once_per": once_per(keys["once_per"]) if "once_per" in keys else None,
            "again": self.again(keys),
            "cancel_on": self.cancel_on(keys),
            "limits": self.limits(keys),
            "quiet_hours": quiet_hours(keys["quiet_hours"]) if "quiet_hours" in keys else None,
            "connections": connections(keys["connection"]) if "connection" in keys else {},
        }
        values |= {"triggers": tuple(self.triggers), "schedules": tuple(self.schedules), "steps": body}
        values |= {"on_error": on_error} if on_error else {}
        return Recipe(self.name, self.digest, **values)

    def on(self, each: Cursor) -> None:
        """One entry of `on`: an event's name, or an object that narrows events, or a schedule."""
        if isinstance(each.value, dict) and "schedule" in each.value:
            keys = each.mapping(("schedule", "timezone"))
            keys["schedule"].parsed(parse_cron, None)
            zone = timezone(keys["timezone"]) if "timezone" in keys else None
            self.schedules.append(Schedule(str(each.value["schedule"]), zone, each.path))
            return
        if not isinstance(each.value, dict):
            self.trigger(each, {})
            return
        keys = each.mapping(("event", "connection", "platform", "historical", "test", "schedule"), needed=("event",))
        for event in keys["event"].items_or_one() if "event" in keys else []:
            self.trigger(event, keys)

    def trigger(self, event: Cursor, keys: dict[str, Cursor]) -> None:
        connection = keys["connection"].plain() if "connection" in keys else None
        platform = keys["platform"].plain() if "platform" in keys else None
        historical = match(keys["historical"]) if "historical" in keys else "no"
        test = match(keys["test"]) if "test" in keys else "no"
        self.triggers.append(Trigger(event_name(event), connection, platform, historical, test, event.path))

    def again(self, keys: dict[str, Cursor]) -> Again:
        return cast(
            Again, keys["again"].word(("ignore", "restart", "queue"), "ignore") if "again" in keys else "ignore"
        )

    def cancel_on(self, keys: dict[str, Cursor]) -> tuple[Awaited, ...]:
        found = keys["cancel_on"].items_or_one() if "cancel_on" in keys else []
        return tuple(awaited(each, ("reason",)) for each in found)

    def limits(self, keys: dict[str, Cursor]) -> tuple[Limit, ...]:
        found = [limit(each) for each in keys["limits"].items_or_one()] if "limits" in keys else []
        return tuple(each for each in found if each)


def file_name(each: Cursor) -> str:
    """The name that a recipe's file has or had."""
    name = each.text()
    if name and not NAME.fullmatch(name):
        each.wrong(f"{name!r} is not a recipe's name", "write the file's earlier name, without .yaml")
    return name


def match(each: Cursor) -> Match:
    if each.value not in (True, False, "only"):
        meant = SWITCHES.get(str(each.value).strip().lower())
        mend = f"write {meant}, without quotes" if meant else "write one of these words without quotes"
        each.wrong(f"{each.name} should be true (these too), only (none but these) or false", mend)
        return "no"
    return MATCHES[each.value]


def once_per(each: Cursor) -> OncePer | None:
    if not isinstance(each.value, dict):
        value = each.bare()
        return OncePer(value, at=each.path) if value else None
    keys = each.mapping(("value", "within"), needed=("value",))
    value = keys["value"].bare() if "value" in keys else None
    within = keys["within"].duration() if "within" in keys else None
    return OncePer(value, within, each.path) if value else None


def limit(each: Cursor) -> Limit | None:
    keys = each.mapping(("per", "at_most", "within", "over"), needed=("per", "at_most", "within"))
    if not keys.keys() >= {"per", "at_most", "within"}:
        return None
    per, over = keys["per"].bare(), keys["over"].word(("defer", "skip"), "defer") if "over" in keys else "defer"
    at_most, within = keys["at_most"].whole(1, 1_000_000), keys["within"].duration()
    return Limit(per, at_most, within, cast(Any, over), each.path) if per else None


def quiet_hours(each: Cursor) -> QuietHours | None:
    keys = each.mapping(("from", "to", "timezone"), needed=("from", "to"))
    if not keys.keys() >= {"from", "to"}:
        return None
    noon = parse_clock("12:00")
    zone = timezone(keys["timezone"], ("customer", "shop")) if "timezone" in keys else "customer"
    begin, end = keys["from"].parsed(parse_clock, noon), keys["to"].parsed(parse_clock, noon)
    if begin == end != noon:
        each.wrong("these quiet hours end as they begin", "give `to` another time than `from`")
    return QuietHours(begin, end, zone, each.path)


def connections(each: Cursor) -> dict[str, str]:
    """`connection: books`, or by connector: `{quickbooks: books, slack: team}`. "" stands for every connector."""
    if not isinstance(each.value, dict):
        return {"": each.plain()}
    return {name: cursor.plain() for name, cursor in each.free_mapping().items()}


def inputs(each: Cursor) -> dict[str, Input]:
    return {name: one_input(name, cursor) for name, cursor in each.free_mapping().items()}


def one_input(name: str, each: Cursor) -> Input:
    if not WORD.fullmatch(name):
        each.wrong(f"{name!r} is not an input's name", "use small letters, digits and underscores", key=True)
    keys = each.mapping(INPUT_KEYS, needed=("type",))
    known = "type" in keys and keys["type"].word(INPUT_TYPES, "") != ""
    kind = cast(InputType, keys["type"].value if known else "string")
    least: Decimal | None = keys["minimum"].number() if "minimum" in keys else None
    most: Decimal | None = keys["maximum"].number() if "maximum" in keys else None
    if least is not None and most is not None and least > most:
        keys["minimum"].wrong(f"the minimum {least} is more than the maximum {most}", "change one of them")
    options = tuple(one.value for one in keys["options"].items()) if "options" in keys else ()
    description = keys["description"].text(1000) if "description" in keys else ""
    has_default = known and "default" in keys and keys["default"].value is not None
    required = keys["required"].flag(True) if "required" in keys else not has_default
    default = keys["default"].value if has_default else None
    return Input(name, kind, default, required, description, least, most, options, each.path)
