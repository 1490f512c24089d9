"""Runs, the newest first."""

from dataclasses import dataclass
from uuid import UUID

from app.store.database import Connection, Row
from app.store.lists.where import (
    THE_RUN,
    Page,
    Where,
    among,
    both,
    few,
    in_workspace,
    named,
    newest_of,
    of_connection,
    saying,
    types_of,
)
from app.store.trace import RUN_FIELDS


@dataclass(frozen=True, slots=True)
class RunFilter:
    """connection: that the event came from. type: the event's type; may end in `*`."""

    recipe: str | None = None
    state: str | None = None
    connection: str | None = None
    type: str | None = None
    event_id: UUID | None = None
    text: str | None = None


async def runs(db: Connection, workspace: str, page: Page, wanted: RunFilter) -> list[Row]:
    """Text finds the order number, e-mail address or sender's id of the event; where none is found, part of a failed
    run's error."""
    for by_error in (False, True):
        rows = await _runs(db, workspace, page, wanted, by_error)
        if rows or not wanted.text:
            return rows
    return []


async def _runs(db: Connection, workspace: str, page: Page, wanted: RunFilter, by_error: bool) -> list[Row]:
    where = in_workspace("r", workspace)
    where.page(page, "r")
    where.add("r.recipe = {}", wanted.recipe)
    where.add("r.state = {}", wanted.state)
    where.add("r.event_id = {}", wanted.event_id)
    if not await of_connection(db, where, "r", workspace, wanted.connection):
        return []
    types = await types_of(db, workspace, wanted.type)
    sets = [] if types is None else [await _of_types(db, where, workspace, types, wanted.connection)]
    if wanted.text and by_error:
        where.conditions += ["r.state = 'failed'", saying(where, "r.reason", wanted.text)]
    elif wanted.text:
        sets.append(await _named(db, where, workspace, wanted.text))
    ids = None
    if (events := both(sets)) is not None:
        ids = await newest_of(db, "run", where, "r.event_id", events, page.limit)
    join = among(where, ids, THE_RUN)
    return await db.fetch(
        f"{RUN_FIELDS} {join} where {where.sql()} order by r.id desc limit {page.limit + 1}", *where.args
    )


async def _of_types(
    db: Connection, where: Where, workspace: str, types: list[str], connection: str | None
) -> set[UUID] | None:
    """Ask for runs that answer events of these types: from the events where those are few, else from runs."""
    events = in_workspace("e", workspace)
    events.one_of("e.type", types)
    await of_connection(db, events, "e", workspace, connection)
    ids = await few(db, f"select e.id from event e where {events.sql()}", *events.args)
    if ids is None:
        where.add("exists (select 1 from event e where e.id = r.event_id and e.type = any({}))", types)
    return ids


async def _named(db: Connection, where: Where, workspace: str, text: str) -> set[UUID] | None:
    """Ask for runs that answer events which bear a text."""
    events = in_workspace("e", workspace)
    events.conditions.append(named(events, text, "e"))
    ids = await few(db, f"select e.id from event e where {events.sql()}", *events.args)
    if ids is None:
        borne = named(where, text, "e")
        where.conditions.append(f"r.event_id in (select e.id from event e where e.workspace = $1 and {borne})")
    return ids
