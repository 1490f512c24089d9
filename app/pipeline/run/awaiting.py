"""Waiting for events: by which fields an event finds a run, and whether it is the one that is meant."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.expressions import EvaluationError
from app.pipeline.run.facts import Ear, Frame, Heard
from app.recipes import Awaited, Equality


def ears(awaited: Awaited, frame: Frame, step: str | None) -> Iterator[Ear]:
    """The waiters of one `wait_for` or `cancel_on`: of every `or` branch one equality whose value is there.

    A branch with an absent value can never be true, and makes none."""
    scope = {**frame.scope, "run": frame.scope}
    for branch in awaited.branches:
        values = [(equality, _value(equality, scope)) for equality in branch]
        if values and all(value is not None for _, value in values):
            equality, value = values[0]
            for event_type in awaited.events:
                yield Ear(event_type, str(equality), value, step)


def _value(equality: Equality, scope: Mapping[str, Any]) -> Any:
    try:
        return equality.value.evaluate(scope)
    except EvaluationError:
        return None


def meant(awaited: Awaited, frame: Frame, heard: Heard) -> bool:
    """Whether an event is one that is waited for. What cannot be evaluated for it is not."""
    if heard.type not in awaited.events or awaited.connection not in (None, heard.connection):
        return False
    try:
        return bool(awaited.where.evaluate({**frame.scope, **heard.facts, "run": frame.scope}))
    except EvaluationError:
        return False


def field_of(facts: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted field of an event's scope; None where it is absent."""
    value: Any = facts
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            return None
    return value


def same(value: Any) -> str:
    """Text that is equal for values that expressions call equal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return f"n{Decimal(value).normalize():f}"
    if isinstance(value, datetime | date):
        return f"t{value.isoformat()}"
    return f"s{value}"
