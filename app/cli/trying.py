"""Recipes, tried before they are trusted: test files, dry runs, backtests, and why an event ran them or did not."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json, print_rows
from app.cli.recipes import Folder, Name, _folder, app

if TYPE_CHECKING:
    from app.byhand.versions import Version
    from app.hub import Hub
    from app.pipeline.match.reports import Answered, Backtest, Totals
    from app.pipeline.match.why import Explanation, Why

__all__ = ["app"]

File = Annotated[Path | None, typer.Option(help="A file, instead of the version that runs.", exists=True)]


@app.command("test")
def run_tests(
    folder: Folder = None,
    recipe: Annotated[list[str] | None, typer.Option(help="Only this recipe; may be repeated.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write what came as what is expected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the test files beside the recipes. Exit code 1 if a case fails."""
    from app.recipes.testing import run_folder

    raise typer.Exit(run_folder(_folder(folder), recipe or (), as_json=as_json, update=update))


@app.command("dry-run")
def try_event(
    name: Name,
    event: Annotated[UUID, typer.Argument(help="The id of a stored event, as `tradewind events` shows it.")],
    file: File = None,
    version: Annotated[int | None, typer.Option(help="An earlier version, by its number.")] = None,
    passes: Annotated[str, typer.Option("--pass", help="How much time passes after the event, as 30d.")] = "0s",
    reads: Annotated[bool, typer.Option("--reads", help="Make calls that only read, for real.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Show what a recipe would do about a stored event: every call with its input, nothing sent."""
    from app.byhand.trying import dry, span_in
    from app.pipeline.match.dry import DryRun

    async def work(hub: Hub) -> DryRun:
        version_ = await _version(hub, workspace, name, file, version)
        return await dry(hub, workspace, event, version_.recipe, None, span_in(passes), reads)

    shown = session.in_hub(work)
    if as_json:
        print_json(shown.as_json())
        return
    went = f"; it would be {shown.state}" if shown.state != "none" else ""
    typer.echo(f"{shown.decision}{went}" + (f": {shown.reason}" if shown.reason else ""))
    for call in shown.calls:
        answer = ", answered by an example" if call.assumed else ""
        typer.echo(
            f"  {call.at:%Y-%m-%d %H:%M}  {call.use} at {call.connection} (step {call.step}{answer}): {call.input}"
        )


@app.command()
def explain(
    event: Annotated[str, typer.Argument(help="The id of a stored event, or an order number or e-mail address.")],
    recipe: Annotated[str | None, typer.Option(help="Only this recipe.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Say why each recipe ran for an event or did not: which part of its `where` was false, and with which values."""
    from app.byhand.trying import explained
    from app.pipeline.match.why import OTHERS

    async def work(hub: Hub) -> list[Explanation]:
        return await explained(hub, workspace, event, recipe)

    found = session.in_hub(work)
    if as_json:
        print_json([each.as_json() for each in found])
        return
    for each in found:
        typer.secho(f"{each.type} {each.number or ''} {each.at:%Y-%m-%d %H:%M}  {each.event_id}", bold=True)
        asked = [why for why in each.recipes if not why.reason.startswith(OTHERS)]
        for why in asked:
            _tell(why)
        if others := [why.recipe for why in each.recipes if why not in asked]:
            typer.echo(f"  – do not ask for {each.type}: {', '.join(others)}")


def _tell(why: Why) -> None:
    run = f": run {why.run_id}" if why.ran else ""
    mark, said = ("✓", f"ran{run}") if why.ran else ("–", f"did not run: {why.reason}")
    typer.secho(f"  {mark} {why.recipe} {said}", fg="green" if why.ran else None)
    for part in why.parts:
        sign = {True: "✓", False: "✗", None: "?"}[part.holds]
        values = ", ".join(f"{name} is {value}" for name, value in part.values.items())
        typer.echo(f"      {sign} {part.condition}" + (f"  ({part.error or values})" if part.error or values else ""))


@app.command()
def backtest(
    file: Annotated[Path, typer.Argument(help="The recipe's file.", exists=True, dir_okay=False)],
    last: Annotated[str, typer.Option(help="How far to look back.")] = "30d",
    against: Annotated[
        str, typer.Option(help="What to compare with: `current` (the version that runs), a version's number, a file.")
    ] = "",
    differences: Annotated[int, typer.Option(min=0, help="How many differing events are told one by one.")] = 50,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Run the stored events of the last days through a recipe, and tell what it would have done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from app.byhand.trials import try_out
    from app.byhand.trying import span_in, wanted_trial

    span = span_in(last)

    async def work(hub: Hub) -> Backtest:
        version = await _version(hub, workspace, file.stem, file, None)
        other = await _other(hub, workspace, version.recipe.name, against)
        until = hub.clock.now()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                   TextColumn("{task.fields[events]} events"), TimeRemainingColumn())  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task(file.stem, total=span.total_seconds(), events=0)

            def progress(events: int, at: datetime) -> None:
                bar.update(task, completed=(at - until + span).total_seconds(), events=events)

            trial = wanted_trial(hub, workspace, version, until - span, until, other, differences)
            return await try_out(hub, trial, progress)

    report = session.in_hub(work)
    print_json(report.as_json()) if as_json else _report(report)


async def _version(hub: Hub, workspace: str, name: str, file: Path | None, number: int | None) -> Version:
    from app.byhand.versions import version_of

    source = file.read_text() if file else None
    return await version_of(hub, workspace, name, source=source, number=number, file=str(file or ""))


async def _other(hub: Hub, workspace: str, name: str, against: str) -> Version | None:
    from app.errors import ConfigError

    if not against:
        return None
    if against.isdigit():
        return await _version(hub, workspace, name, None, int(against))
    if against != "current" and not Path(against).is_file():
        raise ConfigError(f"--against {against}: say `current`, the number of a version, or a file.")
    return await _version(hub, workspace, name, None if against == "current" else Path(against), None)


def _report(report: Backtest) -> None:
    sides = {"new": report.new} | ({"current": report.current} if report.current else {})
    print_rows([{"": name, **_row(each)} for name, each in sides.items()], False, empty="")
    unread = f", {report.unreadable} of them unreadable" if report.unreadable else ""
    differing = f", {report.differing} answered otherwise" if report.current else ""
    typer.echo(f"{report.events} events from {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}{unread}{differing}")
    if any(each.assumed for each in sides.values()):
        typer.echo("assumed: decisions that rest on an example, because no stored run recorded the answer of a call")
    for name, each in sides.items():
        for error, count in each.errors.most_common(10):
            typer.secho(f"  {name}: {count} x {error}", fg="red")
    for difference in report.differences:
        typer.echo(f"  {difference.at:%Y-%m-%d %H:%M} {difference.event_id}")
        _side("-", difference.before)
        _side("+", difference.after)
    if left := report.differing - len(report.differences):
        typer.echo(f"  and {left} more (--differences says how many are told)")


def _side(mark: str, answered: Answered) -> None:
    typer.echo(f"    {mark} {answered.run}" + ("" if answered.calls else ", no calls"))
    for call in answered.calls:
        typer.echo(f"    {mark}   {str(call)[:300]}")


def _row(totals: Totals) -> dict[str, Any]:
    """Counts for a table: objects as `name: number`."""
    said = totals.as_json() | {"errors": sum(totals.errors.values())}
    return {
        key: ", ".join(f"{name}: {number}" for name, number in each.items()) if isinstance(each, dict) else each
        for key, each in said.items()
    }
