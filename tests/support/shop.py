"""A hub with a source that states orders and the same system as the outside; its time is moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from app.registry import Registry
from app.sandbox import make_app as make_sandbox
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.serving import serving

NEXT = """
select least((select min(due_at) from run where state in ('running', 'waiting')),
             (select min(due_at) - interval '100 ms' from call where state = 'due'))
"""


class Shop:
    """A hub with a source that states orders, and the same system as the outside."""

    def __init__(self, hub: Harness, outside: httpx.AsyncClient) -> None:
        self.hub = hub
        self.outside = outside

    async def order(self, number: int, topic: str = "order.paid", settle: bool = True, **extra: Any) -> None:
        answer = await self.hub.send("bench", topic, testconnector.payload(number, topic=topic, **extra))
        assert answer.status_code == 200, answer.text
        if settle:
            await self.settle()

    async def settle(self) -> None:
        """Drain every stage until nothing is due by the hub's own clock, which is read after what is due: a run may
        become due while the question waits for its turn."""
        async with asyncio.timeout(20):
            while True:
                await self.hub.settle()
                first = await self.hub.one(NEXT)
                if first is None or first > self.hub.hub.clock.now():
                    return
                await asyncio.sleep(0.005)

    async def forward(self, **span: float) -> None:
        """Let time pass."""
        self.hub.hub.clock._at_zero += timedelta(**span)
        await self.settle()

    async def made(self) -> list[str]:
        state = (await self.outside.get("/_state/testbench")).json()
        return [thing["note"] or thing["id"] for thing in state["made"]]

    async def runs(self) -> list[tuple[str, str | None]]:
        rows = await self.hub.rows("select state, reason from run order by id")
        return [(row["state"], row["reason"]) for row in rows]


@asynccontextmanager
async def opened(database_url: str, redis_url: str, home: Path) -> AsyncIterator[Shop]:
    registry = Registry(testconnector.connector)
    async with (
        serving(make_sandbox(registry)) as sandbox,
        running(database_url, redis_url, home, testconnector.connector) as hub,
        httpx.AsyncClient(base_url=sandbox) as outside,
    ):
        await hub.connect("bench", testconnector.connector, {}, role="shop", base_url=f"{sandbox}/testbench")
        yield Shop(hub, outside)
