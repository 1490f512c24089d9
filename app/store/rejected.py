"""Webhooks that were refused."""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import rejected as table


@dataclass(frozen=True)
class Rejected:
    id: UUID
    workspace: str
    slug: str
    status: int
    reason: str
    size: int


async def insert_row(db: AsyncConnection, row: Rejected) -> None:
    await db.execute(insert(table).values(**asdict(row)))


async def trim(db: AsyncConnection, keep: int) -> None:
    """Drop the oldest rows beyond `keep`."""
    oldest = select(table.c.id).order_by(table.c.id.desc()).offset(keep).limit(1).scalar_subquery()
    await db.execute(delete(table).where(table.c.id <= oldest))
