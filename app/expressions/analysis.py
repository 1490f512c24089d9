"""What an expression will do, found without running it: the fields it uses, its value's shape, its mistakes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from jinja2 import nodes

from app.expressions.compiled import Expression
from app.expressions.errors import hint
from app.expressions.filters import COUNTED, OPERATORS, PLAIN
from app.expressions.misspelt import NOTHING
from app.expressions.sandbox import LOOP_FIELDS, place
from app.expressions.shapes import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    TIME,
    Shape,
    group,
    joined,
    list_of,
    object_of,
    shape_of_value,
)

T = TypeVar("T")


def _each(names: str, meaning: T) -> dict[str, T]:
    return dict.fromkeys(names.split(), meaning)


RESULTS: Mapping[str, Shape] = {
    **_each("upper lower title capitalize trim truncate replace join string tojson urlencode", STRING),
    **_each("date time weekday iso money address name phone", STRING),
    **_each("starts_with ends_with", BOOLEAN),
    **_each("int length count hour", INTEGER),
    **_each("number days_until hours_until", NUMBER),
    **_each("add_days add_hours add_minutes", TIME),
    "split": list_of(STRING),
}
WANTED: Mapping[str, tuple[str, str]] = {  # filter -> the kinds that it takes, and how a sentence calls them
    **_each("upper lower title capitalize trim truncate replace starts_with ends_with split phone", ("string", "text")),
    **_each("where map sum sort unique min max join", ("list", "a list")),
    **_each("first last reverse", ("list string", "a list")),
    **_each("length count", ("list string object", "a list or text")),
    **_each("int number", ("number string", "a number or text")),
    **_each("abs", ("number", "a number")),
    **_each("name address items", ("object", "an object")),
    **_each("date time weekday hour iso add_days add_hours add_minutes", ("time date string", "a time")),
    **_each("days_until hours_until", ("time date string", "a time")),
}
MONEY_FILTERS = frozenset({"money", "times", "round"})
FIELD_ARGUMENT = {**dict.fromkeys(["where", "map", "sum", "sort", "unique", "min", "max"], 0), "join": 1}
SAMPLES: Mapping[str, Any] = {  # filters whose arguments can be wrong for every value, with a value that they take
    **_each("date time weekday hour add_days add_hours add_minutes", datetime(2026, 1, 5, tzinfo=UTC)),
    **_each("name address", {"name": "Ada Lovelace"}),
    **_each("round", Decimal(1)),
    **_each("phone truncate replace split", "1"),
}
EMPTY = {"steps": "give an earlier step this `id`", "inputs": "say it under `inputs:`"}
ORDERED = frozenset({"string", "number", "time", "date", "any", "none"})
LOOP = object_of({name: BOOLEAN if name in ("first", "last") else INTEGER for name in LOOP_FIELDS})


@dataclass(frozen=True, slots=True)
class Use:
    """A field that an expression reads: `("order", "line_items", "[]", "sku")`, and where it stands (from 1)."""

    path: tuple[str, ...]
    line: int
    column: int

    def __str__(self) -> str:
        return ".".join(self.path).replace(".[]", "[]")


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that data cannot heal; line and column from 1, inside the expression."""

    message: str
    mend: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Analysis:
    shape: Shape
    uses: tuple[Use, ...]
    findings: tuple[Finding, ...]


def analyse(expression: Expression, scope: Mapping[str, Shape] | None = None) -> Analysis:
    """Walks an expression against the shapes of the names in its scope; without a scope only its uses are found."""
    if expression.tree is None:
        return Analysis(shape_of_value(expression.source), (), ())
    walk = _Walk(expression.source, scope)
    shape = walk.value(expression.tree, {})
    final = {"condition": BOOLEAN, "text": STRING}.get(expression.kind, shape)
    return Analysis(final, tuple(walk.uses), tuple(walk.findings))


def paths(expression: Expression) -> tuple[Use, ...]:
    """The fields that an expression uses, each with its place."""
    return analyse(expression).uses


@dataclass(slots=True)
class _Seen:
    """A part of the expression: its shape, and its path where it is a plain field."""

    shape: Shape
    path: tuple[str, ...] | None = None
    offset: int = 0


