"""What went wrong in the hub itself, and what of it has been told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.store.database import Connection

LOCK = 7201947


async def alone(db: Connection) -> bool:
    """Whether this transaction may tell; False while another process does."""
    mine: bool = await db.fetchval("select pg_try_advisory_xact_lock($1)", LOCK)
    return mine


@dataclass(frozen=True, slots=True)
class Group:
    """Troubles of one kind and object that were not told yet; the newest one stands for them."""

    kind: str
    object: str
    workspace: str
    connection_id: UUID | None
    count: int
    first_at: datetime
    last_at: datetime
    reason: str | None
    mark: str | None = None
    recipe: str | None = None
    step: str | None = None
    action: str | None = None
    run_id: UUID | None = None
    call_id: UUID | None = None
    event_id: UUID | None = None


_QUIET = "not exists (select 1 from trouble t where t.kind = {kind} and t.object = {object} and t.told_at > $1)"

_FAILED_RUNS = f"""
select distinct on (r.workspace, r.recipe) 'run_failed' as kind, r.workspace || '/' || r.recipe as object, r.workspace,
    r.connection_id, count(*) over w as count, min(r.ended_at) over w as first_at, max(r.ended_at) over w as last_at,
    r.reason, null as mark, r.recipe, null as step, null as action, r.id as run_id, null::uuid as call_id, r.event_id
from run r left join event e on e.id = r.event_id
where r.state = 'failed' and (r.told_at is null or r.told_at < r.ended_at) and r.mode = 'live'
    and coalesce(e.type, '') not like 'hub.%'
    and {_QUIET.format(kind="'run_failed'", object="r.workspace || '/' || r.recipe")}
window w as (partition by r.workspace, r.recipe)
order by r.workspace, r.recipe, r.ended_at desc
"""

_UNCERTAIN = f"""
select distinct on (c.connection_id, c.action) 'effect_uncertain' as kind, c.connection_id || '/' || c.action as object,
    c.workspace, c.connection_id, count(*) over w as count, min(c.at) over w as first_at, max(c.at) over w as last_at,
    coalesce(c.question, c.error) as reason, null as mark, c.recipe, c.path as step, c.action, c.run_id,
    c.id as call_id, c.event_id
from call c left join event e on e.id = c.event_id
where c.state = 'uncertain' and c.told_at is null and coalesce(e.type, '') not like 'hub.%'
    and {_QUIET.format(kind="'effect_uncertain'", object="c.connection_id || '/' || c.action")}
window w as (partition by c.connection_id, c.action)
order by c.connection_id, c.action, c.id desc
"""

_PARKED = """
select 'lane_parked' as kind, l.connection_id::text as object, l.workspace, l.connection_id,
    (select count(*) from call c where c.connection_id = l.connection_id and c.state = 'due') as count,
    l.parked_at as first_at, l.parked_at as last_at, l.reason, l.parked_at::text as mark, null as recipe, null as step,
    null as action, null::uuid as run_id, null::uuid as call_id, null::uuid as event_id
from lane l where l.state = 'parked' and l.parked_at is not null
    and exists (select 1 from call c left join event e on e.id = c.event_id
        where c.connection_id = l.connection_id and c.state = 'due' and coalesce(e.type, '') not like 'hub.%')
    and not exists (select 1 from trouble t where t.kind = 'lane_parked' and t.object = l.connection_id::text
        and (t.told_at > $1 or t.mark = l.parked_at::text))
"""

_FAILING = """
select 'connection_failing' as kind, c.id::text as object, c.workspace, c.id as connection_id, 1::bigint as count,
    coalesce(l.parked_at, c.updated_at) as first_at, coalesce(l.parked_at, c.updated_at) as last_at,
    coalesce(c.problem, l.reason) as reason, coalesce(l.parked_at::text, c.problem) as mark, null as recipe,
    null as step, null as action, null::uuid as run_id, null::uuid as call_id, null::uuid as event_id
from connection c left join lane l on l.connection_id = c.id
where not c.removed and (c.problem is not null or (l.state = 'parked' and l.reason like 'credentials:%'))
    and ((c.problem is not null and l.parked_at is null) or exists (
        select 1 from call k left join event e on e.id = k.event_id
        where k.connection_id = c.id and k.state = 'due' and coalesce(e.type, '') not like 'hub.%'))
    and not exists (select 1 from trouble t where t.kind = 'connection_failing' and t.object = c.id::text
        and (t.told_at > $1 or t.mark = coalesce(l.parked_at::text, c.problem)))
