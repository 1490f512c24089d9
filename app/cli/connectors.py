"""Connectors: the catalogue, and a new one."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, print_json, print_rows, say

app = typer.Typer(help="Connectors: code for outside systems.", no_args_is_help=True)


@app.command("list")
def list_connectors(as_json: AsJson = False) -> None:
    """List the connectors with what they send and do."""
    from app.registry import Registry

    rows = [
        {
            "slug": each.slug,
            "title": each.title,
            "category": each.category,
            "topics": sorted(each.source.topics) if each.source else [],
            "actions": [action.name for action in each.actions],
            "sandbox": each.sandbox is not None,
        }
        for each in Registry.of(session.settings())
    ]
    if as_json:
        print_json(rows)
        return
    counted = [{**row, "topics": len(row["topics"])} for row in rows]  # type: ignore[arg-type]
    print_rows(counted, False, empty="There are no connectors.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Its slug: lower-case letters and digits, as acme.")],
    folder: Annotated[Path | None, typer.Option(help="Where the connectors are.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a connector that already passes every check."""
    from app.scaffold import write_connector

    written = write_connector(name, folder)
    if as_json:
        print_json([str(path) for path in written])
        return
    for path in written:
        say(str(path))
    say(f"It passes as it is: make test TESTARGS='tests/connectors -k {name}'. Now make it speak {name}'s API.")
