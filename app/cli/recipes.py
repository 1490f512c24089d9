"""Recipes: what is there, and whether the files are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import asking, naming, session
from app.cli.output import AsJson, Workspace, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from app.byhand.flow import RecipeVerb
    from app.documents import Problem
    from app.pipeline.match.simulate import Happened

app = typer.Typer(help="Recipes: the automations.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="Folder of recipes; TRADEWIND_RECIPES if not said.")]
FolderOrFile = Annotated[
    Path | None, typer.Argument(help="Folder of recipes, or one recipe's file; TRADEWIND_RECIPES if not said.")
]


Connections = Annotated[
    Path | None,
    typer.Option(
        help="The connections that recipes will find: a connections.yaml; TRADEWIND_CONNECTIONS if not said.",
        exists=True, dir_okay=False,
    ),
]  # fmt: skip
Name = Annotated[str, typer.Argument(help="The recipe's name: that of its file.", autocompletion=naming.recipes)]


@app.command("list")
def list_recipes(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the recipes that the hub runs."""
    found = asking.rows("/v1/recipes", asking.ALL, workspace=workspace)
    shown = ("name", "version", "enabled", "paused", "origin")
    print_rows([{name: each[name] for name in shown} for each in found], as_json, empty="There are no recipes.")


@app.command()
def check(folder: FolderOrFile = None, connections: Connections = None, as_json: AsJson = False) -> None:
    """Check recipe files; each fault with its place and its mend. Exit code 1 if there are errors."""
    from app.domain.connections_file import slugs_in
    from app.recipes import RegistryCatalogue, load_folder, read_templates, strays, with_connections
    from app.registry import Registry

    (place, only), settings = folder_and_file(folder), session.settings()
    catalogue, file = RegistryCatalogue(Registry.of(settings)), connections or settings.connections
    loaded = load_folder(place, catalogue)
    if file is not None:
        loaded = with_connections(loaded, catalogue, slugs_in(file))
    loaded = [one for one in loaded if only in (None, one.name)]
    templates, strange = read_templates(place) if only is None else ({}, [])
    faults = [*strange, *(problem for each in templates.values() for problem in each.problems)]
    beside = strays(place) if only is None else []
    told = [*beside, *faults, *(problem for one in loaded for problem in one.problems)]
    _report(list(dict.fromkeys(told)), as_json)
    if not as_json:
        good = sum(one.usable for one in loaded)
        if only is not None and good:
            say(f"{only} is good.")
        elif only is None:
            say(f"{good} of {len(loaded)} recipes in {place} are good.")
    raise typer.Exit(0 if all(one.usable for one in loaded) and not faults else 1)


@app.command()
def sync(
    folder: Folder = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Also what another folder owns, and in the place of all that one of this path brought in before.",
        ),
    ] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Bring the recipes of a folder into the hub, which takes them up within a second."""
    from app.documents import Problem

    place = _folder(folder)
    body = {"folder": str(place.resolve()), "recipes": _texts(place), "templates": templates_of(place)}
    answer = asking.ask("POST", "/v1/recipes/sync", workspace=workspace, body={**body, "take_over": take_over})
    problems = [Problem(**each) for each in answer["problems"]]
    _report(problems, as_json)
    if not as_json:
        say(f"The recipes of {place} are in the hub.")
    raise typer.Exit(1 if any(problem.severity == "error" for problem in problems) else 0)


def _texts(folder: Path) -> dict[str, str]:
    from app.recipes import recipe_files

    return {path.stem: text_of(path) for path in recipe_files(folder)}


def templates_of(folder: Path) -> dict[str, str]:
    """The files of templates beside recipes."""
    return {path.name: text_of(path) for path in sorted((folder / "templates").glob("[!.]*")) if path.is_file()}


def text_of(path: Path) -> str:
    """Raises ConfigError for a file that is no text."""
    from app.errors import ConfigError

    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as e:
        raise ConfigError(f"{path} cannot be read as text: {e}.") from e


@app.command()
def pause(name: Name, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Hold a recipe's runs: they are made, and wait."""
    stands = _set(workspace, name, "pause")
    again = f"tradewind recipes resume {name}"
    tell(stands, as_json, f"{name} is paused: its runs are made and wait until `{again}`.")


