"""Whether this process lives, whether it is ready, and its metrics. Open to all: they say nothing about anybody."""

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from app.api.context import HubDep
from app.metrics import DUE, LANES, REGISTRY
from app.store import health as store
from app.store.database import AWAY

router = APIRouter(tags=["health"])


class Status(BaseModel):
    status: str = Field(examples=["ready"])


@router.get("/healthz", summary="This process lives")
async def healthz() -> Status:
    return Status(status="ok")


@router.get("/readyz", summary="This process can take webhooks", responses={503: {"model": Status}})
async def readyz(hub: HubDep, response: Response) -> Status:
    """Answers 503 while PostgreSQL is away."""
    try:
        async with asyncio.timeout(2), hub.database.acquire() as db:
            await store.answers(db)
    except AWAY:
        response.status_code = 503
        return Status(status="PostgreSQL is away")
    return Status(status="ready")


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(hub: HubDep) -> Response:
    try:
        async with asyncio.timeout(2), hub.database.acquire() as db:
            for stage, rows in (await store.due(db)).items():
                DUE.labels(stage).set(rows)
            for slug, is_open in (await store.lanes_open(db)).items():
                LANES.labels(slug).set(1 if is_open else 0)
    except AWAY:
        pass
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
