"""What a shop sets of a recipe's inputs: checked against their types and limits, without a change of the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from app.domain.recipes import ActiveRecipe, inputs_of
from app.errors import MalformedError, NotFoundError
from app.expressions import hint
from app.hub import Hub
from app.recipes import Input, valid
from app.store.byhand import Deed
from app.store.changes import recipes
from app.store.changes.audit import note_change


@dataclass(frozen=True, slots=True)
class InputSet:
    """One input as it stands. value: what runs see; own: whether the shop set it (else it is the default)."""

    declared: Input
    value: Any
    own: bool


@dataclass(frozen=True, slots=True)
class InputsSet:
    """All inputs of a recipe; problem: why it cannot run with them."""

    inputs: tuple[InputSet, ...]
    problem: str | None


async def inputs_set(hub: Hub, workspace: str, name: str) -> InputsSet:
    """How a recipe's inputs stand in a workspace. Raises NotFoundError."""
    active = _found(hub, workspace, name)
    async with hub.database.begin() as db:
        given = await recipes.lay_inputs(db, workspace, name, {}, [])
    return _standing(active, given or {})


async def set_inputs(hub: Hub, workspace: str, name: str, given: Mapping[str, Any], actor: str) -> InputsSet:
    """Set some of a recipe's inputs; one that is given None has its default again. Runs that go on see the new values.

    Raises NotFoundError; MalformedError with a sentence for an unknown input or a wrong value."""
    active = _found(hub, workspace, name)
    values = {key: _checked(active, key, value) for key, value in given.items()}
    more = {key: value for key, value in values.items() if value is not None}
    gone = [key for key, value in values.items() if value is None]
    async with hub.database.begin() as db:
        stands = await recipes.lay_inputs(db, workspace, name, more, gone)
        if stands is None:
            raise NotFoundError(f"there is no recipe {name!r}")
        await note_change(db, Deed(workspace, actor, "set inputs", f"recipe/{name}", {"inputs": sorted(given)}))
    await hub.recipes.refresh()
    return _standing(active, stands)


def _found(hub: Hub, workspace: str, name: str) -> ActiveRecipe:
    active = hub.recipes.find(workspace, name)
    if active is None:
        raise NotFoundError(f"there is no recipe {name!r}")
    return active


def _checked(active: ActiveRecipe, key: str, value: Any) -> Any:
    """A value as it is stored: plain JSON, by which its type is found again."""
    declared = active.recipe.inputs.get(key)
    if declared is None:
        raise MalformedError(f"{active.name} has no input {key!r}; {hint(key, active.recipe.inputs) or 'it has none'}")
    if value is None:
        return None
    try:
        read = valid(declared, value)
    except ValueError as error:
        raise MalformedError(str(error)) from None
    return plain(read)


def plain(value: Any) -> Any:
    """An input's value as JSON holds it."""
    return str(value) if isinstance(value, Decimal | date) else value


def _standing(active: ActiveRecipe, given: Mapping[str, Any]) -> InputsSet:
    values, problem = inputs_of(active.recipe, given)
    shown = (InputSet(each, values[name], name in given) for name, each in active.recipe.inputs.items())
    return InputsSet(tuple(shown), problem)
