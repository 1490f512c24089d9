"""What commands share: settings (the environment's, or those of a running `tradewind dev`), the database, the hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.errors import ConfigError

if TYPE_CHECKING:
    from app.hub import Hub
    from app.settings import Settings
    from app.store.database import Database

T = TypeVar("T")


def settings() -> Settings:
    """The environment's settings; where they name no servers, those that a `tradewind dev` in this folder started."""
    from app.running import find
    from app.settings import Settings

    given = Settings()
    running = None if given.database_url and given.redis_url else find(given.home)
    return given if running is None else running.complete(given)


def in_database(work: Callable[[Database], Awaitable[T]]) -> T:
    """Do `work` with the open database. Raises ConfigError where there is none, or none answers."""
    found = settings()
    _has_servers(found)

    async def main() -> T:
        from app.store.database import Database

        database = Database(found.database_url, size=2, statement_cache=found.statement_cache)
        try:
            return await work(await database.open())
        finally:
            await database.close()

    return _answering(found, main)


def on_servers(work: Callable[[Settings], Awaitable[T]]) -> T:
    """Do `work` with settings that name servers. Raises ConfigError as `in_database`."""
    found = settings()
    _has_servers(found)
    return _answering(found, lambda: work(found))


def in_hub(work: Callable[[Hub], Awaitable[T]]) -> T:
    """Do `work` with an open hub: keys, connectors, connections and recipes. Raises ConfigError as `in_database`."""
    import asyncio

    found = settings()
    _has_servers(found)

    async def main() -> T:
        from app.hub import open_hub

        async with open_hub(found) as hub:
            answer = await work(hub)
            await asyncio.gather(*hub.bells._tasks, return_exceptions=True)  # what was rung shall be on its way
            return answer

    return _answering(found, main)


def _has_servers(found: Settings) -> None:
    if os.environ.get("TRADEWIND_URL") and not (found.database_url and found.redis_url):
        raise ConfigError(
            "This command works on the hub's own database, not over its API: run it where the hub runs, or name "
            "TRADEWIND_DATABASE_URL and TRADEWIND_REDIS_URL."
        )
    if not found.database_url or not found.redis_url:
        raise ConfigError(
            f"No Tradewind runs on {found.home.resolve()}, and TRADEWIND_DATABASE_URL and TRADEWIND_REDIS_URL are not "
            "set: start `tradewind dev` in another terminal, or name the servers."
        )


def _answering(found: Settings, main: Callable[[], Awaitable[T]]) -> T:
    import asyncio

    from app.store.refusals import told

    async def run() -> T:
        return await main()

    log_to_stderr()
    with told(found.database_url):
        return asyncio.run(run())


def log_to_stderr(*, errors_only: bool = False) -> None:
    """What a command is about is on stdout, and often read by a program."""
    import structlog

    level = 40 if errors_only else 0
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def own_address() -> str:
    """The address by which this machine reaches its own API."""
    found = settings()
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(found.host, found.host)
    return f"http://{host}:{found.port}"
