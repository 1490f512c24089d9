"""Effects, by the newest call."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from app.store.database import Connection, Row
from app.store.lists.where import (
    THE_CALL,
    Where,
    among,
    few,
    first_id,
    in_workspace,
    matching,
    named,
    newest,
    saying,
)
from app.store.trace import time_in

EFFECT_FIELDS = """
select e.key, e.state, e.call_id, e.label, e.doubled, e.at, e.ended_at, a.state as call_state, a.question, a.error,
    a.run_id, a.event_id, a.recipe, a.path, a.action, c.slug as connection
from effect e left join call a on a.id = e.call_id left join connection c on c.id = a.connection_id
"""

_CALLS_FOR = """
select l.id from call l where l.workspace = $1 and l.at >= $3 and l.run_id = any(array(
    select r.id from run r where r.workspace = $1 and r.event_id = any($2) and r.at >= $3))
"""


@dataclass(frozen=True, slots=True)
class EffectFilter:
    """connection: at which it was made. It, recipe and action are those of the call, as long as that is kept."""

    state: str | None = None
    connection: str | None = None
    recipe: str | None = None
    action: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def effects(
    db: Connection, workspace: str, before: tuple[UUID, bytes] | None, limit: int, wanted: EffectFilter
) -> list[Row]:
    """With a row more than `limit` where there are more. Text finds the order number, e-mail address or sender's id of
    the event; where none is found, part of the call's error."""
    for by_error in (False, True):
        rows = await _effects(db, workspace, before, limit, wanted, by_error)
        if rows or not wanted.text:
            return rows
    return []


async def numbers(db: Connection, event_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The order numbers of events, of those that bear one."""
    ids = list(set(event_ids))
    if not ids:
        return {}
    rows = await db.fetch(
        "select id, number from event where id = any($1) and at >= $2 and number is not null",
        ids,
        min(map(time_in, ids)),
    )
    return {row["id"]: row["number"] for row in rows}


async def _effects(
    db: Connection,
    workspace: str,
    before: tuple[UUID, bytes] | None,
    limit: int,
    wanted: EffectFilter,
    by_error: bool,
) -> list[Row]:
    where = in_workspace("e", workspace)
    if before is not None:
        place = [where.arg(part) for part in before]
        where.conditions.append(f"(e.call_id, e.key) < ({place[0]}, {place[1]})")
    where.add("e.call_id >= {}", first_id(wanted.since))
    where.add("e.call_id < {}", first_id(wanted.until))
    await _in_state(db, where, workspace, wanted.state)
    if not await _of_call(db, where, workspace, wanted):
        return []
    ids = None
    if wanted.text and by_error:
        ids = await _failed_saying(db, where, workspace, wanted.text)
        where.conditions.append("e.mark is not null")
    elif wanted.text:
        ids = await _named(db, where, workspace, wanted.text)
    if ids is not None:
        part = ids if before is None else {each for each in ids if each <= before[0]}
        return await newest(part, limit, partial(_fetch, db, limit, where))
    return await _fetch(db, limit, where, None)


async def _fetch(db: Connection, limit: int, where: Where, ids: Sequence[UUID] | None) -> list[Row]:
    asked = Where(list(where.args), where.conditions)
    join = among(asked, ids, THE_CALL)
    return await db.fetch(
        f"{EFFECT_FIELDS} {join} where {asked.sql()} order by e.call_id desc, e.key desc limit {limit + 1}", *asked.args
    )


async def _failed_saying(db: Connection, where: Where, workspace: str, text: str) -> set[UUID] | None:
    """The calls whose error holds a text; where those are many, asks for them."""
    calls = in_workspace("l", workspace)
    calls.conditions += ["l.error is not null", saying(calls, "l.error", text)]
    ids = await few(db, f"select l.id from call l where {calls.sql()}", *calls.args)
    if ids is None:
        where.add("a.error ilike {}", matching(text.strip()))
    return ids


async def _named(db: Connection, where: Where, workspace: str, text: str) -> set[UUID] | None:
    """The calls that were made for events which bear a text; where those are many, asks for them."""
    events = in_workspace("e", workspace)
    events.conditions.append(named(events, text, "e"))
    ids = await few(db, f"select e.id from event e where {events.sql()}", *events.args)
    if ids is not None:
        found = await db.fetch(_CALLS_FOR, workspace, sorted(ids), time_in(min(ids))) if ids else []
        return {row[0] for row in found}
    borne = named(where, text, "e")
    where.conditions.append(f"a.event_id in (select e.id from event e where e.workspace = $1 and {borne})")
    return None


async def _in_state(db: Connection, where: Where, workspace: str, state: str | None) -> None:
    """`mark` says of those that ended otherwise than done how they stand; what is reserved is so by an open call."""
    if state in ("uncertain", "released"):
        where.add("e.mark = {}", state)
        return
    where.add("e.state = {}", state)
    if state == "reserved":
        ids = await few(db, "select id from call where workspace = $1 and state in ('due', 'uncertain')", workspace)
        where.add("e.call_id = any({})", None if ids is None else list(ids))


async def _of_call(db: Connection, where: Where, workspace: str, wanted: EffectFilter) -> bool:
    """Ask for what is known of the call; False where there can be none."""
    if wanted.connection is not None or wanted.action is not None:
        made = """select array_agg(id) from connection where workspace = $1 and ($2::text is null or slug = $2)
            and ($3::text is null or connector = $3)"""
        connector = None if wanted.action is None else wanted.action.partition(".")[0]
        ids = await db.fetchval(made, workspace, wanted.connection, connector)
        if ids is None:
            return False
        where.one_of("a.connection_id", ids)
        where.add("a.action = {}", wanted.action)
    if wanted.recipe is not None:
        ids = await few(db, "select id from run where workspace = $1 and recipe = $2", workspace, wanted.recipe)
        where.add("a.run_id = any({})", None if ids is None else list(ids))
        where.add("a.recipe = {}", wanted.recipe)
    return True
