"""What brings the database up to date before a hub's processes start: schema, connections, recipes, the first key."""

import asyncio
import sys
from pathlib import Path

from app.domain.connections_file import apply, read_connections
from app.domain.keys import ensure_admin_key
from app.domain.recipes_folder import sync_folder
from app.errors import ConfigError
from app.hub import Hub, open_hub
from app.production import check_database, check_secrets
from app.settings import Settings
from app.store.migrating import migrate
from app.store.refusals import told
from app.store.starting import one_at_a_time


def prepare(settings: Settings, *, migrations: bool = True) -> None:
    """What a process of the hub does before it starts: the newest schema, the connections of the file, the recipes of
    the folder, the first key. Raises ConfigError when no connection can be had from a wrong file, or no database, and
    for keys that can be guessed."""
    check_secrets(settings)
    if migrations:
        migrate_database(settings)
    with told(settings.database_url):
        asyncio.run(_fill(settings))


def migrate_database(settings: Settings) -> None:
    """Bring the database to the newest schema. Raises ConfigError when none is named, or it does not let us."""
    check_database(settings)
    with told(settings.database_url):
        migrate(settings.database_url)


async def _fill(settings: Settings) -> None:
    async with open_hub(settings) as hub:
        await fill(hub)
        key = await ensure_admin_key(hub)
    if key is not None:
        sys.stderr.write(f"The first API key, with every right; it is shown only now: {key}\n")


async def fill(hub: Hub, *more: Path, forgiving: bool = True) -> None:
    """Bring connections (of the file, and of `more` files) and the folder's recipes into the database, one process at
    a time. What is wrong with a file is said with its place and mend. `forgiving`, as in production: its last good
    version goes on, and so does all else; only a broken connections file of a hub without connections raises
    ConfigError. Else every error raises it."""
    settings = hub.settings
    async with one_at_a_time(hub.database):
        refused = [said for path in (settings.connections, *more) if path and (said := await _connections(hub, path))]
        nothing = bool(refused) and not list(hub.connections)
        problems = await sync_folder(hub.database, hub.registry, settings.recipes_folder.resolve())
    refused += [str(problem) for problem in problems if problem.severity == "error"]
    if refused and (nothing or not forgiving):
        raise ConfigError("\n".join(refused))
    for line in (*refused, *(str(problem) for problem in problems if problem.severity == "warning")):
        sys.stderr.write(f"{line}\n")
    if refused:
        sys.stderr.write("What is refused above does not run; where an earlier version was good, that one goes on.\n")


async def _connections(hub: Hub, path: Path) -> str | None:
    """Apply a connections file, whole or not at all; answers what is wrong with it."""
    try:
        declared = read_connections(path, hub.registry)
    except ConfigError as e:
        return str(e)
    await apply(hub.database, hub.ring, declared, f"file:{path.resolve()}", actor="start of the hub")
    await hub.connections.refresh()
    return None
