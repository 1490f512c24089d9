"""`/v1/webhooks` and `/v1/rejected`: what came in, by what became of it, and what was refused."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Reader, Replayer
from app.api.context import HubDep, Listed, PageDep, Text, listed
from app.api.named import refuse_unknown
from app.byhand.reprocessing import Misunderstood, reprocess
from app.byhand.texts import PlainText
from app.store import lists
from app.store.kinds import WEBHOOK_STATES
from app.store.lists import Page, RefusedFilter, WebhookFilter
from app.trace.shapes import Webhook

router = APIRouter(prefix="/v1", tags=["webhooks"])


class Rejected(BaseModel):
    """A webhook that was refused; its body is not kept."""

    id: UUID
    at: datetime
    slug: str = Field(description="The connection that it named.", examples=["main-store"])
    status: int = Field(examples=[401])
    reason: str = Field(examples=["the signature does not match"])
    size: int = Field(description="Bytes of its body, as far as it was read.")


@router.get("/webhooks", summary="List webhooks")
async def list_webhooks(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    state: Annotated[
        Literal["due", "reading", "normalised", "ignored", "unknown", "malformed"] | None,
        Query(description="`unknown` and `malformed` are kept too, and can be looked at with their bodies."),
    ] = None,
    connection: Annotated[str | None, Query(description="Slug of the connection.")] = None,
    topic: Annotated[str | None, Query(description="The sender's own word.", max_length=200)] = None,
    q: Text = None,
) -> Listed[Webhook]:
    """Newest first. `q` finds an order number, e-mail address or sender's id of what was made of it, or part of the
    reason of an unknown or malformed one. The body of one: `GET /v1/events/{id}/raw` with its id."""
    async with hub.database.looking() as db:
        rows = await lists.webhooks(db, caller.workspace, page, WebhookFilter(state, connection, topic, q))
    if not rows:
        await refuse_unknown(caller, hub, connection=connection)
    return listed(rows, page.limit, lambda row: Webhook(**row))


class WebhookCount(BaseModel):
    """What is kept of a connection's webhooks."""

    connection: str | None = Field(description="Slug; null if it was removed.", examples=["main-store"])
    states: dict[str, int] = Field(examples=[{"normalised": 120, "ignored": 3, "unknown": 0, "malformed": 1}])


@router.get("/webhooks/states", summary="Count webhooks by what became of them")
async def count_webhooks(caller: Reader, hub: HubDep) -> Listed[WebhookCount]:
    """By connection: normalised (known), ignored, unknown, malformed, and those that are on their way."""
    counts: dict[str | None, dict[str, int]] = {}
    async with hub.database.acquire() as db:
        for row in await lists.webhook_counts(db, caller.workspace):
            counts.setdefault(row["connection"], dict.fromkeys(WEBHOOK_STATES, 0))[row["state"]] = row["count"]
    return Listed(items=[WebhookCount(connection=slug, states=states) for slug, states in counts.items()], next=None)


class Misread(BaseModel):
    """Which kept webhooks shall be read once more."""

    model_config = ConfigDict(extra="forbid")

    state: Misunderstood
    connection: PlainText | None = Field(None, description="Only those of this connection.")


class Reread(BaseModel):
    webhooks: int = Field(description="How many will be read again.")


@router.post("/webhooks/reprocess", summary="Read kept webhooks once more")
async def reprocess_webhooks(caller: Replayer, hub: HubDep, wanted: Misread) -> Reread:
    """After a fix, or when a connector has learnt a topic. Safe: a fact that is an event already stays that one
    event."""
    await refuse_unknown(caller, hub, connection=wanted.connection, within="body")
    count = await reprocess(hub, caller.workspace, wanted.state, wanted.connection, caller.name)
    return Reread(webhooks=count)


@router.get("/rejected", summary="List refused webhooks")
async def list_rejected(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    connection: Annotated[str | None, Query(description="The slug that was named.")] = None,
    status: Annotated[int | None, Query(description="The status that the sender got.", ge=400, le=599)] = None,
    q: Annotated[str | None, Query(description="Finds part of the reason.", max_length=200)] = None,
) -> Listed[Rejected]:
    """Newest first: wrong signatures, unknown connections, bodies too large. Bounded in rate and in number."""
    async with hub.database.looking() as db:
        rows = await lists.rejected(db, caller.workspace, page, RefusedFilter(connection, status, q))
        known = (
            rows or connection is None or await lists.rejected(db, caller.workspace, Page(1), RefusedFilter(connection))
        )
    if not known:
        await refuse_unknown(caller, hub, connection=connection)
    return listed(rows, page.limit, lambda row: Rejected(**row))
