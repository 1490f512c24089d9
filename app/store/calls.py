"""Calls (the rows that a lane holds) and their attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store import effects
from app.store.database import Connection
from app.store.gathered import later
from app.store.lanes import Held
from app.store.retention import first_id

_TURN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call to be made. `subject` orders it within its lane; `input` is packed JSON; `late`: its run waited before."""

    id: UUID
    workspace: str
    connection_id: UUID
    run_id: UUID
    event_id: UUID
    recipe: str
    path: str
    item: str | None
    action: str
    subject: bytes
    effect_key: bytes
    input: bytes
    options: str
    priority: int
    late: bool
    state: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DueCall:
    """A call that this process has claimed under its fence. `reserved`: its effect is reserved for it."""

    id: UUID
    at: datetime
    workspace: str
    connection_id: UUID
    run_id: UUID
    event_id: UUID
    recipe: str
    path: str
    item: str | None
    action: str
    subject: bytes
    effect_key: bytes
    input: bytes
    options: Any
    attempts: int
    failures: int
    unsure: bool
    sent_at: datetime | None
    fence: int
    reserved: bool = False


_INSERT = """
insert into call (id, at, workspace, connection_id, run_id, event_id, recipe, path, item, action, subject, effect_key,
    input, options, priority, late, state, due_at)
select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::bytea[], $14::jsonb[], $15::smallint[],
    $16::bool[], $17::text[], $18::timestamptz[])
"""


async def insert(connection: Connection, calls: Sequence[NewCall]) -> None:
    if not calls:
        return
    rows = [
        (c.id, time_of(c.id), c.workspace, c.connection_id, c.run_id, c.event_id, c.recipe, c.path, c.item, c.action,
         c.subject, c.effect_key, c.input, c.options, c.priority, c.late, c.state, c.due_at)
        for c in calls
    ]  # fmt: skip
    await later(connection, _INSERT, *map(list, zip(*rows, strict=True)))


_DUE_FIELDS = ", ".join(f"call.{name}" for name in DueCall.__slots__ if name != "reserved")

_WAITING = """
    select c.id, c.at, c.late, c.priority, c.due_at, c.event_id from call c, mine
    where c.connection_id = $1 and c.state = 'due' and c.due_at <= $4 and {which}
      and (c.lease_until is null or (c.fence < $3 and not exists (
          select 1 from attempt a where a.call_id = c.id and a.state = 'sending')))
      and not exists (
          select 1 from recipe r where r.workspace = c.workspace and r.name = c.recipe and r.paused)
      and not exists (
          select 1 from call e where e.connection_id = c.connection_id and e.subject = c.subject
            and e.state in ('due', 'uncertain') and e.run_id <> c.run_id
            and (e.event_id, e.id) < (c.event_id, c.id)
            and (e.recipe = c.recipe or (e.state = 'due' and e.due_at <= $4)))
    order by c.priority desc, {order}, c.id limit $5 for update of c skip locked"""

_CLAIM = f"""
with mine as (
    select fence, set_config('synchronous_commit', 'off', true) from lane
    where connection_id = $1 and owner = $2 and fence = $3 and lease_until > clock_timestamp()
        and not paused and (state = 'open' or $6)
), prompt as ({_WAITING.format(which="not c.late", order="c.event_id")}
), late as ({_WAITING.format(which="c.late", order="c.due_at")}
), picked as (
    select id, at, row_number() over (
        partition by priority, late order by case when late then due_at end, event_id, id) as turn
    from (select * from prompt union all select * from late) as first_of_each
    order by priority desc, turn, late limit $5
), claimed as (
    update call set fence = $3, owner = $2, lease_until = clock_timestamp() + interval '60 s'
    from picked where call.id = picked.id and call.at = picked.at
    returning call.priority, picked.turn, {_DUE_FIELDS}
), wanted as (
    select distinct on (effect_key) effect_key as key, workspace, id, recipe || '/' || path || ' ' || action as label
    from claimed order by effect_key, priority desc, turn, event_id, id
), reserved as (
{effects.RESERVE.format(wanted="select key, workspace, 'reserved', id, label from wanted order by key")}
)
select claimed.*, r.key is not null from claimed left join reserved r on r.key = effect_key and r.call_id = claimed.id
"""


