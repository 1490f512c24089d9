"""Events that come of time and of recipes: what recipes emit, and the slots of their schedules, as due rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from app import events as canonical
from app.domain.connections import Connection
from app.domain.recipes import ActiveRecipe
from app.events import Event, Ref
from app.ids import new_id
from app.logs import traced
from app.pipeline.match import Matched, Matcher
from app.recipes import Schedule, parse_cron
from app.store import events as store
from app.store import timers
from app.store.database import Connection as Db
from app.store.database import Database, batch_or_each, is_refused, to_json
from app.store.events import NewEvent
from app.store.packing import pack
from app.store.timers import Timer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TimedFact:
    """An event that no webhook brought. connection: the source of the run that emitted it; None for a schedule."""

    id: UUID
    workspace: str
    connection: Connection | None
    event: Event
    test: bool
    occurred_at: datetime


@dataclass
class Timed:
    """The drain with what it needs."""

    database: Database
    matcher: Matcher
    batch: int = 200
    _scheduled: int = -1

    async def drain(self) -> bool:
        """State the events that are due; True when there may be more."""
        now = self.matcher.clock.now()
        async with self.database.transaction() as db:
            await self._keep_schedules(db, now)
        return await batch_or_each(partial(self._batch, now), partial(self._one_by_one, now))

    async def _batch(self, now: datetime) -> bool:
        async with self.database.transaction() as db:
            due = await timers.claim(db, now, self.batch)
            matched = await self._state(db, due, now) if due else Matched()
        await self.matcher.after_commit(matched)
        return len(due) == self.batch

    async def _one_by_one(self, now: datetime) -> bool:
        """A batch failed for one timer: that one (of a schedule: this slot) is given up, the others are stated."""
        for _ in range(self.batch):
            async with self.database.transaction() as db:
                due = await timers.claim(db, now, 1)
                if not due:
                    return False
                try:
                    async with db.transaction():
                        matched = await self._state(db, due, now)
                except Exception as e:
                    if not is_refused(e):
                        raise
                    (timer,) = due
                    log.error("an event cannot be stated", timer=str(timer.id), kind=timer.kind, **traced(e))
                    matched = Matched()
                    if timer.kind == "event":
                        await timers.remove(db, [timer.id])
                    else:
                        await timers.move(db, [(timer.id, _next(self.matcher, timer, now))])
            await self.matcher.after_commit(matched)
        return True

    async def _keep_schedules(self, db: Db, now: datetime) -> None:
        """Timers for the schedules of the recipes as they are now, after the recipes changed."""
        recipes = self.matcher.recipes
        if recipes.refreshed == self._scheduled:
            return
        wanted = [
            _timer(self.matcher, active, schedule, now)
            for active in recipes
            if active.enabled
            for schedule in active.recipe.schedules
        ]
        await timers.insert(db, wanted)
        await timers.keep_schedules(db, [timer.key for timer in wanted])
        self._scheduled = recipes.refreshed

    async def _state(self, db: Db, due: Sequence[Timer], now: datetime) -> Matched:
        facts, moved = [], []
        for timer in due:
            if timer.kind == "schedule":
                facts.append(_slot(timer))
                moved.append((timer.id, _next(self.matcher, timer, now)))
            elif (fact := self._emitted(timer)) is not None:
                facts.append(fact)
        keyed = {self._identity(fact): fact for fact in facts}
        fresh = await store.claim_identities(db, [(key, fact.id) for key, fact in keyed.items()])
        new = [fact for key, fact in keyed.items() if key in fresh]
        matched = await self.matcher.match(db, new)
        await store.insert(db, [_row(fact, matched) for fact in new])
        await timers.move(db, moved)
        await timers.remove(db, [timer.id for timer in due if timer.kind == "event"])
        return matched

    def _identity(self, fact: TimedFact) -> bytes:
        source = fact.connection.id.bytes if fact.connection else fact.workspace.encode()
        event = fact.event
        return self.matcher.hasher(
            "event", source, event.object.kind, event.object.id, event.type, event.occurrence() or ""
        )

    def _emitted(self, timer: Timer) -> TimedFact | None:
        said = timer.data
        try:
            data = canonical.load(said["type"], canonical.SCHEMA_VERSION, said["data"])
        except ValueError as e:
            log.warning("an emitted event cannot be read", timer=str(timer.id), error=type(e).__name__)
            return None
        event = Event(
            type=said["type"],
            object=Ref("emitted", said["object_id"]),
            subject=Ref(said["subject_kind"], said["subject_id"]),
            occurred_at=timer.due_at,
            data=data,
            part=said["object_id"],
            test=bool(said.get("test")),
        )
        connection = self.matcher.connections.get(timer.connection_id)
        return TimedFact(timer.id, timer.workspace, connection, event, event.test, timer.due_at)


def _timer(matcher: Matcher, active: ActiveRecipe, schedule: Schedule, now: datetime) -> Timer:
    zone = schedule.timezone or ""
    key = matcher.hasher("schedule", active.workspace, active.name, schedule.cron, zone)
    data = {"recipe": active.name, "cron": schedule.cron, "timezone": schedule.timezone}
    due_at = parse_cron(schedule.cron).after(now, matcher.recipes.zone(active.workspace, schedule.timezone, {}))
    return Timer(new_id(), active.workspace, "schedule", None, key, to_json(data), due_at)


def _next(matcher: Matcher, timer: Timer, now: datetime) -> datetime:
    """The slot after now: what was missed while nothing ran is stated once, not again and again."""
    zone = matcher.recipes.zone(timer.workspace, timer.data["timezone"], {})
    return parse_cron(timer.data["cron"]).after(max(now, timer.due_at), zone)


def _slot(timer: Timer) -> TimedFact:
    said = timer.data
    slot = {"recipe": said["recipe"], "schedule": said["cron"], "timezone": said["timezone"], "at": timer.due_at}
    data = canonical.ScheduleEvent.model_validate({"slot": slot})
    name = f"{said['recipe']}/{said['cron']}/{canonical.iso(timer.due_at)}"
    event = Event("schedule.due", Ref("slot", name), Ref("schedule", said["recipe"]), timer.due_at, data)
    return TimedFact(new_id(), timer.workspace, None, event, False, timer.due_at)


def _row(fact: TimedFact, matched: Matched) -> NewEvent:
    event, source = fact.event, fact.connection.id if fact.connection else None
    customer = canonical.customer_of(event.data)
    values: dict[str, Any] = {
        "id": fact.id, "workspace": fact.workspace, "type": event.type, "connection_id": source, "webhook_id": None,
        "object_kind": event.object.kind, "object_id": event.object.id, "subject_connection_id": source,
        "subject_kind": event.subject.kind, "subject_id": event.subject.id, "version": None,
        "occurred_at": fact.occurred_at, "data": pack(canonical.dump(event.data)),
        "schema_version": canonical.SCHEMA_VERSION, "test": fact.test, "historical": False, "note": None, "echo": None,
        "number": getattr(getattr(event.data, "order", None), "number", None),
        "email": customer.email.strip().lower() if customer and customer.email else None, "customer_id": None,
        "decisions": to_json(matched.decisions.get(fact.id, {})), "waiters_due": fact.id in matched.awaited,
    }  # fmt: skip
    return NewEvent(**values)
