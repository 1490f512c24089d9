"""Long work that people asked for, the newest first: replays of many events, and backtests. There are few of either."""

from dataclasses import dataclass

from app.store import backtests as tests
from app.store import replays as many
from app.store.database import Connection, Row
from app.store.lists.where import Page, Where, in_workspace, matching


@dataclass(frozen=True, slots=True)
class JobFilter:
    """state: of the job; type, connection: of the events that a replay takes; text: part of who asked for it, of what
    it looks for or of its error."""

    state: str | None = None
    recipe: str | None = None
    type: str | None = None
    connection: str | None = None
    text: str | None = None


async def replays(db: Connection, workspace: str, page: Page, wanted: JobFilter) -> list[Row]:
    where = _asked(workspace, page, wanted)
    where.conditions.append("j.options <> '{}'")
    where.add("(j.filter ->> 'recipe' = {} or j.options -> 'recipes' ? {})", wanted.recipe)
    where.add("j.filter ->> 'type' = {}", wanted.type)
    where.add("j.filter ->> 'connection' = {}", wanted.connection)
    said = "concat_ws(' ', j.actor, j.filter ->> 'text', j.filter ->> 'error')"
    where.add(f"{said} ilike {{}}", matching(wanted.text.strip()) if wanted.text else None)
    return await db.fetch(
        f"select {many.FIELDS} from replay j where {where.sql()} order by j.id desc limit {page.limit + 1}", *where.args
    )


async def backtests(db: Connection, workspace: str, page: Page, wanted: JobFilter) -> list[Row]:
    where = _asked(workspace, page, wanted)
    where.add("j.recipe = {}", wanted.recipe)
    said = "concat_ws(' ', j.actor, j.error)"
    where.add(f"{said} ilike {{}}", matching(wanted.text.strip()) if wanted.text else None)
    return await db.fetch(
        f"select {tests.FIELDS} from backtest j where {where.sql()} order by j.id desc limit {page.limit + 1}",
        *where.args,
    )


def _asked(workspace: str, page: Page, wanted: JobFilter) -> Where:
    where = in_workspace("j", workspace)
    where.page(page, "j")
    where.add("j.state = {}", wanted.state)
    return where
