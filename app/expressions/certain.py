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
        return False if False in sides else True if sides == (True, True) else None
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