Locals = Mapping[str, _Seen]


@dataclass(slots=True)
class _Walk:
    source: str
    scope: Mapping[str, Shape] | None
    uses: list[Use] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def found(self, offset: int, message: str, mend: str = "") -> None:
        finding = Finding(message, mend, *place(self.source, offset))
        if finding not in self.findings:
            self.findings.append(finding)

    def value(self, node: nodes.Node, local: Locals) -> Shape:
        """The shape of a part whose value is used: its path is recorded."""
        seen = self.look(node, local)
        if seen.path:
            use = Use(seen.path, *place(self.source, seen.offset))
            if use not in self.uses:
                self.uses.append(use)
        return seen.shape

    def look(self, node: nodes.Node, local: Locals) -> _Seen:
        """A part of the expression, its own path not yet recorded: a field of it may follow."""
        for kind, handler in HANDLERS.items():
            if isinstance(node, kind):
                return handler(self, node, local)
        for child in node.iter_child_nodes():
            self.value(child, local)
        return _Seen(ANY)

    # --- names and fields ----------------------------------------------------------------------------------------

    def name(self, node: nodes.Name, local: Locals) -> _Seen:
        offset = node.lineno - 1
        if node.name in local:
            return local[node.name]
        if self.scope is None:
            return _Seen(ANY, (node.name,), offset)
        if node.name not in self.scope:
            mend = "write `none`" if node.name in NOTHING else hint(node.name, self.scope)
            self.found(offset, f"there is no {node.name!r} here", mend or "nothing can be read here")
        return _Seen(self.scope.get(node.name, ANY), (node.name,), offset)

    def attribute(self, node: nodes.Getattr, local: Locals) -> _Seen:
        base = self.look(node.node, local)
        return self.into(base, node.attr, self.source.find(node.attr, node.lineno - 1))

    def item(self, node: nodes.Getitem, local: Locals) -> _Seen:
        base = self.look(node.node, local)
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return self.into(base, node.arg.value, node.arg.lineno - 1)
        self.value(node.arg, local)
        if isinstance(node.arg, nodes.Slice):
            return base
        return self.element(base)

    def into(self, base: _Seen, name: str, offset: int) -> _Seen:
        """A field of what was seen; unknown ones are mistakes."""
        path = (*base.path, name) if base.path else None
        shape, fields = base.shape, base.shape.fields()
        if shape.kind == "object" and fields is not None:
            if name not in fields:
                owner = ".".join(base.path).replace(".[]", "[]") if base.path else str(shape)
                self.found(
                    offset, f"{owner} has no {name!r}", hint(name, fields) or EMPTY.get(owner, f"{owner} is empty")
                )
            return _Seen(fields.get(name, ANY), path, base.offset)
        if shape.kind in ("any", "none", "object"):
            return _Seen(shape.item or ANY, path, base.offset)
        mend = "leave the field out"
        if shape.kind == "list":
            mend = "take one item, as in `| first`, or a field of each, as in `| map('id')`"
        self.found(offset, f"{shape} has no {name!r}", mend)
        return _Seen(ANY, path, base.offset)

    def element(self, base: _Seen) -> _Seen:
        path = (*base.path, "[]") if base.path else None
        shape = base.shape if base.shape.kind == "string" else base.shape.item
        return _Seen(shape or ANY, path, base.offset)

    # --- filters -------------------------------------------------------------------------------------------------

    def filter(self, node: nodes.Filter, local: Locals) -> _Seen:
        if node.node is None:
            return _Seen(ANY)
        base = self.look(node.node, local)
        if node.name == COUNTED:
            return base
        offset = node.lineno - 1
        self.suits(node.name, base.shape, offset)
        self.tried(node, offset)
        for each in (*node.args, *(pair.value for pair in node.kwargs)):
            self.value(each, local)
        if node.name == "default":
            self.value(node.node, local)
            return _Seen(joined([base.shape, self.look(node.args[0], local).shape]), None)
        return self.filtered(node, base, offset, local)

    def suits(self, name: str, shape: Shape, offset: int) -> None:
        if shape.kind in ("any", "none"):
            return
        kinds, said = WANTED.get(name, ("", ""))
        if kinds and group(shape) not in kinds.split():
            self.found(offset, f"{name} needs {said}, not {shape}", _money_mend(shape) or _filter_mend(kinds, shape))
        if name in MONEY_FILTERS and not shape.is_money and not (name == "round" and group(shape) == "number"):
            self.found(
                offset, f"{name} needs money, not {shape}", "give it the whole money, as in `order.total | money`"
            )

    def tried(self, node: nodes.Filter, offset: int) -> None:
        """A filter whose arguments are written out is tried on a value that it takes: formats, zones, parts."""
        given = [*node.args, *(pair.value for pair in node.kwargs)]
        if node.name not in SAMPLES or not all(isinstance(each, nodes.Const) for each in given):
            return
        named = {str(pair.key): pair.value.value for pair in node.kwargs if isinstance(pair.value, nodes.Const)}
        try:
            PLAIN[node.name](SAMPLES[node.name], *(each.value for each in node.args), **named)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            message, _, mend = str(error).partition("; ")
            self.found(offset, message, mend or "look its arguments up in the reference")

    def filtered(self, node: nodes.Filter, base: _Seen, offset: int, local: Locals) -> _Seen:
        """The result of a filter: lists keep their path, so that fields of their items are known."""
        of_item = self.of_field(node, base, offset)
        if node.name in ("first", "last") or (node.name in ("min", "max") and base.path):
            return self.element(base)
        if node.name == "map":
            shape = list_of(of_item.shape if of_item else ANY)
            self.record(of_item)
            return _Seen(shape, None)
        self.record(of_item or _Seen(base.shape, base.path, base.offset))
        if node.name in ("where", "sort", "unique", "reverse"):
            return _Seen(base.shape, base.path, base.offset)
        if node.name == "sum":
            summed = of_item.shape if of_item else base.shape.item or ANY
            if not summed.is_money and group(summed) not in ("number", "any", "none"):
                self.found(
                    offset, f"sum needs numbers or money, not {summed}", "name a field, as in `| sum('quantity')`"
                )
            return _Seen(summed if summed.is_money or summed.kind in ("integer", "number") else ANY)
        if node.name in ("abs", "times"):
            return _Seen(base.shape)
        if node.name == "round":
            return _Seen(base.shape if base.shape.is_money else NUMBER if base.shape.kind != "any" else ANY)
        return _Seen(RESULTS.get(node.name, ANY))

    def record(self, seen: "_Seen | None") -> None:
        if seen and seen.path:
            use = Use(seen.path, *place(self.source, seen.offset))
            if use not in self.uses:
                self.uses.append(use)

    def of_field(self, node: nodes.Filter, base: _Seen, offset: int) -> "_Seen | None":
        """The field of each item that `map('sku')` and its like name."""
        index = FIELD_ARGUMENT.get(node.name)
        named = [pair.value for pair in node.kwargs if pair.key == "path"]
        argument = named[0] if named else node.args[index] if index is not None and index < len(node.args) else None
        if index is None or not (isinstance(argument, nodes.Const) and isinstance(argument.value, str)):
            return None
        seen = self.element(base) if base.shape.kind in ("list", "any") else _Seen(ANY)
        for name in argument.value.split("."):
            seen = self.into(seen, name, argument.lineno)
        self.sign(node)
        return seen

    def sign(self, node: nodes.Filter) -> None:
        signs = node.args[1] if node.name == "where" and len(node.args) == 3 else None
        if isinstance(signs, nodes.Const) and signs.value not in OPERATORS:
            self.found(signs.lineno - 1, f"where knows no {signs.value!r}", f"it knows {' '.join(OPERATORS)}")

    # --- operators -----------------------------------------------------------------------------------------------

    def arithmetic(self, node: nodes.BinExpr, local: Locals) -> _Seen:
        left, right = self.value(node.left, local), self.value(node.right, local)
        kinds = {group(left), group(right)}
        if kinds & {"any"}:
            return _Seen(ANY)
        if isinstance(node, nodes.Add) and len(kinds) == 1 and kinds & {"string", "list"}:
            return _Seen(left)
        for side in (left, right):
            if group(side) not in ("number", "none"):
                self.found(
                    node.lineno - 1,
                    f"{node.operator} needs two numbers, not {left} and {right}",
                    _money_mend(side) or "make a number of text with `| number`, join texts with ~",
                )
        whole = left.kind == right.kind == "integer" and not isinstance(node, nodes.Div)
        return _Seen(INTEGER if whole else NUMBER)

    def sign_of(self, node: nodes.UnaryExpr, local: Locals) -> _Seen:
        shape = self.value(node.node, local)
        return _Seen(BOOLEAN if isinstance(node, nodes.Not) else shape)

    def compare(self, node: nodes.Compare, local: Locals) -> _Seen:
        left = self.value(node.expr, local)
        for operand in node.ops:
            right = self.value(operand.expr, local)
            offset = node.expr.lineno - 1 if node.expr.lineno else 0
            self.comparable(operand.op, left, right, offset)
            left = right
        return _Seen(BOOLEAN)

    def comparable(self, sign: str, left: Shape, right: Shape, offset: int) -> None:
        one, other = group(left), group(right)
        if sign in ("in", "notin"):
            self.holds(left, right, offset)
        elif sign in ("eq", "ne"):
            if one != other and not {one, other} & {"any", "none"}:
                self.found(offset, f"{left} never equals {right}", _money_mend(left) or _equal_mend(left, right))
        elif not ({one, other} <= ORDERED and (one == other or {one, other} & {"any", "none"})):
            side = left if one not in ORDERED else right
            self.found(offset, f"{left} cannot be compared with {right}", _money_mend(side) or _equal_mend(left, right))

    def holds(self, left: Shape, right: Shape, offset: int) -> None:
        if right.kind == "list" and right.item and not {group(left), group(right.item)} & {"any", "none"}:
            if group(left) != group(right.item):
                mend = _equal_mend(left, right.item) or "look for a field of its items with `| map('id')`"
                self.found(offset, f"a list of {right.item} never holds {left}", mend)
        elif right.kind == "string" and left.kind not in ("string", "any", "none"):
            self.found(offset, f"text never holds {left}", "make text of it with `| string`")
        elif right.kind not in ("list", "string", "object", "any", "none"):
            self.found(offset, f"`in` needs a list or text, not {right}", "as in `'vip' in order.tags`")

    def concatenation(self, node: nodes.Concat, local: Locals) -> _Seen:
        for part in node.nodes:
            self.sayable(self.value(part, local), part)
        return _Seen(STRING)

    def sayable(self, shape: Shape, node: nodes.Node) -> None:
        if shape.kind in ("list", "object") and not shape.is_money:
            mend = "choose a field of it" if shape.kind == "object" else "use join, as in `| join(', ')`"
            self.found((node.lineno or 1) - 1, f"{shape} cannot stand among text", mend)

    def either(self, node: nodes.Node, local: Locals) -> _Seen:
        if isinstance(node, nodes.CondExpr):
            self.value(node.test, local)
            parts = [each for each in (node.expr1, node.expr2) if each is not None]
        else:
            parts = [node.left, node.right] if isinstance(node, nodes.And | nodes.Or) else []
        return _Seen(joined([self.value(each, local) for each in parts]))

    def test(self, node: nodes.Test, local: Locals) -> _Seen:
        for each in (node.node, *node.args):
            self.value(each, local)
        return _Seen(BOOLEAN)

    # --- literals ------------------------------------------------------------------------------------------------

    def constant(self, node: nodes.Const, local: Locals) -> _Seen:
        return _Seen(shape_of_value(node.value))

    def listed(self, node: nodes.List | nodes.Tuple, local: Locals) -> _Seen:
        return _Seen(list_of(joined([self.value(each, local) for each in node.items])))

    def mapping(self, node: nodes.Dict, local: Locals) -> _Seen:
        known: dict[str, Shape] = {}
        for pair in node.items:
            key = pair.key.value if isinstance(pair.key, nodes.Const) else None
            shape = self.value(pair.value, local)
            known |= {str(key): shape} if key is not None else {}
        return _Seen(object_of(known) if len(known) == len(node.items) else Shape("object", ANY))

    # --- statements of texts -------------------------------------------------------------------------------------

    def template(self, node: nodes.Template, local: Locals) -> _Seen:
        self.body(node.body, local)
        return _Seen(STRING)

    def body(self, statements: list[nodes.Node], local: Locals) -> None:
        """Statements in order; what `set` names is known to those after it."""
        inner = dict(local)
        for statement in statements:
            if isinstance(statement, nodes.Assign) and isinstance(statement.target, nodes.Name):
                inner[statement.target.name] = _Seen(self.value(statement.node, inner))
            else:
                self.look(statement, inner)

    def output(self, node: nodes.Output, local: Locals) -> _Seen:
        for part in node.nodes:
            shape = self.value(part, local)
            self.sayable(shape, part)
        return _Seen(STRING)

    def condition(self, node: nodes.If, local: Locals) -> _Seen:
        self.value(node.test, local)
        for body in (node.body, node.else_):
            self.body(body, local)
        for other in node.elif_:
            self.look(other, local)
        return _Seen(STRING)

    def loop(self, node: nodes.For, local: Locals) -> _Seen:
        over = self.look(node.iter, local)
        self.record(over)
        if over.shape.kind not in ("list", "any", "none"):
            mend = "name a list, as in `order.line_items`; `| items` makes one of an object"
            self.found((node.iter.lineno or 1) - 1, f"a loop needs a list, not {over.shape}", mend)
        inner = {**local, "loop": _Seen(LOOP)}
        for target in node.target.find_all(nodes.Name) if not isinstance(node.target, nodes.Name) else [node.target]:
            inner[target.name] = self.element(over) if target is node.target else _Seen(ANY)
        if node.test is not None:
            self.value(node.test, inner)
        self.body(node.body, inner)
        self.body(node.else_, local)
        return _Seen(STRING)


