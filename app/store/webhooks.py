"""Webhooks as they came in, and the delivery keys that drop redeliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from app.ids import time_of
from app.store.database import Connection, Row
from app.store.gathered import UNFLUSHED, later
from app.store.packing import pack, unpack


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to be stored; `key` None is never a redelivery; `expires_at` frees a key made of content;
    `always_new` is kept whatever its key says."""

    id: UUID
    workspace: str
    connection_id: UUID
    topic: str
    headers: bytes
    body: bytes
    size: int
    key: bytes | None
    expires_at: datetime | None = None
    test: bool = False
    state: str = "due"
    reason: str | None = None
    always_new: bool = False


def pack_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    return pack(orjson.dumps(list(headers)))


def unpack_headers(stored: bytes) -> dict[str, str]:
    return dict(orjson.loads(unpack(stored)))


_STORE = """
with quick as materialized ({quick}), incoming as materialized (
    select t.* from quick, unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::bytea[],
        $7::bytea[], $8::int[], $9::bytea[], $10::timestamptz[], $11::bool[], $12::text[], $13::text[], $14::bool[])
    as t(id, at, workspace, connection_id, topic, headers, body, size, key, expires_at, test, state, reason, always_new)
), fresh as (
    insert into delivery as d (key, webhook_id, expires_at)
    select key, id, expires_at from incoming where key is not null
    on conflict (key) do update set webhook_id = excluded.webhook_id, expires_at = excluded.expires_at
        where d.expires_at < clock_timestamp()
            or excluded.webhook_id in (select id from incoming where always_new)
    returning webhook_id
)
insert into webhook (id, at, workspace, connection_id, topic, headers, body, size, test, state, reason)
select i.id, i.at, i.workspace, i.connection_id, i.topic, i.headers, i.body, i.size, i.test, i.state, i.reason
from incoming i where i.key is null or i.id in (select webhook_id from fresh)
returning id
"""


_STORES = {True: _STORE.format(quick="select 1"), False: _STORE.format(quick=UNFLUSHED)}


async def store(connection: Connection, rows: Sequence[NewWebhook], *, flushed: bool) -> set[UUID]:
    """Store what is new in one statement; answers the ids that were. Keys must differ within `rows`; rows come sorted
    by key, so that two batches never wait for each other in a circle. Where its commit is not `flushed`, or has stored
    nothing, it has waited for no disk: no sender is told before a `flush`, of a redelivery either."""
    columns = [
        (r.id, time_of(r.id), r.workspace, r.connection_id, r.topic, r.headers, r.body, r.size, r.key, r.expires_at,
         r.test, r.state, r.reason, r.always_new)
        for r in rows
    ]  # fmt: skip
    stored = await connection.fetch(_STORES[flushed], *map(list, zip(*columns, strict=True)))
    return {row["id"] for row in stored}


async def kept_under(connection: Connection, key: bytes) -> UUID | None:
    """The webhook that has a delivery key."""
    found: UUID | None = await connection.fetchval("select webhook_id from delivery where key = $1", key)
    return found


_CLAIM = """
select id, at, workspace, connection_id, topic, headers, body, reads, test from webhook
where state = 'due' order by id limit $1 for update skip locked
"""


async def claim(connection: Connection, limit: int) -> list[Row]:
    """Lock due webhooks, oldest first, for the length of the transaction; a worker that dies lets go by that."""
    rows: list[Row] = await connection.fetch(_CLAIM, limit)
    return rows


_CLAIM_ONE = """
select id, at, workspace, connection_id, topic, headers, body, reads, test from webhook
where id = $1 and at = $2 and state = 'due' for update skip locked
"""


async def claim_one(connection: Connection, webhook_id: UUID, at: datetime) -> list[Row]:
    """Lock one webhook for the length of the transaction; nothing if it is not due any more, or another has it."""
    rows: list[Row] = await connection.fetch(_CLAIM_ONE, webhook_id, at)
    return rows


_CLAIM_OTHERS = """
with oldest as (
    select w.id, w.at, row_number() over (partition by c.id order by w.id) as turn
    from connection c cross join lateral (
        select id, at from webhook where workspace = c.workspace and connection_id = c.id and state = 'due'
            and at >= $3
        order by id limit $2) w
    where not c.removed and not c.id = any($1) order by turn, id limit $2
)
select w.id, w.at, w.workspace, w.connection_id, w.topic, w.headers, w.body, w.reads, w.test
from oldest join webhook w on w.id = oldest.id and w.at = oldest.at
where w.state = 'due' and w.at >= $3 order by w.id for update of w skip locked
"""


async def claim_others(connection: Connection, than: Sequence[UUID], since: datetime, limit: int) -> list[Row]:
    """Lock the oldest due webhooks of connections other than these, one of each, then the second of each, and so on:
    a flood of one connection does not hold up the others. since: when the oldest due webhook came, so that partitions
    before it are left alone."""
    rows: list[Row] = await connection.fetch(_CLAIM_OTHERS, list(than), limit, since)
    return rows


_FINISH = """
update webhook w set state = t.state, reason = t.reason, events = t.events, normalised_at = clock_timestamp()
from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::int[]) as t(id, at, state, reason, events)
where w.id = t.id and w.at = t.at and w.at >= $6
"""


async def finish(connection: Connection, results: Sequence[tuple[UUID, datetime, str, str | None, int]]) -> None:
    """Record what became of webhooks: (id, at, state, reason, number of events)."""
    columns = list(map(list, zip(*results, strict=True)))
    await later(connection, _FINISH, *columns, min(columns[1]))


_REPROCESS = """
update webhook set state = 'due', reason = null, normalised_at = null,
    reads = case when reads -> 'unread' = '{}' then reads end
where workspace = $1 and state = any($2) and ($3::uuid is null or connection_id = $3)
"""


async def reprocess(connection: Connection, workspace: str, states: Sequence[str], connection_id: UUID | None) -> int:
    """Make kept webhooks due again, so that they are read once more; answers how many. Safe to repeat: a fact that is
    an event already stays that one event."""
    status = await connection.execute(_REPROCESS, workspace, list(states), connection_id)
    return int(status.rpartition(" ")[2])
