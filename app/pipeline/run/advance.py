"""How a run goes on: a pure walk over the recipe, with what is recorded of its steps as memory.

The walk starts at the top each time. A step that has ended answers from memory; one that is running blocks what comes
after it; one that has no row yet begins. So a crash between two walks loses nothing, and a walk writes what is new.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError

from app import events as canonical
from app.connector import Action
from app.domain.connections import Connection
from app.domain.memory import kept, lay
from app.domain.recipes import cannot, outline_of
from app.expressions import EvaluationError, render, say, spoken
from app.ids import new_id, time_of
from app.logs import traced
from app.pipeline.run.awaiting import ears, meant
from app.pipeline.run.facts import Ear, Emitted, Facts, Frame, Heard, Remembered, RunEnd, StepFailure, Surroundings
from app.pipeline.run.outputs import typed
from app.pipeline.run.quiet import quiet_until
from app.recipes import (
    Approve,
    Block,
    Call,
    Choose,
    Emit,
    OnError,
    Parallel,
    Recipe,
    SetFacts,
    Step,
    Stop,
    Wait,
    WaitFor,
    filled,
    fills,
    over_at,
    span_of,
)
from app.store.calls import NewCall
from app.store.database import to_json
from app.store.packing import pack
from app.store.runs import CallRow, NewStep, StepRow

log = structlog.get_logger()

__all__ = ["Facts", "Heard", "RunEnd", "Surroundings", "Walk"]

LISTENING = "cancel_on"
"""Path of the row that stands for a run's `cancel_on`."""
LIMITS = "limits"
"""Path of the row that stands for a run's place under its recipe's limits."""
WAITS = ("wait", "wait_for", "approve")
PROMPT = timedelta(minutes=1)
"""A call that comes later than this after its run began stands with those of runs that waited."""
Items = list[tuple[str, Any]]


