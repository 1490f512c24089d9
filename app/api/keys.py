"""`/v1/keys`: API keys are made, listed without their secret, and revoked."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.api.auth import Admin
from app.api.context import HubDep, Listed, Name, PartDep, RowId
from app.byhand.texts import PlainText
from app.domain import keys
from app.domain.keys import Scope
from app.errors import InvalidError, NotFoundError
from app.hub import Hub
from app.store import keys as store

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class KeyShown(BaseModel):
    """A key without its secret."""

    id: UUID
    workspace: str | None = Field(description="The workspace that it opens; null opens all.")
    name: str = Field(examples=["reporting"])
    prefix: str = Field(description="The first characters, to tell keys apart.", examples=["tw_1f4a90c2"])
    scopes: list[str] = Field(examples=[["read"]])
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Within a minute.")
    connections: list[str] | None = Field(
        description="Slugs of the connections that it is limited to; null: no limit.", examples=[["main-store"]]
    )


class KeyWanted(BaseModel):
    """A key to be made, for the caller's workspace."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText = Field(max_length=100, min_length=1, examples=["reporting"])
    scopes: Annotated[list[Scope], Field(min_length=1, examples=[["read"]])]
    expires_at: AwareDatetime | None = None
    connections: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = Field(
        None,
        description="Slugs: it opens only what came in by these connections (and not the scopes recipes and admin).",
        examples=[["main-store"]],
    )


class KeyMade(BaseModel):
    """A new key: it is shown this once and cannot be read back."""

    id: UUID
    key: str = Field(examples=["tw_1f4a90c2_..."])


@router.get("", summary="List API keys")
async def list_keys(caller: Admin, hub: HubDep, part: PartDep) -> Listed[KeyShown]:
    """Revoked and expired ones too, newest first; `q` finds part of a name, a prefix or a scope."""
    async with hub.database.begin() as db:
        rows = await store.list_keys(db, caller.workspace, caller.everywhere)
    items = [_shown(hub, row) for row in rows]
    return part.of(
        items, lambda each: str(each.id), lambda each: " ".join([each.name, each.prefix, *each.scopes]), newest=True
    )


def _shown(hub: Hub, row: store.KeyRow) -> KeyShown:
    plain = {name: getattr(row, name) for name in KeyShown.model_fields if name != "connections"}
    if row.connections is None:
        return KeyShown(**plain, connections=None)
    known = (hub.connections.get(each) for each in row.connections)
    return KeyShown(**plain, connections=sorted(each.slug for each in known if each is not None))


@router.post("", summary="Make an API key", status_code=201)
async def make_key(caller: Admin, hub: HubDep, wanted: KeyWanted) -> KeyMade:
    if wanted.expires_at is not None and wanted.expires_at <= hub.clock.now():
        raise InvalidError("The key would open nothing.", [{"field": "body.expires_at", "detail": "is in the past"}])
    async with hub.database.begin() as db:
        made = await keys.make(
            db,
            wanted.name,
            wanted.scopes,
            caller.workspace,
            wanted.expires_at,
            wanted.connections,
            actor=caller.name,
        )
    return KeyMade(id=made.id, key=made.key)


@router.post("/{id}/revoke", summary="Revoke an API key", status_code=204)
async def revoke_key(caller: Admin, hub: HubDep, id: RowId) -> None:
    """It opens nothing any more within a second."""
    async with hub.database.begin() as db:
        if not await keys.revoke(db, caller.workspace, id, everywhere=caller.everywhere, actor=caller.name):
            raise NotFoundError("there is no such key")