def _money_mend(shape: Shape) -> str:
    return "use its amount, as in `order.total.amount`" if shape.is_money else ""


def _filter_mend(kinds: str, shape: Shape) -> str:
    if "list" in kinds.split() and shape.kind == "object":
        return "name a list in it, as in `order.line_items`"
    if kinds == "string" and group(shape) in ("number", "time", "date"):
        return "make text of it first with `| string`"
    return "name a field of it" if shape.kind in ("object", "list") else "leave the filter out"


def _equal_mend(left: Shape, right: Shape) -> str:
    kinds = {group(left), group(right)}
    if kinds == {"string", "number"}:
        return "put quotes around the number, or make a number of the text with `| number`"
    if "list" in kinds:
        return "ask whether the list holds it, as in `'vip' in order.tags`"
    if kinds & {"time", "date"} and "string" in kinds:
        return "make text of the time, as in `order.created_at | date('%Y-%m-%d')`"
    return "compare it with something of its kind" if "object" not in kinds else "name a field of it"


Handler = Callable[["_Walk", Any, Locals], _Seen]
HANDLERS: Mapping[type[nodes.Node] | tuple[type[nodes.Node], ...], Handler] = {
    nodes.Name: _Walk.name,
    nodes.Getattr: _Walk.attribute,
    nodes.Getitem: _Walk.item,
    nodes.Filter: _Walk.filter,
    nodes.Compare: _Walk.compare,
    nodes.Const: _Walk.constant,
    (nodes.And, nodes.Or, nodes.CondExpr): _Walk.either,
    nodes.BinExpr: _Walk.arithmetic,
    nodes.UnaryExpr: _Walk.sign_of,
    nodes.Test: _Walk.test,
    nodes.Concat: _Walk.concatenation,
    (nodes.List, nodes.Tuple): _Walk.listed,
    nodes.Dict: _Walk.mapping,
    nodes.Template: _Walk.template,
    nodes.Output: _Walk.output,
    nodes.If: _Walk.condition,
    nodes.For: _Walk.loop,
}
