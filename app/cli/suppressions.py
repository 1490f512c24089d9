"""Addresses that are not written to any more."""

from typing import Annotated, Literal
from urllib.parse import quote

import typer

from app.cli import asking
from app.cli.output import AsJson, Workspace, print_rows, tell

app = typer.Typer(help="Addresses that are not written to any more.", no_args_is_help=True)
Address = Annotated[str, typer.Argument(help="The e-mail address.")]


@app.command("list")
def list_suppressions(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 100,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List them, the newest first."""
    found = asking.rows("/v1/suppressions", limit, workspace=workspace)
    rows = found if as_json else [{**each, "address": each["address"] or "(erased)"} for each in found]
    print_rows(rows, as_json, empty="Every address may be written to.")


@app.command()
def add(
    address: Address,
    reason: Annotated[
        Literal["unsubscribed", "bounced", "complained", "by hand"], typer.Option(help="Why.")
    ] = "by hand",
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Write to an address no more."""
    body = {"address": address, "reason": reason}
    made = asking.ask("POST", "/v1/suppressions", workspace=workspace, body=body)
    tell(made, as_json, f"{address} is not written to any more, since {made['since'][:10]}: {made['reason']}.")


@app.command()
def remove(address: Address, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Write to an address again. Exit code 1 if it was not on the list."""
    try:
        asking.ask("DELETE", f"/v1/suppressions/{quote(address, safe='@')}", workspace=workspace)
        gone = True
    except asking.RefusedError as e:
        if e.status != 404:
            raise
        gone = False
    said = f"{address} may be written to again." if gone else f"{address} was not on the list."
    tell({"address": address, "removed": gone}, as_json, said)
    raise typer.Exit(0 if gone else 1)