@dataclass
class Walk:
    """One walk: what it found, and what is to be written.

    heard: events that may be waited for. looked: whether the stored events since the run's own were among them, for
    good; else `looks_at` says when to look back next. deaf: steps that wait for no event any more.
    """

    facts: Facts
    around: Surroundings
    scope: dict[str, Any]
    steps: Mapping[str, StepRow]
    calls: Mapping[str, Sequence[CallRow]]
    heard: Sequence[Heard] = ()
    looked: bool = False
    looks_at: datetime | None = None
    fresh: dict[str, NewStep] = field(default_factory=dict)
    ended_steps: list[tuple[UUID, str, str | None, str | None]] = field(default_factory=list)
    changed_steps: list[tuple[UUID, str, datetime | None]] = field(default_factory=list)
    deaf: list[tuple[UUID, str]] = field(default_factory=list)
    new_calls: list[NewCall] = field(default_factory=list)
    new_ears: list[Ear] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)
    remembered: list[Remembered] = field(default_factory=list)
    due_at: datetime | None = None
    waiting: bool = False
    asks_leave: bool = False
    state: str = "running"
    reason: str | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    """What ended steps gave, as it is stored, by the path of their rows."""
    _handling: bool = False

    @property
    def new_steps(self) -> list[NewStep]:
        return list(self.fresh.values())

    def go(self) -> "Walk":
        """Walk the recipe; `state` tells where the run stands after it."""
        recipe = self.facts.recipe
        self.scope["steps"] = dict(outline_of(recipe).ids)
        frame = Frame(self.scope)
        try:
            if recipe.cancel_on:
                self._listen(recipe, frame)
            if self._sequence(recipe.steps, frame):
                self.state = "done"
            elif self.waiting and not self._open_calls():
                self.state = "waiting"
        except RunEnd as end:
            self.state, self.reason = end.state, end.reason
        except Exception as e:
            log.error("a run met a fault of the hub", run=str(self.facts.run_id), **traced(e))
            self._spoiled(e)
        if self.state in ("done", "cancelled"):
            self.close()
        return self

    def _spoiled(self, error: Exception) -> None:
        """A bug ends the run that met it: those that are moved with it go on. Nothing of the walk is kept."""
        for made in (self.fresh, self.ended_steps, self.changed_steps, self.deaf, self.new_calls, self.new_ears):
            made.clear()
        self.emitted.clear()
        self.remembered.clear()
        self.state, self.reason, self.asks_leave = "failed", f"a fault of the hub ({type(error).__name__})", False

    def close(self) -> None:
        """End the rows that nothing will go on with."""
        ended = {step_id for step_id, *_ in self.ended_steps}
        for row in self.steps.values():
            if row.state == "running" and row.id not in ended:
                output = None if row.output is None else to_json(row.output)
                self.ended_steps.append((row.id, _closed(row.path), output, None))
        for path, step in self.fresh.items():
            if step.state == "running":
                self.fresh[path] = replace(step, state=_closed(path), ended_at=self.around.now)

    def put_off(self, row: StepRow, new: bool, until: datetime | None) -> None:
        """Let the run wait for a place under its limits."""
        output = {"until": canonical.iso(until)} if until else {}
        if new:
            self._write(LIMITS, LIMITS, "running", output, until)
        else:
            self.changed_steps.append((row.id, to_json(output), until))
        self._due(until)

    def granted(self, row: StepRow, new: bool) -> None:
        """Note that the run has its place."""
        if new:
            self._write(LIMITS, LIMITS, "done", None)
        else:
            self.ended_steps.append((row.id, "done", None, None))

    def _open_calls(self) -> bool:
        return bool(self.new_calls) or any(
            call.state in ("due", "uncertain") for calls in self.calls.values() for call in calls
        )

    # --- cancelling ----------------------------------------------------------------------------------------------

    def _listen(self, recipe: Recipe, frame: Frame) -> None:
        """Make the waiters of `cancel_on`, or end the run if one of its events came."""
        for awaited in recipe.cancel_on:
            for heard in self.heard:
                if meant(awaited, frame, heard):
                    raise RunEnd("cancelled", awaited.reason or f"{heard.type} came: {awaited.where.source}")
        row = self.steps.get(LISTENING)
        if row is None:
            found = [ear for awaited in recipe.cancel_on for ear in ears(awaited, frame, None)]
            self.new_ears += found
            output = {"look": bool(found), "for": sorted({ear.event_type for ear in found})}
            self._write(LISTENING, LISTENING, "running", output)
            if found:
                self._due(self.around.now)
        else:
            self._has_looked(row)

    def _has_looked(self, row: StepRow) -> None:
        output = row.output or {}
        if output.get("look") and row.state == "running":
            if self.looked:
                self.changed_steps.append((row.id, to_json({**output, "look": False}), None))
            else:
                self._due(self.looks_at or self.around.now)

    # --- steps ---------------------------------------------------------------------------------------------------

    def _sequence(self, steps: Sequence[Step], frame: Frame) -> bool:
        """Whether all of these steps have ended."""
        return all(self._step(step, frame) for step in steps)

    def _step(self, step: Step, frame: Frame) -> bool:
        row = self.steps.get(frame.path(step))
        if row is None:
            return self._try(step, frame, self._begin)
        if row.state == "running":
            again = self._each if step.for_each and not isinstance(step.does, Call) else self._go_on
            return self._try(step, frame, lambda s, f: again(s, f, row), row)
        return self._ended(step, frame, row)

    def _alone(self, step: Step, frame: Frame) -> bool:
        """One item of a step that is done for each: its `if` and `for_each` have been decided."""
        row = self.steps.get(frame.path(step))
        if row is None:
            return self._try(step, frame, self._do)
        if row.state == "running":
            return self._try(step, frame, lambda s, f: self._go_on(s, f, row), row)
        return self._ended(step, frame, row)

    def _ended(self, step: Step, frame: Frame, row: StepRow) -> bool:
        self._remember(step, frame, None if row.state in ("skipped", "cancelled") else row.output)
        return row.state != "failed" or self._after_error(step, frame, row.error)

    def _try(self, step: Step, frame: Frame, work: Any, row: StepRow | None = None) -> bool:
        """Do this with a step; what cannot be evaluated fails it, and so does a step inside it that says nothing of
        its failure."""
        try:
            return cast(bool, work(step, frame))
        except (EvaluationError, ValidationError) as e:
            return self._failed(step, frame, plain_error(e), row)
        except StepFailure as e:
            if step.on_error is None:
                raise
            if step.on_error.then == "fail":
                raise RunEnd("failed", e.error) from None
            return self._failed(step, frame, e.error, row)

    def _begin(self, step: Step, frame: Frame) -> bool:
        if step.condition is not None and not step.condition.evaluate(frame.scope):
            return self._over(step, frame, "skipped", None)
        if step.for_each is not None and not isinstance(step.does, Call):
            return self._each(step, frame, None)
        return self._do(step, frame)

    def _do(self, step: Step, frame: Frame) -> bool:
        match step.does:
            case Call() as call:
                return self._call(step, frame, call)
            case Wait() as wait:
                zone = self.around.zone(self.facts, wait.timezone, frame.scope)
                return self._wait(step, frame, over_at(wait, frame.scope, self.around.now, zone))
            case WaitFor() as wait_for:
                return self._wait_for(step, frame, wait_for)
            case Choose():
                return self._inside(step, frame, self._branch(step.does, frame))
            case Parallel() | Block():
                return self._inside(step, frame, {})
            case Emit() as emit:
                return self._emit(step, frame, emit)
            case SetFacts() as facts:
                return self._set(step, frame, facts)
            case Approve() as approve:
                return self._ask(step, frame, approve)
            case Stop() as stop:
                return self._stop(step, frame, stop)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _call(self, step: Step, frame: Frame, call: Call) -> bool:
        if not self._may_call(frame):
            return False
        target, action = self._reach(call)
        items = self._items(step, frame)
        if step.for_each is not None and not items:
            return self._over(step, frame, "done", [])
        at_once = step.for_each.at_once if step.for_each else 1
        for key, item in items[:at_once]:
            self._new_call(step, frame, call, target, action, key, item)
        self._row(step, frame, "running", {"keys": [key for key, _ in items]} if len(items) > at_once else None)
        return False

    def _may_call(self, frame: Frame) -> bool:
        """Whether neither quiet hours nor a limit hold the run back now."""
        recipe = self.facts.recipe
        if recipe.quiet_hours is not None:
            zone = self.around.zone(self.facts, recipe.quiet_hours.timezone, frame.scope)
            until = quiet_until(recipe.quiet_hours, self.around.now, zone)
            if until is not None:
                return self._blocked(until)
        return not recipe.limits or self._has_leave()

    def _has_leave(self) -> bool:
        row = self.steps.get(LIMITS)
        if row is not None and row.state == "done":
            return True
        if row is not None and row.due_at is not None and row.due_at > self.around.now:
            return self._blocked(row.due_at)
        self.asks_leave = True
        return self._blocked(None)

    def _reach(self, call: Call) -> tuple[Connection, Action]:
        target = self.around.target(self.facts, call)
        if isinstance(target, str):
            raise EvaluationError(target)
        action = self.around.action(target, call)
        if action is None:
            raise EvaluationError(cannot(target, call.action))
        return target, action

    def _items(self, step: Step, frame: Frame) -> "list[tuple[str | None, Any]]":
        """(key, item) of a step's `for_each`; one without a key where it has none."""
        each = step.for_each
        if each is None:
            return [(None, None)]
        items = each.items.evaluate(frame.scope)
        if items is None:
            return []
        if not isinstance(items, list):
            raise EvaluationError(f"for_each needs a list, not {type(items).__name__}")
        keyed: list[tuple[str | None, Any]] = []
        for index, item in enumerate(items):
            key = each.key.evaluate({**frame.scope, each.name: item}) if each.key else own_key(item, index, step)
            keyed.append((str(key), item))
        if len({key for key, _ in keyed}) != len(keyed):
            raise EvaluationError("two items of for_each have one key")
        return keyed

    def _new_call(
        self, step: Step, frame: Frame, call: Call, target: Connection, action: Action, key: str | None, item: Any
    ) -> None:
        scope = frame.scope if step.for_each is None else {**frame.scope, step.for_each.name: item}
        facts, key = self.facts, frame.key(key)
        given = action.input.model_validate(self._values(call, action, scope))
        self.new_calls.append(
            NewCall(
                id=new_id(),
                workspace=facts.workspace,
                connection_id=target.id,
                run_id=facts.run_id,
                event_id=facts.event_id,
                recipe=facts.recipe.name,
                path=frame.path(step),
                item=key,
                action=f"{target.connector.slug}.{action.name}",
                subject=facts.run_id.bytes if self._has_waited() else facts.subject,
                effect_key=self.around.effect_key(facts, step, target, key),
                input=pack(dumped(given)),
                options=to_json(self._options(step, frame, call)),
                priority=facts.recipe.priority,
                late=self._is_late(),
                state="captured" if facts.dry else "due",
                due_at=self.around.now,
            )
        )

    def _values(self, call: Call, action: Action, scope: Mapping[str, Any]) -> dict[str, Any]:
        """What a step gives its action, a template filled in."""
        if not fills(call, action.input):
            return cast(dict[str, Any], render(dict(call.values), scope))
        fields, shop = list(action.input.model_fields), self.around.locale(self.facts)
        return filled(call.values, scope, self.facts.recipe.templates, fields, shop)

    def _options(self, step: Step, frame: Frame, call: Call) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if call.if_unsure:
            options["if_unsure"] = call.if_unsure
        if call.retry:
            age = call.retry.within.total_seconds() if call.retry.within else None
            said = {"attempts": call.retry.attempts, "age": age}
            options["retry"] = {name: value for name, value in said.items() if value is not None}
        if step.timeout is not None:
            options["timeout"] = span_of(step.timeout, frame.scope).total_seconds()
        return options

    def _has_waited(self) -> bool:
        return any(row.kind in WAITS for row in self.steps.values())

    def _is_late(self) -> bool:
        """Whether many like it may have come due with it: it waited, for whatever reason, or is one of a replay."""
        return self.facts.replayed or self._has_waited() or self.around.now - time_of(self.facts.run_id) > PROMPT

    def _collect(self, step: Step, frame: Frame, row: StepRow) -> bool:
        """The calls of a step: all ended, or not yet; further items begin where there is room."""
        calls = {call.item: call for call in self.calls.get(frame.path(step), ())}
        failed = [call for call in calls.values() if call.state in ("dead", "cancelled")]
        going = sum(call.state in ("due", "uncertain") for call in calls.values())
        keys = row.output.get("keys") if isinstance(row.output, dict) else None
        left = [key for key in keys or () if frame.key(key) not in calls]
        if left and not (failed and self._rule(step).then != "continue"):
            going += self._more(step, frame, left, going)
        if going:
            return False
        outputs = [call.output if call.state in ("done", "skipped") else None for call in calls.values()]
        output = outputs if step.for_each is not None else outputs[0] if outputs else None
        if failed:
            error = failed[0].error or failed[0].state
            self._end(step, frame, row, "failed", output, error)
            return self._after_error(step, frame, error)
        return self._end(step, frame, row, "done", output)

    def _more(self, step: Step, frame: Frame, left: Sequence[str], going: int) -> int:
        """Begin the calls of further items; answers how many."""
        each = step.for_each
        assert each is not None  # noqa: S101 (only such steps have items left)
        assert isinstance(step.does, Call)  # noqa: S101 (the same)
        items = dict(self._items(step, frame))
        target, action = self._reach(step.does)
        begun = [key for key in left if key in items][: max(0, each.at_once - going)]
        for key in begun:
            self._new_call(step, frame, step.does, target, action, key, items[key])
        return len(begun)

    # --- other kinds ---------------------------------------------------------------------------------------------

    def _each(self, step: Step, frame: Frame, row: StepRow | None) -> bool:
        """A step that is no call, done for each item, at most `at_once` at a time."""
        each = step.for_each
        assert each is not None  # noqa: S101 (asked by the caller)
        items = {str(key): item for key, item in self._items(step, frame)}
        keys = list(items) if row is None else cast(list[str], (row.output or {}).get("keys", []))
        if row is None:
            self._row(step, frame, "running", {"keys": keys})
        if gone := [key for key in keys if key not in items]:
            raise EvaluationError(f"the item {gone[0]!r} of for_each is gone")
        frames: dict[str, Frame] = {}

        def alone(key: str) -> bool:  # an item sees what those before it remembered
            frames[key] = frame.inside(each.name, items[key], key)
            return self._alone(step, frames[key])

        ways = [(f"{step.path}[{frame.key(key)}]" in self.steps, partial(alone, key)) for key in keys]
        if not self._together(ways, each.at_once):
            return False
        results = [self.outputs.get(frames[key].path(step)) if step.id else None for key in keys]
        return self._finish(step, frame, row, "done", results)

    def _wait(self, step: Step, frame: Frame, until: datetime) -> bool:
        if until <= self.around.now:
            return self._over(step, frame, "done", {"until": canonical.iso(until)})
        self._row(step, frame, "running", None, until)
        return self._blocked(until)

    def _wait_for(self, step: Step, frame: Frame, does: WaitFor) -> bool:
        until = self.around.now + span_of(does.timeout, frame.scope) if does.timeout is not None else None
        found = list(ears(does.awaited, frame, frame.path(step)))
        self.new_ears += found
        self._row(step, frame, "running", {"look": bool(found), "for": list(does.awaited.events)}, until)
        return self._blocked(self.around.now if found else until)

    def _heard(self, step: Step, frame: Frame, row: StepRow, does: WaitFor) -> bool:
        for heard in self.heard:
            if meant(does.awaited, frame, heard):
                self.deaf.append((self.facts.run_id, frame.path(step)))
                return self._end(step, frame, row, "done", {"event": heard.stored, "timed_out": False})
        if row.due_at is not None and row.due_at <= self.around.now:
            self.deaf.append((self.facts.run_id, frame.path(step)))
            return self._end(step, frame, row, "done", {"event": None, "timed_out": True})
        self._has_looked(row)
        return self._blocked(row.due_at)

    def _emit(self, step: Step, frame: Frame, does: Emit) -> bool:
        given = {"data": render(dict(does.values), frame.scope)}
        nouns = {name: frame.scope[name] for name in ("order", "customer") if frame.scope.get(name)}
        data = canonical.dump(canonical.event_type(does.event).model.model_validate({**nouns, **given})).decode()
        event_id = new_id()
        self.emitted.append(Emitted(event_id, frame.path(step), does.event, data))
        return self._over(step, frame, "done", {"id": str(event_id)})

    def _set(self, step: Step, frame: Frame, does: SetFacts) -> bool:
        said: dict[str, Any] = {}
        for noun, what in does.facts.items():
            thing = frame.scope.get(noun)
            if thing is None:
                raise EvaluationError(f"there is no {noun} here to remember something of")
            attributes = kept(render(dict(what.attributes), frame.scope))
            tags = [texts(render(each, frame.scope)) for each in (what.add_tags, what.remove_tags)]
            self.remembered.append(Remembered(noun, thing, attributes, tags[0], tags[1]))
            said[noun] = {"attributes": attributes, "add_tags": tags[0], "remove_tags": tags[1]}
        return self._over(step, frame, "done", said)

    def _ask(self, step: Step, frame: Frame, does: Approve) -> bool:
        said = {"title": say(does.title, frame.scope), "message": say(does.message, frame.scope)}
        until = self.around.now + span_of(step.timeout, frame.scope) if step.timeout is not None else None
        self._row(step, frame, "running", said, until)
        return self._blocked(until)

    def _answered(self, step: Step, frame: Frame, row: StepRow) -> bool:
        output = row.output or {}
        if "approved" in output:
            kept = {name: output.get(name) for name in ("approved", "timed_out", "by", "note", "decided_at")}
            return self._end(step, frame, row, "done", kept)
        if row.due_at is not None and row.due_at <= self.around.now:
            nobody = {"approved": False, "timed_out": True, "by": None, "note": None, "decided_at": None}
            return self._end(step, frame, row, "done", nobody)
        return self._blocked(row.due_at)

    def _stop(self, step: Step, frame: Frame, does: Stop) -> bool:
        said = say(does.reason, frame.scope)
        self._over(step, frame, "done", None)
        raise RunEnd("failed" if does.failed else "done", said)

    def _branch(self, does: Choose, frame: Frame) -> dict[str, Any]:
        for index, branch in enumerate(does.branches):
            if branch.when.evaluate(frame.scope):
                return {"branch": index}
        return {"branch": None}

    def _inside(self, step: Step, frame: Frame, decided: dict[str, Any]) -> bool:
        self._row(step, frame, "running", decided)
        return self._bodies(step, frame, decided) and self._over(step, frame, "done", decided)

    def _go_on(self, step: Step, frame: Frame, row: StepRow) -> bool:
        match step.does:
            case Call():
                return self._collect(step, frame, row)
            case Wait():
                if row.due_at is not None and row.due_at > self.around.now:
                    return self._blocked(row.due_at)
                until = canonical.iso(row.due_at) if row.due_at else None
                return self._end(step, frame, row, "done", {"until": until})
            case WaitFor() as does:
                return self._heard(step, frame, row, does)
            case Approve():
                return self._answered(step, frame, row)
            case Choose() | Parallel() | Block():
                decided = row.output or {}
                return self._bodies(step, frame, decided) and self._end(step, frame, row, "done", decided)
            case _:
                return False

    def _bodies(self, step: Step, frame: Frame, decided: Mapping[str, Any]) -> bool:
        inside = frame.within(step)
        match step.does:
            case Choose(branches=branches, otherwise=otherwise):
                chosen = decided.get("branch")
                return self._sequence(otherwise if chosen is None else branches[chosen].steps, inside)
            case Parallel(branches=parallel):
                return self._together([(True, partial(self._sequence, branch, inside)) for branch in parallel])
            case Block(steps=inner):
                return self._sequence(inner, inside)
        return True

    def _together(self, ways: Sequence[tuple[bool, Callable[[], bool]]], at_once: int | None = None) -> bool:
        """Whether all of these ways have ended, at most `at_once` under way; each says whether it has begun. Where one
        fails, those under way come to their end first, and no further one begins. Raises StepFailure."""
        going, failure = 0, None
        for begun, way in ways:
            if not begun and (failure is not None or going == at_once):
                continue
            try:
                going += not way()
            except StepFailure as e:
                failure = failure or e
        if failure is not None and not going:
            raise failure
        return failure is None and not going

    # --- ends ----------------------------------------------------------------------------------------------------

    def _failed(self, step: Step, frame: Frame, error: str, row: StepRow | None) -> bool:
        if row is None:
            self._row(step, frame, "failed", None, error=error)
        else:
            self._end(step, frame, row, "failed", None, error)
        return self._after_error(step, frame, error)

    def _rule(self, step: Step) -> OnError:
        return step.on_error or self.facts.recipe.on_error

    def _after_error(self, step: Step, frame: Frame, error: str | None) -> bool:
        rule = self._rule(step)
        said = f"{frame.path(step)}: {error}"
        if step.on_error is None and frame.guarded:
            raise StepFailure(said)
        if rule.then == "fail" or (step.on_error is None and self._handling):
            raise RunEnd("failed", said)
        if rule.then == "continue":
            return True
        action = step.does.use if isinstance(step.does, Call) else None
        inner = frame.with_error({"message": error, "step": frame.path(step), "action": action})
        if step.on_error is not None:
            return self._sequence(rule.steps, inner)
        self._handling = True
        finished = self._sequence(rule.steps, Frame(inner.scope))
        self._handling = False
        if finished:
            raise RunEnd("failed", said)
        return False

    def _due(self, at: datetime | None) -> None:
        if at is not None:
            self.due_at = at if self.due_at is None else min(self.due_at, at)

    def _blocked(self, until: datetime | None) -> bool:
        self.waiting = True
        self._due(until)
        return False

    def _remember(self, step: Step, frame: Frame, output: Any) -> None:
        if isinstance(step.does, SetFacts) and isinstance(output, Mapping):  # of all items, each has done so
            self._recall(frame, output)
        if step.id is not None:
            self.outputs[frame.path(step)] = output
            frame.scope["steps"][step.id] = typed(step, output, self._action_of(step) if output is not None else None)

    def _recall(self, frame: Frame, output: Mapping[str, Any]) -> None:
        """Later steps of the run see what a `set` of it remembered, also those around the steps that it stands in."""
        for scope in (each.scope for each in frame.around()):
            for noun, said in output.items():
                if isinstance(said, Mapping) and isinstance(scope.get(noun), dict):
                    lay(scope, noun, said)

    def _action_of(self, step: Step) -> Action | None:
        if not isinstance(step.does, Call):
            return None
        target = self.around.target(self.facts, step.does)
        return None if isinstance(target, str) else self.around.action(target, step.does)

    def _over(self, step: Step, frame: Frame, state: str, output: Any) -> bool:
        self._row(step, frame, state, output)
        self._remember(step, frame, output)
        return True

    def _end(self, step: Step, frame: Frame, row: StepRow, state: str, output: Any, error: str | None = None) -> bool:
        self.ended_steps.append((row.id, state, None if output is None else to_json(output), error))
        self._remember(step, frame, output)
        return True

    def _finish(self, step: Step, frame: Frame, row: StepRow | None, state: str, output: Any) -> bool:
        """End a step whose row is stored, or was made in this walk."""
        return self._over(step, frame, state, output) if row is None else self._end(step, frame, row, state, output)

    def _row(
        self, step: Step, frame: Frame, state: str, output: Any, due_at: datetime | None = None,
        error: str | None = None,
    ) -> None:  # fmt: skip
        self._write(frame.path(step), step.kind, state, output, due_at, error)

    def _write(
        self, path: str, kind: str, state: str, output: Any, due_at: datetime | None = None, error: str | None = None
    ) -> None:
        before = self.fresh.get(path)
        self.fresh[path] = NewStep(
            id=before.id if before else new_id(),
            workspace=self.facts.workspace,
            run_id=self.facts.run_id,
            path=path,
            kind=kind,
            state=state,
            output=None if output is None else to_json(output),
            error=error,
            due_at=due_at,
            ended_at=None if state == "running" else self.around.now,
        )


