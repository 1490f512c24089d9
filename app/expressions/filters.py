"""The filters of the recipe language: a list of our own, each bounded, each over plain data.

`FILTERS` maps a filter's name to its function; the first argument is the piped value. `where`, `map`, `sum` and
the others that take a field accept a dotted one (`'total.amount'`).
"""

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined

from app.expressions import filters_people, filters_time
from app.expressions.errors import hint
from app.expressions.money import is_money, round_money, say_money, times, unsigned
from app.expressions.sandbox import EXACT, MAX_ITEMS, MAX_TEXT, ROUNDING, Room, bounded, exact, is_number, kind_name

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
    "contains": lambda left, right: right in left,
}


def text_of(value: Any) -> str:
    """A value as it stands among text: None as nothing, money with its currency, times in ISO 8601."""
    if isinstance(value, str):
        return value
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return format(unsigned(bounded(value)), "f") if isinstance(value, Decimal) else str(bounded(value))
    if is_money(value):
        return say_money(value)
    if isinstance(value, list | tuple | dict):
        raise TypeError(f"{kind_name(value)} cannot stand among text; choose a field of it, or use join or tojson")
    return filters_time.iso(value)


def field(item: Any, path: str) -> Any:
    """The value at a dotted path; a field of nothing is nothing, an unknown one is an error that names the nearest."""
    for name in path.split("."):
        if item is None:
            return None
        if not isinstance(item, dict):
            raise TypeError(f"{kind_name(item)} has no field {name!r}")
        if name not in item:
            raise TypeError(f"there is no {name!r} in these items; {hint(name, item)}")
        item = item[name]
    return item


def _items(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} needs a list, not {kind_name(value)}")
    return list(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} needs text, not {kind_name(value)}")
    return value


def _short(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise SecurityError(f"the text is longer than {MAX_TEXT:,} characters")
    return text


def _of_field(value: Any, name: str, path: str | None) -> list[Any]:
    items = _items(value, name)
    return items if path is None else [field(item, path) for item in items]


# --- text ---------------------------------------------------------------------------------------------------------


def truncate(value: Any, length: int, end: str = "…") -> str:
    """At most `length` characters, the last ones being `end` when something was cut."""
    text, length = _text(value, "truncate"), int(_number(length, "truncate"))
    if len(text) <= length:
        return text
    return text[: max(length - len(end), 0)] + end


def replace(value: Any, old: str, new: str) -> str:
    text, new = _text(value, "replace"), _text(new, "replace")
    if not _text(old, "replace"):
        raise TypeError("replace needs some text to look for")
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise SecurityError(f"the text is longer than {MAX_TEXT:,} characters")
    return text.replace(old, new)


def split(value: Any, separator: str = ",") -> list[str]:
    """The parts between separators, without the space around them, empty ones left out."""
    if not _text(separator, "split"):
        raise TypeError("split needs some text to look for")
    parts = _text(value, "split").split(separator)
    return [part.strip() for part in parts[:MAX_ITEMS] if part.strip()]


def join(value: Any, separator: str = "", path: str | None = None) -> str:
    texts = [text_of(each) for each in _of_field(value, "join", path)]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_TEXT:
        raise SecurityError(f"the text is longer than {MAX_TEXT:,} characters")
    return separator.join(texts)


def tojson(value: Any) -> str:
    """JSON, Decimals as plain numbers with all their digits."""

    def other(each: Any) -> Any:
        if isinstance(each, Decimal):
            return orjson.Fragment(format(bounded(each), "f"))
        raise TypeError(f"{kind_name(each)} is not JSON")

    try:
        return _short(orjson.dumps(value, default=other, option=orjson.OPT_UTC_Z).decode())
    except orjson.JSONEncodeError as error:
        raise (error.__cause__ or error) from None


def string(value: Any) -> str:
    return text_of(value)


def urlencode(value: Any) -> str:
    return _short(quote(_short(text_of(value)), safe=""))


# --- numbers ------------------------------------------------------------------------------------------------------


def round_(value: Any, digits: int = 0) -> Any:
    """Half up, to `digits` after the point; money without `digits` to its currency's unit."""
    if is_money(value):
        return round_money(value)
    number = exact(_number(value, "round"))
    if not (isinstance(digits, int) and -12 <= digits <= 12):
        raise TypeError("round takes -12 to 12 digits")
    return unsigned(number.quantize(Decimal(1).scaleb(-digits), context=ROUNDING) if number else number)


def _number(value: Any, name: str) -> int | Decimal:
    if not is_number(value):
        raise TypeError(f"{name} needs a number, not {kind_name(value)}")
    return bounded(value)  # type: ignore[no-any-return]


def absolute(value: Any) -> int | Decimal:
    size = _number(value, "abs")
    return size.copy_abs() if isinstance(size, Decimal) else abs(size)


def int_(value: Any) -> int:
    """Whole number, what is after the point cut off; text must be a whole number."""
    if isinstance(value, str):
        text = value.strip()
        digits = text[1:] if text[:1] in "+-" else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 30):
            raise TypeError(f"{value[:40]!r} is not a whole number")
        return int(text)
    return int(_number(value, "int"))


