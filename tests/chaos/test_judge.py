"""The judge can say no: each fault, planted into evidence that keeps every promise, is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.judge import ACTIONS, DIED, Call, Evidence, judge
from tests.support.sink import Row

DONE = (("ok", ""),)


def _evidence() -> Evidence:
    """One order whose two recipes made their six calls, each read once."""
    calls = [Call(action, "1", action, "done", "done", False, DONE) for action in ACTIONS]
    rows = [Row(n, action, "ok", True, "POST", "/") for n, action in enumerate(ACTIONS)]
    one = frozenset({"1"})
    return Evidence(one, one, {"1": 1}, {"1": 2}, [], calls, rows, {"effects_reserved": 0})


def _read_again(action: str) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, read=[*seen.read, Row(99, action, "ok", True, "POST", "/")])


def _call(action: str, **changes: object) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(
        seen,
        calls=[replace(call, **changes) if call.action == action else call for call in seen.calls],  # type: ignore[arg-type]
    )


def test_what_kept_every_promise_is_passed() -> None:
    assert judge(_evidence(), kills=False) == []


PLANTED: dict[str, Callable[[Evidence], Evidence]] = {
    **{f"a doubled effect: {action}": _read_again(action) for action in ACTIONS},
    "a doubled effect with an attempt to match": lambda seen: _call("make_unsafe", attempts=DONE * 2)(
        _read_again("make_unsafe")(seen)
    ),
    "a lookup done twice": lambda seen: _call("make_lookup", attempts=(("unsure", ""), *DONE))(
        _read_again("make_lookup")(seen)
    ),
    "an effect that nobody asked for": _read_again("stranger"),
    "an order without its event": lambda seen: replace(seen, events={}),
    "an order with two events": lambda seen: replace(seen, events={"1": 2}),
    "an event with one run": lambda seen: replace(seen, runs={"1": 1}),
    "a run that failed": lambda seen: replace(seen, open_runs=[("1", "failed")]),
    "an order that was never accepted": lambda seen: replace(seen, sent=frozenset({"1", "2"})),
    "an effect left reserved": lambda seen: replace(seen, left_over={"effects_reserved": 1}),
    "done by the ledger, not by the destination": lambda seen: replace(seen, read=seen.read[1:]),
    "a question without a reason": _call("make_unsafe", state="uncertain"),
    "a question that a key could have settled": _call("make_native", state="uncertain"),
    "a doubt without its question": lambda seen: replace(
        seen, read=[row._replace(did="timeout") if row.key == "make_unsafe" else row for row in seen.read]
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    assert judge(PLANTED[name](_evidence()), kills=False)


def test_a_doubled_unsafe_effect_is_found_though_processes_died() -> None:
    died = _call("make_unsafe", attempts=(("unsure", DIED), *DONE))(_read_again("make_unsafe")(_evidence()))
    assert judge(died, kills=True)
    assert not judge(_call("make_unsafe", doubled=True)(died), kills=True), "it says so"
