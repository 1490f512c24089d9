"""Writes expectations of a test file anew: what came becomes what is expected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from app.pipeline.match.simulate import Captured, Simulation
from app.recipes.outcomes import outcome, why
from app.recipes.testfile import Case, ExpectedCall


def rewrite(path: Path, cases: Sequence[Case], wrong: Mapping[int, Simulation]) -> None:
    """Write what came as what is expected; comments and all other cases stay as they are."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(path.read_text())
    for index, simulation in wrong.items():
        state, _ = outcome(simulation)
        expect: dict[str, Any] = {"run": state}
        if (part := cases[index].expected.reason) is not None:
            expect["reason"] = part if part in why(simulation) else why(simulation)
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
