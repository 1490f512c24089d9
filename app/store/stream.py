"""The order in which events were written, for whoever follows them: the writer's transaction number, then the id.

Ids are made before a commit and commits overtake each other, so that "ids above the last one" would skip rows. Nothing
is written any more under a transaction number below that of the oldest open transaction: up to there a follower reads.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LAST = """
select max(last.written) from workspace w, lateral (
    select e.written from event e where e.workspace = w.name order by e.written desc limit 1) as last
"""
_NEXT = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint, stream_offset()"


async def carry_on(db: AsyncConnection) -> None:
    """Count on from the last event where the database was restored into a server that has counted fewer transactions:
    else what is written from now on would stand before what was written then."""
    last = (await db.execute(text(_LAST))).scalar_one()
    following, offset = (await db.execute(text(_NEXT))).one()
    if last is not None and last >= following + offset:
        made = int(last) + 1 - int(following)
        await db.execute(
            text(
                "create or replace function stream_offset() returns bigint language sql immutable parallel safe "
                f"as 'select {made}::bigint'"
            )
        )
