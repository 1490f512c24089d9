"""Recipes: what is there, and whether the files are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import asking, session
from app.cli.output import AsJson, Workspace, print_json, print_rows

if TYPE_CHECKING:
    from app.byhand.flow import RecipeVerb
    from app.documents import Problem
    from app.pipeline.match.simulate import Happened

app = typer.Typer(help="Recipes: the automations.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="Folder of recipes; TRADEWIND_RECIPES if not said.")]


Name = Annotated[str, typer.Argument(help="The recipe's name: that of its file.")]


@app.command("list")
def list_recipes(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the recipes that the hub runs."""
    found = asking.ask("GET", "/v1/recipes", workspace=workspace)["items"]
    shown = ("name", "version", "enabled", "paused", "origin")
    print_rows([{name: each[name] for name in shown} for each in found], as_json, empty="There are no recipes.")


@app.command()
def check(folder: Folder = None, as_json: AsJson = False) -> None:
    """Check recipe files; each fault with its place and its mend. Exit code 1 if there are errors."""
    from app.recipes import RegistryCatalogue, load_folder, read_templates
    from app.registry import Registry

    place = _folder(folder)
    loaded = load_folder(place, RegistryCatalogue(Registry.of(session.settings())))
    templates, strange = read_templates(place)
    faults = [*strange, *(problem for each in templates.values() for problem in each.problems)]
    _report(list(dict.fromkeys([*faults, *(problem for one in loaded for problem in one.problems)])), as_json)
    if not as_json:
        typer.echo(f"{sum(one.usable for one in loaded)} of {len(loaded)} recipes in {place} are good.")
    raise typer.Exit(0 if all(one.usable for one in loaded) and not faults else 1)


@app.command()
def sync(folder: Folder = None, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Bring the recipes of a folder into the hub, which takes them up within a second."""
    from app.domain.recipes import sync_folder
    from app.hub import Hub

    place = _folder(folder)

    async def work(hub: Hub) -> list[Problem]:
        return await sync_folder(hub.database, hub.registry, place.resolve(), workspace, actor="command line")

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


@app.command()
def inputs(
    name: Name,
    values: Annotated[list[str] | None, typer.Argument(help="input=value ...; input= brings its default back.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Show what a shop has set of a recipe's inputs, or set some, without a change of its file."""
    from app.byhand.inputs import InputsSet, inputs_set, plain, set_inputs
    from app.hub import Hub

    given = _given(values or [])

    async def work(hub: Hub) -> InputsSet:
        if given:
            return await set_inputs(hub, workspace, name, given, "command line")
        return await inputs_set(hub, workspace, name)

    stands = session.in_hub(work)
    shown = [
        {
            "input": each.declared.name,
            "value": plain(each.value),
            "set": each.own,
            "type": each.declared.type,
            "description": each.declared.description,
        }
        for each in stands.inputs
    ]
    print_rows(shown, as_json, empty=f"{name} has no inputs.")
    if stands.problem:
        typer.secho(f"It runs for no event: {stands.problem}", fg="yellow", err=True)


def _given(values: list[str]) -> dict[str, str | None]:
    from app.errors import ConfigError

    given: dict[str, str | None] = {}
    for each in values:
        key, sign, value = each.partition("=")
        if not sign:
            raise ConfigError(f"{each!r} is not input=value.")
        given[key.strip()] = value or None
    return given


def _set(workspace: str, name: str, verb: RecipeVerb) -> int:
    released: int = asking.ask("POST", f"/v1/recipes/{name}/{verb}", workspace=workspace)["released"]
    return released


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


@app.command()
def preview(
    template: Annotated[str, typer.Argument(help="The template's name: that of its files, up to the first dot.")],
    folder: Folder = None,
    event: Annotated[str, typer.Option(help="The id of a stored event to fill it in with.")] = "",
    sample: Annotated[str, typer.Option(help="Or a sample of this type, as in order.paid.")] = "",
    locale: Annotated[str, typer.Option(help="The language, as in de; the event's own if not said.")] = "",
    out: Annotated[Path | None, typer.Option(help="A folder to write the parts to, for a browser.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Show a template of e-mails or messages as it would be sent; nothing is."""
    from app.recipes import RegistryCatalogue, load_folder, read_templates
    from app.recipes.preview import preview as fill_in
    from app.recipes.preview import shown, write
    from app.registry import Registry

    place, registry = _folder(folder), Registry.of(session.settings())
    library, _ = read_templates(place)
    recipes = [each.recipe for each in load_folder(place, RegistryCatalogue(registry)) if each.recipe is not None]
    fact = _stored(event, workspace) if event else None
    said = fill_in(template, library, recipes, registry, fact, sample, locale or None, folder=place)
    if as_json:
        print_json(said.as_json())
    else:
        typer.echo(shown(said))
    for path in write(said, out) if out else ():
        typer.echo(f"{path} is written", err=True)


def _stored(event: str, workspace: str) -> Happened:
    """A stored event, by its id."""
    from uuid import UUID

    from app.errors import ConfigError
    from app.hub import Hub
    from app.pipeline.match.dry import stated
    from app.store import events as store

    async def work(hub: Hub) -> Happened:
        async with hub.database.acquire() as db:
            row = (await store.load(db, [UUID(event)])).get(UUID(event))
        if row is None or row["workspace"] != workspace:
            raise ConfigError(f"There is no event {event}.")
        return stated(hub.connections, row)

    try:
        UUID(event)
    except ValueError:
        raise ConfigError(f"{event!r} is no event's id: `tradewind events` lists them.") from None
    return session.in_hub(work)
