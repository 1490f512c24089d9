"""A late scope reads as the dict that it becomes, and is not made before somebody looks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app import events as canonical
from app.connector import Facts
from app.domain.recipes import outline_of
from app.domain.scope import LateScope
from app.expressions import compile_condition
from app.recipes import parse_recipe
from bench.normalise import connection
from tests.support.orders import shopify_order


def test_it_is_made_once_and_only_when_looked_into() -> None:
    made: list[int] = []

    def make() -> dict[str, object]:
        made.append(1)
        return {"order": {"n": 1}, "steps": {"old": True}}

    scope = LateScope(make)
    scope["steps"] = {}
    assert not made
    assert scope["steps"] == {}
    assert not made
    assert compile_condition("order.n == 1").evaluate(scope) is True
    assert {**scope, "more": 2} == {"order": {"n": 1}, "steps": {}, "more": 2}
    assert dict(scope) == {"order": {"n": 1}, "steps": {}}
    assert "order" in scope
    assert scope.get("nothing") is None
    assert len(made) == 1


def test_copying_it_whole_makes_it() -> None:
    for copied in (
        {**LateScope(lambda: {"a": 1})},
        dict(LateScope(lambda: {"a": 1})),
        dict(LateScope(lambda: {"a": 1}).items()),
    ):
        assert copied == {"a": 1}


EXPRESSIONS = (
    ("order.total.amount > 5 and not order.test", {"order": {"total", "test"}}),
    ("order.lines | map('sku') | first == 'TEA'", {"order": {"lines"}}),
    ("order['number'] == '1001'", {"order": {"number"}}),
    ("order[inputs.field] is not none", {"order": None}),
    ("order.customer.email == customer.email", {"order": {"customer"}, "customer": {"email"}}),
)


@pytest.mark.parametrize(("where", "fields"), EXPRESSIONS)
def test_a_recipe_says_which_fields_of_its_event_it_reads(where: str, fields: dict[str, set[str] | None]) -> None:
    recipe = parse_recipe(f'title: T\non: order.paid\nwhere: "{where}"\nsteps:\n  - stop: ok\n', "t")
    reads = outline_of(recipe).reads
    assert reads is not None
    assert {noun: reads[noun] and set(reads[noun] or ()) for noun in fields} == fields


@pytest.mark.parametrize(
    "more",
    [
        "quiet_hours: {from: '21:00', to: '08:00', timezone: customer}",
        "limits: {per: customer.email, at_most: 1, within: 7d}",
    ],
)
def test_what_looks_at_an_event_by_more_than_expressions_gets_all_of_it(more: str) -> None:
    source = (
        f"title: T\non: order.paid\n{more}\nsteps:\n  - use: slack.post_message\n    with: {{channel: c, text: hi}}\n"
    )
    assert outline_of(parse_recipe(source, "t")).reads is None


def test_a_narrow_scope_holds_what_is_read_as_a_whole_one_does() -> None:
    mine = connection()
    assert mine.connector.source is not None
    facts: Facts[Any] = Facts(topic="orders/paid", settings=mine.settings, headers={}, received_at=datetime.now(UTC))
    (event,) = mine.connector.source.topics["orders/paid"](shopify_order(7), facts, {})
    whole = canonical.scope(event.data)
    narrow = canonical.scope(event.data, {"order": frozenset({"total", "line_items", "number"}), "refund": None})
    assert narrow == {"order": {name: whole["order"][name] for name in ("total", "line_items", "number")}}
