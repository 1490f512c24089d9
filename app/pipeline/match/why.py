"""Why each recipe answered an event, or did not: the decision that was kept, and its condition part by part."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.crypto import Hasher
from app.domain.connections import Connections
from app.domain.memory import recall
from app.domain.recipes import ActiveRecipe, Recipes, outline_of
from app.errors import NotFoundError
from app.expressions import EvaluationError, Expression
from app.pipeline.match import event_scope, once_of, why_not
from app.pipeline.match.dry import stated
from app.pipeline.match.explain import false_part, parts, unknown_past, values_of
from app.pipeline.match.simulate import Happened
from app.store import events as store
from app.store.database import Database

OTHERS = "it does not ask for"
"""How the reason of a recipe begins that takes events of other types."""


class Part(BaseModel):
    """A part of `where`: what an `and` joins."""

    condition: str = Field(examples=["order.total.amount > 500"])
    holds: bool | None = Field(description="null: it cannot be decided; `error` says why.")
    values: dict[str, str] = Field(description="What its fields were.", examples=[{"order.total.amount": "20.00"}])
    error: str | None = None


class Why(BaseModel):
    """A recipe, and why it answered an event or did not."""

    recipe: str = Field(examples=["invoice-paid-orders"])
    version: int | None = Field(description="The version that runs today; null where the recipe is gone.")
    ran: bool
    run_id: UUID | None = Field(description="Its run, or the one that a `once_per` value had had before.")
    reason: str = Field(examples=["where is false: order.total.amount > 500 (order.total.amount is 20.00)"])
    decided: Literal["then", "now"] = Field(
        description="then: when the event came. now: the recipe does not ask for such events, or was not there then."
    )
    parts: list[Part] = Field(
        [], description="Today's `where`, part by part, against the event as it is stored and what is remembered today."
    )


class Explanation(BaseModel):
    """Why each recipe of the workspace answered an event, or did not."""

    event_id: UUID
    type: str = Field(examples=["order.paid"])
    at: datetime
    number: str | None = Field(description="The order number that people search it by.")
    recipes: list[Why]

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


async def explain(
    database: Database, recipes: Recipes, connections: Connections, hasher: Hasher, workspace: str, event_id: UUID,
    only: str | None = None,
) -> Explanation:  # fmt: skip
    """Raises NotFoundError for an event that is not there, or a recipe (`only`) that never saw it and is not there."""
    async with database.acquire() as db:
        row = (await store.load(db, [event_id])).get(event_id)
        if row is None or row["workspace"] != workspace:
            raise NotFoundError("there is no such event; perhaps it expired")
        kept: dict[str, str] = row["decisions"] or {}
        fact = stated(connections, row)
        there = {each.name: each for each in recipes if each.workspace == workspace}
        scope = event_scope(fact)
        nouns = frozenset[str]().union(*(outline_of(each.recipe).recalls for each in there.values()))
        await recall(db, hasher, [(workspace, fact.connection, scope, nouns)])
    names = sorted({*there, *kept}) if only is None else [only]
    if only is not None and only not in there and only not in kept:
        raise NotFoundError(f"there is no recipe {only!r}")
    found = [_why(name, there.get(name), kept.get(name), fact, scope, recipes) for name in names]
    return Explanation(event_id=event_id, type=row["type"], at=row["at"], number=row["number"], recipes=found)


def _why(
    name: str, active: ActiveRecipe | None, kept: str | None, fact: Happened, scope: Mapping[str, Any], recipes: Recipes
) -> Why:
    asks = active is not None and fact.event.type in active.recipe.events
    said = Why(recipe=name, version=active.number if active else None, ran=False, run_id=None, reason="", decided="now")
    if active is not None and asks:
        said.parts = _parts(active, scope)
    if kept is not None:
        said.decided, said.ran, said.run_id = "then", kept.startswith("run "), _run_in(kept)
        said.reason = "it ran" if said.ran else kept
    elif active is not None and not asks:
        said.reason = f"{OTHERS} {fact.event.type}, but for {', '.join(active.recipe.events)}"
    elif active is not None:
        today = _today(active, fact, scope, recipes)
        said.reason = f"it was not there when the event came, or did not ask for {fact.event.type}; today: {today}"
    return said


def _run_in(decision: str) -> UUID | None:
    """The run that a kept decision names."""
    try:
        return UUID(decision.rpartition("run ")[2])
    except ValueError:
        return None


def _today(active: ActiveRecipe, fact: Happened, scope: Mapping[str, Any], recipes: Recipes) -> str:
    refused = why_not(active, fact) or recipes.missing(active, fact.connection)
    seen, where = _seen(active, scope), active.recipe.where
    try:
        if refused is None and where is not None:
            refused = unknown_past(where, seen)
            if refused is None and not where.evaluate(seen):
                refused = f"where is false: {false_part(where, seen)}"
        if refused is None and active.recipe.once_per is not None:
            return f"it would run, once for {active.recipe.once_per.value.evaluate(seen)}"
    except EvaluationError as e:
        return f"could not be decided: {e}"
    return refused or f"it would run, once for {once_of(fact)[1]}"


def _seen(active: ActiveRecipe, scope: Mapping[str, Any]) -> dict[str, Any]:
    absent = outline_of(active.recipe).absent
    return {**absent, **scope, "inputs": active.inputs, "steps": {}, "now": scope["event"]["occurred_at"]}


def _parts(active: ActiveRecipe, scope: Mapping[str, Any]) -> list[Part]:
    where = active.recipe.where
    if where is None:
        return []
    seen = _seen(active, scope)
    return [_part(each, seen) for each in parts(where.source)]


def _part(part: Expression, scope: Mapping[str, Any]) -> Part:
    try:
        return Part(condition=part.source, holds=bool(part.evaluate(scope)), values=values_of(part, scope))
    except EvaluationError as e:
        return Part(condition=part.source, holds=None, values=values_of(part, scope), error=str(e))
