"""What waits for a person: effects that nobody is sure of, runs that ask; and ending runs."""

import json
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from app.cli import asking, naming
from app.cli.output import AsJson, Limit, Workspace, moment, print_json, print_rows, say, tell

app = typer.Typer(help="Effects outside: what was done, and what nobody is sure of.", no_args_is_help=True)


@app.command("list")
def list_effects(
    state: Annotated[
        Literal["reserved", "done", "uncertain", "released"], typer.Option(help="`uncertain` waits for an answer.")
    ] = "uncertain",
    recipe: Annotated[str | None, typer.Option(help="Only of this recipe.", autocompletion=naming.recipes)] = None,
    connection: Annotated[
        str | None, typer.Option(help="Only those made at this connection.", autocompletion=naming.connections)
    ] = None,
    action: Annotated[str | None, typer.Option(help="Only of this action, as quickbooks.create_invoice.")] = None,
    limit: Limit = 20,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List effects: those that wait for an answer unless another state is asked for."""
    wanted = {"state": state, "recipe": recipe, "connection": connection, "action": action}
    rows = asking.rows("/v1/effects", limit, workspace=workspace, **wanted)
    shown = ("key", "state", "number", "label", "connection", "question", "error", "doubled", "at")
    found = rows if as_json else [{name: row[name] for name in shown} for row in rows]
    print_rows(found, as_json, empty=f"No effect is {state}.")


@app.command()
def answer(
    key: Annotated[str, typer.Argument(help="The effect key, or the id of its call.")],
    said: Annotated[
        Literal["happened", "did-not", "look-again"],
        typer.Argument(help="happened: it is done. did-not: it may be done. look-again: the hub looks by itself."),
    ],
    output: Annotated[
        str | None, typer.Option(help="With `happened`: what the action answered, as JSON, for the steps after it.")
    ] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Say whether an effect happened that nobody is sure of; its run goes on from there."""
    body: dict[str, Any] = {"answer": said.replace("-", "_")}
    if output is not None:
        try:
            body["output"] = json.loads(output)
        except ValueError as e:
            raise typer.BadParameter(f"--output is no JSON: {e}") from e
    answered = asking.ask("POST", f"/v1/effects/{key}/answer", workspace=workspace, body=body)
    if as_json:
        print_json(answered)
    else:
        say(f"its call is {answered['call_state']}, its effect {answered['effect_state']}.")


def approve(
    run: Annotated[UUID, typer.Argument(help="The run that asks.")],
    decline: Annotated[bool, typer.Option("--decline", help="Say no.")] = False,
    note: Annotated[str | None, typer.Option(help="What its recipe reads as `steps.x.note`.")] = None,
    step: Annotated[str | None, typer.Option(help="The step that asks; needed where several do.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Answer a run whose `approve` step asks a person: yes, unless `--decline`; it goes on by the answer."""
    body = {"approved": not decline, "note": note, "step": step}
    said = asking.ask("POST", f"/v1/runs/{run}/approve", workspace=workspace, body=body)
    tell(said, as_json, f"{said['step']} is {'approved' if said['approved'] else 'declined'}; the run goes on.")


def cancel(
    run: Annotated[UUID | None, typer.Argument(help="One run; none: all that the filter finds.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Filter: runs of this recipe.", autocompletion=naming.recipes)
    ] = None,
    state: Annotated[Literal["running", "waiting", "held"] | None, typer.Option(help="Filter: only these.")] = None,
    connection: Annotated[
        str | None,
        typer.Option(help="Filter: the connection that the event came from.", autocompletion=naming.connections),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Filter: the event's type.", autocompletion=naming.event_types)
    ] = None,
    replay: Annotated[UUID | None, typer.Option(help="Filter: runs that this replay began.")] = None,
    since: Annotated[str | None, typer.Option(callback=moment, help="Filter: begun from this moment on.")] = None,
    until: Annotated[str | None, typer.Option(callback=moment, help="Filter: begun before this moment.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would end.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """End runs: what is not sent will not be; what is being sent this moment is recorded."""
    wanted = {"recipe": recipe, "state": state, "connection": connection, "type": type_,
              "replay": str(replay) if replay else None, "since": since, "until": until}  # fmt: skip
    given = {name: value for name, value in wanted.items() if value is not None}
    if (run is None) is not bool(given):
        raise typer.BadParameter("say which: a run's id, or a filter such as --recipe invoice-paid-orders")
    if run is not None:
        if dry_run:
            raise typer.BadParameter("--dry-run is for a filter")
        ended = asking.ask("POST", f"/v1/runs/{run}/cancel", workspace=workspace)
    else:
        ended = asking.ask("POST", "/v1/runs/cancel", workspace=workspace, body=given, dry_run=dry_run)
    if as_json:
        print_json(ended)
        return
    runs = ended.get("runs", 1)
    say(
        f"{runs} run{'' if runs == 1 else 's'} {'would end' if dry_run else 'ended'}; {ended['calls']} calls "
        f"{'would' if dry_run else 'will'} not be sent, {ended['in_flight']} are being sent this moment."
    )
    if ended.get("left"):
        say("There are more: ask again.")
