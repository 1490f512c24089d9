"""The ways through a recipe, and which of them the cases of its test file took."""

from collections.abc import Iterator, Mapping

from app.pipeline.match.simulate import Simulation
from app.recipes.model import Approve, Choose, Recipe, Step, WaitFor
from app.store.runs import StepRow


def ways_of(recipe: Recipe) -> list[str]:
    """Each step, done and left out where it has an `if`; each branch of a choice; each end of what it waits for."""
    ways = [] if recipe.where is None else ["where is true", "where is false"]
    ways += ["cancel_on"] if recipe.cancel_on else []
    for step in recipe.all_steps():
        ways += [step.path] if step.condition is None else [f"{step.path}, done", f"{step.path}, left out"]
        ways += [f"{step.path}, {end}" for end in _ends(step)]
    return ways


def _ends(step: Step) -> Iterator[str]:
    match step.does:
        case Choose(branches=branches):
            yield from (f"branch {index + 1}" for index in range(len(branches)))
            yield "otherwise"
        case WaitFor():
            yield from ("an event came", "timed out")
        case Approve():
            yield from ("approved", "declined")
            yield from ("timed out",) if step.timeout is not None else ()


def ways_met(recipe: Recipe, simulation: Simulation) -> set[str]:
    """The ways that the runs of a simulation took."""
    met = {"where is true"} if simulation.runs else set[str]()
    if any(said.startswith("where is false") for said in simulation.decisions):
        met.add("where is false")
    for run in simulation.runs:
        met |= {"cancel_on"} if run.state == "cancelled" and recipe.cancel_on else set()
        for row in run.steps.values():
            met |= set(_way(recipe, row))
    return met


def _way(recipe: Recipe, row: StepRow) -> Iterator[str]:
    try:
        step = recipe.step(row.path)
    except KeyError:
        return  # the row of a limit, or of `cancel_on`
    done = row.state != "skipped"
    yield step.path if step.condition is None else f"{step.path}, {'done' if done else 'left out'}"
    decided = row.state != "running" or isinstance(step.does, Choose)
    end = _end(step, row.output) if done and decided and isinstance(row.output, Mapping) else None
    if end is not None:
        yield f"{step.path}, {end}"


def _end(step: Step, output: Mapping[str, object]) -> str | None:
    match step.does:
        case Choose():
            taken = output.get("branch")
            return f"branch {taken + 1}" if isinstance(taken, int) else "otherwise"
        case WaitFor() | Approve() if output.get("timed_out"):
            return "timed out"
        case WaitFor():
            return "an event came"
        case Approve():
            return "approved" if output.get("approved") else "declined"
    return None
