"""Conditions whose answer no data can change: `false`, `x and false`, `1 > 2`."""

from jinja2 import nodes

from app.expressions.compiled import Expression
from app.expressions.errors import EvaluationError


def certain(condition: Expression) -> bool | None:
    """What a condition gives for every data, or None where that depends on it."""
    return None if condition.tree is None else _certain(condition.tree, condition.source)


def _certain(node: nodes.Node, source: str) -> bool | None:
    if isinstance(node, nodes.And):
        sides = (_certain(node.left, source), _certain(node.right, source))
        return False if False in sides or _contrary(node) else True if sides == (True, True) else None
    if isinstance(node, nodes.Or):
        sides = (_certain(node.left, source), _certain(node.right, source))
        return True if True in sides else False if sides == (False, False) else None
    if isinstance(node, nodes.Not):
        inner = _certain(node.node, source)
        return None if inner is None else not inner
    if isinstance(node, nodes.Name) or any(True for _ in node.find_all(nodes.Name)):
        return None
    try:
        return bool(Expression(source, "condition", node).evaluate({}))
    except EvaluationError:
        return None


def asked(condition: Expression) -> list[nodes.Node]:
    """What must be true together for a condition to be true."""
    return [] if condition.tree is None else parts(condition.tree)


def parts(node: nodes.Node) -> list[nodes.Node]:
    """What an `and` joins, at any depth; else the condition itself."""
    return [*parts(node.left), *parts(node.right)] if isinstance(node, nodes.And) else [node]


def _contrary(node: nodes.Node) -> bool:
    """Whether one of the joined conditions denies another: `x and not x`, `a == b and a != b`."""
    joined = parts(node)
    return any(_denied(each) in joined for each in joined if _denied(each) is not None)


def _denied(node: nodes.Node) -> nodes.Node | None:
    """The condition that a denial denies."""
    if isinstance(node, nodes.Not):
        return node.node
    if isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op == "ne":
        return nodes.Compare(node.expr, [nodes.Operand("eq", node.ops[0].expr)])
    return None
