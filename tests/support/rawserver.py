"""A server on a bare socket that misbehaves as told, by the path that is asked for, and counts what it really read.

It runs in the loop of the test. `seen` holds the requests that were read whole, `bytes_read` counts every byte of
request that was read at all: an attempt that claims to be unsent must leave both alone.
"""

import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Manner = Literal["serve", "close", "reset", "reset-mid-upload", "answer-mid-upload", "sleep-mid-upload"]
"""What happens to a connection before a request is read whole. close, reset: at once; the others after the head:
reset; answered with 413, or not; and the rest not read before `wake` is set, and then only counted."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that was read whole. `raw` is its head as it came, `connection` counts from 1."""

    method: str
    target: str
    raw: bytes
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        found = re.search(rb"(?im)^%s:[ \t]*(.*?)\r$" % re.escape(name.encode()), self.raw)
        return found[1].decode() if found else None


Behaviour = Callable[[asyncio.StreamWriter, Seen], Awaitable[bool]]
"""Answers one request; True keeps the connection open for the next."""


def answer(status: int = 200, body: bytes = b"{}", headers: str = "") -> bytes:
    """A whole HTTP answer; `headers` are lines that each end in CRLF."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def saying(data: bytes, keep: bool = False) -> Behaviour:
    """Writes these bytes (of which HEAD gets the head) and closes, or keeps the connection."""
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    async def behave(writer: asyncio.StreamWriter, seen: Seen) -> bool:
        writer.write(head if seen.method == "HEAD" else data)
        await writer.drain()
        return keep

    return behave


def redirecting(location: str, status: int = 302) -> Behaviour:
    return saying(answer(status, b"", f"Location: {location}\r\n"), keep=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _resetting(writer: asyncio.StreamWriter, seen: Seen) -> bool:
    reset(writer)
    return False


async def _hanging(writer: asyncio.StreamWriter, seen: Seen) -> bool:
    await asyncio.sleep(30)
    return False


async def _dribbling(writer: asyncio.StreamWriter, seen: Seen) -> bool:
    """One byte of the body every 20 ms: no read timeout ever strikes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)
    return False


async def _stalling(writer: asyncio.StreamWriter, seen: Seen) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await asyncio.sleep(30)
    return False


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _flooding(head: bytes, part: bytes, times: int, tail: bytes = b"") -> Behaviour:
    async def behave(writer: asyncio.StreamWriter, seen: Seen) -> bool:
        writer.write(head)
        for _ in range(times):
            writer.write(part)
            await writer.drain()
        writer.write(tail)
        await writer.drain()
        return True

    return behave


_MEGABYTE = b"x" * 1_000_000
_BOMB = gzip.compress(b"0" * 20_000_000)

BEHAVIOURS: dict[str, Behaviour] = {
    "/ok": saying(answer(body=b'{"id":"1001"}', headers="Content-Type: application/json\r\n"), keep=True),
    "/cookie": saying(answer(headers="Set-Cookie: session=1; Path=/\r\n"), keep=True),
    "/gzip": saying(answer(body=gzip.compress(b'{"id":7}'), headers="Content-Encoding: gzip\r\n"), keep=True),
    "/words": saying(answer(body=b"<html>fine</html>"), keep=True),
    "/close": saying(b""),
    "/reset": _resetting,
    "/hang": _hanging,
    "/half-head": saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "/half-body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
    "/half-chunks": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunk(b"abc")),
    "/bad-chunks": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
    "/half-gzip": saying(answer(body=gzip.compress(b'{"id":7}')[:-9], headers="Content-Encoding: gzip\r\n")),
    "/bad-gzip": saying(answer(body=b"not gzip at all", headers="Content-Encoding: gzip\r\n")),
    "/bomb": saying(answer(body=_BOMB, headers="Content-Encoding: gzip\r\n"), keep=True),
    "/stall": _stalling,
    "/dribble": _dribbling,
    "/garbage": saying(b"\x00\x01 this is no HTTP\r\n\r\n"),
    "/bad-status": saying(b"HTTP/1.1 OK fine\r\n\r\n"),
    "/long-header": saying(answer(headers="X-Long: " + "a" * 60_000 + "\r\n")),
    "/big": _flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", _MEGABYTE, 10),
    "/big-chunks": _flooding(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", _chunk(_MEGABYTE), 10, b"0\r\n\r\n"
    ),
    "/big-refusal": _flooding(b"HTTP/1.1 422 No\r\nContent-Length: 10000000\r\n\r\n", _MEGABYTE, 10),
    "/half-refusal": saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\ngone"),
}


@dataclass(eq=False)
class RawServer:
    """`async with RawServer() as server`: listens on a free loopback port until the block ends.

    behaviours: further paths, or other manners for the known ones; a path that is nowhere is answered with 404.
    """

    manner: Manner = "serve"
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    bytes_read: int = 0
    connections: int = 0
    open_connections: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        open_now = dict(self._writers)
        for task, writer in open_now.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def hang_up(self) -> None:
        """Closes every connection that is open, as a server does with idle ones."""
        for writer in self._writers.values():
            writer.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, self.connections))
        self._writers[task] = writer
        task.add_done_callback(self._writers.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            if self.manner == "reset":
                reset(writer)
            while self.manner not in ("close", "reset"):
                seen = await self._read(reader, writer, number)
                if seen is None or not await self._behaviour(seen)(writer, seen):
                    break
        except OSError:
            pass  # the client went away
        finally:
            self.open_connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _behaviour(self, seen: Seen) -> Behaviour:
        path = seen.target.partition("?")[0]
        known = self.behaviours.get(path) or BEHAVIOURS.get(path)
        return known or saying(answer(404), keep=True)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Seen | None:
        try:
            head = await self._counted(reader.readuntil(b"\r\n\r\n"))
            if self.manner != "serve":
                await self._interrupt(reader, writer)
                return None
            length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
            body = await self._counted(reader.readexactly(int(length[1]))) if length else b""
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        seen = Seen(method, target, head, body, number)
        self.seen.append(seen)
        return seen

    async def _interrupt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.manner == "reset-mid-upload":
            reset(writer)
            return
        if self.manner == "answer-mid-upload":
            writer.write(answer(413, b"too large"))
        await self.wake.wait()
        while rest := await reader.read(1 << 20):
            self.bytes_read += len(rest)

    async def _counted(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except asyncio.IncompleteReadError as error:
            self.bytes_read += len(error.partial)
            raise
        self.bytes_read += len(data)
        return data


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port of loopback that is taken and refuses every connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: connecting to it neither succeeds nor fails."""
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
