"""What every answer carries against browsers that would be misused, and what no request may exceed."""

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NOTHING = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of what is no page: nothing may be loaded, run or sent from it."""
BARE: list[tuple[bytes, bytes]] = [*HEADERS, (b"content-security-policy", NOTHING), (b"cache-control", b"no-store")]
"""All of it, for answers that say nothing of their own."""
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""For answers that went over TLS: plain HTTP must ignore it (RFC 6797)."""


def guarded(scope: Scope, send: Send) -> Send:
    """The same `send`, which adds what an answer does not say itself."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            said = {name.lower() for name, _ in given}
            given += [header for header in BARE if header[0] not in said]
            if scope.get("scheme") == "https":
                given.append(HTTPS_ONLY)
            message = {**message, "headers": given}
        await send(message)

    return sent


def as_get(scope: Scope) -> Scope:
    """A HEAD is worked as the GET that it stands for; the server, which knows what was asked, sends no body."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """The same `receive`, which raises HTTPException 413 as soon as a body is known to be larger than `limit` bytes:
    a body is read before anybody knows who sends it."""
    size = 0

    async def received() -> Message:
        nonlocal size
        if size == 0 and _announced(scope) > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes.")
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes.")
        return message

    return received


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value[:20]) if value.isdigit() else 0
    return 0
