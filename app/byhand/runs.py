"""Runs by hand: a failed one goes on from its failed step, an open one is cancelled."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, Field

from app.connector import Action, Budget, Unsafe
from app.errors import ConflictError, NotFoundError
from app.hub import Hub
from app.pipeline.deliver.outcome import weakened
from app.store import byhand as store
from app.store import runs as run_store
from app.store.byhand import Deed, LockedCall, LockedRun
from app.store.database import Connection, Row, to_json

PATIENCE = 3.0
"""Seconds that cancelling waits for a call that is being sent this moment."""


class Retried(BaseModel):
    """What a retry set going."""

    run_id: UUID
    steps: list[str] = Field(description="Paths of the steps that run again.", examples=[["invoice"]])
    calls: int = Field(description="How many calls are tried anew.")


class Cancelled(BaseModel):
    """What a cancel ended. Calls that had been sent are recorded as their answers come."""

    run_id: UUID
    calls: int = Field(description="Calls that will not be sent.")
    in_flight: int = Field(description="Calls that are being sent this moment; ask again to stop their repeats.")
    unanswered: int = Field(description="Calls of which nobody knows whether they happened: see /v1/effects.")


async def retry(hub: Hub, workspace: str, run_id: UUID, actor: str) -> Retried:
    """Let a failed run go on from the step that failed it: its dead calls are tried anew, the rest stands.

    Raises NotFoundError, and ConflictError where the run did not fail, where its own recipe stopped it, or where a
    repeat could double an effect and nobody said that it did not happen.
    """
    async with hub.database.transaction() as db:
        retried, lanes = await retry_within(hub, db, workspace, run_id, actor)
    hub.bells.ring("run", elsewhere=True)
    for connection_id in lanes:
        hub.bells.ring(f"lane:{connection_id}")
    return retried


async def retry_within(hub: Hub, db: Connection, workspace: str, run_id: UUID, actor: str) -> tuple[Retried, set[UUID]]:
    """Retry a failed run in this transaction; with the connections whose lanes then have work. Raises as `retry`."""
    now = hub.clock.now()
    calls = await store.lock_calls(db, run_id)
    run = await _locked(db, workspace, run_id)
    if run.state != "failed":
        raise ConflictError(f"the run is {run.state}, and only a failed one can be retried")
    ended = await store.ended_steps(db, run_id)
    steps = blamed(ended, run)
    paths = [step["path"] for step in steps]
    dead = [call for call in calls if call.path in paths and call.state in ("dead", "cancelled")]
    for call in dead:
        refuse_a_double(hub, call, now)
    await _begin_again(hub, db, run_id, steps + listeners(ended), calls, dead, now)
    await store.note(db, Deed(workspace, actor, "retry", f"run/{run_id}", {}), to_json({"steps": paths}))
    lanes = {call.connection_id for call in dead}
    return Retried(run_id=run_id, steps=paths, calls=len(dead)), lanes


async def _locked(db: Connection, workspace: str, run_id: UUID) -> LockedRun:
    run = await store.lock_run(db, workspace, run_id)
    if run is None:
        raise NotFoundError("there is no such run")
    return run


def blamed(ended: Sequence[Row], run: LockedRun) -> list[Row]:
    """The steps that failed a run: the one that its reason names, else all that failed."""
    failed = [step for step in ended if step["state"] == "failed"]
    named = [step for step in failed if run.reason == f"{step['path']}: {step['error']}"]
    if not failed and any(step["kind"] == "stop" for step in ended):
        raise ConflictError("the recipe itself stopped this run as failed; replay its event instead")
    return named or failed


def listeners(ended: Sequence[Row]) -> list[Row]:
    return [step for step in ended if step["state"] == "running"]


async def _begin_again(
    hub: Hub,
    db: Connection,
    run_id: UUID,
    steps: Sequence[Row],
    calls: Sequence[LockedCall],
    dead: Sequence[LockedCall],
    now: datetime,
) -> None:
    """Steps with one call go on with it. Steps that made none, or one an item, begin anew: what their items did before
    is found by its effect keys; and so do those that listened for events, as their waiters are gone."""
    with_one_call = {call.path for call in calls if call.item is None}
    again = [step["id"] for step in steps if step["path"] in with_one_call]
    afresh = [step["id"] for step in steps if step["path"] not in with_one_call]
    await store.make_due(db, [(call.id, anew(hub, call, now)) for call in dead], now)
    await store.set_effects(db, [call for call in dead if call.unsure], "reserved")
    await store.restart_steps(db, again, afresh)
    await store.restart_run(db, run_id, now)


def anew(hub: Hub, call: LockedCall, now: datetime) -> str:
    """Options of a call whose budget of attempts and time begins now, as JSON text."""
    given = call.options.get("retry") or {}
    action = action_of(hub, call)
    usual = (action.budget if action else Budget()).age.total_seconds()
    since = now - call.at
    age = timedelta(seconds=float(given.get("first_age") or given.get("age") or usual))
    retry = {**given, "first_age": age.total_seconds(), "age": (since + age).total_seconds()}
    return to_json({**call.options, "retry": retry})


def action_of(hub: Hub, call: LockedCall) -> Action | None:
    connection = hub.connections.get(call.connection_id)
    verb = call.action.partition(".")[2]
    actions = connection.connector.actions if connection else ()
    return next((action for action in actions if action.name == verb), None)


def can_be_repeated(hub: Hub, call: LockedCall, now: datetime) -> bool:
    """Whether a call that may have acted can be made again without doubling: its system drops repeats, or one can
    look first."""
    action = action_of(hub, call)
    return action is not None and not isinstance(weakened(action.safe, call.sent_at or call.at, now), Unsafe)


def refuse_a_double(hub: Hub, call: LockedCall, now: datetime) -> None:
    """Raises ConflictError for a call that may have acted and whose repeat nothing makes safe."""
    action = action_of(hub, call)
    if_unsure = call.options.get("if_unsure") or (action.if_unsure if action else "ask")
    if call.unsure and if_unsure != "repeat" and not can_be_repeated(hub, call, now):
        raise ConflictError(
            f"nobody knows whether {call.action} of step {call.path!r} happened, and a repeat could do it twice: "
            f"answer first with POST /v1/effects/{call.effect_key.hex()}/answer"
        )


async def cancel(hub: Hub, workspace: str, run_id: UUID, actor: str) -> Cancelled:
    """End a run: what is not sent will not be; what is being sent is waited for a few seconds, and recorded.

    Raises NotFoundError, and ConflictError for a run that ended by itself.
    """
    done = await _cancel_once(hub, workspace, run_id, actor)
    until = asyncio.get_running_loop().time() + PATIENCE
    while done.in_flight and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.1)
        more = await _cancel_once(hub, workspace, run_id, actor)
        done = more.model_copy(update={"calls": done.calls + more.calls})
    return done


async def _cancel_once(hub: Hub, workspace: str, run_id: UUID, actor: str) -> Cancelled:
    async with hub.database.transaction() as db:
        await store.lock_calls(db, run_id)
        run = await _locked(db, workspace, run_id)
        if run.state in ("done", "failed"):
            raise ConflictError(f"the run has ended already: it is {run.state}")
        gone = await store.cancel_unsent(db, run_id)
        left = await store.lock_calls(db, run_id)
        if run.state != "cancelled":
            await store.cancel_run(db, run_id, f"cancelled by {actor}")
            line = (workspace, run.recipe, run.subject, run.event_id)
            await run_store.wake_next(db, [line], hub.clock.now())
            await store.note(db, Deed(workspace, actor, "cancel", f"run/{run_id}", {}), to_json({"calls": len(gone)}))
    return Cancelled(
        run_id=run_id,
        calls=len(gone),
        in_flight=sum(call.state == "due" for call in left),
        unanswered=sum(call.state == "uncertain" for call in left),
    )
