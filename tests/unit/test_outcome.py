"""What becomes of a call after an attempt: every class of safety against every outcome."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connector import (
    Action,
    Budget,
    IfUnsure,
    Lookup,
    NativeKey,
    Unsafe,
    Upsert,
    lookup,
    native_key,
    unsafe,
    upsert,
)
from app.pipeline.deliver.outcome import Failed, Kind, Ok, Standing, backoff, decide, weakened
from tests.support.testconnector import make_unsafe

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FRESH = Standing(failures=0, unsure=False, first_sent=NOW, since=NOW)
SETTLE = timedelta(seconds=30)
DAY = timedelta(hours=24)


async def _find(ctx: Any, input: Any) -> None:
    return None


SAFETIES = {
    "native": native_key(DAY, 64),
    "upsert": upsert,
    "lookup": lookup(SETTLE, _find),
    "unsafe": unsafe,
}
ACTIONS = {name: replace(make_unsafe, safe=safe) for name, safe in SAFETIES.items()}
KINDS: tuple[Kind, ...] = get_args(Kind)
ASKS: tuple[IfUnsure, ...] = get_args(IfUnsure)


def _after(
    kind: Kind, safety: str, if_unsure: IfUnsure = "ask", standing: Standing = FRESH, sent: bool = True, **more: Any
) -> Any:
    outcome = Failed(kind, "as told", **more)
    return decide(outcome, standing, ACTIONS[safety], if_unsure, Budget(), NOW, sent)


@pytest.mark.parametrize("safety", SAFETIES)
def test_a_success_ends_call_and_effect(safety: str) -> None:
    verdict = decide(Ok("{}"), FRESH, ACTIONS[safety], "ask", Budget(), NOW, True)
    assert (verdict.call_state, verdict.attempt_state, verdict.effect_state) == ("done", "ok", "done")


@pytest.mark.parametrize(("safety", "if_unsure"), [*product(SAFETIES, ASKS)])
def test_what_surely_did_not_happen_is_tried_again(safety: str, if_unsure: IfUnsure) -> None:
    verdict = _after("retryable", safety, if_unsure, sent=False)
    assert (verdict.call_state, verdict.effect_state, verdict.unsure) == ("due", None, False)
    assert verdict.failures == 1


@pytest.mark.parametrize("safety", ["native", "upsert", "lookup"])
def test_what_can_be_repeated_safely_asks_nobody(safety: str) -> None:
    verdict = _after("unsure", safety)
    assert (verdict.call_state, verdict.attempt_state, verdict.question) == ("due", "unsure", None)
    assert verdict.effect_state is None
    assert verdict.unsure


def test_a_search_waits_until_what_was_written_can_be_seen() -> None:
    assert _after("unsure", "lookup").due_at >= NOW + SETTLE


@pytest.mark.parametrize(
    ("if_unsure", "call", "effect"),
    [("ask", "uncertain", "uncertain"), ("skip", "skipped", "uncertain"), ("repeat", "due", None)],
)
def test_when_nobody_can_know_the_action_says_what_then(if_unsure: IfUnsure, call: str, effect: str | None) -> None:
    verdict = _after("unsure", "unsafe", if_unsure)
    assert (verdict.call_state, verdict.effect_state) == (call, effect)
    assert bool(verdict.question) is (if_unsure == "ask")


def test_doubt_without_sent_bytes_is_no_doubt() -> None:
    assert not _after("unsure", "unsafe", sent=False).unsure


@pytest.mark.parametrize("safety", SAFETIES)
def test_a_permanent_failure_frees_the_effect(safety: str) -> None:
    verdict = _after("permanent", safety)
    assert (verdict.call_state, verdict.effect_state) == ("dead", "released")


@pytest.mark.parametrize("safety", SAFETIES)
def test_a_permanent_failure_after_doubt_leaves_the_effect_uncertain(safety: str) -> None:
    doubtful = replace(FRESH, unsure=True, failures=1)
    asked, told = _after("permanent", safety, "ask", doubtful), _after("permanent", safety, "skip", doubtful)
    assert (asked.call_state, asked.effect_state, bool(asked.question)) == ("uncertain", "uncertain", True)
    assert (told.call_state, told.effect_state) == ("dead", "uncertain")


@pytest.mark.parametrize(("kind", "safety"), [*product(("throttled", "credential"), SAFETIES)])
def test_waiting_for_a_turn_or_a_credential_burns_nothing(kind: Kind, safety: str) -> None:
    verdict = _after(kind, safety, retry_after=7)
    assert (verdict.call_state, verdict.failures, verdict.due_at) == ("due", 0, NOW + timedelta(seconds=7))


def test_the_system_s_own_wait_is_kept() -> None:
    assert _after("retryable", "native", retry_after=3000).due_at >= NOW + timedelta(seconds=3000)


def test_the_last_attempt_of_the_budget_ends_the_call() -> None:
    last = replace(FRESH, failures=Budget().attempts - 1)
    assert _after("retryable", "native", standing=last).call_state == "dead"
    assert _after("retryable", "native", standing=replace(last, failures=1)).call_state == "due"


def test_age_ends_a_call_whatever_it_has_left() -> None:
    old = replace(FRESH, since=NOW - Budget().age)
    assert _after("retryable", "native", standing=old).effect_state == "released"


def test_a_system_that_never_lets_a_call_have_its_turn_ends_it_by_its_age() -> None:
    old = replace(FRESH, since=NOW - Budget().age)
    assert _after("throttled", "native", standing=old, retry_after=1).call_state == "dead"
    assert _after("throttled", "unsafe", standing=replace(old, unsure=True)).call_state == "uncertain"
    assert _after("credential", "native", standing=old).call_state == "due", "it waits for a person, in a parked lane"


@pytest.mark.parametrize("status", [None, 502, 503, 504, 522])
def test_a_probe_that_finds_the_system_away_uses_up_nothing_and_lets_another_try(status: int | None) -> None:
    last = replace(FRESH, failures=Budget().attempts - 1, since=NOW - 2 * Budget().age)
    probed = Failed("retryable", "away", status=status)
    verdict = decide(probed, last, ACTIONS["native"], "ask", Budget(), NOW, True, timedelta(seconds=30))
    assert (verdict.call_state, verdict.failures) == ("due", last.failures)
    assert timedelta(seconds=20) < verdict.due_at - NOW <= timedelta(seconds=60)
    once = decide(probed, FRESH, ACTIONS["native"], "ask", Budget(attempts=1), NOW, True, timedelta(seconds=30))
    assert once.call_state == "dead", "retry: false means it"


def test_a_probe_that_the_system_itself_refuses_counts() -> None:
    last = replace(FRESH, failures=Budget().attempts - 1)
    refused = Failed("retryable", "no", status=500)
    assert decide(refused, last, ACTIONS["native"], "ask", Budget(), NOW, True, DAY).call_state == "dead"


def test_a_spent_budget_after_doubt_asks() -> None:
    last = replace(FRESH, failures=Budget().attempts - 1, unsure=True)
    assert _after("retryable", "upsert", standing=last).call_state == "uncertain"


def test_a_native_key_past_its_time_counts_as_its_next_weaker_class() -> None:
    key = native_key(DAY, 64, then=lookup(SETTLE, _find))
    assert isinstance(weakened(key, NOW - DAY + timedelta(seconds=1), NOW), NativeKey)
    assert isinstance(weakened(key, NOW - DAY, NOW), Lookup)
    assert isinstance(weakened(native_key(DAY, 64), NOW - DAY, NOW), Unsafe)
    assert isinstance(weakened(upsert, NOW - 9 * DAY, NOW), Upsert)


def test_doubt_about_a_key_that_will_be_forgotten_before_the_next_try_is_asked() -> None:
    late = replace(FRESH, first_sent=NOW - DAY + timedelta(milliseconds=1), failures=0)
    verdict = decide(
        Failed("unsure", "cut off", retry_after=10), late, ACTIONS["native"], "ask", Budget(age=9 * DAY), NOW, True
    )
    assert verdict.call_state == "uncertain"


@given(st.integers(1, 60))
def test_backoff_is_full_jitter_with_a_ceiling(failures: int) -> None:
    assert timedelta(0) <= backoff(failures) <= timedelta(seconds=min(600, 2 ** (failures - 1)))


@given(
    st.sampled_from(KINDS),
    st.sampled_from(list(SAFETIES)),
    st.sampled_from(ASKS),
    st.integers(0, 15),
    st.booleans(),
    st.booleans(),
    st.integers(0, 200),
)
def test_no_decision_breaks_the_ledger(
    kind: Kind, safety: str, if_unsure: IfUnsure, failures: int, unsure: bool, sent: bool, hours: int
) -> None:
    standing = Standing(failures, unsure, NOW - timedelta(hours=hours), NOW - timedelta(hours=hours))
    action: Action = ACTIONS[safety]
    verdict = decide(Failed(kind, "x"), standing, action, if_unsure, Budget(), NOW, sent)
    may_have_acted = unsure or (sent and kind == "unsure")
    assert verdict.unsure >= (may_have_acted and verdict.call_state != "done")
    if verdict.effect_state == "released":
        assert not may_have_acted
    if verdict.call_state == "due":
        assert verdict.effect_state is None
        assert verdict.due_at >= NOW
    else:
        assert verdict.effect_state is not None
    assert bool(verdict.question) == (verdict.call_state == "uncertain")
    if may_have_acted and safety == "unsafe" and if_unsure != "repeat" and kind == "unsure":
        assert verdict.call_state != "due"
