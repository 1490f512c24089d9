"""Lanes: who drains a connection, under which fence, and whether somebody rang meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.store.database import Connection, to_json
from app.store.gathered import UNFLUSHED

LEASE = timedelta(seconds=10)
Windows = dict[str, dict[str, list[tuple[float, int]]]]
"""What rate windows hold: by window, by limit key, (seconds ago, how many requests)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lane that this process drains. `fence` grows with every owner: an older one cannot write."""

    connection_id: UUID
    owner: str
    fence: int
    parked: bool
    paused: bool
    probe_at: datetime | None
    probes: int


_ACQUIRE = f"""
with quick as materialized ({UNFLUSHED})
update lane set owner = $2, fence = fence + 1, lease_until = clock_timestamp() + $3::interval, bell = false from quick
where connection_id = $1 and (owner is null or owner = $2 or lease_until < clock_timestamp())
returning fence, state = 'parked' as parked, paused, probe_at, probes
"""


async def acquire(connection: Connection, connection_id: UUID, owner: str) -> Held | None:
    """Take the lane if nobody else holds it, under a new fence; None while another does. Waits for no disk: nothing is
    sent under a fence before a mark, whose commit makes both durable."""
    row = await connection.fetchrow(_ACQUIRE, connection_id, owner, LEASE)
    return Held(connection_id, owner, *row) if row else None


_WINDOWS = """case when {given}::jsonb is null then windows
    else jsonb_build_object('at', extract(epoch from clock_timestamp())::float8, 'held', {given}::jsonb) end"""
_RENEW = f"""
with quick as materialized ({UNFLUSHED})
update lane set lease_until = clock_timestamp() + $4::interval, bell = false, windows = {_WINDOWS.format(given="$5")}
from quick where connection_id = $1 and owner = $2 and fence = $3 and lease_until > clock_timestamp()
returning fence, state = 'parked' as parked, paused, probe_at, probes
"""


async def renew(connection: Connection, held: Held, windows: Windows | None = None) -> Held | None:
    """Keep the lane and clear its bell (look for work after this, not before); None if it was lost. `windows`: what
    its rate windows hold, for its next owner."""
    told = None if windows is None else to_json(windows)
    row = await connection.fetchrow(_RENEW, held.connection_id, held.owner, held.fence, LEASE, told)
    return Held(held.connection_id, held.owner, *row) if row else None


async def keep(connection: Connection, held: Held) -> None:
    """Keep the lane, and leave its bell alone: for while the drain itself is slow."""
    await connection.execute(
        """update lane set lease_until = clock_timestamp() + $4::interval
           where connection_id = $1 and owner = $2 and fence = $3 and lease_until > clock_timestamp()""",
        held.connection_id,
        held.owner,
        held.fence,
        LEASE,
    )


_RELEASE = f"""
update lane set owner = null, lease_until = null, windows = {_WINDOWS.format(given="$5")}
where connection_id = $1 and owner = $2 and fence = $3 and (not bell or $4)
"""


async def release(
    connection: Connection, held: Held, *, though_rung: bool = False, windows: Windows | None = None
) -> bool:
    """Let go, unless somebody rang meanwhile (False)."""
    told = None if windows is None else to_json(windows)
    status = await connection.execute(_RELEASE, held.connection_id, held.owner, held.fence, though_rung, told)
    return bool(status.endswith("1"))


async def ring(connection: Connection, connection_id: UUID) -> bool:
    """Leave word for the owner of a held lane; False when nobody holds it any more."""
    held: bool | None = await connection.fetchval(
        """update lane set bell = true
           where connection_id = $1 and owner is not null and lease_until > clock_timestamp() returning true""",
        connection_id,
    )
    return bool(held)


async def park(connection: Connection, held: Held, reason: str, probe_in: timedelta) -> bool:
    """Stop attempts until a probe succeeds; False if the lane was lost."""
    status = await connection.execute(
        """update lane set state = 'parked', reason = $4, parked_at = coalesce(parked_at, clock_timestamp()),
           probe_at = clock_timestamp() + $5::interval, probes = probes + 1
           where connection_id = $1 and owner = $2 and fence = $3""",
        held.connection_id,
        held.owner,
        held.fence,
        reason,
        probe_in,
    )
    return bool(status.endswith("1"))


_OPENED = """state = 'open', reason = null, parked_at = null, probe_at = null, probes = 0,
    resumed_at = clock_timestamp()"""


async def unpark(connection: Connection, connection_id: UUID) -> None:
    await connection.execute(
        f"update lane set {_OPENED} where connection_id = $1 and state = 'parked'",
        connection_id,
    )


async def told(connection: Connection, connection_id: UUID) -> tuple[dict[str, float], Windows, datetime | None]:
    """What earlier owners told of a lane: (for how many seconds more the system does not want to be asked, by limit key
    ("": at all); what the rate windows held; when that was told)."""
    row = await connection.fetchrow(
        """select pauses, windows, extract(epoch from clock_timestamp())::float8 as now,
             to_timestamp((windows ->> 'at')::float8) as told_at from lane where connection_id = $1""",
        connection_id,
    )
    if row is None:
        return {}, {}, None
    pauses = {key: until - row["now"] for key, until in row["pauses"].items() if until > row["now"]}
    ago = row["now"] - row["windows"].get("at", 0)
    windows: Windows = {
        name: {key: [(ago + seconds, number) for seconds, number in held] for key, held in keys.items()}
        for name, keys in row["windows"].get("held", {}).items()
    }
    return pauses, windows, row["told_at"]


async def tell_pauses(connection: Connection, held: Held, seconds: dict[str, float]) -> None:
    """Keep what the system said of when to come back, for whoever drains the lane next."""
    await connection.execute(
        """update lane set pauses = (select jsonb_object_agg(t.key, extract(epoch from clock_timestamp()) + t.seconds)
             from unnest($3::text[], $4::float8[]) as t(key, seconds))
           where connection_id = $1 and fence = $2""",
        held.connection_id,
        held.fence,
        list(seconds),
        list(seconds.values()),
    )


async def waiting(connection: Connection, connection_id: UUID) -> list[str]:
    """The recipes whose calls wait in a lane."""
    rows = await connection.fetch(
        "select distinct recipe from call where connection_id = $1 and state = 'due' order by recipe", connection_id
    )
    return [row["recipe"] for row in rows]


async def credentials_changed(connection: Connection, connection_id: UUID, now: datetime) -> bool:
    """A connection was given other credentials, or its own work again: open its lane if what they were before had
    parked it, and let what was refused be tried now. True when there is something to do."""
    opened = await connection.fetchval(
        f"""update lane set {_OPENED}
            where connection_id = $1 and state = 'parked' and reason like 'credentials:%' returning true""",
        connection_id,
    )
    again = await connection.execute(
        "update call set due_at = $2 where connection_id = $1 and state = 'due' and error_kind = 'credential'",
        connection_id,
        now,
    )
    return bool(opened) or not again.endswith(" 0")


async def set_paused(connection: Connection, connection_id: UUID, paused: bool) -> None:
    await connection.execute("update lane set paused = $2 where connection_id = $1", connection_id, paused)


async def make(connection: Connection, lanes: Sequence[tuple[UUID, str]]) -> None:
    """A lane for each (connection id, workspace)."""
    await connection.executemany(
        "insert into lane (connection_id, workspace) values ($1, $2) on conflict do nothing", lanes
    )


_WITH_WORK = """
select l.connection_id from lane l
where not l.paused and (l.state = 'open' or l.probe_at <= clock_timestamp())
  and (l.owner is null or l.owner = $2 or l.lease_until < clock_timestamp())
  and (exists (select 1 from call c where c.connection_id = l.connection_id and c.state = 'due' and c.due_at <= $1)
    or exists (select 1 from timer t where t.connection_id = l.connection_id and t.kind = 'read' and t.due_at <= $1))
"""


async def with_work(connection: Connection, now: datetime, owner: str) -> list[UUID]:
    """Lanes that have something due and that `owner` could drain."""
    return [row["connection_id"] for row in await connection.fetch(_WITH_WORK, now, owner)]
