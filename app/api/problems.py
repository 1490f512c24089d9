"""Errors as RFC 9457 problem documents; every `type` is an address of this hub that tells about it."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.idempotency import AnsweredBefore
from app.api.passage import request_id
from app.errors import RejectedError, TooManyError, UnavailableError
from app.store.database import IN_TROUBLE

log = structlog.get_logger()

NAMES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    412: "changed-meanwhile",
    413: "too-large",
    422: "invalid",
    429: "too-many",
    500: "internal",
    503: "unavailable",
}
"""Status -> the name at the end of a problem's `type`."""

MEANINGS: dict[str, tuple[str, str]] = {
    "malformed": ("400", "The request cannot be read: a cursor that is none, a text that cannot be looked for."),
    "unauthorized": ("401", "There is no key, or one that opens nothing. WWW-Authenticate says which."),
    "forbidden": ("403", "The key lacks the scope, is limited to connections, or is of another workspace."),
    "not-found": ("404", "There is none, it expired, or it is another workspace's."),
    "method-not-allowed": ("405", "The address does not take that method."),
    "too-slow": ("408", "The request did not arrive in time."),
    "conflict": ("409", "The thing is not in a state for that, or a file owns it. The detail says what to do first."),
    "strange-folder": (
        "409",
        "A folder or file of that path brought in others before, and has none of them now: it may be another machine's."
        " With `take_over` it takes their place.",
    ),
    "changed-meanwhile": ("412", "If-Match names a version that is no longer the current one: get it again."),
    "too-large": ("413", "The body is larger than TRADEWIND_MAX_BODY."),
    "invalid": ("422", "The request does not fit the description. `errors` names every field."),
    "unknown-name": (
        "422",
        "A filter names a connection, recipe, event type, action, actor or verb that there never was.",
    ),
    "idempotency-key-reused": ("422", "The Idempotency-Key was sent with another request: take a new one for each."),
    "too-many": ("429", "The key asks too often. Try again after Retry-After."),
    "internal": ("500", "A fault of ours. The log has the details, under the request's id."),
    "unavailable": ("503", "PostgreSQL is away, or takes no writes. Try again after Retry-After."),
    "rejected": ("400-429", "A webhook was refused: its sender could not prove itself, or sent too much."),
}
"""The name of a kind of problem -> its status, and what it means; served at `/problems/<name>`."""

CHALLENGE = 'Bearer realm="tradewind"'


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where: `query.limit`, `body.recipes.0` ...", examples=["query.limit"])
    detail: str = Field(examples=["Input should be less than or equal to 200"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Stable; the address tells about it.", examples=["/problems/not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="A sentence for people.", examples=["there is no such run"])
    request_id: str | None = Field(None, description="Of the request: the log names it.", examples=["8f14e45fceea167a"])
    errors: list[Fault] | None = Field(None, description="What is wrong with each field of an invalid request.")


def problem(
    status: int,
    name: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    """A problem+json answer; `name` is stable and documented in docs/api.md."""
    body: dict[str, Any] = {
        "type": f"/problems/{name}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if known := request_id.get():
        body["request_id"] = known
    if errors:
        body["errors"] = list(errors)
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/problem+json")


async def on_rejected(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RejectedError) else 400
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, UnavailableError | TooManyError):
        headers["retry-after"] = str(math.ceil(error.retry_after))
    name = getattr(error, "name", None) or NAMES.get(status, "malformed")
    return problem(status, name, str(error), headers, getattr(error, "errors", ()))


async def on_answered(request: Request, error: Exception) -> Response:
    """A repeat of a request that was done: its answer, as it was."""
    if not isinstance(error, AnsweredBefore):
        raise error
    return error.response


async def on_invalid(request: Request, error: Exception) -> Response:
    """What does not fit the description: says where, and never repeats what was sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"field": ".".join(map(str, each["loc"])), "detail": _said(request, each)} for each in found]
    return problem(422, "invalid", "The request does not fit the description.", errors=errors)


def _said(request: Request, fault: Mapping[str, Any]) -> str:
    """What is wrong, in a sentence. A body whose kind is not told, as curl sends it, is not read as JSON."""
    if (
        fault["loc"] == ("body",)
        and fault["type"] != "missing"
        and "json" not in request.headers.get("content-type", "")
    ):
        return "is read as JSON only with the header Content-Type: application/json"
    return str(fault["msg"]).removeprefix("Value error, ")


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown addresses and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    nothing = "There is nothing at this address" + (": none ends in a slash." if _slashed(request) else ".")
    detail = {404: nothing, 405: "This address does not take that method."}
    headers = getattr(error, "headers", None)
    said = error.detail if isinstance(error, HTTPException) else str(error)
    return problem(status, NAMES.get(status, "malformed"), detail.get(status, said), headers)


def _slashed(request: Request) -> bool:
    return len(request.url.path) > 1 and request.url.path.endswith("/")


async def on_away(request: Request, error: Exception) -> Response:
    return problem(503, "unavailable", "The store is away; try again.", {"retry-after": "5"})


async def on_unstorable(request: Request, error: Exception) -> Response:
    """A text or a number that no database can hold (NUL, a lone surrogate, a time beyond all calendars)."""
    return problem(400, "malformed", "The request holds something that cannot be looked for.")


async def on_database(request: Request, error: Exception) -> Response:
    """What SQLAlchemy wrapped: by the driver's own error inside it."""
    orig = getattr(error, "orig", None)
    cause = getattr(orig, "__cause__", None) or orig
    if isinstance(cause, IN_TROUBLE) or getattr(error, "connection_invalidated", False):
        return await on_away(request, error)
    if isinstance(cause, asyncpg.DataError | UnicodeError | OverflowError):
        return await on_unstorable(request, error)
    log.error("a statement failed", exc_info=error)
    return await on_bug(request, error)


async def on_bug(request: Request, error: Exception) -> Response:
    return problem(500, "internal", "Something went wrong here; the log has the details.")


HANDLERS: dict[Any, Any] = {
    **dict.fromkeys(IN_TROUBLE, on_away),
    asyncpg.DataError: on_unstorable,
    DBAPIError: on_database,
    UnicodeError: on_unstorable,
    OverflowError: on_unstorable,
    AnsweredBefore: on_answered,
    RejectedError: on_rejected,
    RequestValidationError: on_invalid,
    HTTPException: on_http,
    Exception: on_bug,
}
"""Exception -> what answers it."""
