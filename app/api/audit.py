"""`/v1/audit`: who did what; lines are only ever added."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Admin
from app.api.context import HubDep, Listed, PageDep, listed
from app.api.named import refuse_unknown_deed
from app.store import lists
from app.store.lists import DeedFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditLine(BaseModel):
    """Something that somebody did by hand: by API key, command line or web."""

    id: UUID
    at: datetime
    actor: str = Field(description="The name of the key, or `command line`.", examples=["warehouse"])
    verb: str = Field(examples=["replay"])
    object: str = Field(examples=["event/0199c0de-1234-7abc-8def-0123456789ab"])
    detail: dict[str, Any]


@router.get("", summary="List what was done by hand")
async def list_audit(
    caller: Admin,
    hub: HubDep,
    page: PageDep,
    actor: Annotated[str | None, Query(description="Only of this actor.", max_length=200)] = None,
    verb: Annotated[str | None, Query(description="Only this.", max_length=100)] = None,
    object: Annotated[
        str | None,
        Query(description="Only about this, or with `*` at the end all of a kind: `recipe/*`.", max_length=300),
    ] = None,
    q: Annotated[str | None, Query(description="Words of what it was about.", max_length=200)] = None,
) -> Listed[AuditLine]:
    """Newest first: every change and every replay."""
    async with hub.database.looking() as db:
        rows = await lists.audit(db, caller.workspace, page, DeedFilter(actor, verb, object, q))
    if not rows:
        await refuse_unknown_deed(caller, hub, actor, verb)
    return listed(rows, page.limit, lambda row: AuditLine(**row))
