"""Privacy requests carried out: each is a due row, worked in batches until nothing of the person is left."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app import events as canonical
from app.crypto import Hasher
from app.domain import erasure
from app.domain.erasure import Job, Request
from app.domain.facts import Fact
from app.events import PrivacyEvent
from app.ids import new_id, time_of
from app.store import deadlines
from app.store import erasure as store
from app.store import events as stored_events
from app.store.database import Connection as Db
from app.store.database import Row
from app.store.deadlines import Deadline
from app.store.packing import pack, unpack

ERASE = "erase"
LOOK_AGAIN = timedelta(minutes=1)
"""While calls of the person are still in flight."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an erasure is; `open_calls` have not ended."""

    done: bool
    events: int
    webhooks: int
    open_calls: int


def asked(hasher: Hasher, fact: Fact, now: datetime) -> Deadline | None:
    """The row by which a privacy request is carried out; None for other events. Requests of test shops are too."""
    if fact.event.type not in ("privacy.customer_redacted", "privacy.shop_redacted"):
        return None
    data = {"event_id": str(fact.id), **Job("privacy request").dump()}
    key = hasher("timer", ERASE, fact.id.bytes)
    return Deadline(new_id(), fact.connection.workspace, ERASE, fact.connection.id, key, data, now)


def asked_by_hand(hasher: Hasher, workspace: str, customer_id: UUID, actor: str, now: datetime) -> Deadline:
    """The row by which an operator's request is carried out."""
    data = {"customer_id": str(customer_id), **Job(actor).dump()}
    id_ = new_id()
    return Deadline(id_, workspace, ERASE, None, hasher("timer", ERASE, id_.bytes), data, now)


async def carry_out(db: Db, hasher: Hasher, now: datetime, only: UUID | None = None) -> Progress | None:
    """Work on one due request (or on that one) in the caller's transaction; None when none is due, or another process
    works on it."""
    due = await (deadlines.claim(db, [ERASE], now, 1) if only is None else deadlines.claim_one(db, only))
    if not due:
        return None
    timer, job = due[0], Job.load({"actor": "privacy request", **due[0]["data"]})
    event = await _event(db, timer)
    request = _request(timer, event)
    if request is None:
        await deadlines.remove(db, [timer["id"]])
        return Progress(True, 0, 0, 0)
    went = await erasure.step(db, hasher, request, job, time_of(timer["id"]))
    if went == "done":
        await _done(db, timer, event, job)
    else:
        due_at = now + LOOK_AGAIN if went == "waits" else now
        await deadlines.postpone(db, timer["id"], due_at, timer["data"] | job.dump())
    return Progress(went == "done", job.events, job.webhooks, len(job.open))


async def progress(db: Db, timer_id: UUID, before: Progress) -> Progress:
    """How far an erasure is that another process works on."""
    data = await deadlines.data_of(db, timer_id)
    if data is None:
        return Progress(True, before.events, before.webhooks, 0)
    job = Job.load({"actor": "", **data})
    return Progress(False, job.events, job.webhooks, len(job.open))


async def _event(db: Db, timer: Row) -> Row | None:
    """The privacy request as it was stored; None for an operator's."""
    said = timer["data"].get("event_id")
    return (await stored_events.load(db, [UUID(said)])).get(UUID(said)) if said else None


async def _done(db: Db, timer: Row, event: Row | None, job: Job) -> None:
    await deadlines.remove(db, [timer["id"]])
    if event is None:
        return
    said = canonical.load(event["type"], event["schema_version"], unpack(event["data"]))
    left = canonical.load(event["type"], canonical.SCHEMA_VERSION, erasure.stripped(canonical.plain(said)))
    note = f"erased: {job.events} events, {len(job.customers)} customers"
    await store.blank_request(db, event, pack(canonical.dump(left)), note)


def _request(timer: Row, event: Row | None) -> Request | None:
    """Who is meant; None if the event that said so is gone."""
    workspace, by_hand = timer["workspace"], timer["data"].get("customer_id")
    if by_hand:
        return Request(workspace, customers=(UUID(by_hand),))
    if event is None:
        return None
    said: Any = canonical.load(event["type"], event["schema_version"], unpack(event["data"]))
    asked_for = said.request if isinstance(said, PrivacyEvent) else None
    return Request(
        workspace=workspace,
        connection_id=timer["connection_id"],
        customer_id=asked_for.customer_id if asked_for else None,
        email=asked_for.email if asked_for else None,
        phone=asked_for.phone if asked_for else None,
        orders=tuple(asked_for.order_ids or ()) if asked_for else (),
        everything=event["type"] == "privacy.shop_redacted",
    )
