"""What people do to runs, calls and effects by hand. Calls are locked before their run, in the order of their ids, as
the drains do: two sides never wait for each other in a circle."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import new_id
from app.store.database import Connection, Row
from app.store.trace import time_in


@dataclass(frozen=True, slots=True)
class LockedCall:
    """A call of a run, locked for the transaction. `sending`: an attempt of it is under way."""

    id: UUID
    at: datetime
    connection_id: UUID
    run_id: UUID
    path: str
    item: str | None
    action: str
    state: str
    unsure: bool
    sent_at: datetime | None
    options: Any
    effect_key: bytes


@dataclass(frozen=True, slots=True)
class LockedRun:
    """A run, locked for the transaction."""

    id: UUID
    recipe: str
    state: str
    reason: str | None
    subject: bytes
    event_id: UUID


acting_under: ContextVar[str | None] = ContextVar("acting_under", default=None)
"""The request that acts, where it may be repeated under an `Idempotency-Key`: each line of the audit log names it."""

_CALL_FIELDS = ", ".join(LockedCall.__slots__)


async def lock_calls(db: Connection, run_id: UUID) -> list[LockedCall]:
    rows = await db.fetch(
        f"select {_CALL_FIELDS} from call where run_id = $1 and at >= $2 order by id for update",
        run_id,
        time_in(run_id),
    )
    return [LockedCall(*row) for row in rows]


async def lock_call(db: Connection, workspace: str, call_id: UUID) -> LockedCall | None:
    row = await db.fetchrow(
        f"select {_CALL_FIELDS} from call where id = $1 and at >= $2 and workspace = $3 for update",
        call_id,
        time_in(call_id),
        workspace,
    )
    return LockedCall(*row) if row else None


async def lock_run(db: Connection, workspace: str, run_id: UUID) -> LockedRun | None:
    row = await db.fetchrow(
        """select id, recipe, state, reason, subject, event_id from run
           where id = $1 and at >= $2 and workspace = $3 for update""",
        run_id,
        time_in(run_id),
        workspace,
    )
    return LockedRun(*row) if row else None


# --- a failed run goes on ---------------------------------------------------------------------------------------


async def ended_steps(db: Connection, run_id: UUID) -> list[Row]:
    """(id, path, kind, state, error) of a run's steps that failed, that stopped it, or that still listened."""
    return await db.fetch(
        """select id, path, kind, state, error from step where run_id = $1 and at >= $2
             and (state = 'failed' or kind = 'stop' or (state = 'running' and kind in ('cancel_on', 'wait_for')))
           order by id""",
        run_id,
        time_in(run_id),
    )


async def make_due(
    db: Connection, calls: Sequence[tuple[UUID, str]], now: datetime, *, unsure: bool | None = None
) -> None:
    """Let calls be tried anew, in turns with new ones: (id, options as JSON text). `unsure` None keeps what is known of
    earlier attempts."""
    if calls:
        ids, options = map(list, zip(*calls, strict=True))
        await db.execute(
            """update call c set state = 'due', due_at = $3, failures = 0, unsure = coalesce($4, unsure),
                 options = t.options, sent_at = case when coalesce($4, unsure) then sent_at end, error = null,
                 error_kind = null, question = null, output = null, owner = null, lease_until = null, ended_at = null,
                 late = true
               from unnest($1::uuid[], $2::jsonb[]) as t(id, options) where c.id = t.id and c.at >= $5""",
            ids,
            options,
            now,
            unsure,
            min(map(time_in, ids)),
        )


async def restart_steps(db: Connection, again: Sequence[UUID], afresh: Sequence[UUID]) -> None:
    """Let failed steps run on with the calls that they have (`again`), or begin anew (`afresh`: they made none)."""
    if again:
        await db.execute(
            """update step set state = 'running', output = null, error = null, ended_at = null
               where id = any($1) and at >= $2""",
            list(again),
            min(map(time_in, again)),
        )
    if afresh:
        await db.execute("delete from step where id = any($1) and at >= $2", list(afresh), min(map(time_in, afresh)))


async def restart_run(db: Connection, run_id: UUID, now: datetime) -> None:
    await db.execute(
        """update run set state = 'running', reason = null, ended_at = null, due_at = $3
           where id = $1 and at >= $2""",
        run_id,
        time_in(run_id),
        now,
    )


# --- a run asks -------------------------------------------------------------------------------------------------


async def open_approvals(db: Connection, run_id: UUID) -> list[Row]:
    """(id, path, output) of the steps of a run that ask a person; the row of all items of a `for_each` asks nothing."""
    return await db.fetch(
        """select id, path, output from step where run_id = $1 and at >= $2 and kind = 'approve' and state = 'running'
             and output ? 'title' order by id""",
        run_id,
        time_in(run_id),
    )


