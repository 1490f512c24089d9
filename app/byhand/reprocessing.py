"""Kept webhooks that nobody understood are read once more, after a fix."""

from typing import Literal

from app.errors import NotFoundError
from app.hub import Hub
from app.store import byhand, webhooks
from app.store.byhand import Deed
from app.store.database import to_json

Misunderstood = Literal["unknown", "malformed"]


async def reprocess(hub: Hub, workspace: str, state: Misunderstood, slug: str | None, actor: str) -> int:
    """Make webhooks due again; answers how many. A fact that is an event already stays that one event."""
    connection = hub.connections.find(workspace, slug) if slug is not None else None
    if slug is not None and connection is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    async with hub.database.transaction() as db:
        count = await webhooks.reprocess(db, workspace, [state], connection.id if connection else None)
        detail = {"state": state, "connection": slug, "webhooks": count}
        await byhand.note(db, Deed(workspace, actor, "reprocess", "webhooks", {}), to_json(detail))
    hub.bells.ring("normalise", elsewhere=True)
    return count
