"""Runs the test files beside recipes: months pass in milliseconds, calls are captured, differences are readable.

report = run_tests(Path("recipes"), Registry())
report.passed, report.text()
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import ValidationError

from app.connector import Ignored
from app.documents import DocumentError, Problem, read_file
from app.domain.recipes import outline_of
from app.errors import ConfigError
from app.expressions import hint
from app.pipeline.match.simulate import Simulation
from app.pipeline.match.standins import Told
from app.recipes.catalogue import RegistryCatalogue
from app.recipes.covering import ways_met, ways_of
from app.recipes.inputs import settled
from app.recipes.loading import Loaded, load_folder, recipe_files, strays
from app.recipes.model import Recipe
from app.recipes.outcomes import compare
from app.recipes.payloads import Platform, payload_path
from app.recipes.snapshots import rewrite
from app.recipes.testfile import (
    Case,
    Decides,
    Given,
    Passes,
    Webhook,
    read_test_file,
)
from app.registry import Registry


@dataclass(frozen=True, slots=True)
class Result:
    """One case. differences: what came otherwise than expected, a line each; none when it passed."""

    recipe: str
    case: str
    line: int
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many ways through a recipe its cases took; missing: those that none did."""

    recipe: str
    met: int
    all: int
    missing: tuple[str, ...] = ()


@dataclass
class Report:
    """What the test files of a folder said."""

    results: list[Result] = field(default_factory=list)
    coverage: list[Coverage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not any(each.differences for each in self.results) and not any(
            each.severity == "error" for each in self.problems
        )

    def lines(self) -> Iterator[str]:
        """For people: faults first, then each recipe with what its cases cover."""
        yield from (str(problem) for problem in self.problems)
        for result in self.results:
            if result.differences:
                yield f"✗ {result.recipe}: {result.case} ({result.recipe}.test.yaml:{result.line})"
                yield from (f"    {difference}" for difference in result.differences)
        for each in self.coverage:
            cases = [result for result in self.results if result.recipe == each.recipe]
            good = sum(not result.differences for result in cases)
            yield f"{each.recipe}: {good} of {len(cases)} cases pass, {each.met} of {each.all} branches met"
            yield from (f"    never: {missing}" for missing in each.missing)
        yield from (f"{name}: no test file" for name in self.untested)
        yield from (f"{name}: expectations written anew" for name in self.updated)

    def text(self) -> str:
        return "\n".join(self.lines())

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "results": [asdict(each) for each in self.results],
            "coverage": [asdict(each) for each in self.coverage],
            "problems": [asdict(each) for each in self.problems],
            "untested": self.untested,
            "updated": self.updated,
        }


def run_folder(folder: Path, only: Sequence[str] = (), as_json: bool = False, update: bool = False) -> int:
    """Run the test files of a folder (of all recipes, or of those named `only`) and print what they say; the exit code:
    0 when all passed."""
    names = [path.stem for path in recipe_files(folder)]
    if unknown := [name for name in only if name not in names]:
        raise ConfigError(f"there is no recipe {unknown[0]!r} in {folder}; {hint(unknown[0], names)}")
    report = run_tests(folder, Registry(), only=only, update=update)
    print(orjson.dumps(report.as_json(), default=str).decode() if as_json else report.text())
    return 0 if report.passed else 1


def run_tests(folder: Path, registry: Registry, *, only: Sequence[str] = (), update: bool = False) -> Report:
    """Run the cases of every recipe of a folder (or of those named `only`). update: where calls differ, write what
    came into the test file as what is expected."""
    report = Report(problems=[] if only else strays(folder))
    catalogue = RegistryCatalogue(registry)
    for loaded in load_folder(folder, catalogue):
        if only and loaded.name not in only:
            continue
        report.problems += [each for each in loaded.problems if each.severity == "error"]
        if loaded.recipe is not None and loaded.usable:
            _run_recipe(folder, loaded, registry, catalogue, report, update)
    return report


