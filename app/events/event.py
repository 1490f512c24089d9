"""An event as a source states it, its stored form, and its envelope outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema, from_json, to_json

from app.events.parties import Customer
from app.events.types import EVENT_TYPES, CustomEvent, event_type

SCHEMA_VERSION = 1
"""Of stored event data. Within one only optional fields are added."""

Upcaster = Callable[[str, dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[int, Upcaster] = {}
"""Schema version -> (event type, data) -> data of the next version."""


class Ref(NamedTuple):
    """A thing by its kind and its sender's id (never a display number); the hub adds the connection."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One canonical fact.

    object: the one thing that it states; subject: the thing on whose timeline it stands.
    version: the sender's version of the object, sortable as text (an ISO time): what an older one says is stale.
    part: which occurrence of a type that repeats, where the version does not tell (billing period, attempt, movement).
    note: what could not be read. echo: the action of ours that may have caused it.
    remember: small JSON state of the object for the next time. links: other systems' ids.
    """

    type: str
    object: Ref
    subject: Ref
    occurred_at: datetime | None
    data: BaseModel
    version: str | None = None
    part: str | None = None
    test: bool = False
    historical: bool = False
    note: str | None = None
    echo: str | None = None
    remember: dict[str, Any] | None = None
    links: tuple[Ref, ...] = ()

    def check(self) -> None:
        """ValueError if the type is unknown, the data of another model, or nothing could tell it from the next one."""
        model = event_type(self.type).model
        if type(self.data) is not model:
            raise ValueError(f"{self.type} carries {model.__name__}, not {type(self.data).__name__}")
        for ref in (self.object, self.subject, *self.links):
            if not (isinstance(ref.id, str) and ref.id and ref.kind):
                raise ValueError(f"{self.type}: {tuple(ref)!r} names nothing: kind and id must be text and not blank")
        if self.occurred_at is not None and self.occurred_at.tzinfo is None:
            raise ValueError(f"{self.type}: occurred_at must say its offset from UTC")
        if self.occurrence() is None:
            raise ValueError(f"{self.type} repeats: give its version, part or occurred_at")

    def occurrence(self) -> str | None:
        """What tells this event from another of its object and type: "" for milestones, else part, version or time."""
        if event_type(self.type).milestone:
            return ""
        return self.part or self.version or (iso(self.occurred_at) if self.occurred_at else None)


def iso(moment: datetime) -> str:
    """The moment in UTC as ISO 8601 with Z; texts of one precision sort as the moments do."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def dump(data: BaseModel) -> bytes:
    """Event data as compact JSON: decimals as text, times as ISO 8601 with Z, what was not said left out."""
    return data.__pydantic_serializer__.to_json(data, exclude_none=True)


def plain(data: BaseModel) -> dict[str, Any]:
    """As `dump`, but decoded: a dict of JSON values."""
    return cast(dict[str, Any], data.__pydantic_serializer__.to_python(data, mode="json", exclude_none=True))


def load(type_: str, schema_version: int, stored: bytes | str | Mapping[str, Any]) -> BaseModel:
    """What `dump` (or `plain`) wrote, under the version it was written with, as the model of today.

    ValueError for an unknown type or version; pydantic's ValidationError (a ValueError) if it is not the type's data.
    """
    model = event_type(type_).model
    if schema_version != SCHEMA_VERSION:
        stored = _upcast(type_, schema_version, stored)
    text = to_json(stored) if isinstance(stored, Mapping) else stored
    return model.model_validate_json(text)


def _upcast(type_: str, version: int, stored: bytes | str | Mapping[str, Any]) -> dict[str, Any]:
    data = dict(stored) if isinstance(stored, Mapping) else cast(dict[str, Any], from_json(stored))
    while version != SCHEMA_VERSION:
        if version not in UPCASTERS:
            raise ValueError(f"event data of schema version {version} cannot be read: this is version {SCHEMA_VERSION}")
        data = UPCASTERS[version](type_, data)
        version += 1
    return data


Reads = Mapping[str, frozenset[str] | None]
"""The nouns of an event that somebody reads, with the fields of each; None: all of it."""


def scope(data: BaseModel, reads: Reads | None = None) -> dict[str, Any]:
    """Plain data for expressions: nested dicts and lists, Decimals and datetimes kept, every field present (or, for
    speed, only those that are read)."""
    include: dict[str, Any] | None = None
    if reads is not None:
        include = {noun: True if fields is None else dict.fromkeys(fields, True) for noun, fields in reads.items()}
    return cast(dict[str, Any], data.__pydantic_serializer__.to_python(data, mode="python", include=include))


def customer_of(data: BaseModel) -> Customer | None:
    """The customer whom event data is about, wherever it says so: its own noun, or the customer of one of its nouns."""
    for name in type(data).model_fields:
        noun = getattr(data, name)
        found = noun if isinstance(noun, Customer) else getattr(noun, "customer", None)
        if isinstance(found, Customer):
            return found
    return None


def cloud_event(
    *,
    id: str,
    type: str,
    source: str,
    subject: Ref,
    time: datetime,
    data: BaseModel,
    **extensions: str | int | bool | None,
) -> dict[str, Any]:
    """The CloudEvents 1.0 envelope as a dict of JSON values. `source` is a URI reference (the connection's address).

    Extension attributes (`workspace="main"`) must be lower-case letters and digits; those that are None are left out.
    """
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        "subject": f"{subject.kind}/{subject.id}",
        "time": iso(time),
        "datacontenttype": "application/json",
        "schemaversion": SCHEMA_VERSION,
    }
    odd = [name for name in extensions if not re.fullmatch("[a-z0-9]+", name) or name in envelope]
    if odd:
        raise ValueError(f"CloudEvents extensions are named by lower-case letters and digits, once: {odd}")
    known = {name: value for name, value in extensions.items() if value is not None}
    return envelope | known | {"data": plain(data)}


class _Schema(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Computed fields (read-only) are left out when they are None, as all others are: none is required."""
        found = super().model_schema(schema)
        read_only = {name for name, each in found.get("properties", {}).items() if each.get("readOnly")}
        return found | {"required": [name for name in found.get("required", ()) if name not in read_only]}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every event type: `{type, data}` in one `oneOf`, models under `$defs`."""
    models: list[type[BaseModel]] = [*dict.fromkeys(each.model for each in EVENT_TYPES.values()), CustomEvent]
    mode: JsonSchemaMode = "serialization"
    refs, schema = models_json_schema([(model, mode) for model in models], schema_generator=_Schema)
    events = [
        {
            "title": each.title,
            "description": each.description,
            "type": "object",
            "properties": {"type": {"const": each.name}, "data": refs[(each.model, mode)]},
            "required": ["type", "data"],
            "x-milestone": each.milestone,
            "x-noun": each.noun,
        }
        for each in EVENT_TYPES.values()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tradewind events",
        "description": f"Schema version {SCHEMA_VERSION}. What a sender did not say is left out.",
        "oneOf": events,
        "$defs": schema["$defs"],
    }
