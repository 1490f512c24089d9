"""Runs the test files beside recipes: months pass in milliseconds, calls are captured, differences are readable.

report = run_tests(Path("recipes"), Registry())
report.passed, report.text()
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import ValidationError
from ruamel.yaml import YAML

from app.documents import DocumentError, Problem, read_file
from app.pipeline.match.simulate import Captured, Simulation, Told
from app.recipes.catalogue import RegistryCatalogue
from app.recipes.inputs import settled
from app.recipes.loading import Loaded, load_folder
from app.recipes.model import Choose, Recipe
from app.recipes.testfile import (
    Case,
    Decides,
    Expected,
    ExpectedCall,
    Given,
    Passes,
    Webhook,
    differences,
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
                yield f"✗ {result.recipe}: {result.case} (line {result.line})"
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


def run_folder(folder: Path, as_json: bool = False, update: bool = False) -> int:
    """Run the test files of a folder and print what they say; the exit code: 0 when all passed."""
    report = run_tests(folder, Registry(), update=update)
    print(orjson.dumps(report.as_json(), default=str).decode() if as_json else report.text())
    return 0 if report.passed else 1


def run_tests(folder: Path, registry: Registry, *, only: Sequence[str] = (), update: bool = False) -> Report:
    """Run the cases of every recipe of a folder (or of those named `only`). update: where calls differ, write what
    came into the test file as what is expected."""
    report = Report()
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
    tests, problems = read_test_file(document, recipe, catalogue)
    report.problems += problems
    if problems:
        return
    met: set[str] = set()
    wrong: dict[int, Simulation] = {}
    for index, case in enumerate(tests.cases):
        found, simulation = run_case(recipe, registry, case)
        met |= ways_met(recipe, simulation) if simulation else set()
        report.results.append(Result(recipe.name, case.name, document.mark(case.at).line, tuple(found)))
        if found and simulation is not None:
            wrong[index] = simulation
    ways = ways_of(recipe)
    missing = tuple(way for way in ways if way not in met)
    report.coverage.append(Coverage(recipe.name, len(ways) - len(missing), len(ways), missing))
    if update and wrong:
        rewrite(path, tests.cases, wrong)
        report.updated.append(recipe.name)


def run_case(recipe: Recipe, registry: Registry, case: Case) -> tuple[list[str], Simulation | None]:
    """What came otherwise than a case expects, and the simulation that it ran in."""
    told = {
        name: [Told(each.output, each.fails, each.message) for each in answers]
        for name, answers in case.answers.items()
    }
    try:
        inputs = settled(recipe, case.inputs)
    except ValueError as error:
        return [str(error)], None
    simulation = Simulation(recipe, {connector.slug: connector for connector in registry}, inputs, told)
    found = [said for each in case.happenings if (said := _happen(simulation, each))]
    return [*found, *compare(simulation, case.expected)], simulation


def _happen(simulation: Simulation, each: Any) -> str | None:
    """Let one thing of a case happen; a sentence where it cannot."""
    if isinstance(each, Given):
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
    elif isinstance(each, Webhook):
        return "webhooks by their payload cannot be tested here; state the event that they become"
    return None


# --- comparing --------------------------------------------------------------------------------------------------


def outcome(simulation: Simulation) -> tuple[str, str | None]:
    """How the last run ended (none: there was none), and why."""
    if not simulation.runs:
        return "none", "; ".join(simulation.decisions) or None
    run = simulation.runs[-1]
    if run.state == "running":
        return "waiting", run.reason
    return ("stopped" if run.state == "done" and run.stopped else run.state), run.reason


def compare(simulation: Simulation, expected: Expected) -> list[str]:
    state, reason = outcome(simulation)
    found = []
    if state != expected.run and not (expected.run == "done" and state == "stopped"):
        found.append(f"run: expected {expected.run}, got {state}" + (f" ({reason})" if reason else ""))
    why = "; ".join(dict.fromkeys(each for each in (reason, *simulation.decisions) if each))
    if expected.reason is not None and expected.reason not in why:
        found.append(f"reason: expected {expected.reason!r}, got {why!r}")
    if expected.calls is not None:
        found += list(_calls(simulation.calls, expected.calls))
    return found


def _calls(made: Sequence[Captured], expected: Sequence[ExpectedCall]) -> Iterator[str]:
    got = [f"{call.use}" for call in made]
    wanted = [call.use for call in expected]
    if got != wanted:
        yield f"calls: expected {', '.join(wanted) or 'none'}; got {', '.join(got) or 'none'}"
        return
    for number, (call, one) in enumerate(zip(made, expected, strict=True), 1):
        if one.step is not None and one.step != call.step.partition("[")[0] and one.step != call.step:
            yield f"call {number}, {call.use}: expected step {one.step!r}, got {call.step!r}"
        for line in differences(one.values, call.values):
            yield f"call {number}, {call.use}: {line}"


# --- coverage ---------------------------------------------------------------------------------------------------


def ways_of(recipe: Recipe) -> list[str]:
    """The ways through a recipe: each step, done and left out where it has an `if`; each branch of a choice."""
    ways = [] if recipe.where is None else ["where is true", "where is false"]
    for step in recipe.all_steps():
        ways += [step.path] if step.condition is None else [f"{step.path}, done", f"{step.path}, left out"]
        if isinstance(step.does, Choose):
            ways += [f"{step.path}, branch {index + 1}" for index in range(len(step.does.branches))]
            ways += [f"{step.path}, otherwise"]
    return ways


def ways_met(recipe: Recipe, simulation: Simulation) -> set[str]:
    met = {"where is true"} if simulation.runs else set[str]()
    if any(said.startswith("where is false") for said in simulation.decisions):
        met.add("where is false")
    for run in simulation.runs:
        for row in run.steps.values():
            try:
                step = recipe.step(row.path)
            except KeyError:
                continue
            done = row.state != "skipped"
            met |= {step.path} if step.condition is None else {f"{step.path}, {'done' if done else 'left out'}"}
            if isinstance(step.does, Choose) and done and isinstance(row.output, Mapping):
                taken = row.output.get("branch")
                met.add(f"{step.path}, {'otherwise' if taken is None else f'branch {taken + 1}'}")
    return met


# --- writing expectations anew ----------------------------------------------------------------------------------


def rewrite(path: Path, cases: Sequence[Case], wrong: Mapping[int, Simulation]) -> None:
    """Write what came as what is expected; comments and all other cases stay as they are."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    document = yaml.load(path.read_text())
    for index, simulation in wrong.items():
        state, _ = outcome(simulation)
        expect: dict[str, Any] = {"run": state}
        if cases[index].expected.calls is not None or simulation.calls:
            before = list(cases[index].expected.calls or ())
            expect["calls"] = [_as_written(call, before, number) for number, call in enumerate(simulation.calls)]
        document["cases"][index]["expect"] = expect
    with path.open("w") as file:
        yaml.dump(document, file)


def _as_written(call: Captured, before: Sequence[ExpectedCall], number: int) -> dict[str, Any]:
    """A call as a test file says it: with the inputs that were compared before, else with all."""
    same = before[number] if number < len(before) and before[number].use == call.use else None
    values = {name: call.values.get(name) for name in same.values} if same else call.values
    written: dict[str, Any] = {"use": call.use}
    if not (isinstance(call.step, str) and call.step == call.use):
        written["step"] = call.step
    return {**written, "with": values} if values else written
