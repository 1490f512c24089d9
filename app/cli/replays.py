"""Doing it again: one order by its number, one event by its id, or many by a filter."""

import time
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from app.cli import asking, naming
from app.cli.output import AsJson, Limit, Workspace, moment, print_json, print_rows, progress, say, tell

app = typer.Typer(help="Replays of many events: how they stand, and stopping them.", no_args_is_help=True)

STANDS = {
    "done": ("exists: skipped", "exists: skipped"),
    "new": ("new: would be made", "new: made"),
    "reserved": ("being made: waited for", "being made: waited for"),
    "uncertain": ("in doubt: waits for an answer", "in doubt: waits for an answer"),
}
"""What a run does about an effect that stands so: in a dry run, and in earnest."""
OVER = ("done", "cancelled", "paused", "previewed", "draft")

Text = Annotated[
    str | None, typer.Argument(help="An order number, e-mail address or sender's id, or an event's id; none: a filter.")
]
Recipes = Annotated[
    list[str] | None, typer.Option(help="Only this recipe; may be repeated.", autocompletion=naming.recipes)
]
Redo = Annotated[list[str] | None, typer.Option(help="Do this effect anew although it exists: step, key or call id.")]
State = Annotated[
    Literal["running", "waiting", "held", "done", "failed", "cancelled"] | None,
    typer.Option(help="Filter: recipes whose last run for the event stands so."),
]


