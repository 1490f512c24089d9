"""`/v1/backtests`: what a version of a recipe would have done with the events of the past."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.api.auth import Reader, RecipeKeeper
from app.api.context import HubDep, Listed, PageDep, RowId, listed, secrets_of
from app.api.named import refuse_unknown
from app.byhand.backtests import BacktestJob, NewBacktest, cancel_backtest, create_backtest, get_backtest, shown
from app.store import lists
from app.store.lists import JobFilter, Page
from app.trace import without

router = APIRouter(prefix="/v1/backtests", tags=["recipes"])


@router.post("", status_code=201, summary="Start a backtest of a recipe")
async def start_backtest(caller: RecipeKeeper, hub: HubDep, wanted: NewBacktest) -> BacktestJob:
    """A worker runs the stored events through the version, and through another where one is named; nothing is sent.
    Ask for it until it is `done`. A span that retention has cut is refused (400)."""
    return await create_backtest(hub, caller.workspace, wanted, caller.name)


@router.get("", summary="List backtests")
async def list_backtests(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    recipe: Annotated[str | None, Query(description="Only of this recipe.", max_length=100)] = None,
    state: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None, Query(description="How it stands.")
    ] = None,
    q: Annotated[str | None, Query(description="Part of who started it, or of its error.", max_length=200)] = None,
) -> Listed[BacktestJob]:
    """Newest first; `since` and `until` bound when they were started."""
    async with hub.database.looking() as db:
        rows = await lists.backtests(db, caller.workspace, page, JobFilter(state, recipe, text=q))
        known = rows or recipe is None or await lists.backtests(db, caller.workspace, Page(1), JobFilter(recipe=recipe))
    if not known:
        await refuse_unknown(caller, hub, recipe=recipe)
    secrets = secrets_of(hub, caller.workspace)
    return listed(rows, page.limit, lambda row: without(shown(row), secrets))


@router.get("/{id}", summary="Get a backtest: its progress and report")
async def read_backtest(caller: Reader, hub: HubDep, id: RowId) -> BacktestJob:
    return without(await get_backtest(hub, caller.workspace, id), secrets_of(hub, caller.workspace))


@router.post("/{id}/cancel", summary="Cancel a backtest")
async def end_backtest(caller: RecipeKeeper, hub: HubDep, id: RowId) -> BacktestJob:
    """It ends within a second or two; what it found so far is not kept."""
    return await cancel_backtest(hub, caller.workspace, id, caller.name)
