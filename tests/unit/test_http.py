"""Promises of the door to outside systems: what left and what did not, where it may go, what may come back."""

import asyncio
import contextlib
import gc
import ipaddress
import socket
import ssl
import string
import threading
import time
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connector import Reply
from app.errors import (
    ConfigError,
    CredentialError,
    PermanentError,
    RetryableError,
    TradewindError,
    UnsureError,
)
from app.http import (
    MAX_RETRY_AFTER,
    Request,
    Response,
    Timeouts,
    Transport,
    boottime,
    classify,
    is_refused,
    retry_after,
)
from tests.support.rawserver import (
    Manner,
    RawServer,
    Seen,
    deaf_port,
    redirecting,
    refusing_port,
    reset,
    saying,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
QUICK = Timeouts(pool=0.2, connect=0.5, read=0.2, total=1.0)
SECRET = "s3cret-token"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a scenario on a loop: production uses uvloop, whose sockets behave differently when they close."""
    runner: Run = request.param
    return runner


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as running:
        yield running


@pytest.fixture
async def transport(server: RawServer) -> AsyncIterator[Transport]:
    """A transport that may call the server."""
    async with Transport(allowed=[server.address]) as opened:
        yield opened


def ask(server: RawServer, path: str = "/ok", method: str = "GET", body: bytes = b"", **more: Any) -> Request:
    return Request(method, server.origin + path, body=body, **more)


async def outcome(sending: Awaitable[Response]) -> Response | TradewindError:
    try:
        return await sending
    except TradewindError as error:
        return error


# --- what left and what did not ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """path and manner: how the server misbehaves. verdicts: what may be said. read: requests read whole."""

    path: str
    verdicts: tuple[type[TradewindError], ...] = (UnsureError,)
    read: int = 1
    manner: Manner = "serve"
    max_bytes: int = 1_000_000


FAULTS = {
    fault.path.strip("/") + ("" if fault.manner == "serve" else fault.manner): fault
    for fault in (
        Fault("/close"),
        Fault("/reset"),
        Fault("/hang"),
        Fault("/half-head"),
        Fault("/half-body"),
        Fault("/half-chunks"),
        Fault("/bad-chunks"),
        Fault("/half-gzip"),
        Fault("/bad-gzip"),
        Fault("/bomb"),
        Fault("/stall"),
        Fault("/dribble"),
        Fault("/garbage"),
        Fault("/bad-status"),
        Fault("/long-header"),
        Fault("/big"),
        Fault("/big-chunks"),
        Fault("/", (RetryableError, UnsureError), 0, "close"),
        Fault("/", (RetryableError, UnsureError), 0, "reset"),
        Fault("/", (UnsureError,), 0, "reset-mid-upload"),
    )
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_whether_the_request_left_and_sends_it_once(name: str, run: Run) -> None:
    async def one(method: str) -> None:
        fault = FAULTS[name]
        body = b"" if method == "GET" else b"y" * 200_000
        async with RawServer(fault.manner) as server, Transport(allowed=[server.address]) as transport:
            request = ask(server, fault.path + "?key=" + SECRET, method, body)
            error = await outcome(transport.send(request, timeouts=QUICK, max_bytes=fault.max_bytes))
            assert type(error) in fault.verdicts, (method, error)
            assert len(server.seen) == fault.read
            assert server.bytes_read == 0 or type(error) is UnsureError
            assert SECRET not in "".join(traceback.format_exception(error))  # type: ignore[arg-type]

    async def all_methods() -> None:
        await asyncio.gather(*(one(method) for method in METHODS))

    run(all_methods())


@pytest.mark.parametrize("unreachable", [refusing_port, deaf_port])
def test_a_request_that_found_no_connection_was_not_sent(
    unreachable: Callable[[], contextlib.AbstractContextManager[int]], run: Run
) -> None:
    async def all_methods() -> None:
        with unreachable() as port:
            async with Transport(allowed=[("127.0.0.1", port)]) as transport:
                url = f"http://127.0.0.1:{port}/?key={SECRET}"
                requests = [Request(method, url, body=b"{}") for method in METHODS]
                sendings = [outcome(transport.send(r, timeouts=QUICK, before_send=never)) for r in requests]
                for error in await asyncio.gather(*sendings):
                    assert type(error) is RetryableError
                    assert "was not called" in str(error)
                    assert SECRET not in "".join(traceback.format_exception(error))

    run(all_methods())


async def never() -> None:
    pytest.fail("the request was announced without a connection")


def test_a_name_that_does_not_resolve_was_not_called(run: Run) -> None:
    def lookup(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        async with Transport(lookup=lookup) as transport:
            for method in METHODS:
                with pytest.raises(RetryableError, match="could not be resolved"):
                    await transport.send(Request(method, "https://shop.invalid/x"), before_send=never)

    run(scenario())


def test_a_request_that_found_the_pool_full_was_not_sent(run: Run) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address], limit=1) as transport:
            holding = asyncio.create_task(outcome(transport.send(ask(server, "/hang"))))
            await until(lambda: len(server.seen) == 1)
            sendings = [outcome(transport.send(ask(server, "/ok", m, b"{}"), timeouts=QUICK)) for m in METHODS]
            for error in await asyncio.gather(*sendings):
                assert type(error) is RetryableError
            assert len(server.seen) == 1
            holding.cancel()

    run(scenario())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("ending", [saying(b""), saying(b"HTTP/1.1 2"), "reset"], ids=["close", "half", "reset"])
def test_no_method_is_resent_when_a_kept_connection_drops(ending: Any, run: Run) -> None:
    async def second(writer: asyncio.StreamWriter, seen: Seen) -> bool:
        if ending == "reset":
            reset(writer)
            return False
        kept: bool = await ending(writer, seen)
        return kept

    async def one(method: str) -> None:
        body = b"" if method in ("GET", "DELETE") else b"{}"
        async with (
            RawServer(behaviours={"/second": second}) as server,
            Transport(allowed=[server.address]) as transport,
        ):
            await transport.send(ask(server, "/ok", method, body))
            with pytest.raises(UnsureError):
                await transport.send(ask(server, "/second", method, body))
            assert [seen.connection for seen in server.seen] == [1, 1]

    async def all_methods() -> None:
        await asyncio.gather(*(one(method) for method in METHODS))

    run(all_methods())


def test_a_connection_that_closed_meanwhile_carries_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:
            await transport.send(ask(server))
            server.hang_up()
            await asyncio.sleep(0.05)
            assert (await transport.send(ask(server, "/ok", "POST", b"{}"))).status == 200
            assert [seen.connection for seen in server.seen] == [1, 2]

    run(scenario())


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_connection_that_closes_while_the_mark_is_written_carries_nothing(body: bytes, run: Run) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:
            await transport.send(ask(server))

            async def mark() -> None:
                server.hang_up()
                await asyncio.sleep(0.05)

            with pytest.raises(RetryableError, match="closed before the request was sent"):
                await transport.send(ask(server, "/ok", "POST", body), before_send=mark)
            assert len(server.seen) == 1

    run(scenario())


async def test_a_request_that_only_reads_is_retryable_whatever_happened(
    server: RawServer, transport: Transport
) -> None:
    with pytest.raises(RetryableError, match="no usable answer"):
        await transport.send(ask(server, "/close", "POST", b"{}", reads=True))


async def test_an_unsure_success_keeps_its_status(server: RawServer, transport: Transport) -> None:
    for path in ("/half-body", "/big", "/bad-gzip"):
        with pytest.raises(UnsureError) as unsure:
            await transport.send(ask(server, path, "POST", b"{}"), max_bytes=1000)
        assert unsure.value.status == 200


@pytest.mark.parametrize(("path", "status"), [("/half-refusal", 404), ("/big-refusal", 422)])
async def test_a_refusal_counts_though_its_body_is_broken(
    path: str, status: int, server: RawServer, transport: Transport
) -> None:
    response = await transport.send(ask(server, path, "POST", b"{}"), max_bytes=1000)
    assert (response.status, response.complete) == (status, False)
    assert len(response.body) <= 1000
    assert isinstance(classify("POST", response, now=NOW), PermanentError)


def test_an_answer_that_comes_before_the_body_was_taken_counts_and_ends_the_sending(run: Run) -> None:
    async def scenario() -> None:
        async with RawServer("answer-mid-upload") as server, Transport(allowed=[server.address]) as transport:
            body = b"z" * 30_000_000
            response = await transport.send(ask(server, "/ok", "POST", body))
            assert (response.status, response.body) == (413, b"too large")
            server.wake.set()
            await until(lambda: server.open_connections == 0)
            assert 0 < server.bytes_read < len(body)

    run(scenario())


def test_a_request_that_was_given_up_half_way_does_not_arrive_later(run: Run) -> None:
    async def scenario() -> None:
        async with RawServer("sleep-mid-upload") as server, Transport(allowed=[server.address]) as transport:
            body = b"z" * 30_000_000
            with pytest.raises(UnsureError):
                await transport.send(ask(server, "/ok", "POST", body), timeouts=QUICK)
            server.wake.set()
            await until(lambda: server.open_connections == 0)
            assert 0 < server.bytes_read < len(body)

    run(scenario())


async def test_a_cancelled_call_stays_cancelled_and_its_connection_is_not_used_again(
    server: RawServer, transport: Transport
) -> None:
    sending = asyncio.create_task(transport.send(ask(server, "/stall")))
    await until(lambda: len(server.seen) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await transport.send(ask(server))
    assert [seen.connection for seen in server.seen] == [1, 2]


def test_calls_leave_no_circles_for_the_garbage_collector() -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:
            await transport.send(ask(server, "/ok", "POST", b"{}"))
            gc.collect()
            gc.freeze()
            for _ in range(30):
                await transport.send(ask(server, "/ok", "POST", b"{}"))
            assert gc.collect() < 30

    gc.disable()
    try:
        uvloop.run(scenario())  # asyncio keeps cancelled timers, and with them their passages, for a while
    finally:
        gc.enable()


async def test_a_closed_transport_sends_nothing(server: RawServer) -> None:
    transport = Transport(allowed=[server.address])
    await transport.close()
    with pytest.raises(RetryableError, match="shutting down"):
        await transport.send(ask(server))


# --- what is asked right before the bytes go ---------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_request_is_announced_once_with_its_connection_there_and_before_its_bytes(body: bytes, run: Run) -> None:
    async def scenario() -> None:
        announced = []
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:

            async def mark() -> None:
                await until(lambda: server.connections == 1)
                await asyncio.sleep(0.02)
                announced.append(server.bytes_read)

            await transport.send(ask(server, "/ok", "PUT", body), before_send=mark)
        assert announced == [0]
        assert len(server.seen) == 1

    run(scenario())


@pytest.mark.parametrize("refusal", [ValueError("lease lost"), ConnectionResetError("store away"), TimeoutError()])
def test_a_request_whose_mark_failed_is_not_sent_and_the_reason_reaches_the_caller(
    refusal: Exception, run: Run
) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:

            async def mark() -> None:
                raise refusal

            with pytest.raises(type(refusal)) as raised:
                await transport.send(ask(server, "/ok", "POST", b"{}"), before_send=mark)
            assert raised.value is refusal
            assert server.bytes_read == 0

    run(scenario())


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_request_whose_deadline_passed_while_it_was_marked_is_not_sent(body: bytes, run: Run) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:

            async def mark() -> None:
                time.sleep(0.06)

            request = ask(server, "/ok", "POST", body)
            with pytest.raises(RetryableError, match="deadline"):
                await transport.send(request, before_send=mark, deadline=boottime() + 0.03)
            assert server.bytes_read == 0

    run(scenario())


def test_a_process_that_slept_between_mark_and_write_sends_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with RawServer() as server, Transport(allowed=[server.address]) as transport:

            async def mark() -> None:
                asyncio.get_running_loop().call_soon(time.sleep, 0.06)

            request = ask(server, "/ok", "POST", b"{}")
            with pytest.raises(RetryableError, match="deadline"):
                await transport.send(request, before_send=mark, deadline=boottime() + 0.03)
            assert server.bytes_read == 0

    run(scenario())


# --- what is stored and what goes on the wire --------------------------------------------------------------------

_NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12).map("X-{}".format)
_VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(METHODS),
    url=st.text(string.ascii_letters + string.digits + "%/?&=~+:@!$'()*,;.-_", max_size=40).map(
        "https://api.example.com/{}".format
    ),
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=4).map(tuple),
    body=st.binary(max_size=200),
    reads=st.booleans(),
    redirects=st.integers(0, 5),
)


@given(REQUESTS)
@settings(max_examples=150, deadline=None)
def test_a_stored_request_comes_back_exactly(request: Request) -> None:
    assert Request.load(request.dump()) == request
    assert Request.load(request.dump()).dump() == request.dump()


@pytest.mark.parametrize("stored", [b"", b"{}", b"[1]\n", b'{"v":2}\n', b'{"v":1}'])
def test_what_is_no_stored_request_is_not_loaded(stored: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Request.load(stored)


async def test_a_stored_request_is_sent_again_byte_for_byte(server: RawServer, transport: Transport) -> None:
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", "k1"), ("X-Note", "Zoë · 訂單"))
    request = ask(server, "/ok?a=%7E%2f", "PUT", b'{"n": 1.50}\r\n\r\n\x00', headers=headers)
    await transport.send(request)
    await transport.send(Request.load(request.dump()))
    first, second = server.seen
    assert (first.raw, first.body) == (second.raw, second.body)
    assert "X-Note: Zoë · 訂單\r\n".encode() in first.raw


@pytest.mark.parametrize(
    "target",
    [
        "/%7Ec?q=a%2Bb%20c%2f&s=%3D%3d&e=",
        "/a%2Fb/%c3%A9+d",
        "/a/../b/./c//d",
        "/?next=https://x/y?z",
        "/v1/items:batch(1)[2]",
        "/ok;v=1,2!$'*~|^`",
    ],
)
async def test_a_url_is_sent_as_it_is_written(target: str, server: RawServer, transport: Transport) -> None:
    await transport.send(ask(server, target))
    assert server.seen[0].target == target


async def test_nothing_is_added_that_an_action_did_not_ask_for(server: RawServer, transport: Transport) -> None:
    await transport.send(ask(server, "/ok", "POST"))
    await transport.send(ask(server, "/ok", "POST", b"a=1"))
    names = [[line.split(b":")[0] for line in seen.raw.split(b"\r\n")[1:-2]] for seen in server.seen]
    assert names == [[b"Host", b"Accept", b"Accept-Encoding", b"User-Agent", b"Content-Length"]] * 2


async def test_credentials_are_sent_and_never_stored(server: RawServer, transport: Transport) -> None:
    request = ask(server, headers=(("authorization", "stale"), ("X-A", "1")))
    await transport.send(request, credentials={"Authorization": f"Bearer {SECRET}"})
    assert server.seen[0].header("Authorization") == f"Bearer {SECRET}"
    assert b"stale" not in server.seen[0].raw
    assert SECRET.encode() not in request.dump()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/é",
        "https://example.com/\r\nX: 1",
        "https://evil.com\\@example.com/",
        "https://127.1/",
        "https://2130706433/",
        "https://017.0.0.1/",
        "https://[::1/",
    ],
)
def test_a_url_that_could_mean_two_things_is_refused(url: str) -> None:
    with pytest.raises(PermanentError):
        Request("GET", url)


@pytest.mark.parametrize(
    "header",
    [("X-A", "a\r\nX-B: b"), ("X-A", "a\x00"), ("X A", "a"), ("", "a"), ("X:", "a"), ("X-A", "\ud800")]
    + [(name, "1") for name in ("Host", "content-length", "Transfer-Encoding", "Connection", "Expect")],
)
async def test_a_header_that_would_change_the_request_is_refused(header: tuple[str, str], transport: Transport) -> None:
    with pytest.raises(PermanentError):
        Request("GET", "https://example.com/", (header,))
    with pytest.raises(PermanentError):
        await transport.send(Request("GET", "https://example.com/"), credentials=dict([header]))


@pytest.mark.parametrize("method", ["get", "", "GET /x", "GE\r\nT"])
def test_a_method_that_is_none_is_refused(method: str) -> None:
    with pytest.raises(PermanentError):
        Request(method, "https://example.com/")


async def test_cookies_are_neither_kept_nor_shared(server: RawServer, transport: Transport) -> None:
    for path in ("/cookie", "/ok"):
        request = Request("GET", f"http://localhost:{server.port}{path}")
        await transport.send(request, allowed=[("localhost", server.port)])
    assert server.seen[1].header("Cookie") is None


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    async with RawServer() as proxy, Transport(allowed=[server.address]) as transport:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        await transport.send(ask(server))
        assert proxy.connections == 0
        assert server.seen[0].header("Authorization") is None


# --- where it may go ---------------------------------------------------------------------------------------------

INSIDE = [
    *("127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.9", "192.88.99.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "fe80::1", "fe80::1%eth0", "fc00::1"),
    *("fd12::1", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::1"),
    *("2001::1", "2001:db8::1", "100::1", "nonsense"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


def test_private_addresses_are_refused_in_every_dress_and_public_ones_are_not() -> None:
    assert [address for address in INSIDE if not is_refused(address)] == []
    assert [address for address in PUBLIC if is_refused(address)] == []


@given(st.ip_addresses(v=4))
@settings(max_examples=100, deadline=None)
def test_an_ipv4_address_inside_an_ipv6_one_is_always_refused(inner: ipaddress.IPv4Address) -> None:
    low, high = int(inner), int(inner) << 80
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"):
        assert is_refused(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | low)))
    assert is_refused(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("2002::")) | high)))


def pointing_to(*addresses: str) -> Callable[..., list[Any]]:
    def lookup(host: str, port: int, *_: object) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(f, socket.SOCK_STREAM, 6, "", (a, port)) for f, a in zip(families, addresses, strict=True)]

    return lookup


@pytest.mark.parametrize("addresses", [*((a,) for a in INSIDE if "%" not in a), ("127.0.0.1", "::1", "10.0.0.1")])
async def test_a_name_that_points_inside_is_not_called(addresses: tuple[str, ...]) -> None:
    async with Transport(lookup=pointing_to(*addresses)) as transport:
        with pytest.raises(PermanentError, match="not a public address"):
            await transport.send(
                Request("POST", "http://shop.example/x", body=b"{}"), timeouts=QUICK, before_send=never
            )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0", "[::ffff:127.0.0.1]", "0x7f.1"])
async def test_a_private_address_that_nobody_named_is_not_called(host: str, server: RawServer) -> None:
    async with Transport(allowed=[("127.0.0.1", server.port + 1)]) as transport:
        with pytest.raises(PermanentError, match="not a public address"):
            await transport.send(Request("GET", f"http://{host}:{server.port}/ok"))
    assert server.connections == 0


async def test_a_name_that_turns_inwards_later_is_not_called(server: RawServer) -> None:
    answers: list[Callable[..., list[Any]]] = [pointing_to(), pointing_to("127.0.0.1")]

    def lookup(*asked: Any) -> list[Any]:
        found = answers.pop(0)(*asked)
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return found

    async with Transport(lookup=lookup) as transport:
        request = Request("GET", f"http://shop.example:{server.port}/ok")
        with pytest.raises(RetryableError):
            await transport.send(request)
        with pytest.raises(PermanentError, match="not a public address"):
            await transport.send(request)
    assert server.connections == 0


async def test_a_base_url_is_open_for_exactly_its_host_and_port(server: RawServer) -> None:
    async with RawServer() as neighbour, Transport() as transport:
        transport.allow("LocalHost", server.port)
        assert (await transport.send(Request("GET", f"http://localhost:{server.port}/ok"))).status == 200
        for origin in (server.origin, neighbour.origin, f"http://localhost:{neighbour.port}"):
            with pytest.raises(PermanentError):
                await transport.send(Request("GET", origin + "/ok"))
        assert (len(server.seen), neighbour.connections) == (1, 0)


async def test_a_kept_connection_to_a_private_address_is_closed_to_others(server: RawServer) -> None:
    async with Transport() as transport:
        await transport.send(ask(server), allowed=[server.address])
        with pytest.raises(PermanentError, match="not a public address"):
            await transport.send(ask(server, "/ok", "POST", b"{}"))
    assert len(server.seen) == 1


async def test_a_dead_name_server_does_not_hold_up_other_names(server: RawServer) -> None:
    released = threading.Event()

    def lookup(host: str, *more: Any) -> list[Any]:
        if host.startswith("dead"):
            released.wait(10)
        return pointing_to("127.0.0.1")(host, *more)

    async with Transport(allowed=[("alive", server.port)], lookup=lookup) as transport:
        dead = [Request("GET", f"http://dead{i}.example/") for i in range(12)]
        waiting = [asyncio.create_task(outcome(transport.send(request, timeouts=QUICK))) for request in dead]
        await asyncio.sleep(0)
        alive = Request("GET", f"http://alive:{server.port}/ok")
        assert (await transport.send(alive, timeouts=QUICK)).status == 200
        errors = await asyncio.gather(*waiting)
        released.set()
    assert {type(error) for error in errors} == {RetryableError}


async def test_a_hanging_host_leaves_room_for_others(server: RawServer) -> None:
    async with (
        RawServer() as other,
        Transport(allowed=[server.address, other.address], limit=3, per_host=2) as transport,
    ):
        hanging = [asyncio.create_task(outcome(transport.send(ask(server, "/hang")))) for _ in range(3)]
        await until(lambda: len(server.seen) == 2)
        assert (await transport.send(ask(other), timeouts=QUICK)).status == 200
        for task in hanging:
            task.cancel()


# --- redirects ---------------------------------------------------------------------------------------------------


def redirects_of(server: RawServer, other: RawServer) -> None:
    server.behaviours = {
        "/there": redirecting("/ok?x=%7E#part"),
        "/relative": redirecting("ok", 307),
        "/away": redirecting(other.origin + "/ok", 307),
        "/tls": redirecting(f"https://127.0.0.1:{server.port}/ok"),
        "/odd": redirecting("http://user:pw@127.0.0.1/"),
        "/round": redirecting("/round", 308),
    }


async def test_a_redirect_is_followed_only_when_asked_by_a_read_and_within_its_host(
    server: RawServer, transport: Transport
) -> None:
    async with RawServer() as other:
        redirects_of(server, other)
        transport.allow(*other.address)
        asked = [
            (ask(server, "/there"), 302, 1),
            (ask(server, "/there", redirects=1), 200, 2),
            (ask(server, "/relative", redirects=1), 200, 2),
            (ask(server, "/there", "POST", b"{}", redirects=3), 302, 1),
            (ask(server, "/there", "POST", b"{}", redirects=3, reads=True), 200, 2),
            (ask(server, "/away", redirects=3), 307, 1),
            (ask(server, "/tls", redirects=3), 302, 1),
            (ask(server, "/odd", redirects=3), 302, 1),
            (ask(server, "/round", redirects=3), 308, 4),
        ]
        for request, status, read in asked:
            server.seen.clear()
            response = await transport.send(request, credentials={"Authorization": SECRET})
            assert (response.status, len(server.seen)) == (status, read), request.url
        assert other.connections == 0


async def test_a_followed_redirect_is_exact_and_announced_once(server: RawServer, transport: Transport) -> None:
    redirects_of(server, server)
    marks = []

    async def mark() -> None:
        marks.append(1)

    await transport.send(ask(server, "/there", redirects=2), before_send=mark)
    assert [seen.target for seen in server.seen] == ["/there", "/ok?x=%7E"]
    assert marks == [1]


# --- what comes back ---------------------------------------------------------------------------------------------


async def test_an_answer_comes_back_whole_with_headers_in_any_case(server: RawServer, transport: Transport) -> None:
    response = await transport.send(ask(server, "/ok"))
    assert (response.status, response.json(), response.text) == (200, {"id": "1001"}, '{"id":"1001"}')
    assert response.headers["Content-Type"] == response.headers["content-type"] == "application/json"
    assert "content-type" in list(response.headers)
    assert isinstance(response, Reply)
    with pytest.raises(TypeError):
        response.headers["x"] = "y"  # type: ignore[index]


async def test_a_packed_answer_is_unpacked(server: RawServer, transport: Transport) -> None:
    assert (await transport.send(ask(server, "/gzip"))).json() == {"id": 7}
    assert (await transport.send(ask(server, "/ok", "HEAD"))).body == b""


async def test_an_answer_may_be_as_large_as_its_bound_and_no_larger(server: RawServer, transport: Transport) -> None:
    exact = len(b'{"id":"1001"}')
    assert (await transport.send(ask(server), max_bytes=exact)).status == 200
    with pytest.raises(UnsureError, match="larger than"):
        await transport.send(ask(server), max_bytes=exact - 1)


async def test_a_large_answer_is_not_read_to_its_end(server: RawServer, transport: Transport) -> None:
    for path in ("/big", "/big-chunks", "/bomb"):
        with pytest.raises(UnsureError, match="larger than 5242880 bytes"):
            await transport.send(ask(server, path))
        assert (await transport.send(ask(server))).status == 200


async def test_an_answer_that_grows_when_unpacked_takes_no_more_memory_than_its_bound(
    server: RawServer, transport: Transport
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnsureError):
            await transport.send(ask(server, "/bomb"), max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


async def test_an_answer_that_is_no_json_is_unsure_for_a_write_and_retryable_for_a_read(
    server: RawServer, transport: Transport
) -> None:
    with pytest.raises(UnsureError):
        (await transport.send(ask(server, "/words", "POST"))).json()
    for read in (ask(server, "/words"), ask(server, "/words", "POST", reads=True)):
        with pytest.raises(RetryableError):
            (await transport.send(read)).json()


KINDS: dict[int, tuple[type[TradewindError] | None, type[TradewindError] | None]] = {
    200: (None, None),
    204: (None, None),
    301: (PermanentError, PermanentError),
    302: (UnsureError, PermanentError),
    303: (UnsureError, PermanentError),
    307: (PermanentError, PermanentError),
    400: (PermanentError, PermanentError),
    401: (CredentialError, CredentialError),
    403: (PermanentError, PermanentError),
    404: (PermanentError, PermanentError),
    408: (RetryableError, RetryableError),
    409: (PermanentError, PermanentError),
    422: (PermanentError, PermanentError),
    425: (RetryableError, RetryableError),
    429: (RetryableError, RetryableError),
    500: (UnsureError, RetryableError),
    501: (PermanentError, PermanentError),
    502: (UnsureError, RetryableError),
    503: (UnsureError, RetryableError),
    504: (UnsureError, RetryableError),
    520: (UnsureError, RetryableError),
    529: (UnsureError, RetryableError),
}


@pytest.mark.parametrize("status", KINDS)
def test_a_status_says_what_happens_next(status: int) -> None:
    reply = Reply(status, {}, b"")
    write, read = KINDS[status]
    for method, reads, kind in (
        ("POST", False, write),
        ("DELETE", False, write),
        ("GET", False, read),
        ("POST", True, read),
    ):
        error = classify(method, reply, now=NOW, reads=reads)
        assert type(error) is (kind or type(None))
        assert error is None or getattr(error, "status", None) == status


@given(st.integers(100, 999), st.sampled_from(METHODS))
@settings(max_examples=100, deadline=None)
def test_every_status_has_a_meaning(status: int, method: str) -> None:
    error = classify(method, Reply(status, {}, b""), now=NOW)
    assert (error is None) == (200 <= status < 300)
    assert isinstance(classify(method, Reply(status, {}, b""), now=NOW, retryable=[status]), RetryableError) or (
        200 <= status < 300
    )


def test_an_overloaded_system_that_says_when_is_asked_again_then() -> None:
    for status in (503, 429):
        error = classify("POST", Reply(status, {"retry-after": "7"}, b""), now=NOW)
        assert isinstance(error, RetryableError)
        assert error.retry_after == 7
    unsure = classify("POST", Reply(500, {"retry-after": "7"}, b""), now=NOW)
    assert isinstance(unsure, UnsureError)
    assert unsure.retry_after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("999999999", MAX_RETRY_AFTER),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Sunday, 22-Nov-26 12:01:00 GMT", 60),
        ("Sun Nov 22 12:01:00 2026", 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
        ("9" * 40, None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_never_unbounded(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds
    assert retry_after(httpx.Headers({b"Retry-After": value.encode()}), NOW) == seconds


def test_a_date_to_retry_at_is_measured_by_the_clock_that_wrote_it() -> None:
    there = NOW - timedelta(hours=5)
    headers = {"retry-after": format_datetime(there + timedelta(seconds=30)), "date": format_datetime(there)}
    assert retry_after(headers, NOW) == 30


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_retry_after_breaks_the_reader(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    today = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, today - timedelta(1), today + timedelta(1))
    signed = built.add_extension(alternative, False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def tls_server(certificate: Path) -> AsyncIterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with RawServer(tls=context) as running:
        yield running


async def test_a_system_without_a_valid_certificate_is_not_called(tls_server: RawServer) -> None:
    async with Transport(allowed=[tls_server.address]) as transport:
        with pytest.raises(RetryableError, match=r"certificate is not valid \(self-signed"):
            await transport.send(ask(tls_server, "/ok", "POST", b"{}"), before_send=never)
    assert tls_server.bytes_read == 0


async def test_a_certificate_for_another_name_is_not_valid(tls_server: RawServer, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Transport(allowed=[tls_server.address, ("localhost", tls_server.port)], tls=trusting) as transport:
        assert (await transport.send(ask(tls_server))).status == 200
        with pytest.raises(RetryableError, match="Hostname mismatch"):
            await transport.send(Request("GET", f"https://localhost:{tls_server.port}/ok"))
    assert len(tls_server.seen) == 1


async def test_a_server_that_speaks_no_tls_reads_no_request(server: RawServer, transport: Transport) -> None:
    with pytest.raises(RetryableError):
        await transport.send(Request("GET", f"https://127.0.0.1:{server.port}/ok"), timeouts=QUICK, before_send=never)
    assert server.seen == []


async def test_verification_cannot_be_turned_off() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ConfigError):
        Transport(tls=lax)


# --- other transports, for tests ---------------------------------------------------------------------------------


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(assert_all_called=False)


async def test_a_stand_in_answers_like_the_wire(router: respx.Router) -> None:
    route = router.post("https://api.example.com/v1/x", params={"a": "1"}).respond(201, json={"id": "9"})
    order = []

    async def mark() -> None:
        order.append(route.call_count)

    async with Transport(transport=httpx.MockTransport(router.async_handler)) as transport:
        request = Request("POST", "https://api.example.com/v1/x?a=1", (("X-A", "b"),), b"{}")
        response = await transport.send(request, credentials={"Authorization": "t"}, before_send=mark)
    assert (response.status, response.json(), order) == (201, {"id": "9"}, [0])
    sent = route.calls[0].request
    assert (sent.content, sent.headers["x-a"], sent.headers["authorization"]) == (b"{}", "b", "t")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), RetryableError),
        (httpx.ConnectTimeout("late"), RetryableError),
        (httpx.PoolTimeout("full"), RetryableError),
        (httpx.ReadTimeout("late"), UnsureError),
        (httpx.ReadError("reset"), UnsureError),
        (httpx.RemoteProtocolError("garbage"), UnsureError),
        (httpx.WriteError("broken"), UnsureError),
        (RuntimeError("a bug after sending"), UnsureError),
    ],
)
async def test_a_stand_in_fails_like_the_wire(
    error: Exception, kind: type[TradewindError], router: respx.Router
) -> None:
    router.get("https://api.example.com/").mock(side_effect=error)
    async with Transport(transport=httpx.MockTransport(router.async_handler)) as transport:
        with pytest.raises(TradewindError) as raised:
            await transport.send(Request("GET", "https://api.example.com/"))
    assert type(raised.value) is kind


async def test_a_stand_in_is_not_called_after_the_deadline(router: respx.Router) -> None:
    route = router.get("https://api.example.com/").respond(200)
    async with Transport(transport=httpx.MockTransport(router.async_handler)) as transport:
        request = Request("GET", "https://api.example.com/")
        with pytest.raises(RetryableError, match="deadline"):
            await transport.send(request, deadline=boottime() - 1)
        assert (await transport.send(replace(request, reads=True), deadline=boottime() + 60)).status == 200
    assert route.call_count == 1
