"""Backtests as jobs: asked for by API, done by a worker in processes of their own, with progress and a report.

A worker that dies is noticed by its silence, and another begins the backtest anew. One that ends gives it back.
"""

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app.byhand.texts import PlainTexts
from app.byhand.trials import Trial, refuse_cut, try_out
from app.byhand.trying import span_in, wanted_trial
from app.byhand.versions import Text, Version, version_of
from app.errors import ConflictError, MalformedError, NotFoundError, PermanentError
from app.hub import Hub
from app.ids import new_id
from app.store import backtests as store
from app.store import byhand as audit
from app.store.byhand import Deed
from app.store.database import AWAY, Row, to_json

log = structlog.get_logger()

SILENT = 30.0
"""Seconds without a word after which the process of a backtest counts as dead."""
BEGUN = 3
"""Times that a backtest is begun before it is given up."""
BEAT = 1.0
SHOWN = 200
"""Differences that a report tells one by one."""


class NewBacktest(BaseModel):
    """Which version, against which, over which span."""

    model_config = ConfigDict(extra="forbid")

    recipe: str = Field(max_length=80, examples=["invoice-paid-orders"])
    source: str | None = Field(None, max_length=64 * 1024, description="A text that is in no hub yet.")
    version: int | None = Field(None, ge=1, description="... or an earlier version; else the one that runs.")
    templates: PlainTexts = Field({}, max_length=200, description="Beside `source`: the files of its templates.")
    against_source: str | None = Field(None, max_length=64 * 1024, description="A text to compare with.")
    against_templates: PlainTexts | None = Field(
        None,
        max_length=200,
        description="Beside `against_source`: the files of its templates; those of `templates` if not said.",
    )
    against: Literal["current"] | int | None = Field(
        None, description="What to compare with: the version that runs, or an earlier one by its number."
    )
    last: str | None = Field(None, max_length=20, description="How far to look back; 30d unless said.")
    since: AwareDatetime | None = Field(None, description="... or from this moment on")
    until: AwareDatetime | None = Field(None, description="... to this one; now unless said.")
    inputs: dict[str, Any] | None = Field(None, description="Inputs, instead of those that the workspace set.")
    differences: int = Field(50, ge=0, le=SHOWN, description="Differing events that the report tells one by one.")

    @model_validator(mode="after")
    def _one_span(self) -> "NewBacktest":
        if self.last is not None and self.since is not None:
            raise ValueError("say `last` or `since`, not both")
        if self.source is not None and self.version is not None:
            raise ValueError("say `source` or `version`, not both")
        if self.against is not None and self.against_source is not None:
            raise ValueError("say `against` or `against_source`, not both")
        return self


class BacktestJob(BaseModel):
    """A backtest, as it stands."""

    id: UUID
    recipe: str
    since: datetime
    until: datetime
    compared: bool = Field(description="Whether another version is compared with.")
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    events: int = Field(description="Events read so far.")
    share: float = Field(description="How much of the span is done: 0 to 1.")
    begun: int = Field(description="How often it was begun: more than once where a process was cut off.")
    report: dict[str, Any] | None = Field(
        description="Runs, calls by action, money, contacts, errors and assumed decisions of each version, and the "
        "events that they answer otherwise."
    )
    error: str | None = Field(description="Why it failed.")
    actor: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


async def create_backtest(hub: Hub, workspace: str, wanted: NewBacktest, actor: str) -> BacktestJob:
    """Queue a backtest. Raises NotFoundError for an unknown recipe or version, MalformedError for a text with faults,
    wrong inputs, or a span that retention has cut."""
    version = await version_of(
        hub, workspace, wanted.recipe, source=wanted.source, number=wanted.version, templates=wanted.templates
    )
    against = await _other(hub, workspace, wanted)
    until = wanted.until or hub.clock.now()
    since = wanted.since or until - span_in(wanted.last or "30d")
    if since >= until:
        raise MalformedError("the span ends before it begins")
    trial = wanted_trial(hub, workspace, version, since, until, against, wanted.differences, wanted.inputs)
    try:
        await refuse_cut(hub, trial)
    except PermanentError as e:
        raise MalformedError(str(e)) from e
    job_id = new_id()
    async with hub.database.transaction() as db:
        await store.create(db, job_id, workspace, wanted.recipe, _stored(trial), actor)
        detail = to_json({"recipe": wanted.recipe, "since": since.isoformat(), "until": until.isoformat()})
        await audit.note(db, Deed(workspace, actor, "create", f"backtest/{job_id}", {}), detail)
    hub.bells.ring("backtests", elsewhere=True)
    return await get_backtest(hub, workspace, job_id)


