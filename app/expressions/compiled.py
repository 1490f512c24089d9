"""Expressions, compiled once and kept: made when a recipe loads, evaluated for every event (about 3 us)."""

from collections.abc import Mapping
from decimal import DecimalException, DivisionByZero
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from jinja2 import nodes
from jinja2.environment import Template
from jinja2.exceptions import TemplateError, UndefinedError
from jinja2.runtime import Undefined

from app.expressions.errors import EvaluationError, ExpressionError
from app.expressions.filters import text_of
from app.expressions.grammar import (
    HTML_SANDBOX,
    MAX_TEMPLATE,
    PLAIN_SANDBOX,
    count_loops,
    parse_expression,
    parse_text,
    single,
)
from app.expressions.sandbox import MAX_TEXT, Room

Kind = Literal["value", "text", "condition", "constant"]
Tree: TypeAlias = "Expression | Mapping[str, Tree] | tuple[Tree, ...] | object"
DATA_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError, AttributeError)
SAID_TYPES = {
    "'NoneType'": "nothing",
    "'str'": "text",
    "'int'": "a number",
    "'decimal.Decimal'": "a number",
    "'datetime.datetime'": "a time",
    "'dict'": "an object",
    "'list'": "a list",
    "'bool'": "true or false",
    "datetime.datetime": "a time",
    "datetime.date": "a date",
}
SAID_WORDS = {
    " not supported between instances of": " cannot compare",
    "can't compare": "it cannot compare",
    "argument of type": "`in` cannot look into",
    " is not iterable": "",
    " is not a container or iterable": "",
    "'in <string>' requires string as left operand, not": "`in` looks in a text for text, not for",
}
"""Python's own words for what expressions get wrong, and ours."""
_RESULT = "_result"  # recipes cannot write names that begin so


class Expression:
    """One checked expression; its kind says what it gives: a value of any type, text, or the bool of a condition.

    Parsed when made, turned into code at the first evaluation. Immutable; may be shared by threads."""

    __slots__ = ("_deep", "_html", "_program", "kind", "source", "tree")

    def __init__(self, source: str, kind: Kind, tree: nodes.Node | None = None, html: bool = False) -> None:
        self.source = source
        self.kind: Kind = kind
        self.tree = tree
        self._html = html
        self._program: Template | None = None
        self._deep = tree is not None and _makes_lists(tree)

    def __repr__(self) -> str:
        return f"Expression({self.source!r}, {self.kind!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and (other.source, other.kind) == (self.source, self.kind)

    def __hash__(self) -> int:
        return hash((self.source, self.kind))

    def evaluate(self, scope: Mapping[str, object]) -> Any:
        """The value for this scope (name -> plain data).

        A field's value is handed on, not copied: do not change it. Raises EvaluationError for an unknown name or
        field, a wrong type, or a budget overrun."""
        if self.tree is None:
            return self.source
        program = self._program or self._compile()
        room = program.new_context(scope, shared=True)  # type: ignore[arg-type]
        try:
            if self.kind == "text":
                return self._text(program, room)
            for _ in program.root_render_func(room):
                pass
            return self._result(room.vars[_RESULT])
        except DATA_ERRORS as error:
            raise EvaluationError(f"{_said(error)}, in `{_shortened(self.source)}`") from error

    def _compile(self) -> Template:
        tree = self.tree or nodes.Template([], lineno=1)
        if self.kind != "text":
            store = nodes.Name(_RESULT, "store", lineno=1)
            tree = nodes.Template([nodes.Assign(store, tree, lineno=1)], lineno=1)
        sandbox = HTML_SANDBOX if self._html else PLAIN_SANDBOX
        tree.set_environment(sandbox)
        try:
            self._program = sandbox.from_string(count_loops(tree))  # type: ignore[arg-type]
        except (SyntaxError, RecursionError, MemoryError, TemplateError) as error:
            raise EvaluationError(f"this cannot be compiled ({error}), in `{_shortened(self.source)}`") from error
        return self._program

    def _result(self, value: Any) -> Any:
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        if self.kind == "condition":
            return bool(value)
        return _plain(value) if self._deep else value

    def _text(self, program: Template, room: Room | Any) -> str:
        limit = MAX_TEMPLATE * 8 if self._html else MAX_TEXT
        chunks, size = [], 0
        for chunk in program.root_render_func(room):
            size += len(chunk)
            if size > limit:
                raise EvaluationError(f"the text is longer than {limit:,} characters, in `{_shortened(self.source)}`")
            chunks.append(chunk)
        return "".join(chunks)


