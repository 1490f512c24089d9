"""The processes of a hub: everything at once for a laptop, one by one for production."""

import time
from typing import Annotated

import typer

from app.cli import servers, session
from app.cli.output import AsJson, tell

NoPrepare = Annotated[
    bool, typer.Option("--no-prepare", help="Schema, connections and recipes were brought up to date by somebody else.")
]
NoMigrate = Annotated[bool, typer.Option("--no-migrate", help="The schema is brought up to date by somebody else.")]


def dev(
    demo: Annotated[bool, typer.Option(help="Run a demo shop whose orders flow.")] = True,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two orders of the demo shop.")] = 4.0,
) -> None:
    """Start everything on this machine: database, Redis, API, worker, sandboxes, and a demo shop. Ctrl-C stops it."""
    began = time.monotonic()
    from app.dev import run
    from app.settings import Settings

    raise typer.Exit(run(Settings(), demo=demo, every=every, began=began))


def serve(no_migrate: NoMigrate = False, no_prepare: NoPrepare = False) -> None:
    """Run the API: takes webhooks in and answers questions."""
    servers.run("serve", migrate=not no_migrate, prepare=not no_prepare)


def worker(no_migrate: NoMigrate = False, no_prepare: NoPrepare = False) -> None:
    """Run a worker: reads webhooks, runs recipes, makes calls. Start as many as you like."""
    servers.run("worker", migrate=not no_migrate, prepare=not no_prepare)


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; the one after the API's if not said.")] = None,
    smtp_port: Annotated[int | None, typer.Option(help="Port of the mail server; the next one if not said.")] = None,
) -> None:
    """Serve fakes of the outside systems, to try recipes without an account anywhere."""
    from app import processes
    from app.registry import Registry

    settings = session.settings()
    processes.run_sandbox(host, port or settings.port + 1, Registry.of(settings), smtp_port)


def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the newest schema."""
    from app.preparing import migrate_database
    from app.store.refusals import place

    settings = session.settings()
    migrate_database(settings)
    named = place(settings.database_url)
    tell({"database": named}, as_json, f"The schema of {named} is up to date.")
