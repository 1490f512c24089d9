"""Quiet hours: whether a moment lies in them, and when they are over."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.recipes import LocalTime, QuietHours


def quiet_until(hours: QuietHours, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours that `now` lies in are over, aware UTC; None outside of them. They may pass midnight."""
    clock = now.astimezone(zone).time().replace(tzinfo=None)
    if hours.begin <= hours.end:
        quiet = hours.begin <= clock < hours.end
    else:
        quiet = clock >= hours.begin or clock < hours.end
    return LocalTime(hours.end).after(now - timedelta(microseconds=1), zone) if quiet else None
