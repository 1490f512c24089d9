"""Stopping and starting the flow: recipes and connections by hand."""

from typing import Literal

from app.byhand.held import release_page
from app.errors import ConflictError, NotFoundError
from app.hub import Hub
from app.store.byhand import Deed
from app.store.changes import connections, recipes
from app.store.changes.audit import note_change

RecipeVerb = Literal["pause", "resume", "enable", "disable"]

_CHANGES: dict[str, dict[str, bool]] = {
    "pause": {"paused": True},
    "resume": {"paused": False},
    "enable": {"enabled": True},
    "disable": {"enabled": False},
}


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
            released = await recipes.count_held(db, workspace, name)
        await note_change(db, Deed(workspace, actor, verb, f"recipe/{name}", {"released": released}))
    await hub.recipes.refresh()
    if verb == "resume":
        await release_page(hub, workspace, name)
        hub.bells.ring("held", elsewhere=True)
    return released


async def pause_connection(hub: Hub, workspace: str, slug: str, paused: bool, actor: str) -> None:
    """Send nothing to a connection until it is resumed; webhooks of it are still taken in. Raises NotFoundError."""
    connection = hub.connections.find(workspace, slug)
    if connection is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    async with hub.database.begin() as db:
        await connections.set_paused(db, connection.id, paused)
        await note_change(db, Deed(workspace, actor, _verb(paused), f"connection/{slug}", {}))
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
        await note_change(db, Deed(workspace, actor, _verb(paused), f"lane/{slug}", {}))
    hub.bells.ring(f"lane:{connection.id}", elsewhere=True)


def _verb(paused: bool) -> str:
    return "pause" if paused else "resume"
