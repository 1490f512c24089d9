"""The door: sends one request at most once, and says what surely did not leave and what may have been read."""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import httpx
from multidict import CIMultiDict
from yarl import URL

from app.errors import ConfigError, PermanentError, RetryableError, TradewindError, UnsureError
from app.http.answer import Response
from app.http.passage import Passage, StoppedError, current
from app.http.request import READS, Address, Request, Timeouts, check_header, target
from app.http.wire import Lookup, Wire, open_wire

MAX_ANSWER = 5 * 1024 * 1024
"""Bytes of an answer's body, as it comes and unpacked, before it counts as too large."""

KEEPALIVE = 4.0
"""Seconds that an idle connection is kept. Many servers close theirs after five (Node, uvicorn, Apache); a request
that meets the closing cannot be told from one that was read, and would be unsure."""

_DEFAULT_HEADERS = (("Accept", "*/*"), ("Accept-Encoding", "gzip"), ("User-Agent", "Tradewind"))
_NO_CREDENTIALS: Mapping[str, str] = MappingProxyType({})
_DEFAULT_TIMEOUTS = Timeouts()


class _BrokenAnswerError(Exception):
    """An answer came and cannot be used."""


class Transport:
    """One per process, made inside its event loop and closed there.

    allowed: hosts and ports that may be private because the operator wrote them as a `base_url`. transport: another
    httpx transport, for tests (`httpx.MockTransport`, `httpx.ASGITransport`); it is trusted with addresses, and its
    ConnectError, ConnectTimeout and PoolTimeout mean not sent. limit, per_host: connections open at once.
    tls: a context that verifies (more trusted roots, a client certificate). lookup: getaddrinfo.
    """

    def __init__(
        self,
        *,
        allowed: Collection[Address] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        limit: int = 200,
        per_host: int = 100,
        keepalive: float = KEEPALIVE,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._allowed = {(host.lower(), port) for host, port in allowed}
        self._transport = transport or open_wire(_verifying(tls), limit, per_host, keepalive, lookup)

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections; requests in flight end as what they then are, not sent or unsure."""
        await self._transport.aclose()
        await asyncio.sleep(0)  # lets the loop let go of the sockets

    def allow(self, host: str, port: int) -> None:
        """The operator named this address as a `base_url`: it may be private from now on."""
        self._allowed.add((host.lower(), port))

    async def send(
        self,
        request: Request,
        *,
        credentials: Mapping[str, str] = _NO_CREDENTIALS,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        max_bytes: int = MAX_ANSWER,
        deadline: float | None = None,
        allowed: Collection[Address] = (),
        before_send: Callable[[], Awaitable[object]] | None = None,
    ) -> Response:
        """Sends a request once and gives the whole answer, whatever its status.

        before_send is awaited once, when a connection is there and nothing is left to do but write; if no connection
        comes about it is not called. deadline, in `boottime()`, is looked at after it, right before the bytes go.
        allowed: private addresses for this request alone. credentials: headers that are not stored.

        Raises, for every method: RetryableError if the request surely was not sent; PermanentError if, besides, its
        address may not be called; UnsureError if it may have been read and no usable answer came (`status` is set if
        a success came with an unusable body), RetryableError instead if the request `reads`; what before_send raises.
        """
        open_to = target(request.url).address
        private = open_to in self._allowed or open_to in allowed
        passage = Passage(request, _headers(request, credentials), timeouts, private, deadline, before_send)
        token = current.set(passage)
        try:
            async with asyncio.timeout(timeouts.total):
                return await self._exchange(passage, max_bytes)
        except (httpx.TransportError, TimeoutError, _BrokenAnswerError, StoppedError) as error:
            return _end(passage, str(error), max_bytes)
        except Exception as error:
            if not passage.sent:
                raise  # a bug, and nothing left: let it be seen
            raise _failure(passage, f"the answer could not be handled: {type(error).__name__}") from error
        finally:
            current.reset(token)
            passage.answer = passage.wire = None  # a circle: left to the garbage collector it costs more than the call

    async def _exchange(self, passage: Passage, max_bytes: int) -> Response:
        answer = await self._once(passage, max_bytes)
        for _ in range(passage.request.redirects if passage.request.only_reads else 0):
            following = _next_hop(passage.request, answer)
            if following is None:
                break
            passage.request = following
            answer = await self._once(passage, max_bytes)
        return _response(passage, answer, max_bytes)

    async def _once(self, passage: Passage, max_bytes: int) -> httpx.Response:
        passage.answer = passage.wire = None
        passage.body.clear()
        answer = passage.answer = await self._leave(passage)
        await _take(answer.stream, passage.body, max_bytes)
        return answer

    async def _leave(self, passage: Passage) -> httpx.Response:
        if not isinstance(self._transport, Wire):
            return await _through(self._transport, passage)
        return await self._transport.handle_async_request(_shell(passage.request.method))


@lru_cache(maxsize=64)
def _shell(method: str) -> httpx.Request:
    """What our own wire is called with: it takes all but the method from the passage."""
    return httpx.Request(method, "http://passage/", stream=httpx.ByteStream(b""))


@lru_cache(maxsize=1)
def _public_tls() -> ssl.SSLContext:
    """The roots that certifi brings; reading them takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _verifying(tls: ssl.SSLContext | None) -> ssl.SSLContext:
    tls = tls or _public_tls()
    if tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname:
        raise ConfigError("outside systems are only called with their certificates verified")
    return tls


def _headers(request: Request, credentials: Mapping[str, str]) -> CIMultiDict[str]:
    """What goes on the wire: the stored headers in their order, credentials instead of their namesakes, defaults."""
    headers = CIMultiDict(request.headers)
    for name, value in credentials.items():
        check_header(name, value)
        headers[name] = value
    for name, value in _DEFAULT_HEADERS:
        headers.setdefault(name, value)
    return headers


_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""What an httpx transport raises before a request has left."""


async def _through(transport: httpx.AsyncBaseTransport, passage: Passage) -> httpx.Response:
    """Through a transport that is not ours: the same questions, asked before it is called."""
    await passage.announce()
    passage.check_deadline()
    before, passage.sent = passage.sent, True
    try:
        return await transport.handle_async_request(_as_httpx(passage))
    except _NOT_SENT:
        passage.sent = before
        raise


def _as_httpx(passage: Passage) -> httpx.Request:
    request, limits = passage.request, passage.timeouts
    timeout = {"pool": limits.pool, "connect": limits.connect, "read": limits.read, "write": limits.read}
    return httpx.Request(
        request.method,
        request.url,
        headers=list(passage.headers.items()),
        content=request.body,
        extensions={"timeout": timeout},
    )


async def _take(stream: object, body: bytearray, max_bytes: int) -> None:
    """Reads the body as it comes, undecoded, until its end or its bound, and closes it."""
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport's answer is not asynchronous")
    try:
        async for chunk in stream:
            body += chunk
            if len(body) > max_bytes:
                raise _BrokenAnswerError(f"the answer is larger than {max_bytes} bytes")
    finally:
        await stream.aclose()


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body without its gzip or deflate coding, never more than `max_bytes`; other codings, which we do not ask for,
    are left as they are. Raises _BrokenAnswerError."""
    if not body or encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    unpacker = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, by its header
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _BrokenAnswerError("the answer's compression is broken") from None
    if len(plain) > max_bytes:
        raise _BrokenAnswerError(f"the answer is larger than {max_bytes} bytes")
    if not unpacker.eof:
        raise _BrokenAnswerError("the answer was cut off")
    return plain


def _next_hop(request: Request, answer: httpx.Response) -> Request | None:
    """The request that a redirect asks for, if it stays within scheme, host and port; None for any other answer."""
    location = answer.headers.get("location")
    if answer.status_code not in (301, 302, 303, 307, 308) or not location:
        return None
    try:
        there = target(str(target(request.url).exact.join(URL(location, encoded=True)).with_fragment(None)))
    except (PermanentError, ValueError):
        return None
    if there.origin != request.origin:
        return None
    if answer.status_code in (307, 308) or request.method in READS:
        return replace(request, url=str(there.exact))
    return replace(request, url=str(there.exact), method="GET", body=b"", reads=True)


def _response(passage: Passage, answer: httpx.Response, max_bytes: int) -> Response:
    headers, body = answer.headers, bytes(passage.body)
    if "content-encoding" in headers:
        body = _unpacked(body, headers["content-encoding"], max_bytes)
    return Response(answer.status_code, MappingProxyType(headers), body, passage.request.only_reads)


def _end(passage: Passage, reason: str, max_bytes: int) -> Response:
    """The answer if its status alone decides; else raises what the end of this passage means."""
    if passage.refusal is not None:
        raise passage.refusal
    answer = passage.answer
    if answer is None or answer.status_code < 400:
        raise _failure(passage, passage.reason or reason or "it took too long") from None
    body = bytes(passage.body[:max_bytes])
    headers = MappingProxyType(answer.headers)
    return Response(answer.status_code, headers, body, passage.request.only_reads, complete=False)


def _failure(passage: Passage, reason: str) -> TradewindError:
    where, status = passage.request.origin, passage.answer.status_code if passage.answer else None
    if passage.sent:
        kind = RetryableError if passage.request.reads else UnsureError
        return kind(f"{where} gave no usable answer: {reason}", status=status)
    if passage.refused and not passage.admitted:
        return PermanentError(f"{where} was not called: {passage.refused} is not a public address")
    return RetryableError(f"{where} was not called: {reason}")
