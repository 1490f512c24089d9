"""Filters for people and places: names, postal addresses, phone numbers."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from app.expressions.sandbox import kind_name

PHONE_STYLES = ("e164", "international", "national")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} needs an object, not {kind_name(value)}")
    return value


def _said(person: Mapping[str, Any], *fields: str) -> str:
    """The first of these fields that says something."""
    return next((str(person[each]).strip() for each in fields if person.get(each)), "")


def name(value: Any, part: str = "full") -> str | None:
    """`full`, `first` or `last` name of a customer or address; nothing when none was given."""
    if value is None:
        return None
    person = _object(value, "name")
    if part == "full":
        both = " ".join(filter(None, (_said(person, "first_name"), _said(person, "last_name"))))
        return _said(person, "name") or both or None
    if part not in ("first", "last"):
        raise TypeError(f"name knows full, first and last, not {part!r}")
    whole = _said(person, "name").split()
    return _said(person, f"{part}_name") or (whole[0 if part == "first" else -1] if whole else None)


def address(value: Any, separator: str = ", ") -> str:
    """A postal address on one line, or with line breaks as `separator`: name, company, street, place, country."""
    if value is None:
        return ""
    place = _object(value, "address")
    town = " ".join(filter(None, (_said(place, "postal_code"), _said(place, "city"))))
    lines = (name(place), _said(place, "company"), _said(place, "address1"), _said(place, "address2"), town)
    return separator.join(filter(None, (*lines, _said(place, "province"), _said(place, "country", "country_code"))))


@lru_cache(maxsize=4096)
def _phone(text: str, region: str | None, style: str) -> str | None:
    import phonenumbers  # 50 ms to import, and few recipes want it

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    form = getattr(phonenumbers.PhoneNumberFormat, style.upper())
    return phonenumbers.format_number(number, form)


def phone(value: Any, region: str | None = None, style: str = "e164") -> str | None:
    """`+4930123456` from any way of writing it; `region` (two letters) reads local ones. None when it is no number."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(f"phone needs text, not {kind_name(value)}")
    if style not in PHONE_STYLES:
        raise TypeError(f"phone knows {', '.join(PHONE_STYLES)}, not {style!r}")
    return _phone(value[:50], region, style)


FILTERS: Mapping[str, Callable[..., Any]] = {"name": name, "address": address, "phone": phone}
