"""Stopping and starting the flow: recipes and connections by hand."""

from typing import Literal

from app.errors import ConflictError, NotFoundError
from app.hub import Hub
from app.store import byhand as store
from app.store import connections, recipes
from app.store.byhand import Deed

RecipeVerb = Literal["pause", "resume", "enable", "disable"]

_CHANGES: dict[str, dict[str, bool]] = {
    "pause": {"paused": True},
    "resume": {"paused": False},
    "enable": {"enabled": True},
    "disable": {"enabled": False},
}
PAGE = 500
"""Held runs that are let go at once."""


async def set_recipe(hub: Hub, workspace: str, name: str, verb: RecipeVerb, actor: str) -> int:
    """Pause a recipe (its runs are made and held), resume it (held runs go on: answers how many), disable it (none are
    made) or enable it. Raises NotFoundError; ConflictError where its file says `enabled: false`."""
    active = hub.recipes.find(workspace, name)
    if verb == "enable" and active is not None and not active.recipe.enabled:
        raise ConflictError(f"the file of {name} itself says `enabled: false`; change it there")
    released = 0
    async with hub.database.begin() as db:
        if not await recipes.change(db, workspace, name, **_CHANGES[verb]):
            raise NotFoundError(f"there is no recipe {name!r}")
        if verb == "resume":
            released = await store.count_held(db, workspace, name)
        await store.note_change(db, Deed(workspace, actor, verb, f"recipe/{name}", {"released": released}))
    await hub.recipes.refresh()
    if verb == "resume":
        await release_page(hub, workspace, name)
        hub.bells.ring("held", elsewhere=True)
    return released


async def release_page(hub: Hub, workspace: str, name: str) -> bool:
    """Let the first held runs of a recipe go on; True when there may be more."""
    async with hub.database.transaction() as db:
        released = await store.release_held(db, workspace, name, hub.clock.now(), PAGE)
    if released:
        hub.bells.ring("run", elsewhere=True)
    return released == PAGE


async def release_held(hub: Hub) -> bool:
    """A worker's look for runs that are held by no paused recipe: it was resumed, and they are many, or a process that
    did not know it yet made them. True when there may be more."""
    async with hub.database.acquire() as db:
        recipes_holding = await store.holding(db)
    return any([await release_page(hub, workspace, name) for workspace, name in recipes_holding])


async def pause_connection(hub: Hub, workspace: str, slug: str, paused: bool, actor: str) -> None:
    """Send nothing to a connection until it is resumed; webhooks of it are still taken in. Raises NotFoundError."""
    connection = hub.connections.find(workspace, slug)
    if connection is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    async with hub.database.begin() as db:
        await connections.set_paused(db, connection.id, paused)
        await store.note_change(db, Deed(workspace, actor, _verb(paused), f"connection/{slug}", {}))
    await hub.connections.refresh()
    hub.bells.ring(f"lane:{connection.id}", elsewhere=True)


async def pause_lane(hub: Hub, workspace: str, slug: str, paused: bool, actor: str) -> None:
    """Hold the line of calls of a connection, whatever becomes of the connection meanwhile, until the lane itself is
    resumed. Raises NotFoundError."""
    connection = hub.connections.find(workspace, slug)
    if connection is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    async with hub.database.begin() as db:
        await connections.set_lane_paused(db, connection.id, paused)
        await store.note_change(db, Deed(workspace, actor, _verb(paused), f"lane/{slug}", {}))
    hub.bells.ring(f"lane:{connection.id}", elsewhere=True)


def _verb(paused: bool) -> str:
    return "pause" if paused else "resume"
