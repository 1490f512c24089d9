"""Reading Stripe's bodies of any version from 2017 on: by presence of fields, never by the version's name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.connector import Json, State
from app.errors import MalformedError
from app.events import Money, from_unix, iso
from connectors.stripe.amounts import from_api, from_decimal

_PLACEHOLDER = re.compile(r"_?0{12,}$")
"""Ends the ids of "send test webhook" and of published samples: evt_00000000000000, payout.failed_00000000000000."""


@dataclass(frozen=True, slots=True)
class Obj:
    """One JSON object. What is missing, or of another type than asked for, is None, empty or an empty Obj."""

    raw: Mapping[str, Json]

    def __bool__(self) -> bool:
        return bool(self.raw)

    def has(self, name: str) -> bool:
        return name in self.raw

    def text(self, *names: str) -> str | None:
        """The first that is said and not blank."""
        for name in names:
            value = self.raw.get(name)
            if value and isinstance(value, str):
                return value
        return None

    def id(self, *names: str) -> str | None:
        """The id under the first of these names that has one; what stands there may be expanded to an object."""
        for name in names:
            value = self.raw.get(name)
            found = value.get("id") if isinstance(value, dict) else value
            if isinstance(found, str) and found:
                return found
        return None

    def flag(self, name: str) -> bool | None:
        value = self.raw.get(name)
        return {"true": True, "false": False}.get(value) if isinstance(value, str) else as_flag(value)

    def whole(self, *names: str) -> int | None:
        """The first whole number. MalformedError for a number with a fraction: amounts and times have none."""
        for name in names:
            value = self.raw.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if value is not None and not isinstance(value, bool | str | dict | list):
                raise MalformedError(f"{name} is {value!r}, not a whole number")
        return None

    def time(self, *names: str) -> datetime | None:
        """MalformedError for seconds that name no moment."""
        try:
            return from_unix(self.whole(*names))
        except (ValueError, OverflowError, OSError) as e:
            raise MalformedError(f"{names[0]} is no time: {e}") from e

    def money(self, *names: str, currency: str | None = None) -> Money | None:
        """The first amount in minor units, in this object's currency unless another is given."""
        return from_api(self.whole(*names), currency or self.text("currency"))

    def unit_price(self) -> Money | None:
        """Of a price or plan: `unit_amount`, or the text `unit_amount_decimal` where it is finer than a minor unit."""
        currency = self.text("currency")
        return self.money("unit_amount", "amount") or from_decimal(
            self.text("unit_amount_decimal", "amount_decimal"), currency
        )

    @property
    def currency(self) -> str | None:
        """In capitals; Stripe writes small letters."""
        said = self.text("currency")
        return said.upper() if said else None

    @property
    def test(self) -> bool | None:
        live = self.flag("livemode")
        return None if live is None else not live

    def of(self, *names: str) -> "Obj":
        """The first object that stands under one of these names."""
        for name in names:
            value = self.raw.get(name)
            if isinstance(value, dict):
                return Obj(value)
        return NOTHING

    def all(self, name: str) -> "list[Obj]":
        """The objects of an array, or of Stripe's list object."""
        value = self.raw.get(name)
        items = value.get("data") if isinstance(value, dict) else value
        return [Obj(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    def texts(self, name: str) -> list[str]:
        value = self.raw.get(name)
        return [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else []

    def metadata(self) -> dict[str, str]:
        """Stripe's are texts; what a proxy damaged is left out."""
        return {key: value for key, value in self.of("metadata").raw.items() if isinstance(value, str)}

    def must(self, *names: str) -> str:
        """An id; MalformedError without."""
        found = self.id(*names)
        if found is None:
            raise MalformedError(f"the body says no {names[0]}")
        return found


NOTHING = Obj({})


def said(**values: str | None) -> dict[str, str]:
    """Only what is known."""
    return {name: value for name, value in values.items() if value is not None}


def as_flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class Notice:
    """One snapshot event: the object as it was, and what it was before for those that changed."""

    id: str
    topic: str
    created: datetime | None
    object: Obj
    previous: Obj
    livemode: bool | None
    account: str | None
    received_at: datetime
    state: State

    @property
    def version(self) -> str | None:
        return iso(self.created) if self.created else None

    @property
    def occurrence(self) -> str:
        """Which of the events that say the same type about the same object."""
        return f"{self.id} {iso(self.received_at)}" if is_placeholder(self.id) else self.id


def is_placeholder(id: str) -> bool:
    return _PLACEHOLDER.search(id) is not None


def read_notice(payload: Json, received_at: datetime, state: State | None = None) -> Notice:
    """The envelope of an event, and what is remembered of its objects. MalformedError if it is none."""
    if not isinstance(payload, dict):
        raise MalformedError("the body is not a Stripe event")
    event = Obj(payload)
    return Notice(
        id=event.must("id"),
        topic=event.must("type"),
        created=event.time("created"),
        object=event.of("data").of("object"),
        previous=event.of("data").of("previous_attributes"),
        livemode=event.flag("livemode"),
        account=event.text("account"),
        received_at=received_at,
        state=state or {},
    )
