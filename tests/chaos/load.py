"""The sender: signed orders at a steady rate, each sent again until it is accepted; a line of the log for each.

    python -m tests.chaos.load --port PORT --orders N --rate R --log FILE [--times 3] [--seed S]

A line: order, the status that it ended with, how many requests it took; parted by tabs.
"""

import argparse
import asyncio
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import aiohttp
import orjson

from tests.support.testconnector import Settings, connector, payload

PATIENCE = 90.0
"""Seconds in which one order must be accepted."""


def signed(order: int) -> tuple[bytes, dict[str, str]]:
    """(body, headers) as the shop sends them."""
    body, settings, now = orjson.dumps(payload(order)), Settings(), datetime.now(UTC)
    assert connector.source is not None
    assert connector.source.headers is not None
    headers = dict(connector.source.headers("order.paid", body, settings, now))
    headers |= connector.source.signature.sign(body, settings, now).headers
    return body, headers | {"content-type": "application/json"}


async def deliver(session: aiohttp.ClientSession, url: str, order: int, log: TextIO) -> None:
    """Send one order until a 2xx comes, as a platform does."""
    body, headers = signed(order)
    status, asked, end = 0, 0, time.monotonic() + PATIENCE
    while not 200 <= status < 300 and time.monotonic() < end:
        if asked:
            await asyncio.sleep(min(0.2 * asked, 2) * random.random())
        asked += 1
        try:
            async with session.post(url, data=body, headers=headers) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = 0
    log.write(f"{order}\t{status}\t{asked}\n")
    log.flush()


async def flood(port: int, orders: int, rate: float, log: TextIO, times: int, seed: int) -> None:
    numbers = [order for order in range(1, orders + 1) for _ in range(times)]
    if times > 1:
        random.Random(seed).shuffle(numbers)
    url, began = f"http://127.0.0.1:{port}/webhooks/bench", time.monotonic()
    timeout = aiohttp.ClientTimeout(total=10)
    pool = aiohttp.TCPConnector(limit=50)
    async with aiohttp.ClientSession(timeout=timeout, connector=pool) as session, asyncio.TaskGroup() as group:
        for position, order in enumerate(numbers):
            await asyncio.sleep(max(0.0, began + position / (rate * times) - time.monotonic()))
            group.create_task(deliver(session, url, order, log))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with given.log.open("w") as log:
        asyncio.run(flood(given.port, given.orders, given.rate, log, given.times, given.seed))


if __name__ == "__main__":
    main()
