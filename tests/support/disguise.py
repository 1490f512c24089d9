"""The sandboxes behind a door that knows our secrets by other names, so that a test may plant secrets of its own.

What comes in with a planted secret reaches the sandbox with its real one; tokens that a sandbox gives out are planted
on the way back, and an answer may be told to echo the whole request.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

MARK = 'PLANT"ed/+%'
_DROPPED = ("content-length", "transfer-encoding", "host", "connection")


def planted(name: str, value: Any, number: int) -> Any:
    """Another secret in the place of a sandbox's, of the shape that its setting wants."""
    if isinstance(value, list):
        return [planted(name, each, number) for each in value]
    if value.startswith("https://"):
        return f"{value}/planted-{number}-0123456789"
    if name == "signing_secret":
        return value  # the sandbox looks at our signatures
    return f"{MARK}{number}.{value}"


@dataclass
class Disguise:
    """An ASGI app in front of the sandboxes. pairs: planted secret -> the sandbox's own."""

    sandboxes: ASGIApp
    pairs: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    """Tokens that sandboxes gave out -> what the hub got instead."""
    echo: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.sandboxes), base_url="http://sandbox") as inner:
            answer = await inner.request(
                request.method,
                self._known(str(request.url.path)),
                params=[(name, self._known(value)) for name, value in request.query_params.multi_items()],
                headers=[
                    (name, self._header(value)) for name, value in request.headers.items() if name not in _DROPPED
                ],
                content=self._known(body.decode("latin-1")).encode("latin-1"),
            )
        here = f"{request.url.scheme}://{request.url.netloc}".encode()
        content, headers = answer.content.replace(b"http://sandbox", here), dict(answer.headers)
        if b'"refresh_token"' in content:
            content = orjson.dumps({name: self._planted(name, value) for name, value in answer.json().items()})
        if self.echo:
            shown = {"url": str(request.url), "headers": dict(request.headers), "body": body.decode("latin-1")}
            content = json.dumps({**shown, "unquoted": unquote(str(request.url))}).encode()
        for name in _DROPPED:
            headers.pop(name, None)
        await Response(content, 400 if self.echo else answer.status_code, headers)(scope, receive, send)

    def _planted(self, name: str, value: Any) -> Any:
        if name not in ("access_token", "refresh_token"):
            return value
        return self.given.setdefault(value, f"PLANTed-{name}-{len(self.given)}-{value}")

    def _header(self, value: str) -> str:
        kind, _, proof = value.partition(" ")
        if kind == "Basic":
            return "Basic " + base64.b64encode(self._known(base64.b64decode(proof).decode()).encode()).decode()
        return self._known(value)

    def _known(self, text: str) -> str:
        for ours, theirs in [*self.pairs.items(), *((hub, sandbox) for sandbox, hub in self.given.items())]:
            for written in (str, quote, quote_plus, lambda secret: quote(secret, "")):
                text = text.replace(written(ours), written(theirs))
        return text
