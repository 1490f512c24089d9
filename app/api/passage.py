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
from time import monotonic

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


class Pace:
    """So many requests a second for each key, in this process; what a key saved up lets it hurry for two seconds."""

    SAVED = 2.0
    KEYS_AT_MOST = 10_000

    def __init__(self, a_second: int) -> None:
        self._rate = a_second
        self._most = max(1, round(a_second * self.SAVED))
        self._known: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> tuple[Standing, float]:
        """Count a request: how the key stands, and for how many seconds it has to wait (0: it may go)."""
        now = monotonic()
        saved, at = self._known.get(key, (float(self._most), now))
        saved = min(self._most, saved + (now - at) * self._rate)
        wait = 0.0 if saved >= 1 else (1 - saved) / self._rate
        saved = saved if wait else saved - 1
        if len(self._known) >= self.KEYS_AT_MOST and key not in self._known:
            self._known.clear()
        self._known[key] = (saved, now)
        return Standing(self._most, int(saved), (self._most - saved) / self._rate), wait


Keep = Callable[[int, bytes, bytes], Awaitable[None]]
"""Keeps an answer for repeats: status, content type, body."""


def id_of(scope: Scope) -> str:
    """The request's id: the caller's own `X-Request-Id` if it is fit to be logged, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN.fullmatch(value):
            return str(value, "ascii")
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
