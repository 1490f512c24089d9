"""The runs of paused recipes, let go a page at a time once these are resumed."""

from app.hub import Hub
from app.store import byhand as store

PAGE = 500
"""Held runs that are let go at once."""


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
