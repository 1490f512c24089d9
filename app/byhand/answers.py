"""Effects that the hub is unsure of: a person looks, and says what happened."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from app.byhand.runs import action_of, anew, can_be_repeated
from app.errors import ConflictError, MalformedError, NotFoundError
from app.hub import Hub
from app.store import byhand as store
from app.store import calls as call_store
from app.store.byhand import Deed, LockedCall, LockedRun
from app.store.database import Connection, Row, to_json

Answer = Literal["happened", "did_not", "look_again"]

OPEN = ("running", "waiting", "held")


class Answered(BaseModel):
    """What became of the call and its effect after the answer."""

    call_id: UUID
    key: str = Field(description="The effect key, 32 hex digits.")
    call_state: str = Field(examples=["done"])
    effect_state: str = Field(examples=["done"])
    run_id: UUID
    run_state: str | None


async def answer(
    hub: Hub, workspace: str, asked: str, said: Answer, actor: str, output: dict[str, Any] | None = None
) -> Answered:
    """Say of an effect (its key in hex, or the id of its call) whether it happened.

    happened: the call is done, with `output` for the steps after it. did_not: the effect may be done, the call is due
    again. look_again: the hub looks by itself, where the action can. Raises NotFoundError, ConflictError where nothing
    is asked or nothing can look, MalformedError for an output that is not the action's.
    """
    now = hub.clock.now()
    async with hub.database.transaction() as db:
        call, effect = await _locked(db, workspace, asked)
        if effect is None or effect["call_id"] != call.id or "uncertain" not in (effect["state"], call.state):
            raise ConflictError("nobody is in doubt about this effect")
        run = await store.lock_run(db, workspace, call.run_id)
        text = checked_output(hub, call, output) if said == "happened" else None
        if said == "happened":
            states = await _happened(db, call, text)
        elif said == "did_not":
            states = await _did_not(hub, db, call, run)
        else:
            states = await _look_again(hub, db, call, run)
        await call_store.wake_runs(db, [call.run_id], now)
        deed = Deed(workspace, actor, "answer", f"effect/{call.effect_key.hex()}", {})
        await store.note(db, deed, to_json({"said": said, "call": str(call.id)}))
    hub.bells.ring("run", elsewhere=True)
    hub.bells.ring(f"lane:{call.connection_id}")
    return Answered(
        call_id=call.id, key=call.effect_key.hex(), call_state=states[0], effect_state=states[1], run_id=call.run_id,
        run_state=run.state if run else None,
    )  # fmt: skip


async def _locked(db: Connection, workspace: str, asked: str) -> tuple[LockedCall, Row | None]:
    call_id = await _call_id(db, workspace, asked)
    call = await store.lock_call(db, workspace, call_id) if call_id else None
    if call is None:
        raise NotFoundError("there is no such effect or call")
    return call, await store.lock_effect(db, workspace, call.effect_key)


async def _call_id(db: Connection, workspace: str, asked: str) -> UUID | None:
    try:
        by_key = await store.call_of_effect(db, workspace, bytes.fromhex(asked)) if len(asked) == 32 else None
        return by_key or UUID(asked)
    except ValueError:
        return None


def checked_output(hub: Hub, call: LockedCall, output: dict[str, Any] | None) -> str:
    """The told output as JSON text, if it is one that the action could have answered."""
    action = action_of(hub, call)
    if output is None or action is None:
        return "{}"
    try:
        return action.output.model_validate(output).model_dump_json(exclude_none=True)
    except ValidationError as e:
        first = e.errors()[0]
        raise MalformedError(
            f"output: {'.'.join(map(str, first['loc']))}: {first['msg']}: it should be what {call.action} answers"
        ) from e


async def _happened(db: Connection, call: LockedCall, output: str | None) -> tuple[str, str]:
    ended = "skipped" if call.state == "skipped" else "done"
    await store.end_call(db, call, ended, output)
    await store.set_effects(db, [call], "done", output)
    return ended, "done"


async def _did_not(hub: Hub, db: Connection, call: LockedCall, run: LockedRun | None) -> tuple[str, str]:
    await store.set_effects(db, [call], "released")
    if call.state != "uncertain":
        await store.be_sure(db, call)
        return call.state, "released"
    if run is None or run.state not in OPEN:
        await store.end_call(db, call, "cancelled")
        return "cancelled", "released"
    now = hub.clock.now()
    await store.make_due(db, [(call.id, anew(hub, call, now))], now, unsure=False)
    return "due", "released"


async def _look_again(hub: Hub, db: Connection, call: LockedCall, run: LockedRun | None) -> tuple[str, str]:
    now = hub.clock.now()
    if call.state != "uncertain" or run is None or run.state not in OPEN:
        raise ConflictError("its call has ended; say whether it happened, or did not")
    if not can_be_repeated(hub, call, now):
        raise ConflictError(f"{call.action} cannot be looked up, and a repeat could do it twice: look yourself")
    await store.set_effects(db, [call], "reserved")
    await store.make_due(db, [(call.id, anew(hub, call, now))], now, unsure=True)
    return "due", "reserved"
