"""The steps of a recipe as read from its document: every step kind, nested to any depth, each with a stable path."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from app.expressions import Expression, Tree, nearest
from app.recipes.cursor import Cursor
from app.recipes.durations import LocalTime, parse_local_time
from app.recipes.model import (
    Approve,
    Block,
    Branch,
    Call,
    Choose,
    Deed,
    Emit,
    ForEach,
    IfUnsure,
    OnError,
    Parallel,
    Remember,
    Retry,
    SetFacts,
    Step,
    Stop,
    Wait,
    WaitFor,
)
from app.recipes.waiting import awaited
from app.recipes.zones import timezone

WORD = re.compile(r"[a-z][a-z0-9_]{0,49}")
ACTION = re.compile(r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9_]*")
COMMON = ("id", "if", "for_each", "as", "key", "at_once", "on_error", "timeout")
# step kind -> the keys that go with it, beside the common ones
OWN: dict[str, tuple[str, ...]] = {
    "use": ("with", "connection", "retry", "if_unsure", "effect"),
    "wait": (),
    "wait_for": (),
    "choose": ("otherwise",),
    "parallel": (),
    "steps": (),
    "emit": ("with",),
    "set": (),
    "approve": (),
    "stop": (),
}
TIMED = ("use", "wait_for", "approve")
"""The step kinds that `timeout` ends."""
EVERY_KEY = tuple(dict.fromkeys((*OWN, *COMMON, *(key for keys in OWN.values() for key in keys))))


@dataclass(slots=True)
class StepReader:
    """Reads steps; counts the unnamed ones, so that each path is used once."""

    taken: dict[str, Cursor] = field(default_factory=dict)
    unnamed: Counter[str] = field(default_factory=Counter)

    def body(self, each: Cursor) -> tuple[Step, ...]:
        """A list of steps; an empty one is a fault."""
        items = each.items()
        if isinstance(each.value, list) and not items:
            each.wrong(f"{each.name} is empty", "write a step, or leave the key out")
        return tuple(step for item in items if (step := self.step(item)))

    def step(self, each: Cursor) -> Step | None:
        if not isinstance(each.value, dict):
            each.wrong("a step should have keys", "begin it with `use:`, `wait:`, `choose:` ...")
            return None
        kinds = [kind for kind in OWN if kind in each.value]
        if len(kinds) != 1:
            self.kindless(each, kinds)
            return None
        kind = kinds[0]
        keys = each.mapping((kind, *COMMON, *OWN[kind]))
        name = self.id(keys)
        path = self.path(each, kind, keys, name)
        return self.made(each, kind, keys, name, path)

    def kindless(self, each: Cursor, kinds: list[str]) -> None:
        if kinds:
            each.wrong(f"a step does one thing, and this one has {' and '.join(kinds)}", "make two steps of it")
            return
        unknown = [key for key in each.value if key not in EVERY_KEY]
        for key in unknown:
            offer = nearest(key, OWN) or nearest(key, EVERY_KEY)
            mend = f"did you mean {offer!r}?" if offer else f"a step does one of: {', '.join(OWN)}"
            each.child(key).wrong(f"there is no key {key!r} here", mend, key=True)
        if not unknown:
            each.wrong("this step does nothing", f"give it one of: {', '.join(OWN)}")

    def made(self, each: Cursor, kind: str, keys: dict[str, Cursor], name: str | None, path: str) -> Step:
        condition = keys["if"].condition() if "if" in keys else None
        loop = self.for_each(each, keys)
        deed = cast(Deed, getattr(self, f"read_{kind}")(keys))
        on_error = self.on_error(keys["on_error"]) if "on_error" in keys else None
        timeout = keys["timeout"].span() if "timeout" in keys else None
        if timeout is not None and kind not in TIMED:
            mend = f"it goes with {', '.join(TIMED)}; leave it out here"
            keys["timeout"].wrong(f"{kind} takes no timeout", mend, key=True)
        return Step(path, deed, name, condition, loop, on_error, timeout, each.path)

    # --- names ---------------------------------------------------------------------------------------------------

    def id(self, keys: dict[str, Cursor]) -> str | None:
        if "id" not in keys:
            return None
        name = keys["id"].text(50)
        if not WORD.fullmatch(name):
            keys["id"].wrong(f"{name!r} is not a step's id", "use small letters, digits and underscores")
        return name or None

    def path(self, each: Cursor, kind: str, keys: dict[str, Cursor], name: str | None) -> str:
        """The id, or the action's name, or the kind with a number. Two steps of one path are a fault."""
        if name is None and kind != "use":
            self.unnamed[kind] += 1
            count = self.unnamed[kind]
            return f"{kind}-{count}" if count > 1 else kind
        path = name or str(each.value["use"])
        if path in self.taken:
            line = self.taken[path].document.mark(self.taken[path].path).line
            if name:
                keys["id"].wrong(f"the id {name!r} is already used in line {line}", "give this step another id")
            else:
                mend = "give one of them an id: its effects are remembered under that name"
                keys["use"].wrong(f"{path} is used twice without an id (also in line {line})", mend)
        self.taken.setdefault(path, each)
        return path

    # --- keys that several kinds have ----------------------------------------------------------------------------

    def for_each(self, each: Cursor, keys: dict[str, Cursor]) -> ForEach | None:
        if "for_each" not in keys:
            for key in ("as", "key", "at_once"):
                if key in keys:
                    keys[key].wrong(f"{key} goes with for_each", "add for_each, or leave it out", key=True)
            return None
        items = keys["for_each"].bare()
        name = keys["as"].text(50) if "as" in keys else "item"
        if not WORD.fullmatch(name):
            keys["as"].wrong(f"{name!r} is not a name", "use small letters, digits and underscores")
        tells = keys["key"].bare() if "key" in keys else None
        at_once = keys["at_once"].whole(1, 100) if "at_once" in keys else 1
        return ForEach(items, name, tells, at_once) if items else None

    def on_error(self, each: Cursor) -> OnError:
        if isinstance(each.value, list):
            return OnError("steps", self.body(each))
        if each.value not in ("fail", "continue"):
            each.wrong("on_error should be fail, continue, or a list of steps", "begin each step with a dash")
        word = "continue" if each.value == "continue" else "fail"
        return OnError(cast(Literal["fail", "continue"], word))

    # --- kinds ---------------------------------------------------------------------------------------------------

    def read_use(self, keys: dict[str, Cursor]) -> Call:
        use = keys["use"].text()
        if use and not ACTION.fullmatch(use):
            keys["use"].wrong(f"{use!r} is not an action", "write one like quickbooks.create_invoice")
        connector, _, action = use.partition(".")
        if_unsure = keys["if_unsure"].word(("ask", "repeat", "skip"), "ask") if "if_unsure" in keys else None
        return Call(
            connector,
            action,
            values(keys["with"]) if "with" in keys else {},
            keys["connection"].plain() if "connection" in keys else None,
            retry(keys["retry"]) if "retry" in keys else None,
            cast(IfUnsure | None, if_unsure),
            keys["effect"].plain() if "effect" in keys else None,
        )

    def read_wait(self, keys: dict[str, Cursor]) -> Wait:
        each = keys["wait"]
        if not isinstance(each.value, dict):
            return Wait(each.span())
        inner = each.mapping(("until", "timezone"), needed=("until",))
        zone = timezone(inner["timezone"], ("customer", "shop")) if "timezone" in inner else None
        return Wait(None, moment(inner["until"]) if "until" in inner else None, zone)

    def read_wait_for(self, keys: dict[str, Cursor]) -> WaitFor:
        each = keys["wait_for"]
        span: timedelta | Expression | None = None
        if isinstance(each.value, dict) and "timeout" in each.value:
            span = each.child("timeout").span()
        elif "timeout" in keys:
            span = keys["timeout"].span()
        elif isinstance(each.value, dict):
            each.wrong("wait_for needs a timeout", "say how long to wait at most, as in `timeout: 23h`")
        if span is not None and "timeout" in keys and "timeout" in each.value:
            keys["timeout"].wrong("this wait has two timeouts", "leave one of them out", key=True)
        return WaitFor(awaited(each, ("timeout",)), span)

    def read_choose(self, keys: dict[str, Cursor]) -> Choose:
        branches = []
        for each in keys["choose"].items():
            inner = each.mapping(("when", "steps"), needed=("when", "steps"))
            when = inner["when"].condition() if "when" in inner else None
            body = self.body(inner["steps"]) if "steps" in inner else ()
            branches += [Branch(when, body)] if when else []
        if not branches and keys["choose"].value == []:
            keys["choose"].wrong("choose is empty", "write its branches: `- when: ...` with `steps:` below it")
        return Choose(tuple(branches), self.body(keys["otherwise"]) if "otherwise" in keys else ())

    def read_parallel(self, keys: dict[str, Cursor]) -> Parallel:
        branches = []
        for each in keys["parallel"].items():
            alone = isinstance(each.value, dict)
            branch = ((step,) if (step := self.step(each)) else ()) if alone else self.body(each)
            branches.append(branch)
        if keys["parallel"].value == []:
            keys["parallel"].wrong("parallel is empty", "write its branches, or leave the step out")
        if len(branches) == 1:
            keys["parallel"].wrong("one branch is not parallel to anything", "write its steps without `parallel`")
        return Parallel(tuple(branches))

    def read_steps(self, keys: dict[str, Cursor]) -> Block:
        return Block(self.body(keys["steps"]))

    def read_emit(self, keys: dict[str, Cursor]) -> Emit:
        return Emit(keys["emit"].text(), values(keys["with"]) if "with" in keys else {})

    def read_set(self, keys: dict[str, Cursor]) -> SetFacts:
        nouns = keys["set"].mapping(("customer", "order"))
        if not nouns:
            keys["set"].wrong("set says nothing", "name customer or order below it")
        return SetFacts({cast(Literal["customer", "order"], name): remember(each) for name, each in nouns.items()})

    def read_approve(self, keys: dict[str, Cursor]) -> Approve:
        each = keys["approve"]
        if not isinstance(each.value, dict):
            return Approve(each.tree() if each.text(500) else None)
        inner = each.mapping(("title", "message"), needed=("title",))
        title = inner["title"].tree() if "title" in inner else None
        return Approve(title, inner["message"].tree() if "message" in inner else None)

    def read_stop(self, keys: dict[str, Cursor]) -> Stop:
        each = keys["stop"]
        if isinstance(each.value, dict):
            inner = each.mapping(("reason", "failed"))
            failed = inner["failed"].flag(False) if "failed" in inner else False
            return Stop(inner["reason"].tree() if "reason" in inner else None, failed)
        return Stop(None if each.value in (True, None) else each.tree())


