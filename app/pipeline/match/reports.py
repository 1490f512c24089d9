"""What a backtest reports: what each version did, and the events that two versions answer otherwise."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from app.connector import Action
from app.ids import time_of
from app.pipeline.match.simulate import Captured, Simulation


@dataclass
class Totals:
    """What one version did: runs by state, calls by action, what they count, errors by their text.

    examples: calls whose output nobody recorded, so that an example stood for it; assumed: decisions that rest on one.
    """

    runs: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    money: dict[str, Decimal] = field(default_factory=dict)
    contacts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    assumed: int = 0

    def add(self, other: "Totals") -> None:
        """Lay what another part of the span counted on top."""
        self.runs += other.runs
        self.calls += other.calls
        self.errors += other.errors
        self.contacts += other.contacts
        self.examples += other.examples
        self.assumed += other.assumed
        for currency, amount in other.money.items():
            self.money[currency] = self.money.get(currency, Decimal(0)) + amount

    def count(self, call: Captured, world: Simulation) -> None:
        self.calls[call.use] += 1
        self.examples += call.assumed
        action = world.action_of(call)
        if action is not None and action.counts is not None:
            self._counted(action, call.input)

    def _counted(self, action: Action, given: bytes) -> None:
        assert action.counts is not None  # noqa: S101 (asked by the caller)
        counted = action.counts(action.input.model_validate_json(given))
        self.contacts += counted.contacts
        if counted.money is not None:
            before = self.money.get(counted.money.currency, Decimal(0))
            self.money[counted.money.currency] = before + counted.money.amount

    def as_json(self) -> dict[str, Any]:
        money = {currency: str(amount) for currency, amount in sorted(self.money.items())}
        return {"runs": dict(self.runs), "calls": dict(self.calls), "money": money, "contacts": self.contacts,
                "errors": dict(self.errors.most_common(50)), "examples": self.examples,
                "assumed": self.assumed}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call as it is compared; input: JSON text, its fields in the order of the action's model."""

    use: str
    step: str
    item: str | None
    input: bytes

    @classmethod
    def of(cls, call: Captured) -> "MadeCall":
        return cls(call.use, call.step, call.item, call.input)

    def as_json(self) -> dict[str, Any]:
        return {"use": self.use, "step": self.step, "item": self.item, "input": orjson.loads(self.input)}

    def __str__(self) -> str:
        return f"{self.use} {self.input.decode()}"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a version did about an event. run: how its run ended, `none` where it made none."""

    run: str
    calls: tuple[MadeCall, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"run": self.run, "calls": [call.as_json() for call in self.calls]}


NOTHING = Answered("none")


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that two versions answer otherwise."""

    event_id: UUID
    before: Answered
    after: Answered

    @property
    def at(self) -> datetime:
        return time_of(self.event_id)

    def as_json(self) -> dict[str, Any]:
        return {"event_id": str(self.event_id), "at": self.at.isoformat(), "before": self.before.as_json(),
                "after": self.after.as_json()}  # fmt: skip


@dataclass
class Backtest:
    """events: that were read; unreadable: left out, their data cannot be read any more; differing: all of them."""

    recipe: str
    since: datetime
    until: datetime
    events: int = 0
    unreadable: int = 0
    new: Totals = field(default_factory=Totals)
    current: Totals | None = None
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe, "since": self.since.isoformat(), "until": self.until.isoformat(),
            "events": self.events, "unreadable": self.unreadable, "new": self.new.as_json(),
            "current": self.current.as_json() if self.current else None, "differing": self.differing,
            "differences": [each.as_json() for each in self.differences],
        }  # fmt: skip


def merged(parts: Sequence[Backtest], shown: int) -> Backtest:
    """One report of the parts of a span, in their order."""
    whole = parts[0]
    for part in parts[1:]:
        whole.until = part.until
        whole.events += part.events
        whole.unreadable += part.unreadable
        whole.new.add(part.new)
        if whole.current is not None and part.current is not None:
            whole.current.add(part.current)
        whole.differing += part.differing
        whole.differences = [*whole.differences, *part.differences][:shown]
    return whole
