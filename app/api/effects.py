"""`/v1/effects`: what was done outside, and what nobody is sure of."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Reader, Replayer
from app.api.context import Cursor, HubDep, Limit, Listed, Since, Text, Until, from_cursor, secrets_of, to_cursor
from app.api.named import refuse_unknown, refuse_unknown_action
from app.byhand import Answer, Answered, answer
from app.byhand.texts import PlainObject
from app.store import lists
from app.store.database import Row
from app.store.lists import EffectFilter
from app.trace import blotted

router = APIRouter(prefix="/v1/effects", tags=["effects"])


class ListedEffect(BaseModel):
    """An effect with the call that made it; nulls where the call is no longer kept."""

    key: str = Field(description="The effect key, 32 hex digits.")
    state: Literal["reserved", "done", "uncertain", "released"]
    label: str | None = Field(examples=["invoice-paid-orders/invoice quickbooks.create_invoice"])
    doubled: bool = Field(description="It may exist twice.")
    at: datetime
    ended_at: datetime | None
    call_id: UUID
    call_state: str | None
    question: str | None = Field(examples=["Did create invoice happen? Its request went out and no answer came."])
    error: str | None
    connection: str | None
    action: str | None
    recipe: str | None
    path: str | None
    run_id: UUID | None
    event_id: UUID | None
    number: str | None = Field(description="Order number of the event.", examples=["#1001"])


class Said(BaseModel):
    """What a person found out about an effect."""

    model_config = ConfigDict(extra="forbid")

    answer: Answer = Field(
        description="happened: it is done. did_not: it may be done, its call is due again. look_again: the hub looks "
        "by itself, where the action can."
    )
    output: PlainObject | None = Field(
        None, description="With `happened`: what the action answered, for the steps after it.", examples=[{"id": "131"}]
    )


@router.get("", summary="List effects")
async def list_effects(
    caller: Reader,
    hub: HubDep,
    state: Annotated[
        Literal["reserved", "done", "uncertain", "released"] | None,
        Query(description="`uncertain` lists what waits for an answer."),
    ] = None,
    connection: Annotated[str | None, Query(description="Slug of the connection at which it was made.")] = None,
    recipe: Annotated[str | None, Query(description="Name of the recipe.")] = None,
    action: Annotated[str | None, Query(description="The action.", examples=["quickbooks.create_invoice"])] = None,
    q: Text = None,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listed[ListedEffect]:
    """The newest calls' first; `since` and `until` bound when these were wanted. `q` finds the event's order number,
    e-mail address or sender's id, or part of the error of a call that did not happen."""
    raw = from_cursor(cursor, 32)
    before = (UUID(bytes=raw[:16]), raw[16:]) if raw else None
    wanted = EffectFilter(state, connection, recipe, action, q, since, until)
    async with hub.database.looking() as db:
        rows = await lists.effects(db, caller.workspace, before, limit, wanted)
        numbers = await lists.numbers(db, (row["event_id"] for row in rows if row["event_id"]))
    if not rows:
        await refuse_unknown(caller, hub, connection=connection, recipe=recipe)
        if action is not None:
            refuse_unknown_action(caller, hub, action)
    secrets = secrets_of(hub, caller.workspace)
    items = [_shown(row, numbers.get(row["event_id"]), secrets) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return Listed(items=items, next=to_cursor(last["call_id"].bytes + last["key"]) if last else None)


def _shown(row: Row, number: str | None, secrets: set[str]) -> ListedEffect:
    said = {"key": row["key"].hex(), "number": number, "error": blotted(row["error"], secrets)}
    return ListedEffect(**{**row, **said})


@router.post("/{key}/answer", summary="Say whether an effect happened")
async def answer_effect(
    caller: Replayer,
    hub: HubDep,
    key: Annotated[str, Path(description="The effect key (32 hex digits), or the id of its call.", max_length=36)],
    said: Said,
) -> Answered:
    """Only for effects that nobody is sure of; the run goes on from there."""
    return await answer(hub, caller.workspace, key, said.answer, caller.name, said.output)
