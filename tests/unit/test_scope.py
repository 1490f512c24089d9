"""A late scope reads as the dict that it becomes, and is not made before somebody looks."""

from app.domain.scope import LateScope
from app.expressions import compile_condition


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
