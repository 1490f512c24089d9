"""Runs and their steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection
from app.store.gathered import later


@dataclass(frozen=True, slots=True)
class NewRun:
    """One recipe version answering one event."""

    id: UUID
    workspace: str
    recipe: str
    version_id: UUID
    event_id: UUID
    connection_id: UUID | None
    subject: bytes
    once_value: str
    generation: int
    mode: str
    replay_of: UUID | None
    replay_id: UUID | None
    state: str
    reason: str | None
    due_at: datetime | None
    ended_at: datetime | None


_INSERT = f"""
insert into run (at, {", ".join(NewRun.__slots__)})
select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[],
    $8::bytea[], $9::text[], $10::int[], $11::text[], $12::uuid[], $13::uuid[], $14::text[], $15::text[],
    $16::timestamptz[], $17::timestamptz[])
"""


async def insert(connection: Connection, runs: Sequence[NewRun]) -> None:
    if runs:
        rows = [(time_of(r.id), *(getattr(r, name) for name in NewRun.__slots__)) for r in runs]
        await later(connection, _INSERT, *map(list, zip(*rows, strict=True)))


async def take_once(
    connection: Connection, wanted: Sequence[tuple[bytes, UUID, datetime | None]], now: datetime
) -> dict[bytes, UUID]:
    """Take `once_per` values (distinct keys, run id, when the value is free again); answers whose each key now is."""
    if not wanted:
        return {}
    keys, run_ids, expires = map(list, zip(*sorted(wanted), strict=True))
    rows = await connection.fetch(
        """insert into once as o (key, run_id, expires_at)
           select * from unnest($1::bytea[], $2::uuid[], $3::timestamptz[])
           on conflict (key) do update set run_id = excluded.run_id, expires_at = excluded.expires_at
               where o.expires_at <= $4
           returning key, run_id""",
        keys,
        run_ids,
        expires,
        now,
    )
    taken = {row["key"]: row["run_id"] for row in rows}
    missing = [key for key in keys if key not in taken]
    if missing:
        rows = await connection.fetch("select key, run_id from once where key = any($1)", missing)
        taken |= {row["key"]: row["run_id"] for row in rows}
    return taken


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run that is due, locked for the transaction. `data`: its event's data where the event may be gone."""

    id: UUID
    at: datetime
    workspace: str
    recipe: str
    version_id: UUID
    event_id: UUID
    connection_id: UUID | None
    subject: bytes
    once_value: str
    generation: int
    mode: str
    state: str
    replay_id: UUID | None
    data: Any


CLAIM = """
select id, at, workspace, recipe, version_id, event_id, connection_id, subject, once_value, generation, mode, state,
    replay_id, data from run where due_at <= $1 and state in ('running', 'waiting') order by due_at, id limit $2
for update skip locked
"""
CLAIM_NEWEST = CLAIM.replace("order by due_at, id", "order by due_at desc, id desc")


async def claim(connection: Connection, now: datetime, limit: int, newest: bool = False) -> list[DueRun]:
    """Lock those due runs that have been due longest (or shortest) for the length of the transaction; who came due
    first comes first."""
    rows = await connection.fetch(CLAIM_NEWEST if newest else CLAIM, now, limit)
    return [DueRun(*row) for row in (reversed(rows) if newest else rows)]


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as it stands; `output` is plain JSON."""

    id: UUID
    run_id: UUID
    path: str
    kind: str
    state: str
    output: Any
    error: str | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call of a run, as far as the run needs it."""

    run_id: UUID
    path: str
    item: str | None
    state: str
    output: Any
    error: str | None


_PROGRESS = """
select id, run_id, path, kind, state, output, error, due_at, null as item from step
where run_id = any($1) and at >= $2
union all
select id, run_id, path, null, state, output, error, null, item from call
where run_id = any($1) and at >= $2
order by id
"""


async def progress(
    connection: Connection, run_ids: Sequence[UUID]
) -> tuple[dict[UUID, list[StepRow]], dict[UUID, list[CallRow]]]:
    """The steps and calls of runs."""
    earliest = min(map(time_of, run_ids))
    steps: dict[UUID, list[StepRow]] = {run_id: [] for run_id in run_ids}
    calls: dict[UUID, list[CallRow]] = {run_id: [] for run_id in run_ids}
    for row in await connection.fetch(_PROGRESS, list(run_ids), earliest):
        id_, run_id, path, kind, state, output, error, due_at, item = row
        if kind is None:
            calls[run_id].append(CallRow(run_id, path, item, state, output, error))
        else:
            steps[run_id].append(StepRow(id_, run_id, path, kind, state, output, error, due_at))
    return steps, calls


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step that begins (or begins and ends at once); `output` is JSON text."""

    id: UUID
    workspace: str
    run_id: UUID
    path: str
    kind: str
    state: str
    output: str | None
    error: str | None
    due_at: datetime | None
    ended_at: datetime | None


_INSERT_STEPS = f"""
insert into step (at, {", ".join(NewStep.__slots__)})
select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
    $8::jsonb[], $9::text[], $10::timestamptz[], $11::timestamptz[])
