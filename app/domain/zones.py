"""Time zones of customers, by what an order or a customer says of places.

The zone of a country is the first that the time zone database lists for it in zone.tab; countries of several zones are
told apart by province where shops say one.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

_EAST, _CENTRAL, _MOUNTAIN, _PACIFIC = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
)  # fmt: skip
_PROVINCES: Mapping[str, Mapping[str, str]] = {
    "US": {
        **dict.fromkeys(("AL", "AR", "IA", "IL", "KS", "LA", "MN", "MO"), _CENTRAL),
        **dict.fromkeys(("MS", "ND", "NE", "OK", "SD", "TN", "TX", "WI"), _CENTRAL),
        **dict.fromkeys(("CO", "ID", "MT", "NM", "UT", "WY"), _MOUNTAIN),
        **dict.fromkeys(("CA", "NV", "OR", "WA"), _PACIFIC),
        "AZ": "America/Phoenix", "AK": "America/Anchorage", "HI": "Pacific/Honolulu",
    },
    "CA": {
        "AB": "America/Edmonton", "BC": "America/Vancouver", "MB": "America/Winnipeg", "NB": "America/Moncton",
        "NL": "America/St_Johns", "NS": "America/Halifax", "NT": "America/Edmonton", "NU": "America/Iqaluit",
        "ON": "America/Toronto", "PE": "America/Halifax", "QC": "America/Toronto", "SK": "America/Regina",
        "YT": "America/Whitehorse",
    },
    "AU": {
        "ACT": "Australia/Sydney", "NSW": "Australia/Sydney", "NT": "Australia/Darwin", "QLD": "Australia/Brisbane",
        "SA": "Australia/Adelaide", "TAS": "Australia/Hobart", "VIC": "Australia/Melbourne", "WA": "Australia/Perth",
    },
    "BR": {"SP": "America/Sao_Paulo", "RJ": "America/Sao_Paulo", "AM": "America/Manaus"},
}  # fmt: skip
_MAIN = {
    "US": _EAST, "CA": "America/Toronto", "AU": "Australia/Sydney", "BR": "America/Sao_Paulo", "RU": "Europe/Moscow",
    "MX": "America/Mexico_City", "ES": "Europe/Madrid", "PT": "Europe/Lisbon", "NZ": "Pacific/Auckland",
    "CN": "Asia/Shanghai", "ID": "Asia/Jakarta", "AR": "America/Argentina/Buenos_Aires", "CL": "America/Santiago",
    "DE": "Europe/Berlin", "UA": "Europe/Kyiv", "KZ": "Asia/Almaty",
}  # fmt: skip


@cache
def _countries() -> Mapping[str, str]:
    text = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            found.setdefault(country, name)
    return {**found, **_MAIN}


@cache
def zone_of(name: str) -> ZoneInfo | None:
    """A zone by its name; None if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def customer_zone(scope: Mapping[str, Any]) -> ZoneInfo | None:
    """The zone of the customer whom a run is about: as the sender says it, else by country and province; None where
    nothing tells."""
    for thing in _things(scope):
        named = thing.get("timezone")
        if isinstance(named, str) and (zone := zone_of(named)):
            return zone
    for thing in _things(scope):
        for address in _addresses(thing):
            if zone := _by_address(address):
                return zone
    return None


def _things(scope: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("customer", "order", "checkout", "fulfillment", "subscription"):
        thing = scope.get(name)
        if isinstance(thing, Mapping):
            yield thing
            if isinstance(thing.get("customer"), Mapping):
                yield thing["customer"]


def _addresses(thing: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("shipping_address", "default_address", "billing_address", "address"):
        if isinstance(thing.get(name), Mapping):
            yield thing[name]
    for address in thing.get("addresses") or ():
        if isinstance(address, Mapping):
            yield address


def _by_address(address: Mapping[str, Any]) -> ZoneInfo | None:
    country = str(address.get("country_code") or "").upper()
    province = str(address.get("province_code") or address.get("province") or "").upper()
    name = _PROVINCES.get(country, {}).get(province) or _countries().get(country)
    return zone_of(name) if name else None
