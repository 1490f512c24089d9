"""A destination that knows no idempotency and logs every request that it reads: the judge of what really went out.

    python -m tests.support.sink --port 0 --log FILE

Prints `listening on PORT` when it is ready. A line of the log for each request read, written before anything else
happens: sequence number, effect key (header `x-effect-key`), what it did (`ok`, `500`, `429`, `timeout`, `close`,
`half`, `huge`), 1 if it acted or 0 if not, method, path; parted by tabs. A restart goes on with the log it finds.

    POST /_behave   {"seed": 1, "do": [{"what": "500", "rate": 0.3}, {"what": "timeout", "rate": 0.05}]}
                    what: 500, 429 (retry_after), timeout, close, half, huge (size); each with rate, acts, times, path.
                    500 and 429 do not act unless told, the others do. One draw for each request, in this order.
    GET  /found?key=K   {"found": true} if a request with this key acted
    GET  /_stats        {"read": n, "acted": n, "keys": n}
"""

import argparse
import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

import orjson

KEY = b"\r\nx-effect-key:"
LENGTH = b"\r\ncontent-length:"
MB = 1024 * 1024


class Row(NamedTuple):
    """One request that the sink read."""

    sequence: int
    key: str
    did: str
    acted: bool
    method: str
    path: str


def read_log(path: Path) -> list[Row]:
    """All requests that were read so far."""
    if not path.exists():
        return []
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [Row(int(n), key, did, acted == "1", method, where) for n, key, did, acted, method, where in rows]


@dataclass
class Behaviour:
    """One thing that happens instead of a plain answer, for a share of the requests."""

    what: str
    rate: float = 1.0
    acts: bool | None = None
    times: int | None = None
    path: str = ""
    retry_after: float = 1.0
    size: int = 10 * MB
    seconds: float = 60.0

    @property
    def acted(self) -> bool:
        return self.what not in ("500", "429") if self.acts is None else self.acts


_OK = Behaviour("ok")


@dataclass
class Sink:
    """What all connections share."""

    log: int
    sequence: int = 0
    keys: set[str] = field(default_factory=set)
    acted: int = 0
    behaviours: list[Behaviour] = field(default_factory=list)
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def take(self, method: str, path: str, key: str) -> Behaviour:
        """Note a request that was read, and say what happens to it."""
        behaviour = self._drawn(path) if self.behaviours else _OK
        acted = behaviour is _OK or behaviour.acted
        self.sequence += 1
        line = f"{self.sequence}\t{key}\t{behaviour.what}\t{int(acted)}\t{method}\t{path}\n"
        os.write(self.log, line.encode())
        if acted:
            self.keys.add(key)
            self.acted += 1
        return behaviour

    def _drawn(self, path: str) -> Behaviour:
        draw = self.dice.random()
        for behaviour in self.behaviours:
            if not path.startswith(behaviour.path) or behaviour.times == 0:
                continue
            if draw < behaviour.rate:
                if behaviour.times is not None:
                    behaviour.times -= 1
                return behaviour
            draw -= behaviour.rate
        return _OK

    def behave(self, told: Any) -> None:
        self.behaviours = [Behaviour(**each) for each in told.get("do", [])]
        self.dice = random.Random(told.get("seed", 0))


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a client needs it: keep-alive, Content-Length or chunked bodies."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.buffer = b""
        self.transport: asyncio.Transport
        self.held: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.held is not None:
            self.held.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.held is None and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[: end + 2]
            length = _length(head, self.buffer, end + 4)
            if length is None or len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self._request(head, body)

    def _request(self, head: bytes, body: bytes) -> None:
        method, path, _ = head[: head.index(b"\r\n")].decode("latin-1").split(" ", 2)
        if path.startswith(("/_", "/found")):
            self._answer(b"200 OK", orjson.dumps(_control(self.sink, path, body)))
            return
        self._act(self.sink.take(method, path, _header(head, KEY)))

    def _act(self, behaviour: Behaviour) -> None:
        match behaviour.what:
            case "ok":
                self.transport.write(_PLAIN)
            case "500":
                self._answer(b"500 Internal Server Error", b'{"error": "as told"}')
            case "429":
                header = f"Retry-After: {behaviour.retry_after:g}\r\n".encode()
                self._answer(b"429 Too Many Requests", b'{"error": "as told"}', header)
            case "timeout":
                self.held = asyncio.get_running_loop().call_later(behaviour.seconds, self.transport.abort)
            case "close":
                self.transport.close()
            case "half":
                self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"half": ')
                self.transport.close()
            case "huge":
                self.transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {behaviour.size}\r\n\r\n".encode())
                self.transport.write(b"x" * behaviour.size)
            case other:
                raise ValueError(f"the sink does not know how to {other}")

    def _answer(self, status: bytes, body: bytes, header: bytes = b"") -> None:
        kind = b"Content-Type: application/json\r\n"
        self.transport.write(
            b"HTTP/1.1 %s\r\n%s%sContent-Length: %d\r\n\r\n%s" % (status, kind, header, len(body), body)
        )


_PLAIN = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


def _control(sink: Sink, path: str, body: bytes) -> dict[str, Any]:
    url = urlsplit(path)
    if url.path == "/found":
        return {"found": parse_qs(url.query).get("key", [""])[0] in sink.keys}
    if url.path == "/_behave":
        sink.behave(orjson.loads(body))
    return {"read": sink.sequence, "acted": sink.acted, "keys": len(sink.keys)}


def _length(head: bytes, buffer: bytes, start: int) -> int | None:
    """Bytes of the body; for a chunked one only known when its end is there."""
    said = _header(head, LENGTH)
    if said:
        return int(said)
    if b"\r\ntransfer-encoding: chunked" not in head.lower():
        return 0
    end = buffer.find(b"0\r\n\r\n", start)
    return None if end < 0 else end + 5 - start


def _header(head: bytes, name: bytes) -> str:
    place = head.lower().find(name)
    if place < 0:
        return ""
    start = place + len(name)
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")


def open_sink(log: Path) -> Sink:
    """Go on where the log ends."""
    rows = read_log(log)
    sink = Sink(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    sink.sequence = len(rows)
    sink.keys = {row.key for row in rows if row.acted}
    sink.acted = sum(row.acted for row in rows)
    return sink


async def serve(port: int, log: Path, ready: Callable[[int], None] | None = None) -> None:
    """Until SIGTERM or SIGINT; on the loopback only."""
    sink = open_sink(log)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(sink), "127.0.0.1", port, backlog=1024)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if ready is not None:
        ready(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()
    os.close(sink.log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(given.port, given.log, lambda port: print(f"listening on {port}", flush=True)))


if __name__ == "__main__":
    main()
