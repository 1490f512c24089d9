"""What may be written: the source is parsed and its syntax tree checked against a list; nothing is run."""

import inspect
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser

from app.expressions.errors import ExpressionError, hint
from app.expressions.filters import COUNTED, FILTERS, PLAIN, text_of
from app.expressions.misspelt import slip_of
from app.expressions.sandbox import MAX_DIGITS, TESTS, Sandbox, place

UNCLOSED = re.compile(r".*The innermost block that needs to be closed is '(\w+)'.*")
MAX_SOURCE = 2_000  # characters of one expression or value
MAX_TEMPLATE = 64_000  # characters of a template file
MAX_DEPTH = 60  # of the syntax tree
MAX_LOOPS = 4  # inside each other
UNSAYABLE = re.compile("[\x00\ud800-\udfff]")

ALLOWED = (
    *(nodes.Name, nodes.Const, nodes.TemplateData, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv),
    *(nodes.Mod, nodes.Concat, nodes.CondExpr, nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign),
)
REFUSED = {
    nodes.Call: ("nothing can be called", "use a filter, as in `name | upper`"),
    nodes.Pow: ("powers are not part of the language", "write the number out"),
    nodes.Macro: ("macros are not part of the language", "write the text out"),
}
FORBIDDEN_NAMES = frozenset({"self", "super", "caller", "varargs", "kwargs", "loop_"})

PLAIN_SANDBOX = Sandbox(FILTERS, text_of)
HTML_SANDBOX = Sandbox(FILTERS, text_of, html=True)


def parse_expression(source: str) -> nodes.Expr:
    """A bare expression, as in `where` and `if`.

    Raises ExpressionError with line and column."""
    if "{{" in source or "{%" in source:
        raise ExpressionError("this is an expression already", *place(source, source.find("{")), "leave out {{ and }}")
    if not source.strip():
        raise ExpressionError("the expression is empty", 1, 1, "write a condition or leave the key out")
    return _guarded(source, MAX_SOURCE, lambda: _parse_expression(source))  # type: ignore[return-value]


def parse_text(source: str, limit: int = MAX_SOURCE) -> nodes.Template:
    """Text with `{{ ... }}` in it, as in values and template files."""
    return _guarded(source, limit, lambda: Parser(PLAIN_SANDBOX, source).parse())  # type: ignore[return-value]


def single(tree: nodes.Template) -> nodes.Expr | None:
    """The expression, when the text is nothing but one `{{ ... }}`."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def _parse_expression(source: str) -> nodes.Expr:
    parser = Parser(PLAIN_SANDBOX, source, state="variable")
    tree = parser.parse_expression()
    if not parser.stream.eos:
        extra = parser.stream.current
        if slip := slip_of(source, extra.lineno - 1):
            raise ExpressionError(slip.message, *place(source, slip.offset), slip.mend)
        mend = "put an operator before it (and, or, ==, ~ ...), or quotes around it if it is text"
        raise ExpressionError(f"{str(extra.value)!r} does not belong here", *place(source, extra.lineno - 1), mend)
    return tree


def _guarded(source: str, limit: int, parse: object) -> nodes.Node:
    if len(source) > limit:
        raise ExpressionError(f"it is longer than {limit:,} characters", 1, 1, "split it, or move it into a template")
    try:
        tree: nodes.Node = parse()  # type: ignore[operator]
        _check(tree, source, 0, 0, 0)
    except TemplateSyntaxError as error:
        if slip := slip_of(source, error.lineno - 1):
            raise ExpressionError(slip.message, *place(source, slip.offset), slip.mend) from None
        message = _plain(error.message or "it cannot be read")
        raise ExpressionError(message, *place(source, error.lineno - 1), _syntax_mend(message)) from None
    except RecursionError:
        raise ExpressionError("it is nested too deeply", 1, 1, "split it") from None
    return tree


def _plain(message: str) -> str:
    """Jinja's own words without its names for tokens."""
    message = message.replace("'end of print statement'", "}}").replace("end of print statement", "}}")
    message = message.replace("unexpected char ", "unexpected ").replace("'end of template'", "the end")
    message = UNCLOSED.sub(r"{% \1 %} is opened here and never closed", message.replace("end of template", "the end"))
    if message.startswith("unexpected the end"):
        message = "it ends in the middle" + message.removeprefix("unexpected the end")
    return message[:1].lower() + message[1:].rstrip(".")


