"""Workspaces: what all their recipes share."""

from decimal import Decimal

from app.store.database import Connection, Row


async def zones(db: Connection) -> list[tuple[str, str]]:
    """(workspace, name of its time zone)."""
    return [tuple(row) for row in await db.fetch("select name, timezone from workspace")]


async def locales(db: Connection) -> dict[str, str]:
    """{workspace: its locale}, of those that say one."""
    return dict(await db.fetch("select name, locale from workspace where locale is not null"))


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
