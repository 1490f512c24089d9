"""What a run is made of while it is walked: what never changes, what lies around it, and what came in for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.connector import Action
from app.domain.connections import Connection
from app.recipes import Call, Recipe, Step


class RunEnd(Exception):
    """The run ends here."""

    def __init__(self, state: str, reason: str | None) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class StepFailure(Exception):
    """A step failed, and a step around it says what follows."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while a run lives. about: kind and sender's id of its subject; replayed: among many."""

    run_id: UUID
    workspace: str
    recipe: Recipe
    event_id: UUID
    connection: Connection | None
    subject: bytes
    once_value: str
    generation: int
    dry: bool
    about: tuple[str, str] | None = None
    replayed: bool = False


def _utc(facts: Facts, name: str | None, scope: Mapping[str, Any]) -> ZoneInfo:
    return ZoneInfo(name) if name not in (None, "customer", "shop") else ZoneInfo("UTC")


def _none(facts: Facts) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the walk reaches what is around it: connections, actions, effect keys, time and time zones.

    locale: the language of a workspace's texts. zone: the zone that
    `customer`, `shop`, None (the workspace's) or a name stands for in a run's scope.
    """

    target: Callable[[Facts, Call], Connection | str]
    action: Callable[[Connection, Call], Action | None]
    effect_key: Callable[[Facts, Step, Connection, str | None], bytes]
    now: datetime
    zone: Callable[[Facts, str | None, Mapping[str, Any]], ZoneInfo] = _utc
    locale: Callable[[Facts], str | None] = _none


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that may be one that the run waits for. facts: what expressions read of it; stored: as it is kept."""

    id: UUID
    type: str
    connection: str | None
    facts: Mapping[str, Any]
    stored: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event of the recipe's own, to be stated. data: JSON text of a CustomEvent."""

    id: UUID
    path: str
    event: str
    data: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is to be remembered of a customer or an order; `thing` is its plain data in the run's scope."""

    noun: str
    thing: Mapping[str, Any]
    attributes: Mapping[str, Any]
    add_tags: tuple[str, ...]
    remove_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ear:
    """A waiter to be made: an event of this type whose field has this value is for the run (step None: to cancel)."""

    event_type: str
    path: str
    value: Any
    step: str | None


@dataclass(slots=True)
class Frame:
    """Where in the recipe the walk is: what its expressions see, the keys of the `for_each` items around it, whether a
    step around it has an `on_error`, and the frame whose scope its own was made of."""

    scope: dict[str, Any]
    item: str | None = None
    guarded: bool = False
    outer: "Frame | None" = None

    def path(self, step: Step) -> str:
        """The name of a step's row: its path, and the item for which it is done."""
        return step.path if self.item is None else f"{step.path}[{self.item}]"

    def key(self, own: str | None) -> str | None:
        """The item key of a call: those of the items around it and its own."""
        return own if self.item is None else self.item if own is None else f"{self.item}/{own}"

    def inside(self, name: str, value: Any, key: str) -> "Frame":
        scope = {**self.scope, name: value, "steps": dict(self.scope["steps"])}
        return Frame(scope, self.key(key), self.guarded, self)

    def with_error(self, error: Mapping[str, Any]) -> "Frame":
        return Frame({**self.scope, "error": error}, self.item, self.guarded, self)

    def within(self, step: Step) -> "Frame":
        """The frame of the steps inside a step."""
        return Frame(self.scope, self.item, self.guarded or step.on_error is not None, self.outer)

    def around(self) -> "Iterator[Frame]":
        """It, and the frames around it."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.outer
