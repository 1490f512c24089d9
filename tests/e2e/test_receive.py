"""What is accepted, what is refused, and that neither is ever an accident."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain import rejections
from tests.support.harness import Harness, running, settings_for
from tests.support.routes import hub_app
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path, testbench, max_body=100_000) as harness:
        await harness.connect("bench", testbench, {}, role="shop")
        yield harness


async def test_a_wrong_missing_or_malformed_signature_is_401_and_counted(hub: Harness) -> None:
    for headers in (
        {"x-testbench-signature": "0" * 64},
        {"x-testbench-signature": "not hex at all, and much longer than a digest " * 20},
        {"x-testbench-signature": ""},
    ):
        answer = await hub.send("bench", "order.paid", payload(1), headers=headers)
        assert answer.status_code == 401, headers
    answer = await hub.client.post("/webhooks/bench", content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    await _until(hub, "select count(*) = 4 from rejected where slug = 'bench' and status = 401")
    assert await hub.one("select count(*) from webhook") == 0


async def test_an_unknown_connection_is_404(hub: Harness) -> None:
    for path in ("/webhooks/nobody", "/webhooks/elsewhere/bench"):
        assert (await hub.client.post(path, content=b"{}")).status_code == 404


async def test_a_redelivery_is_answered_and_dropped(hub: Harness) -> None:
    for _ in range(3):
        assert (await hub.send("bench", "order.paid", payload(1))).status_code == 200
    assert await hub.one("select count(*) from webhook") == 1


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (b"not json", "malformed"),
        (b'{"id": "1", "amount"', "malformed"),
        (b"[" * 50_000, "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (b"", "malformed"),
        (b'{"x":' + b"[" * 500 + b"]" * 500 + b"}", "malformed"),
        (b'{"x":' * 300 + b"1" + b"}" * 300, "malformed"),
        (b'{"id": "1", "amount": "1.00", "currency": "EUR", "x": ' + b"9" * 5000 + b"}", "normalised"),
        (b"[]", "malformed"),
        (b'"text"', "malformed"),
        (b'{"id": "1\\u0000\\ud800", "amount": "1.00", "currency": "EUR", "at": "2026-11-20T10:00:00Z"}', "normalised"),
    ],
)
async def test_what_is_signed_is_kept_whatever_it_is(hub: Harness, body: bytes, state: str) -> None:
    answer = await hub.send("bench", "order.paid", body)
    assert answer.status_code == 200
    await hub.settle()
    row = (await hub.rows("select state, reason, size from webhook"))[0]
    assert row["state"] == state, row
    assert row["size"] == len(body)
    assert state == "normalised" or row["reason"]


async def test_unknown_and_ignored_topics_are_kept_and_named(hub: Harness) -> None:
    await hub.send("bench", "planet.discovered", payload(1))
    await hub.send("bench", "ping", payload(2))
    await hub.settle()
    states = {row["topic"]: (row["state"], row["reason"]) for row in await hub.rows("select * from webhook")}
    assert states["planet.discovered"][0] == "unknown"
    assert states["ping"] == ("ignored", "says only that the webhook works")


async def test_numbers_beyond_two_to_the_53_are_exact(hub: Harness) -> None:
    body = payload("x") | {"id": 820982911946154508123456789}
    assert (await hub.send("bench", "order.paid", body | {"id": str(body["id"])})).status_code == 200
    await hub.settle()
    assert await hub.one("select object_id from event where type = 'order.paid'") == "820982911946154508123456789"


async def test_a_body_over_the_limit_is_413_before_it_is_all_read(hub: Harness) -> None:
    assert (await hub.send("bench", "order.paid", b"x" * 100_001)).status_code == 413
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 10_000
            yield b"x" * 10_000

    answer = await hub.client.post("/webhooks/bench", content=chunks())
    assert answer.status_code == 413
    assert await hub.one("select count(*) from webhook") == 0


async def test_a_chunked_flood_is_cut_off_on_a_real_socket(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A real server: the sender is told 413 while it still writes."""
    app = hub_app(settings_for(database_url, redis_url, tmp_path, max_body=50_000))
    async with running(database_url, redis_url, tmp_path / "other", testbench) as harness:
        await harness.connect("bench", testbench, {})
        async with app.router.lifespan_context(app), serving(app) as url:
            port = int(url.rsplit(":", 1)[1])
            status, written = await asyncio.to_thread(_flood, port)
    assert status in (404, 413)
    assert written < 20_000_000


