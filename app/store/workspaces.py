"""Workspaces: what all their recipes share."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.database import Connection, Row
from app.store.tables import recipe, workspace


async def zones(db: AsyncConnection) -> list[tuple[str, str]]:
    """(workspace, name of its time zone)."""
    rows = await db.execute(select(workspace.c.name, workspace.c.timezone))
    return [(row.name, row.timezone) for row in rows]


async def locales(db: AsyncConnection) -> dict[str, str]:
    """{workspace: its locale}, of those that say one."""
    rows = await db.execute(select(workspace.c.name, workspace.c.locale).where(workspace.c.locale.is_not(None)))
    return {row.name: row.locale for row in rows}


async def vip_at(db: Connection) -> dict[str, dict[str, Decimal]]:
    """{workspace: {currency: what a customer paid who is a VIP}}, of those that say so."""
    rows = await db.fetch("select name, settings -> 'vip_at' as said from workspace where settings ? 'vip_at'")
    return {row["name"]: {currency: Decimal(amount) for currency, amount in row["said"].items()} for row in rows}


FIELDS = "name, timezone, currency, locale, coalesce(settings -> 'vip_at', '{}') as vip_at, created_at"


async def exists(db: Connection, name: str) -> bool:
    found: bool = await db.fetchval("select exists (select 1 from workspace where name = $1)", name)
    return found


async def find(db: Connection, name: str | None = None) -> list[Row]:
    """The workspaces by name, or only this one."""
    return await db.fetch(f"select {FIELDS} from workspace where $1::text is null or name = $1 order by name", name)


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


async def ensure(db: AsyncConnection, name: str) -> None:
    """A workspace that a file or the command line names is there."""
    await db.execute(insert(workspace).values(name=name).on_conflict_do_nothing())


async def stir_recipes(db: AsyncConnection, name: str) -> None:
    """Let every process read the workspace's recipes, and with them its time zone, again."""
    await db.execute(update(recipe).where(recipe.c.workspace == name).values(updated_at=func.clock_timestamp()))
