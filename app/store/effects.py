"""The effect ledger: what was done outside, under keys that are kept for ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.store.database import Connection
from app.store.gathered import later


@dataclass(frozen=True, slots=True)
class Standing:
    """An effect that another call reserved, did, or left uncertain."""

    state: str
    call_id: UUID
    output: Any


RESERVE = """
insert into effect as e (key, workspace, state, call_id, label)
{wanted}
on conflict (key) do update set state = 'reserved', call_id = excluded.call_id
    where e.state = 'released' or (e.call_id = excluded.call_id and e.state = 'reserved')
returning key, call_id
"""
_RESERVE = RESERVE.format(
    wanted="""select key, workspace, 'reserved', call_id, label
from unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[]) as t(key, workspace, call_id, label) order by key"""
)


async def reserve(
    connection: Connection, wanted: Sequence[tuple[bytes, str, UUID, str]]
) -> dict[bytes, Standing | None]:
    """Reserve effects (key, workspace, call id, label), keys distinct: None where the call now has it, else how the
    effect stands."""
    if not wanted:
        return {}
    ours = {row["key"] for row in await connection.fetch(_RESERVE, *map(list, zip(*wanted, strict=True)))}
    others = [key for key, *_ in wanted if key not in ours]
    standing: dict[bytes, Standing | None] = dict.fromkeys(ours)
    if others:
        rows = await connection.fetch("select key, state, call_id, output from effect where key = any($1)", others)
        standing.update({row["key"]: Standing(row["state"], row["call_id"], row["output"]) for row in rows})
    return standing


_FINISH = """
update effect e set state = t.state, output = coalesce(t.output, e.output), ended_at = clock_timestamp()
from unnest($1::bytea[], $2::uuid[], $3::text[], $4::jsonb[]) as t(key, call_id, state, output)
where e.key = t.key and e.call_id = t.call_id
"""


async def finish(connection: Connection, results: Sequence[tuple[bytes, UUID, str, str | None]]) -> None:
    """Record how reserved effects ended: (key, call id, state, output as JSON text)."""
    if results:
        await later(connection, _FINISH, *map(list, zip(*sorted(results), strict=True)))


_HEARD_LATE = """
with t as (
    select * from unnest($1::bytea[], $2::uuid[], $3::jsonb[], $4::bool[]) as t(key, call_id, output, closed)
), known as (
    update effect e set state = 'done', output = coalesce(t.output, e.output), ended_at = clock_timestamp()
    from t where e.key = t.key and e.call_id = t.call_id and (e.state in ('uncertain', 'released') or t.closed)
), others as (
    select e.key, e.state = 'released' as undone, e.call_id from effect e join t on t.key = e.key
    where t.call_id <> e.call_id
), resting as (
    select o.key from others o join call c on c.id = o.call_id join effect e on e.key = o.key
    where e.state = 'reserved' and c.state = 'due' and c.lease_until is null and not c.unsure
    for update of c
), free as (
    select key from others where undone union select key from resting
), handed as (
    update effect e set state = 'done', call_id = t.call_id, output = coalesce(t.output, e.output),
        ended_at = clock_timestamp()
    from t join free on free.key = t.key where e.key = t.key and e.state in ('reserved', 'released')
    returning e.key
)
select key from others where not key in (select key from handed)
"""


async def heard_late(connection: Connection, results: Sequence[tuple[bytes, UUID, str | None, bool]]) -> set[bytes]:
    """A late answer says that these exist: (key, call id, output as JSON text, whether it closed its call), each call
    once. Where another call has only reserved it meanwhile and not begun, it finds it done. Answers the keys of which
    another call has done something."""
    rows = await connection.fetch(_HEARD_LATE, *map(list, zip(*sorted(results), strict=True)))
    return {row["key"] for row in rows}


async def mark_doubled(connection: Connection, keys: Sequence[bytes]) -> None:
    """An answer arrived for a call that another owner had taken over: the effect may exist twice, and says so."""
    await connection.execute("update effect set doubled = true where key = any($1)", list(keys))
