"""How recipes write spans of time (`3d`, `90m`, `1h30m`) and moments (`next 09:00`, `monday 08:30`)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST = timedelta(days=3660)

_PART = re.compile(r"(\d{1,6})\s*([smhdw])")
_SPAN = re.compile(r"(?:\d{1,6}\s*[smhdw]\s*)+")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_MOMENT = re.compile(rf"(?:(next|{'|'.join(WEEKDAYS)})\s+)?({_CLOCK.pattern})", re.IGNORECASE)


def parse_duration(text: str) -> timedelta:
    """`90m`, `3d`, `1h 30m`, `2w`; ValueError with a sentence otherwise."""
    if not _SPAN.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a duration; write one like 90m, 3d or 1h30m")
    seconds = sum(int(amount) * UNITS[unit] for amount, unit in _PART.findall(text))
    if timedelta(seconds=seconds) > LONGEST:
        raise ValueError(f"{text!r} is longer than ten years; wait for an event, or for less")
    return timedelta(seconds=seconds)


def say_duration(span: timedelta) -> str:
    """The shortest way to write a span: `1h30m`."""
    seconds, said = int(span.total_seconds()), ""
    for unit in ("w", "d", "h", "m", "s"):
        count, seconds = divmod(seconds, UNITS[unit])
        said += f"{count}{unit}" if count else ""
    return said or "0s"


def parse_clock(text: str) -> time:
    """`09:00`; ValueError with a sentence otherwise."""
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a time of day; write one like 09:00")
    return time(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A time of day, of any day or of one weekday (0 = monday), to be met next in some time zone."""

    clock: time
    weekday: int | None = None

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first such moment later than this one, aware UTC. A clock change keeps the local time: one that it skips
        is met after the gap, one that comes twice at its first."""
        day = moment.astimezone(zone).date()
        for _ in range(9):
            candidate = datetime.combine(day, self.clock, zone).astimezone(UTC)
            if candidate > moment and self.weekday in (None, day.weekday()):
                return candidate
            day += timedelta(days=1)
        raise ValueError("the calendar has ended")


def parse_local_time(text: str) -> LocalTime:
    """`09:00`, `next 09:00`, `monday 08:30`; ValueError with a sentence otherwise."""
    found = _MOMENT.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a moment; write one like next 09:00 or monday 08:30")
    day = (found[1] or "next").lower()
    return LocalTime(parse_clock(found[2]), None if day == "next" else WEEKDAYS.index(day))
