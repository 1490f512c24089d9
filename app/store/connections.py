"""Connection rows: settings in the open, secrets and rotating credentials sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import connection as table
from app.store.tables import lane


@dataclass(frozen=True, slots=True)
class NewConnection:
    """What a file or the API says of a connection; `secrets` is sealed already."""

    id: UUID
    workspace: str
    slug: str
    connector: str
    account: str
    alias: str
    role: str | None
    settings: Mapping[str, Any]
    secrets: bytes
    base_url: str | None
    origin: str
    history: str = "unknown"


async def load_all(db: AsyncConnection) -> Sequence[Any]:
    """Every connection that is not removed."""
    return (await db.execute(select(table).where(~table.c.removed).order_by(table.c.workspace, table.c.slug))).all()


async def ids_of_slugs(db: AsyncConnection, workspace: str, slugs: Sequence[str]) -> dict[str, UUID]:
    """The permanent ids of connections that are not removed, by slug."""
    wanted = (table.c.workspace == workspace) & table.c.slug.in_(slugs) & ~table.c.removed
    return {row.slug: row.id for row in await db.execute(select(table.c.slug, table.c.id).where(wanted))}


async def changed_at(db: AsyncConnection) -> datetime | None:
    """When the newest change of any connection was made."""
    changed: datetime | None = (await db.execute(select(func.max(table.c.updated_at)))).scalar_one()
    return changed


async def find_account(db: AsyncConnection, workspace: str, connector: str, account: str, alias: str) -> Any | None:
    return (
        await db.execute(
            select(table).where(
                table.c.workspace == workspace,
                table.c.connector == connector,
                table.c.account == account,
                table.c.alias == alias,
            )
        )
    ).one_or_none()


async def save(db: AsyncConnection, new: NewConnection) -> UUID:
    """Insert, or change the row of the same account; its permanent id stays. Answers that id."""
    values = {name: getattr(new, name) for name in NewConnection.__slots__}
    changing = {
        name: value for name, value in values.items() if name not in ("id", "workspace", "connector", "account")
    }
    if new.history == "unknown":
        changing.pop("history")  # what was imported since stays known
    changing |= {"removed": False, "updated_at": func.clock_timestamp()}
    statement = insert(table).values(**values)
    kept: UUID = (
        await db.execute(
            statement.on_conflict_do_update(constraint="connection_account", set_=changing).returning(table.c.id)
        )
    ).scalar_one()
    await db.execute(insert(lane).values(connection_id=kept, workspace=new.workspace).on_conflict_do_nothing())
    return kept


async def remove_others(db: AsyncConnection, origin: str, keep: Sequence[UUID]) -> list[str]:
    """Mark as removed what a file once held and no longer does; answers the slugs."""
    rows = await db.execute(
        update(table)
        .where(table.c.origin == origin, ~table.c.removed, table.c.id.not_in(list(keep)))
        .values(removed=True, updated_at=func.clock_timestamp())
        .returning(table.c.slug)
    )
    return [row.slug for row in rows]


async def set_paused(db: AsyncConnection, connection_id: UUID, paused: bool) -> None:
    await db.execute(
        update(table).where(table.c.id == connection_id).values(paused=paused, updated_at=func.clock_timestamp())
    )
    await db.execute(update(lane).where(lane.c.connection_id == connection_id).values(paused=paused))


async def lock_credentials(db: AsyncConnection, connection_id: UUID) -> Any:
    """The sealed credentials and their version, locked for the transaction: one process refreshes at a time."""
    return (
        await db.execute(
            select(table.c.credentials, table.c.credentials_version)
            .where(table.c.id == connection_id)
            .with_for_update()
        )
    ).one()


async def save_credentials(
    db: AsyncConnection, connection_id: UUID, sealed: bytes, expires_at: datetime | None
) -> None:
    await db.execute(
        update(table)
        .where(table.c.id == connection_id)
        .values(
            credentials=sealed,
            credentials_version=table.c.credentials_version + 1,
            credentials_expire_at=expires_at,
            problem=None,
        )
    )


async def set_problem(db: AsyncConnection, connection_id: UUID, problem: str | None) -> None:
    await db.execute(update(table).where(table.c.id == connection_id).values(problem=problem))


async def free_slug(db: AsyncConnection, workspace: str, slug: str, for_id: UUID) -> None:
    """Take a slug away from another account's connection, so that this one can have it."""
    await db.execute(
        update(table)
        .where(table.c.workspace == workspace, table.c.slug == slug, table.c.id != for_id, ~table.c.removed)
        .values(removed=True, updated_at=func.clock_timestamp())
    )
