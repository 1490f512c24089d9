"""Events that other systems push themselves (`POST /v1/events`): the one source that speaks our own words.

A pushed event is kept as a webhook is and goes through the same stages; its topic is its type. What is wrong with it is
found before it is kept (`read`), so that whoever pushes it is told.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from app.connector import Connector, Facts, Normaliser, RawWebhook, Receipt, Signed, Source, State
from app.errors import InvalidError, MalformedError, SignatureError
from app.events import EVENT_TYPES, SCHEMA_VERSION, Event, Ref, event_type, load

SLUG = "events"
OURS = ("hub.", "schedule.", "privacy.")
"""Families that nobody else states: the hub's own, and those that erase people."""


class Thing(BaseModel):
    """An object or a subject: its kind and its id in the system that pushes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z][a-z0-9_]*$", examples=["order"])]
    id: Annotated[str, Field(min_length=1, max_length=200, examples=["R-1001"])]


class PushedEvent(BaseModel):
    """A canonical event, as another system states it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "type": "order.paid",
                    "object": {"kind": "order", "id": "R-1001"},
                    "occurred_at": "2026-11-22T18:00:00Z",
                    "data": {
                        "order": {
                            "id": "R-1001",
                            "number": "R-1001",
                            "email": "ada@example.com",
                            "totals": {"total": {"amount": "24.00", "currency": "EUR"}},
                        }
                    },
                }
            ]
        },
    )

    type: Annotated[str, Field(max_length=100, description="An event type; or a name of your own, `stock.counted`.")]
    object: Thing
    subject: Thing | None = Field(None, description="Whose timeline it stands on; the object's own if not said.")
    occurred_at: AwareDatetime | None = Field(None, description="When it happened; now if not said.")
    version: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="Of the object, sortable as text: what an older version says of its state is stale."
    )
    part: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="For types that repeat: which occurrence this is (attempt, period, movement)."
    )
    test: bool = False
    data: dict[str, Any] = Field(description="The nouns of the type: see openapi/events.schema.json.")


class PushSettings(BaseModel):
    """A system that pushes events; it needs no secret here, for API keys prove who pushes."""

    name: Annotated[str, Field(min_length=1, max_length=100, description="Tells this system from others")] = SLUG


def read(pushed: PushedEvent) -> Event:
    """The event that is stated. Raises InvalidError with what is wrong, field by field."""
    if pushed.type.startswith(OURS):
        raise _invalid("body.type", f"{pushed.type} is stated by the hub alone")
    try:
        event_type(pushed.type)
        data = load(pushed.type, SCHEMA_VERSION, pushed.data)
    except ValidationError as e:
        errors = e.errors(include_input=False, include_url=False, include_context=False)
        places = [".".join(("body", "data", *map(str, each["loc"]))) for each in errors]
        faults = [{"field": place, "detail": each["msg"]} for place, each in zip(places, errors, strict=True)]
        raise InvalidError(f"the data does not fit {pushed.type}", faults) from e
    except ValueError as e:
        raise _invalid("body.type", str(e)) from e
    subject = pushed.subject or pushed.object
    event = Event(
        type=pushed.type,
        object=Ref(pushed.object.kind, pushed.object.id),
        subject=Ref(subject.kind, subject.id),
        occurred_at=pushed.occurred_at,
        data=data,
        version=pushed.version,
        part=pushed.part,
        test=pushed.test,
    )
    try:
        event.check()
    except ValueError as e:
        raise _invalid("body", str(e)) from e
    return event


def _invalid(place: str, detail: str) -> InvalidError:
    return InvalidError("this is no event that can be taken", [{"field": place, "detail": detail}])


def _parsed(raw: RawWebhook) -> Any:
    return json.loads(raw.body, parse_float=Decimal)


def _state(payload: Any, facts: Facts[PushSettings], state: State) -> list[Event]:
    try:
        return [read(PushedEvent.model_validate(payload))]
    except ValueError as e:
        raise MalformedError(str(e)[:500]) from e


class _EveryType(Mapping[str, Normaliser[PushSettings]]):
    """The topics: every type that may be pushed, names of others' own too."""

    def __getitem__(self, topic: str) -> Normaliser[PushSettings]:
        try:
            event_type(topic)
        except ValueError:
            raise KeyError(topic) from None
        return _state

    def __iter__(self) -> Iterator[str]:
        return (name for name in EVENT_TYPES if not name.startswith(OURS))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _ByKeyAlone:
    """Nothing comes in at its webhook address: an API key proves who pushes."""

    def verify(self, raw: RawWebhook, settings: PushSettings, received_at: datetime) -> None:
        raise SignatureError("events are pushed to POST /v1/events, with an API key")

    def sign(self, body: bytes, settings: PushSettings, now: datetime) -> Signed:
        raise SignatureError("events are pushed to POST /v1/events, with an API key")


def _identify(raw: RawWebhook, settings: PushSettings) -> Receipt:
    return Receipt(raw.headers["x-event-type"], raw.headers.get("idempotency-key"))


connector = Connector(
    slug=SLUG,
    title="Events by API",
    category="other",
    settings=PushSettings,
    account="name",
    source=Source(signature=_ByKeyAlone(), identify=_identify, topics=_EveryType(), parse=_parsed),
)
