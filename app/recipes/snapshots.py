"""Writes expectations of a test file anew: what came becomes what is expected."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from app.documents import Document
from app.pipeline.match.simulate import Captured, Simulation
from app.recipes.outcomes import outcome, why
from app.recipes.testfile import Case, ExpectedCall


def rewrite(path: Path, document: Document, cases: Sequence[Case], wrong: Mapping[int, Simulation]) -> None:
    """Write what came as what is expected; all else stays as it is, to the letter."""
    text = path.read_bytes().decode()
    lines, end_of_line = text.splitlines(keepends=True), _end_of_line(text)
    for index in sorted(wrong, reverse=True):
        mark = document.mark(("cases", index, "expect"), key=True)
        before = lines[mark.line - 1][: mark.column - 1]
        if before.strip(" -"):
            _rewrite_whole(path, cases, wrong)  # a case in one line: there is no line of its own to replace
            return
        end = mark.line
        while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) >= mark.column):
            end += 1
        while not lines[end - 1].strip():
            end -= 1
        new = _dumped({"expect": _expected(cases[index], wrong[index])}).splitlines()
        new = [before + new[0], *(" " * len(before) + line for line in new[1:])]
        lines[mark.line - 1 : end] = [line + end_of_line for line in new]
    path.write_bytes("".join(lines).encode())


def _end_of_line(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dumped(value: Any) -> str:
    yaml = _yaml()
    yaml.default_flow_style = None  # what holds no further objects stands in one line
    text = StringIO()
    yaml.dump(value, text)
    return text.getvalue()


def _rewrite_whole(path: Path, cases: Sequence[Case], wrong: Mapping[int, Simulation]) -> None:
    yaml = _yaml()
    text = path.read_bytes().decode()
    document = yaml.load(text)
    for index, simulation in wrong.items():
        document["cases"][index]["expect"] = _expected(cases[index], simulation)
    with path.open("w", encoding="utf-8", newline=_end_of_line(text)) as file:
        yaml.dump(document, file)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _expected(case: Case, simulation: Simulation) -> dict[str, Any]:
    """What came, as a case expects it."""
    expect: dict[str, Any] = {"run": outcome(simulation)[0]}
    if (part := case.expected.reason) is not None:
        expect["reason"] = part if part in why(simulation) else why(simulation)
    if case.expected.calls is not None or simulation.calls:
        before = list(case.expected.calls or ())
        expect["calls"] = [_as_written(call, before, number) for number, call in enumerate(simulation.calls)]
    return expect


def _as_written(call: Captured, before: Sequence[ExpectedCall], number: int) -> dict[str, Any]:
    """A call as a test file says it: with the inputs that were compared before, else with all."""
    same = before[number] if number < len(before) and before[number].use == call.use else None
    values = {name: call.values.get(name) for name in same.values} if same else call.values
    written: dict[str, Any] = {"use": call.use}
    if not (isinstance(call.step, str) and call.step == call.use):
        written["step"] = call.step
    return {**written, "with": values} if values else written
