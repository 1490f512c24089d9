"""Histories at random for recipes at random, a world in which workers die, and how often each thing was met."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from zlib import crc32

from app.domain.recipes import outline_of
from app.events import OrderEvent
from app.pipeline.match.simulate import OPEN, Captured, SimulatedRun, Simulation, Told
from app.pipeline.run.advance import LIMITS, Walk
from app.recipes import Recipe, Step, Wait

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
PLACES = ({"country_code": "US", "province_code": "CA"}, {"country_code": "DE"}, {"country_code": "JP"}, None)
TYPES = ("order.paid", "order.updated", "order.updated", *["order.cancelled"] * 4)
ANSWERS = (
    Told(),
    Told(),
    Told(),
    Told(fails="permanent", message="no"),
    Told(fails="retryable", message="busy"),
    Told(fails="unsure", message="lost"),
)

Happening = tuple[str, Any]
"""("event", (type, data)), ("pass", a span) or ("decide", approved)."""


def order(dice: Random, number: int) -> OrderEvent:
    buyer = {"id": str(number % 3), "email": f"buyer-{number % 3}@example.com"}
    total = {"amount": dice.choice(["5.00", "30.00", "120.00"]), "currency": "EUR"}
    items = [{"id": str(n), "title": f"t{n}"} for n in range(dice.choice([0, 1, 2, 3]))]
    said = {
        "id": str(number), "number": f"#{number}", "customer": buyer, "totals": {"total": total}, "line_items": items,
        "tags": ["a", "b", "c"][: dice.choice([0, 2, 3])], "shipping_address": dice.choice(PLACES),
        "created_at": "2026-03-26T10:00:00Z",
    }  # fmt: skip
    return OrderEvent.model_validate({"order": said})


def history(dice: Random, length: int = 20) -> list[Happening]:
    """What happens to a few orders of two customers over some days around a change of clocks."""
    found: list[Happening] = []
    for number in range(length):
        draw = dice.random()
        if draw < 0.3:
            found.append(("event", ("order.created", order(dice, number))))
        elif draw < 0.6:
            found.append(
                ("event", (dice.choice(TYPES), order(dice, dice.choice([number - 1, number - 1, number - 2]))))
            )
        elif draw < 0.8:
            found.append(("pass", timedelta(minutes=dice.choice([10, 20, 60, 120, 240, 600]))))
        else:
            found.append(("decide", dice.random() < 0.5))
    first = ("event", (dice.choice(["order.created", "order.updated"]), order(dice, 1)))
    return [first, *found, ("pass", timedelta(days=30))]


def answers(dice: Random, names: list[str]) -> dict[str, list[Told]]:
    return {name: [dice.choice(ANSWERS) for _ in range(4)] for name in names if dice.random() < 0.6}


def live_through(world: Simulation, happenings: list[Happening]) -> None:
    for kind, what in happenings:
        if kind == "event":
            world.happen(*what)
        elif kind == "pass":
            world.forward(what)
        else:
            asked = sorted({path for run in world.runs for path, row in run.steps.items() if row.kind == "approve"})
            for path in asked:
                world.decide(path, what)


class World(Simulation):
    """A world whose systems answer a call by what it is, not by when it comes."""

    def _answer(self, run: SimulatedRun, call: Captured) -> Told | None:
        told = self.told.get(call.step.partition("[")[0])
        return told[(crc32(f"{call.step} {call.item}".encode()) + call.attempts) % len(told)] if told else None


@dataclass
class Crashing(World):
    """A world in which a worker may die before it wrote what a walk found, after it, before it noted an answer that
    came, or with an event stored that no run has heard. Others find what is due before time goes on."""

    dice: Random = field(default_factory=Random)
    met: Counter[str] = field(default_factory=Counter)
    often: float = 0.5
    left: list[SimulatedRun] = field(default_factory=list)

    @property
    def _may_fall_behind(self) -> bool:
        """Whether runs do not touch each other: those that do may be overtaken, and then end as in another order."""
        return not self.recipe.limits and not outline_of(self.recipe).recalls

    def _dies(self, *points: str) -> bool:
        dies = self.dice.random() < self.often
        if dies:
            self.met.update(points)
        return dies

    def _take(self, run: SimulatedRun, walk: Walk) -> bool:
        while self._dies(*(f"killed before it wrote: {each}" for each in transitions(walk))):
            walk = self._walk(run)
        points = [f"killed after it wrote: {each}" for each in transitions(walk)]
        moved = super()._take(run, walk)
        if self._may_fall_behind and self._dies(*points):
            self.left.append(run)
            return False
        return moved

    def _attempt(self, run: SimulatedRun, call: Captured) -> None:
        while self._dies("killed with an answer not noted"):
            pass
        super()._attempt(run, call)

    def _go(self, run: SimulatedRun) -> None:
        if self._may_fall_behind and self.dice.random() < 0.5 and self._dies("killed with a due run not taken up"):
            self.left.append(run)
        else:
            super()._go(run)

    def forward(self, span: timedelta) -> None:
        end = self.now + span
        self.found_again()
        while self._due and self._due[0][0] <= end:
            super().forward(max(self._due[0][0] - self.now, timedelta(0)))
            self.found_again()
        super().forward(end - self.now)

    def happen(self, *args: Any, **kwargs: Any) -> None:
        super().happen(*args, **kwargs)
        self.found_again()

    def decide(self, *args: Any, **kwargs: Any) -> bool:
        answered = super().decide(*args, **kwargs)
        self.found_again()
        return answered

    def found_again(self) -> None:
        """What dead workers left behind is taken up."""
        while self.left:
            self._go(self.left.pop(0))


def transitions(walk: Walk) -> Iterator[str]:
    """What a walk changes, each change by its kind."""
    for step in walk.new_steps:
        yield f"{step.kind} {'begun' if step.state == 'running' else 'ended'}"
    kinds = {row.id: row.kind for row in walk.steps.values() if row.kind != LIMITS}
    yield from (f"{kinds[step_id]} ended" for step_id, *_ in walk.ended_steps if step_id in kinds)
    if walk.new_calls:
        yield "call made"
    if walk.state not in OPEN:
        yield f"run {walk.state}"


def outcome(world: Simulation) -> str:
    """How it all ended: decisions, runs, steps with outputs, calls with times; ids that differ are left out."""
    runs = [
        (
            run.state,
            run.reason,
            sorted((row.path, row.kind, row.state, row.output, row.error) for row in run.steps.values()),
            sorted((call.step, call.item or "", str(call.at), str(call.values), call.state) for call in run.calls),
        )
        for run in world.runs
    ]
    return UUID.sub("*", repr((world.decisions, runs)))


# --- what was met -----------------------------------------------------------------------------------------------


def met_in(world: Simulation) -> Counter[str]:
    """Step kinds, nestings, waits and ways to end that the runs of a world went through."""
    found: Counter[str] = Counter()
    around = dict(nestings(world.recipe))
    for run in world.runs:
        found.update([f"run {run.state}"] if run.state not in OPEN else [])
        found.update(f"cancelled: {said}" for said in why_cancelled(run))
        for row in run.steps.values():
            step = around.get(row.path.partition("[")[0])
            found[f"step {row.kind}"] += 1
            if step is not None:
                found.update(f"inside {each}" for each in step[1])
                found.update(f"wait: {said}" for said in how_waited(step[0], row.state, row.output))
            elif row.kind == "limits" and row.due_at is not None:
                found["wait: a limit"] += 1
    return found


def nestings(recipe: Recipe) -> Iterator[tuple[str, tuple[Step, tuple[str, ...]]]]:
    """Each step by its path, with what it stands inside of and how deep."""

    def within(steps: tuple[Step, ...], around: tuple[str, ...]) -> Iterator[tuple[str, tuple[Step, tuple[str, ...]]]]:
        for step in steps:
            own = "for_each" if step.for_each else step.kind
            yield step.path, (step, (*around, f"{len(around)} others"))
            handler = step.on_error.steps if step.on_error else ()
            for body in step.bodies():
                yield from within(body, (*around, "on_error" if body and body is handler else own))

    yield from within(recipe.steps, ())
    yield from within(recipe.on_error.steps, ("on_error",))


def how_waited(step: Step, state: str, output: Any) -> Iterator[str]:
    said = output if isinstance(output, Mapping) else {}
    if isinstance(step.does, Wait) and state == "done":
        until = step.does.until
        span = "a span" if step.does.span is not None else "an expression"
        yield (
            span
            if until is None or not hasattr(until, "weekday")
            else "weekday"
            if until.weekday is not None
            else "local hour"
        )
    elif "timed_out" in said:
        yield f"{step.kind} {'timed out' if said['timed_out'] else 'answered'}"


def why_cancelled(run: SimulatedRun) -> Iterator[str]:
    if run.state == "cancelled":
        called = "after a call" if run.calls else "before any call"
        known = {"order.cancelled came": f"by an event {called}", "a later": "replaced", "the limit": "by a limit"}
        yield next((said for begins, said in known.items() if (run.reason or "").startswith(begins)), "otherwise")
