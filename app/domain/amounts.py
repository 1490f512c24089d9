"""A report of amounts: what the orders in a folder of payloads come to, and which do not add up.

The folder is laid out as `<connector>/<topic>/<file>` ("/" in a topic written as "-"). A file whose name ends in
`-with-headers.json` holds `{"headers", "body"}`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from app import events as canonical
from app.connector import Connector, Facts, Ignored, RawWebhook
from app.errors import ConfigError, TradewindError
from app.events import Money, Order
from app.registry import Registry


@dataclass(frozen=True, slots=True)
class OrderAmounts:
    """One event with an order. off: what the sender's total is more than its parts, with the reason; None: it adds up.
    error: the body could not be read."""

    path: str
    topic: str
    type: str | None = None
    number: str | None = None
    total: Money | None = None
    off: str | None = None
    error: str | None = None


def report(folder: Path, registry: Registry) -> Iterator[OrderAmounts]:
    """Every order that the payloads of a folder state, file by file. Files of unknown senders and of topics that become
    no events are left out."""
    for path in sorted(folder.glob("*/*/*")):
        slug, name, _ = path.relative_to(folder).parts
        try:
            connector = registry[slug]
        except ConfigError:
            continue
        topic = _topic(connector, name)
        if path.is_file() and topic is not None:
            yield from _orders(connector, topic, path, f"{path.relative_to(folder)}")


def _topic(connector: Connector[Any], folder: str) -> str | None:
    topics = connector.source.topics if connector.source else {}
    return next((each for each in (folder, folder.replace("-", "/", 1)) if each in topics), None)


def _orders(connector: Connector[Any], topic: str, path: Path, name: str) -> Iterator[OrderAmounts]:
    source, raw = connector.source, path.read_bytes()
    if source is None:
        return
    try:
        if path.stem.endswith("-with-headers"):
            raw = orjson.dumps(orjson.loads(raw)["body"])
        now = datetime.now(UTC)
        payload = canonical.clean(source.parse(RawWebhook(raw, {"content-type": source.content_type}, {}, now)))
        said = source.topics[topic](payload, Facts(topic, settings_of(connector), {}, now), {})
    except (TradewindError, ValueError, KeyError) as e:
        yield OrderAmounts(name, topic, error=str(e)[:200])
        return
    for event in () if isinstance(said, Ignored) else said:
        order = getattr(event.data, "order", None)
        if isinstance(order, Order):
            off = order.discrepancy
            told = f"{off.amount}: {off.note}" if off else None
            yield OrderAmounts(name, topic, event.type, order.number, order.total, told)


def settings_of(connector: Connector[Any]) -> BaseModel:
    """Settings by which bodies can be read; nothing is verified or sent with them. A key would want API reads."""
    made = dict(connector.sandbox().settings) if connector.sandbox else {}
    fields = connector.settings.model_fields

    settings: BaseModel = connector.settings.model_validate(made)
    bare = {name: None for name in ("access_token", "api_key") if name in fields and not fields[name].is_required()}
    return settings.model_copy(update=bare)
