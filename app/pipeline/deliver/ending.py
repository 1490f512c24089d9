"""What is written of a call whose try is over: pure."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import orjson

from app import events as canonical
from app.connector import Action, Budget
from app.pipeline.deliver.attempt import Attempt
from app.pipeline.deliver.outcome import Failed, Ok, Outcome, Verdict
from app.store.calls import DueCall, Ended

_LONG = re.compile(r"[:\[,]-?\d{19}")


def budget_of(call: DueCall, action: Action) -> Budget:
    """How long a call is tried: by its recipe's step, else by its action."""
    retry = call.options.get("retry") or {}
    return Budget(
        int(retry.get("attempts", action.budget.attempts)),
        timedelta(seconds=float(retry["age"])) if "age" in retry else action.budget.age,
    )


def ended(call: DueCall, attempt: Attempt, outcome: Outcome, verdict: Verdict) -> Ended:
    failed = outcome if isinstance(outcome, Failed) else None
    return Ended(
        attempt_id=attempt.id,
        call_id=call.id,
        connection_id=call.connection_id,
        workspace=call.workspace,
        run_id=call.run_id,
        fence=call.fence,
        number=attempt.number,
        attempt_state=verdict.attempt_state,
        status=outcome.status,
        error=_said(outcome),
        response=outcome.response,
        duration_ms=attempt.duration_ms,
        call_state=verdict.call_state,
        due_at=verdict.due_at,
        failures=verdict.failures,
        unsure=verdict.unsure,
        output=storable(outcome.output) if isinstance(outcome, Ok) else None,
        error_kind=failed.kind if failed else None,
        question=verdict.question,
        effect_key=call.effect_key,
        effect_state=verdict.effect_state,
        action=call.action,
        touched=attempt.touches[attempt.marked :] if attempt.sent else (),
    )


def _said(outcome: Outcome) -> str | None:
    """What the attempt is remembered by, as PostgreSQL can hold it."""
    if isinstance(outcome, Failed):
        return str(canonical.clean(outcome.error))
    return "an earlier attempt had done it" if outcome.found else None


def storable(output: str) -> str:
    """An output as jsonb holds it and gives it back: without U+0000, and whole numbers that are too long for its reader
    as text, of which the action's model makes numbers again."""
    if "\\u0000" not in output and not _LONG.search(output):
        return output
    return orjson.dumps(canonical.clean(_short(json.loads(output)))).decode()


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def found_done(call: DueCall, output: Any, now: datetime) -> Ended:
    """The end of a call whose effect exists already."""
    return Ended(
        attempt_id=None, call_id=call.id, connection_id=call.connection_id, workspace=call.workspace,
        run_id=call.run_id, fence=call.fence, number=call.attempts, attempt_state="ok", status=None, error=None,
        response=None, duration_ms=0, call_state="skipped", due_at=now, failures=call.failures, unsure=False,
        output=orjson.dumps(output).decode(), error_kind="effect exists", question=None, effect_key=call.effect_key,
        effect_state=None,
    )  # fmt: skip
