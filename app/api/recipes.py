"""`/v1/recipes`: the automations, and stopping and starting them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Reader, RecipeKeeper
from app.api.context import HubDep, Listed, Name, PartDep, secrets_of
from app.api.etags import UNCHANGED, IfNewer, shown, tag_of
from app.api.named import refuse_unknown
from app.byhand.flow import set_recipe
from app.byhand.texts import PlainTexts
from app.byhand.trying import dry, span_in
from app.byhand.versions import version_of
from app.domain.keys import Caller
from app.domain.recipes import ActiveRecipe
from app.errors import NotFoundError
from app.hub import Hub
from app.pipeline.match.dry import DryRun
from app.store import lists
from app.store.database import Row
from app.trace import without

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])


class RecipeSummary(BaseModel):
    """A recipe as it stands."""

    name: str = Field(examples=["invoice-paid-orders"])
    title: str = Field(examples=["Invoice every paid order in QuickBooks"])
    description: str
    stage: str | None = Field(description="Where on the customer's journey it acts.", examples=["purchase"])
    on: list[str] = Field(description="Event types that run it.", examples=[["order.paid"]])
    enabled: bool = Field(description="False: no runs are made.")
    paused: bool = Field(description="True: runs are made and held.")
    version: int
    origin: str = Field(description="Where it comes from: a folder, or the API.")
    usable: bool = Field(description="False where its source no longer loads; then it does not run.")
    updated_at: datetime


class RecipeVersion(BaseModel):
    id: UUID
    number: int
    created_at: datetime


class RecipeDetail(RecipeSummary):
    """A recipe with its source, what the shop set, and its versions."""

    source: str = Field(description="The YAML of the current version.")
    inputs: dict[str, Any]
    versions: list[RecipeVersion]


class NewDryRun(BaseModel):
    """Which event, which version, and how."""

    model_config = ConfigDict(extra="forbid")

    event_id: UUID
    version: int | None = Field(None, ge=1, description="An earlier version, by its number.")
    source: str | None = Field(None, max_length=64 * 1024, description="A text, instead of a version that is there.")
    templates: PlainTexts = Field({}, max_length=200, description="Beside `source`: the files of its templates.")
    inputs: dict[str, Any] | None = Field(None, description="Inputs, instead of those that the workspace set.")
    passes: str = Field("0s", max_length=20, description="How much time passes after the event.", examples=["30d"])
    reads: bool = Field(False, description="Make calls that change nothing for real, instead of answering by examples.")


class RecipeChanged(BaseModel):
    """How a recipe stands now; `released`: held runs that go on."""

    name: str
    enabled: bool
    paused: bool
    released: int


@router.get("", summary="List recipes")
async def list_recipes(
    caller: Reader,
    hub: HubDep,
    part: PartDep,
    type: Annotated[str | None, Query(description="Only those that answer this event type.", max_length=100)] = None,
    state: Annotated[
        Literal["running", "paused", "disabled", "unusable"] | None,
        Query(description="running: enabled, not paused, and its text fits."),
    ] = None,
) -> Listed[RecipeSummary]:
    """By name; `q` finds part of a name or a title."""
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, caller.workspace)
    items = [RecipeSummary(**_summary(row, hub.recipes.find(caller.workspace, row["name"]))) for row in rows]
    wanted = [each for each in items if type in (None, *each.on) and state in (None, _state(each))]
    if not wanted:
        await refuse_unknown(caller, hub, type=type)
    return part.of(wanted, lambda each: each.name, lambda each: f"{each.name} {each.title}")


def _state(shown: RecipeSummary) -> str:
    if not shown.usable:
        return "unusable"
    return "disabled" if not shown.enabled else "paused" if shown.paused else "running"


@router.get(
    "/{name}", summary="Get a recipe with its source and versions", response_model=RecipeDetail, responses=UNCHANGED
)
async def get_recipe(
    caller: Reader, hub: HubDep, response: Response, name: Name, if_none_match: IfNewer = None
) -> RecipeDetail | Response:
    """Its `ETag` is what a change of it may name in `If-Match`."""
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, caller.workspace, name)
        versions = await lists.recipe_versions(db, caller.workspace, name)
    if not rows:
        raise NotFoundError(f"there is no recipe {name!r}")
    active = hub.recipes.find(caller.workspace, name)
    inputs = dict(active.inputs) if active else rows[0]["inputs"]
    detail = RecipeDetail(
        **_summary(rows[0], active),
        source=rows[0]["source"],
        inputs=inputs,
        versions=[RecipeVersion(**version) for version in versions],
    )
    return shown(recipe_tag(rows[0]), detail, response, if_none_match) or detail


def recipe_tag(row: Row) -> str:
    """The ETag of a recipe as it stands: its version, what the shop set, whether it runs."""
    return tag_of("recipe", *(getattr(row, "_mapping", row)[name] for name in ("version_id", "updated_at")))


def _summary(row: Row, active: ActiveRecipe | None) -> dict[str, Any]:
    recipe = active.recipe if active else None
    return {
        "name": row["name"],
        "title": recipe.title if recipe else row["name"],
        "description": recipe.description if recipe else "",
        "stage": recipe.stage if recipe else None,
        "on": list(recipe.events) if recipe else [],
        "enabled": row["enabled"] and (recipe is None or recipe.enabled),
        "paused": row["paused"],
        "version": row["number"],
        "origin": row["origin"],
        "usable": recipe is not None,
        "updated_at": row["updated_at"],
    }


@router.post("/{name}/dry-run", summary="Try a recipe on one stored event")
async def dry_run_recipe(caller: RecipeKeeper, hub: HubDep, name: Name, wanted: NewDryRun) -> DryRun:
    """Every call that the version would make, with its input; nothing is sent or stored. The version is the one that
    runs, an earlier one (`version`), or a text that is in no hub yet (`source`)."""
    version = await version_of(
        hub, caller.workspace, name, source=wanted.source, number=wanted.version, templates=wanted.templates
    )
    within = span_in(wanted.passes)
    done = await dry(hub, caller.workspace, wanted.event_id, version.recipe, wanted.inputs, within, wanted.reads)
    return without(done, secrets_of(hub, caller.workspace))


@router.post("/{name}/pause", summary="Pause a recipe: runs are made and held")
async def pause_recipe(caller: RecipeKeeper, hub: HubDep, name: Name) -> RecipeChanged:
    """Its open calls are not sent either, until it is resumed."""
    return await _set(hub, caller, name, "pause")


@router.post("/{name}/resume", summary="Resume a recipe: held runs go on")
async def resume_recipe(caller: RecipeKeeper, hub: HubDep, name: Name) -> RecipeChanged:
    return await _set(hub, caller, name, "resume")


@router.post("/{name}/enable", summary="Enable a recipe")
async def enable_recipe(caller: RecipeKeeper, hub: HubDep, name: Name) -> RecipeChanged:
    """Refused (409) where its file itself says `enabled: false`."""
    return await _set(hub, caller, name, "enable")


@router.post("/{name}/disable", summary="Disable a recipe: no new runs are made")
async def disable_recipe(caller: RecipeKeeper, hub: HubDep, name: Name) -> RecipeChanged:
    """Runs that have begun go on."""
    return await _set(hub, caller, name, "disable")


async def _set(hub: Hub, caller: Caller, name: str, verb: Any) -> RecipeChanged:
    released = await set_recipe(hub, caller.workspace, name, verb, caller.name)
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, caller.workspace, name)
    shown = _summary(rows[0], hub.recipes.find(caller.workspace, name))
    return RecipeChanged(name=name, enabled=shown["enabled"], paused=shown["paused"], released=released)
