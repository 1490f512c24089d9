"""`/v1/runs/cancel`: many runs are stopped at once."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.auth import Replayer
from app.api.context import HubDep
from app.api.named import refuse_unknown
from app.byhand.floods import ManyCancelled, RunsWanted, cancel_many

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.post("/cancel", summary="Cancel many runs by a filter")
async def cancel_runs(
    caller: Replayer,
    hub: HubDep,
    wanted: RunsWanted,
    dry_run: Annotated[bool, Query(description="Only say what it would end.")] = False,
) -> ManyCancelled:
    """What is not sent will not be; what is being sent this moment is finished and recorded."""
    await refuse_unknown(
        caller, hub, connection=wanted.connection, recipe=wanted.recipe, type=wanted.type, within="body"
    )
    return await cancel_many(hub, caller.workspace, wanted, caller.name, dry_run=dry_run)
