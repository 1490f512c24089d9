"""The closed room in which expressions run: Jinja2 over plain data, where no attribute of a Python object is reachable.

Plain data is dict, list, str, int, Decimal, bool, None, and aware UTC datetimes and dates. A dot looks up items only,
a field of nothing (None) is nothing, nothing can be called, and what can grow is counted against a budget.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.lexer import TokenStream
from jinja2.runtime import Context as TemplateContext
from jinja2.runtime import LoopContext, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.expressions.errors import ExpressionError, hint
from app.expressions.misspelt import Slip, slip_of

Filter = Callable[..., Any]
CLOSE = "look at its brackets and quotes"
MAX_TEXT = 100_000  # characters that one operation or one value may make
MAX_ITEMS = 10_000  # items of a list that an expression makes
MAX_HELD = 100_000  # items, counted through all inside them, of a list or object that an expression makes
MAX_STEPS = 100_000  # loop turns and items looked at by filters, in one evaluation
MAX_SECONDS = 0.5  # CPU time of one evaluation, looked at as steps are counted
MAX_DIGITS = 30  # of a number, before and after the point
LOOP_FIELDS = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]
EXACT = Context(prec=4 * MAX_DIGITS, rounding=ROUND_HALF_UP, traps=[*_TRAPS, Inexact])  # a lost digit is an error
ROUNDING = Context(prec=4 * MAX_DIGITS, rounding=ROUND_HALF_UP, traps=_TRAPS)
DIVISION = Context(prec=28, rounding=ROUND_HALF_UP, traps=_TRAPS)


def kind_name(value: object) -> str:
    """How a sentence calls a value of this type."""
    if value is None:
        return "nothing"
    for types, name in (
        (bool, "true or false"),
        ((int, Decimal), "a number"),
        (str, "text"),
        (datetime, "a time"),
        (date, "a date"),
        ((list, tuple), "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, types):
            return name
    return type(value).__name__


def is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def bounded(value: Any) -> Any:
    """The number itself, refused when it is infinite or has more digits than money can need."""
    if isinstance(value, Decimal):
        if not value.is_finite() or (value and abs(value.adjusted()) >= MAX_DIGITS):
            raise SecurityError("the number is too large")
    elif isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise SecurityError("the number is too large")
    return value


def exact(value: int | Decimal) -> Decimal:
    bounded(value)
    return value if isinstance(value, Decimal) else Decimal(value)


def divide(left: int | Decimal, right: int | Decimal) -> Decimal:
    """28 digits, half up; exact where the quotient is."""
    if not right:
        raise SecurityError("division by zero")
    return DIVISION.divide(exact(left), exact(right))


def floor_divide(left: int | Decimal, right: int | Decimal) -> int | Decimal:
    """Rounds down for negative numbers too, as whole numbers do in Python (Decimal alone rounds towards zero)."""
    if not right:
        raise SecurityError("division by zero")
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    quotient = EXACT.divide_int(exact(left), exact(right))
    rest = EXACT.subtract(exact(left), EXACT.multiply(quotient, exact(right)))
    return EXACT.subtract(quotient, Decimal(1)) if rest and (rest < 0) != (right < 0) else quotient


def calculate(operator: str, left: Any, right: Any) -> Any:
    """`+ - * / // %` on two numbers, exact; the result is a Decimal unless both are whole numbers."""
    if operator == "/":
        return divide(left, right)
    if operator == "//":
        return floor_divide(left, right)
    if operator == "%":
        return calculate("-", left, calculate("*", floor_divide(left, right), right))
    if isinstance(left, int) and isinstance(right, int):
        return {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[operator](left, right)
    return {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply}[operator](exact(left), exact(right))


def rest(value: Any, by: Any) -> Any:
    """What a division leaves; only of numbers (`%` on text would fill it in, as wide as it asks for)."""
    for each in (value, by):
        if isinstance(each, Undefined):
            each._fail_with_undefined_error()
        if not is_number(each):
            raise TypeError(f"this test needs a number, not {kind_name(each)}")
    return calculate("%", bounded(value), bounded(by))


class Missing(StrictUndefined):
    """A name or field that is not there: any use of it but `is defined` and `default` fails, naming the nearest one."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(self._undefined_obj, Mapping):
            offer = hint(str(name), self._undefined_obj)
            return f"there is no {name!r} here{f'; {offer}' if offer else ''}"
        if isinstance(self._undefined_obj, list | tuple | str) and isinstance(name, int):
            return f"there is no item {name}: the list has {len(self._undefined_obj)}"
        return f"{kind_name(self._undefined_obj)} has no field {name!r}"


