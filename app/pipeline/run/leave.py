"""Leave under a recipe's limits: a run takes its places right before its first call, or is deferred, or skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.crypto import Hasher
from app.expressions import EvaluationError
from app.pipeline.run.awaiting import same
from app.pipeline.run.facts import Facts
from app.recipes import Limit, say_duration
from app.store import places
from app.store.database import Connection as Db

HIGHEST = 100
"""The highest priority that a recipe can have: those above others try a little earlier."""


@dataclass(frozen=True, slots=True)
class Answer:
    """state: granted, deferred (until), or skipped (reason)."""

    state: str
    until: datetime | None = None
    reason: str | None = None


Wish = tuple[Facts, dict[str, Any]]


Longest = Callable[[Facts], timedelta]
"""The longest span in which a recipe of the run's group counts places."""


async def ask(db: Db, hasher: Hasher, wishes: Sequence[Wish], now: datetime, longest: Longest) -> list[Answer]:
    """Answers for runs and their scopes, in their order; the values that they count under are held meanwhile."""
    keyed = [_keys(hasher, facts, scope) for facts, scope in wishes]
    await places.lock(db, [key for keys in keyed for _, key in keys])
    return [await _one(db, facts, keys, now, longest(facts)) for (facts, _), keys in zip(wishes, keyed, strict=True)]


def _keys(hasher: Hasher, facts: Facts, scope: dict[str, Any]) -> list[tuple[Limit, bytes]]:
    """The values that a run counts under; an absent one has no limit."""
    recipe = facts.recipe
    found = []
    for limit in recipe.limits:
        try:
            value = limit.per.evaluate(scope)
        except EvaluationError:
            value = None
        if value is not None:
            text = same(value.strip().lower() if isinstance(value, str) else value)
            found.append((limit, hasher("limit", facts.workspace, recipe.group or recipe.name, text)))
    return found


async def _one(db: Db, facts: Facts, keys: Sequence[tuple[Limit, bytes]], now: datetime, longest: timedelta) -> Answer:
    until: datetime | None = None
    for limit, key in keys:
        free = await places.free_at(db, key, limit.at_most, limit.within, now)
        if free is not None and limit.over == "skip":
            return Answer("skipped", reason=f"the limit of {limit.at_most} in {say_duration(limit.within)} is reached")
        if free is not None:
            until = free if until is None else max(until, free)
    if until is not None:
        return Answer("deferred", until + timedelta(milliseconds=HIGHEST - facts.recipe.priority))
    for limit, key in keys:
        await places.take(db, key, facts.run_id, now, now + max(limit.within, longest))
    return Answer("granted")
