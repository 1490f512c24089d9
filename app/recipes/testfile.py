"""The test file beside a recipe (`<name>.test.yaml`): events that happen, time that passes, and the calls expected.

inputs: {due_days: 30}                  # of all cases
events:                                 # by name, for several cases
  paid: {type: order.paid, data: {order: {id: "1001", totals: {total: {amount: 119, currency: EUR}}}}}
cases:
  - name: a paid order is invoiced
    when:
      - event: paid
        with: {order: {note: as a gift}}        # laid over the event's data
      - webhook: shopify/orders-paid/basic      # a body as the platform sends it, `with` laid over it
      - pass: 3d
      - approve: ok                             # or `decline`: what a person answers at a step
    answers:                                    # what actions answer, by step path or action, one after another
      invoice: [{fails: retryable, message: busy}, {id: "77"}]
    expect:
      run: done                                 # done, failed, cancelled, waiting, stopped, none
      calls:
        - {use: quickbooks.create_invoice, with: {due_in_days: 30}}     # named inputs only; others are not compared
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ValidationError

from app.connector import Action
from app.documents import Document, Path, Problem
from app.events import event_type, parse_time
from app.expressions import Shape, hint, shape_of
from app.recipes.catalogue import Catalogue
from app.recipes.cursor import Cursor
from app.recipes.inputs import valid
from app.recipes.model import Approve, Call, Recipe, Step
from app.recipes.payloads import laid_over, payload_path
from app.recipes.together import meant

Outcome = Literal["done", "failed", "cancelled", "waiting", "stopped", "none"]
Failure = Literal["retryable", "permanent", "unsure", "credential"]


@dataclass(frozen=True, slots=True)
class Given:
    """A canonical event; `data` is that of its model. platform and connection: who sends it, as the trigger sees it."""

    type: str
    data: Mapping[str, Any]
    connection: str | None = None
    platform: str | None = None
    occurred_at: datetime | None = None
    test: bool = False
    historical: bool = False
    at: Path = ()

    def over(self, changes: Mapping[str, Any]) -> "Given":
        """The same event with some of its data changed: objects are laid over each other, all else is replaced."""
        data = laid_over(self.data, changes)
        fields = (self.connection, self.platform, self.occurred_at, self.test, self.historical, self.at)
        return Given(self.type, cast(Mapping[str, Any], data), *fields)

    def model(self) -> BaseModel:
        """The event's data as its model. Raises pydantic's ValidationError, or ValueError for an unknown type."""
        return event_type(self.type).model.model_validate(self.data)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook by the name of its body, instead of an event; changes: laid over the body; connection: who sends it."""

    connector: str
    payload: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Passes:
    span: timedelta


@dataclass(frozen=True, slots=True)
class Decides:
    """A person answers the `approve` of a step."""

    step: str
    approved: bool
    note: str | None = None


Happening = Given | Webhook | Passes | Decides


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action answers to one attempt: an output, or a failure."""

    output: Mapping[str, Any] = field(default_factory=dict)
    fails: Failure | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call, and those of its inputs that are compared."""

    use: str
    values: Mapping[str, Any] = field(default_factory=dict)
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """calls: all calls in order, or None where they do not matter. reason: part of why the run did not go through."""

    run: Outcome = "done"
    calls: tuple[ExpectedCall, ...] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    happenings: tuple[Happening, ...]
    expected: Expected
    inputs: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    at: Path = ()


@dataclass(frozen=True, slots=True)
class TestFile:
    """The cases of one recipe, in the order of the file."""

    __test__ = False  # not a test class of pytest
    recipe: str
    cases: tuple[Case, ...]


