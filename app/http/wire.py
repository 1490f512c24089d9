"""httpx's door to an aiohttp session of ours, which sends a request at most once and knows whether it did."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from httpx_aiohttp import AiohttpTransport

from app.http.passage import Passage, current
from app.http.request import Timeouts, target

Lookup = Callable[..., Sequence[Any]]
"""`socket.getaddrinfo`, or what stands in for it in a test."""


def open_wire(tls: ssl.SSLContext, limit: int, per_host: int, keepalive: float, lookup: Lookup) -> "Wire":
    """A wire with its own pool of connections; called inside the loop that will use it."""
    connector = aiohttp.TCPConnector(
        limit=limit,
        limit_per_host=per_host,
        keepalive_timeout=keepalive,
        ttl_dns_cache=30,
        resolver=_Resolver(lookup),
        socket_factory=_guarded_socket,
        ssl=tls,
    )
    return Wire(_session(connector), tls)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=_Departure,
        trust_env=False,
        auto_decompress=False,
        max_line_size=32_768,
        max_field_size=32_768,
    )
    session._retry_connection = False  # aiohttp would send a second GET, PUT or DELETE by itself
    return session


def _guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for one address that DNS or the URL gave, if this passage may go there. Asked right before each
    connect, so a name that resolves differently the second time gains nothing."""
    family, kind, protocol, _, address = info
    current.get().admit(str(address[0]))
    return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """getaddrinfo on threads of its own: names whose servers are dead must not hold up all others (uvloop has four
    threads for all lookups, asyncio a handful for everything)."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(32, "dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(self._lookup, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=family, proto=proto, flags=numeric)
            for family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Departure(aiohttp.ClientRequest):
    """aiohttp's request, stopped once more when it holds its connection and before it writes its first byte."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        passage = current.get()
        passage.wire = conn.transport
        await passage.announce()
        passage.check_wire()
        if not passage.request.body:
            passage.check_deadline()
            passage.sent = True  # nothing is awaited between this line and the write
        return await super().send(conn)


class _Body(aiohttp.payload.Payload):
    """A body; its writing, in a task of aiohttp's, takes the headers along and is the moment of departure."""

    def __init__(self, passage: Passage) -> None:
        super().__init__(passage.request.body)
        self._passage = passage

    @property
    def size(self) -> int:
        return len(self._passage.request.body)

    @property
    def autoclose(self) -> bool:
        return True  # it holds nothing open

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._passage.request.body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        if writer.output_size:
            self._passage.sent = True  # the headers went ahead
        self._passage.check_wire()
        self._passage.check_deadline()
        self._passage.sent = self._passage.writing = True  # nothing is awaited between this line and the write
        await writer.write(self._passage.request.body)
        self._passage.writing = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)  # the length is that of the body: nobody else may set the header


class _Stream(httpx.AsyncByteStream):
    """The body of an answer as it comes in, undecoded; a connection is used again only if it was read to the end."""

    def __init__(self, answer: aiohttp.ClientResponse, passage: Passage) -> None:
        self._answer = answer
        self._passage = passage

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _as_httpx(error) from None

    async def aclose(self) -> None:
        if self._answer.content.at_eof() and not self._passage.writing:
            self._answer.release()
        else:
            self._passage.cut()
            self._answer.close()


_UNTYPED = ("Content-Type",)
"""aiohttp would call a body without a Content-Type, even an empty one, an octet-stream."""


class Wire(AiohttpTransport):
    """Carries the passage of the context. Raises httpx errors that mean what they say (httpx-aiohttp 0.2 calls a
    connection that the server closed after reading the request a ConnectTimeout)."""

    def __init__(self, session: aiohttp.ClientSession, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False, client=session)
        self._session = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        passage = current.get()
        if self._session.closed:
            raise httpx.ConnectError("this process is shutting down")
        try:
            answer = await self._ask(request.method, passage)
        except (aiohttp.ClientError, OSError) as error:
            passage.cut()
            passage.sent = passage.sent or isinstance(error, _AFTER_SENDING)
            raise _as_httpx(error) from None
        except BaseException:
            passage.cut()
            raise
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Stream(answer, passage))

    async def _ask(self, method: str, passage: Passage) -> aiohttp.ClientResponse:
        return await self._session.request(
            method,
            target(passage.request.url).exact,
            headers=passage.headers,
            data=_Body(passage) if passage.request.body else None,
            skip_auto_headers=None if "Content-Type" in passage.headers else _UNTYPED,
            allow_redirects=False,
            timeout=_limits(passage.timeouts),
        )


@lru_cache(maxsize=256)
def _limits(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None,
        connect=timeouts.pool + timeouts.connect,
        sock_connect=timeouts.connect,
        sock_read=timeouts.read,
    )


_AFTER_SENDING = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientResponseError,
    aiohttp.ClientPayloadError,
    aiohttp.SocketTimeoutError,
)
"""aiohttp raises these only after a request has left: a second proof beside the mark."""

_MEANINGS: tuple[tuple[type[Exception], type[httpx.TransportError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "no connection in time"),
    (aiohttp.ClientConnectorDNSError, httpx.ConnectError, "its name could not be resolved"),
    (aiohttp.ClientConnectorCertificateError, httpx.ConnectError, "its certificate is not valid"),
    (aiohttp.ClientConnectorSSLError, httpx.ConnectError, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, "the connection failed"),
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout, "the answer stalled"),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, "the connection was closed without an answer"),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the answer was cut off"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "the answer is not HTTP"),
    (Exception, httpx.ReadError, "the connection broke"),
)


def _as_httpx(error: Exception) -> httpx.TransportError:
    """aiohttp's error as httpx's, in our words: aiohttp's own texts hold whole URLs, and those can hold secrets."""
    kind, words = next((kind, words) for cause, kind, words in _MEANINGS if isinstance(error, cause))
    detail = _detail(error)
    return kind(f"{words} ({detail})" if detail else words)


def _detail(error: Exception) -> str | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", None)
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return inner.strerror if isinstance(inner, OSError) else None
