"""Random valid recipes over random histories with workers that die anywhere end as one uninterrupted run would have.

The world is the simulation that recipes are tested with: the same decisions and the same walk as in a hub, rows in
memory. `tests/e2e/test_engine_any_recipe.py` holds a real hub against it.
"""

import functools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from app.documents import Document
from app.recipes import Recipe, RegistryCatalogue, check_recipe, cursor, read_recipe, settled
from app.registry import Registry
from tests.support import testconnector
from tests.support.anyhistory import Crashing, World, answers, history, live_through, met_in, outcome
from tests.support.anyrecipe import AnyRecipe

RECIPES, CRASHES, LEAST = 680, 2, 100
START = datetime(2026, 3, 27, 10, tzinfo=UTC)
REGISTRY = Registry(testconnector.connector)
CONNECTORS = {connector.slug: connector for connector in REGISTRY}
CATALOGUE = RegistryCatalogue(REGISTRY)


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expressions of one text are compiled once for all recipes: most of the time would go there."""
    for name in ("compile_condition", "compile_expression", "compile_value"):
        compile_: Callable[..., Any] = getattr(cursor, name)
        monkeypatch.setattr(cursor, name, functools.cache(compile_))


def any_recipe(dice: Random) -> tuple[Recipe, list[str]]:
    written = AnyRecipe(dice, remembers=dice.random() < 0.25)
    document = Document("any.yaml", written.recipe(), {}, {})
    recipe, problems = read_recipe(document, "any")
    assert recipe is not None
    found = [*problems, *check_recipe(recipe, document, CATALOGUE)] if dice.random() < 0.3 else problems
    assert [str(each) for each in found if each.severity == "error"] == []
    return recipe, written.calls


@pytest.mark.usefixtures("compiled_once")
def test_runs_that_are_killed_anywhere_end_as_an_uninterrupted_one(record_property: Callable[..., None]) -> None:
    met: Counter[str] = Counter()
    for seed in range(RECIPES):
        dice = Random(seed)
        recipe, calls = any_recipe(dice)
        told, happenings = answers(dice, calls), history(dice)
        inputs = settled(recipe, {})
        calm = World(recipe, CONNECTORS, inputs, told, now=START)
        live_through(calm, happenings)
        met += met_in(calm)
        for _ in range(CRASHES):
            crashing = Crashing(recipe, CONNECTORS, inputs, told, now=START, dice=dice, met=met)
            live_through(crashing, happenings)
            assert outcome(crashing) == outcome(calm), f"seed {seed}"
    lines = [f"{count:8,}  {what}" for what, count in sorted(met.items())]
    record_property("printed", "\n".join([f"what {RECIPES} random recipes and their crashes met:", *lines]))
    assert [what for what, count in met.items() if count < LEAST] == []
    assert met.keys() >= KINDS


KINDS = {
    *(f"step {kind}" for kind in ("use", "wait", "wait_for", "choose", "parallel", "steps", "emit", "set", "approve")),
    *("step stop", "step cancel_on", "step limits", "run done", "run failed", "run cancelled"),
    *(f"inside {each}" for each in ("choose", "parallel", "steps", "for_each", "on_error", "3 others")),
    *(f"wait: {each}" for each in ("a span", "an expression", "local hour", "weekday", "a limit")),
    *(f"wait: {kind} {end}" for kind in ("wait_for", "approve") for end in ("answered", "timed out")),
    *(f"cancelled: {each}" for each in ("by an event before any call", "by an event after a call", "replaced")),
    *("cancelled: by a limit", "killed with an answer not noted", "killed with a due run not taken up"),
    *(f"killed {when} it wrote: {what}" for when in ("before", "after") for what in ("call made", "wait_for begun")),
}
"""What the recipes and histories must have in them, however they are drawn."""