class Room(TemplateContext):
    """One evaluation: the scope it sees and what it has spent."""

    def __init__(self, environment: Any, parent: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(environment, parent, *args, **kwargs)
        self.steps = 0
        self.began = 0.0

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        try:
            return self.parent[key]
        except KeyError:
            return self.environment.undefined(obj=self.parent, name=key)

    def spend(self, steps: int) -> None:
        """Counts work; the CPU clock is looked at about every thousand steps."""
        before, self.steps = self.steps, self.steps + steps
        if self.steps > MAX_STEPS:
            raise SecurityError(f"this loops over more than {MAX_STEPS:,} items")
        if before // 1000 != self.steps // 1000:
            now = time.thread_time()
            self.began = self.began or now
            if now - self.began > MAX_SECONDS:
                raise SecurityError("this takes too long")

    def turns(self, items: Any) -> Iterator[Any]:
        """What a `for` loops over, each turn counted; of a list that is absent nothing, as filters and `for_each`."""
        if isinstance(items, Undefined):
            items._fail_with_undefined_error()
        if items is None:
            return
        if not isinstance(items, list | tuple):
            raise TypeError(f"a loop needs a list, not {kind_name(items)}")
        for item in items:
            self.spend(10)
            yield item


class Generator(CodeGenerator):
    """Writes decimal literals as constants, and joins and loops through their budgets."""

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        if isinstance(node.value, Decimal):
            text = str(node.value)
            self.environment.decimals[text] = node.value  # type: ignore[attr-defined]
            self.write(f"environment.decimals[{text!r}]")
        else:
            super().visit_Const(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.concatenate(context, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        self.write("(context.spend(2) or ")
        super().visit_Compare(node, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.sliced(context, ")
        self.visit(node.node, frame)
        self.write(", slice(")
        for part in (node.arg.start, node.arg.stop, node.arg.step):
            self.write("None") if part is None else self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self._literal(node, frame, super().visit_List)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self._literal(node, frame, super().visit_Dict)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
        self._literal(node, frame, super().visit_Tuple)

    def _literal(self, node: nodes.Expr, frame: Frame, visit: Callable[[Any, Frame], None]) -> None:
        """A list or object that holds names is measured: one that holds itself twice, thirty times over, has no end."""
        measured = getattr(node, "ctx", "load") == "load" and any(True for _ in node.find_all(nodes.Name))
        self.write("environment.measured(context, " if measured else "")
        visit(node, frame)
        self.write(")" if measured else "")


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles checked syntax trees; `spoken` turns a value into text where it stands among text."""

    code_generator_class = Generator
    context_class = Room
    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])
    intercepted_unops = frozenset(["+", "-"])

    def __init__(
        self, filters: Mapping[str, Callable[..., Any]], spoken: Callable[[Any], str], html: bool = False
    ) -> None:
        super().__init__(
            undefined=Missing, autoescape=html, finalize=spoken, optimized=False, keep_trailing_newline=True
        )
        self.globals.clear()
        self.filters = {**filters}
        self.tests = {**TESTS}
        self.decimals: dict[str, Decimal] = {}

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        """Tokens whose line number is their offset in the source plus one (errors need columns), decimals exact."""
        raw, literals, at = [], [], 0
        try:
            for _, kind, text in self.lexer.tokeniter(source, name, filename, state):
                at = max(source.find(text, at), at)
                raw.append((at + 1, kind, text))
                if kind == "float":
                    literals.append(Decimal(text.replace("_", "")))
                at += len(text)
        except TemplateSyntaxError as error:
            slip = slip_of(source, at) or Slip(str(error.message).partition(" at ")[0], at, CLOSE)
            raise ExpressionError(slip.message, *place(source, slip.offset), slip.mend) from None
        decimals: Any = iter(literals)
        tokens = self.lexer.wrap(iter(raw), name, filename)
        exact_tokens = (t._replace(value=next(decimals)) if t.type == "float" else t for t in tokens)
        return TokenStream(exact_tokens, name, filename)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        if obj is None:
            return None
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, LoopContext) and attribute in LOOP_FIELDS:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, Undefined):
            argument._fail_with_undefined_error()
        if isinstance(obj, list | tuple | str) and isinstance(argument, int) and not isinstance(argument, bool):
            try:
                return obj[argument]
            except IndexError:
                return self.undefined(obj=obj, name=argument)  # type: ignore[arg-type]
        return self.getattr(obj, argument) if isinstance(argument, str) else self.undefined(obj=obj, name=argument)

    def call(self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        raise SecurityError("nothing can be called")

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        if isinstance(arg, Undefined):
            arg._fail_with_undefined_error()
        if not is_number(arg):
            raise TypeError(f"{operator} needs a number, not {kind_name(arg)}")
        if operator == "+":
            return arg
        return arg.copy_negate() if isinstance(arg, Decimal) else -arg

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return self.concatenate(context, (left, right))
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            if len(left) + len(right) > MAX_ITEMS:
                raise SecurityError(f"the list has more than {MAX_ITEMS:,} items")
            return self.measured(context, left + right)
        if not (is_number(left) and is_number(right)):
            raise TypeError(f"{operator} needs two numbers, not {kind_name(left)} and {kind_name(right)}")
        return bounded(calculate(operator, bounded(left), bounded(right)))

    def sliced(self, context: Any, obj: Any, part: slice) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if obj is None:
            return None
        if not isinstance(obj, str | list | tuple):
            raise TypeError(f"only a list or text has parts, not {kind_name(obj)}")
        context.spend(1 + len(obj) // (100 if isinstance(obj, str) else 1))
        return obj[part]

    def measured(self, context: Room, made: Any) -> Any:
        """A list or object as made, no larger (counted through all that it holds) than a value may be."""
        size, waiting = 0, [made]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                size += len(each) // 100
            else:
                inner = each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple) else ()
                size += len(inner)
                waiting.extend(inner)
                if isinstance(each, dict) and not all(isinstance(name, str) for name in each):
                    raise TypeError("the names in an object are text")
            if size > MAX_HELD:
                raise SecurityError(f"the value holds more than {MAX_HELD:,} items")
        context.spend(1 + size // 10)
        return made

    def concatenate(self, context: Room, parts: tuple[Any, ...]) -> str:
        """`~`: each part as text, no longer than a value may be."""
        texts = [part if isinstance(part, str) else self.finalize(part) for part in parts]  # type: ignore[misc]
        size = sum(map(len, texts))
        context.spend(size // 100)
        if size > MAX_TEXT:
            raise SecurityError(f"the text is longer than {MAX_TEXT:,} characters")
        return "".join(texts)


def place(source: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of an offset in a text."""
    before = source[: max(offset, 0)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


TESTS: dict[str, Callable[..., Any]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list | tuple),
    "mapping": lambda value: isinstance(value, dict),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "even": lambda value: rest(value, 2) == 0,
    "odd": lambda value: rest(value, 2) == 1,
    "divisibleby": lambda value, by: rest(value, by) == 0,
}
