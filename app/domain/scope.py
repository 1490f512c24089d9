"""What expressions may read of an event: its nouns, the customer, and the event itself, as plain data."""

from collections.abc import Callable, Iterator, Mapping
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
    reads: canonical.Reads | None = None,
    echo: str | None = None,
) -> dict[str, Any]:
    """The nouns of an event by name, `customer` wherever it says one, and its envelope as `event`. `reads`: only these
    nouns and fields are wanted."""
    slug, platform = (connection.slug, connection.connector.slug) if connection else (None, None)
    return _scope(data, _envelope(event_id, event_type, occurred_at, slug, platform, test, historical, echo), reads)


def scope_of_stored(data: BaseModel, event_id: UUID, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an event that was kept with its envelope's fields by name."""
    occurred = stored["occurred_at"]
    moment = occurred if isinstance(occurred, datetime) else datetime.fromisoformat(occurred)
    envelope = _envelope(
        event_id, stored["type"], moment, stored.get("connection"), stored.get("platform"),
        bool(stored.get("test")), bool(stored.get("historical")), stored.get("echo"),
    )  # fmt: skip
    return _scope(data, envelope)


class LateScope(dict[str, Any]):
    """A scope that is made when it is first looked into: most walks of a run only end it, and read nothing. What is put
    in before stays as it was put."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._make: Callable[[], Mapping[str, Any]] | None = make

    def _fill(self) -> None:
        make, self._make = self._make, None
        for name, value in make().items() if make is not None else ():
            self.setdefault(name, value)

    def __missing__(self, name: str) -> Any:
        if self._make is None:
            raise KeyError(name)
        self._fill()
        return self[name]

    def __contains__(self, name: object) -> bool:
        self._fill()
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return super().__iter__()

    def __len__(self) -> int:
        self._fill()
        return super().__len__()

    def get(self, name: str, default: Any = None) -> Any:
        self._fill()
        return super().get(name, default)

    def keys(self) -> Any:
        self._fill()
        return super().keys()

    def values(self) -> Any:
        self._fill()
        return super().values()

    def items(self) -> Any:
        self._fill()
        return super().items()


def _scope(data: BaseModel, envelope: dict[str, Any], reads: canonical.Reads | None = None) -> dict[str, Any]:
    scope: dict[str, Any] = canonical.scope(data, reads)
    if scope.get("customer") is None and (reads is None or "customer" in reads):
        customer = canonical.customer_of(data)
        scope["customer"] = canonical.scope(customer) if customer is not None else None
    scope["event"] = envelope
    return scope


def _envelope(
    event_id: UUID,
    type_: str,
    occurred_at: datetime,
    slug: str | None,
    platform: str | None,
    test: bool,
    old: bool,
    echo: str | None,
) -> dict[str, Any]:
    return {
        "id": str(event_id), "type": type_, "occurred_at": occurred_at, "connection": slug, "platform": platform,
        "test": test, "historical": old, "echo": echo,
    }  # fmt: skip
