"""Connections as people and files declare and change them: settings in the open, secrets sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.changes.workspaces import take_turn
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


async def slugs(db: AsyncConnection, workspace: str) -> dict[str, list[str]]:
    """The slugs of a workspace's connections, by connector."""
    wanted = (table.c.workspace == workspace) & ~table.c.removed
    found: dict[str, list[str]] = {}
    for row in await db.execute(select(table.c.connector, table.c.slug).where(wanted).order_by(table.c.slug)):
        found.setdefault(row.connector, []).append(row.slug)
    return found


async def ids_of_slugs(db: AsyncConnection, workspace: str, slugs: Sequence[str]) -> dict[str, UUID]:
    """The permanent ids of connections that are not removed, by slug."""
    wanted = (table.c.workspace == workspace) & table.c.slug.in_(slugs) & ~table.c.removed
    return {row.slug: row.id for row in await db.execute(select(table.c.slug, table.c.id).where(wanted))}


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
    changing |= {"removed": False, "updated_at": func.clock_timestamp(), "probed_at": None}
    statement = insert(table).values(**values)
    kept: UUID = (
        await db.execute(
            statement.on_conflict_do_update(constraint="connection_account", set_=changing).returning(table.c.id)
        )
    ).scalar_one()
    await db.execute(insert(lane).values(connection_id=kept, workspace=new.workspace).on_conflict_do_nothing())
    return kept


async def remove_others(db: AsyncConnection, workspace: str, origin: str, keep: Sequence[UUID]) -> list[str]:
    """Mark as removed what a file once held in a workspace and no longer does; answers the slugs."""
    rows = await db.execute(
        update(table)
        .where(
            table.c.workspace == workspace,
            table.c.origin == origin,
            ~table.c.removed,
            table.c.id.not_in(list(keep)),
        )
        .values(removed=True, updated_at=func.clock_timestamp())
        .returning(table.c.slug)
    )
    return [row.slug for row in rows]


async def held_by(db: AsyncConnection, workspace: str, origin: str) -> dict[UUID, str]:
    """The slugs of connections that came from this origin, by id."""
    wanted = (table.c.workspace == workspace) & (table.c.origin == origin) & ~table.c.removed
    return {row.id: row.slug for row in await db.execute(select(table.c.id, table.c.slug).where(wanted))}


async def set_paused(db: AsyncConnection, connection_id: UUID, paused: bool) -> None:
    await db.execute(
        update(table).where(table.c.id == connection_id).values(paused=paused, updated_at=func.clock_timestamp())
    )
    stands = or_(lane.c.halted, literal(paused))
    await db.execute(update(lane).where(lane.c.connection_id == connection_id).values(paused=stands))


async def set_lane_paused(db: AsyncConnection, connection_id: UUID, paused: bool) -> None:
    """Stop a lane by itself (`halted`), or let it go on unless its connection is paused. `paused` is either."""
    connection = select(table.c.paused).where(table.c.id == connection_id).scalar_subquery()
    await db.execute(
        update(lane)
        .where(lane.c.connection_id == connection_id)
        .values(halted=paused, paused=or_(literal(paused), connection))
    )


async def health(db: AsyncConnection) -> dict[UUID, Any]:
    """What is known of each connection's credentials: when it must be authorised again, and its last probe."""
    columns = (table.c.id, table.c.authorised_until, table.c.probed_at, table.c.probe_works, table.c.probe_said)
    return {row.id: row for row in await db.execute(select(*columns).where(~table.c.removed))}


async def lock(db: AsyncConnection, workspace: str, slug: str) -> Any | None:
    """The row of a connection, locked for the transaction; None if there is none, and none is made meanwhile."""
    await take_turn(db, workspace)
    wanted = (table.c.workspace == workspace) & (table.c.slug == slug) & ~table.c.removed
    return (await db.execute(select(table).where(wanted).with_for_update())).one_or_none()


async def remove(db: AsyncConnection, connection_id: UUID) -> None:
    values = {"removed": True, "updated_at": func.clock_timestamp()}
    await db.execute(update(table).where(table.c.id == connection_id).values(**values))


async def free_slug(db: AsyncConnection, workspace: str, slug: str, for_id: UUID) -> None:
    """Take a slug away from another account's connection, so that this one can have it."""
    await db.execute(
        update(table)
        .where(table.c.workspace == workspace, table.c.slug == slug, table.c.id != for_id, ~table.c.removed)
        .values(removed=True, updated_at=func.clock_timestamp())
    )
