"""Reading WooCommerce's fields as they are found: plugins change their types, so what cannot be read is not said.

Captured bodies have numbers as texts and texts as numbers, `""` and `false` for nothing, `[]` for an empty object.
"""

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from html import unescape
from typing import Any

import orjson
from pydantic import ValidationError

from app.connector import ConnectionProblemError, Facts, Json
from app.errors import MalformedError
from app.events import Money, Quantity, iso, parse_time

Body = dict[str, Any]

_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,30})?")
_REST_ERROR = re.compile(r"(woocommerce_)?rest_\w+")
_NOISE = frozenset({"_links", "related_ids", "price_html"})


def resource(payload: Json) -> Body:
    """The REST object of a webhook. Raises MalformedError if it is none, ConnectionProblemError for what WooCommerce
    posts in its place: a signed REST error (the webhook's user lost its rights), or the legacy API's body."""
    if not isinstance(payload, dict):
        raise MalformedError("the body is not a JSON object")
    if "id" not in payload:
        _explain(payload)
    if ident(payload, "id") is None:
        raise MalformedError("the body has no id")
    return payload


def _explain(payload: Body) -> None:
    code, message = payload.get("code"), payload.get("message")
    if isinstance(code, str) and isinstance(message, str) and _REST_ERROR.fullmatch(code):
        raise ConnectionProblemError(
            f"WooCommerce may not read what it should send ({code}: {message[:200]}): "
            "the user who owns the webhook was deleted or lost rights; save the webhook again as an administrator"
        )
    if any(isinstance(payload.get(name), dict) for name in ("order", "product", "customer", "coupon")):
        raise ConnectionProblemError("the webhook uses the legacy API: set its API version to WP REST API v3")


def text(body: Body, name: str) -> str | None:
    """Text, or a number as text; blanks, booleans and everything else are nothing."""
    value = body.get(name)
    if value.__class__ is str:  # the hot path: an order has a hundred of them
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return str(value)


def title(body: Body, name: str) -> str | None:
    """Text for people: WordPress keeps it with HTML entities."""
    said = text(body, name)
    return unescape(said) if said and "&" in said else said


def ident(body: Body, name: str) -> str | None:
    """An id; WordPress says 0 for none."""
    value = body.get(name)
    if value.__class__ is int:
        return str(value) if value else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    said = str(value).strip()
    return said if said not in ("", "0") else None


def number(value: Json) -> Decimal | None:
    """An exact number of a text or a JSON number (whose shortest text is what the sender wrote)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        return Decimal(value) if _DECIMAL.fullmatch(value) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, int | float | Decimal):
        return None
    try:
        plain = f"{Decimal(str(value)):f}"
    except InvalidOperation:
        return None
    return Decimal(plain) if _DECIMAL.fullmatch(plain) else None


_AS_SHOWN = re.compile(r"-?(?:[0-9]{1,15}|[0-9]{1,3}(?:\.[0-9]{3}){1,4}),[0-9]{1,2}")
"""An amount as a plugin shows it to buyers: 25,80 or 1.234,50."""


def amount(body: Body, name: str, currency: str | None) -> Money | None:
    """An amount of money; what is no plain number within bounds is nothing."""
    value = body.get(name)
    said = value.strip() if isinstance(value, str) else number(value)
    if isinstance(said, str) and "," in said and _AS_SHOWN.fullmatch(said):
        said = said.replace(".", "").replace(",", ".")
    if said is None or said == "" or currency is None:
        return None
    try:
        return Money(amount=said, currency=currency)
    except ValidationError:
        return None


def unread(body: Body, names: Sequence[str], currency: str | None) -> str | None:
    """Says which of these amounts the sender stated and nobody can read; None if there are none."""
    lost = [name for name in names if body.get(name) not in (None, "", False) and amount(body, name, currency) is None]
    return f"these amounts could not be read: {', '.join(lost)}" if lost else None


def quantity(body: Body, name: str) -> Quantity | None:
    value = number(body.get(name))
    return int(value) if value is not None and value == value.to_integral_value() else value


def moment(body: Body, name: str) -> datetime | None:
    """A `*_gmt` time: UTC that does not say so. The twin without `_gmt` is in the site's own zone and never read."""
    value = body.get(name)
    if not isinstance(value, str) or value.startswith("0000"):
        return None
    try:
        return parse_time(value, assume_utc=True)
    except (ValueError, OverflowError):
        return None


def flag(body: Body, name: str) -> bool | None:
    value = body.get(name)
    if isinstance(value, bool):
        return value
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(str(value).lower())


def nested(body: Body, name: str) -> Body:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def rows(body: Body, name: str) -> list[Body]:
    value = body.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def meta(body: Body) -> dict[str, Json]:
    """`meta_data` by key; of keys that repeat, the last that says something."""
    found: dict[str, Json] = {}
    for row in rows(body, "meta_data"):
        if isinstance(key := row.get("key"), str) and row.get("value") not in (None, "", []):
            found[key] = row.get("value")
    return found


def status_of(body: Body) -> str:
    """Of an order or subscription; the database's `wc-` in front is left out."""
    return (text(body, "status") or "").removeprefix("wc-")


def past(when: datetime | None, facts: Facts[Any]) -> bool:
    """Whether it happened before the connection was made."""
    return when is not None and facts.since is not None and when < facts.since


def occurrence(body: Body) -> tuple[str | None, str]:
    """(version, part) of an update: the time of the change, and what tells two changes of one second apart."""
    never = body.get("date_modified_gmt") in (None, "")
    changed = moment(body, "date_created_gmt" if never else "date_modified_gmt")
    version = None if changed is None else iso(changed)
    return version, f"{version or ''}#{fingerprint(body)}"


def fingerprint(body: Body) -> str:
    """Tells two bodies of one second apart (`date_modified_gmt` has no finer parts). Noise that differs between two
    deliveries of one state (random related products, rendered prices) is left out."""
    kept = {name: value for name, value in body.items() if name not in _NOISE}
    return blake2b(_canonical(kept), digest_size=8).hexdigest()


def _canonical(body: Body) -> bytes:
    try:
        return orjson.dumps(body, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(body, default=str, sort_keys=True).encode()
