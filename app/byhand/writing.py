"""Recipes that are written by hand: checked as a file's are, alone and beside the others, then a new version."""

import asyncio
import difflib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.byhand.templates import library_for
from app.documents import Document, DocumentError, Problem, read_document
from app.domain.recipes import inputs_of
from app.errors import ConflictError, InvalidError, NotFoundError
from app.hub import Hub
from app.recipes import (
    Loaded,
    Recipe,
    RegistryCatalogue,
    Templates,
    check_connections,
    check_together,
    load_text,
    read_recipe,
    texts_of,
)
from app.recipes.check import emits
from app.recipes.testing import Report, run_tests
from app.store import lists
from app.store.byhand import Deed
from app.store.changes import recipes as store
from app.store.changes.audit import note_change
from app.store.database import Row

ORIGIN = "api"
"""Of recipes and connections that belong to no file."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a recipe that was sent. changed: False where it said the same before."""

    number: int
    changed: bool
    warnings: list[Problem]


async def check_text(hub: Hub, workspace: str, name: str, source: str) -> Loaded:
    """A recipe's text with all that is wrong with it: by itself, beside the workspace's other recipes, and (as
    warnings) with the connections that there are."""
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, workspace)
    others = {row["name"]: row["source"] for row in rows if row["name"] != name}
    slugs: dict[str, list[str]] = defaultdict(list)
    for connection in hub.connections:
        if connection.workspace == workspace:
            slugs[connection.connector.slug].append(connection.slug)
    templates = await asyncio.to_thread(library_for, hub, workspace, name)
    return await asyncio.to_thread(_checked, hub, name, source, others, slugs, templates)


def _checked(
    hub: Hub, name: str, source: str, others: Mapping[str, str], slugs: Mapping[str, list[str]], templates: Templates
) -> Loaded:
    catalogue = RegistryCatalogue(hub.registry)
    beside = [pair for pair in (_read(*each) for each in others.items()) if pair is not None]
    emitted = {event for recipe, _ in beside for event in emits(recipe)}
    loaded = load_text(source, name, catalogue, emitted, templates=templates)
    if loaded.recipe is None or loaded.document is None:
        return loaded
    mine = (loaded.recipe, loaded.document)
    found = {*loaded.problems}
    found |= {each for each in check_together([mine, *beside], catalogue) if each.file == loaded.file}
    found |= {
        replace(each, severity="warning") for each in check_connections(*mine, catalogue, slugs) if each not in found
    }
    return replace(loaded, problems=tuple(sorted(found)))


def _read(name: str, source: str) -> tuple[Recipe, Document] | None:
    try:
        document = read_document(source, f"{name}.yaml")
    except DocumentError:
        return None
    recipe, _ = read_recipe(document, name)
    return (recipe, document) if recipe is not None else None


async def put_recipe(
    hub: Hub,
    workspace: str,
    name: str,
    source: str,
    inputs: Mapping[str, Any] | None,
    actor: str,
    condition: Callable[[Row | None], None],
) -> Written:
    """Make a recipe, or a new version of it; runs that have begun go on in theirs. `inputs` None leaves what the shop
    set. `condition` is told the row as it stands, locked, and may refuse.

    Raises InvalidError with every fault, ConflictError for a recipe that a file owns.
    """
    loaded = await check_text(hub, workspace, name, source)
    if not loaded.usable or loaded.recipe is None:
        raise InvalidError("the recipe has faults", [fault(each) for each in loaded.problems])
    async with hub.database.begin() as db:
        row = await store.lock(db, workspace, name)
        condition(row)
        refuse_owned(row, f"recipe {name}")
        given = inputs if inputs is not None else row.inputs if row is not None else {}
        _refuse_inputs(loaded.recipe, given, inputs is not None)
        changed = await store.save(db, workspace, name, source, ORIGIN, texts_of(loaded.recipe.templates))
        if inputs is not None and (row is None or row.inputs != inputs):
            changed = await store.change(db, workspace, name, inputs=dict(inputs))
        number = await store.current_number(db, workspace, name)
        if changed:
            detail = {"version": number, "inputs": sorted(inputs)} if inputs is not None else {"version": number}
            await note_change(db, Deed(workspace, actor, "put", f"recipe/{name}", detail))
    await hub.recipes.refresh()
    return Written(number, changed, [each for each in loaded.problems if each.severity == "warning"])


async def remove_recipe(
    hub: Hub, workspace: str, name: str, actor: str, condition: Callable[[Row | None], None]
) -> None:
    """Take a recipe away: no event runs it any more; its runs go on. Raises NotFoundError, ConflictError as above."""
    async with hub.database.begin() as db:
        row = await store.lock(db, workspace, name)
        if row is None:
            raise NotFoundError(f"there is no recipe {name!r}")
        condition(row)
        refuse_owned(row, f"recipe {name}")
        await store.change(db, workspace, name, removed=True)
        await note_change(db, Deed(workspace, actor, "remove", f"recipe/{name}", {}))
    await hub.recipes.refresh()


def refuse_owned(row: Any, what: str) -> None:
    """Raises ConflictError for what a file owns, naming it."""
    kind, _, place = str(row.origin if row is not None else "").partition(":")
    if kind in ("folder", "file"):
        raise ConflictError(f"{what} belongs to {place}: change it there")
    if kind == "subscription":
        raise ConflictError(f"{what} belongs to a webhook subscription: see /v1/webhook-subscriptions")


def _refuse_inputs(recipe: Recipe, given: Mapping[str, Any], told: bool) -> None:
    unknown = sorted(set(given) - set(recipe.inputs)) if told else []
    if unknown:
        raise InvalidError(
            "the recipe has no such input", [{"field": f"body.inputs.{unknown[0]}", "detail": "unknown"}]
        )
    problem = inputs_of(recipe, given)[1]
    if problem and told:
        raise InvalidError("an input does not fit", [{"field": "body.inputs", "detail": problem}])


def fault(problem: Problem) -> dict[str, str]:
    """A fault of a recipe's text as problem documents tell them."""
    mend = f"; {problem.mend}" if problem.mend else ""
    return {"field": f"body.source:{problem.line}:{problem.column}", "detail": f"{problem.message}{mend}"}


def difference(before: str, after: str, names: tuple[str, str]) -> str:
    """A unified diff of two texts; empty where they say the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "\n".join(lines)


async def run_cases(hub: Hub, workspace: str, name: str, source: str, tests: str) -> Report:
    """Run the cases of a test file's text against a recipe's text: calls are captured, months pass at once."""

    def work() -> Report:
        library = library_for(hub, workspace, name)
        with TemporaryDirectory() as made:
            folder = Path(made) / "recipes"
            folder.mkdir()
            (folder / f"{name}.yaml").write_text(source)
            (folder / f"{name}.test.yaml").write_text(tests)
            (folder / "templates").mkdir()
            for file, text in texts_of(library).items():
                (folder / "templates" / file).write_text(text)
            return run_tests(folder, hub.registry)

    return await asyncio.to_thread(work)
