"""Stopping and starting the flow: recipes and connections by hand."""

import asyncio
from typing import Literal

from app.errors import ConflictError, NotFoundError
from app.hub import REFRESH, Hub
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
_later: set[asyncio.Task[None]] = set()


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
            released = await store.release_held(db, workspace, name, hub.clock.now())
        await store.note_change(db, Deed(workspace, actor, verb, f"recipe/{name}", {"released": released}))
    await hub.recipes.refresh()
    if verb == "resume":
        hub.bells.ring("run", elsewhere=True)
        _release_the_late(hub, workspace, name)
    return released


def _release_the_late(hub: Hub, workspace: str, name: str) -> None:
    """Other processes may hold runs for as long as they believe that the recipe is paused: release those too."""

    async def again() -> None:
        for _ in range(3):
            await asyncio.sleep(2 * REFRESH)
            active = hub.recipes.find(workspace, name)
            if active is None or active.paused:
                return
            async with hub.database.begin() as db:
                released = await store.release_held(db, workspace, name, hub.clock.now())
            if released:
                hub.bells.ring("run", elsewhere=True)

    task = asyncio.create_task(again())
    _later.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[None]) -> None:
    _later.discard(task)
    if not task.cancelled():
        task.exception()


async def pause_connection(hub: Hub, workspace: str, slug: str, paused: bool, actor: str) -> None:
    """Send nothing to a connection until it is resumed; webhooks of it are still taken in. Raises NotFoundError."""
    connection = hub.connections.find(workspace, slug)
    if connection is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    verb = "pause" if paused else "resume"
    async with hub.database.begin() as db:
        await connections.set_paused(db, connection.id, paused)
        await store.note_change(db, Deed(workspace, actor, verb, f"connection/{slug}", {}))
    await hub.connections.refresh()
    hub.bells.ring(f"lane:{connection.id}", elsewhere=True)
