"""What happened, as data: the shapes of traces, and of the API's answers about webhooks, events and runs."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

Json = Any
"""A decoded JSON value."""


class Thing(BaseModel):
    """An object or a subject: its kind and its sender's id."""

    kind: str = Field(examples=["order"])
    id: str = Field(examples=["820982911946154508"])


class Gone(BaseModel):
    """A row that something points to and that is no longer kept."""

    kind: str = Field(examples=["webhook"])
    id: UUID
    expired_on: date | None = Field(description="The day on which retention dropped it, or will have.")


class Webhook(BaseModel):
    """One request that came in, without its body."""

    id: UUID
    at: datetime = Field(description="When it was accepted.")
    connection: str | None = Field(examples=["main-store"])
    topic: str = Field(examples=["orders/paid"])
    size: int = Field(description="Bytes of its body.")
    state: Literal["due", "reading", "normalised", "ignored", "unknown", "malformed"]
    reason: str | None = Field(description="Why it is ignored, unknown or malformed, or made nothing new.")
    test: bool
    events: int = Field(description="How many events it made.")
    normalised_at: datetime | None


class Event(BaseModel):
    """A canonical fact, without its data."""

    id: UUID
    at: datetime = Field(description="When we learnt of it.")
    type: str = Field(examples=["order.paid"])
    connection: str | None = Field(examples=["main-store"])
    object: Thing
    subject: Thing
    occurred_at: datetime = Field(description="When it happened, by the sender.")
    number: str | None = Field(description="The order number that people search it by.", examples=["1001"])
    email: str | None
    test: bool
    historical: bool
    note: str | None = Field(description="What could not be read of it.")
    echo: str | None = Field(
        description="The action of a recipe that may have caused it.", examples=["shopify.tag_order"]
    )
    webhook_id: UUID | None


class Decision(BaseModel):
    """Why a recipe answered an event, or did not."""

    recipe: str = Field(examples=["invoice-paid-orders"])
    ran: bool
    run_id: UUID | None
    reason: str = Field(examples=["where is false: order.total.amount > 0"])


class Attempt(BaseModel):
    """One try at a call."""

    id: UUID
    number: int
    at: datetime = Field(description="When it began.")
    state: Literal["sending", "ok", "retryable", "unsure", "permanent", "late"]
    status: int | None = Field(description="The HTTP status that came back.")
    duration_ms: int | None
    error: str | None
    answer: str | None = Field(None, description="The beginning of what came back, where it failed.")
    ended_at: datetime | None


class Effect(BaseModel):
    """What a call did outside, under its effect key."""

    key: str = Field(description="32 hex digits.")
    state: Literal["reserved", "done", "uncertain", "released"]
    call_id: UUID
    label: str | None
    doubled: bool = Field(description="It may exist twice: an answer came for a call that another had taken over.")
    at: datetime
    ended_at: datetime | None


class Call(BaseModel):
    """One action that a step wants done at a connection, with its attempts."""

    id: UUID
    at: datetime
    item: str | None = Field(description="Which item of a `for_each`.")
    action: str = Field(examples=["quickbooks.create_invoice"])
    connection: str | None = Field(examples=["books"])
    state: Literal["due", "captured", "done", "skipped", "uncertain", "dead", "cancelled"]
    input: Json
    output: Json
    error: str | None
    error_kind: str | None
    question: str | None = Field(description="What a person has to answer where nobody can know what happened.")
    failures: int
    due_at: datetime
    ended_at: datetime | None
    effect: Effect | None
    attempts: list[Attempt]


class Step(BaseModel):
    """One node of a run, with its calls."""

    id: UUID
    path: str = Field(description="Its stable name within the recipe.", examples=["invoice"])
    kind: str = Field(examples=["use"])
    state: Literal["running", "done", "skipped", "failed", "cancelled"]
    at: datetime
    output: Json
    error: str | None
    due_at: datetime | None
    ended_at: datetime | None
    calls: list[Call]


class Run(BaseModel):
    """One recipe version answering one event."""

    id: UUID
    at: datetime
    recipe: str = Field(examples=["invoice-paid-orders"])
    version: int | None
    event_id: UUID
    connection: str | None = Field(examples=["main-store"])
    state: Literal["running", "waiting", "held", "done", "failed", "cancelled"]
    reason: str | None
    mode: Literal["live", "dry"]
    replay_of: UUID | None = Field(description="The earlier run that this one repeats.")
    generation: int = Field(description="How often its effects were asked to be done anew.")
    due_at: datetime | None
    ended_at: datetime | None


class RunDetail(Run):
    """A run with its steps, their calls, and every attempt."""

    steps: list[Step]


class EventDetail(Event):
    """An event with its data, why each recipe ran or not, and its runs."""

    version: str | None = Field(description="The sender's version of the object.")
    schema_version: int
    data: dict[str, Json]
    decisions: list[Decision]
    runs: list[RunDetail]


class EventWay(BaseModel):
    """An event and what followed from it; `gone` where the event is no longer kept."""

    event: Event | None
    gone: Gone | None = None
    decisions: list[Decision] = []
    runs: list[RunDetail] = []


class Way(BaseModel):
    """A webhook and what followed from it; none for events that came without one."""

    webhook: Webhook | None
    gone: Gone | None = None
    events: list[EventWay] = []


class Trace(BaseModel):
    """The whole way of whatever was asked for, oldest first."""

    asked: str = Field(examples=["1001"])
    kind: Annotated[str | None, Field(description="What was found under it: webhook, event, run ... or name.")]
    ways: list[Way] = []
    effects: list[Effect] = Field([], description="Effects whose calls are no longer kept.")
    gone: list[Gone] = []
    more: bool = Field(False, description="Older events are left out.")

    @property
    def found(self) -> bool:
        return bool(self.ways or self.effects or self.gone)