def read_test_file(
    document: Document, recipe: Recipe, catalogue: Catalogue, folder: FilePath | None = None
) -> tuple[TestFile, list[Problem]]:
    """The cases of a recipe's test file (which lies in `folder`), and every fault in it: unknown steps, events that
    their model refuses ..."""
    problems: list[Problem] = []
    top = Cursor(document, (), document.data, problems)
    keys = top.mapping(("inputs", "events", "cases"), needed=("cases",))
    reader = _Reader(recipe, catalogue, folder)
    inputs = reader.inputs(keys["inputs"]) if "inputs" in keys else {}
    for name, each in keys["events"].free_mapping().items() if "events" in keys else ():
        reader.events[name] = reader.given(each)
    cases = tuple(reader.case(each, inputs) for each in keys["cases"].items()) if "cases" in keys else ()
    return TestFile(recipe.name, cases), sorted(dict.fromkeys(problems))


@dataclass(slots=True)
class _Reader:
    recipe: Recipe
    catalogue: Catalogue
    folder: FilePath | None = None
    events: dict[str, Given] = field(default_factory=dict)
    named_cases: set[str] = field(default_factory=set)

    def steps(self) -> dict[str, Step]:
        return {step.path: step for step in self.recipe.all_steps()}

    def case(self, each: Cursor, shared: Mapping[str, Any]) -> Case:
        keys = each.mapping(("name", "when", "inputs", "answers", "expect"), needed=("name", "when", "expect"))
        happenings = [self.happening(one) for one in keys["when"].items_or_one()] if "when" in keys else []
        inputs = {**shared, **(self.inputs(keys["inputs"]) if "inputs" in keys else {})}
        answers = self.answers(keys["answers"]) if "answers" in keys else {}
        expected = self.expected(keys["expect"]) if "expect" in keys else Expected()
        name = keys["name"].text() if "name" in keys else ""
        if name and name in self.named_cases:
            keys["name"].wrong(f"another case above is named {name!r} too", "say what is different about this one")
        self.named_cases.add(name)
        return Case(name, tuple(one for one in happenings if one), expected, inputs, answers, each.path)

    def inputs(self, each: Cursor) -> dict[str, Any]:
        given = each.free_mapping()
        for name, one in given.items():
            declared = self.recipe.inputs.get(name)
            if declared is None:
                one.wrong(f"{self.recipe.name} has no input {name!r}", hint(name, self.recipe.inputs), key=True)
            else:
                one.parsed(lambda _, declared=declared, one=one: valid(declared, one.value), None)  # type: ignore[misc]
        return {name: one.value for name, one in given.items()}

    # --- what happens --------------------------------------------------------------------------------------------

    def happening(self, each: Cursor) -> Happening | None:
        if isinstance(each.value, str):
            return self.named(each)
        kind = next((name for name in HAPPENINGS if isinstance(each.value, dict) and name in each.value), "")
        keys = each.mapping(HAPPENINGS.get(kind, (*HAPPENINGS, *GIVEN_KEYS)))
        if "event" in keys:
            return self.changed(keys)
        if "webhook" in keys:
            return self.webhook(keys)
        if "pass" in keys:
            return Passes(keys["pass"].duration())
        if "approve" in keys or "decline" in keys:
            return self.decision(keys)
        return self.given(each)

    def named(self, each: Cursor) -> Given | None:
        if each.value not in self.events:
            each.wrong(f"there is no event named {each.value!r} in this file", hint(str(each.value), self.events))
        return self.events.get(each.value)

    def webhook(self, keys: dict[str, Cursor]) -> Webhook | None:
        """`shopify/orders-paid/basic`, or `{connector: shopify, payload: orders-paid}`."""
        each = keys["webhook"]
        if isinstance(each.value, str):
            connector, _, payload = each.value.partition("/")
            named = {"connector": each, "payload": each}
        else:
            named = each.mapping(("connector", "payload"), needed=("connector", "payload"))
            if len(named) < 2:
                return None
            connector, payload = named["connector"].text(), named["payload"].text()
        if connector not in self.catalogue.connectors():
            mend = hint(connector, self.catalogue.connectors())
            named["connector"].wrong(f"there is no connector {connector!r}", mend)
            return None
        named["payload"].parsed(lambda _: payload_path(connector, payload, self.folder), None)
        changes = {name: one.value for name, one in keys["with"].free_mapping().items()} if "with" in keys else {}
        return Webhook(connector, payload, changes, keys["connection"].text() if "connection" in keys else None)

    def changed(self, keys: dict[str, Cursor]) -> Given | None:
        named = self.named(keys["event"])
        if named is None:
            return None
        given = self.sent(keys, named)
        if "with" not in keys:
            return given
        made = given.over({name: one.value for name, one in keys["with"].free_mapping().items()})
        self.check_event(made, keys["with"], laid=True)
        return made

    def decision(self, keys: dict[str, Cursor]) -> Decides:
        """`ask`, or of one item of a `for_each` `ask[A]`."""
        each = keys["approve"] if "approve" in keys else keys["decline"]
        step = self.steps().get(str(each.value).partition("[")[0])
        if step is None or not isinstance(step.does, Approve):
            asking = [path for path, one in self.steps().items() if isinstance(one.does, Approve)]
            each.wrong(f"no step {each.value!r} asks a person", hint(str(each.value), asking))
        return Decides(str(each.value), "approve" in keys, keys["note"].text() if "note" in keys else None)

    def sent(self, keys: dict[str, Cursor], given: Given) -> Given:
        """The same event, with what is said of how it came: who sent it, when, and whether it is a test or imported."""
        moment = _moment(keys["at"]) if "at" in keys else given.occurred_at
        return replace(
            given,
            connection=keys["connection"].text() if "connection" in keys else given.connection,
            platform=keys["platform"].text() if "platform" in keys else given.platform,
            occurred_at=moment,
            test=keys["test"].flag(False) if "test" in keys else given.test,
            historical=keys["historical"].flag(False) if "historical" in keys else given.historical,
        )

    def given(self, each: Cursor) -> Given:
        keys = each.mapping(GIVEN_KEYS, needed=("type", "data"))
        data = {name: one.value for name, one in keys["data"].free_mapping().items()} if "data" in keys else {}
        given = self.sent(keys, Given(keys["type"].text() if "type" in keys else "", data, at=each.path))
        if len(keys.keys() & {"type", "data"}) == 2:
            self.check_event(given, keys["data"])
        return given

    def check_event(self, given: Given, each: Cursor, laid: bool = False) -> None:
        """The data is of the event's model, and names nothing that the model does not know."""
        try:
            model = event_type(given.type).model
        except ValueError as error:
            each.wrong(str(error), "write one like order.paid")
            return
        unknown_fields(each, shape_of(model))
        try:
            given.model()
        except ValidationError as error:
            self.refused(each, error, laid)

    def refused(self, each: Cursor, error: ValidationError, laid: bool) -> None:
        """What the event's model says to its data, once for each place (of a union, its first choice speaks)."""
        said: dict[str, str] = {}
        for fault in error.errors():
            steps = [str(step) for step in fault["loc"] if str(step).replace("_", "a").isalnum()]
            if said.setdefault(".".join(steps), fault["msg"]) is fault["msg"] and len(said) <= 5:
                place = each if laid else inside(each, fault["loc"])
                place.wrong(f"{'.'.join(steps)}: {fault['msg'].replace('Input should', 'it should')}")

    # --- what is answered and expected ---------------------------------------------------------------------------

    def answers(self, each: Cursor) -> dict[str, tuple[Answer, ...]]:
        """By step path or action name."""
        known = [*self.steps(), *(step.does.use for step in self.steps().values() if isinstance(step.does, Call))]
        made: dict[str, tuple[Answer, ...]] = {}
        for name, one in each.free_mapping().items():
            if name not in known:
                one.wrong(f"{self.recipe.name} has no step or action {name!r}", hint(name, known), key=True)
            made[name] = tuple(self.answer(name, single) for single in one.items_or_one())
        return made

    def answer(self, name: str, each: Cursor) -> Answer:
        if isinstance(each.value, Mapping) and "fails" in each.value:
            keys = each.mapping(("fails", "message"))
            fails = cast(Failure, keys["fails"].word(get_args(Failure), "permanent"))
            return Answer({}, fails, keys["message"].text() if "message" in keys else fails)
        output = {key: one.value for key, one in each.free_mapping().items()}
        for action in self.actions(name):
            unknown_fields(each, shape_of(action.output))
        return Answer(output)

    def actions(self, name: str) -> list[Action]:
        """The actions that a step path or an action's name may mean."""
        found = [step.does for step in self.steps().values() if isinstance(step.does, Call)]
        paths = {path: step.does for path, step in self.steps().items()}
        calls = [call for call in found if call.use == name or paths.get(name) is call]
        return [action for call in calls[:1] for action in meant(call, self.catalogue)]

    def expected(self, each: Cursor) -> Expected:
        if isinstance(each.value, str):
            return Expected(cast(Outcome, each.word(get_args(Outcome), "done")))
        keys = each.mapping(("run", "calls", "reason"))
        calls = tuple(self.expected_call(one) for one in keys["calls"].items()) if "calls" in keys else None
        default = "done" if calls is None or calls else "none"
        outcome = keys["run"].word(get_args(Outcome), "done") if "run" in keys else default
        return Expected(cast(Outcome, outcome), calls, keys["reason"].text() if "reason" in keys else None)

    def expected_call(self, each: Cursor) -> ExpectedCall:
        if isinstance(each.value, str):
            self.known_use(each)
            return ExpectedCall(each.value)
        keys = each.mapping(("use", "step", "with"), needed=("use",))
        use = keys["use"].text() if "use" in keys else ""
        if use:
            self.known_use(keys["use"])
        values = {name: one.value for name, one in keys["with"].free_mapping().items()} if "with" in keys else {}
        for action in self.actions(use) if "with" in keys else ():
            unknown_fields(keys["with"], shape_of(action.input))
        return ExpectedCall(use, values, keys["step"].text() if "step" in keys else None)

    def known_use(self, each: Cursor) -> None:
        uses = {step.does.use for step in self.steps().values() if isinstance(step.does, Call)}
        if each.value not in uses:
            each.wrong(f"{self.recipe.name} never uses {each.value!r}", hint(str(each.value), uses))


