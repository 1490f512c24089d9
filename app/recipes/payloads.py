"""Named webhook fixtures in test files: a body as its platform sends it, and the events that it becomes.

A name is a topic's folder and a file in it (`orders-paid/basic`), a topic alone (`orders/paid`: its first file), or the
path of a file beside the test file, as `tradewind capture` writes them (`fixtures/orders-paid/captured-1.json`).
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from app import events as canonical
from app.connector import ConnectionProblemError, Connector, Facts, Ignored, RawWebhook, Remembered
from app.domain import derived
from app.errors import MalformedError
from app.events import Event, Ref
from app.expressions import hint

BESIDE = (".events.json", ".given.json")
"""Files beside a body that are none."""


def payload_folder(slug: str) -> Path:
    """Where a shipped connector keeps its sample bodies, by topic."""
    return Path(importlib.import_module(f"connectors.{slug}").__file__ or ".").parent / "payloads"


def bodies_in(folder: Path) -> list[Path]:
    """The bodies in a folder, without what lies beside them."""
    return [path for path in sorted(folder.glob("*.*")) if not path.name.endswith(BESIDE)]


def payload_path(slug: str, name: str, beside: Path | None = None) -> Path:
    """The file of a fixture; `beside`: the folder of the test file. Raises ValueError with the names that there are."""
    if beside is not None and _lies_in(beside / name, beside):
        return beside / name
    folders = sorted(each for each in payload_folder(slug).glob("*") if each.is_dir())
    there: dict[str, list[Path]] = {each.name: bodies_in(each) for each in folders}
    topic, _, stem = name.rpartition("/")
    topic = topic.replace("/", "-")
    candidates = [path for paths in there.values() for path in paths if topic in ("", path.parent.name)]
    named = [path for path in candidates if path.stem == stem] or there.get(name.replace("/", "-"), [])
    if named:
        return named[0]
    names = [f"{folder}/{path.stem}" for folder, paths in there.items() for path in paths] if topic else list(there)
    raise ValueError(f"{slug} has no payload {name!r}; {hint(name, names)}")


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a file is there and the name did not lead out of its folder: test files come by the API too."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


@dataclass
class Platform:
    """A platform that sends fixtures. It remembers of its objects what a hub would, for the webhooks that follow."""

    connector: Connector[Any]
    known: dict[Ref, Remembered] = field(default_factory=dict)

    def events(self, path: Path, changes: Mapping[str, Any], now: datetime) -> list[Event] | Ignored:
        """The events that a body becomes, `changes` laid over it; or why it becomes none. Raises ValueError for one
        that cannot be read."""
        try:
            said = self._normalised(path, changes, now)
        except (MalformedError, ConnectionProblemError) as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error
        for event in () if isinstance(said, Ignored) else said:
            if event.remember is not None or event.version is not None:
                self.known[event.object] = Remembered(event.version, event.remember or {})
        return said

    def _normalised(self, path: Path, changes: Mapping[str, Any], now: datetime) -> list[Event] | Ignored:
        source, settings = self.connector.source, _settings(self.connector)
        if source is None:
            raise ValueError(f"{self.connector.title} sends no webhooks")
        topics = {topic.replace("/", "-"): topic for topic in (*source.topics, *source.ignored)}
        topic = topics.get(path.parent.name, path.parent.name)
        given, webhook = _given(path), _webhook(self.connector, settings, topic, path, now)
        receipt = source.identify(webhook, settings)
        topic = topic if topic in source.topics else receipt.topic
        reason = receipt.ignored or source.ignored.get(topic)
        if reason or topic not in source.topics:
            return Ignored(reason or f"no rule for the topic {topic!r}")
        payload = laid_over(source.parse(webhook), changes)
        reads = given.get("reads", {})
        missing = [each.name for each in source.needs(topic, payload, settings) if each.required]
        if lacking := [name for name in missing if name not in reads]:
            raise ValueError(
                f"{path.name} needs the API reads {', '.join(lacking)}: put them into {path.stem}.given.json"
            )
        facts = Facts(
            topic, settings, webhook.headers, now, canonical.parse_time(given.get("since")), given.get("role"),
            bool(given.get("test")) or receipt.test, reads,
        )  # fmt: skip
        stated = {
            Ref(each["kind"], each["id"]): Remembered(each["version"], each["data"]) for each in given.get("state", ())
        }
        said = source.topics[topic](payload, facts, {**stated, **self.known})
        return said if isinstance(said, Ignored) else [*said, *derived.following(said)]


def _settings(connector: Connector[Any]) -> Any:
    """Settings that fit the connector's sample bodies."""
    beside = payload_folder(connector.slug) / "settings.json"
    if beside.is_file():
        return connector.settings.model_validate(orjson.loads(beside.read_bytes()))
    sandbox = connector.sandbox() if connector.sandbox is not None else None
    return (
        connector.settings.model_validate(dict(sandbox.settings)) if sandbox else connector.settings.model_construct()
    )


def _given(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{path.stem}.given.json")
    return dict(orjson.loads(beside.read_bytes())) if beside.is_file() else {}


def _webhook(connector: Connector[Any], settings: Any, topic: str, path: Path, now: datetime) -> RawWebhook:
    """The body as it would come in, with the headers that its sender puts beside it."""
    source, body, given = connector.source, path.read_bytes(), _given(path)
    assert source is not None  # noqa: S101 (asked by the caller)
    kind = "application/x-www-form-urlencoded" if path.suffix == ".form" else source.content_type
    beside = source.headers(topic, body, settings, now) if source.headers is not None else {}
    headers = {"content-type": kind, **beside, **given.get("headers", {})}
    return RawWebhook(body, {name.lower(): value for name, value in headers.items()}, given.get("query", {}), now)


def laid_over(below: Any, above: Any) -> Any:
    """Objects laid over each other, all else replaced."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{name: laid_over(below.get(name), each) for name, each in above.items()}}
    return above
