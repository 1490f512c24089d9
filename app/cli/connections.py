"""Connections: configured accounts at outside systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import asking, session
from app.cli.output import AsJson, Workspace, print_json, print_rows

if TYPE_CHECKING:
    from app.hub import Hub

app = typer.Typer(help="Connections: configured accounts at outside systems.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The connection's slug.")]


@app.command("list")
def list_connections(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the connections of a workspace."""

    found = asking.ask("GET", "/v1/connections", workspace=workspace)["items"]
    shown = ("slug", "connector", "account", "role", "paused", "authorised_until", "base_url", "origin")
    rows = [{name: each[name] for name in shown} | {"works": each["probe_works"]} for each in found]
    print_rows(rows, as_json, empty="There are no connections; see `tradewind connections apply --help`.")


@app.command()
def apply(
    file: Annotated[Path | None, typer.Argument(help="connections.yaml; TRADEWIND_CONNECTIONS if not said.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Bring the connections of a file into the hub and test each; those that it no longer names are removed."""
    from app.domain.connections_file import apply as bring_in
    from app.domain.connections_file import read_connections
    from app.errors import ConfigError
    from app.probing import probe

    path = file or session.settings().connections
    if path is None:
        raise ConfigError("Say which file: `tradewind connections apply connections.yaml`.")

    async def work(hub: Hub) -> list[str]:
        declared = read_connections(path, hub.registry)
        lines = await bring_in(hub.database, hub.ring, declared, f"file:{path.resolve()}", workspace)
        await hub.connections.refresh(always=True)
        found = (hub.connections.find(workspace, one.slug) for one in declared)
        return [*lines, *[f"{each.slug}: {(await probe(hub, each)).said}" for each in found if each is not None]]

    lines = session.in_hub(work)
    if as_json:
        print_json(lines)
    else:
        typer.echo("\n".join(lines) or "The file names no connection.")


@app.command("test")
def prove_connection(slug: Slug, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Prove the credentials by a cheap read at the system. Exit code 1 if they do not work."""
    proof = asking.ask("POST", f"/v1/connections/{slug}/test", workspace=workspace)
    if as_json:
        print_json({"connection": slug, **proof})
    else:
        typer.secho(f"{slug}: {proof['said']}", fg=None if proof["works"] else "red")
        if proof["authorised_until"] is not None:
            typer.echo(f"authorise it again before {proof['authorised_until'][:10]}")
        typer.echo(f"recipes that call it: {', '.join(proof['recipes']) or 'none'}")
    raise typer.Exit(0 if proof["works"] else 1)


LaneOnly = Annotated[bool, typer.Option("--lane", help="Only its lane, apart from the connection.")]


@app.command()
def pause(slug: Slug, lane: LaneOnly = False, workspace: Workspace = "main") -> None:
    """Make no more calls at a connection; they wait, in order. Webhooks are still taken in."""
    _pause(slug, workspace, True, lane)
    again = f"tradewind connections resume {slug}{' --lane' if lane else ''}"
    typer.echo(f"{'The lane of ' if lane else ''}{slug} is paused: calls wait until `{again}`.")


@app.command()
def resume(slug: Slug, lane: LaneOnly = False, workspace: Workspace = "main") -> None:
    """Make the calls that waited, in order."""
    _pause(slug, workspace, False, lane)
    typer.echo(f"{'The lane of ' if lane else ''}{slug} goes on.")


def _pause(slug: str, workspace: str, paused: bool, lane: bool) -> None:
    verb = "pause" if paused else "resume"
    asking.ask("POST", f"/v1/connections/{slug}/{'lane/' if lane else ''}{verb}", workspace=workspace)
