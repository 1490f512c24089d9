"""`/v1/runs`: recipes at work, their steps, calls and attempts; retry and cancel."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.auth import Reader, Replayer
from app.api.context import HubDep, Listed, PageDep, RowId, Text, listed, secrets_of
from app.api.named import refuse_unknown
from app.byhand import Approval, Approved, Cancelled, Retried, approve, cancel, retry
from app.errors import NotFoundError
from app.store import lists
from app.store.lists import RunFilter
from app.trace import run_detail, without
from app.trace.shapes import Run, RunDetail

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.get("", summary="List runs")
async def list_runs(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    recipe: Annotated[str | None, Query(description="Name of the recipe.")] = None,
    state: Literal["running", "waiting", "held", "done", "failed", "cancelled"] | None = None,
    connection: Annotated[str | None, Query(description="Slug of the connection that the event came from.")] = None,
    type: Annotated[str | None, Query(description="Type of the event, or a family: `order.*`.", max_length=100)] = None,
    event: Annotated[UUID | None, Query(description="Id of the event.")] = None,
    q: Text = None,
) -> Listed[Run]:
    """Newest first. `q` finds the event's order number, e-mail address or sender's id, or part of the run's error."""
    wanted = RunFilter(recipe, state, connection, type, event, q)
    async with hub.database.looking() as db:
        rows = await lists.runs(db, caller.workspace, page, wanted)
    if not rows:
        await refuse_unknown(caller, hub, connection=connection, recipe=recipe, type=type)
    return listed(rows, page.limit, lambda row: Run(**row))


@router.get("/{id}", summary="Get a run with its steps, calls and attempts")
async def get_run(caller: Reader, hub: HubDep, id: RowId) -> RunDetail:
    found = await run_detail(hub.database, caller.workspace, id)
    if found is None:
        raise NotFoundError("there is no such run; perhaps it expired")
    return without(found, secrets_of(hub, caller.workspace))


@router.post("/{id}/retry", summary="Let a failed run go on from its failed step")
async def retry_run(caller: Replayer, hub: HubDep, id: RowId) -> Retried:
    """Dead calls are tried anew; what was done stays done. Refused (409) where a repeat could double an effect that
    nobody is sure of."""
    return await retry(hub, caller.workspace, id, caller.name)


@router.post("/{id}/cancel", summary="Cancel a run")
async def cancel_run(caller: Replayer, hub: HubDep, id: RowId) -> Cancelled:
    """What is not sent will not be; what is being sent this moment is finished and recorded."""
    return await cancel(hub, caller.workspace, id, caller.name)


@router.post("/{id}/approve", summary="Answer a run that asks a person")
async def approve_run(caller: Replayer, hub: HubDep, id: RowId, said: Approval) -> Approved:
    """Approve or decline; the run goes on by the answer, and its recipe reads who gave it, and the note."""
    return await approve(hub, caller.workspace, id, said, caller.name)
