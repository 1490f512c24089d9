"""`/v1/workspaces`: merchants, each with connections, recipes, customers and keys of its own."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.auth import Admin, ForbiddenError, Reader
from app.api.context import HubDep, Listed, Name, PartDep
from app.domain.keys import Caller
from app.domain.zones import zone_of
from app.errors import ConflictError, NotFoundError
from app.hub import Hub
from app.store import workspaces as store
from app.store.byhand import Deed
from app.store.changes import workspaces as changes
from app.store.changes.audit import note_change

router = APIRouter(prefix="/v1/workspaces", tags=["workspaces"])


def _zone(name: str) -> str:
    if zone_of(name) is None:
        raise ValueError("no time zone is named so; one is Europe/Berlin")
    return name


Zone = Annotated[str, AfterValidator(_zone), Field(examples=["Europe/Berlin"], max_length=100)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"], description="ISO 4217.")]
Locale = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", examples=["de-DE"], description="BCP 47.")
]


def _amount(said: str) -> str:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,4})?", said) or Decimal(said) <= 0:
        raise ValueError("give an amount above zero as text, as in 500.00")
    return said


Vip = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], Annotated[str, AfterValidator(_amount)]],
    Field(
        examples=[{"EUR": "500.00"}],
        max_length=50,
        description="Lifetime value from which a customer is a VIP (`customer.vip_reached`), by currency; {}: never.",
    ),
]


class Workspace(BaseModel):
    """One merchant's part of the hub. Nothing that is looked up, limited, erased or searched crosses it."""

    name: str = Field(examples=["main"])
    timezone: str = Field(examples=["Europe/Berlin"])
    currency: str | None = Field(examples=["EUR"])
    locale: str | None = Field(examples=["de-DE"])
    vip_at: Vip
    created_at: datetime


class WorkspaceChange(BaseModel):
    """What shall be otherwise; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"timezone": "Europe/Berlin"}]})

    timezone: Zone | None = None
    currency: Currency | None = None
    locale: Locale | None = None
    vip_at: Vip | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(include=self.model_fields_set, exclude_none=True)


class WorkspaceWanted(WorkspaceChange):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "agency-shop-7", "timezone": "Europe/Berlin"}]}
    )

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The slug in addresses.")]


@router.get("", summary="List workspaces")
async def list_workspaces(caller: Reader, hub: HubDep, part: PartDep) -> Listed[Workspace]:
    """All of them for a key of every workspace; else the key's own. By name; `q` finds part of one."""
    found = await _found(hub, None if caller.everywhere else caller.workspace)
    return part.of(found, lambda each: each.name, lambda each: each.name)


@router.post("", status_code=201, summary="Make a workspace")
async def make_workspace(caller: Admin, hub: HubDep, wanted: WorkspaceWanted) -> Workspace:
    """Only with a key of every workspace. Further keys, connections and recipes of it: the same routes with the header
    `Tradewind-Workspace`."""
    if not caller.everywhere:
        raise ForbiddenError("Workspaces are made with a key of every workspace.", "admin")
    values = {name: value for name, value in wanted.given().items() if name != "name"}
    async with hub.database.begin() as db:
        if not await changes.make(db, wanted.name, values):
            raise ConflictError(f"there is a workspace {wanted.name!r}")
        await note_change(db, Deed(wanted.name, caller.name, "make", f"workspace/{wanted.name}", values))
    return await _one(hub, caller, wanted.name)


@router.get("/{name}", summary="Get a workspace")
async def get_workspace(caller: Reader, hub: HubDep, name: Name) -> Workspace:
    return await _one(hub, caller, name)


@router.patch("/{name}", summary="Change a workspace's time zone, currency, locale or VIPs")
async def change_workspace(caller: Admin, hub: HubDep, name: Name, change: WorkspaceChange) -> Workspace:
    """Schedules and quiet hours of its recipes follow the time zone within a second."""
    await _one(hub, caller, name)
    async with hub.database.begin() as db:
        if given := change.given():
            await changes.change(db, name, given)
            await changes.stir_recipes(db, name)
            await note_change(db, Deed(name, caller.name, "change", f"workspace/{name}", given))
    return await _one(hub, caller, name)


async def _one(hub: Hub, caller: Caller, name: str) -> Workspace:
    found = await _found(hub, name) if caller.everywhere or name == caller.workspace else []
    if not found:
        raise NotFoundError(f"there is no workspace {name!r}")
    return found[0]


async def _found(hub: Hub, name: str | None) -> list[Workspace]:
    async with hub.database.acquire() as db:
        return [Workspace(**row) for row in await store.find(db, name)]
