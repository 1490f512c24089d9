"""Workspaces as people and files make and change them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import recipe, workspace

_CHANGING = 7201949


async def make(db: AsyncConnection, name: str, values: Mapping[str, Any]) -> bool:
    """False if there is one of that name."""
    made = await db.execute(insert(workspace).values(name=name, **_columns(values)).on_conflict_do_nothing())
    return bool(made.rowcount)


async def change(db: AsyncConnection, name: str, values: Mapping[str, Any]) -> bool:
    """Set what is given; False if there is no such workspace."""
    columns = _columns(values)
    if "settings" in columns:
        columns["settings"] = workspace.c.settings.concat(columns["settings"])
    changed = await db.execute(update(workspace).where(workspace.c.name == name).values(**columns))
    return bool(changed.rowcount)


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by column: what has none of its own is among the settings."""
    own = {name: value for name, value in values.items() if name != "vip_at"}
    return own | {"settings": {"vip_at": values["vip_at"]}} if "vip_at" in values else own


async def take_turn(db: AsyncConnection, name: str) -> None:
    """Hold off others who change a workspace's recipes or connections, until the transaction ends: what is not there
    yet has no row to lock."""
    await db.execute(select(func.pg_advisory_xact_lock(_CHANGING, func.hashtext(name))))


async def ensure(db: AsyncConnection, name: str) -> None:
    """A workspace that a file or the command line names is there."""
    await db.execute(insert(workspace).values(name=name).on_conflict_do_nothing())


async def stir_recipes(db: AsyncConnection, name: str) -> None:
    """Let every process read the workspace's recipes, and with them its time zone, again."""
    await db.execute(update(recipe).where(recipe.c.workspace == name).values(updated_at=func.clock_timestamp()))
