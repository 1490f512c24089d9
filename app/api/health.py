"""Whether this process lives, whether it is ready, and its metrics. Open to all: they say nothing about anybody."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from app.api.context import HubDep
from app.domain.keys import Keys
from app.metrics import DUE, REGISTRY, of_lanes
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
async def metrics(request: Request, hub: HubDep) -> Response:
    """Open to all, but for what names connections: that is for a key with the scope `read`, of its workspace."""
    shown = [REGISTRY]
    try:
        async with asyncio.timeout(2):
            workspace = await _workspace(request)
            async with hub.database.acquire() as db:
                for stage, rows in (await store.due(db)).items():
                    DUE.labels(stage).set(rows)
                if workspace is not None:
                    shown.append(of_lanes(await store.lanes_open(db, workspace)))
    except AWAY:
        pass
    return Response(b"".join(map(generate_latest, shown)), media_type=CONTENT_TYPE_LATEST)


async def _workspace(request: Request) -> str | None:
    """The workspace whose connections the caller may know by name."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    keys: Keys = request.app.state.keys
    caller = await keys.check(key.strip())
    return caller.workspace if caller is not None and caller.may("read") and caller.connections is None else None
