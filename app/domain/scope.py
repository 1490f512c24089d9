"""What expressions may read of an event: its nouns, the customer, and the event itself, as plain data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app import events as canonical
from app.domain.connections import Connection


def scope_of(
    data: BaseModel,
    event_id: UUID,
    event_type: str,
    occurred_at: datetime,
    connection: Connection | None,
    test: bool,
    historical: bool,
) -> dict[str, Any]:
    """The nouns of an event by name, `customer` wherever it says one, and its envelope as `event`."""
    slug, platform = (connection.slug, connection.connector.slug) if connection else (None, None)
    return _scope(data, _envelope(event_id, event_type, occurred_at, slug, platform, test, historical))


def scope_of_stored(data: BaseModel, event_id: UUID, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an event that was kept with its envelope's fields by name."""
    occurred = stored["occurred_at"]
    moment = occurred if isinstance(occurred, datetime) else datetime.fromisoformat(occurred)
    envelope = _envelope(
        event_id, stored["type"], moment, stored.get("connection"), stored.get("platform"),
        bool(stored.get("test")), bool(stored.get("historical")),
    )  # fmt: skip
    return _scope(data, envelope)


def _scope(data: BaseModel, envelope: dict[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = canonical.scope(data)
    if scope.get("customer") is None:
        customer = canonical.customer_of(data)
        scope["customer"] = canonical.scope(customer) if customer is not None else None
    scope["event"] = envelope
    return scope


def _envelope(
    event_id: UUID, type_: str, occurred_at: datetime, slug: str | None, platform: str | None, test: bool, old: bool
) -> dict[str, Any]:
    return {
        "id": str(event_id), "type": type_, "occurred_at": occurred_at, "connection": slug, "platform": platform,
        "test": test, "historical": old,
    }  # fmt: skip