def number(value: Any) -> int | Decimal:
    """The number that a text holds, exactly."""
    if not isinstance(value, str):
        return _number(value, "number")
    if not NUMBER.fullmatch(value.strip()[:100]):
        raise TypeError(f"{value[:40]!r} is not a number")
    return bounded(Decimal(value.strip()[:100]))  # type: ignore[no-any-return]


def sum_(value: Any, path: str | None = None) -> Any:
    """Exact; nothing counts as zero. A list of money sums to money, two currencies are refused."""
    items = [each for each in _of_field(value, "sum", path) if each is not None]
    if items and all(is_money(each) for each in items):
        currencies = {each["currency"] for each in items}
        if len(currencies) > 1:
            raise TypeError(f"amounts in {' and '.join(sorted(currencies))} cannot be added")
        return {"amount": sum_([each["amount"] for each in items]), "currency": currencies.pop()}
    if all(isinstance(each, int) for each in items):
        return sum(_number(each, "sum") for each in items)
    return functools.reduce(EXACT.add, (exact(_number(each, "sum")) for each in items), Decimal(0))


# --- lists --------------------------------------------------------------------------------------------------------


def where(value: Any, path: str, *test: Any) -> list[Any]:
    """Items whose field is true (`where('note')`), equals (`where('sku', 'A')`), compares (`where('cost', '>', 5)`)."""
    items = _items(value, "where")
    if not test:
        return [item for item in items if field(item, path)]
    sign, wanted = test if len(test) == 2 else ("==", test[0])
    if sign not in OPERATORS:
        raise TypeError(f"where knows {' '.join(OPERATORS)}, not {sign!r}")
    ordering = sign not in ("==", "!=", "in", "not in")
    found = ((item, field(item, path)) for item in items)
    return [item for item, each in found if not (ordering and each is None) and OPERATORS[sign](each, wanted)]


def first(value: Any) -> Any:
    """The first item, or nothing when the list is empty."""
    items = value if isinstance(value, str) else _items(value, "first")
    return items[0] if items else None


def last(value: Any) -> Any:
    items = value if isinstance(value, str) else _items(value, "last")
    return items[-1] if items else None


def map_(value: Any, path: str) -> list[Any]:
    return _of_field(value, "map", path)


def unique(value: Any, path: str | None = None) -> list[Any]:
    """Without repetition (of the item, or of its field), in the order of first appearance."""
    seen: dict[Any, Any] = {}
    for item in _items(value, "unique"):
        key = item if path is None else field(item, path)
        seen.setdefault(tojson(key) if isinstance(key, dict | list) else key, item)
    return list(seen.values())


def sort(value: Any, path: str | None = None, reverse: bool = False) -> list[Any]:
    """By value or by field; nothing comes last."""
    items = [(item if path is None else field(item, path), item) for item in _items(value, "sort")]
    known = sorted((pair for pair in items if pair[0] is not None), key=operator.itemgetter(0), reverse=reverse)
    return [item for _, item in known] + [item for key, item in items if key is None]