"""


_EXPIRING = """
select 'connection_expiring' as kind, c.id::text as object, c.workspace, c.id as connection_id, 1::bigint as count,
    $2::timestamptz as first_at, $2::timestamptz as last_at,
    'authorise it again before ' || to_char(c.authorised_until at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
        as reason,
    c.authorised_until || case when c.authorised_until - $2 <= interval '1 day' then ' day'
        when c.authorised_until - $2 <= interval '7 days' then ' week' else '' end as mark, null as recipe,
    null as step, null as action, null::uuid as run_id, null::uuid as call_id, null::uuid as event_id
from connection c
where not c.removed and not c.paused and c.authorised_until - $2 <= interval '14 days'
"""
_EXPIRING = f"""
select e.* from ({_EXPIRING}) e where not exists (select 1 from trouble t where t.kind = e.kind and t.object = e.object
    and (t.told_at > $1 or t.mark = e.mark))
"""


async def untold(db: Connection, quiet_since: datetime, now: datetime) -> list[Group]:
    """Troubles not told yet, one group an object, but for objects of which something was told since then: those
    gather. Nothing here comes of a run that answers a trouble."""
    found = []
    for query in (_FAILED_RUNS, _UNCERTAIN, _PARKED, _FAILING):
        found += [Group(*row) for row in await db.fetch(query, quiet_since)]
    found += [Group(*row) for row in await db.fetch(_EXPIRING, quiet_since, now)]
    return found


async def told(db: Connection, groups: Sequence[Group], now: datetime) -> None:
    """Remember what was told, in the transaction that stores the events."""
    await db.execute(
        """insert into trouble (kind, object, workspace, mark, told_at)
           select t.*, $5 from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as t
           on conflict (kind, object) do update set mark = excluded.mark, told_at = excluded.told_at""",
        [group.kind for group in groups],
        [group.object for group in groups],
        [group.workspace for group in groups],
        [group.mark for group in groups],
        now,
    )
    for group in groups:
        if group.kind == "run_failed":
            await db.execute(
                """update run set told_at = $4 where workspace = $1 and recipe = $2 and state = 'failed'
                   and (told_at is null or told_at < ended_at) and ended_at <= $3""",
                group.workspace,
                group.recipe,
                group.last_at,
                max(now, group.last_at),
            )
        elif group.kind == "effect_uncertain":
            await db.execute(
                """update call set told_at = $3 where connection_id = $1 and action = $2 and state = 'uncertain'
                   and told_at is null and id <= $4""",
                group.connection_id,
                group.action,
                now,
                group.call_id,
            )


async def pass_over_own(db: Connection, now: datetime) -> None:
    """What comes of runs that answer troubles is no trouble: it need not be looked at again."""
    await db.execute(
        """update run r set told_at = $1 from event e where e.id = r.event_id and e.type like 'hub.%'
           and r.state = 'failed' and (r.told_at is null or r.told_at < r.ended_at)""",
        now,
    )
    await db.execute(
        """update call c set told_at = $1 from event e where e.id = c.event_id and e.type like 'hub.%'
           and c.state = 'uncertain' and c.told_at is null""",
        now,
    )


async def recovered(db: Connection) -> None:
    """A connection that works again may fail again with the same words."""
    await db.execute(
        """update trouble t set mark = null from connection c where t.kind = 'connection_failing'
           and t.mark is not null and t.object = c.id::text and c.problem is null
           and not exists (select 1 from lane l where l.connection_id = c.id and l.state = 'parked')"""
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """When a source last spoke, and how long it usually is silent: the mean of its last gaps."""

    connection_id: UUID
    workspace: str
    last_at: datetime
    usual: timedelta
    count: int


_HEARD = """
select c.id, c.workspace, max(w.at), (max(w.at) - min(w.at)) / greatest(count(w.at) - 1, 1), count(w.at)
from connection c, lateral (
    select s.at from unnest($1::text[]) as state, lateral (
        select at from webhook w where w.workspace = c.workspace and w.connection_id = c.id and w.state = state
          and w.at > $2 order by w.id desc limit 200) s
    order by s.at desc limit 200) w
where c.role = 'shop' and not c.removed
  and not exists (select 1 from trouble t where t.kind = 'source_silent' and t.object = c.id::text and t.told_at > $3)
group by c.id, c.workspace having count(w.at) >= 20
"""


async def shops_heard(db: Connection, states: Sequence[str], since: datetime, quiet_since: datetime) -> list[Heard]:
    """The shops that spoke at least 20 times since then, by their last 200 webhooks."""
    return [Heard(*row) for row in await db.fetch(_HEARD, list(states), since, quiet_since)]


async def silence_told(db: Connection, connection_id: UUID, mark: str) -> bool:
    """Whether this very silence was told already."""
    known: Any = await db.fetchval(
        "select true from trouble where kind = 'source_silent' and object = $1 and mark = $2", str(connection_id), mark
    )
    return bool(known)
