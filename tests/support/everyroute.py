"""A good request for every route of the API, made of a hub in which something of each kind is there.

A route that is new needs its line here: the tests that go over all routes say so.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.ids import new_id
from app.pushed import PushedEvent
from tests.support.bench import TWO_STEPS, Bench
from tests.support.routes import DESCRIPTION

ASKS = """
title: Asks first
on: order.paid
steps:
  - id: ask
    approve: {title: "Send {{ order.number }}?"}
"""
WAITS = """
title: Waits
on: order.paid
steps:
  - wait: 30d
"""
RECIPE = TWO_STEPS + "inputs:\n  days: {type: integer, default: 3, description: Days}\n"
CASES = """
events:
  paid: {type: order.paid, data: {order: {id: '7', totals: {total: {amount: 5, currency: EUR}}}}}
cases:
  - name: one
    when: paid
    expect: {calls: []}
"""
PUSHED: dict[str, Any] = PushedEvent.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,assignment]


@dataclass(frozen=True)
class Route:
    """An operation of the description; `scope` is what it asks of a key, None: it is open to all."""

    method: str
    path: str
    scope: str | None

    @property
    def changes(self) -> bool:
        return self.method != "GET" and self.path not in HARMLESS

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


HARMLESS = {
    "/v1/recipes/check": "reads a text and says what is wrong with it",
    "/v1/recipes/{name}/test": "simulates, sends and stores nothing",
    "/v1/recipes/{name}/dry-run": "simulates, sends and stores nothing",
    "/v1/recipes/{name}/backtest": "simulates, sends and stores nothing",
    "/v1/connections/{slug}/test": "one cheap read at the system, to see whether the credentials work",
    "/v1/replays/{id}/preview": "noted all the same",
}
"""POSTs that change nothing, and why they need no line in the audit log."""


def routes() -> list[Route]:
    """Every operation of the description."""
    return [
        Route(method.upper(), path, operation["security"][0]["key"][0] if operation.get("security") else None)
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
    ]


SUBSCRIBED = {"url": "https://erp.example.com/hook", "events": ["order.paid"]}


@dataclass
class World:
    """Something of every kind, by the parameter of the address that names it."""

    bench: Bench
    event: str = ""
    failed: str = ""
    asking: str = ""
    waiting: list[str] = field(default_factory=list)
    effect: str = ""
    replay: str = ""
    key: str = ""
    customer: str = ""
    backtest: str = ""

    def address(self, path: str) -> str:
        """The path of a route with ids of this world."""
        ids = {
            "/v1/events": self.event,
            "/v1/runs": self.waiting[0],
            "/v1/runs/{id}/retry": self.failed,
            "/v1/runs/{id}/approve": self.asking,
            "/v1/runs/{id}/cancel": self.waiting[-1],
            "/v1/replays": self.replay,
            "/v1/keys": self.key,
            "/v1/customers": self.customer,
            "/v1/backtests": self.backtest,
            "/v1/subjects": "1001",
        }
        longest = max((prefix for prefix in ids if path.startswith(prefix)), key=len, default="")
        names = {
            "/v1/templates": "abandoned-checkout",
            "/v1/recipes": "two-steps",
            "/v1/workspaces": "main",
            "/v1/connectors": "testbench",
        }
        name = next((each for prefix, each in names.items() if path.startswith(prefix)), "no-such")
        slugs = {"connectors": "testbench", "webhook-subscriptions": "told"}
        return path.format(
            id=ids.get(longest) or new_id(), name=name, slug=slugs.get(path.split("/")[2], "shop"), key=self.effect,
            kind="order", number=1, text="1001", address="ada@example.com",
        )  # fmt: skip

    def body(self, route: Route) -> Any:
        """What to send, beside the address."""
        settings = {"account": "more", "url": "https://more.invalid", "webhook_secrets": ["a-webhook-secret"],
                    "token": "a-token-of-it"}  # fmt: skip
        bodies: dict[str, Any] = {
            "POST /v1/events": PUSHED,
            "POST /v1/events/{id}/replay": {"recipes": ["two-steps"]},
            "POST /v1/runs/{id}/approve": {"approved": True},
            "POST /v1/runs/cancel": {"recipe": "waits"},
            "POST /v1/replays": {"filter": {"type": "order.paid"}},
            "POST /v1/effects/{key}/answer": {"answer": "happened", "output": {"id": "1", "key": "k"}},
            "PUT /v1/recipes/{name}": {"source": RECIPE.replace("> 1", "> 2")},
            "POST /v1/recipes/check": {"name": "mine", "source": TWO_STEPS},
            "POST /v1/recipes/{name}/test": {"tests": CASES},
            "POST /v1/recipes/{name}/dry-run": {"event_id": self.event},
            "PATCH /v1/recipes/{name}/inputs": {"days": 3},
            "PUT /v1/connections/{slug}": {"connector": "testbench", "settings": settings},
            "POST /v1/recipes/sync": {"folder": "/elsewhere", "recipes": {"more": TWO_STEPS}},
            "POST /v1/connections/apply": {
                "file": "/elsewhere.yaml",
                "connections": {"applied": {"connector": "testbench", "settings": {**settings, "account": "applied"}}},
            },
            "POST /v1/connections/{slug}/sign": {"topic": "order.paid", "body": "e30="},
            "POST /v1/connections/{slug}/rotate": {"setting": "webhook_secrets", "value": "a-newer-webhook-secret"},
            "POST /v1/backtests": {"recipe": "two-steps"},
            "POST /v1/webhooks/reprocess": {"state": "unknown"},
            "POST /v1/webhook-subscriptions": {"slug": "erp"} | SUBSCRIBED,
            "PUT /v1/webhook-subscriptions/{slug}": SUBSCRIBED,
            "POST /v1/suppressions": {"address": "ada@example.com"},
            "POST /v1/workspaces": {"name": "third"},
            "PATCH /v1/workspaces/{name}": {"currency": "EUR"},
            "POST /v1/keys": {"name": "more", "scopes": ["read"]},
        }
        return bodies.get(str(route))

    async def ask(self, route: Route, key: str, **headers: str) -> httpx.Response:
        """A good request of a route, by a key."""
        body = self.body(route)
        content = None if body is None else json.dumps(body).encode()
        given = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
        address = self.address(route.path)
        if (route.method, route.path) == ("PUT", "/v1/connections/{slug}"):
            address = "/v1/connections/more"
        return await self.bench.api.request(route.method, address, content=content, headers=given)


async def world_of(bench: Bench) -> World:
    """Orders, runs in every state, an uncertain effect, a replay, a key, a customer, a suppression."""
    world = World(bench)
    await bench.recipe("two-steps", RECIPE)
    await bench.recipe("asks", ASKS)
    await bench.recipe("waits", WAITS)
    bench.outside.statuses["/native"] = [422]
    failing = await bench.order(1000)
    bench.outside.statuses["/unsafe"] = [500]
    world.event = await bench.order(1001)
    world.failed = (await bench.run(failing))["id"]
    world.asking = (await bench.run(world.event, "asks"))["id"]
    world.waiting = [(await bench.run(each, "waits"))["id"] for each in (world.event, failing)]
    world.effect = (await bench.get("/v1/effects", state="uncertain"))["items"][0]["key"]
    world.replay = (await bench.post("/v1/replays", {"filter": {"type": "order.paid"}}, 201))["id"]
    world.key = (await bench.post("/v1/keys", {"name": "to be closed", "scopes": ["read"]}, 201))["id"]
    await bench.post("/v1/webhook-subscriptions", {"slug": "told", **SUBSCRIBED}, 201)
    world.backtest = (await bench.post("/v1/backtests", {"recipe": "two-steps"}, 201))["id"]
    world.customer = str(await bench.hub.one("select id from customer order by id desc limit 1"))
    return world


ORDER = (
    *("POST /v1/replays/{id}/preview", "POST /v1/replays/{id}/start", "POST /v1/replays/{id}/pause"),
    *("POST /v1/replays/{id}/resume", "POST /v1/replays/{id}/cancel", "POST /v1/recipes/{name}/pause"),
    *("POST /v1/recipes/{name}/resume", "POST /v1/recipes/{name}/disable", "POST /v1/recipes/{name}/enable"),
    *("POST /v1/events/{id}/replay", "POST /v1/runs/{id}/cancel", "POST /v1/suppressions"),
    "POST /v1/webhook-subscriptions",
)
"""What must come before something else, or in this order."""
LAST = ("POST /v1/customers/{id}/erase", "DELETE /v1/connections/{slug}", "DELETE /v1/recipes/{name}")


def in_order() -> Iterator[Route]:
    """All changing routes, so that each finds what it needs."""

    def place(route: Route) -> int:
        name = str(route)
        return ORDER.index(name) if name in ORDER else 100 + LAST.index(name) if name in LAST else 50

    return iter(sorted((each for each in routes() if each.changes and each.scope), key=place))
