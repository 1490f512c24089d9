"""Recipes, tried before they are trusted: test files, dry runs, backtests, and why an event ran them or did not."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli import asking, naming, session
from app.cli.output import AsJson, Workspace, print_json, print_rows, progress, say
from app.cli.recipes import FolderOrFile, Name, app, folder_and_file, templates_of, text_of

if TYPE_CHECKING:
    from app.byhand.versions import Version
    from app.cli.asking import Client
    from app.hub import Hub

__all__ = ["app"]

File = Annotated[
    Path | None, typer.Option(help="A file, instead of the version that runs.", exists=True, dir_okay=False)
]
EXPLAINED = 5
"""Events under one order number or address that are explained, newest first."""
OTHERS = "it does not ask for"
"""How the reason begins of a recipe that has nothing to do with such events."""
LONGEST = 300
"""Characters of an input that are shown in a table."""
SHOWN = 200
"""Differing events that a hub tells one by one, at most."""


@app.command("test")
def run_tests(
    folder: FolderOrFile = None,
    recipe: Annotated[list[str] | None, typer.Option(help="Only this recipe; may be repeated.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write what came as what is expected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the test files beside the recipes. Exit code 1 if a case fails."""
    from app.recipes.testing import run_folder

    place, only = folder_and_file(folder)
    raise typer.Exit(run_folder(place, [only] if only else recipe or (), as_json=as_json, update=update))


