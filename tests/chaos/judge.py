"""The judge: compares what was accepted, what the sink read, and what the ledger says. Pure, and outside the app.

Classes by action: `make_native`, `put_upsert` and `make_lookup` are safe to repeat each in its way; `make_unsafe` asks
a person when in doubt, `say_repeat` repeats, `say_skip` skips.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.sink import Row

ACTIONS = ("make_native", "put_upsert", "make_lookup", "say_repeat", "say_skip", "make_unsafe")
RECIPES = 2
UNSURE = {"500", "timeout", "close", "half", "huge"}
"""What the sink does to a request that leaves a client in doubt; after a 429 it is sure."""
DIED = "the process that sent it ended"


@dataclass(frozen=True)
class Call:
    """A call by the ledger; `attempts` in order: (state, error); states as in the ledger."""

    key: str
    order: str
    action: str
    state: str
    effect: str | None
    doubled: bool
    attempts: tuple[tuple[str, str], ...] = ()

    def tried(self, *states: str) -> int:
        return sum(state in states for state, _ in self.attempts)

    @property
    def died(self) -> bool:
        """The process of one of its attempts died, or its answer came after another had taken over."""
        return any(state == "late" or error.startswith(DIED) for state, error in self.attempts)


@dataclass(frozen=True)
class Evidence:
    """All that is known at the end. `events`, `runs`: how many per order; `open_runs`: orders with a run not done."""

    sent: frozenset[str]
    accepted: frozenset[str]
    events: Mapping[str, int]
    runs: Mapping[str, int]
    open_runs: Sequence[tuple[str, str]]
    calls: Sequence[Call]
    read: Sequence[Row]
    left_over: Mapping[str, int] = field(default_factory=dict)


def judge(seen: Evidence, *, kills: bool, cut: bool = False) -> list[str]:
    """Everything that is off, in words; empty when all promises were kept. `kills`: processes died or were frozen;
    `cut`: so did the destination, which writes nothing down of what was on its way to it then."""
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in seen.read:
        by_key[row.key].append(row)
    wrong = [*_nothing_lost(seen), *_questions(seen, by_key, kills, cut)]
    for call in seen.calls:
        wrong += _effect(call, by_key.get(call.key, []))
    unknown = set(by_key) - {call.key for call in seen.calls}
    wrong += [f"{len(unknown)} effect keys were read that no call has"] if unknown else []
    return wrong


def _nothing_lost(seen: Evidence) -> Iterable[str]:
    for order in sorted(seen.accepted | set(seen.events), key=int):
        if seen.events.get(order, 0) != 1:
            yield f"order {order}: {seen.events.get(order, 0)} events"
        if seen.runs.get(order, 0) != RECIPES:
            yield f"order {order}: {seen.runs.get(order, 0)} runs"
    if stray := set(seen.events) - seen.sent:
        yield f"events that nobody sent: {sorted(stray)[:5]}"
    if refused := seen.sent - seen.accepted:
        yield f"{len(refused)} orders were never accepted"
    asked = {call.order for call in seen.calls if call.state == "uncertain"}
    for order, state in seen.open_runs:
        if order not in asked or state in ("failed", "cancelled"):
            yield f"order {order}: a run ended {state}, or waits without a question"
    for what, count in seen.left_over.items():
        if count:
            yield f"{count} {what}"


def _questions(seen: Evidence, by_key: Mapping[str, Sequence[Row]], kills: bool, cut: bool) -> Iterable[str]:
    """Questions are the calls that ask and ended unsure: by the sink's log, or `sending` when their process died."""
    for call in seen.calls:
        doubted = any(row.did in UNSURE for row in by_key.get(call.key, ()))
        if call.action != "make_unsafe":
            if call.state == "uncertain":
                yield f"{call.action} {call.key[:8]} of order {call.order} asks, and need not"
        elif doubted and call.state != "uncertain":
            yield f"order {call.order} has no question, but the sink left it in doubt"
        elif call.state == "uncertain" and not doubted and not (kills and call.died) and not (cut and _was_cut(call)):
            yield f"order {call.order} has a question without a reason: {call.attempts}"


def _was_cut(call: Call) -> bool:
    """Whether its connection broke while its request was on the way."""
    return any(state == "unsure" and "the connection" in (error or "") for state, error in call.attempts)


def _effect(call: Call, read: Sequence[Row]) -> Iterable[str]:
    name, acted = f"{call.action} of order {call.order}", sum(row.acted for row in read)
    sure = [row for row in read if row.did == "429"]
    again = len(read) - len(sure) - 1
    doubts = call.tried("unsure", "late")
    if call.state == "done" and not acted:
        yield f"{name} is done, but the sink never did it"
    if call.state == "done" and call.effect != "done":
        yield f"{name} is done, its effect {call.effect}"
    if again > 0 and again > doubts + (1 if call.died else 0):
        yield f"{name}: read {len(read)} times with {doubts} doubts on record: {call.attempts}"
    if len(read) > len(call.attempts):
        yield f"{name}: read {len(read)} times, {len(call.attempts)} attempts on record"
    if call.action == "make_lookup" and acted > 1 and not call.doubled:
        yield f"{name}: done {acted} times although a search could tell"
    if call.action in ("make_unsafe", "say_skip") and again > 0 and not call.doubled:
        yield f"{name}: unsafe, and sent {again + 1} times unseen"
    if call.action == "say_repeat" and acted > 1 and not call.doubled:
        yield f"{name}: done {acted} times, and nothing says so"
