"""What of a recipe can never happen: steps that nothing reaches, and waits that no event can end."""

from collections.abc import Iterator
from datetime import timedelta

from app.documents import Path
from app.events import event_type
from app.expressions import certain, paths
from app.recipes.model import Awaited, Choose, Recipe, Step, WaitFor

Found = tuple[Path, str, str]
"""The place, what is wrong, what to do."""


def never(recipe: Recipe) -> Iterator[Found]:
    """Conditions that no event can meet, or every one does, with what they shut out; waits that only time can end."""
    if recipe.where is not None and certain(recipe.where) is False:
        yield ("where",), "this is never true: no event runs the recipe", "`enabled: false` switches a recipe off"
    for awaited in recipe.cancel_on:
        yield from _awaited(recipe, awaited, "cancels a run")
    for step in recipe.all_steps():
        yield from _step(recipe, step)


def _step(recipe: Recipe, step: Step) -> Iterator[Found]:
    if step.condition is not None and certain(step.condition) is False:
        yield (*step.at, "if"), "this step is never reached: its `if` is never true", "remove the step, or its `if`"
    if isinstance(step.does, Choose):
        yield from _branches(step, step.does)
    if isinstance(step.does, WaitFor):
        yield from _awaited(recipe, step.does.awaited, "ends this wait")
        if step.does.timeout == timedelta(0):
            yield step.at, "this waits for no time at all", "say how long to wait at most, as in `timeout: 23h`"


def _branches(step: Step, choose: Choose) -> Iterator[Found]:
    """Branches that are never taken: their own `when` is never true, or one before them always is."""
    taken = False
    for index, branch in enumerate(choose.branches):
        at, known = (*step.at, "choose", index, "when"), certain(branch.when)
        if taken or known is False:
            why = "a branch before it always is" if taken else "its `when` is never true"
            yield at, f"this branch is never taken: {why}", "remove it, or mend the `when`"
        taken = taken or known is True
    if taken and choose.otherwise:
        mend = "remove it, or mend the `when` that is always true"
        yield (*step.at, "otherwise"), "`otherwise` is never taken: a branch before it always is", mend


def _awaited(recipe: Recipe, awaited: Awaited, deed: str) -> Iterator[Found]:
    at = (*awaited.at, "where")
    if certain(awaited.where) is False:
        yield at, f"this is never true: no event ever {deed}", "mend the condition"
        return
    for name in awaited.events:
        if recipe.events == (name,) and awaited.branches and _its_own(awaited, name):
            noun = event_type(name).noun
            message = f"no event ever {deed}: {name} comes once for each {noun}, and that began the run"
            yield at, message, f"wait for another event, or for another {noun}"


def _its_own(awaited: Awaited, name: str) -> bool:
    """Whether every branch asks for the object by whose milestone the run began."""
    try:
        kind = event_type(name)
    except ValueError:
        return False
    own, its = (kind.noun, "id"), [("run", kind.noun, "id")]
    return kind.milestone and all(
        any(each.field == own and [use.path for use in paths(each.value)] == its for each in branch)
        for branch in awaited.branches
    )
