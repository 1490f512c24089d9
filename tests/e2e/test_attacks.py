"""Every source against who replays, tampers, signs for somebody else, or signs too late: over HTTP, two workspaces."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.connector import Connector, Source
from app.domain.connections_file import Declared, apply
from app.errors import NotFoundError, SignatureError
from app.pipeline.receive import receive
from tests.connectors.test_conformance import ROOT, SOURCES, flips, settings_of
from tests.support.harness import Harness, running

REFUSED = (401, 404)


@dataclass(frozen=True)
class Sender:
    """A sender as the hub knows it: what it sends, and its own secrets."""

    connector: Connector[Any]
    settings: Any

    @property
    def source(self) -> Source[Any]:
        assert self.connector.source is not None
        return self.connector.source

    def sends(self, body: bytes, at: datetime | None = None) -> dict[str, Any]:
        """Keywords for httpx: the signed request."""
        at = at or datetime.now(UTC)
        topic = next(iter(self.source.topics))
        extra = dict(self.source.headers(topic, body, self.settings, at)) if self.source.headers else {}
        signed = self.source.signature.sign(body, self.settings, at)
        headers = {"content-type": self.source.content_type, **extra, **signed.headers}
        return {"content": body, "params": dict(signed.query), "headers": headers}


def body_of(connector: Connector[Any]) -> bytes:
    """Something that it sends. A Gumroad ping is marked as its sender marks a repeat: one without the mark is new, and
    its sale is read back before anything is believed."""
    found = sorted(path for path in (ROOT / connector.slug / "payloads").glob("*/*") if _is_body(path))
    body = found[0].read_bytes() if found else b'{"id": "12345", "amount": "1.00", "currency": "EUR"}'
    return body + b"&retry_count=1" if connector.slug == "gumroad" else body


def _is_body(path: Path) -> bool:
    return path.suffix in (".json", ".form") and not path.name.endswith((".events.json", ".given.json"))


SENDERS = [Sender(each, settings_of(each)) for each in SOURCES]
OTHERS = {each.slug: Sender(each, settings_of(each, spoilt=True)) for each in SOURCES}


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """Each source in two workspaces, with other secrets in each."""
    ours = [each for each in SOURCES if each.slug == "testbench"]
    async with running(database_url, redis_url, tmp_path, *ours) as hub:
        for workspace, senders in (("main", SENDERS), ("other", list(OTHERS.values()))):
            declared = [Declared(each.connector.slug, each.connector, each.settings, None, None, each.connector.slug)
                        for each in senders]  # fmt: skip
            await apply(hub.hub.database, hub.hub.ring, declared, "test", workspace)
        await hub.hub.connections.refresh(always=True)
        yield hub


async def post(hub: Harness, path: str, request: Mapping[str, Any]) -> int:
    return (await hub.client.post(path, **request)).status_code


async def test_a_replayed_request_is_kept_once(hub: Harness) -> None:
    """Sent again, byte for byte, by somebody who overheard it."""
    for sender in SENDERS:
        slug = sender.connector.slug
        request = sender.sends(body_of(sender.connector))
        for _ in range(5):
            assert await post(hub, f"/webhooks/{slug}", request) == 200, slug
        kept = await hub.one(
            "select count(*) from webhook w join connection c on c.id = w.connection_id where c.slug = $1", slug
        )
        assert kept == 1, f"{slug} kept a replay {kept} times"


async def test_a_tampered_request_is_refused(hub: Harness) -> None:
    for sender in SENDERS:
        path, body = f"/webhooks/{sender.connector.slug}", body_of(sender.connector)
        request = sender.sends(body)
        if not sender.source.signature.sign(body, sender.settings, datetime.now(UTC)).headers:
            continue  # it signs no bodies: its proof is the address
        for changed in (*flips(body), body + b" ", body[:-1], b""):
            assert await post(hub, path, {**request, "content": changed}) in REFUSED, (path, changed)
    assert await hub.one("select count(*) from webhook") == 0


def proof(sender: Sender, body: bytes, at: datetime) -> Any:
    """What proves it; senders whose sample secrets are alike have the same."""
    signed = sender.source.signature.sign(body, sender.settings, at)
    return signed.headers, signed.query


async def test_the_proof_of_one_tenant_opens_nothing_of_another(hub: Harness) -> None:
    now = datetime.now(UTC)
    for sender in SENDERS:
        slug, body = sender.connector.slug, body_of(sender.connector)
        mine, theirs = sender.sends(body), OTHERS[slug].sends(body)
        for path, request in ((f"/webhooks/{slug}", theirs), (f"/webhooks/main/{slug}", theirs),
                              (f"/webhooks/other/{slug}", mine)):  # fmt: skip
            assert await post(hub, path, request) in REFUSED, path
        for another in SENDERS:
            if proof(another, body, now) != proof(sender, body, now):
                assert await post(hub, f"/webhooks/{another.connector.slug}", mine) in REFUSED, (slug, another)
        assert await post(hub, f"/webhooks/other/{slug}", theirs) == 200, "and theirs opens theirs"
    rows = await hub.rows("select workspace, count(*) from webhook group by workspace")
    assert [tuple(row) for row in rows] == [("other", len(SENDERS))]


async def test_a_proof_with_a_time_in_it_expires(hub: Harness) -> None:
    """Of senders that sign the time; those that do not are guarded by their delivery keys, which are kept for ever."""
    now, timed = datetime.now(UTC), []
    for sender in SENDERS:
        slug, body = sender.connector.slug, body_of(sender.connector)
        early, late = (sender.source.signature.sign(body, sender.settings, now + timedelta(hours=h)) for h in (-1, 1))
        if early == late:
            continue
        timed.append(slug)
        for at in (now - timedelta(hours=1), now - timedelta(days=400), now + timedelta(hours=1)):
            assert await post(hub, f"/webhooks/{slug}", sender.sends(body, at)) == 401, (slug, at)
        assert await post(hub, f"/webhooks/{slug}", sender.sends(body, now)) == 200
    assert "stripe" in timed


async def test_nothing_of_a_request_is_parsed_before_its_sender_has_proven_itself(hub: Harness) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was looked into before it was proven")

    for sender in SENDERS:
        known = hub.hub.connections.find("main", sender.connector.slug)
        assert known is not None
        source = replace(sender.source, identify=never, parse=never, topics=dict.fromkeys(sender.source.topics, never))
        guarded = replace(known, connector=replace(sender.connector, source=source))
        request = OTHERS[sender.connector.slug].sends(body_of(sender.connector))
        headers = [(name.lower(), value) for name, value in request["headers"].items()]
        with pytest.raises((SignatureError, NotFoundError)):
            await receive(guarded, headers, request["params"], request["content"], datetime.now(UTC),
                          intake=None, hasher=hub.hub.hasher)  # type: ignore[arg-type]  # fmt: skip
