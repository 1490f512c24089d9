"""`/v1/templates`: the texts of mails and messages, and how they would be sent."""

import asyncio
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.context import HubDep, Listed, Name, PartDep
from app.domain.keys import Caller
from app.errors import ConfigError, InvalidError, NotFoundError
from app.hub import Hub
from app.pipeline.match.dry import stated
from app.pipeline.match.simulate import Happened
from app.recipes import Template, read_templates
from app.recipes.preview import preview, users_of
from app.store import events as store

router = APIRouter(prefix="/v1/templates", tags=["recipes"])


class TemplateShown(BaseModel):
    name: str = Field(examples=["abandoned-checkout"])
    locales: list[str] = Field(description='"" stands for the files without a locale.', examples=[["", "de"]])
    parts: list[str] = Field(examples=[["html", "subject", "text"]])
    recipes: list[str] = Field(description="Recipes of the workspace whose steps name it.")


class TemplatePreview(BaseModel):
    """A template as it would be sent; null for a part that it has not."""

    template: str
    recipe: str | None = Field(description="The recipe whose inputs and `data` filled it in.")
    event: str = Field(description="The type of event that filled it in.", examples=["order.paid"])
    subject: str | None
    html: str | None
    text: str | None


@router.get("", summary="List templates")
async def list_templates(caller: Reader, hub: HubDep, part: PartDep) -> Listed[TemplateShown]:
    """Those of the hub's folder, and those that versions of recipes brought along. By name; `q` finds part of one, or
    of a recipe that takes it."""
    recipes = [each.recipe for each in hub.recipes if each.workspace == caller.workspace]
    shown = [
        TemplateShown(
            name=name,
            locales=sorted(each.variants),
            parts=sorted({part for variant in each.variants.values() for part in variant}),
            recipes=sorted({recipe.name for recipe, _ in users_of(name, recipes)}),
        )
        for name, each in (await _library(hub, caller)).items()
    ]
    return part.of(shown, lambda each: each.name, lambda each: " ".join([each.name, *each.recipes]))


@router.get("/{name}/preview", summary="Show a template as it would be sent")
async def preview_template(
    caller: Reader,
    hub: HubDep,
    name: Name,
    event: Annotated[UUID | None, Query(description="A stored event to fill it in with.")] = None,
    sample: Annotated[str, Query(max_length=100, description="Or a sample of this type.")] = "",
    locale: Annotated[str, Query(max_length=35, description="The language; the event's own if not said.")] = "",
) -> TemplatePreview:
    """Nothing is sent. What earlier steps would have given is made up; inputs are the recipe's defaults."""
    library = await _library(hub, caller)
    if name not in library:
        raise NotFoundError(f"there is no template {name!r}")
    fact = await _stored(hub, caller, event) if event else None
    recipes = [each.recipe for each in hub.recipes if each.workspace == caller.workspace]
    shop, folder = hub.recipes.locale(caller.workspace), hub.settings.recipes_folder
    try:
        said = await asyncio.to_thread(
            preview, name, library, recipes, hub.registry, fact, sample, locale or None, shop, folder
        )
    except ConfigError as e:
        raise InvalidError(str(e), []) from e
    return TemplatePreview(**said.as_json())


async def _library(hub: Hub, caller: Caller) -> Mapping[str, Template]:
    own = [each.recipe.templates for each in hub.recipes if each.workspace == caller.workspace]
    shipped, _ = await asyncio.to_thread(read_templates, hub.settings.recipes_folder)
    return {**shipped, **{name: each for templates in own for name, each in templates.items()}}


async def _stored(hub: Hub, caller: Caller, event_id: UUID) -> Happened:
    async with hub.database.acquire() as db:
        row = (await store.load(db, [event_id])).get(event_id)
    if row is None or row["workspace"] != caller.workspace:
        raise NotFoundError("there is no such event; perhaps it expired")
    return stated(hub.connections, row)