@app.command("dry-run")
def try_event(
    name: Name,
    event: Annotated[UUID, typer.Argument(help="The id of a stored event, as `tradewind events` shows it.")],
    file: File = None,
    version: Annotated[int | None, typer.Option(min=1, help="An earlier version, by its number.")] = None,
    passes: Annotated[str, typer.Option("--pass", help="How much time passes after the event, as 30d.")] = "0s",
    reads: Annotated[bool, typer.Option("--reads", help="Make calls that only read, for real.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Show what a recipe would do about a stored event: every call with its input, nothing sent."""
    wanted = {"event_id": str(event), "version": version, "passes": passes, "reads": reads, **_text(file, "source")}
    shown = asking.ask("POST", f"/v1/recipes/{name}/dry-run", workspace=workspace, body=wanted)
    if as_json:
        print_json(shown)
        return
    went = f"; it would be {shown['state']}" if shown["state"] != "none" else ""
    say(f"{shown['decision']}{went}" + (f": {shown['reason']}" if shown["reason"] else ""))
    for call in shown["calls"]:
        answer = ", answered by an example" if call["assumed"] else ""
        at = call["at"][:16].replace("T", " ")
        place = f"{call['use']} at {call['connection']} (step {call['step']}{answer})"
        say(f"  {at}  {place}")
        for name, value in call["input"].items():
            say(f"      {name}: {_compact(value)}")


def _text(file: Path | None, name: str) -> dict[str, Any]:
    """A recipe that is in no hub yet: its text under this name, and the templates beside it."""
    return {} if file is None else {name: text_of(file), "templates": templates_of(file.parent)}


@app.command()
def explain(
    event: Annotated[str, typer.Argument(help="The id of a stored event, or an order number or e-mail address.")],
    recipe: Annotated[str | None, typer.Option(help="Only this recipe.", autocompletion=naming.recipes)] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Say why each recipe ran for an event or did not: which part of its `where` was false, and with which values."""

    async def work(client: Client) -> list[Any]:
        ids = await _events(client, event)
        return [await client("GET", f"/v1/events/{each}/explain", params={"recipe": recipe}) for each in ids]

    found = asking.asking(work, workspace)
    if as_json:
        print_json(found)
        return
    for each in found:
        at = each["at"][:16].replace("T", " ")
        say(f"{each['type']} {each['number'] or ''} {at}  {each['event_id']}", bold=True)
        asked = [why for why in each["recipes"] if not why["reason"].startswith(OTHERS)]
        for why in asked:
            _tell(why)
        if others := [why["recipe"] for why in each["recipes"] if why not in asked]:
            say(f"  – do not ask for {each['type']}: {', '.join(others)}")


async def _events(client: Client, text: str) -> list[str]:
    """The event with this id, or the newest ones under an order number or address."""
    from app.errors import ConfigError

    try:
        return [str(UUID(text))]
    except ValueError:
        rows = (await client("GET", "/v1/events", params={"q": text, "limit": EXPLAINED}))["items"]
    if not rows:
        raise ConfigError(f"There is no event under {text!r}.")
    return [row["id"] for row in rows]


def _tell(why: Any) -> None:
    run = f": run {why['run_id']}" if why["ran"] else ""
    mark, said = ("✓", f"ran{run}") if why["ran"] else ("–", f"did not run: {why['reason']}")
    say(f"  {mark} {why['recipe']} {said}", "green" if why["ran"] else None)
    for part in why["parts"]:
        sign = {True: "✓", False: "✗", None: "?"}[part["holds"]]
        values = ", ".join(f"{name} is {value}" for name, value in part["values"].items())
        beside = part["error"] or values
        say(f"      {sign} {part['condition']}" + (f"  ({beside})" if beside else ""))
    if why["decided"] == "then" and not why["ran"] and why["parts"] and all(part["holds"] for part in why["parts"]):
        say("      it would hold today: the recipe, its inputs or what is remembered changed since")


@app.command()
def backtest(
    file: Annotated[Path, typer.Argument(help="The recipe's file.", exists=True, dir_okay=False)],
    last: Annotated[str, typer.Option(help="How far to look back.")] = "30d",
    against: Annotated[
        str, typer.Option(help="What to compare with: `current` (the version that runs), a version's number, a file.")
    ] = "",
    differences: Annotated[
        int, typer.Option(min=0, max=SHOWN, help="How many differing events are told one by one.")
    ] = 50,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Run the stored events of the last days through a recipe, and tell what it would have done."""
    from app.errors import ConfigError

    if against and against != "current" and not against.isdigit() and not Path(against).is_file():
        raise ConfigError(f"--against {against}: say `current`, the number of a version, or a file.")
    if asking.address() is None:
        report = _backtest_here(file, last, against, differences, workspace)
    else:
        report = _backtest_there(file, last, against, differences, workspace)
    print_json(report) if as_json else _report(report)


def _backtest_there(file: Path, last: str, against: str, differences: int, workspace: str) -> Any:
    """By the workers of a hub that runs; an interrupted command cancels it."""
    from app.errors import ConfigError

    wanted = {"recipe": file.stem, "last": last, "differences": differences, **_text(file, "source")}
    if against == "current" or against.isdigit():
        wanted["against"] = int(against) if against.isdigit() else against
    elif against:
        wanted["against_source"] = text_of(Path(against))
        wanted["against_templates"] = templates_of(Path(against).parent)
    job = asking.ask("POST", "/v1/backtests", workspace=workspace, body=wanted)
    path = f"/v1/backtests/{job['id']}"
    try:
        with progress(file.stem, "events") as bar:
            while job["state"] in ("queued", "running"):
                bar(job["share"], 1, job["events"])
                time.sleep(0.3)
                job = asking.ask("GET", path, workspace=workspace)
    except KeyboardInterrupt:
        asking.ask("POST", f"{path}/cancel", workspace=workspace)
        raise
    if job["state"] != "done":
        raise ConfigError(f"The backtest is {job['state']}: {job['error'] or 'somebody ended it'}.")
    return job["report"]


def _backtest_here(file: Path, last: str, against: str, differences: int, workspace: str) -> Any:
    """In this process, beside the database alone."""
    from app.byhand.trials import try_out
    from app.byhand.trying import span_in, wanted_trial

    span = span_in(last)

    async def work(hub: Hub) -> Any:
        version = await _version(hub, workspace, file.stem, file, None)
        other = await _other(hub, workspace, version.recipe.name, against)
        until = hub.clock.now()
        with progress(file.stem, "events") as bar:

            def heard(events: int, at: datetime) -> None:
                bar((at - until + span) / timedelta(seconds=1), span.total_seconds(), events)

            trial = wanted_trial(hub, workspace, version, until - span, until, other, differences)
            return (await try_out(hub, trial, heard)).as_json()

    return session.in_hub(work)


async def _version(hub: Hub, workspace: str, name: str, file: Path | None, number: int | None) -> Version:
    from app.byhand.versions import version_of

    source, templates = (text_of(file), templates_of(file.parent)) if file else (None, None)
    return await version_of(
        hub, workspace, name, source=source, number=number, file=str(file or ""), templates=templates
    )


async def _other(hub: Hub, workspace: str, name: str, against: str) -> Version | None:
    if not against:
        return None
    if against.isdigit():
        return await _version(hub, workspace, name, None, int(against))
    return await _version(hub, workspace, name, None if against == "current" else Path(against), None)


def _report(report: Any) -> None:
    from app.recipes.differences import versions_differ

    sides = {"new": report["new"]} | ({"current": report["current"]} if report["current"] else {})
    rows = [{"": name, **each, "errors": sum(each["errors"].values())} for name, each in sides.items()]
    print_rows(rows, False, empty="")
    unread = f", {report['unreadable']} of them unreadable" if report["unreadable"] else ""
    differing = f", {report['differing']} answered otherwise" if report["current"] else ""
    span = f"{report['since'][:10]} to {report['until'][:10]}"
    say(f"{report['events']} events from {span}{unread}{differing}")
    if any(each["assumed"] for each in sides.values()):
        say("assumed: decisions that rest on an example, because no stored run recorded the answer of a call")
    for name, each in sides.items():
        for error, count in list(each["errors"].items())[:10]:
            say(f"  {name}: {count} x {error}", "red")
    for difference in report["differences"]:
        before, after = difference["before"], difference["after"]
        went = before["run"] if before["run"] == after["run"] else f"{before['run']}, now {after['run']}"
        say(f"  {difference['at'][:16].replace('T', ' ')} {difference['event_id']}: {went}")
        if before["calls"] != after["calls"]:
            for line in versions_differ(before["calls"], after["calls"]):
                say(f"    {line}")
    if left := report["differing"] - len(report["differences"]):
        say(f"  and {left} more (--differences says how many are told)")


def _compact(value: Any) -> str:
    """A value in a line; of a large one its beginning."""
    import orjson

    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... (--json tells all of it)"