def own_key(item: Any, index: int, step: Step) -> str:
    """The key of an item that no `key` tells: its id; its place, where nothing is called that an effect stands for."""
    if isinstance(item, dict) and item.get("id") is not None:
        return str(item["id"])
    if any(isinstance(inner.does, Call) for inner in within(step)):
        raise EvaluationError("items of for_each have no id; name a key")
    return str(index)


def within(step: Step) -> Iterator[Step]:
    """A step and all inside it."""
    yield step
    for body in step.bodies():
        for inner in body:
            yield from within(inner)


def texts(value: Any) -> tuple[str, ...]:
    """Tags, as one text or a list of them."""
    listed = [value] if isinstance(value, str) else value or ()
    return tuple(map(spoken, listed))


def dumped(given: BaseModel) -> bytes:
    return given.model_dump_json(exclude_none=True).encode()


KINDS = frozenset({"str", "int", "decimal", "constrained-str"})
"""Pydantic's words for the parts of a type, which are no part of an input's place."""


def plain_error(error: Exception) -> str:
    """What went wrong in a step, in words."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(each for each in map(str, first["loc"]) if each not in KINDS and not each.endswith(("]", ")")))
    said = first["msg"].removeprefix("Value error, ")
    return f"the input does not fit: {place}: {'it is nothing, and must be said' if first['input'] is None else said}"


def _closed(path: str) -> str:
    return "done" if path == LISTENING else "cancelled"
