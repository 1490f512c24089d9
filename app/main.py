"""The API process: takes webhooks in and answers questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from app.api import health
from app.api.problems import on_bug, on_rejected
from app.api.webhooks import WebhookEndpoint
from app.domain.rejections import Rejections
from app.errors import RejectedError
from app.hub import Hub, open_hub
from app.pipeline.receive import Intake
from app.registry import Registry
from app.settings import Settings

VERSION = "0.1.0"


def make_app(settings: Settings, registry: Registry | None = None) -> FastAPI:
    """The ASGI application; its lifespan opens and closes the hub."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_hub(settings, registry) as hub:
            intake = Intake(hub.database, lambda: hub.bells.ring("normalise"))
            rejections = Rejections(hub.database)
            app.state.hub = hub
            app.router.routes[0:0] = webhook_routes(hub, intake, rejections)
            fresh = asyncio.create_task(hub.keep_fresh())
            yield
            fresh.cancel()
            await intake.drain()
            await rejections.settle()

    app = FastAPI(
        title="Tradewind",
        version=VERSION,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        exception_handlers={RejectedError: on_rejected, Exception: on_bug},
    )
    app.include_router(health.router)
    return app


def webhook_routes(hub: Hub, intake: Intake, rejections: Rejections) -> list[Route]:
    endpoint: Any = WebhookEndpoint(hub, intake, rejections)
    return [
        Route("/webhooks/{connection}", endpoint, methods=["POST"]),
        Route("/webhooks/{workspace}/{connection}", endpoint, methods=["POST"]),
    ]
