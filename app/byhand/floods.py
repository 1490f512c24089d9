"""Many runs are cancelled at once, by a filter, after a look at what that would leave undone."""

import asyncio
from datetime import timedelta
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.byhand.runs import PATIENCE
from app.byhand.texts import PlainText
from app.errors import MalformedError, NotFoundError
from app.hub import Hub
from app.store import byhand as audit
from app.store import floods as store
from app.store import replays, runs
from app.store.byhand import Deed
from app.store.database import Connection, to_json

PAGE = 200
AT_MOST = timedelta(seconds=20)
"""How long one request goes on; what is left then is said."""


class RunsWanted(BaseModel):
    """Which open runs; all conditions hold at once, and there must be one."""

    model_config = ConfigDict(extra="forbid")

    recipe: PlainText | None = None
    state: Literal["running", "waiting", "held"] | None = None
    connection: PlainText | None = Field(None, description="Slug of the connection that the event came from.")
    type: PlainText | None = Field(None, description="Type of the event.")
    replay: UUID | None = Field(None, description="Runs that this replay began.")
    since: AwareDatetime | None = Field(None, description="Runs that began from this moment on.")
    until: AwareDatetime | None = Field(None, description="... and before this one.")


class ManyCancelled(BaseModel):
    """What a cancel of many ended, or in a preview would end."""

    dry_run: bool
    runs: int
    calls: int = Field(description="Calls that will not be sent.")
    done: int = Field(description="Calls of these runs that were made before; nothing undoes them.")
    in_flight: int = Field(description="Runs with a call that is being sent this moment; it is recorded as it ends.")
    left: bool = Field(description="There are more: ask again.")


async def cancel_many(hub: Hub, workspace: str, wanted: RunsWanted, actor: str, *, dry_run: bool) -> ManyCancelled:
    """End the open runs that a filter finds. Raises MalformedError for a filter that asks for nothing, NotFoundError
    for an unknown connection."""
    if not wanted.model_dump(exclude_none=True):
        raise MalformedError("say which runs: at least one of recipe, state, connection, type, replay, since, until")
    async with hub.database.transaction() as db:
        found = await _resolved(db, workspace, wanted)
        seen = await store.preview(db, found)
        if not dry_run:
            detail = {"filter": wanted.model_dump(mode="json", exclude_none=True), "runs": seen["runs"]}
            await audit.note(db, Deed(workspace, actor, "cancel", "runs", {}), to_json(detail))
    if dry_run:
        return ManyCancelled(dry_run=True, **dict(seen), in_flight=0, left=False)
    ended, flying, left = await _by_pages(hub, found, f"cancelled by {actor}")
    flying = await _wait_for(hub, flying)
    return ManyCancelled(
        dry_run=False, runs=ended, calls=seen["calls"], done=seen["done"], in_flight=len(flying), left=left
    )


async def _resolved(db: Connection, workspace: str, wanted: RunsWanted) -> store.OpenRuns:
    connections = None
    if wanted.connection is not None:
        connections = await replays.connections_named(db, workspace, wanted.connection)
        if not connections:
            raise NotFoundError(f"there is no connection {wanted.connection!r}")
    states = (wanted.state,) if wanted.state else store.OPEN
    return store.OpenRuns(
        workspace, states, wanted.recipe, connections, wanted.type, wanted.replay, wanted.since, wanted.until
    )


async def _by_pages(hub: Hub, wanted: store.OpenRuns, reason: str) -> tuple[int, set[UUID], bool]:
    """(runs ended, those with a call under way, whether time ran out)."""
    ended, flying, after = 0, set[UUID](), replays.FIRST
    until = hub.clock.now() + AT_MOST
    while hub.clock.now() < until:
        now = hub.clock.now()
        async with hub.database.transaction() as db:
            ids = await store.page(db, wanted, after, PAGE)
            if not ids:
                return ended, flying, False
            gone = await store.end_runs(db, ids, reason, now)
            flying |= await runs.cancel_calls(db, ids)
            await runs.wake_next(db, [(r["workspace"], r["recipe"], r["subject"], r["event_id"]) for r in gone], now)
        ended, after = ended + len(gone), ids[-1]
    return ended, flying, True


async def _wait_for(hub: Hub, flying: set[UUID]) -> set[UUID]:
    """Stop the repeats of what was being sent; answers the runs of which something still is."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while flying and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.1)
        async with hub.database.transaction() as db:
            flying = await runs.cancel_calls(db, sorted(flying))
    return flying