async def claim(connection: Connection, held: Held, now: datetime, limit: int, probe: bool = False) -> list[DueCall]:
    """Claim due calls of a held lane, in order, and reserve their effects where nobody has them; nothing while it is
    parked (but for a `probe`) or paused, nor what a paused recipe or an earlier call of its subject holds back. Where
    calls of runs that waited stand beside others of their priority, the two kinds take turns: thousands of waits that
    end at one moment hold no new order up, nor the other way round.

    A transaction of its own that waits for no disk: bytes go only after the mark, whose commit makes durable all that
    was written before it. A claim that a crash of PostgreSQL took back lets no mark through, unless the same owner has
    claimed the call once more: it sends what it had already taken up, and not a second time beside it."""
    rows = await connection.fetch(_CLAIM, held.connection_id, held.owner, held.fence, now, limit, probe)
    rows.sort(key=lambda row: (-row["priority"], row["turn"], row["event_id"], row["id"]))
    return [DueCall(*row[2:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Sending:
    """An attempt that is about to send: what goes out, and when an answer can no longer be expected."""

    id: UUID
    call_id: UUID
    connection_id: UUID
    number: int
    fence: int
    owner: str
    requests: bytes
    seconds: float
    touches: Sequence[str] = ()
    """The id of what it changes at a store, if events come of that."""


_MARK = """
with incoming as materialized (
    select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::int[],
        $7::bigint[], $8::text[], $9::bytea[], $10::float8[], $11::text[])
    as t(id, at, call_id, call_at, connection_id, number, fence, owner, requests, seconds, touches)
), allowed as (
    update call c set sent_at = coalesce(c.sent_at, clock_timestamp()), attempts = t.number
    from incoming t join lane l on l.connection_id = t.connection_id
    where c.id = t.call_id and c.at >= t.call_at and c.at >= $12 and c.state = 'due' and c.fence = t.fence
      and c.owner = t.owner and l.owner = t.owner and l.fence = t.fence and l.lease_until > clock_timestamp()
      and not l.paused
      and not exists (select 1 from recipe r where r.workspace = c.workspace and r.name = c.recipe and r.paused)
    returning c.id, c.workspace, c.action
), echoing as (
    insert into echo (connection_id, object_id, action)
    select t.connection_id, object_id, w.action from incoming t join allowed w on w.id = t.call_id
        cross join unnest(string_to_array(t.touches, E'\n')) as object_id
)
insert into attempt as a (id, at, workspace, call_id, connection_id, number, state, fence, requests, deadline)
select t.id, t.at, w.workspace, t.call_id, t.connection_id, t.number, 'sending', t.fence, t.requests,
    clock_timestamp() + make_interval(secs => t.seconds)
from incoming t join allowed w on w.id = t.call_id
on conflict (id, at) do update set requests = excluded.requests, deadline = excluded.deadline
returning call_id
"""


async def mark_sending(connection: Connection, attempts: Sequence[Sending]) -> set[UUID]:
    """Store attempts as `sending`, right before their bytes go; answers the ids of the calls that may be sent (the
    others were cancelled, their lane was lost, or somebody paused it or their recipe)."""
    rows = [
        (a.id, time_of(a.id), a.call_id, time_of(a.call_id), a.connection_id, a.number, a.fence, a.owner, a.requests,
         a.seconds, "\n".join(a.touches) or None)
        for a in attempts
    ]  # fmt: skip
    earliest = min(row[3] for row in rows)
    marked = await connection.fetch(_MARK, *map(list, zip(*rows, strict=True)), earliest)
    return {row["call_id"] for row in marked}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt ended, and what becomes of its call."""

    attempt_id: UUID | None
    call_id: UUID
    connection_id: UUID
    workspace: str
    run_id: UUID
    fence: int
    number: int
    attempt_state: str
    status: int | None
    error: str | None
    response: bytes | None
    duration_ms: int
    call_state: str
    due_at: datetime
    failures: int
    unsure: bool
    output: str | None
    error_kind: str | None
    question: str | None
    effect_key: bytes
    effect_state: str | None
    doubled: bool = False
    """It was sent again although an earlier attempt may have acted, and nothing tells the two apart."""
    alike: bool = False
    """A second one is no second: its system drops repeats of a key, or it is set and not made."""
    action: str = ""
    touched: Sequence[str] = ()
    """The ids of what it changed that only its answer told."""


_RECORD_CALLS = """
update call c set state = t.state, due_at = t.due_at, failures = t.failures, unsure = t.unsure, output = t.output,
    attempts = greatest(c.attempts, t.number), error = t.error, error_kind = t.error_kind, question = t.question,
    owner = null, lease_until = null,
    ended_at = case when t.state in ('due', 'uncertain') then null else clock_timestamp() end
from unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::text[], $5::timestamptz[], $6::int[], $7::bool[],
    $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::int[])
    as t(id, at, fence, state, due_at, failures, unsure, output, error, error_kind, question, number)
where c.id = t.id and c.at >= t.at and c.at >= $13 and c.fence = t.fence and c.state = 'due'
returning c.id
"""

_RECORD_ATTEMPTS = """
insert into attempt as a (id, at, workspace, call_id, connection_id, number, state, fence, response, status, error,
    duration_ms, ended_at)
select t.*, clock_timestamp() from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::int[],
    $7::text[], $8::bigint[], $9::bytea[], $10::smallint[], $11::text[], $12::int[]) as t
on conflict (id, at) do update set state = excluded.state, response = excluded.response, status = excluded.status,
    error = excluded.error, duration_ms = excluded.duration_ms, ended_at = excluded.ended_at, fence = excluded.fence
"""

_RECORDED = """
select a.call_id from attempt a
join unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) as t(id, at, fence) on a.id = t.id and a.at = t.at
where a.state <> 'sending' and a.fence = t.fence
"""

_HEARD_LATE = """
update call c set state = 'done', output = t.output, unsure = false, question = null, error = null, error_kind = null,
    owner = null, lease_until = null, ended_at = clock_timestamp()
