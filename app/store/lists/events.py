"""Events: the newest first, by what they are, where they came from, what answered them and what they bear; and in the
order in which they were written, for those who follow them."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.store.database import Connection, Row
from app.store.lists.where import FEW, Page, Where, in_workspace, named, of_connection, saying, types_of
from app.store.trace import time_in


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
    for by_text in (_named, _failed_saying, _stating):
        rows = await _events(db, workspace, page, wanted, by_text)
        if rows or not wanted.text:
            return rows
    return []


_ByText = Callable[[Where, str], str]
"""Adds its arguments, and answers a query for the ids of events that a text finds."""


async def _events(db: Connection, workspace: str, page: Page, wanted: EventFilter, by_text: _ByText) -> list[Row]:
    where = in_workspace("e", workspace)
    where.page(page, "e")
    _of_types(where, await types_of(db, workspace, wanted.type))
    if not await of_connection(db, where, "e", workspace, wanted.connection):
        return []
    if wanted.test is not None:
        where.conditions.append("e.test" if wanted.test else "not e.test")
    if wanted.recipe or wanted.state:
        await _answered(db, where, workspace, wanted)
    if wanted.text:
        where.conditions.append(f"e.id in ({by_text(where, wanted.text)})")
    return await db.fetch(f"{EVENT_FIELDS} where {where.sql()} order by e.id desc limit {page.limit + 1}", *where.args)


def _of_types(where: Where, types: list[str] | None) -> None:
    if types is not None and len(types) == 1:
        where.add("e.type = {}", types[0])
    else:
        where.add("e.type = any({})", types)


async def _answered(db: Connection, where: Where, workspace: str, wanted: EventFilter) -> None:
    """Ask for events with a run of this recipe, in this state: from the runs where those are few, else from events."""
    few = in_workspace("r", workspace)
    few.add("r.recipe = {}", wanted.recipe)
    few.add("r.state = {}", wanted.state)
    rows = await db.fetch(f"select r.event_id from run r where {few.sql()} limit {FEW + 1}", *few.args)
    if len(rows) <= FEW:
        ids = list({row["event_id"] for row in rows})
        where.add("e.id = any({})", ids)
        where.add("e.at >= {}", min(map(time_in, ids), default=None))
        return
    run = Where(where.args, ["r.event_id = e.id", "r.at >= e.at"])
    run.add("r.recipe = {}", wanted.recipe)
    run.add("r.state = {}", wanted.state)
    where.conditions.append(f"exists (select 1 from run r where {run.sql()})")


def _named(where: Where, text: str) -> str:
    return f"select n.id from event n where n.workspace = $1 and {named(where, text)}"


def _failed_saying(where: Where, text: str) -> str:
    said = saying(where, "f.reason", text)
    return f"select f.event_id from run f where f.workspace = $1 and f.state = 'failed' and {said}"


def _stating(where: Where, text: str) -> str:
    return (
        f"select n.id from event n where n.workspace = $1 and n.object_id = {where.arg(text.strip())} "
        "and n.object_id <> n.subject_id"
    )


# --- in the order in which they were written --------------------------------------------------------------------

_SETTLED = "e.written < pg_snapshot_xmin(pg_current_snapshot())::text::bigint + stream_offset()"
"""Rows that no transaction which is still open could be followed by: whatever commits later is written later."""


async def stream(
    db: Connection, workspace: str, after: tuple[int, UUID], limit: int, type_: str | None, connection: str | None
) -> list[Row]:
    """Events in the order in which they were written: who takes up after the last one read skips none, however long a
    transaction took. At most `limit` rows, with `written` beside each."""
    where = in_workspace("e", workspace)
    where.args += after
    where.conditions += ["(e.written, e.id) > ($2, $3)", _SETTLED]
    types = await types_of(db, workspace, type_)
    _of_types(where, types)
    if not await of_connection(db, where, "e", workspace, connection):
        return []
    if types is not None or connection is not None:
        await _name_few(db, where)
    query = EVENT_FIELDS.replace("select ", "select e.written, ", 1)
    return await db.fetch(f"{query} where {where.sql()} order by e.written, e.id limit {limit}", *where.args)


async def _name_few(db: Connection, where: Where) -> None:
    """Name the events where they are few: else all others would be passed on the way to each. Those that are not named
    were not settled, and are written behind them."""
    rows = await db.fetch(f"select e.id from event e where {where.sql()} limit {FEW + 1}", *where.args)
    if len(rows) <= FEW:
        ids = [row["id"] for row in rows]
        where.add("e.id = any({})", ids)
        where.add("e.at >= {}", min(map(time_in, ids), default=None))
