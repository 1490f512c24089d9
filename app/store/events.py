"""Canonical events, their identities, and the remembered states of objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection
from app.store.gathered import later


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored; `identity` None never meets itself again; `data` is packed JSON, `decisions` JSON text."""

    id: UUID
    workspace: str
    type: str
    connection_id: UUID | None
    webhook_id: UUID | None
    object_kind: str
    object_id: str
    subject_connection_id: UUID | None
    subject_kind: str
    subject_id: str
    version: str | None
    occurred_at: datetime
    data: bytes
    schema_version: int
    test: bool
    historical: bool
    note: str | None
    echo: str | None
    number: str | None
    email: str | None
    customer_id: UUID | None
    decisions: str
    waiters_due: bool


async def claim_identities(connection: Connection, identities: Sequence[tuple[bytes, UUID]]) -> set[bytes]:
    """Take event identities (distinct keys); answers those that no event had."""
    return (await remember(connection, [], identities))[1]


async def happened_earlier(connection: Connection, told: Sequence[tuple[bytes, datetime]]) -> None:
    """Let events that were told again (by identity) have the earliest time that was told of them."""
    if told:
        await connection.execute(
            """update event e set occurred_at = t.at from (
                 select i.event_id, min(t.at) as at from unnest($1::bytea[], $2::timestamptz[]) as t(key, at)
                 join event_identity i on i.key = t.key group by i.event_id order by i.event_id) as t
               where e.id = t.event_id and e.occurred_at > t.at""",
            *map(list, zip(*told, strict=True)),
        )


_INSERT = f"""
insert into event (at, {", ".join(NewEvent.__slots__)})
select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[],
    $8::text[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::bytea[], $15::smallint[],
    $16::bool[], $17::bool[], $18::text[], $19::text[], $20::text[], $21::text[], $22::uuid[], $23::jsonb[],
    $24::bool[])
"""


async def insert(connection: Connection, events: Sequence[NewEvent]) -> None:
    if events:
        rows = [(time_of(e.id), *(getattr(e, name) for name in NewEvent.__slots__)) for e in events]
        await later(connection, _INSERT, *map(list, zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class NewState:
    """What an event remembers of its object; `data` None keeps what was remembered."""

    key: bytes
    workspace: str
    connection_id: UUID
    kind: str
    object_id: str
    version: str | None
    data: str | None


async def lock_states(connection: Connection, states: Sequence[NewState]) -> dict[bytes, Any]:
    """Lock the states of these objects (made if absent) in the order of their keys: {key: (version, data)}."""
    if not states:
        return {}
    ordered = sorted({state.key: state for state in states}.values(), key=lambda state: state.key)
    columns = [(s.key, s.workspace, s.connection_id, s.kind, s.object_id) for s in ordered]
    rows = await connection.fetch(
        """insert into object_state (key, workspace, connection_id, kind, object_id)
           select * from unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[], $5::text[])
           on conflict (key) do update set key = excluded.key returning key, version, data""",
        *map(list, zip(*columns, strict=True)),
    )
    return {row["key"]: (row["version"], row["data"]) for row in rows}


_REMEMBER = """
with state as (
    insert into object_state as s (key, workspace, connection_id, kind, object_id, version, data)
    select key, workspace, connection_id, kind, object_id, version, coalesce(data, '{}')
    from unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
        as t(key, workspace, connection_id, kind, object_id, version, data)
    on conflict (key) do update set version = coalesce(excluded.version, s.version), updated_at = clock_timestamp(),
        data = case when excluded.data = '{}' then s.data else excluded.data end
        where s.version is null or excluded.version is null or excluded.version >= s.version collate "C"
    returning key
), identity as (
    insert into event_identity (key, event_id)
    select * from unnest($8::bytea[], $9::uuid[]) as t(key, event_id) order by key
    on conflict (key) do nothing returning key
)
select key, true as current from state union all select key, false from identity
"""


async def remember(
    connection: Connection, states: Sequence[NewState], identities: Sequence[tuple[bytes, UUID]]
) -> tuple[set[bytes], set[bytes]]:
    """Bring the states of objects up to date, one row an object, then take event identities (distinct keys); answers
    the keys of the states that were not stale, and the identities that no event had."""
    if not states and not identities:
        return set(), set()
    ordered = sorted(states, key=lambda state: state.key)
    columns = [(s.key, s.workspace, s.connection_id, s.kind, s.object_id, s.version, s.data) for s in ordered]
    args = [*_by_column(columns, 7), *_by_column(identities, 2)]
    rows = await connection.fetch(_REMEMBER, *args)
    return {row["key"] for row in rows if row["current"]}, {row["key"] for row in rows if not row["current"]}


def _by_column(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


async def load(connection: Connection, event_ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Events by their ids; those that retention dropped are absent."""
    if not event_ids:
        return {}
    rows = await connection.fetch(
        "select * from event where id = any($1) and at >= $2", list(event_ids), min(map(time_of, event_ids))
    )
    return {row["id"]: row for row in rows}


async def met(connection: Connection, identities: Sequence[bytes]) -> set[bytes]:
    """Those of the identities that an event has."""
    rows = await connection.fetch("select key from event_identity where key = any($1::bytea[])", list(identities))
    return {row["key"] for row in rows}
