"""Events: the newest first, by what they are, where they came from, what answered them and what they bear; and in the
order in which they were written, for those who follow them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from app.store.database import Connection, Row
from app.store.lists.where import (
    THE_EVENT,
    Page,
    Where,
    among,
    both,
    few,
    in_workspace,
    named,
    newest,
    newest_of,
    of_connection,
    saying,
    types_of,
)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """`type` may end in `*`. recipe: answered by it; state: a run of the event (of that recipe) stands so."""

    type: str | None = None
    connection: str | None = None
    recipe: str | None = None
    state: str | None = None
    test: bool | None = None
    text: str | None = None


EVENT_FIELDS = """
select e.id, e.at, e.type, c.slug as connection, e.object_kind, e.object_id, e.subject_kind, e.subject_id,
    e.occurred_at, e.number, e.email, e.test, e.historical, e.note, e.echo, e.webhook_id
from event e left join connection c on c.id = e.connection_id
"""


async def events(db: Connection, workspace: str, page: Page, wanted: EventFilter) -> list[Row]:
    """Text finds an order number, an e-mail address or a sender's id of the subject; where none is found, part of a
    failed run's error; else a sender's id of the object."""
    for find in (_named, _failed_saying, _stating):
        rows = await _events(db, workspace, page, wanted, find)
        if rows or not wanted.text:
            return rows
    return []


_Find = Callable[[Connection, Where, str, EventFilter], Awaitable[set[UUID] | None]]
"""(db, where, workspace, wanted): asks for the events that its text finds, or answers their ids."""


async def _events(db: Connection, workspace: str, page: Page, wanted: EventFilter, find: _Find) -> list[Row]:
    where = in_workspace("e", workspace)
    where.page(page, "e")
    if not await of_connection(db, where, "e", workspace, wanted.connection):
        return []
    types, sets = await types_of(db, workspace, wanted.type), []
    if types is not None:
        where.one_of("e.type", types)
        if len(types) > 1 and wanted.connection is not None:
            sets.append(await few(db, f"select e.id from event e where {where.sql()}", *where.args))
    if wanted.test is not None:
        where.conditions.append("e.test" if wanted.test else "not e.test")
    if wanted.recipe or wanted.state:
        sets.append(await _answered(db, where, workspace, wanted))
    if wanted.text:
        sets.append(await find(db, where, workspace, wanted))
    if (candidates := both(sets)) is not None:
        return await newest(page.part_of(candidates), page.limit, partial(_among, db, page, where))
    return await _fetch(db, page, where, None)


async def _among(db: Connection, page: Page, where: Where, ids: Sequence[UUID]) -> list[Row]:
    if len(ids) > 4 * page.limit:
        ids = await newest_of(db, "event", where, "e.id", ids, page.limit)
    return await _fetch(db, page, where, ids)


async def _fetch(db: Connection, page: Page, where: Where, ids: Sequence[UUID] | None) -> list[Row]:
    asked = Where(list(where.args), where.conditions)
    join = among(asked, ids, THE_EVENT)
    return await db.fetch(
        f"{EVENT_FIELDS} {join} where {asked.sql()} order by e.id desc limit {page.limit + 1}", *asked.args
    )


async def _answered(db: Connection, where: Where, workspace: str, wanted: EventFilter) -> set[UUID] | None:
    """Ask for events with a run of this recipe, in this state: from the runs where those are few, else from events."""
    runs = in_workspace("r", workspace)
    runs.add("r.recipe = {}", wanted.recipe)
    runs.add("r.state = {}", wanted.state)
    await of_connection(db, runs, "r", workspace, wanted.connection)
    ids = await few(db, f"select r.event_id from run r where {runs.sql()}", *runs.args)
    if ids is None:
        run = Where(where.args, ["r.event_id = e.id", "r.at >= e.at"])
        run.add("r.recipe = {}", wanted.recipe)
        run.add("r.state = {}", wanted.state)
        where.conditions.append(f"exists (select 1 from run r where {run.sql()})")
    return ids


async def _named(db: Connection, where: Where, workspace: str, wanted: EventFilter) -> set[UUID] | None:
    text, ids = wanted.text or "", None
    if wanted.recipe or wanted.state:
        events = in_workspace("e", workspace)
        events.conditions.append(named(events, text, "e"))
        ids = await few(db, f"select e.id from event e where {events.sql()}", *events.args)
    if ids is None:
        where.conditions.append(named(where, text, "e"))
    return ids


async def _failed_saying(db: Connection, where: Where, workspace: str, wanted: EventFilter) -> set[UUID] | None:
    text = wanted.text or ""
    failed = in_workspace("f", workspace)
    failed.conditions += ["f.state = 'failed'", saying(failed, "f.reason", text)]
    await of_connection(db, failed, "f", workspace, wanted.connection)
    ids = await few(db, f"select f.event_id from run f where {failed.sql()}", *failed.args)
    if ids is None:
        failed.args, failed.conditions = where.args, ["f.event_id = e.id", "f.at >= e.at", "f.state = 'failed'"]
        failed.conditions.append(saying(failed, "f.reason", text))
        where.conditions.append(f"exists (select 1 from run f where {failed.sql()})")
    return ids


async def _stating(db: Connection, where: Where, workspace: str, wanted: EventFilter) -> None:
    where.add("e.object_id = {} and e.object_id <> e.subject_id", (wanted.text or "").strip())


# --- in the order in which they were written --------------------------------------------------------------------

_SETTLED = "e.written < pg_snapshot_xmin(pg_current_snapshot())::text::bigint + stream_offset()"
"""Rows that no transaction which is still open could be followed by: whatever commits later is written later."""


_NEAR_END = """
select e.written, e.id from event e where e.workspace = $1 and (e.written, e.id) > ($2, $3)
order by e.written, e.id offset 1000 limit 1
"""
"""How far a follower looks at each event before those are looked for that are asked for."""


async def stream(
    db: Connection, workspace: str, after: tuple[int, UUID], limit: int, type_: str | None, connection: str | None
) -> list[Row]:
    """Events in the order in which they were written: who takes up after the last one read skips none, however long a
    transaction took. At most `limit` rows, with `written` beside each."""
    where = in_workspace("e", workspace)
    where.args += after
    where.conditions += ["(e.written, e.id) > ($2, $3)", _SETTLED]
    types = await types_of(db, workspace, type_)
    if types is not None:
        where.one_of("e.type", types)
    if not await of_connection(db, where, "e", workspace, connection):
        return []
    query = EVENT_FIELDS.replace("select ", "select e.written, ", 1)

    async def fetch(asked: Where, ids: set[UUID] | None) -> list[Row]:
        join = among(asked, ids, THE_EVENT)
        return await db.fetch(f"{query} {join} where {asked.sql()} order by e.written, e.id limit {limit}", *asked.args)

    if types is None and connection is None:
        return await fetch(where, None)
    end = await db.fetchrow(_NEAR_END, workspace, *after)
    if end is not None:
        near = Where(list(where.args), list(where.conditions))
        near.conditions.append(f"(e.written, e.id) <= ({near.arg(end['written'])}, {near.arg(end['id'])})")
        rows = await fetch(near, None)
        if len(rows) == limit:
            return rows
    # else all others would be passed on the way to each of a few
    return await fetch(where, await few(db, f"select e.id from event e where {where.sql()}", *where.args))
