"""What happened: traces, events, runs, and doing it again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from app.cli import asking, naming, session
from app.cli.output import AsJson, Limit, Workspace, console_for, moment, print_json, print_rows, say

webhooks = typer.Typer(help="What came in.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(callback=moment, help="From this moment on, as 2026-11-22T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(callback=moment, help="Before this moment.")]

TROUBLE = ("failed", "cancelled")


def trace(
    text: Annotated[str, typer.Argument(help="An order number, an e-mail address, or any id or effect key.")],
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Print the whole way of one order: webhook, event, why each recipe ran or not, steps, attempts, effects."""
    known = True
    try:
        found = asking.ask("GET", f"/v1/trace/{quote(text, safe='', errors='replace')}", workspace=workspace)
    except asking.RefusedError as e:
        if e.status != 404:
            raise
        known, found = False, {"asked": text, "kind": None, "ways": []}
    if as_json:
        print_json(found)
    else:
        from app.trace.shapes import Trace
        from app.trace.terminal import render

        drawn = render(Trace.model_validate(found))
        console_for(drawn)[0].print(drawn)
    raise typer.Exit(0 if known else 1)


def events(
    text: Annotated[str | None, typer.Argument(help="An order number, e-mail address, sender's id, or error.")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Only this type, as order.paid, or order.*", autocompletion=naming.event_types),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only of this connection.", autocompletion=naming.connections)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Only those that this recipe answered.", autocompletion=naming.recipes)
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List events, newest first."""
    wanted = {"q": text, "type": type_, "connection": connection, "recipe": recipe}
    found = asking.rows("/v1/events", limit, workspace=workspace, **wanted, since=since, until=until)
    shown = ("id", "occurred_at", "type", "connection", "number", "email", "object_kind", "object_id", "test")
    flat = [{**each, "object_kind": each["object"]["kind"], "object_id": each["object"]["id"]} for each in found]
    print_rows(_rows(flat, shown), as_json, empty="There are no such events.")


def runs(
    text: Annotated[str | None, typer.Argument(help="An order number, e-mail address, sender's id, or error.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only of this recipe.", autocompletion=naming.recipes)] = None,
    state: Annotated[
        Literal["running", "waiting", "held", "done", "failed", "cancelled"] | None, typer.Option(help="Only these.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Only of events of this type, or order.*", autocompletion=naming.event_types),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only of events of this connection.", autocompletion=naming.connections)
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    wanted = {"q": text, "recipe": recipe, "state": state, "type": type_, "connection": connection}
    found = asking.rows("/v1/runs", limit, workspace=workspace, **wanted, since=since, until=until)
    shown = ("id", "at", "recipe", "version", "state", "reason", "connection", "event_id", "ended_at")
    print_rows(_rows(found, shown), as_json, empty="There are no such runs.", red=TROUBLE)


@webhooks.command("list")
def list_webhooks(
    state: Annotated[
        Literal["due", "reading", "normalised", "ignored", "unknown", "malformed"] | None,
        typer.Option(help="Only these."),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only of this connection.", autocompletion=naming.connections)
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
    limit: Limit = 20,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List what came in, newest first."""
    found = asking.rows("/v1/webhooks", limit, workspace=workspace, state=state, connection=connection, topic=topic)
    shown = ("id", "at", "connection", "topic", "size", "state", "events", "reason")
    print_rows(_rows(found, shown), as_json, empty="Nothing of that kind came in.", red=("malformed",))


def _rows(rows: Sequence[Any], shown: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of rows."""
    return [{name: row[name] for name in shown} for row in rows]


@webhooks.command()
def states(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Count what came in by connection and by what became of it: known, ignored, unknown, malformed."""
    found = asking.ask("GET", "/v1/webhooks/states", workspace=workspace)["items"]
    rows = found if as_json else [{"connection": each["connection"] or "removed", **each["states"]} for each in found]
    print_rows(rows, as_json, empty="Nothing came in yet.")


@webhooks.command()
def reprocess(
    state: Annotated[Literal["unknown", "malformed"], typer.Option(help="Read these again.")],
    connection: Annotated[
        str | None, typer.Option(help="Only of this connection.", autocompletion=naming.connections)
    ] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Read kept webhooks once more, after a fix. Safe: a fact that is an event already stays that one event."""
    wanted = {"state": state, "connection": connection}
    count = asking.ask("POST", "/v1/webhooks/reprocess", workspace=workspace, body=wanted)["webhooks"]
    if as_json:
        print_json({"state": state, "webhooks": count})
    else:
        say(f"{count} {state} webhook{'' if count == 1 else 's'} will be read again.")


@webhooks.command()
def amounts(
    folder: Annotated[
        Path, typer.Argument(help="Payloads, laid out as <connector>/<topic>/<file>.", exists=True, file_okay=False)
    ],
    trouble: Annotated[
        bool, typer.Option("--trouble", help="Only what does not add up, differs, or cannot be read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report what the orders of a folder of payloads come to: whether each adds up, and whether a second reader of the
    body agrees on number, currency and total. Exit code 1 where it does not."""
    from app.domain.amounts import report, summary
    from app.registry import Registry

    lines = list(report(folder, Registry.of(session.settings())))
    shown = [line for line in lines if not trouble or line.off or line.differs or line.error]
    names = ("path", "type", "number", "total", "off", "second", "error")
    print_rows(
        [{name: _said(getattr(line, name)) for name in names} for line in shown],
        as_json,
        empty="There is no order in it.",
    )
    say(summary(lines), err=as_json)
    raise typer.Exit(1 if any(line.differs for line in lines) else 0)


def _said(value: Any) -> str | None:
    return None if value is None else str(value)