from unnest($1::uuid[], $2::timestamptz[], $3::jsonb[]) as t(id, at, output)
where c.id = t.id and c.at >= t.at and c.state in ('due', 'uncertain')
  and not exists (select 1 from attempt a where a.call_id = c.id and a.at >= c.at and a.state = 'sending')
returning c.id
"""

_REFUSED_LATE = """
update call c set state = 'dead', unsure = false, question = null, error = t.error, error_kind = 'permanent',
    ended_at = clock_timestamp()
from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[]) as t(id, at, attempt_id, error)
where c.id = t.id and c.at >= t.at and c.state = 'uncertain'
  and not exists (select 1 from attempt a where a.call_id = c.id and a.at >= c.at and a.id <> t.attempt_id
    and (a.state in ('sending', 'unsure')
      or (a.state = 'late' and (a.status is null or a.status < 400 or a.status >= 500))))
returning c.id
"""

_WAKE_RUNS = """
update run r set due_at = $3 from unnest($1::uuid[], $2::timestamptz[]) as t(id, at)
where r.id = t.id and r.at >= t.at and r.at >= $4 and r.state in ('running', 'waiting')
"""


async def lock(connection: Connection, call_ids: Sequence[UUID]) -> set[UUID]:
    """Lock calls for the transaction, in the order of their ids; answers those that are there."""
    rows = await connection.fetch(
        "select id from call where id = any($1) and at >= $2 order by id for update",
        list(call_ids),
        min(map(time_of, call_ids)),
    )
    return {row["id"] for row in rows}


async def record_calls(connection: Connection, ended: Sequence[Ended]) -> set[UUID]:
    """Write what becomes of the calls; answers those that were still ours (not taken over, not cancelled)."""
    rows = [
        (e.call_id, time_of(e.call_id), e.fence, e.call_state, e.due_at, e.failures, e.unsure, e.output, e.error,
         e.error_kind, e.question, e.number)
        for e in ended
    ]  # fmt: skip
    earliest = min(row[1] for row in rows)
    written = await connection.fetch(_RECORD_CALLS, *map(list, zip(*rows, strict=True)), earliest)
    return {row["id"] for row in written}


async def heard_late(connection: Connection, late: Sequence[Ended]) -> set[UUID]:
    """End locked calls as done whose late answer says so, where a question or a repeat still waits and nothing of them
    is being sent; answers which those were."""
    rows = [(e.call_id, time_of(e.call_id), e.output) for e in late]
    ended = await connection.fetch(_HEARD_LATE, *map(list, zip(*rows, strict=True)))
    return {row["id"] for row in ended}


async def refused_late(connection: Connection, late: Sequence[Ended]) -> set[UUID]:
    """End locked calls as dead whose late answer refuses them for good, where a question waits and no other attempt of
    theirs may have acted; answers which those were."""
    rows = [(e.call_id, time_of(e.call_id), e.attempt_id, e.error) for e in late]
    ended = await connection.fetch(_REFUSED_LATE, *map(list, zip(*rows, strict=True)))
    return {row["id"] for row in ended}


async def recorded_before(connection: Connection, ended: Sequence[Ended]) -> set[UUID]:
    """The calls of those attempts whose end this same owner has written already: the answer to its commit was lost."""
    rows = [(e.attempt_id, time_of(e.attempt_id), e.fence) for e in ended if e.attempt_id is not None]
    if not rows:
        return set()
    known = await connection.fetch(_RECORDED, *map(list, zip(*rows, strict=True)))
    return {row["call_id"] for row in known}


async def record_attempts(connection: Connection, ended: Sequence[Ended]) -> None:
    rows = [
        (attempt_id, time_of(attempt_id), e.workspace, e.call_id, e.connection_id, e.number, e.attempt_state,
         e.fence, e.response, e.status, e.error, e.duration_ms)
        for e in ended
        if (attempt_id := e.attempt_id) is not None
    ]  # fmt: skip
    await later(connection, _RECORD_ATTEMPTS, *map(list, zip(*rows, strict=True)))


async def wake_runs(connection: Connection, run_ids: Sequence[UUID], now: datetime) -> None:
    """Make runs due: something that they wait for has ended. Rows are locked in the order of their ids."""
    ids = sorted(set(run_ids))
    ats = [time_of(run_id) for run_id in ids]
    if ids:
        await later(connection, _WAKE_RUNS, ids, ats, now, min(ats))


_ORPHANS = f"""
select a.id as attempt_id, a.number, a.state as attempt_state, a.deadline, {_DUE_FIELDS}
from attempt a join call on call.id = a.call_id
where a.connection_id = $1 and a.state = 'sending' and a.fence <= $2 and call.state = 'due'
  and not a.call_id = any($4) and a.deadline + $3::interval < clock_timestamp()