def values(each: Cursor) -> dict[str, Tree]:
    """`with`: names and their values, compiled."""
    return {name: child.tree() for name, child in each.free_mapping().items()}


def moment(each: Cursor) -> LocalTime | Expression | None:
    """`next 09:00`, `monday 08:30`, or an expression that gives a time."""
    if isinstance(each.value, str) and "{{" in each.value:
        tree = each.tree()
        return tree if isinstance(tree, Expression) else None
    return each.parsed(parse_local_time, None)


def retry(each: Cursor) -> Retry:
    if each.value is False:
        return Retry(attempts=1)
    keys = each.mapping(("attempts", "within"))
    attempts = keys["attempts"].whole(1, 1000) if "attempts" in keys else None
    return Retry(attempts, keys["within"].duration() if "within" in keys else None)


def remember(each: Cursor) -> Remember:
    keys = each.mapping(("attributes", "add_tags", "remove_tags"))
    if each.value == {}:
        each.wrong(f"nothing of the {each.name} is set", "write `attributes:` or `add_tags:` below it")
    attributes = values(keys["attributes"]) if "attributes" in keys else {}
    tags: dict[str, Any] = {key: keys[key].tree() if key in keys else () for key in ("add_tags", "remove_tags")}
    return Remember(attributes, **tags)
