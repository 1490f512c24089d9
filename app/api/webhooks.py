"""`POST /webhooks/{connection}`: bare ASGI in front of everything else, for every microsecond is paid per order."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any

import structlog
from pydantic import BaseModel, Field, SecretStr
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.passage import id_of, request_id
from app.api.problems import problem
from app.api.shield import BARE, guarded
from app.connector import RawWebhook
from app.domain.connections import Connection
from app.domain.pace import Pace
from app.domain.rejections import Rejections
from app.errors import NotFoundError, RejectedError, TooLargeError, TooManyError, UnavailableError
from app.hub import Hub
from app.metrics import ACK, WEBHOOKS
from app.pipeline.receive import Intake, receive
from app.signing import TokenSignature

log = structlog.get_logger()

Headers = list[tuple[str, str]]
SAVES = 10.0
"""Seconds' worth that a connection which was quiet may send at once."""

_COUNTED = {
    result: WEBHOOKS.labels(result)
    for result in ("new", "duplicate", "handshake", "rejected", "throttled", "unavailable")
}


class _Nobody(BaseModel):
    """At an address at which there is nobody."""

    token: SecretStr = Field(default_factory=lambda: SecretStr(token_urlsafe()))


_NOBODY = _Nobody()
_TOKEN_OF_NOBODY = TokenSignature[_Nobody](lambda nobody: (nobody.token,))
_OK_START = {"type": "http.response.start", "status": 200}
_OK_HEADERS = [(b"content-length", b"0"), *BARE]
_OK_END = {"type": "http.response.body", "body": b""}


class GoneError(Exception):
    """The sender hung up before its body was complete."""


class WebhookEndpoint:
    """Reads at most `max_body` bytes, answers 200 only after the webhook is durable."""

    def __init__(self, hub: Hub, intake: Intake, rejections: Rejections) -> None:
        self._hub = hub
        self._intake = intake
        self._rejections = rejections
        self._pace = Pace(hub.settings.webhook_rate, SAVES) if hub.settings.webhook_rate else None

    async def __call__(self, scope: Scope, receive_: Receive, send: Send) -> None:
        began = time.perf_counter()
        known = id_of(scope)
        request_id.set(known)
        answer = await self._answer(scope, receive_)
        if answer is not None:
            answer.headers["x-request-id"] = known
            await answer(scope, receive_, guarded(scope, send))
            return
        await send({**_OK_START, "headers": [*_OK_HEADERS, (b"x-request-id", known.encode())]})
        await send(_OK_END)
        ACK.observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive_: Receive) -> Response | None:
        """The answer; None for a plain 200."""
        workspace, slug = address(scope["path"])
        size = 0
        try:
            if scope["method"] != "POST":
                return self._greeted(workspace, slug, scope)
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            body = await self._body(headers, receive_)
            size = len(body)
            return await self._accept(workspace, slug, headers, scope["query_string"], body)
        except GoneError:
            return problem(400, "malformed", "The body is not complete.")
        except UnavailableError as e:
            _COUNTED["unavailable"].inc()
            return problem(503, "unavailable", str(e), headers={"retry-after": str(round(e.retry_after))})
        except TooManyError as e:
            _COUNTED["throttled"].inc()
            return problem(429, "too-many", str(e), headers={"retry-after": str(math.ceil(e.retry_after))})
        except RejectedError as e:
            _COUNTED["rejected"].inc()
            self._rejections.note(workspace, slug, e.status, str(e), size)
            detail = "There is no such connection." if isinstance(e, NotFoundError) else str(e)
            return problem(e.status, "rejected", detail)
        except Exception:
            log.exception("a webhook could not be taken")
            return problem(500, "internal", "Something went wrong here; the log has the details.")

    def _greeted(self, workspace: str, slug: str, scope: Scope) -> Response:
        """A sender that looks whether there is somebody, before it posts. Who may not know learns nothing."""
        connection = self._hub.connections.find(workspace, slug)
        source = connection.connector.source if connection else None
        refused = problem(405, "method-not-allowed", "Webhooks are posted.", headers={"allow": "POST"})
        if connection is None or source is None or source.greet is None or scope["method"] not in ("GET", "HEAD"):
            return refused
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        raw = RawWebhook(b"", headers, QueryParams(scope["query_string"]), datetime.now(UTC))
        try:
            answer = source.greet(raw, connection.settings)
        except RejectedError:
            return refused
        return Response(answer.body, answer.status, dict(answer.headers))

    async def _accept(self, workspace: str, slug: str, headers: Headers, query: bytes, body: bytes) -> Response | None:
        connection = self._hub.connections.find(workspace, slug)
        named, now = QueryParams(query) if query else {}, datetime.now(UTC)
        if connection is None or connection.connector.source is None:
            with suppress(NotFoundError):  # takes the time that a wrong token takes
                _TOKEN_OF_NOBODY.verify(RawWebhook(body, dict(headers), named, now), _NOBODY, now)
            raise NotFoundError("there is no such connection")
        accepted = await receive(
            connection,
            headers,
            named,
            body,
            now,
            intake=self._intake,
            hasher=self._hub.hasher,
            admit=self._admit,
        )
        _COUNTED[accepted.kept or "handshake"].inc()
        answer = accepted.answer
        if answer.status == 200 and not answer.body and not answer.headers:
            return None
        return Response(answer.body, answer.status, dict(answer.headers))

    def _admit(self, connection: Connection) -> None:
        """Raises TooManyError, with the seconds after which the next is welcome."""
        wait = self._pace.take(connection.id)[1] if self._pace is not None else 0.0
        if wait:
            raise TooManyError("This connection sends faster than it may; try again later.", wait)

    async def _body(self, headers: Sequence[tuple[str, str]], receive_: Receive) -> bytes:
        """The body, refused as soon as it is known to be too large. Raises TooLargeError."""
        limit = self._hub.settings.max_body
        for name, value in headers:
            if name == "content-length" and value.isdigit() and int(value[:20]) > limit:
                raise TooLargeError(f"the body is larger than {limit} bytes")
        parts: list[bytes] = []
        more, room = True, limit
        while more:  # for how long, and on how many sockets at once, the server bounds (`app/door.py`)
            message = await receive_()
            parts.append(_bounded(message, room))
            room -= len(parts[-1])
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _bounded(message: Any, limit: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise GoneError
    part: bytes = message.get("body", b"")
    if len(part) > limit:
        raise TooLargeError("the body is larger than this hub takes")
    return part


def address(path: str) -> tuple[str, str]:
    """(workspace, connection slug) of `/webhooks/{connection}` or `/webhooks/{workspace}/{connection}`."""
    parts = path.split("/")[2:]
    if len(parts) == 1:
        return "main", parts[0]
    return (parts[0], parts[1]) if len(parts) == 2 else ("", "")


def described() -> dict[str, Any]:
    """How inbound webhooks look, for the OpenAPI description."""
    return {
        "summary": "A webhook of a connected system",
        "description": "Kept byte for byte, durable before the answer. The sender proves itself as its system does.",
        "responses": {
            "200": {"description": "Kept, or known already."},
            "401": {"description": "The signature is missing or wrong."},
            "404": {"description": "No such connection; or the token of its address is missing or wrong."},
            "408": {"description": "The body did not arrive in time."},
            "413": {"description": "The body is too large."},
            "429": {"description": "The connection sends faster than it may; try again after Retry-After."},
            "503": {"description": "The store is away; try again after Retry-After."},
        },
    }