"""


async def insert_steps(connection: Connection, steps: Sequence[NewStep]) -> None:
    if steps:
        rows = [(time_of(s.id), *(getattr(s, name) for name in NewStep.__slots__)) for s in steps]
        await later(connection, _INSERT_STEPS, *map(list, zip(*rows, strict=True)))


async def end_steps(
    connection: Connection, ended: Sequence[tuple[UUID, str, str | None, str | None]], now: datetime
) -> None:
    """Record how running steps ended: (id, state, output as JSON text, error)."""
    if ended:
        ids, states, outputs, errors = map(list, zip(*ended, strict=True))
        await later(
            connection,
            """update step s set state = t.state, output = t.output, error = t.error, ended_at = $6
               from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[]) as t(id, state, output, error)
               where s.id = t.id and s.at >= $5""",
            ids,
            states,
            outputs,
            errors,
            min(map(time_of, ids)),
            now,
        )


async def save(
    connection: Connection,
    runs: Sequence[tuple[UUID, str, str | None, datetime | None, datetime | None]],
) -> None:
    """Write how runs stand: (id, state, reason, due_at, ended_at)."""
    if runs:
        ids, states, reasons, dues, ends = map(list, zip(*runs, strict=True))
        await later(
            connection,
            """update run r set state = t.state, reason = t.reason, due_at = t.due_at, ended_at = t.ended_at
               from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
                   as t(id, state, reason, due_at, ended_at)
               where r.id = t.id and r.at >= $6""",
            ids,
            states,
            reasons,
            dues,
            ends,
            min(map(time_of, ids)),
        )


# --- order, cancelling, waking ----------------------------------------------------------------------------------

_EARLIER = """
exists (select 1 from run e where e.workspace = t.workspace and e.recipe = t.recipe and e.subject = t.subject
    and e.state = 'running' and e.event_id < t.event_id
    and not exists (select 1 from step s where s.run_id = e.id and s.kind in ('wait', 'wait_for', 'approve')))
