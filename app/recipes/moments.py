"""When a wait is over: spans and moments of steps, evaluated in a run's scope."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.expressions import EvaluationError, Expression
from app.recipes.durations import LocalTime, parse_duration, parse_local_time
from app.recipes.model import Wait


def span_of(span: timedelta | Expression, scope: Mapping[str, object]) -> timedelta:
    """A duration as a step says it: as it is, or text like `3d` that an expression gives. Raises EvaluationError."""
    if isinstance(span, timedelta):
        return span
    value = span.evaluate(scope)
    try:
        return parse_duration(value) if isinstance(value, str) else parse_duration(str(value))
    except ValueError as error:
        raise EvaluationError(f"{error}, in `{span.source}`") from None


def over_at(wait: Wait, scope: Mapping[str, object], now: datetime, zone: ZoneInfo) -> datetime:
    """When a `wait` that begins now is over, aware UTC. zone: the time zone that its `timezone` stands for.

    Raises EvaluationError where an expression gives no time."""
    if wait.span is not None:
        return now + span_of(wait.span, scope)
    if isinstance(wait.until, LocalTime):
        return wait.until.after(now, zone)
    if wait.until is None:
        return now
    value = wait.until.evaluate(scope)
    local = _local_time(value)
    return local.after(now, zone) if local is not None else _moment(wait.until, value, zone)


def _local_time(value: object) -> LocalTime | None:
    """The `next 09:00` that an expression gives, of an input for instance."""
    try:
        return parse_local_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _moment(expression: Expression, value: object, zone: ZoneInfo) -> datetime:
    """A time; a date is its midnight in the zone; text is read as ISO 8601."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(read, datetime):
            return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
        if isinstance(read, date):
            return datetime(read.year, read.month, read.day, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    given = "nothing" if value is None else repr(value)
    raise EvaluationError(f"this gives no time but {given}, in `{expression.source}`")
