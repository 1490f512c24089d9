"""The recipe language as types: what a recipe file says, parsed, its expressions compiled. Immutable, one per version.

Every step carries `at`, its place in the document (for problems), and `path`, the stable name of its rows: its id,
or the name of its action, or its kind with a number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.documents import Path
from app.expressions import Expression, Tree
from app.recipes.durations import LocalTime

if TYPE_CHECKING:
    from app.recipes.templates import Template

Again = Literal["ignore", "restart", "queue"]
IfUnsure = Literal["ask", "repeat", "skip"]
Match = Literal["no", "also", "only"]  # whether events of a kind that is left out by default run the recipe
InputType = Literal[
    "string", "integer", "number", "boolean", "duration", "time", "date", "timezone", "email", "list", "object"
]


# --- what starts a recipe -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trigger:
    """One event type that runs the recipe, narrowed by the connection's slug or its connector (the platform)."""

    event: str
    connection: str | None = None
    platform: str | None = None
    historical: Match = "no"
    test: Match = "no"
    at: Path = ()

    def takes(self, event: str, connection: str, platform: str, historical: bool, test: bool) -> bool:
        return (
            event == self.event
            and self.connection in (None, connection)
            and self.platform in (None, platform)
            and _match(self.historical, historical)
            and _match(self.test, test)
        )


def _match(wanted: Match, has: bool) -> bool:
    return wanted == "also" or has == (wanted == "only")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times at which the recipe runs by itself: five fields of cron, in a time zone (None: the workspace's)."""

    cron: str
    timezone: str | None = None
    at: Path = ()


@dataclass(frozen=True, slots=True)
class Input:
    """What a shop may set without editing the file. Without a default a workspace must set it."""

    name: str
    type: InputType
    default: object = None
    required: bool = False
    description: str = ""
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    options: tuple[object, ...] = ()
    at: Path = ()


# --- rules of the whole recipe ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OncePer:
    """Events run the recipe once per value; with `within` the value is free again after that span."""

    value: Expression
    within: timedelta | None = None
    at: Path = ()


@dataclass(frozen=True, slots=True)
class Equality:
    """`order.checkout_id == run.checkout.id`: a field of the awaited event, and the value of the run it must equal."""

    field: tuple[str, ...]
    value: Expression

    def __str__(self) -> str:
        return ".".join(self.field)


@dataclass(frozen=True, slots=True)
class Awaited:
    """Events waited for; `branches` hold, for each `or` branch of `where`, the equalities that find it."""

    events: tuple[str, ...]
    where: Expression
    branches: tuple[tuple[Equality, ...], ...] = ()
    connection: str | None = None
    reason: str | None = None
    at: Path = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many runs per value in a sliding window, across the recipes of the group."""

    per: Expression
    at_most: int
    within: timedelta
    over: Literal["defer", "skip"] = "defer"
    at: Path = ()


@dataclass(frozen=True, slots=True)
class QuietHours:
    """No calls between these local times. timezone: `customer`, `shop`, or a name like Europe/Berlin."""

    begin: time
    end: time
    timezone: str = "customer"
    at: Path = ()


# --- steps --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a failing call is tried again; None leaves the hub's own rule."""

    attempts: int | None = None
    within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class OnError:
    """What follows a failure: the run fails, goes on, or takes other steps and then goes on."""

    then: Literal["fail", "continue", "steps"] = "fail"
    steps: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True)
class ForEach:
    """The step is done for each item, called `name` in expressions; `key` tells items apart, `at_once` go together."""

    items: Expression
    name: str = "item"
    key: Expression | None = None
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """`use: quickbooks.create_invoice`. connector `store` is the system that sent the event."""

    connector: str
    action: str
    values: Mapping[str, Tree] = field(default_factory=dict)
    connection: str | None = None
    retry: Retry | None = None
    if_unsure: IfUnsure | None = None
    effect: str | None = None

    @property
    def use(self) -> str:
        return f"{self.connector}.{self.action}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Until a span has passed, until a time that an expression gives, or until a local time comes next."""

    span: timedelta | Expression | None = None
    until: LocalTime | Expression | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Until an event comes (`steps.x.event`) or the time is over (`steps.x.timed_out`)."""

    awaited: Awaited
    timeout: timedelta | Expression | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    when: Expression
    steps: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class Choose:
    """The steps of the first branch whose `when` is true, else of `otherwise`."""

    branches: tuple[Branch, ...]
    otherwise: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches that go on side by side; the step is done when all are."""

    branches: "tuple[tuple[Step, ...], ...]"


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that share an `if` or a `for_each`."""

    steps: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class Emit:
    """States an event of the recipe's own, which other recipes can take."""

    event: str
    values: Mapping[str, Tree] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remember:
    """Attributes and tags to remember of a customer or an order."""

    attributes: Mapping[str, Tree] = field(default_factory=dict)
    add_tags: Tree = ()
    remove_tags: Tree = ()


