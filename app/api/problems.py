"""Errors as RFC 9457 problem documents."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.errors import RejectedError


def problem(status: int, name: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem+json answer; `name` is stable and documented in docs/api.md."""
    body = {"type": f"/problems/{name}", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/problem+json")


async def on_rejected(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RejectedError) else 400
    names = {401: "unauthorized", 403: "forbidden", 404: "not-found", 409: "conflict", 413: "too-large", 503: "unavailable"}
    return problem(status, names.get(status, "invalid"), str(error))


async def on_bug(request: Request, error: Exception) -> Response:
    return problem(500, "internal", "Something went wrong here; the log has the details.")
