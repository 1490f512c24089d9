"""One recipe over made-up time: events happen, time passes, people answer, and every call is captured, not made.

Nothing is stored and nothing sleeps: the same decisions (`why_not`, `once_of`) and the same walk as in a running hub,
with rows kept in memory. Tests of recipes and dry runs stand on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel

from app import events as canonical
from app.connector import Action, Connector
from app.crypto import Hasher
from app.domain.connections import Connection
from app.domain.recipes import ActiveRecipe, outline_of
from app.domain.zones import customer_zone, zone_of
from app.events import Event, Ref
from app.expressions import EvaluationError
from app.ids import new_id
from app.pipeline.match import event_scope, once_of, why_not
from app.pipeline.match.explain import false_part
from app.pipeline.run import effect_key
from app.pipeline.run.advance import LIMITS, Walk
from app.pipeline.run.facts import Facts, Heard, Surroundings
from app.pipeline.run.leave import HIGHEST
from app.recipes import Call, Recipe, say_duration
from app.store.calls import NewCall
from app.store.packing import unpack_json
from app.store.runs import CallRow, StepRow

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
ROUNDS = 500
"""Walks of one run at one moment, at most: a recipe cannot need more steps than that."""
KEPT = 5_000
"""Values of `once_per` and effects that a long history remembers."""
FIRST_RETRY = timedelta(minutes=1)
MOST_ATTEMPTS = 10
HASHER = Hasher(b"simulation")
OPEN = ("running", "waiting")
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Told:
    """What an action is told to answer to one attempt: an output (as much of it as matters), or how it fails."""

    output: Mapping[str, Any] = field(default_factory=dict)
    fails: Literal["retryable", "permanent", "unsure", "credential"] | None = None
    message: str = ""


@dataclass(slots=True)
class Captured:
    """A call that would be made. use: `connector.action` as the recipe says it; values: its input as plain JSON."""

    run_id: UUID
    use: str
    step: str
    item: str | None
    at: datetime
    values: Any
    connection: str
    state: str = "due"
    due_at: datetime | None = None
    attempts: int = 0
    output: Any = None
    error: str | None = None
    assumed: bool = False


@dataclass
class SimulatedRun:
    """A run as its rows would be."""

    facts: Facts
    scope: dict[str, Any]
    once_key: str | None
    state: str = "running"
    reason: str | None = None
    due_at: datetime | None = None
    steps: dict[str, StepRow] = field(default_factory=dict)
    calls: list[Captured] = field(default_factory=list)
    after: "SimulatedRun | None" = None

    @property
    def stopped(self) -> bool:
        """Whether a `stop` ended it."""
        return any(row.kind == "stop" and row.state == "done" for row in self.steps.values())

    def rows(self) -> dict[str, list[CallRow]]:
        found: dict[str, list[CallRow]] = {}
        for call in self.calls:
            row = CallRow(call.run_id, call.step, call.item, call.state, call.output, call.error)
            found.setdefault(call.step, []).append(row)
        return found


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the simulated world, as `match` takes it."""

    id: UUID
    workspace: str
    connection: Connection | None
    event: Event
    test: bool
    occurred_at: datetime


