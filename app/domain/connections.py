"""Connections: one configured account at an outside system, as the running hub knows it."""

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from uuid import UUID

import orjson
import structlog
from pydantic import BaseModel, SecretStr

from app.connector import Connector, MailServer, Source
from app.crypto import KeyRing
from app.errors import ConfigError
from app.registry import Registry
from app.store import connections as store
from app.store.database import Database

log = structlog.get_logger()

BLOT = "•••"
SHORTEST, SHORTEST_PATH = 6, 16
"""Characters of a secret, and of the path of a secret address, from which on it is looked for."""


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
    problem: str | None = None
    """What is wrong with it: its credentials, or what its sender says of itself."""

    @property
    def known_by(self) -> object:
        """What decides whether its system knows us."""
        return self.settings, self.base_url

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
        """Where requests go, without a slash at the end; of a connection that mails, its server."""
        if self.connector.smtp is not None:
            return f"{self.mail_server.host}:{self.mail_server.port}"
        if self.connector.http is None:
            raise LookupError(f"{self.connector.slug} takes no calls")
        return as_the_net_knows(self.base_url or self.connector.http.base_url(self.settings)).rstrip("/")

    @property
    def allowed(self) -> tuple[tuple[str, int], ...]:
        """The one (host, port) that the operator named as `base_url`; it may be private."""
        if self.base_url is None:
            return ()
        parts = urlsplit(as_the_net_knows(self.base_url))
        return ((parts.hostname or "", parts.port or _PORTS[parts.scheme]),)

    @property
    def mail_server(self) -> MailServer:
        """The settings' mail server, at the operator's `base_url` if there is one (smtps:// means TLS at once)."""
        if self.connector.smtp is None:
            raise LookupError(f"{self.connector.slug} sends no mail")
        server = self.connector.smtp.server(self.settings)
        if self.base_url is None:
            return server
        ((host, port),) = self.allowed
        return replace(
            server, host=host, port=port, security="tls" if self.base_url.startswith("smtps:") else server.security
        )


def as_the_net_knows(url: str) -> str:
    """An address with the name of its host in ASCII (`bücher.example` is `xn--bcher-kva.example`) and its path
    percent-encoded. One whose name cannot be written so stays, and is refused when it is called."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    try:
        host = parts.netloc.encode("idna").decode()
    except UnicodeError:
        return url
    return parts._replace(netloc=host, path=quote(parts.path, safe="/%")).geturl()


_PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


def base_url_problem(connector: Connector[Any], url: str) -> str | None:
    """What is wrong with an operator's `base_url` for this connector."""
    schemes = ("smtp", "smtps") if connector.smtp is not None else ("http", "https")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if fits:
        return None
    return f"base_url is an {schemes[0]} or {schemes[1]} address"


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


def secret_texts(settings: BaseModel) -> frozenset[str]:
    """Every secret that the settings hold, in all ways in which it may stand in a text, for redaction."""
    return frozenset().union(*map(written, secrets_in(settings)))


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Every secret that the settings hold, as it is."""
    found: set[str] = set()
    pending: list[Any] = [split_secrets(settings)[1]]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return frozenset(found - {""})


def written(secret: str) -> set[str]:
    """A secret as it is, and as JSON, URLs, forms and base64 (also of a longer text around it) write it. Of an address
    its path counts; what is too short to be told from other words does not."""
    if secret.startswith(("http://", "https://")):
        secret = secret.partition("://")[2].partition("/")[2].rstrip("/")
        return written(secret) if len(secret) >= SHORTEST_PATH else set()
    if len(secret) < SHORTEST:
        return set()
    forms = {secret, orjson.dumps(secret).decode()[1:-1], json.dumps(secret)[1:-1], quote(secret, ""), quote(secret)}
    forms.add(quote_plus(secret))
    raw = secret.encode(errors="replace")
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        inner = coded[-(-before * 8 // 6) : len(coded) - ((before + len(raw)) % 3 > 0)]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms | {orjson.dumps(form).decode()[1:-1] for form in forms}  # as a text in JSON that was text in JSON


def blot(text: str, secrets: Collection[str]) -> str:
    """The text with every secret replaced."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, BLOT)
    return text


def open_row(row: Mapping[str, Any], registry: Registry, ring: KeyRing) -> Connection:
    """A stored row as the running hub uses it. Raises ConfigError when its secrets or settings no longer fit."""
    connector = registry[row["connector"]]
    secrets = ring.open_json(row["secrets"], row["id"].bytes)
    return Connection(
        id=row["id"],
        workspace=row["workspace"],
        slug=row["slug"],
        connector=connector,
        account=row["account"],
        role=row["role"],
        settings=connector.settings.model_validate({**row["settings"], **secrets}),
        base_url=row["base_url"],
        paused=row["paused"],
        origin=row["origin"],
        created_at=row["created_at"],
        history=row["history"],
        problem=row["problem"],
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
        async with self._database.acquire() as connection:
            changed_at = await store.changed_at(connection)
        if changed_at == self._changed_at and not always:
            return
        async with self._database.acquire() as connection:
            rows = await store.load_all(connection)
        opened = []
        for row in rows:
            try:
                opened.append(open_row(row, self._registry, self._ring))
            except (ConfigError, ValueError) as e:
                log.error("a connection cannot be used", connection=row["slug"], reason=type(e).__name__)
        self._by_id = {connection.id: connection for connection in opened}
        self._by_slug = {(connection.workspace, connection.slug): connection for connection in opened}
        self._changed_at = changed_at
        for tell in self.on_change:
            tell()
