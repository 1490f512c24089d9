"""Where calls differ from those that a test file expects, or another version makes, for people: field by field."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any, Protocol

WIDE = 100
"""Characters of two values that still stand in one line."""


class Made(Protocol):
    """A call that came: its action, its step, and its input as plain data."""

    @property
    def use(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def values(self) -> Any: ...


class Wanted(Protocol):
    """A call that is expected, with those of its inputs that are compared."""

    @property
    def use(self) -> str: ...
    @property
    def step(self) -> str | None: ...
    @property
    def values(self) -> Mapping[str, Any]: ...


def calls_differ(made: Sequence[Made], wanted: Sequence[Wanted]) -> Iterator[str]:
    """All calls in order: those that lack, those that came beside, and the inputs of those that are there."""
    got, expected = [call.use for call in made], [call.use for call in wanted]
    if got != expected:
        yield f"calls: expected {', '.join(expected) or 'none'}; got {', '.join(got) or 'none'}"
    for kind, i, j, k, m in SequenceMatcher(None, expected, got, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"- {each.use}{_with(each.values)}" for each in wanted[i:j])
            yield from (f"+ {each.use}{_with(each.values)}" for each in made[k:m])
            continue
        for number, (call, one) in enumerate(zip(made[k:m], wanted[i:j], strict=True), k + 1):
            if one.step is not None and one.step not in (call.step.partition("[")[0], call.step):
                yield f"call {number}, {call.use}: expected step {one.step!r}, got {call.step!r}"
            for line in differences(one.values, call.values):
                yield f"    {line}" if line.startswith(" ") else f"call {number}, {call.use}: {line}"


def _with(values: Any) -> str:
    return f" with {said(values)}" if values else ""


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[str]:
    """Where what came differs from what was expected, a line each. Of objects only the named fields are compared."""
    here = at or "it"
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name, each in expected.items():
            inner = f"{at}.{name}" if at else str(name)
            if name not in actual and each is not None:
                yield f"{inner}: expected {said(each)}, and it is missing"
            else:
                yield from differences(each, actual.get(name), inner)
    elif isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        if len(expected) != len(actual):
            yield f"{here}: expected {len(expected)} items, got {len(actual)}: {said(actual)}"
        for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, f"{at}[{index}]")
    elif plain(expected) != plain(actual) or isinstance(expected, bool) != isinstance(actual, bool):
        yield from _other(here, expected, actual)


def versions_differ(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the calls of two versions for one event differ: those that go, those that come, and the inputs that change.

    Calls are as JSON says them: `use`, `step`, `item` and `input`."""
    old, new = ({(call["use"], call["step"], call["item"]): call["input"] for call in side} for side in (before, after))
    if old == new:
        yield "the same calls in another order"
    for key in dict.fromkeys([*old, *new]):
        use, step, item = key
        if key not in new or key not in old:
            yield f"- {use}{_with(old[key])}" if key in old else f"+ {use}{_with(new[key])}"
        elif old[key] != new[key]:
            yield f"~ {use} (step {step}{f', item {item}' if item is not None else ''})"
            yield from (f"    {line}" for line in _changes(old[key], new[key], ""))


def _changes(before: Any, after: Any, at: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _changes(before.get(name), after.get(name), f"{at}.{name}" if at else str(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _changes(one, other, f"{at}[{index}]")
    elif before != after:
        yield from _other(at, before, after, ("before", "now"))


def _other(here: str, expected: Any, actual: Any, words: tuple[str, str] = ("expected", "got")) -> Iterator[str]:
    """Two values in a line; long texts below each other, from where they begin to differ."""
    one, other = said(expected), said(actual)
    if len(one) + len(other) < WIDE or not isinstance(expected, str) or not isinstance(actual, str):
        yield f"{here}: {words[0]} {one}, {words[1]} {other}"
        return
    same = next((i for i, (a, b) in enumerate(zip(expected, actual)) if a != b), min(len(expected), len(actual)))  # noqa: B905
    yield f"{here}: they differ from character {same + 1} on"
    same = max(0, same - 20)
    for word, text in zip(words, (expected, actual), strict=True):
        yield f"    {word:<8} {'...' if same else ''}{said(text[same:])}"


def plain(value: Any) -> Any:
    """Numbers as Decimals, times and dates as text: as a test file writes them."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def said(value: Any) -> str:
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else str(plain(value))
    return text if len(text) <= 200 else text[:197] + "..."