def _run_recipe(
    folder: Path, loaded: Loaded, registry: Registry, catalogue: RegistryCatalogue, report: Report, update: bool
) -> None:
    recipe = cast(Recipe, loaded.recipe)
    path = folder / f"{recipe.name}.test.yaml"
    if not path.exists():
        report.untested.append(recipe.name)
        return
    try:
        document = read_file(path, f"{folder.name}/{path.name}")
    except DocumentError as error:
        report.problems += error.problems
        return
    tests, problems = read_test_file(document, recipe, catalogue, folder)
    report.problems += problems
    if problems:
        return
    met: set[str] = set()
    wrong: dict[int, Simulation] = {}
    for index, case in enumerate(tests.cases):
        found, simulation = run_case(recipe, registry, case, folder)
        met |= ways_met(recipe, simulation) if simulation else set()
        report.results.append(Result(recipe.name, case.name, document.mark(case.at).line, tuple(found)))
        if found and simulation is not None:
            wrong[index] = simulation
    ways = ways_of(recipe)
    missing = tuple(way for way in ways if way not in met)
    report.coverage.append(Coverage(recipe.name, len(ways) - len(missing), len(ways), missing))
    if update and wrong:
        rewrite(path, document, tests.cases, wrong)
        report.updated.append(recipe.name)


def run_case(
    recipe: Recipe, registry: Registry, case: Case, folder: Path | None = None
) -> tuple[list[str], Simulation | None]:
    """What came otherwise than a case expects, and the simulation that it ran in. folder: of the test file."""
    told = {
        name: [Told(each.output, each.fails, each.message) for each in answers]
        for name, answers in case.answers.items()
    }
    try:
        inputs = settled(recipe, case.inputs)
    except ValueError as error:
        return [str(error)], None
    simulation = Simulation(recipe, {connector.slug: connector for connector in registry}, inputs, told)
    platforms: dict[str, Platform] = {}
    found = []
    for each in case.happenings:
        if isinstance(each, Webhook):
            platform = platforms.setdefault(each.connector, Platform(registry[each.connector]))
            said = _come_in(simulation, platform, each, folder)
        else:
            said = _happen(simulation, each)
        found += [said] if said else []
    return [*found, *compare(simulation, case.expected)], simulation


def _happen(simulation: Simulation, each: Any) -> str | None:
    """Let one thing of a case happen; a sentence where it cannot."""
    if isinstance(each, Given):
        _note_unasked(simulation, each.type)
        try:
            simulation.happen(
                each.type, each.model(), connection=each.connection, platform=each.platform,
                occurred_at=each.occurred_at, test=each.test, historical=each.historical,
            )  # fmt: skip
        except (ValidationError, ValueError) as error:
            return f"the event cannot happen: {error}"
    elif isinstance(each, Passes):
        simulation.forward(each.span)
    elif isinstance(each, Decides) and not simulation.decide(each.step, each.approved, each.note):
        return f"nobody is asked at {each.step!r} when the answer comes"
    return None


def _note_unasked(simulation: Simulation, type_: str) -> None:
    """Why nothing comes of an event that the recipe neither takes nor waits for."""
    recipe = simulation.recipe
    if type_ not in recipe.events and type_ not in outline_of(recipe).awaits:
        simulation.decisions.append(f"it does not ask for {type_}, but for {', '.join(recipe.events)}")


def _come_in(simulation: Simulation, platform: Platform, each: Webhook, folder: Path | None) -> str | None:
    """Let a webhook come in, and its events happen; a sentence where it cannot be read. One that becomes no event is
    no fault: its reason is what the case may expect."""
    try:
        path = payload_path(each.connector, each.payload, folder)
        events = platform.events(path, each.changes, simulation.now)
    except (ValidationError, ValueError) as error:
        return f"the webhook cannot happen: {error}"
    if isinstance(events, Ignored):
        simulation.decisions.append(f"{path.name} becomes no event: {events.reason}")
        return None
    for event in events:
        _note_unasked(simulation, event.type)
        simulation.come(event, simulation.source(each.connection, each.connector))
    return None