async def answer_step(db: Connection, step_id: UUID, output: str) -> None:
    """Write what a person answered into a step that asks; the run reads it when it is walked next."""
    await db.execute("update step set output = $3::jsonb where id = $1 and at >= $2", step_id, time_in(step_id), output)


# --- a run is cancelled -----------------------------------------------------------------------------------------


async def cancel_unsent(db: Connection, run_id: UUID) -> list[UUID]:
    """End the due calls of a run that are not being sent this moment, and let go of their effects: released, or
    uncertain where an earlier attempt may have acted. The calls must be locked by an earlier statement."""
    rows = await db.fetch(
        """with gone as (
             update call c set state = 'cancelled', error = coalesce(c.error, 'the run was cancelled'), owner = null,
               lease_until = null, ended_at = clock_timestamp()
             where c.run_id = $1 and c.at >= $2 and c.state = 'due'
               and not exists (select 1 from attempt a where a.call_id = c.id and a.at >= $2 and a.state = 'sending')
             returning c.id, c.effect_key, c.unsure
           ), let_go as (
             update effect e set state = case when gone.unsure then 'uncertain' else 'released' end,
               ended_at = clock_timestamp()
             from gone where e.key = gone.effect_key and e.call_id = gone.id and e.state = 'reserved'
           )
           select id from gone""",
        run_id,
        time_in(run_id),
    )
    return [row["id"] for row in rows]


async def cancel_run(db: Connection, run_id: UUID, reason: str) -> None:
    """End a run with its open steps and waiters."""
    await db.execute(
        """update step set state = 'cancelled', ended_at = clock_timestamp(), due_at = null
           where run_id = $1 and at >= $2 and state = 'running'""",
        run_id,
        time_in(run_id),
    )
    await db.execute("delete from waiter where run_id = $1", run_id)
    await db.execute(
        """update run set state = 'cancelled', reason = $3, due_at = null, ended_at = clock_timestamp()
           where id = $1 and at >= $2 and state <> 'cancelled'""",
        run_id,
        time_in(run_id),
        reason,
    )


# --- a question is answered -------------------------------------------------------------------------------------


async def lock_effect(db: Connection, workspace: str, key: bytes) -> Row | None:
    """(state, call_id) of an effect, locked for the transaction."""
    row: Row | None = await db.fetchrow(
        "select state, call_id from effect where workspace = $1 and key = $2 for update", workspace, key
    )
    return row


async def call_of_effect(db: Connection, workspace: str, key: bytes) -> UUID | None:
    found: UUID | None = await db.fetchval(
        "select call_id from effect where workspace = $1 and key = $2", workspace, key
    )
    return found


async def set_effects(db: Connection, calls: Sequence[LockedCall], state: str, output: str | None = None) -> None:
    """Say how the effects of these calls stand, as far as they are still theirs."""
    if calls:
        await db.execute(
            """update effect e set state = $3, output = coalesce($4::jsonb, e.output),
                 ended_at = case when $3 = 'reserved' then null else clock_timestamp() end
               from unnest($1::bytea[], $2::uuid[]) as t(key, call_id) where e.key = t.key and e.call_id = t.call_id""",
            [call.effect_key for call in calls],
            [call.id for call in calls],
            state,
            output,
        )


async def end_call(db: Connection, call: LockedCall, state: str, output: str | None = None) -> None:
    """End a call whose outcome a person told."""
    await db.execute(
        """update call set state = $3, output = coalesce($4::jsonb, output), unsure = false,
             question = null, owner = null, lease_until = null, ended_at = clock_timestamp()
           where id = $1 and at >= $2""",
        call.id,
        call.at,
        state,
        output,
    )


async def be_sure(db: Connection, call: LockedCall) -> None:
    """No earlier attempt of this call acted: a person looked."""
    await db.execute("update call set unsure = false where id = $1 and at >= $2", call.id, call.at)


# --- a recipe is resumed ----------------------------------------------------------------------------------------


async def holding(db: Connection) -> list[tuple[str, str]]:
    """(workspace, name) of the recipes that are not paused and have held runs."""
    rows = await db.fetch(
        """select workspace, name from recipe p where not p.paused and exists (
             select 1 from run r where r.workspace = p.workspace and r.recipe = p.name and r.state = 'held')"""
    )
    return [(row["workspace"], row["name"]) for row in rows]


async def release_held(db: Connection, workspace: str, recipe: str, now: datetime, limit: int) -> int:
    """Let the first of the runs that a recipe held go on, in the order of their events; answers how many."""
    rows = await db.fetch(
        """select id from run where workspace = $1 and recipe = $2 and state = 'held' order by event_id limit $3
           for update skip locked""",
        workspace,
        recipe,
        limit,
    )
    ids = [row["id"] for row in rows]
    if ids:
        await db.execute(
            """update run set state = 'running', reason = null, due_at = $3
               where id = any($1) and at >= $2 and state = 'held'""",
            ids,
            min(map(time_in, ids)),
            now,
        )
    return len(ids)


