"""A place in a document that is being read: gives typed values, and notes every fault with its line and column."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from app.documents import Document, Path, Problem, Severity
from app.expressions import (
    Expression,
    ExpressionError,
    Tree,
    compile_condition,
    compile_expression,
    compile_value,
    hint,
    nearest,
)
from app.recipes.durations import parse_duration

T = TypeVar("T")
SWITCHES = {
    **dict.fromkeys(["yes", "y", "on", "true", "1"], "true"),
    **dict.fromkeys(["no", "n", "off", "false", "0"], "false"),
}
"""Words that are text in YAML 1.2, and what is meant by them where something is true or false."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value of the document. Reading on after a fault gives harmless values, so that one pass finds all faults."""

    document: Document
    path: Path
    value: Any
    problems: list[Problem]

    def wrong(
        self,
        message: str,
        mend: str = "",
        *,
        key: bool = False,
        within: tuple[int, int] | None = None,
        severity: Severity = "error",
    ) -> None:
        fault = self.document.problem(self.path, message, mend, key=key, within=within, severity=severity)
        if fault not in self.problems:
            self.problems.append(fault)

    @property
    def name(self) -> str:
        if not self.path:
            return "the file"
        return f"item {self.path[-1] + 1}" if isinstance(self.path[-1], int) else self.path[-1]

    def child(self, key: str | int) -> "Cursor":
        return Cursor(self.document, (*self.path, key), self.value[key], self.problems)

    def mapping(self, allowed: Collection[str], needed: Collection[str] = ()) -> "dict[str, Cursor]":
        """The values by key; unknown and missing keys are faults."""
        if not isinstance(self.value, Mapping):
            self.wrong(f"{self.name} should have keys: {', '.join(allowed)}", "write them below it, indented")
            return {}
        for key in self.value:
            if key not in allowed:
                self.child(key).wrong(f"there is no key {key!r} here", hint(key, allowed), key=True)
        for key in needed:
            if key not in self.value:
                self.wrong(f"{self.name} needs the key {key!r}", "add it")
        return {key: self.child(key) for key in self.value if key in allowed}

    def free_mapping(self) -> "dict[str, Cursor]":
        if not isinstance(self.value, Mapping):
            self.wrong(f"{self.name} should have names with values", "write them below it, indented")
            return {}
        return {str(key): self.child(key) for key in self.value}

    def items(self) -> "list[Cursor]":
        if not isinstance(self.value, list):
            self.wrong(f"{self.name} should be a list", "begin each item with a dash")
            return []
        return [self.child(index) for index in range(len(self.value))]

    def items_or_one(self) -> "list[Cursor]":
        return self.items() if isinstance(self.value, list) else [self]

    def text(self, longest: int = 200) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            self.wrong(f"{self.name} should be text", "quote it" if self.value is not None else "write some")
            return ""
        if len(self.value) > longest:
            self.wrong(f"{self.name} is longer than {longest} characters", "shorten it")
        return self.value.strip()

    def plain(self, longest: int = 200) -> str:
        """Text that stands as it is: an expression in it would never be filled in."""
        if isinstance(self.value, str) and "{{" in self.value:
            self.wrong(f"{self.name} is taken to the letter: nothing is put in for {{{{ }}}}", "write it out")
            return ""
        return self.text(longest)

    def word(self, choices: Collection[str], default: str) -> str:
        if self.value not in choices:
            offer = nearest(str(self.value), choices)
            mend = f"did you mean {offer!r}?" if offer else "choose one of these"
            self.wrong(f"{self.name} should be one of: {', '.join(choices)}", mend)
            return default
        return str(self.value)

    def flag(self, default: bool) -> bool:
        if not isinstance(self.value, bool):
            meant = SWITCHES.get(str(self.value).strip().lower())
            mend = f"write {meant}, without quotes" if meant else "write one of these words, without quotes"
            self.wrong(f"{self.name} should be true or false, not {self.value!r}", mend)
            return default
        return self.value

    def whole(self, least: int, most: int) -> int:
        right = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not right or not least <= self.value <= most:
            self.wrong(
                f"{self.name} should be a whole number from {least} to {most}", "write such a number, without quotes"
            )
            return least
        return int(self.value)

    def number(self) -> Decimal | None:
        if isinstance(self.value, bool) or not isinstance(self.value, int | Decimal):
            self.wrong(f"{self.name} should be a number", "write one like 10 or 0.5, without quotes")
            return None
        return Decimal(self.value)

    def parsed(self, parse: Callable[[str], T], default: T) -> T:
        """The text as `parse` understands it; its ValueError is the sentence of the fault."""
        try:
            return parse(str(self.value))
        except ValueError as error:
            message, _, mend = str(error).partition("; ")
            self.wrong(message, mend)
            return default

    def duration(self) -> timedelta:
        return self.parsed(parse_duration, timedelta(seconds=1))

    def span(self) -> timedelta | Expression:
        """A duration, or an expression in `{{ }}` that gives one."""
        if isinstance(self.value, str) and "{{" in self.value:
            tree = self.tree()
            return tree if isinstance(tree, Expression) else timedelta(seconds=1)
        return self.duration()

    def condition(self) -> Expression | None:
        """A bare expression that is true or false; `true` and `false` themselves too."""
        return self._compiled(compile_condition)

    def expression(self) -> Expression | None:
        """A bare expression, with or without `{{ }}` around it."""
        return self._compiled(compile_expression)

    def bare(self) -> Expression | None:
        """An expression whose value counts, written bare or in `{{ }}`."""
        text = str(self.value).strip()
        if text.startswith("{{") and text.endswith("}}"):
            tree = self.tree()
            return tree if isinstance(tree, Expression) else None
        return self.expression()

    def _compiled(self, compile_: Callable[[str], Expression]) -> Expression | None:
        if isinstance(self.value, list | dict) or self.value is None:
            self.wrong(f"{self.name} should be an expression", "write one like `order.total.amount > 0`")
            return None
        text = str(self.value).lower() if isinstance(self.value, bool) else str(self.value)
        try:
            return compile_(text)
        except ExpressionError as error:
            self.expression_fault(error)
            return None

    def tree(self) -> Tree:
        """Nested values with `{{ ... }}` in their texts, compiled."""
        if isinstance(self.value, Mapping):
            return {key: child.tree() for key, child in self.free_mapping().items()}
        if isinstance(self.value, list):
            return tuple(child.tree() for child in self.items())
        try:
            return compile_value(self.value) if isinstance(self.value, str) else self.value
        except ExpressionError as error:
            self.expression_fault(error)
            return None

    def expression_fault(self, error: ExpressionError) -> None:
        self.wrong(error.message, error.mend, within=(error.line, error.column))
