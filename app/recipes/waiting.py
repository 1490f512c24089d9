"""What `wait_for` and `cancel_on` wait for, and the equalities by which an event finds the runs that wait for it."""

import re
from collections.abc import Collection

from jinja2 import nodes

from app.events import event_type
from app.expressions import Expression, compile_condition, paths
from app.recipes.cursor import Cursor
from app.recipes.model import Awaited, Equality

MAX_BRANCHES = 8
EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
ALWAYS = compile_condition("true")
Branches = list[list[Equality]]


def event_name(each: Cursor) -> str:
    """The name of an event type, ours or a recipe's own; whether ours exists is the check's matter."""
    if not isinstance(each.value, str):
        each.wrong(f"{each.name} should name an event", "write one like order.paid")
        return ""
    name = each.text()
    if name and not EVENT_NAME.fullmatch(name):
        each.wrong(f"{name!r} is not an event's name", "write one like order.paid")
    return name


def awaited(each: Cursor, more: tuple[str, ...] = ()) -> Awaited:
    """`{event, where, connection}` of `wait_for` and `cancel_on`, with the equalities that find the run."""
    keys = each.mapping(("event", "where", "connection", *more), needed=("event", "where"))
    events = tuple(event_name(one) for one in keys["event"].items_or_one()) if "event" in keys else ()
    written = (keys["where"].condition() if "where" in keys else None) or ALWAYS
    connection = keys["connection"].plain() if "connection" in keys else None
    reason = keys["reason"].plain() if "reason" in keys else None
    names = awaited_names(events)
    where = nothing_equals_nothing(written, names)
    return Awaited(events, where, branches_of(written, names), connection, reason, each.path)


def awaited_names(events: tuple[str, ...]) -> set[str]:
    """The names that mean the awaited event in its `where`: its nouns, its customer, its envelope."""
    names = {"customer", "event"}
    for event in events:
        try:
            names |= set(event_type(event).model.model_fields)
        except ValueError:
            continue
    return names


def branches_of(where: Expression, awaited: Collection[str]) -> tuple[tuple[Equality, ...], ...]:
    """For each `or` branch of the condition, its equalities between the awaited event's fields and values of the run.

    awaited: the names that mean the awaited event. A branch without one is empty: nothing could find it.
    """
    if where.tree is None:
        return ((),)
    found = _branches(where.tree, where.source, frozenset(awaited))
    return tuple(tuple(branch) for branch in found)


def _branches(node: nodes.Node, source: str, awaited: frozenset[str]) -> Branches:
    if isinstance(node, nodes.Or):
        return _branches(node.left, source, awaited) + _branches(node.right, source, awaited)
    if isinstance(node, nodes.And):
        left, right = _branches(node.left, source, awaited), _branches(node.right, source, awaited)
        return [one + other for one in left for other in right][: MAX_BRANCHES + 1]
    return [[found] if (found := _equality(node, source, awaited)) else []]


def _equality(node: nodes.Node, source: str, awaited: frozenset[str]) -> Equality | None:
    if not (isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op == "eq"):
        return None
    for one, other in ((node.expr, node.ops[0].expr), (node.ops[0].expr, node.expr)):
        field = _field(one)
        value = Expression(source, "value", other)
        roots = {use.path[0] for use in paths(value)}
        if field and field[0] in awaited and len(field) > 1 and roots and not roots & awaited:
            return Equality(field, value)
    return None


def nothing_equals_nothing(where: Expression, awaited: Collection[str]) -> Expression:
    """The same condition, in which an absent field of the awaited event equals nothing, not even an absent value."""
    if where.tree is None:
        return where
    return Expression(where.source, where.kind, _strict(where.tree, where.source, frozenset(awaited)))


def _strict(node: nodes.Node, source: str, awaited: frozenset[str]) -> nodes.Node:
    if isinstance(node, nodes.And | nodes.Or):
        sides = (_strict(node.left, source, awaited), _strict(node.right, source, awaited))
        return type(node)(*sides, lineno=node.lineno)
    found = _equality(node, source, awaited)
    if found is None or found.value.tree is None:
        return node
    absent = nodes.Test(found.value.tree, "none", [], [], None, None, lineno=node.lineno)
    return nodes.And(nodes.Not(absent, lineno=node.lineno), node, lineno=node.lineno)


def _field(node: nodes.Node) -> tuple[str, ...] | None:
    """`order.customer.email` as names; None for anything that is not a plain field."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    inner = _field(node.node) if isinstance(node, nodes.Getattr) else None
    return (*inner, node.attr) if inner and isinstance(node, nodes.Getattr) else None