def length(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, str | list | tuple | dict):
        raise TypeError(f"{kind_name(value)} has no length")
    return len(value)


def smallest(value: Any, path: str | None = None) -> Any:
    """The smallest item (by field, if one is named), nothing when the list is empty."""
    return first(sort(value, path))


def largest(value: Any, path: str | None = None) -> Any:
    items = [(item if path is None else field(item, path), item) for item in _items(value, "max")]
    known = [pair for pair in items if pair[0] is not None]
    return max(known, key=operator.itemgetter(0))[1] if known else None


def reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else _items(value, "reverse")[::-1]


def items(value: Any) -> list[list[Any]]:
    """Pairs [name, value] of an object, for loops."""
    if not isinstance(value, dict):
        raise TypeError(f"items needs an object, not {kind_name(value)}")
    return [[name, each] for name, each in value.items()]


def default(value: Any, other: Any, also_empty: bool = False) -> Any:
    """`other` where there is nothing (or, if asked, where it is empty or zero)."""
    if isinstance(value, Undefined) or value is None:
        return other
    return other if also_empty and not value else value


_ENDING = re.compile(r"(?<=\w\w)['’]\w{1,2}\b")


def title(value: Any) -> str:
    """Each word with a capital: `Men's shirts`, `O'Neil`."""
    words = _text(value, "title").title()
    return _short(_ENDING.sub(lambda ending: ending.group().lower(), words))


def _method(name: str) -> Callable[[Any], str]:
    return lambda value: _short(getattr(_text(value, name), "strip" if name == "trim" else name)())


PLAIN: Mapping[str, Callable[..., Any]] = {
    **{name: _method(name) for name in ("upper", "lower", "capitalize", "trim")},
    "title": title,
    "starts_with": lambda value, start: _text(value, "starts_with").startswith(_text(start, "starts_with")),
    "ends_with": lambda value, end: _text(value, "ends_with").endswith(_text(end, "ends_with")),
    "truncate": truncate,
    "replace": replace,
    "split": split,
    "join": join,
    "string": string,
    "tojson": tojson,
    "urlencode": urlencode,
    "round": round_,
    "abs": lambda value: (
        abs(_number(value, "abs")) if isinstance(value, int) else exact(_number(value, "abs")).copy_abs()
    ),
    "int": int_,
    "number": number,
    "sum": sum_,
    "min": smallest,
    "max": largest,
    "where": where,
    "first": first,
    "last": last,
    "map": map_,
    "unique": unique,
    "sort": sort,
    "reverse": reverse,
    "length": length,
    "count": length,
    "items": items,
    "default": default,
    "money": say_money,
    "times": times,
    **filters_time.FILTERS,
    **filters_people.FILTERS,
}


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return 1 + len(value) // 100
    return 1 + len(value) if isinstance(value, list | tuple | dict) else 1


def _comparing(items: Any, path: Any = None, *test: Any) -> int:
    """What it costs to hold the field of each item against a large text or list, or to look into its own."""
    if not isinstance(items, list | tuple) or not test:
        return 0
    if len(test) == 2 and test[0] == "contains" and isinstance(path, str):
        fields = (each.get(path) for each in items if isinstance(each, dict))
        return sum(_weight(each) - 1 for each in fields)
    return len(items) * (_weight(test[-1]) - 1)


def _guarded(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, its work counted, deaf to what is undefined (but for `default`)."""

    @pass_context
    def run(context: Room, value: Any, *args: Any, **kwargs: Any) -> Any:
        context.spend(_weight(value) + (_comparing(value, *args) if name == "where" else 0))
        if name != "default" and isinstance(value, Undefined):
            value._fail_with_undefined_error()
        for each in (*args, *kwargs.values()):
            if isinstance(each, Undefined):
                each._fail_with_undefined_error()
        return plain(value, *args, **kwargs)

    return run


@pass_context
def _counted(context: Room, value: Any) -> Iterable[Any]:
    return context.turns(value)


COUNTED = "counted loop"  # no name that a recipe can write
FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: _guarded(name, plain) for name, plain in PLAIN.items()},
    COUNTED: _counted,
}
