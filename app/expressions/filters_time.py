"""Filters for times. Times are aware UTC and shown in a time zone by name, months and days in English."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from app.expressions.sandbox import bounded, is_number, kind_name

# strftime takes widths (`%1000000000d` fills the memory), so only bare directives pass
FORMAT = re.compile(r"(?:%-?[aAbBdHIjmMpSyYzZuV%]|[^%])*")
MAX_DAYS = 40_000


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise TypeError(f"there is no time zone {name[:40]!r}; write one like 'Europe/Berlin'") from None


def _time(value: Any, name: str) -> datetime:
    """A time; text in ISO 8601 is read, a date is its midnight in UTC."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise TypeError(f"{value!r} is not a time") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise TypeError(f"{name} needs a time, not {kind_name(value)}")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _shown(value: Any, form: str, timezone: str, name: str) -> str:
    if value is None:
        return ""
    if len(form) > 100 or not FORMAT.fullmatch(form):
        raise TypeError(f"{name} cannot use the format {form[:40]!r}; write one like '%d %b %Y'")
    return _time(value, name).astimezone(zone(timezone)).strftime(form)


def date_(value: Any, form: str = "%Y-%m-%d", timezone: str = "UTC") -> str:
    """`{{ order.created_at | date('%d %b %Y', 'Europe/Berlin') }}`."""
    return _shown(value, form, timezone, "date")


def time_(value: Any, form: str = "%H:%M", timezone: str = "UTC") -> str:
    return _shown(value, form, timezone, "time")


def weekday(value: Any, timezone: str = "UTC") -> str:
    """`monday` to `sunday` in that zone."""
    return _shown(value, "%A", timezone, "weekday").lower()


def hour(value: Any, timezone: str = "UTC") -> int:
    return _time(value, "hour").astimezone(zone(timezone)).hour


def iso(value: Any) -> str:
    """ISO 8601 in UTC with a Z; a date as it is."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return _time(value, "iso").astimezone(UTC).isoformat().replace("+00:00", "Z")


def add_days(value: Any, days: Any) -> datetime:
    """Days of 24 hours."""
    return _shifted(value, days, "add_days", 86_400)


def add_hours(value: Any, hours: Any) -> datetime:
    return _shifted(value, hours, "add_hours", 3_600)


def add_minutes(value: Any, minutes: Any) -> datetime:
    return _shifted(value, minutes, "add_minutes", 60)


def _shifted(value: Any, amount: Any, name: str, seconds: int) -> datetime:
    if not is_number(amount) or abs(bounded(amount)) * seconds > MAX_DAYS * 86_400:
        raise TypeError(f"{name} needs a number of at most a hundred years")
    try:
        return _time(value, name) + timedelta(microseconds=int(Decimal(amount) * seconds * 1_000_000))
    except OverflowError:
        raise TypeError(f"{name} leaves the calendar") from None


def days_until(value: Any, other: Any) -> Decimal:
    """Days of 24 hours from this time to the other, exact to the microsecond, negative if the other came before."""
    return hours_until(value, other) / 24


def hours_until(value: Any, other: Any) -> Decimal:
    span = _time(other, "hours_until") - _time(value, "hours_until")
    return Decimal(span // timedelta(microseconds=1)) / 3_600_000_000


FILTERS: Mapping[str, Callable[..., Any]] = {
    "date": date_,
    "time": time_,
    "weekday": weekday,
    "hour": hour,
    "iso": iso,
    "add_days": add_days,
    "add_hours": add_hours,
    "add_minutes": add_minutes,
    "days_until": days_until,
    "hours_until": hours_until,
}
