"""The recipes of a folder, brought into the database."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.documents import Problem
from app.recipes import (
    Loaded,
    RegistryCatalogue,
    check_connections,
    load_folder,
    read_templates,
    recipe_files,
    texts_of,
)
from app.registry import Registry
from app.store.byhand import Deed
from app.store.changes import connections as connection_store
from app.store.changes import recipes as store
from app.store.changes.audit import note_change
from app.store.changes.workspaces import take_turn
from app.store.database import Condition, Database


async def sync_folder(
    database: Database, registry: Registry, folder: Path, workspace: str = "main", *, actor: str = "start of the hub",
    origin: str = "", condition: Condition | None = None,
) -> list[Problem]:  # fmt: skip
    """Bring the recipes of a folder into the database: new versions for changed files, nothing for broken ones (their
    last good version goes on), nor where the folder is not there (a disk that is not mounted takes no recipe away).
    Answers what is wrong with files, errors and warnings. origin: whose they are, if not this folder's; condition: may
    refuse, within the transaction."""
    origin = origin or f"folder:{folder}"
    if not folder.is_dir():
        return [Problem(str(folder), 1, 1, "there is no such folder of recipes", "Set TRADEWIND_RECIPES to one")]
    async with database.begin() as db:
        await take_turn(db, workspace)
        if condition is not None:
            await condition(db)
        texts = {path.stem: _text_of(path) for path in recipe_files(folder)}
        if await asyncio.to_thread(_as_stored, folder, texts, await store.current_texts(db, workspace, origin)):
            return []
        catalogue = await asyncio.to_thread(RegistryCatalogue, registry)
        loaded = await asyncio.to_thread(load_folder, folder, catalogue)
        for one in loaded:
            templates = texts_of(one.recipe.templates) if one.recipe else {}
            if one.usable and await store.save(db, workspace, one.name, one.text, origin, templates):
                await note_change(db, Deed(workspace, actor, "save", f"recipe/{one.name}", {"origin": origin}))
        for name in await store.remove_others(db, workspace, origin, [one.name for one in loaded]):
            await note_change(db, Deed(workspace, actor, "remove", f"recipe/{name}", {"origin": origin}))
        slugs = await connection_store.slugs(db, workspace)
    found = [problem for one in loaded for problem in (*one.problems, *_misnamed(one, registry, slugs))]
    return list(dict.fromkeys(found))


def _misnamed(one: Loaded, registry: Registry, slugs: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Connections that a recipe names and that are not there, or must name: it waits for them, so these are warnings.
    Systems that are not connected at all are not told at every start."""
    if one.recipe is None or one.document is None or not slugs:
        return []
    found = check_connections(one.recipe, one.document, RegistryCatalogue(registry), slugs)
    return [replace(each, severity="warning") for each in found if each.severity == "error"]


def _text_of(path: Path) -> str | None:
    """None for a file that is no text, or cannot be read: what is wrong with it is told when it is loaded."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return None


def _as_stored(
    folder: Path, texts: Mapping[str, str | None], stored: Mapping[str, tuple[str, Mapping[str, str]]]
) -> bool:
    """Whether the recipes of a folder and the templates that they name are those that are stored."""
    if {name: source for name, (source, _) in stored.items()} != texts:
        return False
    library, _ = read_templates(folder)
    for _, templates in stored.values():
        names = {file.partition(".")[0] for file in templates}
        if templates != texts_of({name: library[name] for name in names if name in library}):
            return False
    return True
