"""`/v1/subjects`: the timeline of an order, a customer, or any other thing."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.auth import Reader
from app.api.context import Cursor, HubDep, Limit, Listed, from_cursor, to_cursor
from app.errors import NotFoundError
from app.store import timelines
from app.trace import event_of
from app.trace.shapes import Event

router = APIRouter(prefix="/v1/subjects", tags=["events"])


@router.get("/{kind}/{id:path}/timeline", summary="List what happened to one thing")
async def get_timeline(
    caller: Reader,
    hub: HubDep,
    kind: Annotated[str, Path(max_length=50, examples=["order"])],
    id: Annotated[str, Path(max_length=300, description="The sender's id.", examples=["820982911946154508"])],
    connection: Annotated[str | None, Query(description="Slug of the connection that the thing belongs to.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listed[Event]:
    """By the sender's time, oldest first, whatever order the webhooks came in. A processor's payments stand on the
    timeline of the shop's order. 404 for what nothing is known of here."""
    after = timelines.Place.load(raw) if (raw := from_cursor(cursor, timelines.Place.SIZE)) else None
    async with hub.database.acquire() as db:
        rows = await timelines.timeline(db, caller.workspace, (kind, id), connection, after, limit)
    if not rows and after is None and connection is None:
        raise NotFoundError(f"nothing is known of the {kind} {id!r}")
    shown = rows[:limit]
    following = to_cursor(timelines.Place.of(shown[-1]).dump()) if len(rows) > limit else None
    return Listed(items=[event_of(row) for row in shown], next=following)