async def _other(hub: Hub, workspace: str, wanted: NewBacktest) -> Version | None:
    if wanted.against_source is not None:
        templates = wanted.templates if wanted.against_templates is None else wanted.against_templates
        return await version_of(hub, workspace, wanted.recipe, source=wanted.against_source, templates=templates)
    if wanted.against is None:
        return None
    number = None if wanted.against == "current" else wanted.against
    return await version_of(hub, workspace, wanted.recipe, number=number)


def _stored(trial: Trial) -> dict[str, Any]:
    return {
        "text": asdict(trial.text), "against": asdict(trial.against) if trial.against else None,
        "since": trial.since.isoformat(), "until": trial.until.isoformat(), "inputs": trial.inputs,
        "shown": trial.shown,
    }  # fmt: skip


def _trial(row: Row) -> Trial:
    wanted = row["wanted"]
    since, until = (datetime.fromisoformat(wanted[name]) for name in ("since", "until"))
    return Trial(
        row["workspace"], row["recipe"], Text(**wanted["text"]), since, until,
        Text(**wanted["against"]) if wanted["against"] else None, wanted["inputs"], wanted["shown"],
    )  # fmt: skip


async def get_backtest(hub: Hub, workspace: str, job_id: UUID) -> BacktestJob:
    """Raises NotFoundError."""
    async with hub.database.acquire() as db:
        row = await store.load(db, workspace, job_id)
    if row is None:
        raise NotFoundError("there is no such backtest")
    return shown(row)


def shown(row: Row) -> BacktestJob:
    wanted = {"since": row["wanted"]["since"], "until": row["wanted"]["until"]}
    compared = row["wanted"]["against"] is not None
    return BacktestJob.model_validate({**dict(row), **wanted, "compared": compared})


async def cancel_backtest(hub: Hub, workspace: str, job_id: UUID, actor: str) -> BacktestJob:
    """Raises NotFoundError, and ConflictError for one that has ended."""
    found = await get_backtest(hub, workspace, job_id)
    async with hub.database.transaction() as db:
        if not await store.cancel(db, workspace, job_id):
            raise ConflictError(f"the backtest is {found.state}: only one that is queued or running can be cancelled")
        await audit.note(db, Deed(workspace, actor, "cancel", f"backtest/{job_id}", {}), "{}")
    return await get_backtest(hub, workspace, job_id)


# --- working them -----------------------------------------------------------------------------------------------


@dataclass
class Backtests:
    """The worker's side: one backtest at a time, beside everything else."""

    hub: Hub
    at_work: asyncio.Task[None] | None = None
    stopping: bool = False
    said: tuple[int, float] = field(default=(0, 0.0))

    async def drain(self) -> bool:
        """Begin a backtest if one is wanted and none is at work here."""
        if self.stopping or (self.at_work is not None and not self.at_work.done()):
            return False
        async with self.hub.database.transaction() as db:
            row = await store.claim(db, self.hub.name, SILENT, BEGUN)
        if row is not None:
            self.at_work = asyncio.create_task(self._work(row["id"], _trial(row)))
        return False

    async def stop(self) -> None:
        """End what is at work; another process begins it anew."""
        self.stopping = True
        if self.at_work is not None:
            self.at_work.cancel()
            await asyncio.gather(self.at_work, return_exceptions=True)

    async def _work(self, job_id: UUID, trial: Trial) -> None:
        self.said = (0, 0.0)
        whole = max(trial.until - trial.since, timedelta(seconds=1))

        def progress(events: int, at: datetime) -> None:
            self.said = (events, min(1.0, max(0.0, (at - trial.since) / whole)))

        trying = asyncio.create_task(try_out(self.hub, trial, progress, apart=True))
        try:
            while not trying.done():
                await asyncio.wait([trying], timeout=BEAT)
                if not trying.done() and not await self._heard(job_id):
                    return
            await self._end(job_id, trying)
        except asyncio.CancelledError:
            with suppress(*AWAY):
                async with self.hub.database.acquire() as db:
                    await store.give_back(db, job_id, self.hub.name)
            raise
        finally:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
            self.hub.bells.ring("backtests")

    async def _heard(self, job_id: UUID) -> bool:
        """Tell how far it is; False when it is to end. A database that is away is asked again."""
        try:
            async with self.hub.database.acquire() as db:
                return await store.heard(db, job_id, self.hub.name, *self.said)
        except AWAY:
            return True

    async def _end(self, job_id: UUID, trying: "asyncio.Task[Any]") -> None:
        error = trying.exception()
        if error is not None:
            log.warning("a backtest failed", backtest=str(job_id), exc_info=error)
        report = None if error is not None else trying.result().as_json()
        async with self.hub.database.acquire() as db:
            await store.heard(db, job_id, self.hub.name, *self.said)
            await store.end(db, job_id, self.hub.name, report, str(error)[:1000] if error is not None else None)
