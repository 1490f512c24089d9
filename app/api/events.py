"""`/v1/events`: what happened, why each recipe answered or not, what came in, and replays."""

import base64
import hashlib
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader, Replayer
from app.api.context import HubDep, Listed, MatcherDep, PageDep, RowId, Text, listed, secrets_of
from app.api.named import refuse_unknown, refuse_unknown_recipes
from app.byhand import Replay, ReplayWanted, replay
from app.errors import NotFoundError
from app.pipeline.match.why import Explanation, explain
from app.store import lists, webhooks
from app.store import trace as store
from app.store.database import Row
from app.store.lists import EventFilter
from app.store.packing import unpack
from app.trace import blotted, event_detail, event_of, without
from app.trace.shapes import Event, EventDetail

router = APIRouter(prefix="/v1/events", tags=["events"])


class RawBody(BaseModel):
    """A webhook as it came in. A body that is no UTF-8 text is given in base64."""

    id: UUID
    topic: str
    headers: dict[str, str]
    body: str
    encoding: Literal["utf-8", "base64"]
    sha256: str = Field(description="Of the exact body, hex.")
    redacted: bool = Field(description="A secret of the connection stood in it and is not shown.")


@router.get("", summary="List events")
async def list_events(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    type: Annotated[str | None, Query(description="An event type, or a family: `order.*`.", max_length=100)] = None,
    connection: Annotated[str | None, Query(description="Slug of the connection that it came from.")] = None,
    recipe: Annotated[str | None, Query(description="Only events that this recipe answered.")] = None,
    state: Annotated[
        Literal["running", "waiting", "held", "done", "failed", "cancelled"] | None,
        Query(description="Only events with a run in this state (of the recipe, if one is named)."),
    ] = None,
    test: Annotated[bool | None, Query(description="Only test events, or only real ones.")] = None,
    q: Text = None,
) -> Listed[Event]:
    """Newest first. Filters are combined; `q` finds an order number, an e-mail address, a sender's id or an error."""
    wanted = EventFilter(type, connection, recipe, state, test, q)
    async with hub.database.looking() as db:
        rows = await lists.events(db, caller.workspace, page, wanted)
    if not rows:
        await refuse_unknown(caller, hub, connection=connection, recipe=recipe, type=type)
    return listed(rows, page.limit, event_of)


@router.get("/{id}", summary="Get an event with its decisions and runs")
async def get_event(caller: Reader, hub: HubDep, id: RowId) -> EventDetail:
    """Its data, why each recipe ran or did not, and its runs with every step, call and attempt."""
    found = await event_detail(hub.database, caller.workspace, id)
    if found is None:
        raise NotFoundError("there is no such event; perhaps it expired")
    return without(found, secrets_of(hub, caller.workspace))


@router.get("/{id}/explain", summary="Explain why recipes ran for an event, or did not")
async def explain_event(
    caller: Reader,
    hub: HubDep,
    id: RowId,
    recipe: Annotated[str | None, Query(description="Only this recipe.", max_length=100)] = None,
) -> Explanation:
    """Every recipe of the workspace: whether it ran, and if not, which part of its `where` was false, with the values
    that it saw."""
    found = await explain(hub.database, hub.recipes, hub.connections, hub.hasher, caller.workspace, id, recipe)
    return without(found, secrets_of(hub, caller.workspace))


@router.get("/{id}/raw", summary="Get the webhook that an event was made of")
async def get_raw(caller: Reader, hub: HubDep, id: RowId) -> RawBody:
    """Headers and body as the sender sent them. Works with the id of a webhook too, for one that made no event."""
    async with hub.database.acquire() as db:
        rows = await store.events(db, caller.workspace, [id])
        webhook_id = rows[0]["webhook_id"] if rows else id
        raw = await store.raw_webhook(db, caller.workspace, webhook_id) if webhook_id else None
    if raw is None:
        raise NotFoundError("the event came without a webhook, or its webhook expired")
    return _raw(raw, secrets_of(hub, caller.workspace))


def _raw(row: Row, secrets: set[str]) -> RawBody:
    body = unpack(row["body"])
    headers = webhooks.unpack_headers(row["headers"])
    try:
        text, encoding = body.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(body).decode(), "base64"
    shown = {"headers": headers, "body": text}
    safe = blotted(shown, secrets)
    return RawBody(
        id=row["id"],
        topic=row["topic"],
        encoding="utf-8" if encoding == "utf-8" else "base64",
        sha256=hashlib.sha256(body).hexdigest(),
        redacted=safe != shown,
        **safe,
    )


@router.post("/{id}/replay", summary="Replay an event")
async def replay_event(
    caller: Replayer,
    hub: HubDep,
    matcher: MatcherDep,
    id: RowId,
    wanted: ReplayWanted | None = None,
    dry_run: Annotated[bool, Query(description="Only say what it would do.")] = False,
) -> Replay:
    """Begins new runs under the same effect keys: what was done outside is found and skipped. Name effects in `redo`
    to have them done anew."""
    if wanted is not None and wanted.recipes and await event_detail(hub.database, caller.workspace, id) is not None:
        await refuse_unknown_recipes(caller, hub, wanted.recipes, "body.recipes")
    return await replay(
        hub,
        matcher,
        caller.workspace,
        id,
        wanted or ReplayWanted(recipes=None, version="current", redo=[]),
        caller.name,
        dry_run=dry_run,
    )
