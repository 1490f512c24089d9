"""What one try at a call came to, and what that means for the call: pure decisions."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Literal

from tenacity.wait import wait_random_exponential

from app.connector import Action, Budget, IfUnsure, Lookup, NativeKey, Safety, Unsafe

Kind = Literal["retryable", "throttled", "unsure", "permanent", "credential"]


@dataclass(frozen=True, slots=True)
class Ok:
    """The call did what it should; `found` when a search showed that an earlier try had done it."""

    output: str
    status: int | None = None
    response: bytes | None = None
    found: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The call did not, or nobody can say."""

    kind: Kind
    error: str
    retry_after: float | None = None
    status: int | None = None
    response: bytes | None = None

    @property
    def answered(self) -> bool:
        """Whether the system itself said something."""
        return self.status is not None and self.status not in OUT_OF_ORDER


Outcome = Ok | Failed

OUT_OF_ORDER = frozenset({502, 503, 504, *range(520, 528)})
"""Statuses that something before the system gives while the system itself is away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a call stands before this outcome. `unsure`: an earlier attempt may have acted. `since`: its first try."""

    failures: int
    unsure: bool
    first_sent: datetime | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the call, its attempt and its effect (None leaves the effect reserved)."""

    call_state: Literal["due", "done", "skipped", "uncertain", "dead"]
    attempt_state: Literal["ok", "retryable", "unsure", "permanent"]
    effect_state: Literal["done", "released", "uncertain"] | None
    due_at: datetime
    failures: int
    unsure: bool
    question: str | None = None


_backoff = wait_random_exponential(multiplier=1, max=600)


def backoff(failures: int) -> timedelta:
    """Exponential with full jitter: up to 1, 2, 4 ... 600 s."""
    return timedelta(seconds=_backoff(SimpleNamespace(attempt_number=failures)))  # type: ignore[arg-type]


def decide(
    outcome: Outcome,
    standing: Standing,
    action: Action,
    if_unsure: IfUnsure,
    budget: Budget,
    now: datetime,
    sent: bool,
    probe: timedelta | None = None,
) -> Verdict:
    """The one decision after an attempt. `sent`: its bytes went out. `probe`: it was a parked lane's, and the next one
    comes after so long: a system that is away uses up nothing of the call that happened to find it so."""
    if isinstance(outcome, Ok):
        return Verdict("done", "ok", "done", now, standing.failures, False)
    unsure = standing.unsure or (sent and outcome.kind == "unsure")
    if outcome.kind in ("throttled", "credential"):
        if outcome.kind == "throttled" and now - standing.since >= budget.age:
            return _given_up("retryable", standing.failures, unsure, now, action, if_unsure)
        wait = timedelta(seconds=outcome.retry_after or 1)
        return Verdict("due", "retryable", None, now + wait, standing.failures, unsure)
    away = probe is not None and not outcome.answered and budget.attempts > 1
    failures = standing.failures + (not away)
    if outcome.kind == "permanent":
        return _given_up("permanent", failures, unsure, now, action, if_unsure)
    attempt: Literal["unsure", "retryable"] = "unsure" if outcome.kind == "unsure" and sent else "retryable"
    if not away and (failures >= budget.attempts or now - standing.since >= budget.age):
        return _given_up(attempt, failures, unsure, now, action, if_unsure)
    due = _next(outcome, failures, now, probe if away else None)
    if not unsure:
        return Verdict("due", "retryable", None, due, failures, False)
    return _after_unsure(due, attempt, failures, standing, action, if_unsure, now)


def _after_unsure(
    due: datetime,
    attempt: Literal["unsure", "retryable"],
    failures: int,
    standing: Standing,
    action: Action,
    if_unsure: IfUnsure,
    now: datetime,
) -> Verdict:
    match weakened(action.safe, standing.first_sent or now, due):
        case Unsafe():
            return _nobody_can_know(attempt, failures, due, now, action, if_unsure)
        case Lookup(settle=settle):
            return Verdict("due", attempt, None, max(due, now + settle), failures, True)
        case _:
            return Verdict("due", attempt, None, due, failures, True)


def _nobody_can_know(
    attempt: Literal["unsure", "retryable"],
    failures: int,
    due: datetime,
    now: datetime,
    action: Action,
    if_unsure: IfUnsure,
) -> Verdict:
    if if_unsure == "repeat":
        return Verdict("due", attempt, None, due, failures, True)
    if if_unsure == "skip":
        return Verdict("skipped", attempt, "uncertain", now, failures, True)
    return Verdict("uncertain", attempt, "uncertain", now, failures, True, question(action))


def _given_up(
    attempt: Literal["unsure", "retryable", "permanent"],
    failures: int,
    unsure: bool,
    now: datetime,
    action: Action,
    if_unsure: IfUnsure,
) -> Verdict:
    if not unsure:
        return Verdict("dead", attempt, "released", now, failures, False)
    if if_unsure == "ask":
        return Verdict("uncertain", attempt, "uncertain", now, failures, True, question(action))
    return Verdict("dead", attempt, "uncertain", now, failures, True)


def weakened(safe: Safety, first_sent: datetime, at: datetime) -> Safety:
    """The class of safety that still holds at a moment: a native key past its time counts as its next weaker class."""
    if isinstance(safe, NativeKey) and at - first_sent >= safe.valid_for:
        return safe.then
    return safe


def question(action: Action) -> str:
    return f"Did {action.name.replace('_', ' ')} happen? Its request went out and no usable answer came back."


def _next(outcome: Failed, failures: int, now: datetime, probe: timedelta | None) -> datetime:
    """When it is tried again. After a probe that found the system away: perhaps by the next probe, or behind it, so
    that another call gets to try."""
    wait = backoff(failures) if probe is None else probe * random.uniform(0.7, 2)
    if outcome.retry_after is not None:
        wait = max(wait, timedelta(seconds=outcome.retry_after))
    return now + wait
