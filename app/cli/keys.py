"""API keys, and keys that encrypt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.cli import asking, naming, session
from app.cli.output import AsJson, Workspace, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from app.hub import Hub

SCOPES = naming.SCOPES

app = typer.Typer(help="API keys, and keys that encrypt secrets.", no_args_is_help=True)


@app.command("list")
def list_keys(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List API keys; only their first characters are known."""
    found = asking.rows("/v1/keys", asking.ALL, workspace=workspace)
    shown = ("id", "prefix", "name", "scopes", "workspace", "expires_at", "revoked_at", "last_used_at", "connections")
    print_rows([{name: each[name] for name in shown} for each in found], as_json, empty="There are no keys.")


@app.command()
def new(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(SCOPES)}; may be repeated.", autocompletion=naming.scopes),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    connection: Annotated[
        list[str] | None,
        typer.Option(
            help="It opens only what came in by this connection; may be repeated (not for recipes, admin).",
            autocompletion=naming.connections,
        ),
    ] = None,
    every_workspace: Annotated[bool, typer.Option("--every-workspace", help="It opens all workspaces.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is shown once."""
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    scopes = scope or ["read"]
    wanted = {"name": name or "made by command line", "scopes": scopes, "connections": connection}
    if every_workspace:
        if connection:
            raise typer.BadParameter("a key of every workspace cannot be limited to connections")
        made = _of_all(name, scopes, expires)
    else:
        body = wanted | {"expires_at": expires.isoformat() if expires else None}
        made = asking.ask("POST", "/v1/keys", workspace=workspace, body=body)
    if as_json:
        print_json(made)
    else:
        say(f"{made['key']}\nIt is shown only now. To revoke it: tradewind keys revoke {made['id']}")


def _of_all(name: str, scopes: list[str], expires: datetime | None) -> dict[str, str]:
    """A key of every workspace is made beside the database alone."""
    from app.domain.keys import MadeKey, make
    from app.store.database import Database

    async def work(database: Database) -> MadeKey:
        async with database.begin() as db:
            return await make(db, name, scopes, None, expires)

    made = session.in_database(work)
    return {"id": str(made.id), "key": made.key}


@app.command()
def revoke(
    key_id: Annotated[UUID, typer.Argument(help="Its id, as `tradewind keys list` shows it.")],
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Close an API key for ever; it opens nothing after a second."""
    asking.ask("POST", f"/v1/keys/{key_id}/revoke", workspace=workspace)
    tell({"id": str(key_id), "revoked": True}, as_json, f"{key_id} is revoked.")


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
        path = found.home / keyfile.FILE
        said = f"{path} holds a new key. Start the hub anew, then run `tradewind keys rotate`."
        tell({"file": str(path)}, as_json, said)
        return

    if not found.secret_keys and keyfile.newer_than_dev(found.home):
        raise ConfigError("`tradewind dev` here does not know the new key yet: start it anew, then rotate.")

    async def work(hub: Hub) -> Rotated:
        return await reseal(hub.database, hub.ring, "command line")

    rotated = session.in_hub(work)
    if forget:
        keyfile.keep_only_first(found.home)
    if as_json:
        print_json(asdict(rotated))
        return
    say(f"{rotated.resealed} secrets were re-encrypted; {sum(rotated.under.values())} stand under the first key.")
    if rotated.unused and not forget:
        say(f"Nothing stands any more under {', '.join(rotated.unused)}: those keys can be taken away.")


@app.command("new-secret")
def new_secret(as_json: AsJson = False) -> None:
    """Make a key for TRADEWIND_SECRET_KEYS, under which secrets are encrypted."""
    from app.crypto import new_key

    key = new_key()
    tell({"key": key}, as_json, key)
