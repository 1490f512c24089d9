"""The API process: takes webhooks in and answers questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api import (
    audit,
    backtests,
    bringing,
    connecting,
    connections,
    connectors,
    customers,
    effects,
    events,
    feed,
    floods,
    health,
    inbound,
    keys,
    pages,
    pushes,
    recipe_inputs,
    recipe_texts,
    recipes,
    replays,
    runs,
    sending,
    subjects,
    subscriptions,
    suppressions,
    templates,
    traces,
    unsubscribe,
    workspaces,
)
from app.api.auth import SAVES
from app.api.description import describe, name_of
from app.api.passage import pass_through
from app.api.problems import HANDLERS
from app.api.shield import as_get, bounded, guarded
from app.api.webhooks import WebhookEndpoint
from app.domain.keys import Keys
from app.domain.pace import Pace
from app.domain.rejections import Rejections
from app.hub import Hub, open_hub
from app.pipeline.match import Matcher
from app.pipeline.receive import Intake
from app.pipeline.run import Runner
from app.registry import Registry
from app.settings import Settings

VERSION = "0.1.0"
ROUTERS = (
    *(traces, feed, events, pushes, runs, floods, replays, effects, customers, subjects),
    *(
        bringing,
        recipe_texts,
        recipes,
        backtests,
        recipe_inputs,
        connecting,
        connections,
        sending,
        subscriptions,
        connectors,
    ),
    *(inbound, suppressions, templates, workspaces, keys, audit, unsubscribe, health),
)


QUESTIONS = 6
"""Questions that are worked at once, of however many that come: the others wait for their turn, so that webhooks find
the event loop and the database free."""


class App(FastAPI):
    """The API, with webhooks taken before any of its middleware and routing."""

    webhooks_in: WebhookEndpoint | None = None
    max_body = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = asyncio.Semaphore(QUESTIONS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
        elif self.webhooks_in is not None and scope["path"].startswith("/webhooks/"):
            await self.webhooks_in(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD") and scope["path"].startswith("/v1/"):
            async with self._turn:
                await self._answer(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, sent = bounded(scope, receive, self.max_body), guarded(scope, send)
        await pass_through(super().__call__, as_get(scope), received, sent)


def make_app(settings: Settings, registry: Registry | None = None, *, stays: bool = False) -> App:
    """The ASGI application; its lifespan opens and closes the hub (`stays`: as `open_hub` says)."""

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        async with open_hub(settings, registry, stays=stays) as hub:
            intake = Intake(hub.database, lambda: hub.bells.ring("normalise"))
            rejections = Rejections(hub.database)
            app.state.hub = hub
            app.state.keys = Keys(hub.database, settings.admin_key)
            app.state.intake = intake
            app.state.pace = Pace(settings.api_rate, SAVES)
            app.state.matcher = matcher_of(hub)
            app.webhooks_in = WebhookEndpoint(hub, intake, rejections)
            app.max_body = settings.max_body
            fresh = asyncio.create_task(hub.keep_fresh())
            yield
            fresh.cancel()
            await intake.drain()
            await rejections.settle()

    return described_app(lifespan=lifespan)


def described_app(**options: Any) -> App:
    """The routes with their description, without a hub behind them."""
    app = App(
        title="Tradewind",
        version=VERSION,
        openapi_url=None,  # among the pages: making it would hold up the event loop
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the caller claims, and the scheme of a proxy
        exception_handlers=HANDLERS,
        generate_unique_id_function=name_of,
        **options,
    )
    for noun in ROUTERS:
        app.include_router(noun.router)
    app.include_router(connecting.callback)
    app.include_router(pages.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


def matcher_of(hub: Hub) -> Matcher:
    """The stages that begin runs by hand, in this process; their bells ring elsewhere."""
    runner = Runner(hub.database, hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells)
    return Matcher(hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells, runner)
