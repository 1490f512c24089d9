"""The destination of the benchmark: answers at once and keeps when each order arrived (monotonic seconds), and in which
sequence its changes did."""

import asyncio
import sys
import time

import orjson
import uvloop

ARRIVED: dict[int, float] = {}
CHANGES: dict[int, list[int]] = {}
"""Order -> the numbers of its changes, as they came."""
COUNT = 0


class Sink(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(head.split(b" ", 2)[1].decode())

    def _answer(self, path: str) -> None:
        global COUNT
        if path == "/stats":
            body = orjson.dumps({"count": COUNT, "distinct": len(ARRIVED)})
        elif path == "/arrived":
            body = orjson.dumps(ARRIVED, option=orjson.OPT_NON_STR_KEYS)
        elif path == "/changes":
            body = orjson.dumps(CHANGES, option=orjson.OPT_NON_STR_KEYS)
        elif path.startswith("/floor/") or not path[-1:].isdigit():  # or the hub looks whether its credentials open
            body = b"{}"
        else:
            COUNT += 1
            order, _, change = path.rsplit("/", 1)[1].partition(".")
            if change:
                CHANGES.setdefault(int(order), []).append(int(change))
            else:
                ARRIVED.setdefault(int(order), time.monotonic())
            body = b"{}"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)  # type: ignore[attr-defined]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
