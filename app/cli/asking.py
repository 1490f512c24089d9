"""The one way in which commands ask a hub: over its API, wherever it is.

Named by TRADEWIND_URL (and TRADEWIND_KEY), a remote hub; else the `tradewind dev` of this home; else the same API
inside this process, on the database that the environment names, so that no other process need run.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from app.errors import ConfigError, TradewindError

if TYPE_CHECKING:
    import httpx

    from app.settings import Settings

T = TypeVar("T")
Client = Callable[..., Awaitable[Any]]
"""`await client(method, path, params=, body=)`: the answer's JSON. Raises RefusedError."""

TRIES = 5
TIMEOUT = 60
PAGE = 200
ALL = 1_000_000


class RefusedError(TradewindError):
    """The hub said no; `problem` is its problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        details = [f"{_meant(each['field'])}: {each['detail']}" for each in problem.get("errors") or []]
        super().__init__("\n".join([_sentence(problem.get("detail") or f"status {status}"), *details]))
        self.status = status
        self.problem = problem


def ask(method: str, path: str, *, workspace: str = "main", body: Any = None, **params: Any) -> Any:
    """One request; what it answers. Raises RefusedError, and ConfigError where no hub answers."""

    async def work(client: Client) -> Any:
        return await client(method, path, params=params, body=body)

    return asking(work, workspace)


def rows(path: str, limit: int, *, workspace: str = "main", **params: Any) -> list[dict[str, Any]]:
    """At most `limit` rows of a list, page by page."""

    return asking(lambda client: pages(client, path, limit, **params), workspace)


async def pages(client: Client, path: str, limit: int = ALL, **params: Any) -> list[dict[str, Any]]:
    """The same with a client that is there."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < limit:
        wanted = {**params, "limit": min(PAGE, limit - len(found)), "cursor": cursor}
        page = await client("GET", path, params=wanted)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    return found


def asking(work: Callable[[Client], Awaitable[T]], workspace: str = "main") -> T:
    """Do `work` with a client of the hub."""
    there = _there()
    if there is not None:
        import asyncio

        return asyncio.run(_remote(*there, workspace, work))
    from app.cli import session

    return session.on_servers(lambda settings: _inside(settings, workspace, work))


def address() -> str | None:
    """Where the hub is that is asked over the network; None where it is asked inside this process."""
    there = _there()
    return there[0] if there is not None else None


def _there() -> tuple[str, str] | None:
    """Address and key of a hub that runs."""
    url, key = os.environ.get("TRADEWIND_URL", ""), os.environ.get("TRADEWIND_KEY", "")
    if url:
        if not key:
            raise ConfigError("TRADEWIND_URL names a hub, and TRADEWIND_KEY no key for it: set both.")
        if not key.isascii() or not key.isprintable():
            raise ConfigError("TRADEWIND_KEY is no key: keys begin with tw_ and are plain text.")
        return url, key
    if os.environ.get("TRADEWIND_DATABASE_URL") and os.environ.get("TRADEWIND_REDIS_URL"):
        return None
    from app.running import find

    home = Path(os.environ.get("TRADEWIND_HOME", ".tradewind"))
    running, made = find(home), home / "admin.key"
    return (running.url, made.read_text().strip()) if running is not None and made.exists() else None


async def _remote(url: str, key: str, workspace: str, work: Callable[[Client], Awaitable[T]]) -> T:
    import httpx

    try:
        base = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as e:
        raise ConfigError(f"TRADEWIND_URL is no address: {url}.") from e
    if base.scheme not in ("http", "https") or not base.host:
        raise ConfigError(f"TRADEWIND_URL is no address: {url}. It begins with https:// or http://.")
    headers = _headers(key, workspace)
    try:
        async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT, trust_env=False, headers=headers) as http:
            return await work(_client(http))
    except httpx.TransportError as e:
        raise ConfigError(f"No Tradewind answers at {url}: {type(e).__name__}.") from e


async def _inside(settings: Settings, workspace: str, work: Callable[[Client], Awaitable[T]]) -> T:
    import asyncio

    import httpx

    headers = _headers("inside", workspace)
    async with _own_app(settings) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://inside", timeout=TIMEOUT, headers=headers
        ) as http:
            answer = await work(_client(http))
        await asyncio.gather(*app.state.hub.bells._tasks, return_exceptions=True)  # what was rung shall be on its way
        return answer


@asynccontextmanager
async def _own_app(settings: Settings) -> AsyncIterator[Any]:
    """The API in this process, which takes whoever may run this command for an admin."""
    from app.domain.keys import Caller
    from app.main import make_app

    class Everybody:
        async def check(self, key: str) -> Caller:
            return Caller("command line", frozenset({"admin"}), everywhere=True, id="command line")

    app = make_app(settings)
    async with app.router.lifespan_context(app):
        app.state.keys = Everybody()
        yield app


def _headers(key: str, workspace: str) -> dict[str, str]:
    if not workspace.isascii() or not workspace.isprintable():
        raise ConfigError(f"{workspace!r} is no workspace's name.")
    named = {} if workspace == "main" else {"tradewind-workspace": workspace}
    return {"authorization": f"Bearer {key}", "user-agent": "tradewind-cli", **named}


def _client(http: httpx.AsyncClient) -> Client:
    import asyncio

    async def client(method: str, path: str, *, params: Any = None, body: Any = None) -> Any:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        headers = {"idempotency-key": str(uuid.uuid4())} if method == "POST" else {}
        for number in range(TRIES):
            answer = await http.request(method, path, params=given, json=body, headers=headers)
            if answer.status_code not in (429, 503) or number == TRIES - 1:
                break
            pause = min(30.0, float(answer.headers.get("retry-after", 1)))
            if pause >= 1 and sys.stderr.isatty():
                sys.stderr.write(f"The hub is busy ({answer.status_code}): asked again in {pause:.0f} s.\n")
            await asyncio.sleep(pause)
        return _said(answer)

    return client


def _said(answer: httpx.Response) -> Any:
    try:
        said = answer.json() if answer.content else None
    except ValueError:
        said, foreign = None, True
    else:
        foreign = not answer.is_success and not isinstance(said, dict)
    if answer.is_success and not foreign:
        return said
    strange: Any = {"detail": f"{answer.url.host} answers {answer.status_code}, and not as a Tradewind does"}
    raise RefusedError(answer.status_code, strange if foreign else cast("dict[str, Any]", said))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _meant(field: str) -> str:
    """A field as a command's options name it: they do not know where it stands in the request."""
    return field.removeprefix("query.").removeprefix("body.")
