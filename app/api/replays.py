"""`/v1/replays`: many events run recipes again, by a filter, with a preview, at a pace."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Reader, Replayer
from app.api.context import HubDep, Listed, PageDep, RowId, listed
from app.api.named import refuse_unknown, refuse_unknown_recipes
from app.byhand.replays import (
    ManyReplay,
    ReplayFilter,
    ReplayOptions,
    State,
    Verb,
    create_replay,
    get_replay,
    set_replay,
    shown,
)
from app.domain.keys import Caller
from app.hub import Hub
from app.store import lists, replays
from app.store.lists import JobFilter

router = APIRouter(prefix="/v1/replays", tags=["replays"])


class NewReplay(BaseModel):
    """Which events, and how."""

    model_config = ConfigDict(extra="forbid")

    filter: Annotated[ReplayFilter, Field(default_factory=ReplayFilter)]
    options: Annotated[ReplayOptions, Field(default_factory=ReplayOptions)]


@router.post("", status_code=201, summary="Make a replay of many events")
async def make(caller: Replayer, hub: HubDep, wanted: NewReplay) -> ManyReplay:
    """It does nothing until it is started; let it `preview` first. Effects that exist are never done again, unless
    `redo` names them."""
    named = wanted.filter
    await refuse_unknown(
        caller, hub, connection=named.connection, recipe=named.recipe, type=named.type, within="body.filter"
    )
    await refuse_unknown_recipes(caller, hub, wanted.options.recipes or (), "body.options.recipes")
    return await create_replay(hub, caller.workspace, wanted.filter, wanted.options, caller.name)


@router.get("", summary="List replays of many events")
async def list_replays(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    state: Annotated[State | None, Query(description="How the replay stands.")] = None,
    recipe: Annotated[str | None, Query(description="That takes this recipe's runs, or runs this recipe.")] = None,
    type: Annotated[str | None, Query(description="That takes events of this type, as its filter says it.")] = None,
    connection: Annotated[str | None, Query(description="That takes events of this connection.")] = None,
    q: Annotated[
        str | None, Query(description="Part of who made it, or of the text or error that it takes.", max_length=200)
    ] = None,
) -> Listed[ManyReplay]:
    """Newest first; `since` and `until` bound when they were made."""
    async with hub.database.looking() as db:
        rows = await lists.replays(db, caller.workspace, page, JobFilter(state, recipe, type, connection, q))
        states = await replays.states_of_runs(db, [row["id"] for row in rows[: page.limit]])
    if not rows:
        await refuse_unknown(caller, hub, connection=connection, recipe=recipe, type=type)
    return listed(rows, page.limit, lambda row: shown(row, states[row["id"]]))


@router.get("/{id}", summary="Get a replay: its preview, progress and report")
async def get(caller: Reader, hub: HubDep, id: RowId) -> ManyReplay:
    return await get_replay(hub, caller.workspace, id)


@router.post("/{id}/preview", summary="Count what a replay would do")
async def preview(caller: Replayer, hub: HubDep, id: RowId) -> ManyReplay:
    """Counted by a worker: ask for the replay until it is `previewed`."""
    return await _set(hub, caller, id, "preview")


@router.post("/{id}/start", summary="Start a replay")
async def start(caller: Replayer, hub: HubDep, id: RowId) -> ManyReplay:
    return await _set(hub, caller, id, "start")


@router.post("/{id}/pause", summary="Pause a replay: no further runs are begun")
async def pause(caller: Replayer, hub: HubDep, id: RowId) -> ManyReplay:
    return await _set(hub, caller, id, "pause")


@router.post("/{id}/resume", summary="Resume a paused replay")
async def resume(caller: Replayer, hub: HubDep, id: RowId) -> ManyReplay:
    return await _set(hub, caller, id, "resume")


@router.post("/{id}/cancel", summary="Cancel a replay: no further runs are begun")
async def cancel(caller: Replayer, hub: HubDep, id: RowId) -> ManyReplay:
    """Runs that it began go on; `POST /v1/runs/cancel` with `replay` ends those."""
    return await _set(hub, caller, id, "cancel")


async def _set(hub: Hub, caller: Caller, replay_id: UUID, verb: Verb) -> ManyReplay:
    return await set_replay(hub, caller.workspace, replay_id, verb, caller.name)
