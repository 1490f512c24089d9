"""Recipes as people and files change them: each change makes a version that stays as it is."""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ids import new_id
from app.store.changes.workspaces import take_turn
from app.store.tables import recipe, recipe_version, run


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
    """(version_id, origin, inputs, updated_at) of a recipe, locked for the transaction; None if there is none, and
    none is made meanwhile."""
    await take_turn(db, workspace)
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


async def count_held(db: AsyncConnection, workspace: str, recipe: str) -> int:
    """How many runs a paused recipe holds."""
    held = select(func.count()).where(run.c.workspace == workspace, run.c.recipe == recipe, run.c.state == "held")
    return int((await db.execute(held)).scalar_one())
