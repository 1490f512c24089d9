"""Schedules: five fields of cron (minute, hour, day, month, weekday) read as local times of a zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WORDS = DAYS | {name: number for number, name in enumerate(MONTHS, 1)}
NAMED = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}


@dataclass(frozen=True, slots=True)
class Cron:
    """Which minutes match. When both day and weekday are narrowed, either one is enough, as cron does."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def day_matches(self, moment: datetime) -> bool:
        by_day, by_weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return moment.month in self.months and (by_day or by_weekday if self.either_day else by_day and by_weekday)

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first slot later than this moment, aware UTC. A local time that a clock change skips is met after the
        gap; one that comes twice, at its first, in a schedule of every hour at both. ValueError when none comes within
        ten years."""
        day = moment.astimezone(zone).date()
        for _ in range(3660):
            start = datetime(day.year, day.month, day.day, tzinfo=zone)
            if self.day_matches(start):
                for slot in self._slots(start):
                    if slot > moment:
                        return slot
            day += timedelta(days=1)
        raise ValueError("this schedule never comes")

    def _slots(self, start: datetime) -> Iterator[datetime]:
        seen = [start.replace(hour=hour, minute=minute) for hour in self.hours for minute in self.minutes]
        slots = {each.astimezone(UTC) for each in seen}
        if len(self.hours) == 24:
            again = ((each.astimezone(UTC), each.replace(fold=1).astimezone(UTC)) for each in seen)
            slots |= {second for first, second in again if second > first}
        return iter(sorted(slots))


def parse_cron(text: str) -> Cron:
    """`0 9 * * mon-fri`, `*/15 * * * *`, or hourly, daily, weekly, monthly. ValueError with a sentence otherwise."""
    parts = NAMED.get(text.strip(), text).lower().split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"{text!r} is not a schedule; write five fields (0 9 * * mon-fri), or daily, weekly, monthly")
    found = [_field(part, *bounds) for part, bounds in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in found[4])
    cron = Cron(found[0], found[1], found[2], found[3], weekdays, parts[2] != "*" and parts[4] != "*")
    cron.after(datetime(2024, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))
    return cron


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = least, most
        else:
            begin = _number(first, name, least, most)
            last = "7" if last == "sun" else last  # after saturday, where it ends a span
            end = _number(last, name, least, most) if last else (most if step else begin)
        every = _number(step, name, 1, most) if step else 1
        if begin > end:
            raise ValueError(f"{span!r} is not a range of {name}s; begin with the smaller one")
        numbers |= set(range(begin, end + 1, every))
    return frozenset(numbers)


def _number(text: str, name: str, least: int, most: int) -> int:
    number = WORDS.get(text, int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1)
    if not least <= number <= most:
        raise ValueError(f"{text!r} is not {'an' if name == 'hour' else 'a'} {name}; it goes from {least} to {most}")
    return number
