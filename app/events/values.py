"""The plain values that canonical models are made of: ids and texts, exact numbers, times, free data.

Hot fields validate inside pydantic's core; Python code runs only where a value must be changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, cast

import orjson
from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")
LARGEST = Decimal(10) ** 15
_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,30})?([eE]-[0-3]?[0-9])?$"
_PLACES = 30
_FRACTION = re.compile(r"(?<=[.,][0-9]{6})[0-9]+")
_UNSAYABLE = re.compile("[\x00\ud800-\udfff]")
_WORD = 2**63  # larger whole numbers are floats to most JSON readers
_EXACT_IN_JSON = 15  # significant digits that any JSON reader keeps


def _ordered(*choices: CoreSchema) -> CoreSchema:
    """The first that accepts. The serializer of a union would try its choices anew, several times slower."""
    return core_schema.union_schema(
        [*choices], mode="left_to_right", serialization=core_schema.simple_ser_schema("any")
    )


def _exact() -> CoreSchema:
    # A function after a pattern costs less than the core's own decimal schema with bounds.
    text = core_schema.no_info_after_validator_function(Decimal, core_schema.str_schema(strict=True, pattern=_NUMBER))
    whole = core_schema.no_info_after_validator_function(_bounded, core_schema.int_schema(strict=True))
    decimal = core_schema.no_info_after_validator_function(_bounded, core_schema.is_instance_schema(Decimal))
    return core_schema.json_or_python_schema(_ordered(text, whole), _ordered(text, decimal, whole))


def _bounded(value: int | Decimal) -> Decimal:
    """A Decimal that is written without a positive exponent, so that its text matches the pattern."""
    number = Decimal(value)
    places = number.as_tuple().exponent
    if not isinstance(places, int) or not -LARGEST < number < LARGEST or places < -_PLACES:
        raise ValueError(f"must be a number of less than {LARGEST:E} and at most {_PLACES} decimals")
    return number if places <= 0 else number.quantize(Decimal(1))


def _quantity() -> CoreSchema:
    return _ordered(core_schema.int_schema(strict=True, ge=-int(LARGEST), le=int(LARGEST)), _exact())


def _id() -> CoreSchema:
    digits = core_schema.no_info_after_validator_function(str, core_schema.int_schema(strict=True))
    return _ordered(core_schema.str_schema(strict=True, min_length=1), digits)


def _text() -> CoreSchema:
    blank = core_schema.no_info_plain_validator_function(_blank_is_none)
    return _ordered(core_schema.str_schema(strict=True, min_length=1), core_schema.none_schema(), _id(), blank)


def _blank_is_none(value: object) -> None:
    if value != "":
        raise ValueError("must be text or a whole number")


def _time() -> CoreSchema:
    iso = core_schema.str_schema(strict=True, pattern="^[0-9]{4}-")  # the core would take digits for seconds
    text = core_schema.chain_schema([iso, core_schema.datetime_schema(tz_constraint=0)])
    text_shifted = _in_utc(core_schema.chain_schema([iso, core_schema.datetime_schema(tz_constraint="aware")]))
    moment = core_schema.datetime_schema(strict=True, tz_constraint=0)
    shifted = _in_utc(core_schema.datetime_schema(strict=True, tz_constraint="aware"))
    return core_schema.json_or_python_schema(
        _ordered(text, text_shifted), _ordered(moment, shifted, text, text_shifted)
    )


def _in_utc(schema: CoreSchema) -> CoreSchema:
    return core_schema.no_info_after_validator_function(lambda moment: moment.astimezone(UTC), schema)


@dataclass(frozen=True, eq=False)
class _As:
    """Marks an annotated type: validated by this core schema, shown as this JSON Schema."""

    core: Callable[[], CoreSchema]
    json: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.core()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(self.json)


_NUMBER_JSON = {"type": "string", "pattern": _NUMBER}

Exact = Annotated[Decimal, _As(_exact, _NUMBER_JSON)]
"""A Decimal of less than 10**15; from text, int or Decimal, never from a float. A string in JSON."""
Quantity = Annotated[int | Decimal, _As(_quantity, {"anyOf": [{"type": "integer"}, _NUMBER_JSON]})]
"""How many: an int, or a Decimal (a string in JSON) where a shop sells 16.5 of something."""
Id = Annotated[str, _As(_id, {"type": "string", "minLength": 1})]
"""A sender's id: text, never blank; an int becomes its digits."""
Text = Annotated[str | None, _As(_text, {"anyOf": [{"type": "string"}, {"type": "null"}]})]
"""Optional text or id; blank is None; an int (senders mix types) becomes its digits; a float is refused."""
Time = Annotated[datetime, _As(_time, {"type": "string", "format": "date-time"})]
"""An aware moment, kept in UTC. Naive ones and numbers are refused: see `parse_time` and `from_unix`."""


def parse_time(text: str | None, *, assume_utc: bool = False) -> datetime | None:
    """The moment that ISO 8601 text names, in UTC; None for None or "". Nanoseconds are cut to microseconds.

    `assume_utc` is for senders that write UTC without saying so (WooCommerce's `*_gmt`). ValueError if the text is no
    time, or has no offset and `assume_utc` is off.
    """
    if not text:
        return None
    moment = datetime.fromisoformat(_FRACTION.sub("", text.strip()))
    if moment.tzinfo is None:
        if not assume_utc:
            raise ValueError(f"{text!r} does not say its offset from UTC")
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def from_unix(seconds: int | str | None) -> datetime | None:
    """The moment of whole seconds since 1970, in UTC; None for None or ""."""
    if seconds is None or seconds == "":
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _plain(value: Any) -> Any:
    """Free data as plain data that comes back from JSON as the same value and type (see `Free`)."""
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value if -_WORD <= value < _WORD else str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, datetime | date):
        return _iso(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="python"))
    raise ValueError(f"{type(value).__name__} is not plain data")


def _number(value: float | Decimal) -> Decimal | str:
    """A Decimal if every JSON reader would keep its digits, else its text."""
    number = Decimal(repr(value)) if isinstance(value, float) else value
    digits = number.as_tuple()
    fits = number.is_finite() and len(digits.digits) <= _EXACT_IN_JSON and abs(number.adjusted()) < 30
    return number if fits else str(number)


def _iso(value: date) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat()


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _jsonable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    return value


Free = Annotated[
    Any,
    PlainValidator(_plain),
    PlainSerializer(_jsonable, when_used="json"),
    WithJsonSchema({"description": "Free data"}),
]
"""Free plain data. Numbers with a fraction are Decimals (JSON numbers outside), those of more digits than JSON readers
keep and times are text; so that what comes back from the store has the same value and type."""


def clean(value: T) -> T:
    """The same plain data with U+FFFD for U+0000 and lone surrogates, which PostgreSQL and UTF-8 refuse, in all texts.

    Data without any is returned as it is, after one pass in C.
    """
    try:
        if b"\\u0000" not in orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS):
            return value
    except TypeError:  # a lone surrogate, or a number that orjson does not write
        pass
    return cast(T, _cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSAYABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(each) for each in value)
    return value
