"""The sandbox server: small fakes of the outside systems in one process of their own, with faults on demand.

`/<connector>/...` is the system; `/_state`, `/_requests` and `/_faults` are for people, recipe tests and the demo; `/`
lists them all.
Nothing here is ever mounted by the hub itself.
"""

import asyncio
import random
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Message, Receive, Scope, Send

from app.connector import Connector, Envelope, Json, Mailbox, Sandbox
from app.sandbox_journal import Journal
from app.sandbox_mail import Listener
from app.settings import Settings

KEPT_REQUESTS = 1000
KEPT_BODY = 65536
LARGEST_BODY = 32 * 1024 * 1024
_SECRET_HEADER = re.compile("authorization|cookie|token|secret|api-?key")
_SECRET_PATHS = ("oauth", "token")
_CHUNK = b"0123456789abcdef" * 4096


class Fault(BaseModel):
    """Something that goes wrong on demand, before the system would have acted, or after it (`after_acting`).

    status: answer this instead, in the vendor's words. slow: wait so many seconds first. close: drop the connection,
    before a byte of the answer or in the middle of it. huge: answer so many bytes. malformed: answer 200 with half a
    JSON object. times: so often, then never again; rate: this share of the requests, by `seed` the same each time.
    path, body: only where it is part of the path, or of the body; method: only this. Over SMTP: see
    `app/sandbox_mail.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    retry_after: Annotated[float, Field(ge=0)] | None = None
    slow: Annotated[float, Field(ge=0, le=3600)] | None = None
    after_acting: bool = False
    close: Literal["before", "half"] | None = None
    huge: Annotated[int, Field(ge=0, le=1 << 30)] | None = None
    malformed: bool = False
    times: Annotated[int, Field(ge=1)] | None = None
    rate: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    path: str | None = None
    body: str | None = None
    method: str | None = None


_FAULTS = TypeAdapter(list[Fault])


@dataclass
class _Armed:
    """A fault with what it remembers: how often it may still strike, and its dice."""

    fault: Fault
    left: int | None
    dice: random.Random

    def strikes(self, method: str, path: str, body: bytes) -> bool:
        fault = self.fault
        if fault.body is not None and fault.body.encode() not in body:
            return False
        if self.left == 0 or (fault.path or "") not in path or (fault.method or method).upper() != method:
            return False
        if fault.rate is not None and self.dice.random() >= fault.rate:
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass
class _Mounted:
    """One connector's sandbox as it stands."""

    connector: Connector[Any]
    faults: list[_Armed] = field(default_factory=list)
    requests: deque[dict[str, Json]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        if self.connector.sandbox is None:
            raise ValueError(f"{self.connector.slug} has no sandbox")
        self.sandbox: Sandbox = self.connector.sandbox()
        self.router = Router(list(self.sandbox.routes))
        self.requests.clear()

    def arm(self, faults: Sequence[Fault]) -> None:
        self.faults.extend(_Armed(fault, fault.times, random.Random(fault.seed)) for fault in faults)

    def struck(self, method: str, path: str, body: bytes) -> Fault | None:
        return next((armed.fault for armed in self.faults if armed.strikes(method, path, body)), None)


class _Faults:
    """The ASGI middleware around a sandbox's routes: reads the request whole, notes it, and lets faults strike."""

    def __init__(self, mounted: _Mounted, journal: Journal | None) -> None:
        self._mounted = mounted
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await _body(request)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        noted = _noted(request, path, body)
        self._mounted.requests.append(noted)
        fault = self._mounted.struck(request.method, path, body)
        if self._journal is None or _is_secret(path):
            await self._answered(fault, body, scope, receive, send)
            return
        exchange = self._journal.begin(self._mounted.connector.slug, noted, body)
        exchange.told = fault is not None
        try:
            await self._answered(fault, body, scope, receive, exchange.hears(send))
        except HTTPException as e:  # no such path: answered further out
            exchange.status = e.status_code
            raise
        finally:
            self._journal.end(exchange)

    async def _answered(self, fault: Fault | None, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        replay = _replay(body, receive)
        if fault is None:
            await self._mounted.router(scope, replay, send)
            return
        answer: list[Message] = []
        if fault.after_acting:
            await self._mounted.router(scope, replay, _into(answer))
        if fault.slow is not None and not await _wait(fault.slow, receive if fault.after_acting else None):
            return
        if not fault.after_acting and _only_slow(fault):
            await self._mounted.router(scope, replay, send)
            return
        await self._strike(fault, scope, receive, send, answer)

    async def _strike(self, fault: Fault, scope: Scope, receive: Receive, send: Send, answer: list[Message]) -> None:
        if fault.close is not None:
            await _close(fault.close, scope, receive, send)
        elif fault.huge is not None:
            await _huge(fault.huge, send)
        elif fault.malformed:
            await Response(b'{"ok": true, "half', media_type="application/json")(scope, receive, send)
        elif fault.status is not None:
            await self._answer(fault.status, fault.retry_after)(scope, receive, send)
        else:
            for message in answer:
                await send(message)

    def _answer(self, status: int, retry_after: float | None) -> Response:
        said = self._mounted.sandbox.fault
        answer = said(status) if said is not None else _json({"error": {"status": status}}, status)
        if retry_after is not None:
            answer.headers["retry-after"] = f"{retry_after:g}"
        return answer


def make_app(
    connectors: Iterable[Connector[Any]], smtp: tuple[str, int] | None = None, *, noted: bool = True
) -> Starlette:
    """The ASGI app of these connectors' sandboxes: run it with uvicorn, in a process of its own. smtp: host and port on
    which the one that takes mail listens while the app lives. noted: write the journal that the settings ask for."""
    mounted = {each.slug: _Mounted(each) for each in connectors if each.sandbox is not None}
    folder = Settings().sandbox_journal if noted else None
    journal = Journal(folder) if folder is not None else None
    mounts = [Mount(f"/{slug}", _Faults(each, journal)) for slug, each in mounted.items()]
    listener = next((_listener(each) for each in mounted.values() if each.sandbox.mailbox is not None), None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if listener is None or smtp is None:
            yield
            return
        app.state.smtp_port = await listener.start(*smtp)
        try:
            yield
        finally:
            await listener.stop()

    return _Server(routes=[*_for_people(mounted), *mounts], lifespan=lifespan)


def _listener(mounted: _Mounted) -> Listener:
    def mailbox() -> Mailbox:
        if mounted.sandbox.mailbox is None:
            raise ValueError("this sandbox takes no mail")
        return mounted.sandbox.mailbox

    def noted(envelope: Envelope) -> None:
        path = f"{envelope.sender} -> {', '.join(envelope.recipients)}"
        body = envelope.content[:KEPT_BODY].decode(errors="replace")
        mounted.requests.append({"method": "SMTP", "path": path, "headers": {}, "body": body})

    return Listener(mailbox, mounted.struck, noted)


class _Server(Starlette):
    """Keeps the server's own `send`, by which alone a connection can be dropped."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__({**scope, "tradewind.send": send}, receive, send)


def _for_people(mounted: dict[str, _Mounted]) -> Iterator[Route]:
    async def everything(request: Request) -> Response:
        return _json({"sandboxes": sorted(mounted)})

    async def index(request: Request) -> Response:
        return HTMLResponse(_index(mounted))

    async def armed(request: Request) -> Response:
        faults = mounted[request.path_params["slug"]].faults
        shown = [
            each.fault.model_dump(exclude_defaults=True) | {"left": each.left} for each in faults if each.left != 0
        ]
        return _json({"armed": shown, "can": Fault.model_json_schema()["properties"]})

    async def state(request: Request) -> Response:
        return _json(mounted[request.path_params["slug"]].sandbox.state())

    async def reset(request: Request) -> Response:
        mounted[request.path_params["slug"]].reset()
        return Response(status_code=204)

    async def requests(request: Request) -> Response:
        return _json({"requests": list(mounted[request.path_params["slug"]].requests)})

    async def arm(request: Request) -> Response:
        said = orjson.loads(await request.body())
        mounted[request.path_params["slug"]].arm(_FAULTS.validate_python(said if isinstance(said, list) else [said]))
        return Response(status_code=204)

    async def disarm(request: Request) -> Response:
        mounted[request.path_params["slug"]].faults.clear()
        return Response(status_code=204)

    yield Route("/", index)
    yield Route("/_state", everything)
    yield Route("/_state/{slug}", _known(state, mounted), methods=["GET"])
    yield Route("/_state/{slug}", _known(reset, mounted), methods=["DELETE"])
    yield Route("/_requests/{slug}", _known(requests, mounted), methods=["GET"])
    yield Route("/_faults/{slug}", _known(armed, mounted), methods=["GET"])
    yield Route("/_faults/{slug}", _known(arm, mounted), methods=["POST"])
    yield Route("/_faults/{slug}", _known(disarm, mounted), methods=["DELETE"])


def _index(mounted: dict[str, _Mounted]) -> str:
    """A page of links for people. All that it names is our own: nothing needs escaping."""
    rows = "".join(
        f"<tr><td>{each.connector.title}</td><td><a href='/_state/{slug}'>what it holds</a></td>"
        f"<td><a href='/_requests/{slug}'>what it was asked</a> ({len(each.requests)})</td>"
        f"<td><a href='/_faults/{slug}'>its faults</a></td></tr>"
        for slug, each in sorted(mounted.items())
    )
    readable = [slug for slug, each in mounted.items() if each.connector.smtp is not None]
    mails = " ".join(f"Mails are <a href='/{slug}/'>here to read</a>." for slug in readable)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Sandboxes</title><h1>Sandboxes</h1>"
        f"<p>Small fakes of the outside systems, in memory. {mails}</p>"
        f"<table>{rows}</table><h2>Faults</h2><p>Tell one what goes wrong from now on, and take it back:</p><pre>"
        "curl -X POST -d '{&quot;status&quot;: 503, &quot;times&quot;: 20}' "
        "&lt;this address&gt;/_faults/&lt;system&gt;\n"
        "curl -X DELETE &lt;this address&gt;/_faults/&lt;system&gt;</pre>"
    )


def _known(handler: Any, mounted: dict[str, _Mounted]) -> Any:
    """404 for a slug without a sandbox, 400 for a body that is no fault."""

    async def checked(request: Request) -> Response:
        slug = request.path_params["slug"]
        if slug not in mounted:
            return _json({"error": f"there is no sandbox {slug!r}; there are {', '.join(sorted(mounted))}"}, 404)
        try:
            answer = await handler(request)
        except (ValidationError, orjson.JSONDecodeError) as e:
            return _json({"error": str(e)[:2000]}, 400)
        return answer if isinstance(answer, Response) else Response(status_code=500)

    return checked


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        parts.append(part if size <= LARGEST_BODY else b"")
    return b"".join(parts)


def _is_secret(path: str) -> bool:
    return any(word in path for word in _SECRET_PATHS)


def _noted(request: Request, path: str, body: bytes) -> dict[str, Json]:
    """What is kept of a request: no credentials."""
    return {
        "method": request.method,
        "path": path + (f"?{request.url.query}" if request.url.query else ""),
        "headers": {name: value for name, value in request.headers.items() if not _SECRET_HEADER.search(name)},
        "body": "(credentials)" if _is_secret(path) else body[:KEPT_BODY].decode(errors="replace"),
    }


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then what the server says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _into(answer: list[Message]) -> Send:
    async def collect(message: Message) -> None:
        answer.append(message)

    return collect


async def _wait(seconds: float, receive: Receive | None) -> bool:
    """Wait; with `receive`, False as soon as the caller has gone."""
    if receive is None:
        await asyncio.sleep(seconds)
        return True
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return True
    return False


def _only_slow(fault: Fault) -> bool:
    return fault.status is None and fault.close is None and fault.huge is None and not fault.malformed


async def _close(when: Literal["before", "half"], scope: Scope, receive: Receive, send: Send) -> None:
    """Drop the connection for real. Outside a uvicorn server a ConnectionResetError stands for it."""
    cycle = getattr(scope["tradewind.send"], "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox dropped the connection")
    if when == "half":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"half": ', "more_body": True})
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _huge(size: int, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, size, len(_CHUNK)):
        await send({"type": "http.response.body", "body": _CHUNK[: size - start], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=str), status_code=status, media_type="application/json")