@dataclass(frozen=True, slots=True)
class SetFacts:
    """`set`: what is remembered, by noun; readable later as `customer.attributes.x`."""

    facts: Mapping[Literal["customer", "order"], Remember]


@dataclass(frozen=True, slots=True)
class Approve:
    """A person answers (`steps.x.approved`) or the time is over (`steps.x.timed_out`)."""

    title: Tree
    message: Tree = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends the run here; as done, or as failed."""

    reason: Tree = None
    failed: bool = False


Deed: TypeAlias = Call | Wait | WaitFor | Choose | Parallel | Block | Emit | SetFacts | Approve | Stop
KINDS: Mapping[type, str] = {
    Call: "use",
    Wait: "wait",
    WaitFor: "wait_for",
    Choose: "choose",
    Parallel: "parallel",
    Block: "steps",
    Emit: "emit",
    SetFacts: "set",
    Approve: "approve",
    Stop: "stop",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a recipe. path: the stable name of its rows; id: its name in expressions, if it has one."""

    path: str
    does: Deed
    id: str | None = None
    condition: Expression | None = None
    for_each: ForEach | None = None
    on_error: OnError | None = None
    timeout: timedelta | Expression | None = None
    at: Path = ()

    @property
    def kind(self) -> str:
        return KINDS[type(self.does)]

    def bodies(self) -> "Iterator[tuple[Step, ...]]":
        """The lists of steps directly inside this one."""
        if isinstance(self.does, Choose):
            yield from (branch.steps for branch in self.does.branches)
            yield self.does.otherwise
        elif isinstance(self.does, Parallel):
            yield from self.does.branches
        elif isinstance(self.does, Block):
            yield self.does.steps
        if self.on_error:
            yield self.on_error.steps


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of a recipe. name: of its file; digest: 32 hex digits that tell versions apart."""

    name: str
    digest: str
    title: str
    triggers: tuple[Trigger, ...]
    steps: tuple[Step, ...]
    schedules: tuple[Schedule, ...] = ()
    description: str = ""
    stage: str | None = None
    where: Expression | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    once_per: OncePer | None = None
    again: Again = "ignore"
    cancel_on: tuple[Awaited, ...] = ()
    limits: tuple[Limit, ...] = ()
    quiet_hours: QuietHours | None = None
    group: str | None = None
    enabled: bool = True
    priority: int = 0
    was: tuple[str, ...] = ()
    on_error: OnError = OnError()
    connections: Mapping[str, str] = field(default_factory=dict)
    templates: "Mapping[str, Template]" = field(default_factory=dict)
    """Those that its steps name: part of the version."""

    @property
    def events(self) -> tuple[str, ...]:
        """The event types that run it, each once; `schedule.due` for a schedule."""
        found = dict.fromkeys(trigger.event for trigger in self.triggers)
        return (*found, "schedule.due") if self.schedules else tuple(found)

    def all_steps(self) -> Iterator[Step]:
        """Every step at any depth, in the order of the file; those of the recipe's `on_error` last."""
        yield from flatten(self.steps)
        yield from flatten(self.on_error.steps)

    def step(self, path: str) -> Step:
        """The step whose rows have this path, which may name the item that it is done for: `label[A-1]`. KeyError if
        there is none."""
        own = path.partition("[")[0]
        return next((step for step in self.all_steps() if step.path == own), None) or _no_step(self.name, path)

    @property
    def waits(self) -> bool:
        """Whether an event could come too late for a step: it waits, or can be cancelled."""
        return bool(self.cancel_on) or any(isinstance(step.does, Wait | WaitFor | Approve) for step in self.all_steps())


def flatten(steps: tuple[Step, ...]) -> Iterator[Step]:
    """These steps and all inside them, outer before inner."""
    for step in steps:
        yield step
        for body in step.bodies():
            yield from flatten(body)


def _no_step(recipe: str, path: str) -> Step:
    raise KeyError(f"{recipe} has no step {path!r}")
