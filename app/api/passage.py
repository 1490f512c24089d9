"""What every request passes on its way in and out: it gets an id, its key is counted, its answer is kept for repeats.

The ASGI wrapper at the bottom knows ids and headers; who asks is known to routes alone (`auth`), which leaves here what
shall happen to the answer: `Standing` in headers, `Pending` to be kept.
"""

import os
import random
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_random = random.Random(os.urandom(32))
_GIVEN = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands within its limit: `left` of `limit` requests, full again after `reset` seconds."""

    limit: int
    left: int
    reset: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(self.left).encode()),
            (b"ratelimit-reset", str(max(0, round(self.reset + 0.499))).encode()),
        ]


Keep = Callable[[int, bytes, bytes], Awaitable[None]]
"""Keeps an answer for repeats: status, content type, body."""


def id_of(scope: Scope) -> str:
    """The request's id: the caller's own `X-Request-Id` if it is fit to be logged, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()


def new_request_id() -> str:
    return f"{_random.getrandbits(96):024x}"


async def pass_through(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the app; its answer goes out with the request's id, and is kept where a route asked for that."""
    known = id_of(scope)
    request_id.set(known)
    structlog.contextvars.bind_contextvars(request_id=known)
    state = scope.setdefault("state", {})
    begun: list[Message] = []
    body: list[bytes] = []

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            standing: Standing | None = state.get("standing")
            more = standing.headers() if standing else []
            message["headers"] = [*message.get("headers", []), (b"x-request-id", known.encode()), *more]
        keep: Keep | None = state.get("keep")
        if keep is None:
            await send(message)
            return
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        body.append(message.get("body", b""))
        if not message.get("more_body", False):
            headers = dict(begun[0]["headers"])
            await keep(begun[0]["status"], headers.get(b"content-type", b""), b"".join(body))
            await send(begun[0])
            await send({"type": "http.response.body", "body": b"".join(body)})

    await app(scope, receive, answer)
