"""What expressions may read of an event: its nouns, the customer, and the event itself, as plain data."""

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
    scope: dict[str, Any] = canonical.scope(data)
    if scope.get("customer") is None:
        customer = canonical.customer_of(data)
        scope["customer"] = canonical.scope(customer) if customer is not None else None
    scope["event"] = {
        "id": str(event_id),
        "type": event_type,
        "occurred_at": occurred_at,
        "connection": connection.slug if connection else None,
        "platform": connection.connector.slug if connection else None,
        "test": test,
        "historical": historical,
    }
    return scope
