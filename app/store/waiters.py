"""Waiters: which runs wait for which event, and the events that came for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store import runs
from app.store.database import Connection, Row


@dataclass(frozen=True, slots=True)
class NewWaiter:
    """A run that waits for an event of a type whose field (a dotted path) has a value (its hash)."""

    id: UUID
    workspace: str
    event_type: str
    path: str
    value: bytes
    run_id: UUID
    step: str | None


async def insert(connection: Connection, waiters: Sequence[NewWaiter]) -> None:
    if waiters:
        rows = [tuple(getattr(w, name) for name in NewWaiter.__slots__) for w in waiters]
        await connection.execute(
            f"""insert into waiter ({", ".join(NewWaiter.__slots__)})
                select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::uuid[],
                    $7::text[])""",
            *map(list, zip(*rows, strict=True)),
        )


async def remove(connection: Connection, ended_runs: Sequence[UUID], ended_steps: Sequence[tuple[UUID, str]]) -> None:
    """Forget the waiters of runs that ended, and of single steps (run id, path)."""
    if ended_runs:
        await connection.execute("delete from waiter where run_id = any($1)", list(ended_runs))
    if ended_steps:
        await connection.execute(
            """delete from waiter w using unnest($1::uuid[], $2::text[]) as t(run_id, step)
               where w.run_id = t.run_id and w.step = t.step""",
            *map(list, zip(*ended_steps, strict=True)),
        )


PATHS = """
with recursive wanted as (select distinct * from unnest($1::text[], $2::text[]) as t(workspace, type)),
walk as (
    select w.workspace, w.type,
        (select min(path) from waiter where workspace = w.workspace and event_type = w.type) as path from wanted w
    union all
    select walk.workspace, walk.type,
        (select min(path) from waiter
         where workspace = walk.workspace and event_type = walk.type and path > walk.path)
    from walk where walk.path is not null
)
select workspace, type, path from walk where path is not null
"""


async def paths(connection: Connection, types: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The fields by which events of each (workspace, type) are waited for: one index probe a field."""
    found: dict[tuple[str, str], list[str]] = {}
    if types:
        for row in await connection.fetch(PATHS, *map(list, zip(*types, strict=True))):
            found.setdefault((row["workspace"], row["type"]), []).append(row["path"])
    return found


FIND = """
select t.event_id, w.run_id from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    as t(event_id, workspace, event_type, path, value)
join waiter w on w.workspace = t.workspace and w.event_type = t.event_type and w.path = t.path and w.value = t.value
"""


async def find(connection: Connection, probes: Sequence[tuple[UUID, str, str, str, bytes]]) -> list[tuple[UUID, UUID]]:
    """(run id, event id) for events whose field has the value that a run waits for.

    probes: (event id, workspace, type, path, value hash)."""
    if not probes:
        return []
    rows = await connection.fetch(FIND, *map(list, zip(*probes, strict=True)))
    return [(row["run_id"], row["event_id"]) for row in rows]


async def note(connection: Connection, found: Sequence[tuple[UUID, UUID]]) -> None:
    """Note that events (run id, event id) came for runs."""
    if found:
        await connection.execute(
            """insert into heard (run_id, event_id) select * from unnest($1::uuid[], $2::uuid[])
               on conflict do nothing""",
            *map(list, zip(*sorted(set(found)), strict=True)),
        )


