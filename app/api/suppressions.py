"""`/v1/suppressions`: addresses that are not written to any more."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import ConnectionKeeper, Reader
from app.api.context import Cursor, HubDep, Listed, Since, Until, from_cursor, to_cursor
from app.byhand.texts import PlainText
from app.connector import SuppressionReason
from app.errors import NotFoundError
from app.store.suppressions import KeptFilter
from app.store.timelines import Place

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])

Address = Annotated[str, Path(max_length=254, examples=["ada@example.com"])]
ADDRESS = r"^[^@\s]+@[^@\s]+$"


class SuppressionShown(BaseModel):
    """An address; null once the person was erased: they are left in peace all the same."""

    address: str | None = Field(examples=["ada@example.com"])
    reason: SuppressionReason
    said: str | None = Field(description="What the mail server or the operator said.")
    since: datetime


class SuppressionWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=254, pattern=ADDRESS, examples=["ada@example.com"])]
    reason: SuppressionReason = "by hand"
    said: PlainText | None = Field(None, max_length=500)


@router.get("", summary="List addresses that are not written to")
async def list_suppressions(
    caller: Reader,
    hub: HubDep,
    reason: Annotated[SuppressionReason | None, Query(description="Only those that are there for this.")] = None,
    q: Annotated[str | None, Query(description="One address, whole.", max_length=254)] = None,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Listed[SuppressionShown]:
    """The newest first; an erased person's is found by its address all the same."""
    raw = from_cursor(cursor, Place.SIZE)
    last = Place.load(raw) if raw else None
    after = (last.at, last.id.bytes) if last else None
    key = hub.suppressions.key(caller.workspace, q) if q else None
    rows = await hub.suppressions.newest(caller.workspace, limit + 1, KeptFilter(after, key, reason, since, until))
    shown = [
        SuppressionShown(address=r.address, reason=_reason(r.reason), said=r.said, since=r.since) for r in rows[:limit]
    ]
    end = Place(rows[limit - 1].since, UUID(bytes=rows[limit - 1].key)) if len(rows) > limit else None
    return Listed(items=shown, next=to_cursor(end.dump()) if end else None)


@router.post("", summary="Write to an address no more", status_code=201, responses={200: {"description": "It was"}})
async def add_suppression(
    caller: ConnectionKeeper, hub: HubDep, wanted: SuppressionWanted, response: Response
) -> SuppressionShown:
    """200 where it was on the list already."""
    made = await hub.suppressions.add(caller.workspace, wanted.address, wanted.reason, wanted.said, actor=caller.name)
    if not made:
        response.status_code = 200
    found = await hub.suppressions.find(caller.workspace, [wanted.address])
    standing = found[wanted.address]
    return SuppressionShown(address=wanted.address, reason=standing.reason, said=wanted.said, since=standing.since)


@router.delete("/{address}", summary="Write to an address again", status_code=204)
async def remove_suppression(caller: ConnectionKeeper, hub: HubDep, address: Address) -> None:
    if not await hub.suppressions.remove(caller.workspace, address, actor=caller.name):
        raise NotFoundError("that address is not on the list")


def _reason(said: str) -> SuppressionReason:
    from app.domain.suppressions import REASONS

    return next((each for each in REASONS if each == said), "by hand")
