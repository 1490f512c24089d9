"""Connections: configured accounts at outside systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json, print_rows

if TYPE_CHECKING:
    from app.hub import Hub

app = typer.Typer(help="Connections: configured accounts at outside systems.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The connection's slug.")]


@app.command("list")
def list_connections(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the connections of a workspace."""

    async def work(hub: Hub) -> list[dict[str, object]]:
        return [
            {
                "slug": each.slug,
                "connector": each.connector.slug,
                "account": each.account,
                "role": each.role,
                "paused": each.paused,
                "base_url": each.base_url,
                "origin": each.origin,
            }
            for each in sorted(hub.connections, key=lambda each: each.slug)
            if each.workspace == workspace
        ]

    empty = "There are no connections; see `tradewind connections apply --help`."
    print_rows(session.in_hub(work), as_json, empty=empty)


@app.command()
def apply(
    file: Annotated[Path | None, typer.Argument(help="connections.yaml; TRADEWIND_CONNECTIONS if not said.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Bring the connections of a file into the hub; those that it no longer names are removed."""
    from app.domain.connections_file import apply as bring_in
    from app.domain.connections_file import read_connections
    from app.errors import ConfigError

    path = file or session.settings().connections
    if path is None:
        raise ConfigError("Say which file: `tradewind connections apply connections.yaml`.")

    async def work(hub: Hub) -> list[str]:
        declared = read_connections(path, hub.registry)
        return await bring_in(hub.database, hub.ring, declared, f"file:{path.resolve()}", workspace)

    lines = session.in_hub(work)
    if as_json:
        print_json(lines)
    else:
        typer.echo("\n".join(lines) or "The file names no connection.")


@app.command("test")
def prove_connection(slug: Slug, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Prove the credentials by a cheap read at the system. Exit code 1 if they do not work."""
    from app.proof import Proof, prove

    async def work(hub: Hub) -> Proof:
        return await prove(hub, session.connection_of(hub, workspace, slug))

    proof = session.in_hub(work)
    if as_json:
        print_json({"connection": slug, "works": proof.works, "said": proof.said})
    else:
        typer.secho(f"{slug}: {proof.said}", fg=None if proof.works else "red")
    raise typer.Exit(0 if proof.works else 1)


@app.command()
def pause(slug: Slug, workspace: Workspace = "main") -> None:
    """Make no more calls at a connection; they wait, in order. Webhooks are still taken in."""
    _pause(slug, workspace, True)
    typer.echo(f"{slug} is paused: calls wait until `tradewind connections resume {slug}`.")


@app.command()
def resume(slug: Slug, workspace: Workspace = "main") -> None:
    """Make the calls that waited, in order."""
    _pause(slug, workspace, False)
    typer.echo(f"{slug} goes on.")


def _pause(slug: str, workspace: str, paused: bool) -> None:
    from app.byhand import pause_connection

    async def work(hub: Hub) -> None:
        await pause_connection(hub, workspace, slug, paused, "command line")

    session.in_hub(work)
