"""A whole hub inside a test: the real API over ASGI, the real stages, PostgreSQL and Redis, drained by a call."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from app.connector import Connector
from app.domain.connections import Connection
from app.domain.connections_file import Declared, apply
from app.domain.credentials import Credentials
from app.http import Transport
from app.hub import Hub, open_hub
from app.pipeline.deliver.delivery import Delivery
from app.pipeline.match import Matcher
from app.pipeline.match.timed import Timed
from app.pipeline.normalise import Normaliser
from app.pipeline.run import Runner
from app.registry import Registry
from app.settings import Settings
from app.store.changes import recipes
from tests.support.routes import hub_app

DUE = """
select (select count(*) from webhook where state = 'due')
     + (select count(*) from run where due_at <= clock_timestamp() + interval '100 ms')
     + (select count(*) from event where waiters_due)
     + (select count(*) from timer where due_at <= clock_timestamp() and kind in ('event', 'schedule'))
     + (select count(*) from call where state = 'due' and due_at <= clock_timestamp() + interval '100 ms')
"""


@dataclass
class Harness:
    """One hub. `settle()` works until nothing is due any more."""

    hub: Hub
    client: httpx.AsyncClient
    normaliser: Normaliser
    runner: Runner
    delivery: Delivery
    timed: Timed
    app: Any = None

    async def connect(
        self,
        slug: str,
        connector: Connector[Any],
        settings: Mapping[str, Any],
        *,
        role: str | None = None,
        base_url: str | None = None,
    ) -> Connection:
        """Add a connection beside those that are there."""
        checked = connector.settings.model_validate(settings)
        declared = Declared(slug, connector, checked, role, base_url, slug)
        await apply(self.hub.database, self.hub.ring, [declared], f"test:{slug}")
        await self.hub.connections.refresh(always=True)
        found = self.hub.connections.find("main", slug)
        assert found is not None
        return found

    async def recipe(self, name: str, source: str) -> None:
        async with self.hub.database.begin() as db:
            await recipes.save(db, "main", name, source, "test")
        await self.hub.recipes.refresh(always=True)
        assert self.hub.recipes.find("main", name) is not None, f"{name} does not load"

    async def send(
        self, slug: str, topic: str, payload: Any, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Sign and send as the platform would."""
        connection = self.hub.connections.find("main", slug)
        assert connection is not None
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        now = datetime.now(UTC)
        source = connection.source
        extra = source.headers(topic, body, connection.settings, now) if source.headers else {}
        signed = source.signature.sign(body, connection.settings, now)
        return await self.client.post(
            f"/webhooks/{slug}",
            content=body,
            params=dict(signed.query),
            headers={"content-type": source.content_type, **extra, **signed.headers, **(headers or {})},
        )

    async def settle(self, seconds: float = 20) -> None:
        """Drain every stage until nothing is due."""
        async with asyncio.timeout(seconds):
            while True:
                while await self.normaliser.drain():
                    pass
                while await self.timed.drain():
                    pass
                while await self.runner.match_waiters():
                    pass
                while await self.runner.drain():
                    pass
                await self.delivery.poll()
                if not await self.one(DUE):
                    return
                await asyncio.sleep(0.005)

    async def rows(self, query: str, *args: Any) -> list[Any]:
        async with self.hub.database.acquire() as db:
            return await db.fetch(query, *args)

    async def one(self, query: str, *args: Any) -> Any:
        async with self.hub.database.acquire() as db:
            return await db.fetchval(query, *args)


def settings_for(database_url: str, redis_url: str, home: Path, **more: Any) -> Settings:
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "home": home,
        "redis_prefix": f"t{os.urandom(4).hex()}",
        "secret_keys": base64.b64encode(b"k" * 32).decode(),
        "admin_key": "test-admin-key-of-good-length",
    }
    return Settings(**given | more)


@asynccontextmanager
async def running(
    database_url: str, redis_url: str, home: Path, *connectors: Connector[Any], **more: Any
) -> AsyncIterator[Harness]:
    """A hub with the shipped connectors and these; nothing is drained but by `settle`."""
    settings = settings_for(database_url, redis_url, home, **more)
    registry = Registry(*connectors)
    app = hub_app(settings, registry)
    async with (
        app.router.lifespan_context(app),
        open_hub(settings, registry) as hub,
        Transport() as transport,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client,
    ):
        credentials = Credentials(hub.database, hub.ring, transport, hub.clock)
        delivery = Delivery(
            hub.database, hub.connections, hub.clock, hub.bells, transport, credentials, hub.name, hub.suppressions
        )
        runner = Runner(hub.database, hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells)
        matcher = Matcher(hub.recipes, hub.connections, hub.hasher, hub.clock, hub.bells, runner)
        normaliser = Normaliser(hub.database, hub.connections, hub.clock, hub.hasher, matcher)
        hub.bells.answer("run", lambda: None)
        hub.bells.answer("normalise", lambda: None)
        hub.bells.answer("waiters", lambda: None)
        hub.bells.answer("timed", lambda: None)
        hub.bells.lane = delivery.ring
        app_hub: Hub = app.state.hub
        harness = Harness(hub, client, normaliser, runner, delivery, Timed(hub.database, matcher), app=app)
        _follow(app_hub, hub)
        yield harness
        await delivery.stop()


def _follow(app_hub: Hub, hub: Hub) -> None:
    """The API's hub knows at once what the test changes, not a second later."""

    def copy() -> None:
        app_hub.connections._by_id = hub.connections._by_id
        app_hub.connections._by_slug = hub.connections._by_slug
        app_hub.recipes = hub.recipes

    hub.connections.on_change.append(copy)
