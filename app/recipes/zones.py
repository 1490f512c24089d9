"""Time zones as recipes name them."""

from zoneinfo import ZoneInfo

from app.recipes.cursor import Cursor


def timezone(each: Cursor, also: tuple[str, ...] = ()) -> str:
    """A time zone by name, or one of some words."""
    name = each.text()
    if name and name not in also and not _is_zone(name):
        more = f", or {' or '.join(also)}" if also else ""
        each.wrong(f"there is no time zone {name!r}", f"write one like Europe/Berlin{more}")
    return name


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
