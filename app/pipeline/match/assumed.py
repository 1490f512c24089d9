"""Which decisions of a run rest on an example: on the output of a call that nobody recorded."""

from collections.abc import Iterator, Mapping

from app.expressions import Expression, paths
from app.pipeline.match.simulate import SimulatedRun
from app.recipes import Choose, Recipe, Step, Wait, WaitFor


def assumed(run: SimulatedRun) -> int:
    """How many decisions of a run (an `if`, a branch, the items of a `for_each`, a wait) read such an output."""
    examples = {call.step.partition("[")[0] for call in run.calls if call.assumed}
    if not examples:
        return 0
    recipe = run.facts.recipe
    reads = _READS.get((recipe.name, recipe.digest)) or _READS.setdefault((recipe.name, recipe.digest), _reads(recipe))
    asked = (reads.get(row.path.partition("[")[0], frozenset()) for row in run.steps.values())
    return sum(bool(each & examples) for each in asked)


_READS: dict[tuple[str, str], Mapping[str, frozenset[str]]] = {}


def _reads(recipe: Recipe) -> Mapping[str, frozenset[str]]:
    """By step path the paths of the steps whose outputs decide about it."""
    known = {step.id: step.path for step in recipe.all_steps() if step.id}
    return {step.path: frozenset(known[name] for name in _ids(step) if name in known) for step in recipe.all_steps()}


def _ids(step: Step) -> Iterator[str]:
    for expression in _deciding(step):
        for use in paths(expression):
            steps = use.path[1:] if use.path[:1] == ("run",) else use.path
            if len(steps) > 1 and steps[0] == "steps":
                yield steps[1]


def _deciding(step: Step) -> Iterator[Expression]:
    asked: list[object] = [step.condition, step.timeout]
    asked += [step.for_each.items, step.for_each.key] if step.for_each else []
    match step.does:
        case Choose(branches=branches):
            asked += [branch.when for branch in branches]
        case Wait(span=span, until=until):
            asked += [span, until]
        case WaitFor(awaited=awaited, timeout=timeout):
            asked += [awaited.where, timeout]
    yield from (each for each in asked if isinstance(each, Expression))
