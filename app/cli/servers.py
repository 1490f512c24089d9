"""The hub's servers, also without the rest of the command line: it would stay in their memory, and slow their start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli import session

if TYPE_CHECKING:
    from app.store.database import Database

SERVERS = ("serve", "worker")
_OPTIONS = {"--no-migrate", "--no-prepare"}


def plain(words: Sequence[str]) -> bool:
    """Whether a command is a server with nothing that needs the command line's help."""
    return bool(words) and words[0] in SERVERS and set(words[1:]) <= _OPTIONS


def run(name: str, *, migrate: bool, prepare: bool) -> None:
    """Bring the database up to date, then run the server until SIGTERM."""
    from app import processes

    settings = session.settings()
    if name == "serve":
        from app import preparing as preparing  # with SQLAlchemy, which the API carries anyway: loaded once for both
    if prepare:
        processes.prepare_apart(settings, migrations=migrate)
    else:
        session.in_database(_has_tables)  # who prepared it may have prepared another
    if name == "serve":
        processes.serve(settings)
    else:
        processes.run_worker(settings)


async def _has_tables(database: Database) -> None:
    async with database.acquire() as db:
        await db.execute("select 1 from webhook limit 0")
