"""The real server against senders that mean harm: slow ones, greedy ones, and ten thousand malformed requests."""

import asyncio
import random
import re
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app import door
from app.api import webhooks
from app.api.shield import BARE
from app.door import Door
from app.main import App
from app.registry import Registry
from tests.support import fuzz
from tests.support.harness import running, settings_for
from tests.support.routes import hub_app
from tests.support.testconnector import SECRET, TOKEN, payload
from tests.support.testconnector import connector as testbench

REQUESTS = 10_000
AT_ONCE = 100


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[int]:
    """The app behind the protocol that production uses; gives its port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=Door, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def port(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[int]:
    app = hub_app(settings_for(database_url, redis_url, tmp_path / "api", max_body=100_000), Registry(testbench))
    async with running(database_url, redis_url, tmp_path / "other", testbench) as hub:
        await hub.connect("bench", testbench, {}, role="shop")
        gumroad = {"seller_id": "s1", "access_token": "t" * 20, "tokens": ["a-token-of-the-url"]}
        await hub.connect("pings", Registry()["gumroad"], gumroad)
        async with app.router.lifespan_context(app), listening(app) as port:
            yield port


async def answered(port: int, request: bytes) -> bytes:
    """The first answer to these bytes, whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: ([0-9]+)", head.lower())
            silent = request.startswith(b"HEAD ") or length is None
            return head + (b"" if silent or length is None else await reader.readexactly(int(length.group(1))))
    finally:
        writer.close()


# --- how many ---------------------------------------------------------------------------------------------------


async def test_who_comes_when_all_connections_are_taken_is_told_to_try_again(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Door, "at_most", 1)
    request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    _, first = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.sleep(0.05)
        refused = await answered(port, request)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused
    finally:
        first.close()
    await asyncio.sleep(0.05)
    assert (await answered(port, request)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("soft", "hard", "files", "connections"),
    [
        (1024, resource.RLIM_INFINITY, 16_200, 16_000),
        (1024, 4096, 4096, 3896),
        (1024, 1024, 1024, 824),
        (20_000, 20_000, 20_000, 16_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 16_000),
    ],
)
def test_as_many_connections_are_taken_as_files_may_be_open(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, files: int, connections: int
) -> None:
    limits = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda what: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda what, given: limits.__setitem__(slice(None), given))
    monkeypatch.setattr(Door, "at_most", Door.at_most)
    door.make_room()
    assert (limits[0], Door.at_most) == (files, connections)


# --- slow senders -----------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(door, name, 0.3)


HEAD = b"POST /webhooks/bench HTTP/1.1\r\nhost: x\r\n"


