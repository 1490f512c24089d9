"""Keys that are limited to connections: what they may open, and that it is of those connections. All else is refused.

Such a key sees what came in by its connections, with all that followed from it, and acts on that. A route that is not
named here is of the whole workspace and refuses it: a new route is closed until somebody says how it is narrowed.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from starlette.requests import Request

from app.domain.keys import Caller
from app.errors import NotFoundError
from app.hub import Hub
from app.store import origins

Origin = Callable[[Hub, str, str], Awaitable[UUID | None]]
"""(hub, workspace, what the address names) -> the connection that it came from."""


async def _connection(hub: Hub, workspace: str, slug: str) -> UUID | None:
    found = hub.connections.find(workspace, slug)
    return found.id if found else None


def _stored(query: Callable[..., Awaitable[UUID | None]]) -> Origin:
    async def origin(hub: Hub, workspace: str, named: str) -> UUID | None:
        async with hub.database.acquire() as db:
            return await query(db, workspace, named)

    return origin


_event = _stored(origins.of_event_or_webhook)
_run = _stored(origins.of_run)
_effect = _stored(origins.of_effect)

LISTS = frozenset({"/v1/events", "/v1/runs", "/v1/webhooks"})
"""Lists that can be narrowed by `connection`: such a key must name one of its own."""
THINGS: dict[str, tuple[str, Origin]] = {
    "/v1/events/{id}": ("id", _event),
    "/v1/events/{id}/raw": ("id", _event),
    "/v1/events/{id}/replay": ("id", _event),
    "/v1/runs/{id}": ("id", _run),
    "/v1/runs/{id}/retry": ("id", _run),
    "/v1/runs/{id}/cancel": ("id", _run),
    "/v1/runs/{id}/approve": ("id", _run),
    "/v1/effects/{key}/answer": ("key", _effect),
    "/v1/connections/{slug}": ("slug", _connection),
    "/v1/connections/{slug}/health": ("slug", _connection),
    "/v1/connections/{slug}/oauth/start": ("slug", _connection),
    "/v1/connections/{slug}/pause": ("slug", _connection),
    "/v1/connections/{slug}/resume": ("slug", _connection),
    "/v1/connections/{slug}/test": ("slug", _connection),
}
"""Route -> the parameter that names a thing, and where that came from."""


async def allows(request: Request, caller: Caller, hub: Hub) -> str | None:
    """None if a limited key may go on, else the sentence that refuses it. Raises NotFoundError for what is of another
    connection, as for what is not there."""
    limits = caller.connections or frozenset()
    route = getattr(request.scope.get("route"), "path", "")
    if route in LISTS and request.method == "GET":
        slugs = request.query_params.getlist("connection")
        async with hub.database.acquire() as db:
            meant = await origins.of_slugs(db, caller.workspace, slugs)
        if slugs and meant and meant <= limits:
            return None
        mine = sorted(each.slug for each in hub.connections if each.id in limits)
        return f"This key is limited to connections: name one in `connection`, of {', '.join(mine)}."
    if route not in THINGS or request.method in ("PUT", "PATCH", "DELETE"):
        return "This key is limited to connections, and this is of the whole workspace."
    name, origin = THINGS[route]
    if await origin(hub, caller.workspace, request.path_params[name]) not in limits:
        raise NotFoundError("there is no such thing at the connections of this key")
    return None
