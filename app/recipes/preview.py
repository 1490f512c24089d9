"""A template as it would be sent: with a sample event of some kind or a stored one, in any language.

What a recipe's steps would have given is made up, its inputs are their defaults, and `data` is what the step says that
names the template.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.connector import Action, Connector, Ignored
from app.documents import read_file
from app.domain.recipes import outline_of
from app.errors import ConfigError
from app.events import EVENT_TYPES, Event, Ref
from app.expressions import EvaluationError, hint
from app.ids import new_id
from app.pipeline.match import event_scope
from app.pipeline.match.simulate import Happened
from app.pipeline.match.standins import output_of
from app.recipes.catalogue import RegistryCatalogue
from app.recipes.model import Approve, Call, Recipe, Step, WaitFor
from app.recipes.payloads import Platform, bodies_in, payload_folder
from app.recipes.templates import Templates, filled, name_of
from app.recipes.testfile import Given, read_test_file
from app.registry import Registry

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PARTS = ("subject", "html", "text")


@dataclass(frozen=True, slots=True)
class Preview:
    """The parts that a template has; None for one that it has not."""

    template: str
    recipe: str | None
    event: str
    subject: str | None
    html: str | None
    text: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def users_of(template: str, recipes: Sequence[Recipe]) -> list[tuple[Recipe, Step]]:
    """The recipes and steps that name a template."""
    steps = [(recipe, step) for recipe in recipes for step in recipe.all_steps()]
    return [(r, step) for r, step in steps if isinstance(step.does, Call) and name_of(step.does) == template]


def preview(
    template: str, library: Templates, recipes: Sequence[Recipe], registry: Registry, fact: Happened | None = None,
    sample: str = "", locale: str | None = None, shop: str | None = None, folder: Path | None = None,
) -> Preview:  # fmt: skip
    """A template filled in with an event: `fact`, or a sample of a type (of the recipe that names the template, if not
    said), out of the recipe's test file in `folder`, else of what connectors keep. Raises ConfigError where there is
    nothing to fill it in with, or it does not take it."""
    found = library.get(template)
    if found is None or not found.variants:
        raise ConfigError(f"there is no template {template!r}; {hint(template, library) or 'the folder has none'}")
    if found.problems:
        raise ConfigError("\n".join(map(str, found.problems)))
    recipe, step = _user(users_of(template, recipes), fact.event.type if fact else sample)
    types = [fact.event.type] if fact else [sample] if sample else list(recipe.events) if recipe else []
    fact = fact or next(_tested(types, recipe, folder, registry), None) or next(_samples(types, registry), None)
    if fact is None:
        raise ConfigError(f"no connector has a sample of {' or '.join(types) or 'any event'}; name one with --sample")
    values = {"template": template, **_data(step), **({"locale": locale} if locale else {})}
    try:
        fields = filled(values, _scope(fact, recipe, registry), {template: found}, PARTS, shop)
    except EvaluationError as e:
        raise ConfigError(f"{template} cannot be filled in with {fact.event.type}: {e}") from e
    return Preview(template, recipe.name if recipe else None, fact.event.type, *(fields.get(each) for each in PARTS))


def _user(users: Sequence[tuple[Recipe, Step]], event: str) -> tuple[Recipe | None, Step | None]:
    """The step to fill it in for: of a recipe that answers such events, if there is one."""
    fitting = [(recipe, step) for recipe, step in users if event in recipe.events]
    return next(iter([*fitting, *users]), (None, None))


def _data(step: Step | None) -> Mapping[str, Any]:
    call = step.does if step is not None else None
    return {"data": call.values["data"]} if isinstance(call, Call) and "data" in call.values else {}


def _scope(fact: Happened, recipe: Recipe | None, registry: Registry) -> dict[str, Any]:
    scope: dict[str, Any] = {**event_scope(fact), "now": NOW, "inputs": {}, "steps": {}}
    if recipe is None:
        return scope
    absent = dict.fromkeys(outline_of(recipe).absent)
    inputs = {name: each.default for name, each in recipe.inputs.items()}
    return {**absent, **scope, "inputs": inputs, "steps": _results(recipe, registry)}


def _results(recipe: Recipe, registry: Registry) -> dict[str, Any]:
    """What the steps would give: made up, as a simulation does; waits are over."""
    made: dict[str, Any] = {}
    for step in recipe.all_steps():
        if step.id is None:
            continue
        match step.does:
            case Call() as call:
                made[step.id] = output_of(_action(registry, call), {})
            case WaitFor():
                made[step.id] = {"event": None, "timed_out": True}
            case Approve():
                made[step.id] = {"approved": True, "timed_out": False, "by": "somebody", "note": None}
            case _:
                made[step.id] = None
    return made


def _action(registry: Registry, call: Call) -> Action | None:
    if call.connector != "store":
        return registry.actions(call.connector).get(call.action)
    stores = (each for each in registry if call.action in each.store)
    return next((registry.actions(each.slug)[each.store[call.action]] for each in stores), None)


def _tested(types: Sequence[str], recipe: Recipe | None, folder: Path | None, registry: Registry) -> Iterator[Happened]:
    """Events of these types in the test file beside the recipe."""
    path = folder / f"{recipe.name}.test.yaml" if folder is not None and recipe is not None else None
    if path is None or recipe is None or not path.is_file():
        return
    tests, problems = read_test_file(read_file(path, path.name), recipe, RegistryCatalogue(registry))
    given = [one for case in tests.cases for one in case.happenings if isinstance(one, Given) and one.type in types]
    for one in given if not problems else ():
        event = Event(one.type, Ref("sample", "1"), Ref("sample", "1"), one.occurred_at or NOW, one.model())
        yield Happened(new_id(), "main", None, event, one.test, NOW)


def _samples(types: Sequence[str], registry: Registry) -> Iterator[Happened]:
    """Events of these types, out of the webhooks that connectors keep as samples; the fullest first."""
    for wanted in types:
        if wanted not in EVENT_TYPES:
            raise ConfigError(f"there is no event {wanted!r}; {hint(wanted, EVENT_TYPES)}")
        events = [event for event in _all_samples(wanted, registry) if event.type == wanted]
        for event in sorted(events, key=lambda each: -len(each.data.model_dump_json(exclude_none=True))):
            yield Happened(new_id(), "main", None, event, False, event.occurred_at or NOW)


def _sample_files(connector: Connector[Any]) -> list[Path]:
    """The events expected of a connector's sample bodies; none for one that is not shipped."""
    try:
        folder = payload_folder(connector.slug)
    except ImportError:
        return []
    return sorted(folder.glob("*/*.events.json")) if connector.source is not None else []


def _all_samples(wanted: str, registry: Registry) -> Iterator[Event]:
    for connector in registry:
        for path in _sample_files(connector):
            if not any(each.get("type") == wanted for each in orjson.loads(path.read_bytes())):
                continue
            body = next((each for each in bodies_in(path.parent) if each.stem == path.name.split(".")[0]), None)
            try:
                said = Platform(connector).events(body, {}, NOW) if body else []
            except ValueError:
                continue
            yield from () if isinstance(said, Ignored) else said


def shown(each: Preview) -> str:
    """For a terminal: what goes out, part by part."""
    parts = [("Subject", each.subject), ("Text", each.text), ("HTML", each.html)]
    head = f"{each.template}, with {each.event}" + (f" as {each.recipe} sends it" if each.recipe else "")
    return "\n\n".join([head, *(f"--- {name} ---\n{said.strip()}" for name, said in parts if said)])


def write(each: Preview, folder: Path) -> list[Path]:
    """The parts as files, to be opened in a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, said in (("subject.txt", each.subject), ("html", each.html), ("txt", each.text)):
        if said:
            made.append(folder / f"{each.template}.{name}")
            made[-1].write_text(said)
    return made
