"""The generated files: the API's description and the schemas."""

from typing import Annotated

import typer

from app.cli.output import AsJson, print_json, say


def export(
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit 1 if a file is out of date, or the API breaks its callers."),
    ] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Write down the API as released: what breaks it later is found.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the API description, the schemas of events and recipes, and the reference page of the language."""
    from app.export import broken
    from app.export import export as write
    from app.export import release as write_release

    stale, breaks = write(check=check), broken()
    if release:
        write_release()
    if as_json:
        print_json({"out_of_date" if check else "written": stale, "breaks": breaks, "released": release})
        raise typer.Exit(1 if check and (stale or breaks) else 0)
    for name in stale:
        folder = "docs" if name.endswith(".md") else "openapi"
        say(f"{folder}/{name} is {'out of date: run `make openapi`' if check else 'written'}")
    if release:
        say("openapi/released/openapi.json is written")
    for line in breaks:
        say(f"breaks callers of the last release: {line}", err=True)
    raise typer.Exit(1 if check and (stale or breaks) else 0)
