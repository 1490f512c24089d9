"""Connections: one configured account at an outside system, as the running hub knows it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from pydantic import BaseModel, SecretStr

from app.connector import Connector, Source
from app.crypto import KeyRing
from app.errors import ConfigError
from app.registry import Registry
from app.store import connections as store
from app.store.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection with its settings opened. Never shown or logged as it is: settings hold secrets."""

    id: UUID
    workspace: str
    slug: str
    connector: Connector[Any]
    account: str
    role: str | None
    settings: BaseModel = field(repr=False)
    base_url: str | None
    paused: bool
    origin: str
    created_at: datetime
    history: str = "unknown"
    """"complete": everything that happened there before is known, so first orders and lifetime values can be said."""

    @property
    def is_shop(self) -> bool:
        """Whether orders begin there: by its role, else a store does, and nobody who only sends mail or parcels."""
        return self.role == "shop" or (self.role is None and self.connector.category == "store")

    @property
    def sells(self) -> bool:
        """Whether it tells of sales of its own: a shop, or a processor beside no shop's checkout."""
        alone = self.role is None and self.connector.category == "payments"
        return self.connector.source is not None and (self.is_shop or alone)

    @property
    def source(self) -> Source[Any]:
        """Raises LookupError for a connector that receives nothing."""
        if self.connector.source is None:
            raise LookupError(f"{self.connector.slug} sends no webhooks")
        return self.connector.source

    @property
    def host(self) -> str:
        """Where requests go, without a slash at the end."""
        if self.connector.http is None:
            raise LookupError(f"{self.connector.slug} takes no calls")
        return (self.base_url or self.connector.http.base_url(self.settings)).rstrip("/")

    @property
    def allowed(self) -> tuple[tuple[str, int], ...]:
        """The one (host, port) that the operator named as `base_url`; it may be private."""
        if self.base_url is None:
            return ()
        parts = urlsplit(self.base_url)
        return ((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)),)


def split_secrets(settings: BaseModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """(open settings, secret ones) as plain JSON values; a field whose type holds SecretStr is secret as a whole."""
    plain: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    for name, field_info in type(settings).model_fields.items():
        value = getattr(settings, name)
        (secret if "SecretStr" in repr(field_info.annotation) else plain)[name] = _revealed(value)
    return plain, secret


def _revealed(value: Any) -> Any:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case BaseModel():
            return {name: _revealed(getattr(value, name)) for name in type(value).model_fields}
        case list() | tuple() | set():
            return [_revealed(item) for item in value]
        case dict():
            return {key: _revealed(item) for key, item in value.items()}
        case Decimal():
            return str(value)
        case _:
            return value


def secret_texts(settings: BaseModel) -> set[str]:
    """Every secret that the settings hold, for redaction."""
    found: set[str] = set()
    pending = [split_secrets(settings)[1]]
    while pending:
        value: Any = pending.pop()
        if isinstance(value, str) and len(value) >= 6:
            found.add(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return found


def open_row(row: Any, registry: Registry, ring: KeyRing) -> Connection:
    """A stored row as the running hub uses it. Raises ConfigError when its secrets or settings no longer fit."""
    connector = registry[row.connector]
    secrets = ring.open_json(row.secrets, row.id.bytes)
    return Connection(
        id=row.id,
        workspace=row.workspace,
        slug=row.slug,
        connector=connector,
        account=row.account,
        role=row.role,
        settings=connector.settings.model_validate({**row.settings, **secrets}),
        base_url=row.base_url,
        paused=row.paused,
        origin=row.origin,
        created_at=row.created_at,
        history=row.history,
    )


class Connections:
    """The connections that this process knows, refreshed from the database when they change."""

    def __init__(self, database: Database, registry: Registry, ring: KeyRing) -> None:
        self._database = database
        self._registry = registry
        self._ring = ring
        self._changed_at: datetime | None = None
        self._by_id: dict[UUID, Connection] = {}
        self._by_slug: dict[tuple[str, str], Connection] = {}
        self.on_change: list[Callable[[], None]] = []

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_id.values()))

    def get(self, connection_id: UUID | None) -> Connection | None:
        return self._by_id.get(connection_id) if connection_id else None

    def find(self, workspace: str, slug: str) -> Connection | None:
        return self._by_slug.get((workspace, slug))

    def of_connector(self, workspace: str, connector: str) -> list[Connection]:
        """The connections of one connector in a workspace."""
        return [c for c in self if c.workspace == workspace and c.connector.slug == connector]

    async def refresh(self, *, always: bool = False) -> None:
        """Read the connections again if any changed."""
        async with self._database.begin() as db:
            changed_at = await store.changed_at(db)
            if changed_at == self._changed_at and not always:
                return
            rows = await store.load_all(db)
        opened = []
        for row in rows:
            try:
                opened.append(open_row(row, self._registry, self._ring))
            except (ConfigError, ValueError) as e:
                log.error("a connection cannot be used", connection=row.slug, reason=type(e).__name__)
        self._by_id = {connection.id: connection for connection in opened}
        self._by_slug = {(connection.workspace, connection.slug): connection for connection in opened}
        self._changed_at = changed_at
        for tell in self.on_change:
            tell()
