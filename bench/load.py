"""The load generator: signed Shopify orders of 8 KB over kept-alive connections, at full speed or at a given rate."""

import argparse
import asyncio
import base64
import hashlib
import hmac
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.bare import SECRET

FIRST_ID = 5_000_000_000_000
CHANGED = datetime(2026, 11, 1, tzinfo=UTC)


def template() -> bytes:
    """A paid order of about 8 KB; `@ID@` and `@NO@` stand where the number goes, `@CHANGE@` and `@CHANGED@` where the
    number and the time of a change do."""
    from tests.support.orders import shopify_order

    order: dict[str, Any] = shopify_order(1)
    order["id"] = "@ID@"
    order["name"] = "#@NO@"
    order["order_number"] = "@NO@"
    order["note"], order["updated_at"] = "@CHANGE@", "@CHANGED@"
    line = order["line_items"][0]
    order["line_items"] = [line | {"id": line["id"] + n, "quantity": 1, "price": "4.80"} for n in range(5)]
    order["note_attributes"] = [{"name": f"attribute-{n}", "value": "x" * 100} for n in range(8)]
    body = orjson.dumps(order).replace(b'"@ID@"', b"@ID@").replace(b'"order_number":"@NO@"', b'"order_number":@NO@')
    return body + b" " * max(0, 8192 - len(body))


def request(body_template: bytes, number: int, connection: str = "store", change: int = 0) -> bytes:
    """One whole HTTP request: that the order was paid, or its so-many-th change."""
    body = body_template.replace(b"@ID@", str(FIRST_ID + number).encode()).replace(b"@NO@", str(number).encode())
    topic = "orders/updated" if change else "orders/paid"
    changed = (CHANGED + timedelta(seconds=change)).isoformat().encode()
    body = body.replace(b"@CHANGED@", changed).replace(b"@CHANGE@", b"%d" % change)
    digest = base64.b64encode(hmac.digest(SECRET, body, hashlib.sha256)).decode()
    now = datetime.now(UTC).isoformat()
    head = (
        f"POST /webhooks/{connection} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"x-shopify-topic: {topic}\r\nx-shopify-hmac-sha256: {digest}\r\nx-shopify-shop-domain: b.myshopify.com\r\n"
        f"x-shopify-api-version: 2026-07\r\nx-shopify-webhook-id: bench-{number}-{change}\r\n"
        f"x-shopify-triggered-at: {now}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answered is None:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) >= length:
            self._buffer = rest[length:]
            if not self._answered.done():
                self._answered.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(0)

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    async def ask(self, data: bytes) -> int:
        """The status; 0 when the connection broke."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(data)  # type: ignore[attr-defined]
        return await self._answered


async def flood(port: int, count: int, first: int, clients: int) -> dict[str, Any]:
    """Send `count` orders as fast as they are answered."""
    body = template()
    requests = iter([request(body, first + n) for n in range(count)])
    statuses: dict[int, int] = {}
    latencies: list[float] = []

    async def one() -> None:
        client = await _connect(port)
        for data in requests:
            began = time.perf_counter()
            status = await client.ask(data)
            latencies.append(time.perf_counter() - began)
            statuses[status] = statuses.get(status, 0) + 1
            if status == 0:
                client = await _connect(port)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "rate": count / seconds, "statuses": statuses, **percentiles(latencies)}


async def paced(port: int, count: int, first: int, rate: float, changes: int = 0) -> dict[str, Any]:
    """Send `count` webhooks at a steady rate; answers when each was sent (monotonic), for end-to-end times. They are
    payments of so many orders, or `changes` of each of fewer orders, in turn: `newest` is the last of each that was
    taken. (One that comes after a newer one is told to nobody.)"""
    body = template()
    idle: list[Client] = [await _connect(port) for _ in range(20)]
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    sent: dict[int, float] = {}
    newest: dict[int, int] = {}
    tasks = []
    began = time.perf_counter()

    async def one(number: int, change: int) -> None:
        while idle and idle[-1].closed:  # the server ends what nobody used for some seconds
            idle.pop()
        client = idle.pop() if idle else await _connect(port)
        sent[number] = time.monotonic()
        asked = time.perf_counter()
        status = await client.ask(request(body, number, change=change))
        latencies.append(time.perf_counter() - asked)
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200:
            newest[number] = max(newest.get(number, 0), change)
        idle.append(client)

    for n in range(count):
        wait = began + n / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        order, change = (n % (count // changes), n // (count // changes) + 1) if changes else (n, 0)
        tasks.append(asyncio.create_task(one(first + order, change)))
    await asyncio.gather(*tasks)
    return {"statuses": statuses, "sent": sent, "newest": newest, **percentiles(latencies)}


async def _connect(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(seconds) or [0.0]
    return {
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--out", required=True, help="file for the result, JSON")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--changes", type=int, default=0, help="changes of each order instead of payments")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if given.rate:
        result = uvloop.run(paced(given.port, given.count, given.first, given.rate, given.changes))
    else:
        result = uvloop.run(flood(given.port, given.count, given.first, given.clients))
    Path(given.out).write_bytes(orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
