"""How Shopify's JSON is read: tables of fields, exact money, ids, times, and one door for what cannot be read.

A body is untyped until the canonical model has validated it; what is not of the documented shape is the sender's matter
and ends as MalformedError, never as another exception.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import lru_cache, wraps
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from app.connector import Facts, Ignored, Normaliser, State
from app.errors import MalformedError, misread
from app.events import Event, Money, Ref, iso, parse_time
from connectors.shopify.settings import Settings

Body = dict[str, Any]
Table = tuple[tuple[str, str], ...]
"""(our field, Shopify's key) pairs of what is taken as it is."""

M = TypeVar("M", bound=BaseModel)

SHOP, PRESENTMENT = "shop_money", "presentment_money"
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
NOTHING = Decimal(0)
_MISREAD = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError)


def table(same: str = "", **renamed: str) -> Table:
    """Fields of the same name in both languages, then ours=theirs."""
    return (*((name, name) for name in same.split()), *renamed.items())


def take(fields: Table, body: Body) -> Body:
    """What the body says of these fields; null is not saying it."""
    get = body.get
    return {ours: value for ours, theirs in fields if (value := get(theirs)) is not None}


def guarded(function: Callable[[Body, Facts[Settings], State], Sequence[Event] | Ignored]) -> Normaliser[Settings]:
    """Turns whatever a body of another shape than documented sets off into MalformedError, with the topic."""

    @wraps(function)
    def normalise(body: Any, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
        try:
            return function(an_object(body), facts, state)
        except MalformedError as e:
            raise MalformedError(f"{facts.topic}: {e}") from e
        except ValidationError as e:
            raise MalformedError(f"{facts.topic}: {_said(e)}") from e
        except _MISREAD as e:
            raise MalformedError(f"{facts.topic}: the body is not of the documented shape: {misread(e)}") from e

    return normalise


def an_object(body: Any) -> Body:
    if not isinstance(body, dict):
        raise MalformedError(f"the body is {'null' if body is None else type(body).__name__}, not an object")
    return body


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def build(model: type[M], data: Body) -> tuple[M, str | None]:
    """The model of the data, and what had to be left out of it because it could not be read.

    Amounts are never left out: they are Money already, or their error has ended the reading.
    """
    try:
        return model.model_validate(data), None
    except ValidationError as e:
        bad = sorted({_leave_out(data, error["loc"]) for error in e.errors(include_url=False, include_input=False)})
        return model.model_validate(data), f"could not be read: {', '.join(bad)}"


def _leave_out(data: Any, path: tuple[int | str, ...]) -> str:
    """Blank the deepest field of a dict on the path; its name."""
    holder, key, seen = data, path[0], []
    for part in path:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if not inside:
            break
        seen.append(str(part))
        if isinstance(data, dict):
            holder, key = data, part
        data = data[part]
    holder[key] = None
    return ".".join(seen)


# --- ids and times ----------------------------------------------------------------------------------------------


def ident(value: Any) -> str | None:
    """An id as text, exact at any size: of a number, of text, of the end of a gid (`gid://shopify/Order/1?key=x`)."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value.split("?", 1)[0].rsplit("/", 1)[-1] if value.startswith("gid:") else value
    return None


def id_of(body: Body) -> str:
    return needed(ident(body.get("id")) or ident(body.get("admin_graphql_api_id")), "id")


def needed(value: str | None, name: str) -> str:
    if not value:
        raise MalformedError(f"the body has no {name}")
    return value


def time_of(value: Any) -> datetime | None:
    """A moment in UTC; None for what is no time."""
    return _moment(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime | None:
    """One body says the same moment several times, and those around it say it again."""
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        return None


def version_of(moment: datetime | None) -> str | None:
    """Sortable as text: always with microseconds, always in UTC (`2026-11-22T16:02:05.000000Z`)."""
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def header(headers: Mapping[str, str], name: str) -> str | None:
    """`X-Shopify-<name>`, or the unprefixed `shopify-<name>` of the newer Events."""
    return headers.get(f"x-shopify-{name}") or headers.get(f"shopify-{name}")


def triggered_at(facts: Facts[Settings]) -> datetime:
    """When Shopify says that it happened (nanoseconds cut), else when it came in: for bodies without any time."""
    return time_of(header(facts.headers, "triggered-at")) or facts.received_at


def happening(facts: Facts[Settings]) -> str:
    """What tells this occurrence from the next where the body has no version: the merchant's one action, else this
    delivery, else its time."""
    said = header(facts.headers, "event-id") or header(facts.headers, "webhook-id")
    return said or iso(triggered_at(facts))


def fingerprint(body: Any) -> str:
    """8 hex digits of the content: two changes in one second have the same `updated_at` and differ in this only."""
    try:
        text = orjson.dumps(body)
    except TypeError:  # numbers that only Decimal or a long int can hold
        text = repr(body).encode(errors="surrogatepass")
    return f"{zlib.crc32(text):08x}"


# --- numbers and money ------------------------------------------------------------------------------------------


def number(value: Any) -> Any:
    """A JSON number with a fraction as an exact decimal of the digits that were sent; all else as it is."""
    return _digits(value) if isinstance(value, float) else value


@lru_cache(maxsize=1024)
def _digits(value: float) -> Decimal:
    """Tax rates are few."""
    return Decimal(repr(value))


def money(amount: Any, currency: str | None) -> Money | None:
    """Money of Shopify's decimal text (or, in old bodies, number). None if it or the currency is missing."""
    if amount is None or amount == "" or not currency:
        return None
    if type(amount) is not str:
        if isinstance(amount, bool) or not isinstance(amount, int | float | Decimal):
            raise MalformedError(f"{type(amount).__name__} is no amount of money")
        amount = str(amount)
    try:
        return _money(amount, currency)
    except (ValidationError, TypeError) as e:
        raise MalformedError(f"{amount[:40]!r} {str(currency)[:10]!r} is no amount of money") from e


@lru_cache(maxsize=16384)
def _money(amount: str, currency: str) -> Money:
    """Amounts repeat within an order and between orders (0.00, prices); they are immutable and so shared."""
    return Money(amount=amount, currency=currency)


def exactly(amount: Decimal, currency: str) -> Money:
    return _money(str(amount), currency)


def amount_of(body: Body, name: str, currency: str | None, side: str = SHOP) -> Money | None:
    """`<name>_set` on that side, else (old bodies, shop money only) `<name>` in the shop's currency."""
    pair = body.get(name + "_set")
    if pair:
        given = pair.get(side)
        if (
            currency
            and given
            and given.get("currency_code") == currency
            and type(amount := given.get("amount")) is str
            and amount
        ):
            return _money(amount, currency)  # the way of nearly all amounts, sixty an order
        return of_pair(pair, currency, side)
    return money(body.get(name), currency) if side == SHOP else None


def of_pair(pair: Any, currency: str | None, side: str = SHOP) -> Money | None:
    """Money of `{shop_money, presentment_money}`. Some examples of Shopify's say XXX, ISO 4217's "no currency"."""
    given = pair.get(side)
    if not given:
        return None
    code = given.get("currency_code") or given.get("currency")
    return money(given.get("amount"), currency if code in (None, "XXX") and currency else code)


def added(moneys: Iterable[Money | None]) -> Decimal:
    """The sum of those that are known, 0 of none (callers see to the one currency)."""
    result = NOTHING
    for each in moneys:
        if each is not None:
            result = EXACT.add(result, each.amount)
    return result


def listed(value: Any) -> list[Any]:
    """A list of objects; [] for null and for what has no such list."""
    return value or []


def names_and_values(pairs: Any) -> dict[str, Any]:
    """`[{name, value}]` as a dict; a repeated name keeps its last value. Some bodies have a plain object here."""
    if isinstance(pairs, dict):
        return pairs
    return {str(pair.get("name")): pair.get("value") for pair in pairs or ()}


def tags_of(value: Any) -> list[str] | None:
    """Tags come as one text with commas, in a few bodies as a list; None where the body does not say them."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    return [tag for part in parts if (tag := str(part).strip())]


def one(type_: str, object_: Ref, data: BaseModel, occurred_at: datetime | None, **more: Any) -> list[Event]:
    """One event, on the timeline of its own object unless `subject` says another."""
    subject = more.pop("subject", object_)
    return [Event(type=type_, object=object_, subject=subject, occurred_at=occurred_at, data=data, **more)]
