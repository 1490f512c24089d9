"""The generated files: the API's description and the schemas."""

from typing import Annotated

import typer


def export(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a file is out of date.")] = False,
) -> None:
    """Write the API description and the schemas of events and recipes to openapi/."""
    from app.export import export as write

    raise typer.Exit(write(check=check))