def _makes_lists(tree: nodes.Node) -> bool:
    literals = (nodes.List, nodes.Tuple, nodes.Dict)
    return isinstance(tree, literals) or any(True for _ in tree.find_all(literals))


def _plain(value: Any) -> Any:
    """Literals in an expression as plain lists and objects, with nothing undefined inside them."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _said(error: Exception) -> str:
    if isinstance(error, DivisionByZero):
        return "division by zero"
    if isinstance(error, DecimalException):
        return "the number is too large or too long"
    if isinstance(error, RecursionError):
        return "this is nested too deeply"
    if isinstance(error, UndefinedError | TemplateError):
        return str(error.message)
    text = str(error)
    if isinstance(error, TypeError) and any(words in text for words in SAID_WORDS):
        for word, said in (SAID_WORDS | SAID_TYPES).items():
            text = text.replace(word, said)
    return text


def _shortened(source: str) -> str:
    text = " ".join(source.split())
    return text if len(text) <= 120 else text[:117] + "..."


def compile_condition(source: str) -> Expression:
    """A bare expression for `where` and `if`; evaluates to a bool. Raises ExpressionError."""
    return Expression(source, "condition", parse_expression(source))


def compile_expression(source: str) -> Expression:
    """A bare expression whose value counts, as in `once_per`. Raises ExpressionError."""
    return Expression(source, "value", parse_expression(source))


def compile_value(source: str) -> Expression:
    """A value with `{{ ... }}`: one expression alone keeps its type, mixed text gives text. Raises ExpressionError."""
    if "{{" not in source and "{%" not in source and "{#" not in source:
        return Expression(source, "constant")
    tree = parse_text(source)
    only = single(tree)
    if only is None and source != source.strip():  # a block scalar ends with a line break: still one expression
        alone = source.strip()
        only = single(parse_text(alone))
        source = source if only is None else alone
    return Expression(source, "text", tree) if only is None else Expression(source, "value", only)


@lru_cache(maxsize=256)
def compile_template(source: str, html: bool = False) -> Expression:
    """A template file: text with loops and conditions; with `html` everything that is put in is escaped. Made once for
    each text: a folder's templates are looked through whenever one of its recipes is written."""
    return Expression(source, "text", parse_text(source, MAX_TEMPLATE), html)


def compile_tree(value: object, path: tuple[str | int, ...] = ()) -> Tree:
    """Nested data whose texts may hold `{{ ... }}`, ready for `render`.

    Raises ExpressionError, whose `path` is its place in the data."""
    if isinstance(value, str):
        try:
            return compile_value(value)
        except ExpressionError as error:
            error.path = path
            raise
    if isinstance(value, Mapping):
        return {key: compile_tree(each, (*path, key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(compile_tree(each, (*path, index)) for index, each in enumerate(value))
    return value


def render(tree: Tree, scope: Mapping[str, object]) -> Any:
    """The data of a compiled tree, every expression evaluated in this scope. Raises EvaluationError."""
    if isinstance(tree, Expression):
        return tree.evaluate(scope)
    if isinstance(tree, Mapping):
        return {key: render(each, scope) for key, each in tree.items()}
    if isinstance(tree, tuple):
        return [render(each, scope) for each in tree]
    return tree


def say(tree: Tree, scope: Mapping[str, object]) -> str | None:
    """The value of a compiled tree as it stands among text; None for nothing. Raises EvaluationError."""
    value = render(tree, scope)
    return None if value is None else spoken(value)


def spoken(value: object) -> str:
    """A value as it stands among text. Raises EvaluationError for one that cannot, as a list."""
    try:
        return text_of(value)
    except (TypeError, TemplateError) as error:
        raise EvaluationError(str(error)) from None


def evaluate(compiled: Expression, scope: Mapping[str, object]) -> Any:
    """The expression's value for this scope; see `Expression.evaluate`."""
    return compiled.evaluate(scope)


def expressions(tree: Tree, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Expression]]:
    """Every expression of a compiled tree (constants left out) with its place."""
    if isinstance(tree, Expression):
        return [] if tree.kind == "constant" else [(path, tree)]
    if isinstance(tree, Mapping):
        return [found for key, each in tree.items() for found in expressions(each, (*path, key))]
    if isinstance(tree, tuple):
        return [found for index, each in enumerate(tree) for found in expressions(each, (*path, index))]
    return []
