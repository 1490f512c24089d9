"""Recipes: what is there, and whether the files are right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json, print_rows

if TYPE_CHECKING:
    from app.byhand.flow import RecipeVerb
    from app.documents import Problem

app = typer.Typer(help="Recipes: the automations.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="Folder of recipes; TRADEWIND_RECIPES if not said.")]


Name = Annotated[str, typer.Argument(help="The recipe's name: that of its file.")]


@app.command("list")
def list_recipes(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the recipes that the hub runs."""
    from app.store import recipes as store
    from app.store.database import Database

    async def work(database: Database) -> list[dict[str, object]]:
        async with database.begin() as db:
            rows = [row for row in await store.load_all(db) if row.workspace == workspace]
        return [
            {"name": r.name, "version": r.number, "enabled": r.enabled, "paused": r.paused, "origin": r.origin}
            for r in rows
        ]

    print_rows(session.in_database(work), as_json, empty="There are no recipes.")


@app.command()
def check(folder: Folder = None, as_json: AsJson = False) -> None:
    """Check recipe files; each fault with its place and its mend. Exit code 1 if there are errors."""
    from app.recipes import RegistryCatalogue, load_folder
    from app.registry import Registry

    place = _folder(folder)
    loaded = load_folder(place, RegistryCatalogue(Registry.of(session.settings())))
    _report([problem for one in loaded for problem in one.problems], as_json)
    if not as_json:
        typer.echo(f"{sum(one.usable for one in loaded)} of {len(loaded)} recipes in {place} are good.")
    raise typer.Exit(0 if all(one.usable for one in loaded) else 1)


@app.command()
def sync(folder: Folder = None, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Bring the recipes of a folder into the hub, which takes them up within a second."""
    from app.domain.recipes import sync_folder
    from app.hub import Hub

    place = _folder(folder)

    async def work(hub: Hub) -> list[Problem]:
        return await sync_folder(hub.database, hub.registry, place.resolve(), workspace)

    problems = session.in_hub(work)
    _report(problems, as_json)
    if not as_json:
        typer.echo(f"The recipes of {place} are in the hub.")
    raise typer.Exit(1 if any(problem.severity == "error" for problem in problems) else 0)


@app.command()
def pause(name: Name, workspace: Workspace = "main") -> None:
    """Hold a recipe's runs: they are made, and wait."""
    _set(workspace, name, "pause")
    typer.echo(f"{name} is paused: its runs are made and wait until `tradewind recipes resume {name}`.")


@app.command()
def resume(name: Name, workspace: Workspace = "main") -> None:
    """Let the runs go on that waited."""
    released = _set(workspace, name, "resume")
    typer.echo(f"{name} goes on; {released} runs that waited with it.")


@app.command()
def disable(name: Name, workspace: Workspace = "main") -> None:
    """Make no more runs of a recipe."""
    _set(workspace, name, "disable")
    typer.echo(f"{name} is disabled: events start no runs of it until `tradewind recipes enable {name}`.")


@app.command()
def enable(name: Name, workspace: Workspace = "main") -> None:
    """Make runs of a recipe again."""
    _set(workspace, name, "enable")
    typer.echo(f"{name} is enabled.")


def _set(workspace: str, name: str, verb: RecipeVerb) -> int:
    from app.byhand import set_recipe
    from app.hub import Hub

    async def work(hub: Hub) -> int:
        changed = await set_recipe(hub, workspace, name, verb, "command line")
        if others := asyncio.all_tasks() - {asyncio.current_task()}:  # what other processes still hold is let go later
            await asyncio.wait(others, timeout=10)
        return changed

    return session.in_hub(work)


def _folder(given: Path | None) -> Path:
    from app.errors import ConfigError

    folder = given or session.settings().recipes_folder
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder of recipes.")
    return folder


def _report(problems: list[Problem], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json([asdict(problem) for problem in problems])
        return
    for problem in problems:
        typer.secho(str(problem), fg="red" if problem.severity == "error" else "yellow", err=True)


@app.command("test")
def run_tests(folder: Folder = None, as_json: AsJson = False) -> None:
    """Run the test files beside the recipes. Exit code 1 if a case fails."""
    import importlib
    import importlib.util

    place = _folder(folder)
    if importlib.util.find_spec("app.recipes.testing") is not None:
        raise typer.Exit(importlib.import_module("app.recipes.testing").run_folder(place, as_json=as_json))
    raise typer.Exit(_check_tests(place, as_json))


def _check_tests(folder: Path, as_json: bool) -> int:
    """Check the form of test files, and that each fits its recipe; answers the exit code."""
    from app.documents import DocumentError, read_file
    from app.recipes import RegistryCatalogue, load_folder
    from app.recipes.testfile import read_test_file
    from app.registry import Registry

    catalogue = RegistryCatalogue(Registry.of(session.settings()))
    problems: list[Problem] = []
    cases = 0
    for loaded in load_folder(folder, catalogue):
        path = folder / f"{loaded.name}.test.yaml"
        if loaded.recipe is None or not path.exists():
            continue
        try:
            tests, found = read_test_file(read_file(path, f"{folder.name}/{path.name}"), loaded.recipe, catalogue)
        except DocumentError as e:
            problems += e.problems
            continue
        problems += found
        cases += len(tests.cases)
    _report(problems, as_json)
    if not as_json:
        typer.echo(f"{cases} cases fit their recipes; they were read, not run.")
    return 1 if any(problem.severity == "error" for problem in problems) else 0
