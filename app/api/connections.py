"""`/v1/connections`: the accounts at outside systems, without their secrets, and stopping and starting them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import ConnectionKeeper, Reader
from app.api.context import HubDep, Listed, Name, secrets_of
from app.byhand import pause_connection as set_paused
from app.errors import NotFoundError
from app.hub import Hub
from app.store import lists
from app.store.database import Row
from app.trace import blotted

router = APIRouter(prefix="/v1/connections", tags=["connections"])


class Lane(BaseModel):
    """The line of calls of a connection."""

    state: Literal["open", "parked"] = Field(description="parked: the system fails, so attempts are not burned.")
    reason: str | None
    parked_at: datetime | None
    probe_at: datetime | None = Field(description="When one call is tried again.")
    due: int = Field(description="Calls that wait.")
    uncertain: int = Field(description="Calls that wait for a person's answer.")


class ConnectionShown(BaseModel):
    """A connection. Secrets are never shown."""

    id: UUID = Field(description="Permanent: a renamed slug keeps it.")
    slug: str = Field(examples=["main-store"])
    connector: str = Field(examples=["shopify"])
    title: str = Field(examples=["Shopify"])
    account: str = Field(examples=["main-store.myshopify.com"])
    role: Literal["shop", "payments"] | None
    origin: str = Field(description="Where it comes from: a file, or the API.")
    settings: dict[str, Any] = Field(description="What is not secret of its settings.")
    base_url: str | None
    webhook_path: str | None = Field(description="Where its webhooks go.", examples=["/webhooks/main-store"])
    usable: bool = Field(description="False where its settings or secrets no longer fit.")
    paused: bool
    problem: str | None = Field(description="What is wrong with its credentials.")
    credentials_expire_at: datetime | None = Field(description="Of the access token, which is renewed by itself.")
    authorised_until: datetime | None = Field(description="When it must be connected again, where the system says so.")
    days_left: int | None = Field(description="Whole days until then.")
    probed_at: datetime | None = Field(description="When its credentials were last tried: when saved, and daily.")
    probe_works: bool | None
    probe_said: str | None = Field(examples=["tea-house (tea-house.myshopify.com, USD)"])
    recipes: list[str] = Field(description="Enabled recipes that call it: at risk when its credentials end.")
    lane: Lane
    created_at: datetime
    updated_at: datetime


@router.get("", summary="List connections")
async def list_connections(caller: Reader, hub: HubDep) -> Listed[ConnectionShown]:
    return Listed(items=await _shown(hub, caller.workspace, None), next=None)


@router.get("/{slug}", summary="Get a connection")
async def get_connection(caller: Reader, hub: HubDep, slug: Name) -> ConnectionShown:
    return await _one(hub, caller.workspace, slug)


@router.post("/{slug}/pause", summary="Pause a connection: nothing is sent to it")
async def pause_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    """Its webhooks are still taken in; its calls wait."""
    await set_paused(hub, caller.workspace, slug, True, caller.name)
    return await _one(hub, caller.workspace, slug)


@router.post("/{slug}/resume", summary="Resume a connection")
async def resume_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    await set_paused(hub, caller.workspace, slug, False, caller.name)
    return await _one(hub, caller.workspace, slug)


async def _one(hub: Hub, workspace: str, slug: str) -> ConnectionShown:
    found = await _shown(hub, workspace, slug)
    if not found:
        raise NotFoundError(f"there is no connection {slug!r}")
    return found[0]


async def _shown(hub: Hub, workspace: str, slug: str | None) -> list[ConnectionShown]:
    async with hub.database.acquire() as db:
        rows = await lists.connections(db, workspace, slug)
    secrets = secrets_of(hub, workspace)
    return [_connection(hub, row, secrets) for row in rows]


def _connection(hub: Hub, row: Row, secrets: set[str]) -> ConnectionShown:
    connector = next((each for each in hub.registry if each.slug == row["connector"]), None)
    prefix = "/webhooks" if row["workspace"] == "main" else f"/webhooks/{row['workspace']}"
    path = f"{prefix}/{row['slug']}" if connector and connector.source else None
    lane = Lane(
        state=row["lane_state"] or "open",
        reason=row["lane_reason"],
        **{name: row[name] for name in ("parked_at", "probe_at", "due", "uncertain")},
    )
    taken = ("id", "slug", "connector", "account", "role", "origin", "base_url", "paused", "problem",
             "credentials_expire_at", "authorised_until", "probed_at", "probe_works", "created_at",
             "updated_at")  # fmt: skip
    known = hub.connections.get(row["id"])
    until = row["authorised_until"]
    shown = ConnectionShown(
        **{name: row[name] for name in taken},
        title=connector.title if connector else row["connector"],
        settings=blotted(row["settings"], secrets),
        webhook_path=path,
        usable=known is not None,
        days_left=None if until is None else max(0, (until - hub.clock.now()).days),
        probe_said=blotted(row["probe_said"], secrets),
        recipes=hub.recipes.at_risk(known) if known else [],
        lane=lane,
    )
    return shown.model_copy(
        update={"problem": blotted(shown.problem, secrets), "base_url": blotted(shown.base_url, secrets)}
    )
