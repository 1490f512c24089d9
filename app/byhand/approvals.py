"""Approvals: a run asks a person, and goes on by the answer."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.byhand.texts import PlainText
from app.errors import ConflictError, NotFoundError
from app.events import iso
from app.hub import Hub
from app.store import byhand as store
from app.store import runs as run_store
from app.store.byhand import Deed
from app.store.database import Row, to_json


class Approval(BaseModel):
    """A person's answer to a run that asks."""

    model_config = ConfigDict(extra="forbid")

    approved: bool
    step: PlainText | None = Field(None, description="Path of the step that asks; needed where several do.")
    note: PlainText | None = Field(None, max_length=2000, description="What recipes read as `steps.x.note`.")


class Approved(BaseModel):
    """What was answered."""

    run_id: UUID
    step: str = Field(examples=["ask"])
    approved: bool


async def approve(hub: Hub, workspace: str, run_id: UUID, said: Approval, actor: str) -> Approved:
    """Answer a step that asks. Raises NotFoundError, and ConflictError where nothing asks, or several steps do."""
    now = hub.clock.now()
    async with hub.database.transaction() as db:
        run = await store.lock_run(db, workspace, run_id)
        if run is None:
            raise NotFoundError("there is no such run")
        if run.state not in ("running", "waiting"):
            raise ConflictError(f"the run is {run.state} and asks nothing")
        step = asking(await store.open_approvals(db, run_id), said.step)
        answered = {
            **(step["output"] or {}), "approved": said.approved, "timed_out": False, "by": actor, "note": said.note,
            "decided_at": iso(now),
        }  # fmt: skip
        await store.answer_step(db, step["id"], to_json(answered))
        await run_store.make_due(db, [run_id], now)
        verb = "approve" if said.approved else "decline"
        await store.note(db, Deed(workspace, actor, verb, f"run/{run_id}", {}), to_json({"step": step["path"]}))
    hub.bells.ring("run", elsewhere=True)
    return Approved(run_id=run_id, step=step["path"], approved=said.approved)


def asking(steps: list[Row], wanted: str | None) -> Row:
    """The step that is meant, of those that ask and have no answer yet."""
    unanswered = [step for step in steps if "approved" not in (step["output"] or {})]
    meant = [step for step in unanswered if wanted in (None, step["path"])]
    if len(meant) == 1:
        return meant[0]
    if not unanswered:
        raise ConflictError("the run asks nothing")
    raise ConflictError(f"say which step: {', '.join(step['path'] for step in unanswered)}")
