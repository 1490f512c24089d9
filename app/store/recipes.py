"""Recipes and their immutable versions as the running hub reads them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.store.database import Connection


@dataclass(frozen=True, slots=True)
class Stored:
    """A recipe with the source of its current version."""

    workspace: str
    name: str
    version_id: UUID
    number: int
    source: str
    enabled: bool
    paused: bool
    inputs: dict[str, Any]
    origin: str
    templates: dict[str, str]


async def changed_at(db: Connection) -> datetime | None:
    """When the newest change of any recipe was made; asked every second by every process."""
    changed: datetime | None = await db.fetchval("select max(updated_at) from recipe")
    return changed


async def load_all(db: Connection) -> list[Stored]:
    """Every recipe that is not removed, with its current version."""
    rows = await db.fetch(
        """select r.workspace, r.name, r.version_id, v.number, v.source, r.enabled, r.paused, r.inputs, r.origin,
             v.templates
           from recipe r join recipe_version v on v.id = r.version_id
           where not r.removed order by r.workspace, r.name"""
    )
    return [Stored(**row) for row in rows]


async def load_version(db: Connection, version_id: UUID) -> tuple[str, str, dict[str, str]] | None:
    """(recipe name, source, texts of its templates by file) of one version."""
    row = await db.fetchrow("select name, source, templates from recipe_version where id = $1", version_id)
    return None if row is None else (row["name"], row["source"], row["templates"])


async def version_numbered(db: Connection, workspace: str, name: str, number: int) -> UUID | None:
    """The id of a version by its number."""
    found: UUID | None = await db.fetchval(
        "select id from recipe_version where workspace = $1 and name = $2 and number = $3", workspace, name, number
    )
    return found
