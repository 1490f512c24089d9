"""Whatever a file holds, loading it tells problems and never raises; every expression ends, and says how."""

import time
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from app.documents import read_document
from app.expressions import (
    EvaluationError,
    ExpressionError,
    analyse,
    compile_condition,
    compile_expression,
    compile_value,
    shape_of,
)
from app.recipes import load_text
from tests.unit.test_expressions import SCOPE
from tests.unit.test_recipes import SHELF, WHOLE

DATA = read_document(WHOLE, "whole").data
ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, "", " ", "x", "{{ x }}", "{{", "order.id", "3d", [], {}, [[]], {"a": {}}, "é"),
        *("order.paid", "steps", {"event": "order.paid"}, ["order.paid"], "store.x", "09:00", {"until": "next 09:00"}),
    ]
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, dict):
        return {key: changed(each, path[1:], value) if key == path[0] else each for key, each in data.items()}
    return [changed(each, path[1:], value) if index == path[0] else each for index, each in enumerate(data)]


PLACES = places(DATA)


def test_a_list_may_stand_at_any_place() -> None:
    """What looks a value up among names must know that it may be none that can be looked up."""
    for place in PLACES:
        loaded = load_text(orjson.dumps(changed(DATA, place, []), default=str).decode(), "a", SHELF)
        assert loaded.usable or loaded.problems, place


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_no_recipe_raises_when_it_is_loaded(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    data = DATA
    for path, value in sorted(changes, key=lambda change: -len(change[0])):
        data = changed(data, path, value)
    loaded = load_text(orjson.dumps(data, default=str).decode(), "a", SHELF)
    assert loaded.recipe is not None or loaded.problems
    assert loaded.usable or loaded.problems
    for problem in loaded.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert problem.mend, problem


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:{}[]'\"-\n ,&*!|>#%@?\t01.", max_size=60))
def test_no_text_raises_when_it_is_loaded(text: str) -> None:
    loaded = load_text(text, "a", SHELF)
    assert not loaded.usable
    assert loaded.problems


LEAVES = [
    *("order", "order.total", "order.items", "order.number", "order.guest", "order.tags", "order.created_at", "now"),
    *(
        "order.total.amount",
        "order.items[0]",
        "order.totl",
        "missing",
        "1",
        "0",
        "2.5",
        "'a'",
        "''",
        "none",
        "true",
        "[]",
    ),
    *("{}", "big", "many", "-7"),
]
FILTERS = [
    *(
        "upper",
        "first",
        "last",
        "length",
        "sum",
        "map('sku')",
        "sum('price')",
        "where('quantity', '>', 1)",
        "sort",
        "unique",
    ),
    *("join", "join(', ')", "round", "round(2)", "int", "number", "string", "tojson", "money", "default(1)", "date"),
    *(
        "add_days(1)",
        "abs",
        "min",
        "max('price')",
        "name",
        "address",
        "phone('DE')",
        "replace('a', 'b')",
        "split",
        "items",
    ),
    *("truncate(3)", "reverse", "times(2)", "urlencode", "trim", "hours_until(now)", "weekday"),
]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", ">", "<", ">=", "<=", "in", "and", "or"]
expressions = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.builds(lambda a, b, c: f"({a} {b} {c})", inner, st.sampled_from(OPERATORS), inner),
        st.builds(lambda a, f: f"({a} | {f})", inner, st.sampled_from(FILTERS)),
        st.builds(lambda a, b, c: f"({a} if {b} else {c})", inner, inner, inner),
        st.builds(lambda a, b: f"[{a}, {b}]", inner, inner),
        st.builds(lambda a: f"(not {a})", inner),
        st.builds(lambda a, b: f"{{'k': {a}, 'm': {b}}}.k", inner, inner),
        st.builds(lambda a, b: f"{a}[{b}]", inner, inner),
    ),
    max_leaves=8,
)
SHAPES = {"order": shape_of(dict[str, Any]), "now": shape_of(int), "big": shape_of(str), "many": shape_of(list[int])}


@settings(max_examples=400, deadline=None)
@given(expressions)
def test_every_expression_ends_in_a_value_or_a_sentence(source: str) -> None:
    began = time.thread_time()
    for compile_, text in (
        (compile_expression, source),
        (compile_condition, source),
        (compile_value, f"{{{{ {source} }}}}"),
        (compile_value, f"so: {{{{ {source} }}}}"),
    ):
        try:
            compiled = compile_(text)
            analyse(compiled, SHAPES)
            analyse(compiled)
            compiled.evaluate(SCOPE)
        except (ExpressionError, EvaluationError):
            continue
    assert time.thread_time() - began < 3
