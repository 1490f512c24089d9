"""By which connection a thing came in."""

from collections.abc import Sequence
from uuid import UUID

from app.store.database import Connection


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def of_slugs(db: Connection, workspace: str, slugs: Sequence[str]) -> set[UUID]:
    """Every connection that bears one of these slugs or, since removed, bore it: what lists find by a slug."""
    query = "select id from connection where workspace = $1 and slug = any($2::text[])"
    return {row["id"] for row in await db.fetch(query, workspace, list(slugs))}


async def of_event_or_webhook(db: Connection, workspace: str, named: str) -> UUID | None:
    """By the id of an event, or of a webhook."""
    found: UUID | None = await db.fetchval(
        """select connection_id from event where id = $2 and workspace = $1
           union all select connection_id from webhook where id = $2 and workspace = $1 limit 1""",
        workspace,
        _id(named),
    )
    return found


async def of_run(db: Connection, workspace: str, named: str) -> UUID | None:
    """By the id of a run: where its event came from."""
    query = "select connection_id from run where id = $2 and workspace = $1"
    found: UUID | None = await db.fetchval(query, workspace, _id(named))
    return found


async def of_effect(db: Connection, workspace: str, named: str) -> UUID | None:
    """By an effect's key (hex) or the id of its call: where the event of its run came from."""
    try:
        key = bytes.fromhex(named)
    except ValueError:
        key = b""
    found: UUID | None = await db.fetchval(
        """select r.connection_id from call c join run r on r.id = c.run_id
           where c.workspace = $1 and (c.id = $2 or c.id = (select call_id from effect where key = $3))""",
        workspace,
        _id(named),
        key,
    )
    return found
