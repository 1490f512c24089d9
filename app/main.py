"""The API process: takes webhooks in and answers questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from app.api import connections, connectors, effects, events, health, inbound, keys, recipes, runs, traces
from app.api.description import describe, name_of
from app.api.problems import HANDLERS
from app.api.webhooks import WebhookEndpoint
from app.domain.keys import Keys
from app.domain.rejections import Rejections
from app.hub import Hub, open_hub
from app.pipeline.match import Matcher
from app.pipeline.receive import Intake
from app.pipeline.run import Runner
from app.registry import Registry
from app.settings import Settings

VERSION = "0.1.0"
ROUTERS = (traces, events, runs, effects, recipes, connections, connectors, inbound, keys, health)


def make_app(settings: Settings, registry: Registry | None = None) -> FastAPI:
    """The ASGI application; its lifespan opens and closes the hub."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_hub(settings, registry) as hub:
            intake = Intake(hub.database, lambda: hub.bells.ring("normalise"))
            rejections = Rejections(hub.database)
            app.state.hub = hub
            app.state.keys = Keys(hub.database, settings.admin_key)
            app.state.matcher = matcher_of(hub)
            app.router.routes[0:0] = webhook_routes(hub, intake, rejections)
            fresh = asyncio.create_task(hub.keep_fresh())
            yield
            fresh.cancel()
            await intake.drain()
            await rejections.settle()

    return described_app(lifespan=lifespan)


def described_app(**options: Any) -> FastAPI:
    """The routes with their description, without a hub behind them."""
    app = FastAPI(
        title="Tradewind",
        version=VERSION,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        exception_handlers=HANDLERS,
        generate_unique_id_function=name_of,
        **options,
    )
    for noun in ROUTERS:
        app.include_router(noun.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


def matcher_of(hub: Hub) -> Matcher:
    """The stages that begin runs by hand, in this process; their bells ring elsewhere."""
    runner = Runner(hub.database, hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells)
    return Matcher(hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells, runner)


def webhook_routes(hub: Hub, intake: Intake, rejections: Rejections) -> list[Route]:
    endpoint: Any = WebhookEndpoint(hub, intake, rejections)
    return [
        Route("/webhooks/{connection}", endpoint, methods=["POST"]),
        Route("/webhooks/{workspace}/{connection}", endpoint, methods=["POST"]),
    ]