SLOW: dict[str, tuple[list[bytes], float]] = {
    "says nothing at all": ([], 0),
    "never ends its headers": ([HEAD], 0),
    "drips its headers": ([HEAD, *(b"x-%d: y\r\n" % n for n in range(50))], 0.05),
    "drips empty lines": ([b"\r\n"] * 50, 0.05),
    "never sends its body": ([HEAD + b"content-length: 50\r\n\r\n"], 0),
    "drips its body": ([HEAD + b"content-length: 50\r\n\r\n", *[b"x"] * 40], 0.05),
    "drips chunks": ([HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 40], 0.05),
    "drips between requests": ([b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", *[b"\r\n"] * 40], 0.05),
}


@pytest.mark.usefixtures("hasty")
async def test_senders_that_drip_are_let_go(port: int) -> None:
    async def let_go(parts: list[bytes], pause: float) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause)
        try:
            async with asyncio.timeout(10):
                answer = await reader.read(-1)
        except ConnectionError:
            answer = b" 408 "  # our drops met a closed door
        except TimeoutError:
            return False
        finally:
            writer.close()
        return b" 408 " in answer

    ended = await asyncio.gather(*(let_go(*drops) for drops in SLOW.values()))
    assert dict(zip(SLOW, ended, strict=True)) == dict.fromkeys(SLOW, True)


@pytest.mark.usefixtures("hasty")
async def test_who_does_not_read_the_answer_is_let_go(port: int) -> None:
    first = await answered(port, b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b" 200 " in first[:20], "the description is made at the first question, which takes its time"
    with closing(socket.socket()) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.setblocking(False)
        ask = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, ask * 20)
        await asyncio.sleep(1.5)  # the answers fill every buffer; nobody reads them
        got = 0
        try:
            async with asyncio.timeout(5):
                while chunk := await loop.sock_recv(peer, 1 << 20):
                    got += len(chunk)
        except ConnectionError:
            pass
        assert got < 10_000_000, "all of it was kept for somebody who does not read"


async def test_a_slow_answer_of_ours_is_no_slowness_of_the_sender(
    port: int, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """A request that is complete may take longer than the sender's own limits."""
    monkeypatch.setattr(door, "BODY_SECONDS", 0.1)
    real = webhooks.receive

    async def slow(*given: Any, **more: Any) -> Any:
        await asyncio.sleep(0.5)
        return await real(*given, **more)

    monkeypatch.setattr(webhooks, "receive", slow)
    assert b" 404 " in await answered(port, fuzz.post("/webhooks/pings?token=wrong", b"a=1"))


async def test_what_is_too_large_or_stands_in_the_wrong_place_is_refused(port: int) -> None:
    """A head without end; bodies of the API, before anybody is asked for a key; and trailers, which are no headers: a
    proxy in front may have looked at the headers only."""
    assert b" 431 " in await answered(port, HEAD + b"x: " + b"y" * 200_000)
    assert b" 431 " in await answered(port, HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(300)) + b"\r\n")
    assert b" 431 " in await answered(port, b"POST /webhooks/" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")
    announced = b"POST /v1/keys HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n"
    assert b" 413 " in await answered(port, announced)
    chunks = (
        b"POST /v1/keys HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"2710\r\n%b\r\n" % (b"x" * 10_000) * 20
    )
    assert b" 413 " in await answered(port, chunks)
    body = fuzz.signed(payload(1))
    trailers = b"".join(b"%s: %s\r\n" % pair for pair in body.headers)
    request = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n%b\r\n" % (
        len(body.body),
        body.body,
        trailers,
    )
    assert b" 401 " in await answered(port, request)


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.3, other"])
async def test_who_asks_for_another_protocol_is_answered_in_this_one(port: int, protocol: bytes) -> None:
    """Java's client asks for HTTP/2 in each request of its own accord, and sends its body at once."""
    signed = fuzz.signed(payload(1))
    first = b"".join(b"%s: %s\r\n" % pair for pair in signed.headers if pair[0].lower() != b"content-length")
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n" % protocol
    whole = HEAD + wish + first + b"content-length: %d\r\n\r\n%b" % (len(signed.body), signed.body)
    chunked = HEAD + first + wish + b"transfer-encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(signed.body), signed.body)
    assert b" 200 " in await answered(port, whole)
    assert b" 200 " in await answered(port, chunked)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        for _ in range(2):  # one connection, a request after another, in pieces
            for start in range(0, len(whole), 150):
                writer.write(whole[start : start + 150])
                await asyncio.sleep(0)
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + whole)
        said = b""
        while said.count(b" 200 OK") < 2:
            said += await asyncio.wait_for(reader.read(4096), 10)
    assert b" 400 " in await answered(port, b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n")


# --- malformed requests -----------------------------------------------------------------------------------------


async def test_ten_thousand_malformed_requests_get_no_5xx(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Headers, encodings, sizes, chunking, targets, cut and flipped bytes, pipelines, forgeries, by lot (seeded).
    Nothing leaks, and afterwards a good webhook is taken."""
    dice = random.Random(20261122)
    statuses: Counter[str] = Counter()
    leaks: list[bytes] = []
    pending = [fuzz.malformed(dice) for _ in range(REQUESTS)]
    kinds = Counter(kind for kind, _ in pending)

    async def work() -> None:
        while pending:
            _, request = pending.pop()
            answer = await fuzz.exchange(port, request)
            for status in fuzz.statuses(answer) or ["closed"]:
                statuses[status] += 1
            if any(secret in answer for secret in LEAKS):
                leaks.append(answer)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    with capsys.disabled():
        told = dict(sorted(statuses.items()))
        print(f"\nfuzzed webhooks: {REQUESTS} malformed requests of {len(kinds)} kinds; answers {told}")
    assert not leaks, leaks[:1]
    assert not [status for status in statuses if status.startswith("5")], statuses
    assert sum(statuses.values()) >= REQUESTS
    good = await answered(port, fuzz.signed(payload(2)).request("/webhooks/bench"))
    assert good.startswith(b"HTTP/1.1 200 "), good


LEAKS = (
    b"Traceback",
    b'File "',
    b"asyncpg",
    b"postgresql",
    b"/app/",
    SECRET.encode(),
    TOKEN.encode(),
    b"a-token-of-the-url",
)


# --- what senders can find out ----------------------------------------------------------------------------------


async def test_a_wrong_token_looks_like_a_connection_that_is_not_there(port: int) -> None:
    """For senders that prove themselves by the address alone, by status, headers and body, whatever is sent."""

    def shape(answer: bytes) -> bytes:
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"x-request-id")]
        return b"\r\n".join(sorted(lines)) + body.split(b'"request_id"')[0]

    for query in ("", "?token=", "?token=wrong", "?token=a-token-of-the-ur", "?token=a-token-of-the-url&token=x"):
        for body in (b"", b"a=1&b=2", b"x" * 100_001):
            there = await answered(port, fuzz.post(f"/webhooks/pings{query}", body))
            nowhere = await answered(port, fuzz.post(f"/webhooks/nowhere{query}", body))
            assert shape(there) == shape(nowhere), query
            assert there.startswith((b"HTTP/1.1 404", b"HTTP/1.1 413"))
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        answers = [await answered(port, fuzz.post(f"/webhooks/{slug}", b"", method)) for slug in ("pings", "nobody")]
        assert shape(answers[0]) == shape(answers[1]), method


PATHS = ("/healthz", "/v1/events", "/nothing", "/docs", "/openapi.json")


async def test_every_answer_carries_the_security_headers(port: int) -> None:
    asked: list[Callable[[], bytes]] = [
        lambda: fuzz.signed(payload(3)).request("/webhooks/bench"),
        lambda: fuzz.post("/webhooks/bench", b"{}"),
        lambda: fuzz.post("/webhooks/nowhere", b"{}"),
        *(partial(fuzz.post, path, b"", "GET") for path in PATHS),
        lambda: b"not HTTP at all\r\n\r\n",
        lambda: HEAD + b"x: " + b"y" * 200_000,
    ]  # fmt: skip
    for ask in asked:
        answer = (await answered(port, ask())).partition(b"\r\n\r\n")[0].lower()
        for name, _ in BARE:
            assert answer.count(b"\r\n%b: " % name) == 1, (ask()[:60], name, answer)
