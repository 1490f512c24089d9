"""A hub with one connection to a system whose answers a test sets; for the tests of the API."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.harness import Harness, running
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload

KEY = "test-admin-key-of-good-length"
TWO_STEPS = """
title: Two things for every paid order
on: order.paid
where: order.total.amount > 1
steps:
  - id: first
    use: testbench.make_native
    with: {id: "{{ order.id }}"}
  - id: second
    use: testbench.make_unsafe
    with: {id: "{{ steps.first.id }}-2"}
"""

OPEN = """
select exists (select 1 from webhook where state = 'due') or exists (
    select 1 from run r where r.state = 'running' and not exists (
        select 1 from call c where c.run_id = r.id and c.state = 'uncertain'))
"""


@dataclass
class Outside:
    """The outside system. `statuses[path]` are its next answers; afterwards it does what it is asked."""

    statuses: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, str]] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: requests are read, and answered when it is set again."""

    def __post_init__(self) -> None:
        self.open.set()

    def count(self, path: str) -> int:
        """Requests that wanted something made at this path."""
        return sum(each == path for each, _ in self.asked)

    def made(self) -> int:
        """Things that are there: it drops what repeats a key."""
        return len({key for _, key in self.asked})

    async def make(self, request: Request) -> Response:
        path, key = request.url.path, request.headers["x-effect-key"]
        self.asked.append((path, key))
        body = await request.json()
        await self.open.wait()
        status = self.statuses[path].pop(0) if self.statuses[path] else 200
        return JSONResponse({"id": body["id"]} if status == 200 else {"error": f"as told: {status}"}, status)

    async def found(self, request: Request) -> Response:
        return JSONResponse({"found": request.query_params["key"] in self.there})

    def app(self) -> Starlette:
        paths = ("/native", "/lookup", "/unsafe")
        return Starlette(
            routes=[*(Route(path, self.make, methods=["POST"]) for path in paths), Route("/found", self.found)]
        )


@dataclass
class Bench:
    """The hub, the outside, and a client that holds the key of the settings."""

    hub: Harness
    outside: Outside
    api: httpx.AsyncClient
    app: Any

    async def order(self, number: int | str = 1001, amount: str = "10.00", **extra: Any) -> str:
        """A paid order comes in and is worked off; answers its event's id."""
        sent = await self.hub.send("shop", "order.paid", payload(number, amount, **extra))
        assert sent.status_code == 200, sent.text
        await self.work()
        paid = "select id from event where subject_id = $1 and type = 'order.paid' order by id desc"
        event_id = await self.hub.one(paid, str(number))
        return str(event_id)

    async def work(self, seconds: float = 15) -> None:
        """Work until every run has ended, waits, or is held by something that only a person can change."""
        async with asyncio.timeout(seconds):
            await self.hub.settle()
            while await self.hub.one(OPEN):
                await asyncio.sleep(0.01)
                await self.hub.settle()

    async def recipe(self, name: str, source: str) -> None:
        """A recipe that both processes know."""
        await self.hub.recipe(name, source)
        await self.post(f"/v1/recipes/{name}/enable")

    async def get(self, path: str, expect: int = 200, **params: Any) -> Any:
        answer = await self.api.get(path, params=params)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, expect: int = 200, **params: Any) -> Any:
        headers = {"idempotency-key": params.pop("key")} if "key" in params else {}
        answer = await self.api.post(path, json=body, params=params, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    async def run(self, event_id: str, recipe: str = "two-steps") -> Any:
        """The newest run of a recipe for an event, in full."""
        detail = await self.get(f"/v1/events/{event_id}")
        return [run for run in detail["runs"] if run["recipe"] == recipe][-1]

    async def refresh(self) -> None:
        """The worker's side knows now what the API changed, not a second later."""
        await self.hub.hub.recipes.refresh(always=True)
        await self.hub.hub.connections.refresh(always=True)


@asynccontextmanager
async def benched(database_url: str, redis_url: str, home: Path, **settings: Any) -> AsyncIterator[Bench]:
    outside = Outside()
    async with (
        serving(outside.app()) as address,
        running(database_url, redis_url, home, testbench, **settings) as hub,
    ):
        await hub.connect("shop", testbench, {"account": "bench"}, role="shop", base_url=address)
        hub.client.headers["authorization"] = f"Bearer {KEY}"
        bench = Bench(hub, outside, hub.client, hub.app)
        await bench.recipe("two-steps", TWO_STEPS)
        yield bench
