"""`POST /webhooks/{connection}`: a plain Starlette endpoint, because every microsecond here is paid per order."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.problems import problem
from app.domain.rejections import Rejections
from app.errors import NotFoundError, RejectedError, TooLargeError, UnavailableError
from app.hub import Hub
from app.metrics import WEBHOOKS
from app.pipeline.receive import Intake, receive

log = structlog.get_logger()

READ_WITHIN = 10.0
"""Seconds that a sender gets to send its body."""


class WebhookEndpoint:
    """An ASGI endpoint: reads at most `max_body` bytes, answers 200 only after the webhook is durable."""

    def __init__(self, hub: Hub, intake: Intake, rejections: Rejections) -> None:
        self._hub = hub
        self._intake = intake
        self._rejections = rejections

    async def __call__(self, scope: Scope, receive_: Receive, send: Send) -> None:
        request = Request(scope, receive_)
        params = request.path_params
        workspace, slug = params.get("workspace", "main"), params["connection"]
        body = b""
        try:
            body = await self._body(request)
            response = await self._accept(workspace, slug, request, body)
        except ClientDisconnect:
            return
        except UnavailableError as e:
            WEBHOOKS.labels("unavailable").inc()
            response = problem(503, "unavailable", str(e), headers={"retry-after": str(round(e.retry_after))})
        except RejectedError as e:
            WEBHOOKS.labels("rejected").inc()
            self._rejections.note(workspace, slug, e.status, str(e), len(body))
            detail = "There is no such connection." if isinstance(e, NotFoundError) else str(e)
            response = problem(e.status, "rejected", detail)
        await response(scope, receive_, send)

    async def _accept(self, workspace: str, slug: str, request: Request, body: bytes) -> Response:
        connection = self._hub.connections.find(workspace, slug)
        if connection is None or connection.connector.source is None:
            raise NotFoundError("there is no such connection")
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw]
        accepted = await receive(
            connection,
            headers,
            request.query_params,
            body,
            datetime.now(UTC),
            intake=self._intake,
            hasher=self._hub.hasher,
        )
        WEBHOOKS.labels(accepted.kept or "handshake").inc()
        answer = accepted.answer
        return Response(answer.body, answer.status, dict(answer.headers))

    async def _body(self, request: Request) -> bytes:
        """The body, refused as soon as it is known to be too large. Raises TooLargeError."""
        limit = self._hub.settings.max_body
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(READ_WITHIN):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise TooLargeError(f"the body is larger than {limit} bytes")
                    parts.append(part)
        except TimeoutError as e:
            raise RejectedError("the body did not arrive in time") from e
        return b"".join(parts)


def described() -> dict[str, Any]:
    """How inbound webhooks look, for the OpenAPI description."""
    return {
        "summary": "A webhook of a connected system",
        "description": "Kept byte for byte, durable before the answer. The sender proves itself as its system does.",
        "responses": {
            "200": {"description": "Kept, or known already."},
            "401": {"description": "The signature is missing or wrong."},
            "404": {"description": "No such connection."},
            "413": {"description": "The body is too large."},
            "503": {"description": "The store is away; try again after Retry-After."},
        },
    }
