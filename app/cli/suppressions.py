"""Addresses that are not written to any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_rows

if TYPE_CHECKING:
    from app.hub import Hub

app = typer.Typer(help="Addresses that are not written to any more.", no_args_is_help=True)
Address = Annotated[str, typer.Argument(help="The e-mail address.")]


@app.command("list")
def list_suppressions(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, workspace: Workspace = "main", as_json: AsJson = False
) -> None:
    """List them, the newest first."""

    async def work(hub: Hub) -> list[dict[str, object]]:
        return [
            {"address": each.address or "(erased)", "reason": each.reason, "since": each.since, "said": each.said}
            for each in await hub.suppressions.newest(workspace, limit)
        ]

    print_rows(session.in_hub(work), as_json, empty="Every address may be written to.")


@app.command()
def add(
    address: Address,
    reason: Annotated[str, typer.Option(help="unsubscribed, bounced, complained or `by hand`.")] = "by hand",
    workspace: Workspace = "main",
) -> None:
    """Write to an address no more."""
    from app.domain.suppressions import REASONS
    from app.errors import ConfigError

    known = next((each for each in REASONS if each == reason), None)
    if known is None or "@" not in address:
        raise ConfigError(f"{address!r} for {reason!r} cannot be kept: a reason is one of {', '.join(REASONS)}.")

    async def work(hub: Hub) -> bool:
        return await hub.suppressions.add(workspace, address, known, actor="command line")

    there = session.in_hub(work)
    typer.echo(f"{address} is not written to any more." if there else f"{address} was on the list already.")


@app.command()
def remove(address: Address, workspace: Workspace = "main") -> None:
    """Write to an address again. Exit code 1 if it was not on the list."""

    async def work(hub: Hub) -> bool:
        return await hub.suppressions.remove(workspace, address, actor="command line")

    gone = session.in_hub(work)
    typer.echo(f"{address} may be written to again." if gone else f"{address} was not on the list.")
    raise typer.Exit(0 if gone else 1)
