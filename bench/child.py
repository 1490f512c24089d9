"""One process of the hub, as the benchmark starts it: `prepare`, `serve` or `worker`."""

import asyncio
import sys
from pathlib import Path

from app.domain.connections_file import apply, read_connections
from app.domain.recipes import sync_folder
from app.hub import open_hub
from app.processes import prepare, run_worker, serve
from app.registry import Registry
from app.settings import Settings


async def configure(settings: Settings) -> None:
    registry = Registry.of(settings)
    async with open_hub(settings, registry) as hub:
        await apply(hub.database, hub.ring, read_connections(Path(str(settings.connections)), registry), "bench")
        for problem in await sync_folder(hub.database, registry, settings.recipes_folder):
            sys.stderr.write(f"{problem}\n")


def main() -> None:
    settings = Settings()
    match sys.argv[1]:
        case "prepare":
            prepare(settings)
            asyncio.run(configure(settings))
        case "serve":
            serve(settings)
        case "worker":
            run_worker(settings)


if __name__ == "__main__":
    main()