@dataclass
class Simulation:
    """One recipe with its inputs.

    told: answers by step path or `connector.action`, one after another; a call that nothing is told of gets a made-up
    output (`assumed`). recorded: answers for the runs of single events, instead of those that are told to all. reach:
    how a call finds its connection, where there are real ones; systems that are not connected yet count as connected.
    """

    recipe: Recipe
    connectors: Mapping[str, Connector[Any]]
    inputs: Mapping[str, Any]
    told: Mapping[str, Sequence[Told]] = field(default_factory=dict)
    now: datetime = START
    shop: Connection | None = None
    zone: ZoneInfo = UTC_ZONE
    reach: Callable[[Facts, Call], Connection | str] | None = None
    recorded: dict[UUID, Mapping[str, Sequence[Told]]] = field(default_factory=dict)
    runs: list[SimulatedRun] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    calls: list[Captured] = field(default_factory=list)
    _events: list[Heard] = field(default_factory=list)
    _taken: dict[str, int] = field(default_factory=dict)
    _answered: dict[str, int] = field(default_factory=dict)
    _once: dict[str, tuple[SimulatedRun, datetime | None]] = field(default_factory=dict)
    _places: dict[str, list[datetime]] = field(default_factory=dict)
    _effects: dict[bytes, Captured] = field(default_factory=dict)
    _made: dict[tuple[str, str | None], Connection] = field(default_factory=dict)

    # --- what happens --------------------------------------------------------------------------------------------

    def happen(
        self, type_: str, data: BaseModel, *, connection: str | None = None, platform: str | None = None,
        occurred_at: datetime | None = None, test: bool = False, historical: bool = False,
    ) -> None:  # fmt: skip
        """An event comes in now. One that says the same as an earlier one is dropped, as a hub does."""
        ref, subject = _refs(type_, data)
        event = Event(type_, ref, subject, occurred_at or self.now, data, test=test, historical=historical)
        self.come(event, self.source(connection, platform))

    def come(self, event: Event, source: Connection | None) -> None:
        """An event comes in now as its source states it."""
        self.state(Happened(new_id(), "main", source, event, event.test, event.occurred_at or self.now))

    def state(self, fact: Happened) -> None:
        """Match an event, and let all runs go on as far as they can."""
        identity = f"{fact.event.type} {fact.event.object} {fact.event.occurrence() if _once_only(fact) else fact.id}"
        if identity in self._taken:
            return
        self._taken[identity] = 1
        if outline_of(self.recipe).awaits:
            self._events.append(_heard(fact))
        if fact.event.type in self.recipe.events:
            self._begin(fact)
        for run in self.runs:
            if run.state in OPEN:
                self._go(run)

    def run_for(self, type_: str) -> None:
        """A slot of the recipe's schedule comes."""
        slot = {"recipe": self.recipe.name, "schedule": type_, "at": self.now}
        self.happen("schedule.due", canonical.ScheduleEvent.model_validate({"slot": slot}))

    def forward(self, span: timedelta) -> None:
        """Time passes, and what comes due in it is done at its moment."""
        end = self.now + span
        while (moment := self._next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            for run in list(self.runs):
                if run.state in OPEN:
                    self._go(run)
        self.now = end

    def decide(self, step: str, approved: bool, note: str | None = None) -> bool:
        """A person answers an `approve`; False when none of the name waits for an answer."""
        answered = False
        for run in self.runs:
            row = run.steps.get(step)
            if run.state in OPEN and row is not None and row.state == "running" and row.kind == "approve":
                said = {"approved": approved, "timed_out": False, "by": "somebody", "note": note}
                run.steps[step] = replace(row, output={**(row.output or {}), **said, "decided_at": _text(self.now)})
                self._go(run)
                answered = True
        return answered

    def forget_ended(self) -> None:
        """Let go of runs that ended and all that only they needed: a long history stays small."""
        for run in self.runs:
            if run.state not in OPEN:
                run.scope, run.steps = {}, {}
                for call in run.calls:
                    call.values = None
        self.runs = [run for run in self.runs if run.state in OPEN]
        self.decisions.clear()
        waiting = {run.facts.event_id for run in self.runs}
        self.recorded = {event_id: told for event_id, told in self.recorded.items() if event_id in waiting}
        if not self.runs:
            self._events.clear()
            self._taken.clear()
            self._answered.clear()
        if len(self._once) > 2 * KEPT:
            self._once = dict(list(self._once.items())[-KEPT:])
        if len(self._effects) > 2 * KEPT:
            self._effects = dict(list(self._effects.items())[-KEPT:])

    def _next(self) -> datetime | None:
        due = [run.due_at for run in self.runs if run.state in OPEN and run.due_at is not None]
        due += [c.due_at for r in self.runs if r.state in OPEN for c in r.calls if c.state == "due" and c.due_at]
        later = [moment for moment in due if moment > self.now]
        return min(later) if later else None

    # --- beginning -----------------------------------------------------------------------------------------------

    def _begin(self, fact: Happened) -> None:
        active = ActiveRecipe("main", new_id(), 1, self.recipe, self.inputs, True, False)
        refused = why_not(active, fact)
        scope = {**outline_of(self.recipe).absent, **event_scope(fact), "inputs": self.inputs, "now": self.now}
        scope["steps"] = {}
        try:
            if refused is None and self.recipe.where is not None and not self.recipe.where.evaluate(scope):
                refused = f"where is false: {false_part(self.recipe.where, scope)}"
            key, value = self._key(fact, scope)
        except EvaluationError as e:
            refused, key, value = f"could not be decided: {e}", None, ""
        if refused is not None:
            self.decisions.append(refused)
            return
        self._start(fact, scope, key, value)

    def _key(self, fact: Happened, scope: dict[str, Any]) -> tuple[str | None, str]:
        kind, value = once_of(fact)
        once = self.recipe.once_per
        if once is not None:
            kind, value = "value", str(once.value.evaluate(scope))
        key = f"{kind}:{value}" if once is not None or kind == "object" else None
        own = once is not None and (once.within is not None or self.recipe.again == "queue")
        return key, f"{kind}:{value}#{fact.id}" if own else f"{kind}:{value}"

    def _start(self, fact: Happened, scope: dict[str, Any], key: str | None, value: str) -> None:
        earlier, free_at = self._once.get(key, (None, None)) if key else (None, None)
        after = None
        if earlier is not None and (free_at is None or free_at > self.now):
            if self.recipe.again == "restart" and earlier.state in OPEN and not earlier.calls:
                earlier.state, earlier.reason = "cancelled", "a later event took its place"
            elif self.recipe.again == "queue":
                after = earlier
            else:
                self.decisions.append(f"ran already for {value}")
                return
        facts = Facts(
            new_id(), "main", self.recipe, fact.id, fact.connection, b"", value, 0, False,
            (fact.event.subject.kind, fact.event.subject.id),
        )  # fmt: skip
        run = SimulatedRun(facts, scope, key, after=after)
        within = self.recipe.once_per.within if self.recipe.once_per else None
        if key is not None:
            self._once[key] = (run, self.now + within if within else None)
        self.runs.append(run)
        self.decisions.append("run")

    # --- going on ------------------------------------------------------------------------------------------------

    def _go(self, run: SimulatedRun) -> None:
        """Walk a run until nothing moves at this moment."""
        if run.after is not None and run.after.state in OPEN:
            return
        for _ in range(ROUNDS):
            moved = self._attempt_all(run)
            walk = self._walk(run)
            moved |= self._take(run, walk)
            if run.state not in OPEN:
                break
            if not moved:
                return
        for other in self.runs:
            if other.after is run and other.state in OPEN:
                self._go(other)

    def _walk(self, run: SimulatedRun) -> Walk:
        heard = [each for each in self._events if each.id > run.facts.event_id]
        around = Surroundings(self._target, _action, _effect_key, self.now, self._zone)
        return Walk(run.facts, around, {**run.scope, "now": self.now}, run.steps, run.rows(), heard, True).go()

    def _take(self, run: SimulatedRun, walk: Walk) -> bool:
        """Keep what a walk would write; whether that is anything."""
        if walk.asks_leave and walk.state in OPEN:
            self._leave(run, walk)
        for step in walk.new_steps:
            output = None if step.output is None else orjson.loads(step.output)
            row = StepRow(step.id, step.run_id, step.path, step.kind, step.state, output, step.error, step.due_at)
            run.steps[step.path] = row
        paths = {row.id: path for path, row in run.steps.items()}
        for step_id, state, text, error in walk.ended_steps:
            output = None if text is None else orjson.loads(text)
            run.steps[paths[step_id]] = replace(run.steps[paths[step_id]], state=state, output=output, error=error)
        for step_id, text, due_at in walk.changed_steps:
            row = run.steps[paths[step_id]]
            run.steps[paths[step_id]] = replace(row, output=orjson.loads(text), due_at=due_at or row.due_at)
        for call in walk.new_calls:
            self._capture(run, call)
        run.state, run.reason, run.due_at = walk.state, walk.reason, walk.due_at
        if run.state == "cancelled":
            for captured in run.calls:
                captured.state = "cancelled" if captured.state == "due" else captured.state
        for each in walk.emitted:
            self._emitted(run, each.event, each.data)
        return bool(walk.new_steps or walk.ended_steps or walk.new_calls)

    def _emitted(self, run: SimulatedRun, type_: str, text: str) -> None:
        data = canonical.load(type_, canonical.SCHEMA_VERSION, text)
        kind, about = run.facts.about or ("run", str(run.facts.run_id))
        event = Event(type_, Ref("emitted", str(new_id())), Ref(kind, about), self.now, data, part=str(new_id()))
        self.state(Happened(new_id(), "main", run.facts.connection, event, False, self.now))

    def _leave(self, run: SimulatedRun, walk: Walk) -> None:
        """The places under the recipe's limits, counted in memory."""
        until = None
        keys = []
        for limit in self.recipe.limits:
            try:
                value = limit.per.evaluate(walk.scope)
            except EvaluationError:
                value = None
            if value is None:
                continue
            key = str(value).strip().lower()
            keys.append(key)
            recent = sorted(at for at in self._places.get(key, ()) if at > self.now - limit.within)
            if len(recent) >= limit.at_most:
                if limit.over == "skip":
                    walk.state = "cancelled"
                    walk.reason = f"the limit of {limit.at_most} in {say_duration(limit.within)} is reached"
                    walk.due_at = None
                    return
                free = recent[-limit.at_most] + limit.within
                until = free if until is None else max(until, free)
        row = run.steps.get(LIMITS) or StepRow(new_id(), run.facts.run_id, LIMITS, LIMITS, "running", None, None, until)
        if until is not None:
            walk.put_off(row, LIMITS not in run.steps, until + timedelta(milliseconds=HIGHEST - self.recipe.priority))
            return
        for key in keys:
            self._places.setdefault(key, []).append(self.now)
        walk.granted(row, LIMITS not in run.steps)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _capture(self, run: SimulatedRun, call: NewCall) -> None:
        step = self.recipe.step(call.path)
        assert isinstance(step.does, Call)  # noqa: S101 (only such steps make calls)
        connection = next(c.slug for c in self._made.values() if c.id == call.connection_id)
        made = Captured(
            run.facts.run_id, step.does.use, call.path, call.item, self.now, unpack_json(call.input), connection
        )
        known = self._effects.get(call.effect_key)
        if known is not None and known.state == "done":
            made.state, made.output = "done", known.output
        else:
            self._effects[call.effect_key] = made
            self.calls.append(made)
        run.calls.append(made)

    def _attempt_all(self, run: SimulatedRun) -> bool:
        tried = False
        for call in run.calls:
            if call.state == "due" and (call.due_at is None or call.due_at <= self.now):
                self._attempt(run, call)
                tried = True
        return tried

    def _attempt(self, run: SimulatedRun, call: Captured) -> None:
        """One try of a call, answered as told."""
        step = self.recipe.step(call.step)
        does = step.does
        assert isinstance(does, Call)  # noqa: S101 (only such steps make calls)
        target = self._target(run.facts, does)
        action = None if isinstance(target, str) else _action(target, does)
        told = self._answer(run, call)
        call.attempts += 1
        call.assumed = told is None
        told = told or Told()
        if told.fails is None:
            call.state, call.output = "done", output_of(action, told.output)
            return
        call.error = told.message or told.fails
        if_unsure = does.if_unsure or (action.if_unsure if action else "ask")
        most = does.retry.attempts if does.retry and does.retry.attempts else MOST_ATTEMPTS
        if told.fails == "permanent" or call.attempts >= most:
            call.state = "dead"
        elif told.fails == "unsure" and if_unsure != "repeat":
            call.state = "uncertain" if if_unsure == "ask" else "skipped"
        else:
            call.due_at = self.now + FIRST_RETRY * 2 ** (call.attempts - 1)

    def _answer(self, run: SimulatedRun, call: Captured) -> Told | None:
        told = self.recorded.get(run.facts.event_id, self.told)
        name = next((name for name in (call.step, call.step.partition("[")[0], call.use) if name in told), None)
        if name is None:
            return None
        key = f"{run.facts.event_id if told is not self.told else ''} {name}"
        answers, used = told[name], self._answered.get(key, 0)
        self._answered[key] = used + 1
        return answers[min(used, len(answers) - 1)] if answers else None

    # --- what lies around ----------------------------------------------------------------------------------------

    def source(self, slug: str | None, platform: str | None) -> Connection | None:
        """The connection that sends an event: as the event says it, else a shop that can do what the recipe wants."""
        if slug is None and platform is None and self.shop is not None:
            return self.shop
        wanted = {each.does.action for each in self.recipe.all_steps() if isinstance(each.does, Call)
                  and each.does.connector == "store"}  # fmt: skip
        named = next((t for t in self.recipe.triggers if t.connection or t.platform), None)
        platform = platform or (named.platform if named else None)
        slug = slug or (named.connection if named else None)
        fitting = [c for c in self.connectors.values() if c.source is not None and wanted <= set(c.store)]
        chosen = self.connectors.get(platform or "") or next(iter(fitting), None)
        return None if chosen is None else self._connection(chosen, slug)

    def _connection(self, connector: Connector[Any], slug: str | None = None) -> Connection:
        key = (connector.slug, slug)
        if key not in self._made:
            self._made[key] = Connection(
                new_id(),
                "main",
                slug or connector.slug,
                connector,
                "",
                None,
                connector.settings.model_construct(),
                None,
                False,
                "",
                START,
            )
        return self._made[key]

    def _target(self, facts: Facts, call: Call) -> Connection | str:
        if self.reach is not None:
            found = self.reach(facts, call)
            if not isinstance(found, str):
                self._made.setdefault((found.connector.slug, found.slug), found)
                return found
        if call.connector == "store":
            if facts.connection is None:
                return "the event came from no store"
            self._made.setdefault((facts.connection.connector.slug, facts.connection.slug), facts.connection)
            return facts.connection
        connector = self.connectors.get(call.connector)
        return f"there is no connector {call.connector}" if connector is None else self._connection(connector)

    def _zone(self, facts: Facts, name: str | None, scope: Mapping[str, Any]) -> ZoneInfo:
        if name == "customer":
            return customer_zone(scope) or self.zone
        return self.zone if name in (None, "shop") else zone_of(name) or self.zone


def _action(connection: Connection, call: Call) -> Action | None:
    name = connection.connector.store.get(call.action) if call.connector == "store" else call.action
    return next((action for action in connection.connector.actions if action.name == name), None)


def _effect_key(facts: Facts, step: Any, target: Connection, item: str | None) -> bytes:
    return effect_key(HASHER, facts, step, target, item)


def output_of(action: Action | None, told: Mapping[str, Any]) -> Any:
    """An output as plain JSON: what was told, and a made-up value for each field that must be there."""
    if action is None:
        return dict(told)
    filled = {**sample(action.output), **told}
    return orjson.loads(action.output.model_validate(filled).model_dump_json(exclude_none=True))


def sample(model: type[BaseModel]) -> dict[str, Any]:
    """The least that makes a valid value of a model; what cannot be guessed is left out."""
    found: dict[str, Any] = {}
    for name, each in model.model_fields.items():
        if each.is_required():
            found[name] = next((v for v in _guesses(name, each.annotation) if _fits(model, name, v)), None)
    return found


def _guesses(name: str, annotation: Any) -> list[Any]:
    nested = [sample(annotation)] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    return [*nested, f"{name}-1", 1, True, [], {}, "2026-01-05T10:00:00Z", {"amount": "1.00", "currency": "EUR"},
            "https://example.com/1", "a@example.com"]  # fmt: skip


def _fits(model: type[BaseModel], name: str, value: Any) -> bool:
    try:
        model.__pydantic_validator__.validate_assignment(model.model_construct(), name, value)
    except (ValueError, TypeError):
        return False
    return True


def _heard(fact: Happened) -> Heard:
    slug, platform = (fact.connection.slug, fact.connection.connector.slug) if fact.connection else (None, None)
    stored = {
        "id": str(fact.id), "type": fact.event.type, "schema": canonical.SCHEMA_VERSION,
        "data": canonical.plain(fact.event.data), "occurred_at": fact.occurred_at.isoformat(), "connection": slug,
        "platform": platform, "test": fact.test, "historical": fact.event.historical,
    }  # fmt: skip
    return Heard(fact.id, fact.event.type, slug, event_scope(fact), stored)


def _refs(type_: str, data: BaseModel) -> tuple[Ref, Ref]:
    """Object and subject of an event that a file states: its own noun, and the order or customer that it is about."""
    kind = canonical.event_type(type_).noun
    thing = getattr(data, kind, None)
    ref = Ref(kind, str(getattr(thing, "id", None) or new_id()))
    order = getattr(data, "order", None)
    return ref, Ref("order", str(order.id)) if order is not None and order.id else ref


def _once_only(fact: Happened) -> bool:
    return canonical.event_type(fact.event.type).milestone


def _text(moment: datetime) -> str:
    return moment.isoformat()