# --- replays ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that an event had before."""

    id: UUID
    recipe: str
    version_id: UUID
    number: int | None
    state: str
    once_value: str
    generation: int


_EARLIER = """
select r.id, r.recipe, r.version_id, v.number, r.state, r.once_value, r.generation, r.event_id
from run r left join recipe_version v on v.id = r.version_id
"""


async def earlier_runs(db: Connection, workspace: str, event_ids: Sequence[UUID]) -> dict[UUID, list[EarlierRun]]:
    """The live runs of each event, oldest first."""
    found: dict[UUID, list[EarlierRun]] = {event_id: [] for event_id in event_ids}
    for row in await db.fetch(
        f"{_EARLIER} where r.event_id = any($2) and r.at >= $3 and r.workspace = $1 and r.mode = 'live' order by r.id",
        workspace,
        list(event_ids),
        min(map(time_in, event_ids)),
    ):
        found[row["event_id"]].append(EarlierRun(*list(row)[:7]))
    return found


async def first_runs(db: Connection, workspace: str, once_keys: Sequence[bytes]) -> dict[bytes, EarlierRun]:
    """The runs that used `once_per` values, perhaps for another event."""
    taken = await db.fetch("select key, run_id from once where key = any($1)", list(once_keys))
    rows = await db.fetch(
        f"{_EARLIER} where r.id = any($2) and r.workspace = $1", workspace, [row["run_id"] for row in taken]
    )
    known = {row["id"]: EarlierRun(*list(row)[:7]) for row in rows}
    return {row["key"]: known[row["run_id"]] for row in taken if row["run_id"] in known}


async def calls_with_effects(db: Connection, run_ids: Sequence[UUID]) -> list[Row]:
    """The calls of runs that began or found an effect: (id, run_id, path, item, connection_id, effect_key,
    effect's state, label, output, and whose call it was)."""
    return await db.fetch(
        """select c.id, c.run_id, c.path, c.item, c.connection_id, c.effect_key, e.state, e.label, e.output, e.call_id
           from call c join effect e on e.key = c.effect_key where c.run_id = any($1) and c.at >= $2 order by c.id""",
        list(run_ids),
        min(map(time_in, run_ids)),
    )


async def standing(db: Connection, keys: Sequence[bytes]) -> dict[bytes, Row]:
    """How effects stand, by key: (state, call_id, output); those that never were are absent."""
    rows = await db.fetch("select key, state, call_id, output from effect where key = any($1)", list(keys))
    return {row["key"]: row for row in rows}


async def carry_over(
    db: Connection, workspace: str, effects: Sequence[tuple[bytes, UUID, str | None, str | None]]
) -> None:
    """Know effects that exist under their keys of a later generation: (key, call id, label, output as JSON text)."""
    if effects:
        await db.execute(
            """insert into effect (key, workspace, state, call_id, label, output, ended_at)
               select t.key, $5, 'done', t.call_id, t.label, t.output, clock_timestamp()
               from unnest($1::bytea[], $2::uuid[], $3::text[], $4::jsonb[]) as t(key, call_id, label, output)
               order by t.key on conflict (key) do nothing""",
            *map(list, zip(*effects, strict=True)),
            workspace,
        )


# --- who did it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deed:
    """A line of the audit log: who did what to which object."""

    workspace: str
    actor: str
    verb: str
    object: str
    detail: dict[str, Any]


VERBS = (
    *("answer", "apply", "approve", "authorise", "cancel", "change", "create", "customer.erased", "customer.exported"),
    *("decline", "disable", "enable", "expire", "make", "pause", "preview", "put", "remove", "replay", "reprocess"),
    *("resume", "retry", "revoke", "rotate", "save", "set inputs", "sign", "start", "subscribe", "suppress"),
    *("unsubscribe", "unsuppress"),
)
"""What deeds are called."""


async def note(db: Connection, deed: Deed, detail: str) -> None:
    """Write a line of the audit log; `detail` as JSON text."""
    await db.execute(
        "insert into audit (id, workspace, actor, verb, object, detail) values ($1, $2, $3, $4, $5, $6::jsonb || $7)",
        new_id(),
        deed.workspace,
        deed.actor,
        deed.verb,
        deed.object,
        detail,
        under(),
    )


def under() -> dict[str, str]:
    """What a line of the audit log says of the request that acts."""
    named = acting_under.get()
    return {} if named is None else {"idempotency": named}
