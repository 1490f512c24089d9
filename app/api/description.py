"""The OpenAPI 3.1 description: what FastAPI reads off the routes, with problems and inbound webhooks."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.examples import add_examples
from app.api.problems import NAMES, Problem
from app.api.webhooks import described

ABOUT = """
Tradewind takes webhooks of shops and payment processors in, turns them into canonical events, and runs recipes that
call other systems: every order processed, exactly one effect each.

Every route under `/v1` takes a bearer key. Lists are newest first and paged by cursor. Errors are RFC 9457 problem
documents.
"""

TAGS = [
    {"name": "trace", "description": "The whole way of one order."},
    {"name": "events", "description": "Canonical facts, and replays of them."},
    {"name": "runs", "description": "Recipes at work: steps, calls, attempts."},
    {"name": "replays", "description": "Many events run recipes again, with a preview and at a pace."},
    {"name": "effects", "description": "What was done outside, and what nobody is sure of."},
    {"name": "recipes", "description": "Automations: stopping and starting them."},
    {"name": "connections", "description": "Accounts at outside systems."},
    {"name": "subscriptions", "description": "Others are told of events, by Standard Webhooks."},
    {"name": "connectors", "description": "The catalogue of outside systems."},
    {"name": "webhooks", "description": "What came in, and what was refused."},
    {"name": "customers", "description": "People: found, shown, exported, erased."},
    {"name": "suppressions", "description": "Addresses that get no mail."},
    {"name": "workspaces", "description": "Merchants, each with all things of its own."},
    {"name": "audit", "description": "Who did what."},
    {"name": "keys", "description": "API keys."},
    {"name": "health", "description": "For load balancers and monitoring; without a key."},
]

REPEATABLE = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "title": "Idempotency-Key"},
    "description": "Your own name for this request: a repeat under it does nothing more and is answered the same.",
}
COMMON = (400, 401, 403, 404, 422, 429, 503)
"""Problems of every route that takes a key. (404: the workspace that a header or a thing that a body names, too.)"""


def name_of(route: APIRoute) -> str:
    """Operation ids are the functions' names: each is used once."""
    return route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description; made once for a process."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary="A self-hosted integration hub for online shops.",
            description=ABOUT.strip(),
            routes=app.routes,
            tags=TAGS,
            servers=[{"url": "/", "description": "This hub."}],
        )
        app.openapi_schema = _finished(made)
    return app.openapi_schema


def _finished(made: dict[str, Any]) -> dict[str, Any]:
    schemas = made["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _add_problems(path, method, operation)
            if method == "post" and operation.get("security"):
                operation["parameters"] = [*operation.get("parameters", []), REPEATABLE]
    made["webhooks"] = {"inbound": {"post": _inbound()}}
    add_examples(made)
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    return made


def _add_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if not operation.get("security"):
        if "parameters" in operation:
            responses |= {str(status): _problem(status) for status in (400, 422, 503)}
        return
    wanted = [*COMMON]
    if "requestBody" in operation:
        wanted.append(413)
    if method != "get":
        wanted.append(409)
    if method in ("put", "delete"):
        wanted.append(412)
    for status in sorted(wanted):
        responses[str(status)] = _problem(status)


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": f"Problem `{NAMES[status]}`.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _inbound() -> dict[str, Any]:
    """A webhook as systems send it to `/webhooks/{connection}`: their own body, their own proof."""
    return {
        "operationId": "receive_webhook",
        "tags": ["webhooks"],
        "requestBody": {
            "description": "Sent to `/webhooks/{connection}` (or `/webhooks/{workspace}/{connection}`), in the "
            "sender's own form.",
            "required": True,
            "content": {"application/json": {}, "application/x-www-form-urlencoded": {}},
        },
        **described(),
    }