"""


async def blocked(connection: Connection, runs: Sequence[tuple[UUID, str, str, bytes, UUID]]) -> set[UUID]:
    """Which of these runs (id, workspace, recipe, subject, event id) an earlier one of their recipe and subject holds
    back: one that runs and has not waited yet."""
    if not runs:
        return set()
    rows = await connection.fetch(
        f"""select t.id from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[])
                as t(id, workspace, recipe, subject, event_id) where {_EARLIER}""",
        *map(list, zip(*runs, strict=True)),
    )
    return {row["id"] for row in rows}


async def wake_next(connection: Connection, ended: Sequence[tuple[str, str, bytes, UUID]], now: datetime) -> None:
    """Make due what stood next behind runs (workspace, recipe, subject, event id) that ended or began to wait."""
    if not ended:
        return
    rows = await connection.fetch(
        """select n.id from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[])
               as t(workspace, recipe, subject, event_id), lateral (
                 select id from run r where r.workspace = t.workspace and r.recipe = t.recipe
                   and r.subject = t.subject and r.state = 'running' and r.event_id > t.event_id
                 order by r.event_id limit 1) n""",
        *map(list, zip(*ended, strict=True)),
    )
    await make_due(connection, [row["id"] for row in rows], now, skip=True)


async def lock_open(
    connection: Connection, run_ids: Sequence[UUID], *, held: bool = False, skip: bool = False
) -> list[UUID]:
    """Lock those of these runs that are open, in the order of their ids, and answer them. held: those of paused recipes
    too. skip: leave out those that somebody else has locked.

    What is decided about them needs a statement of its own after this one: while a lock is waited for, the run goes on,
    and the waiting statement still sees how it stood before."""
    ids = sorted(set(run_ids))
    if not ids:
        return []
    rows = await connection.fetch(
        f"""select id from run where id = any($1) and at >= $2 and state = any($3) order by id
            for update {"skip locked" if skip else ""}""",
        ids,
        min(map(time_of, ids)),
        ["running", "waiting", "held"] if held else ["running", "waiting"],
    )
    return [row["id"] for row in rows]


async def make_due(connection: Connection, run_ids: Sequence[UUID], now: datetime, *, skip: bool = False) -> None:
    """Make open runs due. skip: but for those that somebody else moves at this moment."""
    ids = await lock_open(connection, run_ids, skip=skip)
    if ids:
        await connection.execute(
            "update run set due_at = $2 where id = any($1) and at >= $3", ids, now, min(map(time_of, ids))
        )


async def states(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, str]:
    """How runs stand; those that retention dropped are absent."""
    if not run_ids:
        return {}
    rows = await connection.fetch(
        "select id, state from run where id = any($1) and at >= $2", list(run_ids), min(map(time_of, run_ids))
    )
    return {row["id"]: row["state"] for row in rows}


async def replace_untouched(connection: Connection, run_ids: Sequence[UUID], reason: str, now: datetime) -> set[UUID]:
    """Cancel those of these runs that are open and made no call yet; answers them."""
    ids = await lock_open(connection, run_ids, held=True)
    if not ids:
        return set()
    rows = await connection.fetch(
        """update run r set state = 'cancelled', reason = $3, due_at = null, ended_at = $4
           where id = any($1) and at >= $2 and not exists (select 1 from call where call.run_id = r.id)
           returning r.id""",
        ids,
        min(map(time_of, ids)),
        reason,
        now,
    )
    gone = {row["id"] for row in rows}
    await connection.execute("delete from waiter where run_id = any($1)", list(gone))
    await connection.execute(
        """update step set state = 'cancelled', ended_at = $2, due_at = null
           where run_id = any($1) and state = 'running'""",
        list(gone),
        now,
    )
    return gone


async def take_over(connection: Connection, once: Sequence[tuple[bytes, UUID, datetime | None]]) -> None:
    """Give `once_per` values to further runs: (key, run id, when it is free again)."""
    if once:
        await connection.execute(
            """update once o set run_id = t.run_id, expires_at = t.expires_at
               from unnest($1::bytea[], $2::uuid[], $3::timestamptz[]) as t(key, run_id, expires_at)
               where o.key = t.key""",
            *map(list, zip(*once, strict=True)),
        )


async def change_steps(connection: Connection, changed: Sequence[tuple[UUID, str, datetime | None]]) -> None:
    """Write the output of running steps anew: (id, JSON text, when they are due; None leaves that as it is)."""
    if changed:
        ids, outputs, dues = map(list, zip(*changed, strict=True))
        await connection.execute(
            """update step s set output = t.output, due_at = coalesce(t.due_at, s.due_at)
               from unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) as t(id, output, due_at)
               where s.id = t.id and s.at >= $4""",
            ids,
            outputs,
            dues,
            min(map(time_of, ids)),
        )


_CANCEL_CALLS = """
with gone as (
    select c.id, c.at from call c where c.run_id = any($1) and c.state = 'due' and not exists (
        select 1 from attempt a where a.call_id = c.id and a.state = 'sending')
    order by c.id for update skip locked
), ended as (
    update call c set state = 'cancelled', error = coalesce(c.error, 'the run was cancelled'), owner = null,
        lease_until = null, ended_at = clock_timestamp()
    from gone where c.id = gone.id and c.at = gone.at returning c.id, c.effect_key, c.unsure
), let_go as (
    update effect e set state = case when ended.unsure then 'uncertain' else 'released' end,
        ended_at = clock_timestamp()
    from ended where e.key = ended.effect_key and e.call_id = ended.id and e.state = 'reserved'
)
select id from ended
"""


async def cancel_calls(connection: Connection, run_ids: Sequence[UUID]) -> set[UUID]:
    """End the unsent calls of runs and let go of their effects; answers the runs of which a call is still under way."""
    if not run_ids:
        return set()
    await connection.fetch(_CANCEL_CALLS, list(run_ids))
    rows = await connection.fetch(
        "select distinct run_id from call where run_id = any($1) and state = 'due'", list(run_ids)
    )
    return {row["run_id"] for row in rows}


async def cancelled(connection: Connection, run_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these runs that were cancelled."""
    if not run_ids:
        return set()
    rows = await connection.fetch(
        "select id from run where id = any($1) and at >= $2 and state = 'cancelled'",
        list(run_ids),
        min(map(time_of, run_ids)),
    )
    return {row["id"] for row in rows}


async def outputs(
    connection: Connection, event_ids: Sequence[UUID], recipes: Sequence[str]
) -> dict[UUID, dict[str, list[Any]]]:
    """What the calls of the runs of recipes (one with its earlier names) answered: event id -> step path -> outputs, in
    the order of the calls. Only first runs: a replay answers the same."""
    if not event_ids:
        return {}
    rows = await connection.fetch(
        """select r.event_id, c.path, c.output from run r join call c on c.run_id = r.id
           where r.event_id = any($1) and r.at >= $2 and c.at >= $2 and r.recipe = any($3) and c.state = 'done'
             and r.replay_of is null
             and c.output is not null order by c.id""",
        list(event_ids),
        min(map(time_of, event_ids)),
        list(recipes),
    )
    found: dict[UUID, dict[str, list[Any]]] = {}
    for row in rows:
        found.setdefault(row["event_id"], {}).setdefault(row["path"], []).append(row["output"])
    return found