SENT_KEYS = ("connection", "platform", "at", "test", "historical")
GIVEN_KEYS = ("type", "data", *SENT_KEYS)
HAPPENINGS = {
    "event": ("event", "with", *SENT_KEYS),
    "webhook": ("webhook", "with", "connection"),
    "pass": ("pass",),
    "approve": ("approve", "note"),
    "decline": ("decline", "note"),
}
"""What happens in a case, but for events that are stated there, and the keys that go with it."""


def _moment(each: Cursor) -> datetime | None:
    """A time with its offset from UTC, in quotes or without."""
    try:
        moment = parse_time(each.value) if isinstance(each.value, str) else each.value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        each.wrong("at should be a time with its offset from UTC", "write one like 2026-11-22T10:00:00Z")
        return None
    return moment


def inside(each: Cursor, path: tuple[int | str, ...]) -> Cursor:
    """The deepest place of the document on this way."""
    for key in path:
        there = isinstance(each.value, Mapping) and key in each.value
        if not there and not (isinstance(each.value, list) and isinstance(key, int) and key < len(each.value)):
            return each
        each = each.child(key)
    return each


def unknown_fields(each: Cursor, shape: Shape) -> None:
    """Names that the model does not know: models drop them silently, and a test would then test nothing."""
    fields = shape.fields()
    if isinstance(each.value, Mapping) and shape.kind == "object" and fields is not None:
        for name, child in each.free_mapping().items():
            if name not in fields:
                child.wrong(f"{shape} has no {name!r}", hint(name, fields), key=True)
            elif shape.model is not None and name in shape.model.model_computed_fields:
                child.wrong(f"{name!r} is computed", f"set what it is made of, as in `{name}s`", key=True)
            else:
                unknown_fields(child, fields[name])
    elif isinstance(each.value, list) and shape.item is not None:
        for child in each.items():
            unknown_fields(child, shape.item)
