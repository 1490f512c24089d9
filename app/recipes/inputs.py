"""The values of a recipe's inputs: what a shop may set, checked against type and limits."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from app.documents import scalar
from app.expressions import Shape, hint, shape_of
from app.recipes.durations import parse_clock, parse_duration, say_duration
from app.recipes.model import Input, InputType, Recipe

SHAPES: Mapping[InputType, Shape] = {
    "string": shape_of(str),
    "integer": shape_of(int),
    "number": shape_of(Decimal),
    "boolean": shape_of(bool),
    "duration": shape_of(str),
    "time": shape_of(str),
    "date": shape_of(date),
    "timezone": shape_of(str),
    "email": shape_of(str),
    "list": shape_of(list[str]),
    "object": shape_of(dict[str, Any]),
}


def settled(recipe: Recipe, given: Mapping[str, object]) -> dict[str, object]:
    """The inputs as expressions see them: what a workspace gave, else the defaults.

    Raises ValueError with a sentence for an unknown input, a wrong value, or one that must be set and is not."""
    for name in given:
        if name not in recipe.inputs:
            raise ValueError(f"{recipe.name} has no input {name!r}; {hint(name, recipe.inputs)}")
    return {name: _one(each, given.get(name)) for name, each in recipe.inputs.items()}


def _one(each: Input, value: object) -> object:
    if value is not None:
        return valid(each, value)
    if each.required and each.default is None:
        raise ValueError(f"the input {each.name!r} must be set; {each.description}".rstrip("; "))
    return None if each.default is None else valid(each, each.default)


def valid(each: Input, value: object) -> object:
    """The value in its type and limits. Raises ValueError with a sentence."""
    made = in_type(each, value)
    if each.options and not _among_options(each, made):
        raise ValueError(f"{each.name} should be one of: {', '.join(map(str, each.options))}; choose one of these")
    size = made if isinstance(made, int | Decimal) else len(made) if isinstance(made, str | list) else None
    if size is not None and each.minimum is not None and size < each.minimum:
        raise ValueError(f"{each.name} should be at least {each.minimum}; {_measured(made)}")
    if size is not None and each.maximum is not None and size > each.maximum:
        raise ValueError(f"{each.name} should be at most {each.maximum}; {_measured(made)}")
    return made


def in_type(each: Input, value: object) -> Any:
    """The value in its type. Raises ValueError with a sentence."""
    try:
        return READERS[each.type](value)
    except ValueError as error:
        raise ValueError(f"{each.name}: {error}") from None


def _among_options(each: Input, made: Any) -> bool:
    """Whether it is an option, however that is written (`36h` is `1d12h`); of a list, whether every item is one."""
    if each.type == "list":
        return all(item in each.options for item in made)
    return any(_is(each, option, made) for option in each.options)


def _is(each: Input, option: object, made: Any) -> bool:
    try:
        return bool(in_type(each, option) == made)
    except ValueError:
        return False


def _measured(value: object) -> str:
    if isinstance(value, str | list):
        return f"it has {len(value)} {'characters' if isinstance(value, str) else 'items'}"
    return f"it is {value}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it should be text; put quotes around it")
    return value


def _number(value: object) -> Decimal:
    read = scalar(value) if isinstance(value, str) else value
    if isinstance(read, bool) or not isinstance(read, int | Decimal):
        raise ValueError(f"{value!r} is not a number; write one like 10 or 0.5")
    return Decimal(read)


def _whole(value: object) -> int:
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError(f"{value} is not a whole number; write one like 10")
    return int(number)


def _flag(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false; write one of them without quotes")
    return value


def _date(value: object) -> date:
    read = scalar(value) if isinstance(value, str) else value
    if not isinstance(read, date) or isinstance(read, datetime):
        raise ValueError(f"{value!r} is not a date; write one like 2026-12-24")
    return read


def _zone(value: object) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (KeyError, OSError):
        raise ValueError(f"there is no time zone {value!r}; write one like Europe/Berlin") from None


def _email(value: object) -> str:
    name, at, domain = _text(value).strip().partition("@")
    if not (name and at and "." in domain) or " " in domain:
        raise ValueError(f"{value!r} is not an e-mail address; write one like ops@example.com")
    return f"{name}@{domain}"


def _list(value: object) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("it should be a list; write one like [a, b]")
    return list(value)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it should be an object; write one like {name: value}")
    return dict(value)


READERS: Mapping[InputType, Callable[[object], Any]] = {
    "string": _text,
    "integer": _whole,
    "number": _number,
    "boolean": _flag,
    "duration": lambda value: say_duration(parse_duration(str(value))),
    "time": lambda value: f"{parse_clock(str(value)):%H:%M}",
    "date": _date,
    "timezone": _zone,
    "email": _email,
    "list": _list,
    "object": _object,
}
