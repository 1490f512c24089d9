"""The audit log, beside what people change."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ids import new_id
from app.store.byhand import Deed, under
from app.store.tables import audit


async def note_change(db: AsyncConnection, deed: Deed) -> None:
    values = {name: getattr(deed, name) for name in Deed.__slots__}
    await db.execute(insert(audit).values(id=new_id(), **values | {"detail": deed.detail | under()}))
