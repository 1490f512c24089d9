"""API keys, and keys that encrypt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json, print_rows

if TYPE_CHECKING:
    from app.hub import Hub

app = typer.Typer(help="API keys, and keys that encrypt secrets.", no_args_is_help=True)


@app.command("list")
def list_keys(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List API keys; only their first characters are known."""
    from app.store import connections
    from app.store import keys as store
    from app.store.database import Database

    async def work(database: Database) -> list[dict[str, object]]:
        async with database.begin() as db:
            rows = await store.list_keys(db, workspace, everywhere=True)
            slugs = {row.id: row.slug for row in await connections.load_all(db)}
        shown = ("id", "prefix", "name", "scopes", "workspace", "expires_at", "revoked_at", "last_used_at")
        return [
            {name: getattr(row, name) for name in shown}
            | {
                "connections": None
                if row.connections is None
                else [slugs.get(id_, "removed") for id_ in row.connections]
            }
            for row in rows
        ]

    print_rows(session.in_database(work), as_json, empty="There are no keys.")


@app.command()
def new(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="read, replay, recipes, connections or admin; may be repeated.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    connection: Annotated[
        list[str] | None,
        typer.Option(help="It opens only what came in by this connection; may be repeated (not for recipes, admin)."),
    ] = None,
    every_workspace: Annotated[bool, typer.Option("--every-workspace", help="It opens all workspaces.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is shown once."""
    from app.domain.keys import MadeKey, make
    from app.store.database import Database

    async def work(database: Database) -> MadeKey:
        expires = await database.now() + timedelta(days=days) if days else None
        where = None if every_workspace else workspace
        async with database.begin() as db:
            return await make(db, name, scope or ["read"], where, expires, connection)

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
        async with database.begin() as db:
            return await close(db, workspace, key_id)

    if not session.in_database(work):
        raise ConfigError(f"The workspace {workspace} has no key {key_id}.")
    typer.echo(f"{key_id} is revoked.")


@app.command()
def rotate(
    new: Annotated[bool, typer.Option("--new", help="First put a fresh key into secret.key of the home.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the other keys of secret.key when all is done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Re-encrypt every secret under the first key of TRADEWIND_SECRET_KEYS (or of secret.key). It may be interrupted,
    and goes on where it was; the hub may run meanwhile if it knows both keys."""
    from dataclasses import asdict

    from app import keyfile
    from app.domain.rotation import Rotated
    from app.domain.rotation import rotate as reseal
    from app.errors import ConfigError

    found = session.settings()
    if (new or forget) and found.secret_keys:
        raise ConfigError(
            "TRADEWIND_SECRET_KEYS names the keys: change it there; --new and --forget are for secret.key."
        )
    if new:
        keyfile.put_in_front(found.home)
        typer.echo(
            f"{found.home / keyfile.FILE} holds a new key. Start the hub anew, then run `tradewind keys rotate`."
        )
        return

    async def work(hub: Hub) -> Rotated:
        return await reseal(hub.database, hub.ring, "command line")

    rotated = session.in_hub(work)
    if forget:
        keyfile.keep_only_first(found.home)
    if as_json:
        print_json(asdict(rotated))
        return
    typer.echo(
        f"{rotated.resealed} secrets were re-encrypted; {sum(rotated.under.values())} stand under the first key."
    )
    if rotated.unused and not forget:
        typer.echo(f"Nothing stands any more under {', '.join(rotated.unused)}: those keys can be taken away.")


@app.command("new-secret")
def new_secret() -> None:
    """Make a key for TRADEWIND_SECRET_KEYS, under which secrets are encrypted."""
    from app.crypto import new_key

    typer.echo(new_key())
