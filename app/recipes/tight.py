"""Whether a step's `retry` tries an action again more quickly than is safe."""

from datetime import timedelta

from app.connector import Action, Lookup, Unsafe
from app.recipes.durations import say_duration
from app.recipes.model import Call, Retry

TIGHT = timedelta(minutes=2)
"""Tries of what is unsafe to repeat should not follow more closely than this."""
USUAL = 12
"""How often the hub tries by itself."""


def too_tight(call: Call, action: Action, retry: Retry) -> str | None:
    """Why an action should not be tried again as `retry` says; None where it may."""
    if retry.attempts == 1 or action.reads:
        return None
    if isinstance(action.safe, Unsafe):
        return _unsafe(call.use, retry)
    if isinstance(action.safe, Lookup) and retry.within is not None and retry.within < action.safe.settle:
        settle, within = say_duration(action.safe.settle), say_duration(retry.within)
        return f"whether {call.use} acted can be seen only {settle} after it, and its tries end within {within}"
    return None


def _unsafe(use: str, retry: Retry) -> str | None:
    attempts = retry.attempts or USUAL
    if retry.within is not None and retry.within / (attempts - 1) < TIGHT:
        return (
            f"{use} is not safe to repeat, and {attempts} tries within {say_duration(retry.within)} follow too closely"
        )
    if retry.within is None and attempts > USUAL:
        return f"{use} is not safe to repeat, and {attempts} tries are many chances to act twice"
    return None
