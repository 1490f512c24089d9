"""Which version of a recipe is meant: the one that runs, an earlier one by its number, or a text that is in no hub."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from app.byhand.templates import library_for
from app.documents import Problem
from app.errors import MalformedError, NotFoundError
from app.hub import Hub
from app.recipes import (
    Recipe,
    RegistryCatalogue,
    compiled,
    load_text,
    parse_recipe,
    texts_of,
)
from app.store import recipes as store


@dataclass(frozen=True, slots=True)
class Text:
    """What a version is read from: its source, and the texts of its templates by file."""

    source: str
    templates: Mapping[str, str]

    def recipe(self, name: str) -> Recipe:
        return parse_recipe(self.source, name, compiled(self.templates))


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a recipe, and what it was read from."""

    recipe: Recipe
    text: Text


class NotARecipeError(MalformedError):
    """A text that is no recipe; each fault with its place."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)) or f"{name} is no recipe")
        self.errors = [{"field": f"source:{each.line}:{each.column}", "detail": _said(each)} for each in problems]


async def version_of(
    hub: Hub, workspace: str, name: str, *, source: str | None = None, number: int | None = None, file: str = "",
    templates: Mapping[str, str] | None = None,
) -> Version:  # fmt: skip
    """A version of a recipe: of a text, of a number, else the one that runs. file: what problems call the text;
    templates: that came with it. Raises NotARecipeError for a text with
    errors, NotFoundError where there is none."""
    if source is not None:
        library = await asyncio.to_thread(library_for, hub, workspace, name, templates)
        catalogue = await asyncio.to_thread(RegistryCatalogue, hub.registry)
        loaded = await asyncio.to_thread(load_text, source, name, catalogue, file=file, templates=library)
        if loaded.recipe is None or not loaded.usable:
            raise NotARecipeError(name, [each for each in loaded.problems if each.severity == "error"])
        return Version(loaded.recipe, Text(source, texts_of(loaded.recipe.templates)))
    active = hub.recipes.find(workspace, name)
    if number is None and active is None:
        raise NotFoundError(f"no version of {name!r} is in the hub: `tradewind recipes list` names those that are")
    async with hub.database.acquire() as db:
        version_id = active.version_id if active is not None else None
        if number is not None:
            version_id = await store.version_numbered(db, workspace, name, number)
        stored = await store.load_version(db, version_id) if version_id is not None else None
    recipe = await hub.recipes.version(version_id) if version_id is not None else None
    if recipe is None or stored is None:
        raise NotFoundError(f"{name!r} has no version {number} that can be read")
    return Version(recipe, Text(stored[1], stored[2]))


def _said(problem: Problem) -> str:
    return f"{problem.message}{f'; {problem.mend}' if problem.mend else ''}"