order by call.event_id, call.id
"""


async def orphans(
    connection: Connection, held: Held, settle: Any, flying: Sequence[UUID]
) -> list[tuple[UUID, int, DueCall]]:
    """Attempts left `sending`, whose answer can no longer come, by an earlier owner or by this one (calls that are
    not `flying`): (attempt id, number, call)."""
    rows = await connection.fetch(_ORPHANS, held.connection_id, held.fence, settle, list(flying))
    return [(row["attempt_id"], row["number"], DueCall(*row[4:])) for row in rows]


async def adopt(connection: Connection, held: Held, call_ids: Sequence[UUID]) -> None:
    """Put orphaned calls under this owner's fence, so that their end can be recorded."""
    await connection.execute(
        "update call set fence = $2, owner = $3 where id = any($1) and state = 'due'",
        list(call_ids),
        held.fence,
        held.owner,
    )


_LEAKED = """
update call c set owner = null, lease_until = null
where c.connection_id = $1 and c.state = 'due' and c.owner = $2 and c.fence <= $3 and c.lease_until is not null
  and not c.id = any($4)
  and not exists (select 1 from attempt a where a.call_id = c.id and a.at >= c.at and a.state = 'sending')
"""


async def free_leaked(connection: Connection, held: Held, flying: Sequence[UUID]) -> None:
    """Free calls that this owner claimed and does not fly: a commit's answer was lost, or a mark was refused."""
    await connection.execute(_LEAKED, held.connection_id, held.owner, held.fence, list(flying))


_LOOSE = """
update attempt a set state = 'unsure', ended_at = clock_timestamp(), error = 'its answer never came'
from call c where a.connection_id = $1 and a.state = 'sending' and a.deadline + interval '1 minute' < clock_timestamp()
  and c.id = a.call_id and c.state <> 'due'
"""


