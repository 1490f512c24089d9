"""Many runs at once: which are open, what ending them would leave undone, and ending them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store import runs
from app.store.database import Connection, Row

OPEN = ("running", "waiting", "held")


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """Which open runs; None asks for any. since, until: when the run began."""

    workspace: str
    states: Sequence[str] = OPEN
    recipe: str | None = None
    connections: Sequence[UUID] | None = None
    type: str | None = None
    replay_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def args(self) -> list[Any]:
        connections = None if self.connections is None else list(self.connections)
        return [self.workspace, list(self.states), self.recipe, connections, self.type, self.replay_id, self.since,
                self.until]  # fmt: skip


_WHERE = """
r.workspace = $1 and r.state = any($2) and r.state in ('running', 'waiting', 'held')
    and ($3::text is null or r.recipe = $3) and ($4::uuid[] is null or r.connection_id = any($4))
    and ($5::text is null or exists (select 1 from event e where e.id = r.event_id and e.type = $5))
    and ($6::uuid is null or r.replay_id = $6) and ($7::timestamptz is null or r.at >= $7)
    and ($8::timestamptz is null or r.at < $8)
"""


async def preview(db: Connection, wanted: OpenRuns) -> Row:
    """(runs, calls that would not be sent, effects of theirs that are done already)."""
    row: Row = await db.fetchrow(
        f"""with mine as materialized (select r.id from run r where {_WHERE})
            select (select count(*) from mine) as runs, count(*) filter (where c.state = 'due') as calls,
              count(*) filter (where c.state in ('done', 'skipped')) as done
            from call c where c.run_id in (select id from mine)""",
        *wanted.args(),
    )
    return row


async def page(db: Connection, wanted: OpenRuns, after: UUID, limit: int) -> list[UUID]:
    """Ids of such runs beyond one, in order."""
    rows = await db.fetch(
        f"select r.id from run r where {_WHERE} and r.id > $9 order by r.id limit $10", *wanted.args(), after, limit
    )
    return [row["id"] for row in rows]


async def end_runs(db: Connection, run_ids: Sequence[UUID], reason: str, now: datetime) -> list[Row]:
    """End what is still open of these runs, with their steps and waiters; (id, workspace, recipe, subject, event_id) of
    those. Their unsent calls are ended next, by `runs.cancel_calls`: a run that is locked makes no further ones."""
    since = min(map(time_of, run_ids))
    rows = await db.fetch(
        """update run r set state = 'cancelled', reason = $3, due_at = null, ended_at = $4
           where id = any($1) and at >= $2 returning r.id, r.workspace, r.recipe, r.subject, r.event_id""",
        await runs.lock_open(db, run_ids, held=True),
        since,
        reason,
        now,
    )
    gone = [row["id"] for row in rows]
    await db.execute(
        """update step set state = 'cancelled', ended_at = $3, due_at = null
           where run_id = any($1) and at >= $2 and state = 'running'""",
        gone,
        since,
        now,
    )
    await db.execute("delete from waiter where run_id = any($1)", gone)
    return rows
