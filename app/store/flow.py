"""What moved since the last look, for a terminal that follows the flow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection, Row


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as a terminal tells of it."""

    id: UUID
    at: datetime
    type: str
    schema_version: int
    data: Any
    connection: str | None
    number: str | None
    email: str | None


_SINCE = """
select e.id, e.at, e.type, e.schema_version, e.data, c.slug as connection, e.number, e.email
from event e left join connection c on c.id = e.connection_id
where e.id >= $1 and e.at >= $2 and e.id <> all($3) order by e.id limit 500
"""


_REPLAYED = """
select distinct on (e.id) e.id, e.at, e.type, e.schema_version, e.data, c.slug as connection, e.number, e.email
from run r join event e on e.id = r.event_id left join connection c on c.id = e.connection_id
where r.id >= $1 and r.at >= $2 and r.replay_of is not null and e.id <> all($3) order by e.id limit 100
"""


async def replayed_since(db: Connection, since: datetime, known: Sequence[UUID]) -> list[Seen]:
    """Events that were replayed since then, but for the known ones."""
    return [Seen(*row) for row in await db.fetch(_REPLAYED, _first_id(since), since, list(known))]


async def parked(db: Connection) -> dict[str, tuple[str, int]]:
    """Slug of each connection whose calls wait for it -> why, and how many they are."""
    rows = await db.fetch(
        """select c.slug, coalesce(l.reason, ''), count(w.id) from lane l join connection c on c.id = l.connection_id
           left join call w on w.connection_id = c.id and w.state = 'due'
           where l.state = 'parked' group by 1, 2"""
    )
    return {slug: (reason, waiting) for slug, reason, waiting in rows}


async def events_since(db: Connection, since: datetime, known: Sequence[UUID]) -> list[Seen]:
    """Events that came in since then, but for the known ones; oldest first."""
    return [Seen(*row) for row in await db.fetch(_SINCE, _first_id(since), since, list(known))]


@dataclass(frozen=True, slots=True)
class Progress:
    """How one run stands. `milliseconds`: from its first call's start to its last attempt's end; `trouble`: the newest
    error of a call that has not been made; `replay`: it repeats an earlier run."""

    id: UUID
    event_id: UUID
    recipe: str
    state: str
    reason: str | None
    calls: int
    done: int
    milliseconds: int
    trouble: str | None
    replay: bool


_PROGRESS = """
select r.id, r.event_id, r.recipe, r.state, r.reason, count(c.id) as calls,
    count(c.id) filter (where c.state in ('done', 'captured', 'skipped')) as done,
    coalesce(round(extract(epoch from max(coalesce(c.ended_at, c.sent_at)) - min(c.at)) * 1000), 0)::int as ms,
    (array_agg(coalesce(c.error, c.question) order by c.id)
        filter (where c.state in ('due', 'uncertain', 'dead') and coalesce(c.error, c.question) is not null))[1],
    r.replay_of is not null
from run r left join call c on c.run_id = r.id and c.at >= $2
where r.event_id = any($1) and r.at >= $2
group by r.id, r.at, r.event_id, r.recipe, r.state, r.reason, r.replay_of order by r.id
"""


async def progress_of(db: Connection, event_ids: Sequence[UUID]) -> list[Progress]:
    """How the runs of these events stand."""
    if not event_ids:
        return []
    since = min(map(time_of, event_ids)) - timedelta(seconds=5)
    return [Progress(*row) for row in await db.fetch(_PROGRESS, list(event_ids), since)]


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that came in and made no event."""

    id: UUID
    at: datetime
    connection: str
    topic: str
    state: str
    reason: str | None


_REFUSED = """
select w.id, w.at, coalesce(c.slug, '?'), w.topic, w.state, w.reason
from webhook w left join connection c on c.id = w.connection_id
where w.id >= $1 and w.at >= $2 and w.id <> all($3) and w.state in ('unknown', 'malformed')
union all
select id, at, slug, '', 'rejected', status || ': ' || reason from rejected where id >= $1 and id <> all($3)
order by 1 limit 100
"""


async def refused_since(db: Connection, since: datetime, known: Sequence[UUID]) -> list[Refused]:
    """Webhooks that were rejected, or that nothing could be made of, since then, but for the known ones."""
    return [Refused(*row) for row in await db.fetch(_REFUSED, _first_id(since), since, list(known))]


async def newest_webhooks(db: Connection, connection_id: UUID, limit: int, before: UUID | None = None) -> list[Row]:
    """The last webhooks of a connection as they came in (topic, packed headers, packed body), newest first: those
    before one of them, if said."""
    return await db.fetch(
        """select id, topic, headers, body from webhook
           where connection_id = $1 and ($3::uuid is null or id < $3) order by id desc limit $2""",
        connection_id,
        limit,
        before,
    )


def _first_id(since: datetime) -> UUID:
    """The lowest id that is made at that moment: ids begin with their millisecond, and are indexed."""
    return UUID(int=int(since.timestamp() * 1000) << 80)