async def hear(connection: Connection, found: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """Note (run id, event id) and make the runs due; rows are locked in the order of their ids."""
    if not found:
        return
    await note(connection, found)
    await runs.make_due(connection, [run_id for run_id, _ in found], now)


async def heard(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The events that came for runs, oldest first."""
    found: dict[UUID, list[UUID]] = {}
    rows = await connection.fetch(
        "select run_id, event_id from heard where run_id = any($1) order by event_id", list(run_ids)
    )
    for row in rows:
        found.setdefault(row["run_id"], []).append(row["event_id"])
    return found


async def forget_heard(connection: Connection, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Remove events (run id, event id) that have been weighed."""
    if pairs:
        await connection.execute(
            """delete from heard h using unnest($1::uuid[], $2::uuid[]) as t(run_id, event_id)
               where h.run_id = t.run_id and h.event_id = t.event_id""",
            *map(list, zip(*pairs, strict=True)),
        )


_EVENT = """id, at, workspace, type, connection_id, data, schema_version, occurred_at, test, historical, echo"""

UNMATCHED = f"select {_EVENT} from event where waiters_due order by id limit $1 for update skip locked"


async def claim_events(connection: Connection, limit: int) -> list[Row]:
    """Lock committed events that were not yet held against the waiters, oldest first."""
    return await connection.fetch(UNMATCHED, limit)


async def matched(connection: Connection, events: Sequence[Row]) -> None:
    if events:
        await connection.execute(
            "update event set waiters_due = false where id = any($1) and at >= $2",
            [row["id"] for row in events],
            min(row["at"] for row in events),
        )


async def unmatched(connection: Connection, workspaces: Sequence[str], types: Sequence[str]) -> list[Row]:
    """Events of these workspaces and types that are committed and not yet held against the waiters."""
    return await connection.fetch(
        f"select {_EVENT} from event where waiters_due and workspace = any($1) and type = any($2) order by id",
        list(workspaces),
        list(types),
    )


async def since(connection: Connection, workspace: str, types: Sequence[str], after: UUID, limit: int) -> list[Row]:
    """Stored events of some types later than an event, oldest first."""
    return await connection.fetch(
        f"""select {_EVENT} from event where workspace = $1 and type = any($2) and id > $3 and at >= $4
            order by id limit $5""",
        workspace,
        list(types),
        after,
        time_of(after),
        limit,
    )


async def types(connection: Connection) -> set[tuple[str, str]]:
    """(workspace, event type) of all waiters: one index probe each."""
    rows = await connection.fetch(
        """with recursive walk as (
               (select workspace, event_type from waiter order by workspace, event_type limit 1)
               union all
               select n.workspace, n.event_type from walk, lateral (
                   select workspace, event_type from waiter
                   where (workspace, event_type) > (walk.workspace, walk.event_type)
                   order by workspace, event_type limit 1) n)
           select workspace, event_type from walk"""
    )
    return {(row["workspace"], row["event_type"]) for row in rows}


async def not_normalised(connection: Connection, connections: Sequence[tuple[str, UUID]]) -> dict[UUID, datetime]:
    """When the oldest webhook that is accepted and not yet normalised came in, by (workspace, connection)."""
    if not connections:
        return {}
    rows = await connection.fetch(
        """select t.id, min(time) as oldest from unnest($1::text[], $2::uuid[]) as t(workspace, id),
             unnest(array['due', 'reading']) as s(state), lateral (
               select w.at as time from webhook w where w.workspace = t.workspace and w.connection_id = t.id
                 and w.state = s.state order by w.id limit 1) first
           group by t.id""",
        *map(list, zip(*connections, strict=True)),
    )
    return {row["id"]: row["oldest"] for row in rows}


def stored(row: Row, connection: str | None, platform: str | None, data: Any) -> dict[str, Any]:
    """An event as a run keeps it: plain JSON with its envelope's fields by name."""
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "schema": row["schema_version"],
        "data": data,
        "occurred_at": row["occurred_at"].isoformat(),
        "connection": connection,
        "platform": platform,
        "test": row["test"],
        "historical": row["historical"],
        "echo": row["echo"],
    }


async def load(connection: Connection, event_ids: Sequence[UUID]) -> list[Row]:
    """Events by their ids; those that retention dropped are absent."""
    if not event_ids:
        return []
    return await connection.fetch(
        f"select {_EVENT} from event where id = any($1) and at >= $2", list(event_ids), min(map(time_of, event_ids))
    )


async def of_run(connection: Connection, run_id: UUID) -> list[Row]:
    return await connection.fetch("select event_type, path, value from waiter where run_id = $1", run_id)


async def announce(connection: Connection, recipes: Sequence[tuple[str, str]]) -> None:
    """Let every process read the recipes again: runs of earlier versions (workspace, recipe) wait for something new."""
    if recipes:
        await connection.execute(
            """update recipe r set updated_at = clock_timestamp()
               from unnest($1::text[], $2::text[]) as t(workspace, name)
               where r.workspace = t.workspace and r.name = t.name""",
            *map(list, zip(*recipes, strict=True)),
        )


async def more_than(
    connection: Connection, workspace: str, types: Sequence[str], since: datetime, until: datetime, count: int
) -> bool:
    """Whether a span of time holds more stored events of some types than so many."""
    found: int = await connection.fetchval(
        """select count(*) from (select 1 from event where workspace = $1 and type = any($2) and at >= $3 and at < $4
             limit $5) few""",
        workspace,
        list(types),
        since,
        until,
        count + 1,
    )
    return found > count


async def span(
    connection: Connection, workspace: str, types: Sequence[str], since: datetime, until: datetime, after: UUID | None,
    limit: int,
) -> list[Row]:  # fmt: skip
    """Stored events of some types in a span of time, in their order, from behind one of them on."""
    return await connection.fetch(
        """select * from event where workspace = $1 and type = any($2) and at >= $3 and at < $4
             and ($5::uuid is null or id > $5) order by id limit $6""",
        workspace,
        list(types),
        since if after is None else max(since, time_of(after)),
        until,
        after,
        limit,
    )
