"""`/v1/webhook-subscriptions`: others are told of canonical events, by Standard Webhooks."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import ConnectionKeeper, Reader
from app.api.context import HubDep, Listed, Name, PartDep
from app.api.named import refuse_unknown_types
from app.byhand.subscriptions import ORIGIN, events_of, new_secret, subscribe, unsubscribe
from app.byhand.texts import PlainText
from app.errors import NotFoundError
from app.hub import Hub
from app.store import lists
from app.store.database import Row

router = APIRouter(prefix="/v1/webhook-subscriptions", tags=["subscriptions"])

Url = Annotated[PlainText, Field(max_length=2000, examples=["https://erp.example.com/hooks/tradewind"])]
Events = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    Field(min_length=1, max_length=200, examples=[["order.*", "refund.created"]]),
]


class SubscriptionWanted(BaseModel):
    """Where events go, and which."""

    model_config = ConfigDict(extra="forbid")

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", examples=["erp"])]
    url: Url
    events: Events = Field(description="Event types; `order.*` is a family, `*` is all.")


class Subscription(BaseModel):
    """Somebody who is told of events. Its deliveries are runs: `GET /v1/runs?recipe=webhooks-<slug>-<noun>`."""

    slug: str = Field(examples=["erp"])
    events: list[str] = Field(examples=[["order.created", "order.paid"]])
    paused: bool = Field(description="`POST /v1/connections/{slug}/pause` holds deliveries back.")
    state: str = Field(description="parked: the receiver fails; deliveries wait, and go on by themselves.")
    waiting: int = Field(description="Deliveries that wait.")
    created_at: datetime


class SubscriptionMade(Subscription):
    secret: str = Field(
        description="Signs every delivery. Shown this once; `PUT` makes a new one.", examples=["whsec_c2VjcmV0..."]
    )


class SubscriptionChanged(BaseModel):
    """Where events go from now on, and which."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events


@router.post("", status_code=201, summary="Subscribe to events")
async def make_subscription(caller: ConnectionKeeper, hub: HubDep, wanted: SubscriptionWanted) -> SubscriptionMade:
    """Each event is posted to `url` as CloudEvents 1.0, signed by Standard Webhooks (`webhook-id`,
    `webhook-timestamp`, `webhook-signature`): retried for a day and a half, in order for each order, and held back
    while the receiver is away. The same `webhook-id` is the same delivery."""
    secret = new_secret()
    await refuse_unknown_types(caller, hub, wanted.events, "body.events")
    await subscribe(hub, caller.workspace, wanted.slug, wanted.url, wanted.events, secret, caller.name, anew=True)
    shown = await _one(hub, caller.workspace, wanted.slug)
    return SubscriptionMade(**shown.model_dump(), secret=secret)


@router.get("", summary="List webhook subscriptions")
async def list_subscriptions(caller: Reader, hub: HubDep, part: PartDep) -> Listed[Subscription]:
    """By slug; `q` finds part of a slug or of an event type."""
    async with hub.database.acquire() as db:
        rows = await lists.connections(db, caller.workspace)
    items = [_shown(hub, row) for row in rows if row["origin"].startswith(ORIGIN)]
    return part.of(items, lambda each: each.slug, lambda each: " ".join([each.slug, *each.events]))


@router.get("/{slug}", summary="Get a webhook subscription")
async def get_subscription(caller: Reader, hub: HubDep, slug: Name) -> Subscription:
    return await _one(hub, caller.workspace, slug)


@router.put("/{slug}", summary="Change a webhook subscription, with a new secret")
async def put_subscription(
    caller: ConnectionKeeper, hub: HubDep, slug: Name, wanted: SubscriptionChanged
) -> SubscriptionMade:
    secret = new_secret()
    await _one(hub, caller.workspace, slug)
    await refuse_unknown_types(caller, hub, wanted.events, "body.events")
    await subscribe(hub, caller.workspace, slug, wanted.url, wanted.events, secret, caller.name, anew=False)
    shown = await _one(hub, caller.workspace, slug)
    return SubscriptionMade(**shown.model_dump(), secret=secret)


@router.delete("/{slug}", status_code=204, summary="End a webhook subscription")
async def end_subscription(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> Response:
    """Nothing more is sent; what waits is not."""
    await unsubscribe(hub, caller.workspace, slug, caller.name)
    return Response(status_code=204)


async def _one(hub: Hub, workspace: str, slug: str) -> Subscription:
    async with hub.database.acquire() as db:
        rows = await lists.connections(db, workspace, slug)
    if not rows or not rows[0]["origin"].startswith(ORIGIN):
        raise NotFoundError(f"there is no webhook subscription {slug!r}")
    return _shown(hub, rows[0])


def _shown(hub: Hub, row: Row) -> Subscription:
    return Subscription(
        slug=row["slug"],
        events=events_of(hub, row),
        paused=row["paused"],
        state=row["lane_state"] or "open",
        waiting=sum(row["waiting"].values()),
        created_at=row["created_at"],
    )
