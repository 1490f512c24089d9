"""The generated files: the API's description and the schemas."""

from typing import Annotated

import typer


def export(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")] = False,
) -> None:
    """Write the API description and the schemas of events and recipes to openapi/."""
    from app.export import export as write

    stale = write(check=check)
    for name in stale:
        typer.echo(f"openapi/{name} is {'out of date: run `make openapi`' if check else 'written'}")
    raise typer.Exit(1 if check and stale else 0)
