"""Starting the processes of a hub: API, worker, sandboxes; each as the command line runs it."""

import asyncio
import logging
import sys
from pathlib import Path

import structlog
import uvicorn
import uvloop

from app.hub import open_hub
from app.main import make_app
from app.registry import Registry
from app.sandbox import make_app as make_sandbox
from app.settings import Settings
from app.store.database import migrate
from app.worker import stop_on_signals, work

log = structlog.get_logger()


def set_up_logging(settings: Settings) -> None:
    """Structured logs on stderr; a normal run says little."""
    level = getattr(logging, settings.log_level.upper(), logging.INFO)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    shape = structlog.processors.JSONRenderer() if settings.log_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if settings.log_json else structlog.processors.StackInfoRenderer(),
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def serve(settings: Settings, registry: Registry | None = None) -> None:
    """Run the API until SIGTERM."""
    set_up_logging(settings)
    config = uvicorn.Config(
        make_app(settings, registry),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=10,
        limit_concurrency=5000,
        backlog=4096,
    )
    uvicorn.Server(config).run()


def run_worker(settings: Settings, registry: Registry | None = None) -> None:
    """Run a worker until SIGTERM."""
    set_up_logging(settings)

    async def main() -> None:
        async with open_hub(settings, registry) as hub:
            await work(hub, stop_on_signals(), lambda: log.info("the worker works", name=hub.name))

    uvloop.run(main())


def run_sandbox(host: str, port: int, registry: Registry | None = None) -> None:
    """Serve the sandboxes of all connectors until SIGTERM."""
    uvicorn.run(
        make_sandbox(registry or Registry()), host=host, port=port, log_level="warning", access_log=False, loop="uvloop"
    )


def prepare(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    migrate(settings.database_url)


def own_command(*arguments: str) -> list[str]:
    """This same program with other arguments, for a child process."""
    return [sys.executable, "-m", "app.cli", *arguments]



