"""Workspaces: what all their recipes share."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import workspace


async def zones(db: AsyncConnection) -> list[tuple[str, str]]:
    """(workspace, name of its time zone)."""
    rows = await db.execute(select(workspace.c.name, workspace.c.timezone))
    return [(row.name, row.timezone) for row in rows]
