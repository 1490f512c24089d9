"""One recipe over made-up time: events happen, time passes, people answer, and every call is captured, not made.

Nothing is stored and nothing sleeps: the same decisions (`why_not`, `once_of`) and the same walk as in a running hub,
with rows kept in memory. Tests of recipes and dry runs stand on it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from heapq import heappop, heappush
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel

from app import events as canonical
from app.connector import Action, Connector
from app.crypto import Hasher
from app.domain.connections import Connection
from app.domain.memory import keys_of, lay_over, merged
from app.domain.recipes import ActiveRecipe, outline_of
from app.domain.zones import customer_zone, zone_of
from app.events import Event, Ref
from app.expressions import EvaluationError
from app.ids import new_id
from app.pipeline.match import event_scope, once_for, why_not
from app.pipeline.match.explain import false_part
from app.pipeline.match.hearing import Hearing, asked_fields
from app.pipeline.match.seen import Aside, Seen
from app.pipeline.match.standins import Told, output_of
from app.pipeline.run import effect_key
from app.pipeline.run.advance import LIMITS, Walk
from app.pipeline.run.facts import Facts, Heard, Remembered, Surroundings
from app.pipeline.run.leave import HIGHEST
from app.recipes import Call, Recipe, Step, say_duration
from app.store.calls import NewCall
from app.store.packing import unpack
from app.store.runs import CallRow, StepRow

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
ROUNDS = 500
"""Walks of one run at one moment, at most: a recipe cannot need more steps than that."""
KEPT = 5_000
"""Effects that a long history remembers, and how often it looks for what counts no more."""
FIRST_RETRY = timedelta(minutes=1)
MOST_ATTEMPTS = 10
HASHER = Hasher(b"simulation")
OPEN = ("running", "waiting")
WAYS = ("add", "remove")
UTC_ZONE = ZoneInfo("UTC")


@dataclass(slots=True)
class Captured:
    """A call that would be made. use: `connector.action` as the recipe says it; input: its JSON text; assumed: what it
    answered is an example."""

    run_id: UUID
    use: str
    step: str
    item: str | None
    at: datetime
    input: bytes
    connection: str
    state: str = "due"
    due_at: datetime | None = None
    attempts: int = 0
    output: Any = None
    error: str | None = None
    assumed: bool = False
    event_id: UUID | None = None

    @property
    def values(self) -> Any:
        """Its input as plain data."""
        return orjson.loads(self.input)


@dataclass
class SimulatedRun:
    """A run as its rows would be. number: of its event, counted as they came; told: answers of its own; heard: what
    came for it; next_at: when it goes on by itself."""

    facts: Facts
    scope: dict[str, Any]
    number: int
    once_key: bytes | None = None
    told: Mapping[str, Sequence[Told]] | None = None
    state: str = "running"
    reason: str | None = None
    due_at: datetime | None = None
    steps: dict[str, StepRow] = field(default_factory=dict)
    calls: list[Captured] = field(default_factory=list)
    after: "SimulatedRun | None" = None
    heard: list[Heard] = field(default_factory=list)
    next_at: datetime | None = None
    answered: Counter[str] = field(default_factory=Counter)
    aside: tuple[int, int] | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN

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


@dataclass(frozen=True)
class Happened:
    """An event of the simulated world, as `match` takes it. reads: what expressions read of it (None: all of it)."""

    id: UUID
    workspace: str
    connection: Connection | None
    event: Event
    test: bool
    occurred_at: datetime
    reads: canonical.Reads | None = None

    @cached_property
    def scope(self) -> Mapping[str, Any]:
        """What expressions may read of it; made once for all that look at it, and changed by none."""
        return event_scope(self, self.reads)


@dataclass
class Simulation:
    """One recipe with its inputs.

    told: answers by step path or `connector.action`, one after another; a call that nothing is told of gets an example
    (`assumed`). reach: how a call finds its connection, where there are real ones; systems that are not connected yet
    count as connected. keeps: ended runs stay in `runs` to be looked at; else they are given to `ended` and forgotten.
    """

    recipe: Recipe
    connectors: Mapping[str, Connector[Any]]
    inputs: Mapping[str, Any]
    told: Mapping[str, Sequence[Told]] = field(default_factory=dict)
    now: datetime = START
    shop: Connection | None = None
    zone: ZoneInfo = UTC_ZONE
    reach: Callable[[Facts, Call], Connection | str] | None = None
    keeps: bool = True
    workspace: str = "main"
    hasher: Hasher = HASHER
    runs: list[SimulatedRun] = field(default_factory=list)
    ended: list[SimulatedRun] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    calls: list[Captured] = field(default_factory=list)
    memory: dict[bytes, Mapping[str, Any]] = field(default_factory=dict)
    _hearing: Hearing = field(init=False)
    _steps: Mapping[str, Step] = field(init=False)
    _open: dict[UUID, SimulatedRun] = field(default_factory=dict)
    _due: list[tuple[datetime, int, UUID]] = field(default_factory=list)
    _behind: dict[UUID, list[SimulatedRun]] = field(default_factory=dict)
    _number: int = 0
    _taken: set[str] = field(default_factory=set)
    _answered: Counter[str] = field(default_factory=Counter)
    _once: dict[bytes, tuple[SimulatedRun | None, datetime | None]] = field(default_factory=dict)
    _seen: Seen = field(default_factory=Seen)
    _aside: Aside | None = None
    _places: dict[str, list[datetime]] = field(default_factory=dict)
    _effects: dict[bytes, Captured] = field(default_factory=dict)
    _made: dict[tuple[str, str | None], Connection] = field(default_factory=dict)
    _actions: dict[tuple[str, str], Action | None] = field(default_factory=dict)
    _targets: dict[tuple[str, str | None, UUID | None], Connection | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hearing = Hearing(asked_fields(self.recipe))
        self._steps = {step.path: step for step in self.recipe.all_steps()}

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
        """An event comes in now as its source states it. One that says the same as an earlier one is dropped."""
        said = f"{event.type} {event.object} {event.occurrence()}"
        if said not in self._taken or not canonical.event_type(event.type).milestone:
            self._taken.add(said)
            self.state(Happened(new_id(), "main", source, event, event.test, event.occurred_at or self.now))

    def state(self, fact: Happened, told: Mapping[str, Sequence[Told]] | None = None) -> None:
        """Match an event, and let the runs that it concerns go on as far as they can. told: answers to the calls of the
        runs that it begins, instead of those that are told to all."""
        self._number += 1
        number = self._number
        if fact.event.type in self.recipe.events:  # as in a hub, where runs begin as their event is stored
            self._begin(fact, told)
        if fact.event.type in self._hearing.fields:
            heard = _heard(fact)
            for run_id in sorted(self._hearing.hear(number, heard, bool(self._open))):
                run = self._open.get(run_id)
                if run is not None and run.number < number:
                    self._take_back(run)
                    run.heard.append(heard)
                    self._go(run)

    def forward(self, span: timedelta) -> None:
        """Time passes, and what comes due in it is done at its moment."""
        end = self.now + span
        while self._due and self._due[0][0] <= end:
            moment, _, run_id = heappop(self._due)
            run = self._open.get(run_id)
            if run is not None and run.next_at == moment:
                self.now = max(self.now, moment)
                run.next_at = None
                self._go(run)
        self.now = max(self.now, end)

    def decide(self, step: str, approved: bool, note: str | None = None) -> bool:
        """A person answers an `approve`, of one item (`ask[A]`) or of all that ask; False when none of the name waits
        for an answer."""
        asked = [
            (run, path, row)
            for run in self._open.values()
            for path, row in run.steps.items()
            if step in (path, path.partition("[")[0]) and row.kind == "approve" and row.state == "running"
            and "title" in (row.output or {})
        ]  # fmt: skip  # who asks only because another was answered is not answered with it
        for run, path, row in asked:
            said = {"approved": approved, "timed_out": False, "by": "somebody", "note": note}
            run.steps[path] = replace(row, output={**(row.output or {}), **said, "decided_at": _text(self.now)})
            self._go(run)
        return bool(asked)

    def open_runs(self) -> Iterable[SimulatedRun]:
        """The runs that have not ended, oldest first."""
        return self._open.values()

    def look_at(self, run: SimulatedRun) -> None:
        """Have an open run whole, with its steps and calls."""
        self._take_back(run)

    def action_of(self, call: Captured) -> Action | None:
        """The action that a call would be; `store.<action>` as the shop that it goes to means it."""
        made = self._actions.get((call.use, call.connection))
        if made is None:
            connection, name = self.connection_of(call), call.use.partition(".")[2]
            if connection is not None:
                name = connection.connector.store.get(name, name) if call.use.startswith("store.") else name
                made = next((action for action in connection.connector.actions if action.name == name), None)
                self._actions[call.use, call.connection] = made
        return made

    def connection_of(self, call: Captured) -> Connection | None:
        """Where a call would go."""
        return next((each for each in self._made.values() if each.slug == call.connection), None)

    def _end(self, run: SimulatedRun) -> None:
        """Let go of a run that ended; who stood behind it goes on."""
        self._open.pop(run.facts.run_id, None)
        oldest = next(iter(self._open.values()), None)
        self._hearing.forget(run.facts.run_id, oldest.number if oldest else None)
        if not self.keeps:
            self.ended.append(run)
            self._forget(run)
        for other in self._behind.pop(run.facts.run_id, ()):
            self._go(other)

    def _forget(self, run: SimulatedRun) -> None:
        """Of a run that ended only its `once_per` value is remembered, as long as it counts."""
        run.scope = {}
        if run.once_key is not None and self._once.get(run.once_key, (None, None))[0] is run:
            _, free_at = self._once.pop(run.once_key)
            if free_at is not None:
                self._once[run.once_key] = (None, free_at)
            elif self.recipe.again != "queue":
                self._seen.add(run.once_key)
        if len(self._once) - len(self._open) > KEPT and self._number % KEPT == 0:
            self._once = {key: (own, at) for key, (own, at) in self._once.items() if own or (at and at > self.now)}
        if len(self._effects) > 2 * KEPT:
            self._effects = dict(list(self._effects.items())[-KEPT:])

    def _put_aside(self, run: SimulatedRun) -> None:
        """What a waiting run needs only when it goes on lies in a file until then."""
        self._aside = self._aside or Aside()
        run.aside = self._aside.put((run.scope, run.steps, run.calls, run.told, run.heard, run.answered))
        run.scope, run.steps, run.calls, run.heard = {}, {}, [], []

    def _take_back(self, run: SimulatedRun) -> None:
        if run.aside is not None and self._aside is not None:
            run.scope, run.steps, run.calls, run.told, run.heard, run.answered = self._aside.take(run.aside)
            run.aside = None

    # --- beginning -----------------------------------------------------------------------------------------------

    def _begin(self, fact: Happened, told: Mapping[str, Sequence[Told]] | None) -> None:
        active = ActiveRecipe("main", new_id(), 1, self.recipe, self.inputs, True, False)
        refused = why_not(active, fact)
        if refused is not None:
            self.decisions.append(refused)
            return
        scope = {**outline_of(self.recipe).absent, **fact.scope, "inputs": self.inputs, "now": self.now}
        scope["steps"] = {}
        seen = self._recalled(scope, fact.connection)
        try:
            if self.recipe.where is not None and not self.recipe.where.evaluate(seen):
                refused = f"where is false: {false_part(self.recipe.where, seen)}"
            key, value = self._key(fact, seen)
        except EvaluationError as e:
            refused, key, value = f"could not be decided: {e}", None, ""
        if refused is not None:
            self.decisions.append(refused)
            return
        self._start(fact, scope, key, value, told)

    def _key(self, fact: Happened, scope: dict[str, Any]) -> tuple[bytes | None, str]:
        """The key of the `once_per` value, where one must be remembered, and what runs know it by."""
        kind, value, within = once_for(self.recipe, fact, scope)
        kept = kind == "value" or (kind == "object" and len(self.recipe.events) > 1)
        key = self.hasher("once", kind, value)[:8] if kept else None
        own = within is not None or self.recipe.again == "queue"
        return key, f"{kind}:{value}#{fact.id}" if own else f"{kind}:{value}"

    def _start(
        self, fact: Happened, scope: dict[str, Any], key: bytes | None, value: str,
        told: Mapping[str, Sequence[Told]] | None,
    ) -> None:  # fmt: skip
        earlier, free_at = self._once.get(key, (None, None)) if key else (None, None)
        taken = key is not None and (key in self._seen or (key in self._once and not (free_at and free_at <= self.now)))
        after = None
        if taken:
            if earlier is not None:
                self._take_back(earlier)
            if self.recipe.again == "restart" and earlier is not None and earlier.open and not earlier.calls:
                earlier.state, earlier.reason = "cancelled", "a later event took its place"
                for path, row in earlier.steps.items():
                    if row.state == "running":
                        earlier.steps[path] = replace(row, state="cancelled")
                self._end(earlier)
            elif self.recipe.again == "queue":
                after = earlier
            else:
                self.decisions.append(f"ran already for {value.partition('#')[0]}")
                return
        facts = Facts(
            new_id(), "main", self.recipe, fact.id, fact.connection, b"", value, 0, False,
            (fact.event.subject.kind, fact.event.subject.id),
        )  # fmt: skip
        run = SimulatedRun(facts, scope, self._number, key, told, after=after)
        once = self.recipe.once_per
        within = once.within if once is not None and value.startswith("value:") else None
        if key is not None:
            self._once[key] = (run, self.now + within if within else None)
        self.runs += [run] if self.keeps else []
        self.decisions.append("run")
        self._open[facts.run_id] = run
        self._go(run)

    # --- going on ------------------------------------------------------------------------------------------------

    def _go(self, run: SimulatedRun) -> None:
        """Walk a run until nothing moves at this moment."""
        if not run.open:
            return
        self._take_back(run)
        if run.after is not None and run.after.open:
            self._behind.setdefault(run.after.facts.run_id, []).append(run)
            return
        for _ in range(ROUNDS):
            moved = self._attempt_all(run)
            walk = self._walk(run)
            moved |= self._take(run, walk)
            if not run.open:
                self._end(run)
                return
            if not moved:
                break
        self._schedule(run)

    def _schedule(self, run: SimulatedRun) -> None:
        """Note when a run goes on by itself: its own time, or that of a call that is tried again."""
        due = [call.due_at for call in run.calls if call.state == "due" and call.due_at is not None]
        due += [run.due_at] if run.due_at is not None else []
        run.next_at = min((moment for moment in due if moment > self.now), default=None)
        if run.next_at is not None:
            heappush(self._due, (run.next_at, run.number, run.facts.run_id))
        if not self.keeps:
            self._put_aside(run)

    def _walk(self, run: SimulatedRun) -> Walk:
        around = Surroundings(self._target, _action, self._effect_key, self.now, self._zone)
        scope = self._recalled({**run.scope, "now": self.now}, run.facts.connection)
        return Walk(run.facts, around, scope, run.steps, run.rows(), run.heard, True).go()

    # --- what is remembered --------------------------------------------------------------------------------------

    def _recalled(self, scope: dict[str, Any], connection: Connection | None) -> dict[str, Any]:
        """A scope with what earlier runs remembered of its customer and order."""
        return lay_over(scope, self.memory, partial(self._keys, connection), outline_of(self.recipe).recalls)

    def _keys(self, connection: Connection | None, noun: str, thing: Mapping[str, Any]) -> list[bytes]:
        return keys_of(self.hasher, self.workspace, connection, noun, thing)

    def recall(self, fact: Happened, said: Mapping[str, Any]) -> None:
        """A run of another recipe remembered this of its event's customer or order."""
        for noun, each in said.items():
            if isinstance(each, Mapping) and isinstance(fact.scope.get(noun), Mapping):
                attributes, tags = each.get("attributes") or {}, [each.get(f"{way}_tags") or () for way in WAYS]
                for key in self._keys(fact.connection, noun, fact.scope[noun]):
                    self.memory[key] = merged(self.memory.get(key, {}), attributes, *tags)

    def _remember(self, run: SimulatedRun, said: Sequence[Remembered]) -> None:
        for each in said:
            for key in self._keys(run.facts.connection, each.noun, each.thing):
                self.memory[key] = merged(self.memory.get(key, {}), each.attributes, each.add_tags, each.remove_tags)

    def _take(self, run: SimulatedRun, walk: Walk) -> bool:
        """Keep what a walk would write; whether that is anything."""
        if walk.asks_leave and walk.state in OPEN:
            self._leave(run, walk)
        came = self._hearing.listen(run.facts.run_id, run.number, walk.new_ears) if walk.new_ears else []
        if new := [each for each in came if each not in run.heard]:
            run.heard = sorted([*run.heard, *new], key=lambda each: each.id)
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
        self._remember(run, walk.remembered)
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
                    walk.close()
                    return
                free = recent[-limit.at_most] + limit.within
                until = free if until is None else max(until, free)
        row = run.steps.get(LIMITS) or StepRow(new_id(), run.facts.run_id, LIMITS, LIMITS, "running", None, None, until)
        if until is not None:
            walk.put_off(row, LIMITS not in run.steps, until + timedelta(milliseconds=HIGHEST - self.recipe.priority))
            return
        for key in dict.fromkeys(keys):
            self._places.setdefault(key, []).append(self.now)
        if not self.keeps and len(self._places) > KEPT and self._number % KEPT == 0:
            since = self.now - max(limit.within for limit in self.recipe.limits)
            self._places = {key: at for key, at in self._places.items() if at[-1] > since}
        walk.granted(row, LIMITS not in run.steps)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _capture(self, run: SimulatedRun, call: NewCall) -> None:
        step = self._steps[call.path.partition("[")[0]]
        assert isinstance(step.does, Call)  # noqa: S101 (only such steps make calls)
        connection = next(c.slug for c in self._made.values() if c.id == call.connection_id)
        made = Captured(
            run.facts.run_id,
            step.does.use,
            call.path,
            call.item,
            self.now,
            unpack(call.input),
            connection,
            event_id=run.facts.event_id,
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
        step = self._steps[call.step.partition("[")[0]]
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
        told, answered = (self.told, self._answered) if run.told is None else (run.told, run.answered)
        name = next((name for name in (call.step, call.step.partition("[")[0], call.use) if name in told), None)
        if name is None:
            return None
        answers, used = told[name], answered[name]
        answered[name] += 1
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
        source = facts.connection.id if facts.connection else None
        key = (call.connector, call.connection, source)
        if key not in self._targets:
            self._targets[key] = self._find(facts, call)
        return self._targets[key]

    def _find(self, facts: Facts, call: Call) -> Connection | str:
        """The connection that the calls of a connector go to for the events of one source."""
        if self.reach is not None:
            found = self.reach(facts, call)
            if not isinstance(found, str):
                self._made.setdefault((found.connector.slug, found.slug), found)
                return found
        if call.connector == "store":
            shop = self.source(call.connection, None) if call.connection else facts.connection
            if shop is None:
                return "the event came from no store"
            self._made.setdefault((shop.connector.slug, shop.slug), shop)
            return shop
        connector = self.connectors.get(call.connector)
        return f"there is no connector {call.connector}" if connector is None else self._connection(connector)

    def _effect_key(self, facts: Facts, step: Any, target: Connection, item: str | None) -> bytes:
        return effect_key(self.hasher, facts, step, target, item)

    def _zone(self, facts: Facts, name: str | None, scope: Mapping[str, Any]) -> ZoneInfo:
        if name == "customer":
            return customer_zone(scope) or self.zone
        return self.zone if name in (None, "shop") else zone_of(name) or self.zone


def _action(connection: Connection, call: Call) -> Action | None:
    name = connection.connector.store.get(call.action) if call.connector == "store" else call.action
    return next((action for action in connection.connector.actions if action.name == name), None)


def _heard(fact: Happened) -> Heard:
    slug, platform = (fact.connection.slug, fact.connection.connector.slug) if fact.connection else (None, None)
    stored = {
        "id": str(fact.id), "type": fact.event.type, "schema": canonical.SCHEMA_VERSION,
        "data": canonical.plain(fact.event.data), "occurred_at": fact.occurred_at.isoformat(), "connection": slug,
        "platform": platform, "test": fact.test, "historical": fact.event.historical,
    }  # fmt: skip
    return Heard(fact.id, fact.event.type, slug, fact.scope, stored)


def _refs(type_: str, data: BaseModel) -> tuple[Ref, Ref]:
    """Object and subject of an event that a file states: its own noun, and the order or customer that it is about."""
    kind = canonical.event_type(type_).noun
    thing = getattr(data, kind, None)
    ref = Ref(kind, str(getattr(thing, "id", None) or new_id()))
    order = getattr(data, "order", None)
    return ref, Ref("order", str(order.id)) if order is not None and order.id else ref


def _text(moment: datetime) -> str:
    return moment.isoformat()