def _flood(port: int) -> tuple[int, int]:
    written = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(b"POST /webhooks/bench HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        peer.settimeout(0.001)
        answer = b""
        while written < 20_000_000 and not answer:
            peer.settimeout(5)
            try:
                peer.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                written += 10_000
                peer.settimeout(0.001)
                answer = peer.recv(64)
            except TimeoutError:
                continue
            except OSError:
                break
        if not answer:
            peer.settimeout(5)
            answer = peer.recv(64)
    return int(answer.split()[1]), written


async def test_without_redis_webhooks_are_still_taken(database_url: str, tmp_path: Path) -> None:
    async with running(database_url, "redis://127.0.0.1:1/0", tmp_path, testbench) as harness:
        await harness.connect("bench", testbench, {})
        assert (await harness.send("bench", "order.paid", payload(1))).status_code == 200
        await harness.settle()
        assert await harness.one("select count(*) from event where type = 'order.paid'") == 1


async def test_without_postgresql_the_answer_is_503_with_retry_after(hub: Harness) -> None:
    pool = hub.client._transport.app.state.hub.database.pool  # type: ignore[attr-defined]
    await pool.close()
    answer = await hub.send("bench", "order.paid", payload(1))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def _until(hub: Harness, query: str) -> None:
    async with asyncio.timeout(5):
        while not await hub.one(query):
            await asyncio.sleep(0.01)


async def test_a_connection_that_sends_too_fast_is_told_when_to_come_again(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """And only what has proven itself counts: nobody else can use up a shop's share."""
    async with running(database_url, redis_url, tmp_path, testbench, webhook_rate=1) as hub:
        await hub.connect("bench", testbench, {}, role="shop")
        await hub.connect("other", testbench, {"account": "other"}, role="shop")
        for _ in range(30):
            assert (await hub.client.post("/webhooks/bench", content=b"{}")).status_code == 401
        answers = [await hub.send("bench", "order.paid", payload(n)) for n in range(15)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[:10] == [200] * 10
        assert set(statuses[10:]) <= {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert refused.json()["type"] == "/problems/too-many"
        assert (await hub.send("other", "order.paid", payload(1))).status_code == 200
        assert await hub.one("select count(*) from webhook") == statuses.count(200) + 1


async def test_the_log_of_refusals_is_bounded_in_length_and_in_rate(
    hub: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = hub.client._transport.app  # type: ignore[attr-defined]
    monkeypatch.setattr(rejections.time, "monotonic", lambda: 7.0)
    for _ in range(40):
        await hub.client.post("/webhooks/bench?" + "x" * 500, content=b"{}" * 200)
    await app.webhooks_in._rejections.settle()
    assert await hub.one("select count(*) from rejected") == rejections.A_SECOND
    assert all(len(str(dict(row))) < 1000 for row in await hub.rows("select * from rejected")), "no body, no headers"
    monkeypatch.setattr(rejections, "KEPT", 5)
    monkeypatch.setattr(rejections.time, "monotonic", lambda: 8.0)
    await hub.client.post("/webhooks/bench", content=b"{}")
    await app.webhooks_in._rejections.settle()
    assert await hub.one("select count(*) from rejected") == 5


async def test_a_sender_that_looks_at_its_address_first_is_answered_only_by_its_proof(hub: Harness) -> None:
    mailchimp = hub.hub.registry["mailchimp"]
    assert mailchimp.sandbox is not None
    settings = dict(mailchimp.sandbox().settings)
    await hub.connect("news", mailchimp, settings)
    for method in ("GET", "HEAD"):
        good = await hub.client.request(method, "/webhooks/news", params={"token": settings["url_tokens"][0]})
        assert good.status_code == 200
        for slug, query in (("news", {"token": "wrong"}), ("news", {}), ("bench", {}), ("nobody", {})):
            refused = await hub.client.request(method, f"/webhooks/{slug}", params=query)
            assert refused.status_code == 405, "who may not know learns nothing"
    assert (await hub.client.put("/webhooks/news")).status_code == 405
    assert await hub.one("select count(*) from webhook") == 0