def replay(
    text: Text = None,
    recipe: Recipes = None,
    redo: Redo = None,
    original: Annotated[bool, typer.Option("--original", help="The versions that ran then, not today's.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Only events of this type; may end in *.", autocompletion=naming.event_types),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only events of this connection.", autocompletion=naming.connections)
    ] = None,
    state: State = None,
    error: Annotated[str | None, typer.Option(help="Filter: part of the last run's error.")] = None,
    since: Annotated[
        str | None, typer.Option(callback=moment, help="Filter: from this moment on, 2026-11-22T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(callback=moment, help="Filter: before this moment.")] = None,
    failed_step: Annotated[
        bool, typer.Option("--failed-step", help="Filter: failed runs go on where they failed, instead of new runs.")
    ] = False,
    per_second: Annotated[float, typer.Option(help="Filter: runs begun a second, at most.")] = 20,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Filter: do not ask after the preview.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Run recipes again for an order, an event, or many events. What was done outside is not done twice."""
    version = "original" if original else "current"
    if text is not None:
        if state or error or since or until or failed_step:
            raise typer.BadParameter("an order or event is named: --state, --error, --since ... are for a filter")
        wanted = {"recipes": recipe, "version": version, "redo": redo or []}
        _by_name(text, type_, connection, wanted, dry_run, workspace, as_json)
        return
    found = {"type": type_, "connection": connection, "state": state, "error": error, "since": since, "until": until}
    if not any(found.values()):
        raise typer.BadParameter("say which: an order number, an event's id, or a filter such as --state failed")
    if len(recipe or []) == 1 and (state or error):
        found["recipe"] = (recipe or [])[0]
    options = {"version": version, "redo": redo or [], "per_second": per_second, "recipes": recipe}
    if failed_step:
        options = {"begin": "failed_step", "per_second": per_second}
    body = {"filter": {name: value for name, value in found.items() if value}, "options": options}
    _by_filter(body, dry_run, yes, workspace, as_json)


# --- by name ----------------------------------------------------------------------------------------------------


def _by_name(
    text: str, type_: str | None, connection: str | None, wanted: Any, dry_run: bool, workspace: str, as_json: bool
) -> None:
    named = _is_id(text)
    events = [{"id": text}] if named else _events_of(text, type_, connection, workspace)
    reports = []
    for event in events:
        path = f"/v1/events/{event['id']}/replay"
        report = asking.ask("POST", path, workspace=workspace, body=wanted, dry_run=dry_run)
        reports.append(report)
        if not as_json:
            _print(event, report, dry_run)
    if as_json:
        print_json(reports[0] if named else reports)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _events_of(text: str, type_: str | None, connection: str | None, workspace: str) -> list[dict[str, Any]]:
    """The events of the one order (or other subject) that a text names, oldest first."""
    rows = asking.rows("/v1/events", 500, workspace=workspace, q=text, type=type_, connection=connection)
    names = {text, f"#{text}", text.removeprefix("#"), text.lower()}
    rows = [row for row in rows if names & {row["number"], row["email"], row["subject"]["id"], row["object"]["id"]}]
    if not rows:
        raise typer.BadParameter(f"no event is of {text!r}; `tradewind events` lists them")
    subjects = {(row["connection"], row["subject"]["kind"], row["subject"]["id"]) for row in rows}
    if len(subjects) > 1:
        listed = "; ".join(f"{kind} {name} at {slug}" for slug, kind, name in sorted(subjects, key=str)[:10])
        raise typer.BadParameter(
            f"{text!r} names {len(subjects)} things: {listed}. Narrow it with --connection, or name an event's id"
        )
    return rows[::-1]


def _print(event: dict[str, Any], report: Any, dry_run: bool) -> None:
    about = ""
    if "type" in event:
        about = f"{event['type']} {event['number'] or event['subject']['id']} at {event['connection']}, "
    say(f"{about}event {report['event_id']}:" + ("" if report["runs"] else " no recipe runs"))
    for run in report["runs"]:
        did = "would run" if dry_run else f"runs again as {run['run_id']}"
        say(f"  {run['recipe']} version {run['version']} {did}")
        for effect in run["effects"]:
            say(f"    {effect['step']}: {effect['action']}: {STANDS[effect['standing']][not dry_run]}")
        if not run["whole"]:
            say("    further steps depend on what is new")
    for refused in report["refused"]:
        say(f"  {refused['recipe']} does not run: {refused['reason']}")


# --- by a filter ------------------------------------------------------------------------------------------------


def _by_filter(body: Any, dry_run: bool, yes: bool, workspace: str, as_json: bool) -> None:
    made = asking.ask("POST", "/v1/replays", workspace=workspace, body=body)
    path = f"/v1/replays/{made['id']}"
    asking.ask("POST", f"{path}/preview", workspace=workspace)
    seen = _wait(path, workspace, ("previewed", "cancelled"))
    if not as_json:
        _tell_preview(seen)
    if dry_run:
        asking.ask("POST", f"{path}/cancel", workspace=workspace)
    elif yes or (not as_json and typer.confirm("Start it?")):
        asking.ask("POST", f"{path}/start", workspace=workspace)
        say(f"replay {made['id']} runs; `tradewind replays pause {made['id']}` pauses it.", err=True)
        seen = _wait(path, workspace, ("done", "cancelled", "paused"))
        if not as_json:
            _tell_report(seen)
    if as_json:
        print_json(seen)


def _wait(path: str, workspace: str, states: tuple[str, ...]) -> Any:
    """The replay once it stands so. Workers do the work: without one this waits."""
    with progress("replay", "events") as bar:
        while (seen := asking.ask("GET", path, workspace=workspace))["state"] not in states:
            bar(seen["done"], seen["total"] or 0, seen["done"])
            time.sleep(0.3)
    return seen


def _tell_preview(seen: Any) -> None:
    counted = seen["preview"] or {}
    effects = counted.get("effects", {})
    said = ", ".join(f"{number} {STANDS[name][0]}" for name, number in sorted(effects.items())) or "none"
    say(f"{counted.get('items', 0)} events, {counted.get('runs', 0)} runs; effects: {said}")
    if counted.get("runs_not_whole"):
        say(f"{counted['runs_not_whole']} runs have further steps that depend on what is new")
    _tell_refusals(counted)


def _tell_report(seen: Any) -> None:
    say(f"{seen['state']}: {seen['done']} events, {seen['report'].get('runs', 0)} runs begun")
    _tell_refusals(seen["report"])


def _tell_refusals(counted: Any) -> None:
    if counted.get("refused"):
        say(f"{counted['refused']} refused:")
        for each in counted["refusals"][:10]:
            say(f"  {each['id']} {each['recipe'] or ''} {each['reason']}")


@app.command("list")
def list_replays(limit: Limit = 20, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List replays of many events, newest first."""
    rows = asking.rows("/v1/replays", limit, workspace=workspace)
    shown = ("id", "created_at", "state", "done", "total", "actor", "ended_at")
    print_rows([{name: row[name] for name in shown} for row in rows], as_json, empty="There are no replays.")


Id = Annotated[UUID, typer.Argument(help="The replay's id.")]


@app.command()
def show(id: Id, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Print a replay as JSON: filter, preview, progress, report."""
    print_json(asking.ask("GET", f"/v1/replays/{id}", workspace=workspace))


@app.command()
def pause(id: Id, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Begin no further runs until it is resumed."""
    _set(id, "pause", workspace, as_json)


@app.command()
def resume(id: Id, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Go on from where it was paused."""
    _set(id, "resume", workspace, as_json)


@app.command()
def cancel(id: Id, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Begin no further runs; those that it began go on (`tradewind cancel --replay` ends them)."""
    _set(id, "cancel", workspace, as_json)


def _set(id: UUID, verb: str, workspace: str, as_json: bool) -> None:
    seen = asking.ask("POST", f"/v1/replays/{id}/{verb}", workspace=workspace)
    tell(seen, as_json, f"replay {id} is {seen['state']}: {seen['done']} events worked.")
