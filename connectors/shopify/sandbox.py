"""A fake of the Admin API: each document is checked against a schema, and does what it says to a shop in memory."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.shopify.actions_shop import TOPICS, in_graphql
from connectors.shopify.sandbox_shop import Shop

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLSchema

TOKEN = "shpat_sandbox"  # noqa: S105
BUCKET, RESTORED = 2000.0, 100.0
"""Points of a standard shop, and how many it gets back a second."""
_COSTS = {"mutation": 10, "query": 2}
_ONCE = ("inventoryAdjustQuantities", "inventorySetQuantities")
"""Mutations that demand `@idempotent` since 2026-04, at run time only."""


def sandbox(clock: Callable[[], float] = time.monotonic) -> Sandbox:
    """A shop in which nothing has happened yet."""
    server = _Server(Shop(TOPICS), clock)
    settings: dict[str, Json] = {
        "shop": "tea-house.myshopify.com",
        "webhook_secrets": ["shpss_sandbox"],
        "access_token": TOKEN,
        "currency": "USD",
        "location_id": "7100042001",
    }
    routes = [
        Route("/admin/api/{version}/graphql.json", server.graphql, methods=["POST"]),
        Route("/admin/api/{version}/fulfillment_orders/{id:int}.json", server.fulfillment_order, methods=["GET"]),
    ]
    return Sandbox(settings, routes, server.shop.state, fault)


def fault(status: int) -> Response:
    """A status in Shopify's words. Too many requests come as 200: the API counts cost, not requests."""
    if status == 429:
        return _json(_throttled(0.0, 10))
    words = {401: "[API] Invalid API key or access token", 402: "Unavailable Shop", 403: "Forbidden", 423: "Locked"}
    return _json({"errors": words.get(status, "Internal Server Error")}, status)


@cache
def _schema() -> GraphQLSchema:
    """Built once: graphql-core is loaded only by whoever runs a sandbox."""
    from graphql import build_schema

    topics = " ".join(in_graphql(topic) for topic in TOPICS)
    text = (Path(__file__).parent / "sandbox.graphql").read_text()
    return build_schema(f"{text}\nenum WebhookSubscriptionTopic {{ {topics} }}")


class _Server:
    """Token, cost and idempotency keys around the shop."""

    def __init__(self, shop: Shop, clock: Callable[[], float]) -> None:
        self.shop = shop
        self._clock = clock
        self._points, self._at = BUCKET, clock()
        self._done: dict[str, tuple[bytes, Json]] = {}

    async def graphql(self, request: Request) -> Response:
        if not _allowed(request):
            return fault(401)
        try:
            asked = orjson.loads(await request.body())
            text, variables = asked["query"], asked.get("variables") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return _json({"errors": {"query": "Required parameter missing or invalid"}}, 400)
        document, errors = _checked(str(text))
        if document is None:
            return _json({"errors": errors})
        return self._answer(document, variables)

    def _answer(self, document: DocumentNode, variables: Json) -> Response:
        cost = self._cost(document)
        left = self._left()
        if cost > left:
            return _json(_throttled(left, cost))
        refused = _without_key(document)
        if refused:
            return _json({"errors": [refused]})
        self._points = left - cost
        return _json({**self._run(document, variables), "extensions": _extensions(self._points, cost)})

    def _left(self) -> float:
        now = self._clock()
        self._points, self._at = min(BUCKET, self._points + (now - self._at) * RESTORED), now
        return self._points

    def _cost(self, document: DocumentNode) -> int:
        operation: Any = document.definitions[0]
        return _COSTS[operation.operation.value] * len(operation.selection_set.selections)

    def _run(self, document: DocumentNode, variables: Json) -> dict[str, Json]:
        """The same key with the same input is answered as the first time, with another it is refused."""
        key, given = variables.get("key"), orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
        if key in self._done and any(name in str(document.to_dict()) for name in _ONCE):
            first, answer = self._done[key]
            return answer if first == given else _mismatch(document)
        answer = self._executed(document, variables)
        if key is not None and "errors" not in answer:
            self._done[key] = given, answer
        return answer

    def _executed(self, document: DocumentNode, variables: Json) -> dict[str, Json]:
        from graphql import execute_sync

        result = execute_sync(_schema(), document, self.shop, variable_values=variables)
        errors = [{"message": each.message, "path": each.path} for each in result.errors or ()]
        return {"data": result.data} | ({"errors": errors} if errors else {})

    async def fulfillment_order(self, request: Request) -> Response:
        """REST, read once to learn the order of a hold."""
        if not _allowed(request):
            return fault(401)
        id_ = request.path_params["id"]
        return _json({"fulfillment_order": {"id": id_, "order_id": id_ // 10, "status": "on_hold"}})


def _allowed(request: Request) -> bool:
    return hmac.compare_digest(request.headers.get("x-shopify-access-token", "").encode(), TOKEN.encode())


@lru_cache(maxsize=64)
def _checked(text: str) -> tuple[DocumentNode | None, list[Json]]:
    """The document if it is one and fits the schema, else why not. Kept: a client's documents are few."""
    from graphql import GraphQLSyntaxError, parse, validate

    try:
        document = parse(text)
    except GraphQLSyntaxError as e:
        return None, [{"message": e.message}]
    errors = validate(_schema(), document)
    code = {"code": "argumentLiteralsIncompatible"}
    return (None, [{"message": e.message, "extensions": code} for e in errors]) if errors else (document, [])


def _without_key(document: DocumentNode) -> Json:
    """The error for a mutation that demands `@idempotent` and has it not."""
    operation: Any = document.definitions[0]
    for field in operation.selection_set.selections:
        if field.name.value in _ONCE and not any(each.name.value == "idempotent" for each in field.directives or ()):
            message = "The @idempotent directive is required for this mutation but was not provided."
            return {"message": message, "extensions": {"code": "BAD_REQUEST"}}
    return None


def _mismatch(document: DocumentNode) -> dict[str, Json]:
    operation: Any = document.definitions[0]
    name = operation.selection_set.selections[0].name.value
    refusal = {"message": "The key was used for another input", "code": "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"}
    return {"data": {name: {"inventoryAdjustmentGroup": None, "userErrors": [refusal | {"field": None}]}}}


def _extensions(points: float, cost: int) -> Json:
    status = {"maximumAvailable": BUCKET, "currentlyAvailable": int(points), "restoreRate": RESTORED}
    return {"cost": {"requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": status}}


def _throttled(points: float, cost: int) -> Json:
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    return {"errors": [error], "extensions": _extensions(points, cost)}


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
