"""One webhook: parse it, run its connector's pure function, and say how it ended: never as an error."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import structlog

from app import events as canonical
from app.connector import ConnectionProblemError, Facts, Ignored, RawWebhook, Read, Remembered, Unread, parse_json
from app.crypto import Hasher
from app.domain import derived
from app.domain.connections import Connection
from app.domain.facts import Fact
from app.errors import MalformedError, misread
from app.events import Event, Ref
from app.ids import new_id
from app.logs import traced
from app.store import webhooks
from app.store.database import Row
from app.store.deadlines import Deadline
from app.store.packing import unpack

log = structlog.get_logger()


@dataclass(slots=True)
class Work:
    """One webhook while it is normalised. refs: the objects whose remembered state its connector wants to see.
    problem: what the sender says is wrong with the connection."""

    row: Row
    connection: Connection | None
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    state: str = "normalised"
    reason: str | None = None
    reads: Sequence[Read] = ()
    refs: Sequence[Ref] = ()
    problem: str | None = None
    events: list[Event] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    kept: int = 0

    def end(self, state: str, reason: str | None) -> None:
        self.state, self.reason = state, reason


DEEPEST = 200
"""Levels of nesting in a body; every reader after this one (pydantic, orjson, Python) stops soon above."""


class Memory(Protocol):
    """What is remembered of objects."""

    def seen(self, connection: Connection, ref: Ref) -> Remembered | None: ...


def read(work: Work) -> None:
    """Parse the body; sort out what is ignored or unknown, and what wants an API read first."""
    connection, topic = work.connection, work.row["topic"]
    if connection is None or connection.connector.source is None:
        return work.end("ignored", "its connection was removed")
    source = connection.source
    if topic in source.ignored:
        return work.end("ignored", source.ignored[topic])
    if topic not in source.topics:
        return work.end("unknown", f"no rule for the topic {topic!r}")
    work.headers = webhooks.unpack_headers(work.row["headers"])
    try:
        raw = RawWebhook(unpack(work.row["body"]), work.headers, {}, work.row["at"])
        payload = source.parse(raw)
        if raw.body.count(b"[") + raw.body.count(b"{") > DEEPEST and _deeper_than(payload, DEEPEST):
            raise MalformedError(f"the body is nested deeper than {DEEPEST} levels")
        work.payload = canonical.clean(payload) if source.parse is not parse_json or _odd(raw.body) else payload
        if work.row["reads"] is None:
            work.reads = source.needs(topic, work.payload, connection.settings)
        work.refs = source.remembers(topic, work.payload)
    except MalformedError as e:
        return work.end("malformed", str(e)[:500])
    except RecursionError:
        return work.end("malformed", "the body is nested too deep")
    except Exception as e:
        return _bug(work, e)
    if work.reads:
        work.end("reading", "waits for " + ", ".join(each.name for each in work.reads))
    return None


def _deeper_than(value: Any, most: int) -> bool:
    """Whether plain data is nested deeper than `most` levels; walks level by level, so no depth can break it."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _odd(body: bytes) -> bool:
    """Whether a JSON body may hold U+0000 or a lone surrogate: escaped, or as bytes that a lenient reader takes."""
    return (b"\\" in body and b"\\u" in body) or b"\xed" in body or b"\x00" in body


def reads_wanted(works: Sequence[Work], hasher: Hasher, now: datetime) -> Iterator[Deadline]:
    """The reads that webhooks wait for, as rows that the connection's lane takes up."""
    for work in works:
        if work.state == "reading" and work.connection is not None:
            wanted = [
                {
                    "name": each.name,
                    "path": each.path,
                    "params": dict(each.params),
                    "headers": dict(each.headers),
                    "required": each.required,
                }
                for each in work.reads
            ]
            key = hasher("timer", "read", work.row["id"].bytes)
            data = {"webhook_id": str(work.row["id"]), "wanted": wanted, "tries": 0}
            yield Deadline(new_id(), work.connection.workspace, "read", work.connection.id, key, data, now)


def normalise(work: Work, memory: Memory) -> None:
    """Run the connector's pure function; the payload is let go of, it takes ten times the room of its body."""
    connection, topic = work.connection, work.row["topic"]
    if connection is None:
        return None
    source = connection.source
    try:
        seen = {ref: known for ref in work.refs if (known := memory.seen(connection, ref))}
        said = source.topics[topic](work.payload, _facts(work, connection), seen)
        if isinstance(said, Ignored):
            return work.end("ignored", said.reason)
        for event in said:
            event.check()
        work.events = [*_noted(said, work), *derived.following(said)]
        work.payload = None
    except MalformedError as e:
        work.end("malformed", str(e)[:500])
    except ConnectionProblemError as e:
        work.problem = f"the sender reports a problem: {e}"[:500]
        work.end("malformed", work.problem)
    except Exception as e:
        _bug(work, e)
    return None


def _bug(work: Work, error: Exception) -> None:
    work.events = []
    webhook, topic = str(work.row["id"]), work.row["topic"]
    log.error("a connector failed to normalise a webhook", webhook=webhook, topic=topic, **traced(error))
    work.end("malformed", f"{topic}: the body could not be read: {misread(error)}"[:500])


def _facts(work: Work, connection: Connection) -> Facts[Any]:
    return Facts(
        topic=work.row["topic"],
        settings=connection.settings,
        headers=work.headers,
        received_at=work.row["at"],
        since=connection.created_at,
        role=connection.role,
        test=work.row["test"],
        reads=_reads(work.row["reads"]),
    )


def _reads(stored: Any) -> dict[str, Any]:
    """What was read, and an Unread for what could not be."""
    if not stored:
        return {}
    unread = {name: Unread(reason) for name, reason in stored.get("unread", {}).items()}
    return {**stored.get("read", {}), **unread}


def _noted(said: Sequence[Event], work: Work) -> list[Event]:
    """The events, with a note of what could not be read unless their source noted something itself."""
    unread = (work.row["reads"] or {}).get("unread")
    if not unread:
        return list(said)
    note = "; ".join(f"{name} could not be read: {reason}" for name, reason in unread.items())[:500]
    return [event if event.note else replace(event, note=note) for event in said]
