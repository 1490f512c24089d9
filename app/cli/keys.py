"""API keys, and keys that encrypt."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json, print_rows

app = typer.Typer(help="API keys, and keys that encrypt secrets.", no_args_is_help=True)


@app.command("list")
def list_keys(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List API keys; only their first characters are known."""
    from app.store import keys as store
    from app.store.database import Database

    async def work(database: Database) -> list[dict[str, object]]:
        async with database.begin() as db:
            rows = await store.list_keys(db, workspace)
        shown = ("id", "prefix", "name", "scopes", "workspace", "expires_at", "revoked_at", "last_used_at")
        return [{name: getattr(row, name) for name in shown} for row in rows]

    print_rows(session.in_database(work), as_json, empty="There are no keys.")


@app.command()
def new(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="read, replay, recipes, connections or admin; may be repeated.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    every_workspace: Annotated[bool, typer.Option("--every-workspace", help="It opens all workspaces.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is shown once."""
    from app.domain.keys import MadeKey, make
    from app.store.database import Database

    async def work(database: Database) -> MadeKey:
        expires = await database.now() + timedelta(days=days) if days else None
        async with database.begin() as db:
            return await make(db, name, scope or ["read"], None if every_workspace else workspace, expires)

    made = session.in_database(work)
    if as_json:
        print_json({"id": made.id, "key": made.key})
    else:
        typer.echo(f"{made.key}\nIt is shown only now. To revoke it: tradewind keys revoke {made.id}")


@app.command()
def revoke(
    key_id: Annotated[UUID, typer.Argument(help="Its id, as `tradewind keys list` shows it.")],
    workspace: Workspace = "main",
) -> None:
    """Close an API key for ever; it opens nothing after a second."""
    from app.domain.keys import revoke as close
    from app.errors import ConfigError
    from app.store.database import Database

    async def work(database: Database) -> bool:
        return await close(database, workspace, key_id)

    if not session.in_database(work):
        raise ConfigError(f"The workspace {workspace} has no key {key_id}.")
    typer.echo(f"{key_id} is revoked.")


@app.command("new-secret")
def new_secret() -> None:
    """Make a key for TRADEWIND_SECRET_KEYS, under which secrets are encrypted."""
    from app.crypto import new_key

    typer.echo(new_key())
