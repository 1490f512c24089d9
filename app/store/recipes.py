"""Recipes and their immutable versions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ids import new_id
from app.store.database import Connection
from app.store.tables import recipe, recipe_version


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


async def load_all(db: AsyncConnection) -> list[Stored]:
    """Every recipe that is not removed, with its current version."""
    rows = await db.execute(
        select(
            recipe.c.workspace,
            recipe.c.name,
            recipe.c.version_id,
            recipe_version.c.number,
            recipe_version.c.source,
            recipe.c.enabled,
            recipe.c.paused,
            recipe.c.inputs,
            recipe.c.origin,
            recipe_version.c.templates,
        )
        .join(recipe_version, recipe_version.c.id == recipe.c.version_id)
        .where(~recipe.c.removed)
        .order_by(recipe.c.workspace, recipe.c.name)
    )
    return [Stored(**row._mapping) for row in rows]


async def load_version(db: AsyncConnection, version_id: UUID) -> tuple[str, str, dict[str, str]] | None:
    """(recipe name, source, texts of its templates by file) of one version."""
    columns = recipe_version.c.name, recipe_version.c.source, recipe_version.c.templates
    row = (await db.execute(select(*columns).where(recipe_version.c.id == version_id))).one_or_none()
    return (row.name, row.source, row.templates) if row else None


async def version_numbered(db: AsyncConnection, workspace: str, name: str, number: int) -> UUID | None:
    """The id of a version by its number."""
    wanted = (recipe_version.c.workspace == workspace, recipe_version.c.name == name, recipe_version.c.number == number)
    found: UUID | None = (await db.execute(select(recipe_version.c.id).where(*wanted))).scalar_one_or_none()
    return found


async def save(
    db: AsyncConnection,
    workspace: str,
    name: str,
    source: str,
    origin: str,
    templates: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Make a new version if source or templates differ from the current ones; True if anything changed."""
    texts = [text for pair in sorted(templates.items()) for text in pair]
    digest = hashlib.sha256("\0".join((source, *texts)).encode()).digest()
    current = (
        await db.execute(
            select(
                recipe_version.c.id, recipe_version.c.digest, recipe_version.c.number, recipe.c.removed, recipe.c.origin
            )
            .join(recipe, recipe.c.version_id == recipe_version.c.id)
            .where(recipe.c.workspace == workspace, recipe.c.name == name)
            .with_for_update()
        )
    ).one_or_none()
    if current is not None and current.digest == digest and not current.removed and current.origin == origin:
        return False
    version_id = current.id if current is not None and current.digest == digest else new_id()
    if current is None or current.digest != digest:
        number = (
            await db.execute(
                select(func.coalesce(func.max(recipe_version.c.number), 0) + 1).where(
                    recipe_version.c.workspace == workspace, recipe_version.c.name == name
                )
            )
        ).scalar_one()
        await db.execute(
            insert(recipe_version).values(
                id=version_id,
                workspace=workspace,
                name=name,
                number=number,
                source=source,
                digest=digest,
                templates=dict(templates),
            )
        )
    values = {"version_id": version_id, "origin": origin, "removed": False, "updated_at": func.clock_timestamp()}
    await db.execute(
        insert(recipe)
        .values(workspace=workspace, name=name, **values)
        .on_conflict_do_update(index_elements=["workspace", "name"], set_=values)
    )
    return True


async def lock(db: AsyncConnection, workspace: str, name: str) -> Any:
    """(version_id, origin, inputs, updated_at) of a recipe, locked for the transaction; None if there is none."""
    return (
        await db.execute(
            select(recipe.c.version_id, recipe.c.origin, recipe.c.inputs, recipe.c.updated_at)
            .where(recipe.c.workspace == workspace, recipe.c.name == name, ~recipe.c.removed)
            .with_for_update()
        )
    ).one_or_none()


async def owners(db: AsyncConnection, workspace: str, names: Sequence[str]) -> dict[str, str]:
    """The origin of each recipe that is there, by name."""
    wanted = (recipe.c.workspace == workspace) & recipe.c.name.in_(list(names)) & ~recipe.c.removed
    rows = await db.execute(select(recipe.c.name, recipe.c.origin).where(wanted))
    return {row.name: row.origin for row in rows}


async def current_number(db: AsyncConnection, workspace: str, name: str) -> int:
    number: int = (
        await db.execute(
            select(recipe_version.c.number)
            .join(recipe, recipe.c.version_id == recipe_version.c.id)
            .where(recipe.c.workspace == workspace, recipe.c.name == name)
        )
    ).scalar_one()
    return number


async def remove_others(db: AsyncConnection, workspace: str, origin: str, keep: Sequence[str]) -> list[str]:
    """Take away the recipes that a folder once held and no longer does; answers their names."""
    rows = await db.execute(
        update(recipe)
        .where(
            recipe.c.workspace == workspace,
            recipe.c.origin == origin,
            recipe.c.name.not_in(list(keep)),
            ~recipe.c.removed,
        )
        .values(removed=True, updated_at=func.clock_timestamp())
        .returning(recipe.c.name)
    )
    return [row.name for row in rows]


async def change(db: AsyncConnection, workspace: str, name: str, **values: Any) -> bool:
    """Set `enabled`, `paused` or `inputs`; False if there is no such recipe."""
    result = await db.execute(
        update(recipe)
        .where(recipe.c.workspace == workspace, recipe.c.name == name, ~recipe.c.removed)
        .values(**values, updated_at=func.clock_timestamp())
    )
    return bool(result.rowcount)


async def lay_inputs(
    db: AsyncConnection, workspace: str, name: str, more: Mapping[str, Any], gone: Sequence[str]
) -> dict[str, Any] | None:
    """Lay inputs over those that the shop set and take some away; answers how they stand, None without the recipe."""
    mine = (recipe.c.workspace == workspace, recipe.c.name == name, ~recipe.c.removed)
    given = (await db.execute(select(recipe.c.inputs).where(*mine).with_for_update())).scalar_one_or_none()
    if given is None or not (more or gone):
        return cast(dict[str, Any] | None, given)
    stands = {key: value for key, value in {**given, **more}.items() if key not in gone}
    await db.execute(update(recipe).where(*mine).values(inputs=stands, updated_at=func.clock_timestamp()))
    return stands


async def current_texts(db: AsyncConnection, workspace: str, origin: str) -> dict[str, tuple[str, dict[str, str]]]:
    """(source, templates) of the current recipes that came from this origin, by name."""
    rows = await db.execute(
        select(recipe.c.name, recipe_version.c.source, recipe_version.c.templates)
        .join(recipe_version, recipe_version.c.id == recipe.c.version_id)
        .where(recipe.c.workspace == workspace, recipe.c.origin == origin, ~recipe.c.removed)
    )
    return {row.name: (row.source, row.templates) for row in rows}