async def end_loose(connection: Connection, held: Held) -> None:
    """End attempts left `sending` whose call has ended by other means."""
    await connection.execute(_LOOSE, held.connection_id)


async def give_back(
    connection: Connection, held: Held, calls: Sequence[DueCall], due_at: datetime | None = None
) -> None:
    """Return claimed calls that were not sent."""
    await connection.execute(
        """update call set owner = null, lease_until = null, due_at = coalesce($4, due_at)
           where id = any($1) and fence = $2 and owner = $3 and state = 'due'""",
        [call.id for call in calls],
        held.fence,
        held.owner,
        due_at,
    )


async def sent_since(connection: Connection, connection_id: UUID, since: datetime) -> int:
    """Attempts of a lane's earlier owners that may have sent since a moment; of those that waited longer than a minute
    for their turn before, none."""
    counted: int = await connection.fetchval(
        """select count(*) from attempt where connection_id = $1 and id >= $2 and at >= $3
             and (ended_at is null or ended_at > $4)""",
        connection_id,
        first_id(since - _TURN),
        since - _TURN,
        since,
    )
    return counted


async def of_removed(connection: Connection, before: datetime, limit: int) -> list[DueCall]:
    """Lock due calls of connections that were removed before that moment, and that nobody sends this moment."""
    rows = await connection.fetch(
        f"""select {_DUE_FIELDS} from call join connection n on n.id = call.connection_id
            where n.removed and n.updated_at < $1 and call.state = 'due'
              and not exists (select 1 from attempt a where a.call_id = call.id and a.state = 'sending')
            order by call.id limit $2 for update of call skip locked""",
        before,
        limit,
    )
    return [DueCall(*row) for row in rows]


async def give_up(connection: Connection, given_up: Sequence[DueCall], why: str) -> None:
    """End locked calls that will not be made."""
    await connection.execute(
        """update call set state = 'dead', error = $3, error_kind = 'permanent', owner = null, lease_until = null,
             ended_at = clock_timestamp()
           where id = any($1) and at = any($2) and state = 'due'""",
        [call.id for call in given_up],
        [call.at for call in given_up],
        why,
    )


async def first_tried(connection: Connection, call: DueCall) -> datetime | None:
    """When the first attempt of a call began, or its lane was opened again after that; None if there was none."""
    began: datetime | None = await connection.fetchval(
        """select greatest(min(a.at), (select resumed_at from lane where connection_id = $3))
           from attempt a where a.call_id = $1 and a.at >= $2 having count(*) > 0""",
        call.id,
        time_of(call.id),
        call.connection_id,
    )
    return began


_ACTED_TWICE = """
select distinct t.call_id from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::bool[], $5::bool[])
    as t(call_id, at, attempt_id, late, heard)
join attempt a on a.call_id = t.call_id and a.at >= t.at and a.id <> t.attempt_id
where (a.state = 'late' and (a.status is null or a.status < 400 or a.status >= 500))
   or (t.late and a.state = 'ok' and a.error is null)
   or (t.heard and a.state = 'unsure')
"""


async def acted_twice(connection: Connection, ended: Sequence[Ended], late: Sequence[Ended]) -> set[UUID]:
    """Of calls that acted under this owner (`ended`), or perhaps under one that had lost the lane (`late`): those that
    another owner's attempt made too, or may have made where the late one surely did. Both are recorded already."""
    rows = [
        (e.call_id, time_of(e.call_id), e.attempt_id, is_late, is_late and e.attempt_state == "ok")
        for each, is_late in ((ended, False), (late, True))
        for e in each
        if e.attempt_id is not None and not e.alike
    ]
    if not rows:
        return set()
    found = await connection.fetch(_ACTED_TWICE, *map(list, zip(*rows, strict=True)))
    return {row["call_id"] for row in found}


async def stored_requests(connection: Connection, call: DueCall) -> bytes | None:
    """The packed and sealed requests of the latest attempt of a call that sent some."""
    packed: bytes | None = await connection.fetchval(
        """select requests from attempt where call_id = $1 and at >= $2 and requests is not null
           order by number desc limit 1""",
        call.id,
        time_of(call.id),
    )
    return packed
