"""Connections: configured accounts at outside systems."""

from __future__ import annotations

from datetime import datetime
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
        from app.store.connections import health

        async with hub.database.begin() as db:
            known = await health(db)
        return [
            {
                "slug": each.slug,
                "connector": each.connector.slug,
                "account": each.account,
                "role": each.role,
                "paused": each.paused,
                "works": known[each.id].probe_works if each.id in known else None,
                "authorised_until": known[each.id].authorised_until if each.id in known else None,
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
    from app.probing import probe
    from app.proof import Proof
    from app.store.connections import health

    async def work(hub: Hub) -> tuple[Proof, datetime | None, list[str]]:
        connection = session.connection_of(hub, workspace, slug)
        proof = await probe(hub, connection)
        async with hub.database.begin() as db:
            known = (await health(db)).get(connection.id)
        return proof, known.authorised_until if known else None, hub.recipes.at_risk(connection)

    proof, until, at_risk = session.in_hub(work)
    if as_json:
        said = {"connection": slug, "works": proof.works, "said": proof.said}
        print_json(said | {"authorised_until": until, "recipes": at_risk})
    else:
        typer.secho(f"{slug}: {proof.said}", fg=None if proof.works else "red")
        if until is not None:
            typer.echo(f"authorise it again before {until:%Y-%m-%d}")
        typer.echo(f"recipes that call it: {', '.join(at_risk) or 'none'}")
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
