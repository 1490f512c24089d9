"""Whether this process lives, whether it is ready, and its metrics."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from app.hub import Hub
from app.metrics import DUE, LANES, REGISTRY
from app.store.database import AWAY

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="This process lives")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="This process can take webhooks", responses={503: {"description": "The store is away"}})
async def readyz(request: Request, response: Response) -> dict[str, str]:
    hub: Hub = request.app.state.hub
    try:
        async with asyncio.timeout(2), hub.database.acquire() as db:
            await db.fetchval("select 1")
    except AWAY:
        response.status_code = 503
        return {"status": "PostgreSQL is away"}
    return {"status": "ready"}


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    hub: Hub = request.app.state.hub
    try:
        async with asyncio.timeout(2), hub.database.begin() as db:
            for stage, count in await db.execute(text(_DUE_NOW)):
                DUE.labels(stage).set(count)
            for slug, is_open in await db.execute(text(_LANES)):
                LANES.labels(slug).set(1 if is_open else 0)
    except AWAY:
        pass
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


_DUE_NOW = """
select 'webhook', count(*) from webhook where state = 'due'
union all select 'run', count(*) from run where due_at is not null
union all select 'call', count(*) from call where state = 'due'
union all select 'uncertain', count(*) from call where state = 'uncertain'
"""
_LANES = "select c.slug, l.state = 'open' from lane l join connection c on c.id = l.connection_id where not c.removed"
