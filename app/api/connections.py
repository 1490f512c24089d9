"""`/v1/connections`: the accounts at outside systems, without their secrets, and stopping and starting them."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from app.api.auth import ConnectionKeeper, Reader
from app.api.context import HubDep, Listed, Name, PartDep, secrets_of
from app.api.etags import UNCHANGED, IfNewer, shown, tag_of
from app.api.named import refuse_unknown_connector
from app.byhand.flow import pause_connection as set_paused
from app.byhand.flow import pause_lane as set_lane_paused
from app.errors import NotFoundError
from app.hub import Hub
from app.store import lists
from app.store.database import Row
from app.trace import blotted

router = APIRouter(prefix="/v1/connections", tags=["connections"])


class Lane(BaseModel):
    """The line of calls of a connection."""

    state: Literal["open", "parked"] = Field(description="parked: the system fails, so attempts are not burned.")
    paused: bool = Field(description="Somebody stopped it by itself; its connection may be paused besides.")
    reason: str | None
    parked_at: datetime | None
    probe_at: datetime | None = Field(description="When one call is tried again.")
    told_to_wait_until: datetime | None = Field(
        None, description="Until when its system wants no requests at all, as it said by `Retry-After` or otherwise."
    )
    due: int = Field(description="Calls that wait.")
    waiting: dict[str, int] = Field(description="How many of them by recipe.", examples=[{"invoice-paid-orders": 12}])
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
    problem: str | None = Field(description="What is wrong with its credentials, or what its sender reports.")
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
async def list_connections(
    caller: Reader,
    hub: HubDep,
    part: PartDep,
    connector: Annotated[str | None, Query(description="Only those of this connector.", max_length=100)] = None,
    state: Annotated[
        Literal["open", "parked", "paused", "unusable"] | None, Query(description="How they stand.")
    ] = None,
) -> Listed[ConnectionShown]:
    """By slug; `q` finds part of a slug, a title or an account."""
    async with hub.database.acquire() as db:
        rows = await lists.connections(db, caller.workspace)
    secrets = secrets_of(hub, caller.workspace)
    items = [_connection(hub, row, secrets) for row in rows if connector in (None, row["connector"])]
    if connector is not None and not items:
        refuse_unknown_connector(caller, hub, connector)
    wanted = [each for each in items if state in (None, _state(each))]
    return part.of(wanted, lambda each: each.slug, lambda each: f"{each.slug} {each.title} {each.account}")


def _state(shown: ConnectionShown) -> str:
    if not shown.usable:
        return "unusable"
    return "paused" if shown.paused or shown.lane.paused else shown.lane.state


class Health(BaseModel):
    """How a connection does."""

    verdict: Literal["ok", "paused", "degraded", "failing"] = Field(
        description="degraded: calls wait or need an answer; failing: parked, or its credentials do not work."
    )
    reasons: list[str] = Field(examples=[["3 calls wait, the oldest since 2026-11-22 18:00"]])
    last_webhook_at: datetime | None = Field(description="When something last came in that is still kept.")
    webhooks: dict[str, int] = Field(
        description="What is still kept, by what became of it: normalised (known), ignored, unknown, malformed; due "
        "and reading are on their way.",
        examples=[{"normalised": 1200, "ignored": 31, "unknown": 0, "malformed": 1, "due": 0, "reading": 0}],
    )
    refused_last_hour: int = Field(description="Webhooks that could not prove themselves, or were too large.")
    oldest_due_at: datetime | None = Field(description="Since when a call waits to be made.")
    uncertain: int
    credentials_expire_at: datetime | None


@router.get("/{slug}", summary="Get a connection", response_model=ConnectionShown, responses=UNCHANGED)
async def get_connection(
    caller: Reader, hub: HubDep, response: Response, slug: Name, if_none_match: IfNewer = None
) -> ConnectionShown | Response:
    """Its `ETag` is what a change of it may name in `If-Match`."""
    found = await one_connection(hub, caller.workspace, slug, response)
    return shown(response.headers["etag"], found, response, if_none_match) or found


@router.get("/{slug}/health", summary="Tell how a connection does")
async def get_health(caller: Reader, hub: HubDep, slug: Name) -> Health:
    shown = await one_connection(hub, caller.workspace, slug)
    async with hub.database.acquire() as db:
        told = await lists.connection_health(db, caller.workspace, shown.id, slug)
    failing, degraded = _failing(shown), _degraded(shown, told["oldest_due_at"], hub.clock.now())
    verdict: Any = "failing" if failing else "paused" if shown.paused else "degraded" if degraded else "ok"
    return Health(
        verdict=verdict,
        reasons=[*failing, *(["it is paused"] if shown.paused else []), *degraded],
        uncertain=shown.lane.uncertain,
        credentials_expire_at=shown.credentials_expire_at,
        **told,
    )


def _failing(shown: ConnectionShown) -> list[str]:
    said = [] if shown.usable else ["its settings or secrets no longer fit"]
    if shown.problem:
        said.append(shown.problem)
    if shown.lane.state == "parked":
        said.append(f"parked since {shown.lane.parked_at:%Y-%m-%d %H:%M}: {shown.lane.reason}")
    return said


def _degraded(shown: ConnectionShown, oldest: datetime | None, now: datetime) -> list[str]:
    said = ["its lane is paused"] if shown.lane.paused else []
    if until := shown.lane.told_to_wait_until:
        said.append(f"its system wants no requests until {until:%Y-%m-%d %H:%M:%S}")
    if oldest is not None and now - oldest > timedelta(minutes=1):
        said.append(f"{shown.lane.due} calls wait, the oldest since {oldest:%Y-%m-%d %H:%M}")
    if shown.lane.uncertain:
        said.append(f"{shown.lane.uncertain} calls wait for an answer: see /v1/effects?state=uncertain")
    return said


@router.post("/{slug}/pause", summary="Pause a connection: nothing is sent to it")
async def pause_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    """Its webhooks are still taken in; its calls wait."""
    await set_paused(hub, caller.workspace, slug, True, caller.name)
    return await one_connection(hub, caller.workspace, slug)


@router.post("/{slug}/resume", summary="Resume a connection")
async def resume_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    await set_paused(hub, caller.workspace, slug, False, caller.name)
    return await one_connection(hub, caller.workspace, slug)


@router.post("/{slug}/lane/pause", summary="Pause a lane: the calls of a connection wait")
async def pause_lane(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    """As pausing the connection, but apart from it: the lane stands until it is resumed itself."""
    await set_lane_paused(hub, caller.workspace, slug, True, caller.name)
    return await one_connection(hub, caller.workspace, slug)


@router.post("/{slug}/lane/resume", summary="Resume a lane")
async def resume_lane(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionShown:
    """Its calls go on in their order, unless the connection is paused too."""
    await set_lane_paused(hub, caller.workspace, slug, False, caller.name)
    return await one_connection(hub, caller.workspace, slug)


async def one_connection(hub: Hub, workspace: str, slug: str, response: Response | None = None) -> ConnectionShown:
    """The connection as it is shown; its ETag goes into the response. Raises NotFoundError."""
    async with hub.database.acquire() as db:
        rows = await lists.connections(db, workspace, slug)
    if not rows:
        raise NotFoundError(f"there is no connection {slug!r}")
    if response is not None:
        response.headers["etag"] = connection_tag(rows[0])
    return _connection(hub, rows[0], secrets_of(hub, workspace))


def connection_tag(row: Row) -> str:
    """The ETag of a connection as it stands."""
    return tag_of("connection", *(getattr(row, "_mapping", row)[name] for name in ("id", "updated_at")))


def _connection(hub: Hub, row: Row, secrets: set[str]) -> ConnectionShown:
    connector = hub.registry.find(row["connector"])
    prefix = "/webhooks" if row["workspace"] == "main" else f"/webhooks/{row['workspace']}"
    path = f"{prefix}/{row['slug']}" if connector and connector.source else None
    lane = Lane(
        state=row["lane_state"] or "open",
        reason=row["lane_reason"],
        paused=bool(row["lane_paused"]),
        due=sum(row["waiting"].values()),
        **{name: row[name] for name in ("parked_at", "probe_at", "told_to_wait_until", "waiting", "uncertain")},
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
