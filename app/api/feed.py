"""`/v1/events/feed`: events in the order in which they were written, for those who follow them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.context import Cursor, HubDep, Limit, from_cursor, to_cursor
from app.api.named import refuse_unknown
from app.store import lists
from app.trace import event_of
from app.trace.shapes import Event

router = APIRouter(prefix="/v1/events", tags=["events"])

_WRITTEN = 8
"""Bytes of a cursor that say when; an id follows."""


class Feed(BaseModel):
    """What was written after the cursor, oldest first."""

    items: list[Event]
    next: str = Field(description="Where to go on, now or tomorrow; also where nothing was new.")


@router.get("/feed", summary="Follow events: none is skipped, none comes twice")
async def follow_events(
    caller: Reader,
    hub: HubDep,
    type: Annotated[str | None, Query(description="An event type, or a family: `order.*`.", max_length=100)] = None,
    connection: Annotated[str | None, Query(description="Slug of the connection that it came from.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Feed:
    """Oldest first, from the beginning or after `cursor`. Ask again with `next` as often as you like. An event shows up
    when every transaction that began to write before it has ended: mostly at once."""
    raw = from_cursor(cursor, _WRITTEN + 16)
    after = (int.from_bytes(raw[:_WRITTEN]), UUID(bytes=raw[_WRITTEN:])) if raw else (0, UUID(int=0))
    async with hub.database.looking() as db:
        rows = await lists.stream(db, caller.workspace, after, limit, type, connection)
    if not rows:
        await refuse_unknown(caller, hub, connection=connection, type=type)
    else:
        await hub.database.flush()  # what a crash took back would be written again, perhaps under an earlier number
        after = (rows[-1]["written"], rows[-1]["id"])
    following = to_cursor(after[0].to_bytes(_WRITTEN) + after[1].bytes)
    return Feed(items=[event_of(row) for row in rows], next=following)
