"""Why a condition is false: the part of it that is, with the values that it saw."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from app.expressions import EvaluationError, Expression, ExpressionError, compile_condition, paths

LONGEST = 60
PAST = frozenset({"order_number", "lifetime_value", "first_order_at"})
"""What is known of a customer only if the past of the shops is."""


def false_part(where: Expression, scope: Mapping[str, Any]) -> str:
    """`order.total.amount > 100 (order.total.amount is 49.90)`: the first part of an `and` that is false."""
    for part in parts(where.source):
        try:
            if not part.evaluate(scope):
                return f"{part.source}{values(part, scope)}"
        except EvaluationError:
            continue
    return where.source


def unknown_past(where: Expression, scope: Mapping[str, Any]) -> str | None:
    """Why a condition that asks for a customer's past cannot be decided; None if it does not, or the past is known."""
    for path in asked_of_past(where.source):
        value: Any = scope
        for name in path[:-1]:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and value.get(path[-1]) is None:
            return f"{'.'.join(path)} is not known: the past of the workspace's shops was not imported"
    return None


@lru_cache(maxsize=2000)
def asked_of_past(source: str) -> tuple[tuple[str, ...], ...]:
    """The fields of a customer's past that a condition reads."""
    asked = []
    for use in paths(compile_condition(source)):
        for place, name in enumerate(use.path[1:], 1):
            if name in PAST and use.path[place - 1] == "customer":
                asked.append(use.path[: place + 1])
    return tuple(asked)


def values(part: Expression, scope: Mapping[str, Any]) -> str:
    """What the fields of a condition were: ` (order.test is true)`."""
    told = ", ".join(f"{name} is {value}" for name, value in list(values_of(part, scope).items())[:4])
    return f" ({told})" if told else ""


def values_of(part: Expression, scope: Mapping[str, Any]) -> dict[str, str]:
    """What the fields of a condition were, by their names, for people."""
    seen: dict[str, str] = {}
    for use in paths(part):
        path = use.path[: use.path.index("[]")] if "[]" in use.path else use.path  # of each item's field, the list
        value: Any = scope
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        seen.setdefault(".".join(path), said(value))
    return seen


def said(value: Any) -> str:
    """A value for people, short."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        money = value.keys() >= {"amount", "currency"}
        return f"{value['amount']} {value['currency']}" if money else "an object"
    if isinstance(value, list | tuple):
        return _listed(value)
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _listed(value: Sequence[Any]) -> str:
    """A list for people: what it holds where that is short, else how many."""
    if len(value) < LONGEST and all(isinstance(each, str | int | Decimal) for each in value):
        text = f"[{', '.join(map(str, value))}]"
        if len(text) <= LONGEST:
            return text
    return f"a list of {len(value)}"


@lru_cache(maxsize=2000)
def parts(source: str) -> tuple[Expression, ...]:
    """The conditions that a condition joins with `and`; itself where it joins none, or they cannot stand alone."""
    try:
        return tuple(compile_condition(each) for each in split(source))
    except ExpressionError:
        return (compile_condition(source),)


def split(source: str) -> list[str]:
    """The text at each `and` outside of brackets and quotes; the whole where an `or` or an inline `if` stands there."""
    words, depth, quote, start, found = source, 0, "", 0, []
    for index, char in enumerate(words):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and (index == 0 or not _word(words[index - 1])):
            word = _at(words, index)
            if word in ("or", "if"):
                return [source]
            if word == "and":
                found.append(words[start:index].strip())
                start = index + 3
    return [*found, words[start:].strip()]


def _word(char: str) -> bool:
    return char.isalnum() or char in "_."


def _at(text: str, index: int) -> str:
    end = index
    while end < len(text) and _word(text[end]):
        end += 1
    return text[index:end]