@app.command()
def resume(name: Name, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Let the runs go on that waited."""
    stands = _set(workspace, name, "resume")
    tell(stands, as_json, f"{name} goes on; {stands['released']} runs that waited with it.")


@app.command()
def disable(name: Name, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Make no more runs of a recipe."""
    stands = _set(workspace, name, "disable")
    again = f"tradewind recipes enable {name}"
    tell(stands, as_json, f"{name} is disabled: events start no runs of it until `{again}`.")


@app.command()
def enable(name: Name, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Make runs of a recipe again."""
    tell(_set(workspace, name, "enable"), as_json, f"{name} is enabled.")


@app.command()
def inputs(
    name: Name,
    values: Annotated[list[str] | None, typer.Argument(help="input=value ...; input= brings its default back.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Show what a shop has set of a recipe's inputs, or set some, without a change of its file."""
    given = _given(values or [])
    path = f"/v1/recipes/{name}/inputs"
    stands = asking.ask("PATCH" if given else "GET", path, workspace=workspace, body=given or None)
    shown = ("value", "set", "type", "description")
    rows = [{"input": each["name"], **{key: each[key] for key in shown}} for each in stands["inputs"]]
    print_rows(rows, as_json, empty=f"{name} has no inputs.")
    if stands["problem"]:
        say(f"It runs for no event: {stands['problem']}", "yellow", err=True)


def _given(values: list[str]) -> dict[str, str | None]:
    from app.errors import ConfigError

    given: dict[str, str | None] = {}
    for each in values:
        key, sign, value = each.partition("=")
        if not sign:
            raise ConfigError(f"{each!r} is not input=value.")
        given[key.strip()] = value or None
    return given


def _set(workspace: str, name: str, verb: RecipeVerb) -> Any:
    return asking.ask("POST", f"/v1/recipes/{name}/{verb}", workspace=workspace)


def _folder(given: Path | None) -> Path:
    from app.errors import ConfigError

    folder = given or session.settings().recipes_folder
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder of recipes.")
    return folder


def folder_and_file(given: Path | None) -> tuple[Path, str | None]:
    """The folder of recipes, and the name of the one whose file (or test file) was given."""
    from app.errors import ConfigError

    if given is None or not given.is_file():
        return _folder(given), None
    if given.suffix != ".yaml":
        raise ConfigError(f"{given} is not a recipe's file: their names end in .yaml.")
    return given.parent, given.name.partition(".")[0]


def _report(problems: list[Problem], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json([asdict(problem) for problem in problems])
        return
    for problem in problems:
        say(str(problem), "red" if problem.severity == "error" else "yellow", err=True)


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
        say(shown(said))
    for path in write(said, out) if out else ():
        say(f"{path} is written", err=True)


def _stored(event: str, workspace: str) -> Happened:
    """A stored event, by its id."""
    from datetime import datetime
    from uuid import UUID

    import orjson

    from app import events
    from app.errors import ConfigError
    from app.events import Event, Ref
    from app.pipeline.match.simulate import Happened

    try:
        event_id = UUID(event)
    except ValueError:
        raise ConfigError(f"{event!r} is no event's id: `tradewind events` lists them.") from None
    row = asking.ask("GET", f"/v1/events/{event_id}", workspace=workspace)
    said = {name: row[name] for name in ("type", "version", "test", "historical", "echo")}
    at = datetime.fromisoformat(row["occurred_at"])
    data = events.load(row["type"], row["schema_version"], orjson.dumps(row["data"]))
    fact = Event(**said, object=Ref(**row["object"]), subject=Ref(**row["subject"]), occurred_at=at, data=data)
    return Happened(event_id, workspace, None, fact, fact.test, at)
