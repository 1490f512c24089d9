"""How a run goes on: a pure walk over the recipe, with what is recorded of its steps as memory.

The walk starts at the top each time. A step that has ended answers from memory; one that is running blocks what comes
after it; one that has no row yet begins. So a crash between two walks loses nothing, and a walk writes only what is new.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.connector import Action
from app.domain.connections import Connection
from app.expressions import EvaluationError, Expression, render
from app.ids import new_id
from app.recipes import Block, Call, Choose, Parallel, Recipe, Step, Stop, Wait
from app.store.calls import NewCall
from app.store.database import to_json
from app.store.packing import pack
from app.store.runs import CallRow, NewStep, StepRow


class RunEnd(Exception):
    """The run ends here."""

    def __init__(self, state: str, reason: str | None) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while a run lives."""

    run_id: UUID
    workspace: str
    recipe: Recipe
    event_id: UUID
    connection: Connection | None
    subject: bytes
    once_value: str
    generation: int
    dry: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the walk reaches what is around it: connections, actions, effect keys, time."""

    target: Callable[[Facts, Call], Connection | str]
    action: Callable[[Connection, Call], Action | None]
    effect_key: Callable[[Facts, Step, Connection, str | None], bytes]
    now: datetime


@dataclass
class Walk:
    """One walk: what it found, and what is to be written."""

    facts: Facts
    around: Surroundings
    scope: dict[str, Any]
    steps: Mapping[str, StepRow]
    calls: Mapping[str, Sequence[CallRow]]
    new_steps: list[NewStep] = field(default_factory=list)
    ended_steps: list[tuple[UUID, str, str | None, str | None]] = field(default_factory=list)
    new_calls: list[NewCall] = field(default_factory=list)
    due_at: datetime | None = None
    waiting: bool = False
    state: str = "running"
    reason: str | None = None
    _outputs: dict[str, Any] = field(default_factory=dict)

    def go(self) -> "Walk":
        """Walk the recipe; `state` tells where the run stands after it."""
        self.scope["steps"] = self._outputs
        try:
            if self._sequence(self.facts.recipe.steps):
                self.state = "done"
            elif self.waiting and not self._open_calls():
                self.state = "waiting"
        except RunEnd as end:
            self.state, self.reason = end.state, end.reason
        return self

    def _open_calls(self) -> bool:
        return bool(self.new_calls) or any(
            call.state in ("due", "uncertain") for calls in self.calls.values() for call in calls
        )

    def _sequence(self, steps: Sequence[Step]) -> bool:
        """Whether all of these steps have ended."""
        return all(self._step(step) for step in steps)

    def _step(self, step: Step) -> bool:
        row = self.steps.get(step.path)
        if row is None:
            return self._begin(step)
        if row.state == "running":
            return self._go_on(step, row)
        self._remember(step, row.state, row.output)
        return row.state != "failed" or self._after_error(step, row.error)

    def _remember(self, step: Step, state: str, output: Any) -> None:
        if step.id is not None:
            self._outputs[step.id] = output if output is not None else {}

    # --- beginning -------------------------------------------------------------------------------------------

    def _begin(self, step: Step) -> bool:
        try:
            if step.condition is not None and not step.condition.evaluate(self.scope):
                return self._over(step, "skipped", None)
            match step.does:
                case Call() as call:
                    return self._call(step, call)
                case Wait() as wait:
                    return self._wait(step, self._until(wait))
                case Choose():
                    return self._inside(step, self._branch(step))
                case Parallel() | Block():
                    return self._inside(step, {})
                case Stop(reason=reason, failed=failed):
                    said = render(reason, self.scope)
                    self._over(step, "done", None)
                    raise RunEnd("failed" if failed else "done", None if said is None else str(said))
                case _:
                    return self._failed(step, f"steps of the kind {step.kind!r} are not run by this version")
        except (EvaluationError, ValidationError) as e:
            return self._failed(step, _plain_error(e))

    def _call(self, step: Step, call: Call) -> bool:
        target = self.around.target(self.facts, call)
        if isinstance(target, str):
            return self._failed(step, target)
        action = self.around.action(target, call)
        if action is None:
            return self._failed(step, f"{target.connector.title} cannot {call.action.replace('_', ' ')}")
        items: list[tuple[str | None, Any]] = [(None, None)]
        if step.for_each is not None:
            items = self._items(step)
            if not items:
                return self._over(step, "done", [])
        for key, item in items:
            scope = self.scope if step.for_each is None else {**self.scope, step.for_each.name: item}
            given = action.input.model_validate(render(dict(call.values), scope))
            self.new_calls.append(self._new_call(step, call, target, action, key, given))
        self._row(step, "running", None)
        return False

    def _items(self, step: Step) -> list[tuple[str | None, Any]]:
        each = step.for_each
        assert each is not None  # noqa: S101 (asked by the caller)
        items = each.items.evaluate(self.scope)
        if not isinstance(items, list):
            raise EvaluationError(f"for_each needs a list, not {type(items).__name__}")
        keyed: list[tuple[str | None, Any]] = []
        for item in items:
            key = each.key.evaluate({**self.scope, each.name: item}) if each.key else _own_key(item)
            keyed.append((str(key), item))
        if len({key for key, _ in keyed}) != len(keyed):
            raise EvaluationError("two items of for_each have one key")
        return keyed

    def _new_call(
        self, step: Step, call: Call, target: Connection, action: Action, key: str | None, given: BaseModel
    ) -> NewCall:
        options: dict[str, Any] = {}
        if call.if_unsure:
            options["if_unsure"] = call.if_unsure
        if call.retry:
            options["retry"] = {
                name: value
                for name, value in (
                    ("attempts", call.retry.attempts),
                    ("age", call.retry.within.total_seconds() if call.retry.within else None),
                )
                if value is not None
            }
        if isinstance(step.timeout, timedelta):
            options["timeout"] = step.timeout.total_seconds()
        facts = self.facts
        return NewCall(
            id=new_id(),
            workspace=facts.workspace,
            connection_id=target.id,
            run_id=facts.run_id,
            event_id=facts.event_id,
            recipe=facts.recipe.name,
            path=step.path,
            item=key,
            action=f"{target.connector.slug}.{action.name}",
            subject=facts.subject if not self._has_waited() else facts.run_id.bytes,
            effect_key=self.around.effect_key(facts, step, target, key),
            input=pack(given.model_dump_json(exclude_none=True).encode()),
            options=to_json(options),
            priority=facts.recipe.priority,
            state="captured" if facts.dry else "due",
            due_at=self.around.now,
        )

    def _has_waited(self) -> bool:
        return any(row.kind in ("wait", "wait_for", "approve") for row in self.steps.values())

    def _until(self, wait: Wait) -> datetime:
        if wait.span is not None:
            span = wait.span if isinstance(wait.span, timedelta) else wait.span.evaluate(self.scope)
            if not isinstance(span, timedelta):
                raise EvaluationError("wait needs a span of time")
            return self.around.now + span
        if isinstance(wait.until, Expression):
            until = wait.until.evaluate(self.scope)
            if not isinstance(until, datetime):
                raise EvaluationError("wait until needs a time")
            return until
        raise EvaluationError("waiting until a local time is not run by this version")

    def _wait(self, step: Step, until: datetime) -> bool:
        if until <= self.around.now:
            return self._over(step, "done", {"until": until.isoformat()})
        self._row(step, "running", None, until)
        return self._blocked(until)

    def _blocked(self, until: datetime) -> bool:
        self.waiting = True
        self.due_at = until if self.due_at is None else min(self.due_at, until)
        return False

    def _branch(self, step: Step) -> dict[str, Any]:
        assert isinstance(step.does, Choose)  # noqa: S101 (asked by the caller)
        for index, branch in enumerate(step.does.branches):
            if branch.when.evaluate(self.scope):
                return {"branch": index}
        return {"branch": None}

    def _inside(self, step: Step, decided: dict[str, Any]) -> bool:
        self._row(step, "running", decided)
        return self._bodies(step, decided) and self._over(step, "done", decided)

    # --- going on --------------------------------------------------------------------------------------------

    def _go_on(self, step: Step, row: StepRow) -> bool:
        match step.does:
            case Call():
                return self._collect(step, row)
            case Wait():
                if row.due_at is not None and row.due_at > self.around.now:
                    return self._blocked(row.due_at)
                return self._end(step, row, "done", {"until": row.due_at.isoformat() if row.due_at else None})
            case Choose() | Parallel() | Block():
                return self._bodies(step, row.output or {}) and self._end(step, row, "done", row.output)
            case _:
                return False

    def _bodies(self, step: Step, decided: Mapping[str, Any]) -> bool:
        match step.does:
            case Choose(branches=branches, otherwise=otherwise):
                chosen = decided.get("branch")
                return self._sequence(otherwise if chosen is None else branches[chosen].steps)
            case Parallel(branches=parallel):
                return all([self._sequence(branch) for branch in parallel])
            case Block(steps=inner):
                return self._sequence(inner)
        return True

    def _collect(self, step: Step, row: StepRow) -> bool:
        """The calls of a step: all ended, or not yet."""
        calls = self.calls.get(step.path, ())
        if any(call.state in ("due", "uncertain") for call in calls):
            return False
        failed = [call for call in calls if call.state in ("dead", "cancelled")]
        outputs = [call.output for call in calls]
        output = outputs if step.for_each is not None else (outputs[0] if outputs else None)
        if failed:
            error = failed[0].error or failed[0].state
            self._end(step, row, "failed", output, error)
            return self._after_error(step, error)
        return self._end(step, row, "done", output)

    # --- ends ------------------------------------------------------------------------------------------------

    def _failed(self, step: Step, error: str) -> bool:
        self._row(step, "failed", None, error=error)
        return self._after_error(step, error)

    def _after_error(self, step: Step, error: str | None) -> bool:
        rule = step.on_error or self.facts.recipe.on_error
        if rule.then == "fail":
            raise RunEnd("failed", f"{step.path}: {error}")
        if rule.then == "steps":
            self.scope["error"] = error
            finished = self._sequence(rule.steps)
            if finished and step.on_error is None:
                raise RunEnd("failed", f"{step.path}: {error}")
            return finished
        return True

    def _over(self, step: Step, state: str, output: Any) -> bool:
        self._row(step, state, output)
        self._remember(step, state, output)
        return True

    def _end(self, step: Step, row: StepRow, state: str, output: Any, error: str | None = None) -> bool:
        self.ended_steps.append((row.id, state, None if output is None else to_json(output), error))
        self._remember(step, state, output)
        return True

    def _row(
        self, step: Step, state: str, output: Any, due_at: datetime | None = None, error: str | None = None
    ) -> None:
        fresh = next((s for s in self.new_steps if s.path == step.path), None)
        if fresh is not None:
            self.new_steps.remove(fresh)
        self.new_steps.append(
            NewStep(
                id=fresh.id if fresh else new_id(),
                workspace=self.facts.workspace,
                run_id=self.facts.run_id,
                path=step.path,
                kind=step.kind,
                state=state,
                output=None if output is None else to_json(output),
                error=error,
                due_at=due_at,
                ended_at=None if state == "running" else self.around.now,
            )
        )


def _own_key(item: Any) -> str:
    if isinstance(item, dict) and item.get("id") is not None:
        return str(item["id"])
    raise EvaluationError("items of for_each have no id; name a key")


def _plain_error(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"the input does not fit: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
