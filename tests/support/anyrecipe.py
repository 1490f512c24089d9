"""Valid recipes at random: every step kind, nested, with waits, cancels and failures. One seed, one recipe."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

DEEPEST = 3
WHENS = ("order.totals.total.amount > 50", "order.test", "order.number != inputs.word", "not order.note")
SPANS = ("30m", "2h", "26h", "3d")
UNTIL: tuple[dict[str, str], ...] = (
    {"until": "next 09:00", "timezone": "customer"},
    {"until": "next 02:30", "timezone": "Europe/Berlin"},
    {"until": "monday 08:30"},
    {"until": "sunday 02:30", "timezone": "America/New_York"},
    {"until": "{{ order.created_at | add_days(2) }}"},
    {"until": "{{ now | add_hours(5) }}"},
)
ACTIONS = ("make_native", "make_native", "put_upsert", "make_lookup", "say_skip")
NOTES = (
    "{{ order.number }}",
    "{{ now | iso }}",
    "{{ customer.attributes.level | default('none') }}",
    "{{ inputs.word }}",
)


@dataclass
class AnyRecipe:
    """Writes one recipe. paths: the ids of its calls and approvals; each step's result may be read by later ones."""

    dice: Random
    remembers: bool = True
    count: int = 0
    known: list[tuple[str, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def recipe(self) -> dict[str, Any]:
        asks = self.dice.choice([self.approve, self.wait_for])
        openings = ([self.use, self.wait], [asks], [self.use], [self.wait], [self.handled])
        theme = self.dice.choice([0, 0, 1, 2, 3, 3, 4])
        made: dict[str, Any] = {
            "title": "Any",
            "on": self.dice.choice(
                ["order.created", "order.created", ["order.created", "order.paid"], "order.updated"]
            ),
            "inputs": {"word": {"type": "string", "default": "w"}},
            "steps": [*(one(0) for one in openings[theme]), *self.steps(0)],
        }
        for name, chance, value in self.rules(theme):
            if self.dice.random() < chance:
                made[name] = value
        return made

    def rules(self, theme: int) -> list[tuple[str, float, Any]]:
        """Keys of the whole recipe: name, how often, value."""
        pick, buyer = self.dice.choice, "customer.email"
        cancel = {"event": "order.cancelled", "where": "order.id == run.order.id"}
        limit = {"per": buyer, "at_most": 1, "within": "12h", "over": pick(["defer", "skip"])}
        return [
            ("where", 0.1, "order.totals.total.amount > 10"),
            ("cancel_on", 1 if theme in (0, 3) else 0.4, cancel),
            ("quiet_hours", 0.2, {"from": "21:00", "to": "08:00", "timezone": "customer"}),
            ("on_error", 0.2, "continue"),
            ("on_error", 0.2, [self.call("error.message")]),
            ("limits", 0.9 if theme == 2 else 0.2, limit),
            ("once_per", 0.9 if theme == 3 else 0.2, pick([buyer, {"value": buyer, "within": "1d"}])),
            ("again", 0.9 if theme == 3 else 0.2, pick(["restart", "restart", "restart", "ignore", "queue"])),
        ]

    def text(self) -> str:
        return orjson.dumps(self.recipe(), option=orjson.OPT_INDENT_2).decode()

    def name(self) -> str:
        self.count += 1
        return f"s{self.count}"

    def steps(self, depth: int) -> list[dict[str, Any]]:
        return [self.step(depth) for _ in range(self.dice.choice([1, 1, 2, 2]))]

    def step(self, depth: int) -> dict[str, Any]:
        inner = [self.choose, self.choose, self.parallel, self.parallel, self.block, self.each_block]
        waits = [self.wait, *[self.wait_until, self.wait_for, self.approve] * 2]
        inner = inner if depth < DEEPEST else []
        kinds: list[Callable[[int], dict[str, Any]]] = [self.use, self.use_each, self.emit, self.set, self.stop]
        before, condition = list(self.known), self.when()
        made = self.dice.choice([*kinds, *waits, *inner])(depth)
        if "if" not in made and self.dice.random() < 0.2:
            made["if"] = condition
        after, self.known = self.known, before
        made = self.on_error(made, depth)
        self.known = after
        return made

    def on_error(self, made: dict[str, Any], depth: int) -> dict[str, Any]:
        draw = self.dice.random()
        if draw < 0.15:
            made["on_error"] = "continue"
        elif draw < 0.5 and depth < DEEPEST:
            made["on_error"] = [self.call("error.message")]
        return made

    def when(self) -> str:
        waited = [f"steps.{name}.timed_out" for name, kind in self.known if kind == "waited"]
        done = [f"steps.{name}" for name, kind in self.known if kind == "called"]
        return self.dice.choice([*WHENS, *waited[-2:], *done[-2:]])

    # --- kinds ---------------------------------------------------------------------------------------------------

    def call(self, note: str) -> dict[str, Any]:
        name = self.name()
        self.calls.append(name)
        return {"id": name, "use": f"testbench.{self.dice.choice(ACTIONS)}",
                "with": {"id": name, "note": f"{{{{ {note} }}}}"}}  # fmt: skip

    def use(self, depth: int) -> dict[str, Any]:
        made = self.call("order.number")
        reads = [f"{{{{ steps.{name}.key }}}}" for name, kind in self.known if kind == "called"][-1:]
        made["with"]["note"] = self.dice.choice([*(NOTES if self.remembers else NOTES[:2]), *reads])
        self.known.append((made["id"], "called"))
        return made

    def handled(self, depth: int) -> dict[str, Any]:
        return {**self.call("order.number"), "on_error": [self.call("error.message")]}

    def use_each(self, depth: int) -> dict[str, Any]:
        if self.dice.random() < 0.4:
            return self.each_kind(depth)
        return {**self.call("item.title"), "for_each": "order.line_items", "at_once": self.dice.choice([1, 2, 3])}

    def wait(self, depth: int) -> dict[str, Any]:
        return {"wait": self.dice.choice(SPANS)}

    def wait_until(self, depth: int) -> dict[str, Any]:
        return {"wait": self.dice.choice(UNTIL)}

    def wait_for(self, depth: int) -> dict[str, Any]:
        name, both = self.name(), " and order.totals.total.amount > 20"
        tie = self.dice.choice(["order.id == run.order.id", "order.customer.email == run.order.customer.email"])
        where = self.dice.choice([tie, tie + both, f"order.id == run.order.id or order.number == {name!r} and {tie}"])
        event = self.dice.choice(["order.updated", ["order.updated", "order.paid"]])
        if "email" in tie:
            event = self.dice.choice(["order.updated", ["order.paid", "order.created"]])
        self.known.append((name, "waited"))
        return {"id": name, "wait_for": {"event": event, "where": where, "timeout": self.dice.choice(SPANS)}}

    def approve(self, depth: int) -> dict[str, Any]:
        name = self.name()
        self.known.append((name, "waited"))
        return {"id": name, "approve": {"title": "Go on with {{ order.number }}?"}, "timeout": self.dice.choice(SPANS)}

    def emit(self, depth: int) -> dict[str, Any]:
        return {"id": self.name(), "emit": "any.told", "with": {"number": "{{ order.number }}"}}

    def set(self, depth: int) -> dict[str, Any]:
        customer = {"attributes": {"level": self.name()}, "add_tags": ["a"], "remove_tags": ["b"]}
        return {"set": {"customer": customer, "order": {"attributes": {"seen": True}}}}

    def stop(self, depth: int) -> dict[str, Any]:
        failed = self.dice.random() < 0.5
        return {"stop": {"reason": "enough of {{ order.number }}", "failed": failed}, "if": self.when()}

    def choose(self, depth: int) -> dict[str, Any]:
        branches = [{"when": self.when(), "steps": self.apart(depth)} for _ in range(self.dice.choice([1, 2]))]
        made: dict[str, Any] = {"choose": branches}
        if self.dice.random() < 0.6:
            made["otherwise"] = self.apart(depth)
        return made

    def parallel(self, depth: int) -> dict[str, Any]:
        return {"parallel": [self.apart(depth) for _ in range(self.dice.choice([2, 2, 3]))]}

    def block(self, depth: int) -> dict[str, Any]:
        return {"steps": self.steps(depth + 1)}

    def each_block(self, depth: int) -> dict[str, Any]:
        at_once = self.dice.choice([1, 2, 3])
        if depth > 1 or self.dice.random() < 0.5:
            return {"for_each": "order.tags", "as": f"tag{depth}", "key": f"tag{depth}", "at_once": at_once,
                    "steps": self.apart(depth)}  # fmt: skip
        return {"for_each": "order.line_items", "as": f"line{depth}", "at_once": at_once, "steps": self.apart(depth)}

    def each_kind(self, depth: int) -> dict[str, Any]:
        """A step of any kind but a call, for each item: its results are a list."""
        before = list(self.known)
        made = self.dice.choice([self.wait, self.wait_for, self.emit, self.set, self.approve])(depth)
        self.known = before
        return {**made, "for_each": "order.line_items", "as": f"each{depth}", "at_once": self.dice.choice([1, 2, 3])}

    def apart(self, depth: int) -> list[dict[str, Any]]:
        """Steps whose results those beside them do not read."""
        before = list(self.known)
        made = self.steps(depth + 1)
        self.known = before
        return made
