"""`/v1/recipes/{name}/inputs`: what a shop sets of a recipe, whoever owns its text."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from app.api.auth import Reader, RecipeKeeper
from app.api.context import HubDep, Name
from app.byhand.inputs import InputsSet, inputs_set, plain, set_inputs
from app.byhand.texts import PlainObject

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])


class RecipeInput(BaseModel):
    """An input, as its recipe declares it and as it stands."""

    name: str = Field(examples=["due_days"])
    type: str = Field(examples=["integer"])
    description: str = Field(examples=["Days until the invoice is due"])
    required: bool = Field(description="Without a value the recipe runs for no event.")
    value: Any = Field(description="What runs see.", examples=[14])
    default: Any = Field(examples=[14])
    set: bool = Field(description="Whether the shop set it; else it is the default.")
    options: list[Any]
    minimum: str | None
    maximum: str | None


class RecipeInputs(BaseModel):
    """The inputs of a recipe; `problem` says why it cannot run with them."""

    inputs: list[RecipeInput]
    problem: str | None


@router.get("/{name}/inputs", summary="Get a recipe's inputs")
async def get_inputs(caller: Reader, hub: HubDep, name: Name) -> RecipeInputs:
    return _shown(await inputs_set(hub, caller.workspace, name))


@router.patch("/{name}/inputs", summary="Set inputs of a recipe")
async def patch_inputs(
    caller: RecipeKeeper,
    hub: HubDep,
    name: Name,
    given: Annotated[PlainObject, Body(examples=[{"due_days": 30}])],
) -> RecipeInputs:
    """Those that are named; `null` brings the default back. Every process sees them within a second, and so do runs
    that have begun. The recipe's file is not touched, and a new version of it keeps them."""
    return _shown(await set_inputs(hub, caller.workspace, name, given, caller.name))


def _shown(stands: InputsSet) -> RecipeInputs:
    return RecipeInputs(
        inputs=[
            RecipeInput(
                name=each.declared.name,
                type=each.declared.type,
                description=each.declared.description,
                required=each.declared.required,
                value=plain(each.value),
                default=plain(each.declared.default),
                set=each.own,
                options=list(each.declared.options),
                minimum=_text(each.declared.minimum),
                maximum=_text(each.declared.maximum),
            )
            for each in stands.inputs
        ],
        problem=stands.problem,
    )


def _text(number: object) -> str | None:
    return None if number is None else str(number)
