"""How much is due, and which lanes are open: what readiness and metrics show."""

from app.store.database import Connection

_DUE = """
select 'webhook' as stage, count(*) as rows from webhook where state = 'due'
union all select 'run', count(*) from run where due_at is not null
union all select 'call', count(*) from call where state = 'due'
union all select 'uncertain', count(*) from call where state = 'uncertain'
"""


async def answers(db: Connection) -> None:
    """Returns when the database does."""
    await db.fetchval("select 1")


async def due(db: Connection) -> dict[str, int]:
    """Rows that are due, by stage; and calls that wait for a person's answer, as `uncertain`."""
    return {row["stage"]: row["rows"] for row in await db.fetch(_DUE)}


async def lanes_open(db: Connection, workspace: str) -> dict[str, bool]:
    """Slug of a workspace's connection -> whether its lane is open (False while it is parked)."""
    rows = await db.fetch(
        """select c.slug, l.state = 'open' as is_open from lane l join connection c on c.id = l.connection_id
           where c.workspace = $1 and not c.removed""",
        workspace,
    )
    return {row["slug"]: row["is_open"] for row in rows}
