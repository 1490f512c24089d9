"""A report of amounts: what the orders in a folder of payloads come to, which do not add up, and which a second reader
of the body, sharing no code with the normaliser, reads otherwise.

The folder is laid out as `<connector>/<topic>/<file>` ("/" in a topic written as "-"). A file whose name ends in
`-with-headers.json` holds `{"headers", "body"}`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from app import events as canonical
from app.connector import Connector, Facts, Ignored, RawWebhook, Stated
from app.errors import ConfigError, TradewindError
from app.events import Money, Order
from app.registry import Registry

DELETED = "order.deleted"
"""States nothing but which order it was."""


@dataclass(frozen=True, slots=True)
class OrderAmounts:
    """One event with an order. off: what the sender's total is more than its parts, with the reason; None: it adds up.
    second: what a second reading says otherwise, "agrees", or None where it reads no order. error: the body could not
    be read."""

    path: str
    topic: str
    type: str | None = None
    number: str | None = None
    total: Money | None = None
    off: str | None = None
    second: str | None = None
    error: str | None = None

    @property
    def differs(self) -> bool:
        return self.second not in (None, AGREES)


AGREES = "agrees"


def report(folder: Path, registry: Registry) -> Iterator[OrderAmounts]:
    """Every order that the payloads of a folder state, file by file. Files of unknown senders and of topics that become
    no events are left out."""
    for path in sorted(folder.glob("*/*/**/*")):
        slug, name, *_ = path.relative_to(folder).parts
        try:
            connector = registry[slug]
        except ConfigError:
            continue
        topic = topic_of(connector, name)
        if path.is_file() and topic is not None:
            yield from orders(connector, topic, path, f"{path.relative_to(folder)}")


def topic_of(connector: Connector[Any], folder: str) -> str | None:
    topics = connector.source.topics if connector.source else {}
    return next((each for each in (folder, folder.replace("-", "/", 1)) if each in topics), None)


def orders(connector: Connector[Any], topic: str, path: Path, name: str) -> Iterator[OrderAmounts]:
    """The orders that one body states."""
    source = connector.source
    if source is None:
        return
    raw = path.read_bytes()
    try:
        if path.stem.endswith("-with-headers"):
            raw = orjson.dumps(orjson.loads(raw)["body"])
        now = datetime.now(UTC)
        kind = "application/json" if raw.lstrip()[:1] in (b"{", b"[") else source.content_type
        payload = canonical.clean(source.parse(RawWebhook(raw, {"content-type": kind}, {}, now)))
        said = source.topics[topic](payload, Facts(topic, settings_of(connector, payload), {}, now), {})
    except (TradewindError, ValueError, KeyError) as e:
        yield OrderAmounts(name, topic, error=str(e)[:200])
        return
    stated = source.second_reading(raw)
    for event in () if isinstance(said, Ignored) else said:
        order = getattr(event.data, "order", None)
        if isinstance(order, Order):
            off = order.discrepancy
            told = f"{off.amount}: {off.note}" if off else None
            second = _compared(order, stated) if event.object.kind == "order" and event.type != DELETED else None
            yield OrderAmounts(name, topic, event.type, order.number, order.total, told, second)


def _compared(order: Order, stated: Stated | None) -> str | None:
    if stated is None:
        return None
    total = order.total
    read = Stated(order.number, total.currency if total else None, total.amount if total else None)
    differences = [
        f"{field}: the event says {ours}, the body {theirs}"
        for field, ours, theirs in zip(Stated._fields, read, stated, strict=True)
        if theirs is not None and ours != theirs
    ]
    return "; ".join(differences) or AGREES


def summary(lines: Sequence[OrderAmounts]) -> str:
    """How the report came out, in a sentence."""
    orders, bodies = [each for each in lines if not each.error], len({each.path for each in lines})
    off, compared = sum(each.off is not None for each in orders), [each for each in orders if each.second]
    return (
        f"{len(orders)} orders in events of {bodies} bodies: {len(orders) - off} add up, {off} say by how much not; "
        f"a second reader agrees on {sum(not each.differs for each in compared)} of {len(compared)}; "
        f"{len(lines) - len(orders)} bodies could not be read"
    )


def settings_of(connector: Connector[Any], payload: Any = None) -> BaseModel:
    """Settings by which bodies can be read: of the account that the body names, if it does. Nothing is verified or sent
    with them, and a key would want API reads."""
    made = dict(connector.sandbox().settings) if connector.sandbox else {}
    fields = connector.settings.model_fields

    settings: BaseModel = connector.settings.model_validate(made)
    bare = {name: None for name in ("access_token", "api_key") if name in fields and not fields[name].is_required()}
    named = payload.get(connector.account) if isinstance(payload, dict) else None
    own = {connector.account: named} if isinstance(named, str) else {}
    return settings.model_copy(update=bare | own)
