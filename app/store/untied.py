"""Bodies that nobody's erasure would find, for nobody is known to whom they belong: they go after 30 days at most.

Each kind is gone through once, in the order of its ids; how far it came stands in `setting`.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from app.ids import time_of
from app.store.database import Connection, Row
from app.store.packing import pack
from app.store.retention import first_id

BATCH = 2000
LATER = timedelta(days=2)
"""How long after a webhook its events are looked for. (One that is read again later counts as nobody's: its body goes a
few days before its partition would.)"""
GONE = "nobody is known to whom it belongs: its body was kept for 30 days"
_NOTHING = pack(b"{}")

_WEBHOOKS = """
select id, at, workspace from webhook
where id > $1 and id < $2 and at >= $3 and state not in ('due', 'reading') order by id limit $4
"""
_TIED = """
select distinct webhook_id from event where webhook_id = any($1::uuid[]) and at >= $2 and at < $3
  and (customer_id is not null or email is not null)
"""
_BLANK_WEBHOOKS = """
update webhook set body = $2, size = 0, reads = null, reason = coalesce(reason, $3),
    state = case when state in ('unknown', 'malformed') then 'ignored' else state end
where id = any($1::uuid[]) and at >= $4 and size > 0
"""
_ATTEMPTS = """
select a.id, a.at, a.workspace, (e.customer_id is not null or e.email is not null) as tied
from attempt a left join call c on c.id = a.call_id left join event e on e.id = c.event_id
where a.id > $1 and a.id < $2 and a.at >= $3 and a.state <> 'sending'
  and (c.id is null or c.state not in ('due', 'uncertain')) order by a.id limit $4
"""
_BLANK_ATTEMPTS = "update attempt set requests = null, response = null where id = any($1::uuid[]) and at >= $2"


async def blank_webhooks(db: Connection, before: datetime) -> Mapping[str, int] | None:
    """Remove the bodies of a batch that came before that moment: how many, by workspace. None: all were looked at."""
    after = await _mark(db, "webhook")
    rows = await db.fetch(_WEBHOOKS, after, first_id(before), time_of(after), BATCH)
    if not rows:
        return None
    ids = [row["id"] for row in rows]
    first, last = rows[0]["at"], rows[-1]["at"]
    tied = {row["webhook_id"] for row in await db.fetch(_TIED, ids, first, last + LATER)}
    nobodys = [row for row in rows if row["id"] not in tied]
    await db.execute(_BLANK_WEBHOOKS, [row["id"] for row in nobodys], _NOTHING, GONE, first)
    return await _came_to(db, "webhook", rows[-1]["id"], nobodys)


async def blank_attempts(db: Connection, before: datetime) -> Mapping[str, int] | None:
    """The same for what calls sent and got back."""
    after = await _mark(db, "attempt")
    rows = await db.fetch(_ATTEMPTS, after, first_id(before), time_of(after), BATCH)
    if not rows:
        return None
    nobodys = [row for row in rows if not row["tied"]]
    await db.execute(_BLANK_ATTEMPTS, [row["id"] for row in nobodys], rows[0]["at"])
    return await _came_to(db, "attempt", rows[-1]["id"], nobodys)


async def _mark(db: Connection, table: str) -> UUID:
    kept: bytes | None = await db.fetchval("select value from setting where name = $1", f"untied {table}")
    return UUID(bytes=kept) if kept else first_id(datetime.fromisoformat("2020-01-01T00:00:00+00:00"))


async def _came_to(db: Connection, table: str, last: UUID, blanked: list[Row]) -> Mapping[str, int]:
    await db.execute(
        """insert into setting (name, value) values ($1, $2)
           on conflict (name) do update set value = excluded.value, updated_at = clock_timestamp()""",
        f"untied {table}",
        last.bytes,
    )
    return Counter(row["workspace"] for row in blanked)
