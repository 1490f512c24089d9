"""What calls change at a store: looked up by the events that come of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.store.database import Connection

WITHIN = timedelta(minutes=5)
"""How long after its request what a call changed may still be told of. A store is rarely later."""


async def of_objects(db: Connection, asked: Sequence[tuple[int, UUID, str, str, datetime]]) -> list[tuple[int, str]]:
    """Actions that may have caused events, the latest first. asked: (number, connection, object id, subject id,
    when the webhook came); answers (number, action)."""
    rows = await db.fetch(
        """select t.n, e.action from unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
             as t(n, connection_id, object_id, subject_id, at)
           join echo e on e.connection_id = t.connection_id and e.object_id in (t.object_id, t.subject_id)
             and e.at between t.at - $6::interval and t.at + interval '5 s' order by e.at desc""",
        *map(list, zip(*asked, strict=True)),
        WITHIN,
    )
    return [(row["n"], row["action"]) for row in rows]


async def note(db: Connection, changed: Sequence[tuple[UUID, str, str]]) -> None:
    """Calls changed what only their answers named: (connection, object id, action)."""
    await db.execute(
        "insert into echo (connection_id, object_id, action) select * from unnest($1::uuid[], $2::text[], $3::text[])",
        *map(list, zip(*changed, strict=True)),
    )


async def forget(db: Connection) -> None:
    """What nothing can come of any more."""
    await db.execute("delete from echo where at < clock_timestamp() - 4 * $1::interval", WITHIN)
