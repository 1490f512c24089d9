"""Quiet hours: whether a moment lies in them, and when they are over."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.recipes import QuietHours


def quiet_until(hours: QuietHours, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours that `now` lies in are over, aware UTC; None outside of them. They may pass midnight.

    By the clock on the wall: where it goes back, a time that comes twice is quiet twice; an end that a clock change
    skips is met after the gap."""
    if not _quiet(hours, now, zone):
        return None
    ends = (each for each in _ends(hours, now, zone) if each > now and not _quiet(hours, each, zone))
    return min(ends)


def _quiet(hours: QuietHours, moment: datetime, zone: ZoneInfo) -> bool:
    clock = moment.astimezone(zone).time().replace(tzinfo=None)
    if hours.begin <= hours.end:
        return hours.begin <= clock < hours.end
    return clock >= hours.begin or clock < hours.end


def _ends(hours: QuietHours, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """The ends of quiet hours on this local day and the next two, those that come twice at both times."""
    days = [now.astimezone(zone).date() + timedelta(days=more) for more in range(3)]
    ends = [datetime.combine(day, hours.end, zone) for day in days]
    return [each.replace(fold=fold).astimezone(UTC) for each in ends for fold in (0, 1)]
