"""How long people wait who list and search while webhooks come in.

    python -m bench.listing [--clients 200] [--think 1.0] [--rate 200] [--seconds 30] [--before 20000]

Each client asks, reads, thinks so long, and asks again: lists, pages, filters and searches over what is there. Asked
for: 200 clients beside 200 webhooks/s, p99 under 250 ms on two cores, no errors; the exit code says whether it was so.
The load, the hub, PostgreSQL and Redis share this machine's cores.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

from bench.load import Client, percentiles
from bench.stage import Stage, stage

ASKED_FOR = 250.0
"""Milliseconds, p99."""

Ask = Callable[[random.Random, int], str]
ASKS: dict[str, Ask] = {
    "newest events": lambda dice, sent: "/v1/events",
    "events of a type": lambda dice, sent: "/v1/events?type=order.paid&limit=100",
    "events of a connection": lambda dice, sent: "/v1/events?connection=store",
    "an order's number": lambda dice, sent: f"/v1/events?q=%23{dice.randrange(1, sent)}",
    "a buyer's address": lambda dice, sent: "/v1/events?q=buyer@example.com",
    "a text that is nowhere": lambda dice, sent: "/v1/events?q=no-such-text",
    "newest runs": lambda dice, sent: "/v1/runs",
    "runs of a recipe": lambda dice, sent: "/v1/runs?recipe=put-every-order&state=done",
    "failed runs": lambda dice, sent: "/v1/runs?state=failed",
    "an error": lambda dice, sent: "/v1/runs?q=timed%20out",
    "webhooks not understood": lambda dice, sent: "/v1/webhooks?state=unknown",
    "connections": lambda dice, sent: "/v1/connections",
    "an order's whole way": lambda dice, sent: f"/v1/trace/{dice.randrange(1, sent)}",
}


@dataclass
class Heard:
    """Seconds of each answer, by what was asked; statuses other than 200 (and 404 of a trace)."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[int, int] = field(default_factory=lambda: defaultdict(int))


class Reader(Client):
    """As the load's client; keeps the last body, to follow pages."""

    last = b""

    def data_received(self, data: bytes) -> None:
        self.last += data
        super().data_received(data)

    async def get(self, path: str, key: str) -> tuple[int, bytes]:
        self.last = b""
        head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\r\n"
        status = await self.ask(head.encode())
        return status, self.last.partition(b"\r\n\r\n")[2]


async def read(port: int, key: str, clients: int, think: float, seconds: float, sent: int) -> Heard:
    """So many clients for so long."""
    heard, end = Heard(), time.perf_counter() + seconds

    async def one(number: int) -> None:
        dice = random.Random(number)
        _, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
        await asyncio.sleep(dice.random() * max(think, 0.1))
        while time.perf_counter() < end:
            name = dice.choice(list(ASKS))
            path = ASKS[name](dice, sent)
            for _ in range(2):  # the page after it, too
                began = time.perf_counter()
                status, body = await reader.get(path, key)
                heard.took[name].append(time.perf_counter() - began)
                if status != 200 and not (status == 404 and "trace" in path):
                    heard.wrong[status] += 1
                following = orjson.loads(body).get("next") if status == 200 else None
                if not following:
                    break
                path += ("&" if "?" in path else "?") + f"cursor={following}"
            await asyncio.sleep(think * (0.5 + dice.random()))

    await asyncio.gather(*(one(number) for number in range(clients)))
    return heard


def measure(made: Stage, given: argparse.Namespace) -> tuple[Heard, dict[str, Any]]:
    """What readers heard, and what senders did meanwhile."""
    made.start("api", "-m", "app.cli", "serve")
    made.start("worker", "-m", "app.cli", "worker")
    made.wait_ready(made.port)
    made.load(given.before)
    made.wait_arrived(made.sent, 600)
    key, sent = made.environment["TRADEWIND_ADMIN_KEY"], made.sent
    with ThreadPoolExecutor(1) as apart:
        orders = int(given.rate * (given.seconds + 2))
        senders = apart.submit(made.load, orders, "--rate", str(given.rate)) if orders else None
        time.sleep(1)
        heard = uvloop.run(read(made.port, key, given.clients, given.think, given.seconds, sent))
        return heard, senders.result() if senders else {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.listing", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--think", type=float, default=1.0, help="seconds between two looks of a client, on average")
    parser.add_argument("--rate", type=float, default=200, help="webhooks a second meanwhile")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--before", type=int, default=20_000, help="orders that are there already")
    given = parser.parse_args()
    with stage() as made:
        heard, senders = measure(made, given)
    for name, took in sorted(heard.took.items()):
        p = percentiles(took)
        print(f"{name:<26} {len(took):>6} asked   p50 {p['p50']:7.1f} ms   p99 {p['p99']:7.1f} ms")
    everything = [seconds for took in heard.took.values() for seconds in took]
    p, rate = percentiles(everything), len(everything) / given.seconds
    print(f"{given.clients} clients, {rate:.0f} requests/s beside {given.rate:.0f} webhooks/s:")
    print(f"p50 {p['p50']:.1f} ms, p99 {p['p99']:.1f} ms (asked for: {ASKED_FOR:.0f})")
    print(f"errors: {dict(heard.wrong) or 'none'}")
    if senders:
        print(f"webhooks meanwhile: p99 {senders['p99']:.1f} ms, statuses {senders['statuses']}")
    well = not heard.wrong and p["p99"] < ASKED_FOR and set(senders.get("statuses", {"200": 0})) == {"200"}
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
