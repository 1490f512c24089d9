"""Replays of many events: the filter, where it has got to, and what it did so far."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection, Row, to_json
from app.store.retention import first_id

FIRST = UUID(int=0)
FIELDS = """id, workspace, filter, options, state, preview, cursor, done, total, report, actor, created_at, ended_at,
    next_at"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events, or failed runs.

    since, until: when the event came in; type may end in `*`; connections: ids, None for any; recipe, state, error: of
    the last run of a recipe for the event; text: order number, e-mail, sender's id.
    """

    since: datetime
    until: datetime
    type: str | None = None
    connections: Sequence[UUID] | None = None
    recipe: str | None = None
    state: str | None = None
    error: str | None = None
    text: str | None = None

    @property
    def by_runs(self) -> bool:
        return any((self.recipe, self.state, self.error))

    def args(self, workspace: str, after: UUID, limit: int) -> list[Any]:
        names = None
        if self.text:
            bare = self.text.strip()
            names = [bare, bare.removeprefix("#"), f"#{bare}", bare.lower()]
        kind = self.type.replace("_", r"\_").replace("*", "%") if self.type else None
        error = "%" + re.sub(r"([%_\\])", r"\\\1", self.error) + "%" if self.error else None
        connections = None if self.connections is None else list(self.connections)
        return [
            workspace,
            after,
            self.since,
            self.until,
            kind,
            connections,
            names,
            self.recipe,
            self.state,
            error,
            limit,
        ]


_EVENT = """
e.workspace = $1 and e.at >= $3 and e.at < $4 and ($5::text is null or e.type like $5)
    and ($6::uuid[] is null or e.connection_id = any($6))
    and ($7::text[] is null or e.number = any($7) or e.email = any($7) or e.subject_id = any($7))
"""
_RUN = """
r.mode = 'live' and r.at >= $3 and ($8::text is null or r.recipe = $8) and ($9::text is null or r.state = $9)
    and ($10::text is null or r.reason ilike $10)
    and not exists (select 1 from run n where n.event_id = r.event_id and n.recipe = r.recipe and n.mode = 'live'
        and n.id > r.id)
"""
_EVENTS = f"""
select e.id, m.recipes from event e
left join lateral (
    select array_agg(distinct r.recipe) as recipes from run r where $12 and r.event_id = e.id and {_RUN}) m on true
where {_EVENT} and e.id > $2 and (not $12 or m.recipes is not null) order by e.id limit $11
"""
_RUNS = f"""
select r.id, array[r.recipe] as recipes from run r join event e on e.id = r.event_id
where {_EVENT} and {_RUN} and r.id > $2 and r.state = 'failed' order by r.id limit $11
"""


async def events_after(
    db: Connection, workspace: str, wanted: Wanted, after: UUID, limit: int
) -> list[tuple[UUID, list[str] | None]]:
    """(event id, recipes whose last run matches; None where runs do not matter), in the order that they came in."""
    after = max(after, first_id(wanted.since))
    rows = await db.fetch(_EVENTS, *wanted.args(workspace, after, limit), wanted.by_runs)
    return [(row["id"], row["recipes"]) for row in rows]


async def failed_runs_after(
    db: Connection, workspace: str, wanted: Wanted, after: UUID, limit: int
) -> list[tuple[UUID, list[str] | None]]:
    """(run id, its recipe) of failed runs that are their recipe's last for their event, in the order of their ids."""
    rows = await db.fetch(_RUNS, *wanted.args(workspace, after, limit))
    return [(row["id"], row["recipes"]) for row in rows]


async def standing_of_calls(db: Connection, run_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """What retries of failed runs would meet: how many of their calls are done, and how many would be made."""
    found = {run_id: {"done": 0, "new": 0} for run_id in run_ids}
    for row in await db.fetch(
        """select run_id, count(*) filter (where state in ('done', 'skipped')) as done,
               count(*) filter (where state in ('dead', 'cancelled')) as new
           from call where run_id = any($1) and at >= $2 group by run_id""",
        list(run_ids),
        min(map(time_of, run_ids)),
    ):
        found[row["run_id"]] = {"done": row["done"], "new": row["new"]}
    return found


async def connections_named(db: Connection, workspace: str, slug: str) -> list[UUID]:
    """The connections that have, or had, a slug."""
    rows = await db.fetch("select id from connection where workspace = $1 and slug = $2", workspace, slug)
    return [row["id"] for row in rows]


async def create(
    db: Connection, replay_id: UUID, workspace: str, wanted: dict[str, Any], options: dict[str, Any], actor: str
) -> None:
    await db.execute(
        "insert into replay (id, workspace, filter, options, actor) values ($1, $2, $3::jsonb, $4::jsonb, $5)",
        replay_id,
        workspace,
        to_json(wanted),
        to_json(options),
        actor,
    )


async def load(db: Connection, workspace: str, replay_id: UUID) -> Row | None:
    row: Row | None = await db.fetchrow(
        f"select {FIELDS} from replay where id = $1 and workspace = $2 and options <> '{{}}'", replay_id, workspace
    )
    return row


async def lock(db: Connection, replay_id: UUID, *, wait: bool = True) -> Row | None:
    """A replay for this transaction alone; None where it is gone, or, without `wait`, where another process has it."""
    row: Row | None = await db.fetchrow(
        f"select {FIELDS} from replay where id = $1 for update {'' if wait else 'skip locked'}", replay_id
    )
    return row


async def due(db: Connection, now: datetime) -> list[UUID]:
    """Replays with work to do now, oldest first."""
    rows = await db.fetch(
        """select id from replay where state in ('running', 'previewing') and (next_at is null or next_at <= $1)
           order by id""",
        now,
    )
    return [row["id"] for row in rows]


async def set_state(db: Connection, replay_id: UUID, state: str) -> None:
    await db.execute(
        """update replay set state = $2, next_at = null,
             preview = case when $2 = 'previewing' then '{}' else preview end,
             total = case when $2 = 'previewing' then null else total end,
             ended_at = case when $2 in ('done', 'cancelled') then clock_timestamp() end
           where id = $1""",
        replay_id,
        state,
    )


async def advance(
    db: Connection, replay_id: UUID, cursor: UUID, done: int, report: dict[str, Any], next_at: datetime | None
) -> None:
    """Remember how far it has got; in the transaction that makes the runs."""
    await db.execute(
        "update replay set cursor = $2, done = $3, report = $4::jsonb, next_at = $5 where id = $1",
        replay_id,
        str(cursor),
        done,
        to_json(report),
        next_at,
    )


async def previewed(db: Connection, replay_id: UUID, preview: dict[str, Any], total: int | None) -> None:
    """Keep what a preview found so far; `total` when it is whole."""
    await db.execute(
        """update replay set preview = $2::jsonb, total = $3, state = case when $3::int is null then state
             else 'previewed' end where id = $1""",
        replay_id,
        to_json(preview),
        total,
    )


async def belongs(db: Connection, run_id: UUID, replay_id: UUID) -> None:
    """A retried run is of this replay."""
    await db.execute("update run set replay_id = $3 where id = $1 and at >= $2", run_id, time_of(run_id), replay_id)


async def states_of_runs(db: Connection, replay_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """How the runs of replays stand: {replay: {state: number}}."""
    found: dict[UUID, dict[str, int]] = {each: {} for each in replay_ids}
    for row in await db.fetch(
        "select replay_id, state, count(*) as runs from run where replay_id = any($1) group by replay_id, state",
        list(replay_ids),
    ):
        found[row["replay_id"]][row["state"]] = row["runs"]
    return found
