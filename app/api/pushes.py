"""`POST /v1/events`: other systems state canonical events themselves."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from app import pushed
from app.api.auth import Replayer
from app.api.context import HubDep
from app.api.idempotency import HEADER
from app.byhand.connecting import pushing_connection
from app.connector import RawWebhook
from app.pipeline.receive import Intake, prepare
from app.pushed import PushedEvent
from app.store import webhooks

router = APIRouter(prefix="/v1/events", tags=["events"])


class PushTaken(BaseModel):
    """It is on disk. `GET /v1/trace/{id}` shows what became of it."""

    id: UUID = Field(description="Of the row that holds it as it came, beside webhooks.")
    connection: str = Field(examples=["events"])


@router.post("", status_code=202, summary="Push an event")
async def push_event(
    caller: Replayer,
    hub: HubDep,
    request: Request,
    event: PushedEvent,
    connection: Annotated[
        str | None,
        Query(description="Slug of the `events` connection that it is of; needed where there are several."),
    ] = None,
) -> PushTaken:
    """Checked against the schema of its type (422 says what does not fit, field by field), kept durably before the
    answer, then normalised, matched and run as if a webhook had brought it. A fact that is an event already stays that
    one event: same connection, object and type (for types that repeat, also the same `part`, `version` or time)."""
    pushed.read(event)
    source = await pushing_connection(hub, caller.workspace, connection, caller.name)
    headers = [("content-type", "application/json"), ("x-event-type", event.type), ("x-pushed-by", caller.name)]
    if key := request.headers.get(HEADER):
        headers.append((HEADER, hashlib.sha256(f"{caller.id}\0{key}".encode()).hexdigest()))
    now = datetime.now(UTC)
    raw = RawWebhook(await request.body(), dict(headers), {}, now)
    row = prepare(source, source.source, raw, headers, hub.hasher)
    intake: Intake = request.app.state.intake
    if await intake.keep(row) == "duplicate" and row.key is not None:
        async with hub.database.acquire() as db:
            return PushTaken(id=await webhooks.kept_under(db, row.key) or row.id, connection=source.slug)
    return PushTaken(id=row.id, connection=source.slug)
