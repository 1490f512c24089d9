"""Standing in for a platform: signed webhooks sent to the hub, and what came in written down as fixtures."""

import asyncio
import importlib
import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson

from app.domain.connections import Connection
from app.errors import ConfigError, MalformedError
from app.fixtures import cleaned
from app.recipes.payloads import bodies_in, payload_folder
from app.store import flow
from app.store.database import Database
from app.store.packing import unpack
from app.store.webhooks import unpack_headers

AT_ONCE = 20


@dataclass
class Sent:
    """How the hub answered, and how long it all took (seconds)."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def taken(self) -> bool:
        return bool(self.statuses) and all(status.startswith("2") for status in self.statuses)


async def send_webhooks(
    connection: Connection, topic: str, body: bytes | None, count: int, rate: float | None, url: str
) -> Sent:
    """Send `count` webhooks, `rate` a second; the body, or samples of the connector. Raises ConfigError for a topic
    without a sample."""
    bodies = (body for _ in range(count)) if body is not None else samples(connection, topic, count)
    sent, began = Sent(), time.monotonic()
    turns = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client, asyncio.TaskGroup() as group:

        async def one(each: bytes) -> None:
            try:
                sent.statuses[await _post(client, connection, topic, each, url)] += 1
            finally:
                turns.release()

        for number, each in enumerate(bodies):
            if rate:
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await turns.acquire()
            group.create_task(one(each))
    sent.seconds = time.monotonic() - began
    return sent


async def _post(client: httpx.AsyncClient, connection: Connection, topic: str, body: bytes, url: str) -> str:
    """Sign and send one; the status, or why none came."""
    source, settings, now = connection.source, connection.settings, datetime.now(UTC)
    signed = source.signature.sign(body, settings, now)
    beside = source.headers(topic, body, settings, now) if source.headers else {}
    headers = {"content-type": source.content_type, **beside, **signed.headers}
    workspace = "" if connection.workspace == "main" else f"{connection.workspace}/"
    try:
        answer = await client.post(
            f"{url}/webhooks/{workspace}{connection.slug}", content=body, headers=headers, params=dict(signed.query)
        )
    except httpx.TransportError as e:
        return f"no answer ({type(e).__name__})"
    return str(answer.status_code)


def samples(connection: Connection, topic: str, count: int) -> Iterator[bytes]:
    """Bodies of a topic: made by the connector's `sample` module (`order(number)`) where it has one, else its payload
    files in turn. Raises ConfigError where there is neither."""
    source = connection.source
    if topic not in source.topics:
        known = ", ".join(sorted(source.topics))
        raise ConfigError(f"{connection.connector.title} sends no {topic!r} that becomes events; it sends {known}.")
    generator = _generator(connection.connector.slug, topic)
    if generator is not None:
        first = int(time.time()) % 10_000_000
        return (orjson.dumps(generator(first + number)) for number in range(count))
    files = bodies_in(payload_folder(connection.connector.slug) / topic.replace("/", "-"))
    if not files:
        raise ConfigError(f"There is no sample of {topic!r}: give a body by --file.")
    return (files[number % len(files)].read_bytes() for number in range(count))


def _generator(slug: str, topic: str) -> Callable[[int], Any] | None:
    """`order(number)` of the connector's sample module, for paid orders."""
    package = importlib.import_module(f"connectors.{slug}")
    if topic not in ("orders/paid", "orders/create"):
        return None
    try:
        made = getattr(importlib.import_module(f"{package.__name__}.sample"), "order", None)
    except ModuleNotFoundError:
        return None
    if made is None or "at" not in inspect.signature(made).parameters:
        return None
    return lambda number: made(number, at=datetime.now(UTC), rng=Random(number))


async def capture_webhooks(database: Database, connection: Connection, last: int, out: Path) -> list[Path]:
    """Write the newest webhooks of a connection as cleaned fixtures, `<topic>/<n>.json`, as the conformance tests
    read them; what is neither JSON nor a form is left out. Answers the files."""
    async with database.acquire() as db:
        rows = await flow.newest_webhooks(db, connection.id, last)
    written = []
    for row in reversed(rows):
        kind = unpack_headers(row["headers"]).get("content-type", "")
        try:
            body = cleaned(unpack(row["body"]), kind)
        except MalformedError:
            continue
        folder = out / (row["topic"].replace("/", "-") or "no-topic")
        folder.mkdir(parents=True, exist_ok=True)
        path = _unused(folder, "form" if "form" in kind else "json")
        path.write_bytes(body)
        written.append(path)
    return written


def _unused(folder: Path, ending: str) -> Path:
    number = 1
    while (folder / f"captured-{number}.{ending}").exists():
        number += 1
    return folder / f"captured-{number}.{ending}"
