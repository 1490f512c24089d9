"""Standing in for a platform: webhooks signed as it signs them, and what came in as fixtures."""

import asyncio
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal

import orjson

from app.domain.connections import Connection
from app.errors import MalformedError
from app.expressions import hint
from app.fixtures import cleaned
from app.recipes.payloads import bodies_in, payload_folder
from app.store import flow
from app.store.database import Database, Row
from app.store.packing import unpack
from app.store.webhooks import unpack_headers

MOST = 5_000_000
"""Bytes of bodies that are signed, or captured, by one request."""
BATCH = 10
"""Webhooks that are read at a time, to be captured."""


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A request as the platform would send it."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fixture:
    """What came in, with people and tokens replaced."""

    topic: str
    ending: Literal["json", "form"]
    body: bytes


def signed_webhook(connection: Connection, topic: str, body: bytes) -> SignedWebhook:
    """Sign a body with the connection's own secret. Raises MalformedError where its connector sends no webhooks."""
    source, settings, now = _source(connection), connection.settings, datetime.now(UTC)
    signed = source.signature.sign(body, settings, now)
    beside = source.headers(topic, body, settings, now) if source.headers else {}
    headers = {"content-type": source.content_type, **beside, **signed.headers}
    workspace = "" if connection.workspace == "main" else f"{connection.workspace}/"
    return SignedWebhook(f"/webhooks/{workspace}{connection.slug}", dict(signed.query), headers, body)


def samples(connection: Connection, topic: str, count: int, first: int) -> Iterator[bytes]:
    """Bodies of a topic: made by the connector's `sample` module (`order(number)`, from `first` on) where it has one,
    else its payload files in turn. Raises MalformedError where there is neither."""
    source = _source(connection)
    if topic not in source.topics:
        what = hint(topic, source.topics)
        raise MalformedError(f"{connection.connector.title} sends no {topic!r} that becomes events; {what}")
    generator = _generator(connection.connector.slug, topic)
    if generator is not None:
        return (orjson.dumps(generator(first + number)) for number in range(count))
    files = bodies_in(payload_folder(connection.connector.slug) / topic.replace("/", "-"))
    if not files:
        raise MalformedError(f"there is no sample of {topic!r}: give a body (`--file`)")
    return (files[(first + number) % len(files)].read_bytes() for number in range(count))


def _source(connection: Connection) -> Any:
    try:
        return connection.source
    except LookupError as e:
        raise MalformedError(str(e)) from e


def _generator(slug: str, topic: str) -> Callable[[int], Any] | None:
    """`order(number)` of the connector's sample module, for paid orders."""
    if topic not in ("orders/paid", "orders/create"):
        return None
    try:
        made = getattr(importlib.import_module(f"connectors.{slug}.sample"), "order", None)
    except ModuleNotFoundError:
        return None
    if made is None or "at" not in inspect.signature(made).parameters:
        return None
    return lambda number: made(number, at=datetime.now(UTC), rng=Random(number))


async def captured(database: Database, connection: Connection, last: int) -> list[Fixture]:
    """The newest webhooks of a connection as the conformance tests read them, oldest first; what is neither JSON nor a
    form, or too large, is left out. They end where their bodies would be more than MOST bytes together."""
    found: list[Fixture] = []
    before, size = None, 0
    while last > 0:
        async with database.acquire() as db:
            rows = await flow.newest_webhooks(db, connection.id, min(BATCH, last), before)
        for fixture in [await asyncio.to_thread(_fixture, row) for row in rows]:
            if fixture is None:
                continue
            if (size := size + len(fixture.body)) > MOST:
                return found[::-1]
            found.append(fixture)
        if len(rows) < min(BATCH, last):
            break
        last, before = last - len(rows), rows[-1]["id"]
    return found[::-1]


def _fixture(row: Row) -> Fixture | None:
    kind = unpack_headers(row["headers"]).get("content-type", "")
    try:
        body = cleaned(unpack(row["body"]), kind)
    except MalformedError:
        return None
    return Fixture(row["topic"], "form" if "form" in kind else "json", body) if len(body) <= MOST else None