def _syntax_mend(message: str) -> str:
    if "never closed" in message:
        return "close it with {% endif %} or {% endfor %}"
    if "in the middle" in message or "the end" in message or "}}" in message:
        return "something is missing: a value, or a bracket or quote that closes"
    if "unknown tag" in message:
        return "only if, for and set stand in {% %}"
    return "look at its brackets, quotes and operators"


def _check(node: nodes.Node, source: str, above: int, depth: int, loops: int) -> None:
    offset = node.lineno - 1 if node.lineno is not None else above  # some nodes have no place of their own
    if depth > MAX_DEPTH:
        raise ExpressionError("it is nested too deeply", *place(source, offset), "split it")
    if not isinstance(node, ALLOWED):
        message, mend = REFUSED.get(
            type(node), (f"{type(node).__name__.lower()} is not part of the language", "leave it out")
        )
        raise ExpressionError(message, *place(source, offset), mend)
    for message, mend in _faults(node, loops):
        raise ExpressionError(message, *place(source, offset), mend)
    inside = loops + isinstance(node, nodes.For)
    for child in node.iter_child_nodes():
        _check(child, source, offset, depth + 1, inside)


def _faults(node: nodes.Node, loops: int) -> Iterator[tuple[str, str]]:
    """What is wrong with this one node: (message, what to do)."""
    if isinstance(node, nodes.Name) and (node.name.startswith("_") or node.name in FORBIDDEN_NAMES):
        yield f"the name {node.name!r} is not part of the language", "choose another name"
    elif isinstance(node, nodes.Getattr) and node.attr.startswith("__"):
        yield f"there is no {node.attr!r}", "a dot looks up fields of the data only"
    elif isinstance(node, nodes.CondExpr) and node.expr2 is None:
        yield "an `if` inside an expression needs its `else`", "add `else none`"
    elif isinstance(node, nodes.Const):
        yield from _constant_faults(node.value)
    elif isinstance(node, nodes.Pair) and isinstance(node.key, nodes.Const) and not isinstance(node.key.value, str):
        yield "the names in an object are text", "put quotes around them, as in `{'name': 1}`"
    elif isinstance(node, nodes.For) and (loops >= MAX_LOOPS or node.recursive):
        yield f"loops stand at most {MAX_LOOPS} inside each other", "take a loop out"
    elif isinstance(node, nodes.Filter):
        yield from _filter_faults(node)
    elif isinstance(node, nodes.Test) and node.name not in PLAIN_SANDBOX.tests:
        yield f"there is no test {node.name!r}", hint(node.name, TESTS) or "compare with == instead"


def _constant_faults(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and UNSAYABLE.search(value):
        yield "the text holds a character that no system takes", "leave out \\x00 and halves of characters"
    large = isinstance(value, int) and abs(value) >= 10**MAX_DIGITS
    if large or (isinstance(value, Decimal) and value and abs(value.adjusted()) >= MAX_DIGITS):
        yield "the number is too large", f"a number has at most {MAX_DIGITS} digits before the point"


def _filter_faults(node: nodes.Filter) -> Iterator[tuple[str, str]]:
    if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
        yield "a filter stands after its value, with its arguments written out", "as in `order.total | money`"
    elif node.name not in PLAIN:
        yield f"there is no filter {node.name!r}", hint(node.name, PLAIN)
    else:
        try:
            _signature(node.name).bind(None, *node.args, **{str(each.key): each.value for each in node.kwargs})
        except TypeError as error:
            said = ", ".join(each for each in list(_signature(node.name).parameters)[1:])
            mend = f"it takes {said}".replace("path", "field") if said else "it takes nothing in brackets"
            yield f"the filter {node.name!r} {_bound_wrongly(str(error))}", mend


def _bound_wrongly(message: str) -> str:
    return message.replace("missing a required argument:", "needs").replace("got an", "has an").replace("path", "field")


@cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(PLAIN[name])


def count_loops(tree: nodes.Node) -> nodes.Node:
    """The same tree with every `for` counting its turns."""
    for loop in tree.find_all(nodes.For):
        if not (isinstance(loop.iter, nodes.Filter) and loop.iter.name == COUNTED):
            loop.iter = nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.iter.lineno)
    return tree
