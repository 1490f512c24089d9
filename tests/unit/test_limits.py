"""Turns under rate limits, the breaker, and writes that share a commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import pairwise, product

import pytest

from app.connector import Limit
from app.pipeline.deliver.limits import Breaker, Limiter, Past
from app.store.shared import Shared


async def _turns(limiter: Limiter, keys: list[str | None]) -> list[float]:
    """When each got its turn, seconds from now."""
    began = time.monotonic()

    async def one(key: str | None) -> float:
        assert await limiter.turn(key)
        return time.monotonic() - began

    return await asyncio.gather(*map(one, keys))


async def test_no_window_ever_holds_more_than_its_count() -> None:
    limiter = Limiter([Limit(4, 0.1), Limit(6, 0.25)])
    times = sorted(await _turns(limiter, [None] * 14))
    assert all(b - a >= 0.099 for a, b in zip(times, times[4:], strict=False))
    assert all(b - a >= 0.249 for a, b in zip(times, times[6:], strict=False))


KINDS: dict[str, tuple[tuple[Limit, ...], Sequence[str | None], float]] = {
    "Slack: one a second in each channel": ((Limit(1, 1, keyed=True),), ["C1", "C2"] * 30, 29),
    "Airtable: five a second": ((Limit(5, 1),), [None] * 60, 11),
    "QuickBooks: 500 a minute": ((Limit(500, 60),), [None] * 1100, 120),
    "two windows at once": ((Limit(5, 1), Limit(20, 60)), [None] * 45, 120),
    "a window for all and one for each key": ((Limit(10, 1), Limit(2, 1, keyed=True)), ["a", "b"] * 30, 14),
}
"""Limits, the keys of the requests that want to go, and the seconds that these take at the least."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_limit_is_kept_and_no_slower_than_it_must_be(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, keys, seconds = KINDS[kind]
    now = [1000.0]
    monkeypatch.setattr("app.pipeline.deliver.limits.time.monotonic", lambda: now[0])
    limiter = Limiter(limits)
    went: list[tuple[float, str | None]] = []
    waiting = list(keys)
    while waiting:
        waits = [limiter.wait(key) for key in waiting]
        now[0] += min(waits) + 1e-6
        key = waiting.pop(waits.index(min(waits)))
        limiter._count(key)
        went.append((now[0], key))
    for limit, only in product(limits, set(keys)):
        times = [at for at, key in went if not limit.keyed or key == only]
        assert all(b - a >= limit.per for a, b in zip(times, times[limit.count :], strict=False))
    assert seconds <= went[-1][0] - went[0][0] < seconds + 0.01


def test_what_was_told_is_known_to_the_next_drainer(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Limiter([])
    first.pause(0.2)
    assert first.news() == {}, "not worth a word"
    first.pause(30)
    first.pause(60, "C1")
    told = first.news()
    assert sorted(told) == ["", "C1"]
    assert first.news() == {}, "told once"
    second = Limiter([], Past(pauses=told))
    assert 29 < second.paused_for <= 30
    assert 59 < second.wait("C1") <= 60
    assert second.news() == {}


async def test_a_key_has_a_window_of_its_own() -> None:
    limiter = Limiter([Limit(1, 0.15, keyed=True)])
    times = await _turns(limiter, ["a", "b", "a"])
    assert max(times[:2]) < 0.1
    assert times[2] >= 0.149


async def test_a_pause_under_a_key_stops_that_key_alone() -> None:
    limiter = Limiter([])
    limiter.pause(0.15, "a")
    assert limiter.paused_for == 0
    times = await _turns(limiter, ["b", None, "a"])
    assert max(times[:2]) < 0.1
    assert times[2] >= 0.149


async def test_a_pause_stops_everything_and_the_longest_counts() -> None:
    limiter = Limiter([])
    limiter.pause(0.15)
    limiter.pause(0.01)
    assert min(await _turns(limiter, [None, "a"])) >= 0.149


async def test_what_an_earlier_drainer_sent_counts() -> None:
    limiter = Limiter([Limit(5, 0.2)], Past(used=4))
    times = await _turns(limiter, [None, None])
    assert times[0] < 0.1
    assert times[1] >= 0.199


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [0.3, 7.0])
def test_a_window_holds_across_owners(kind: str, every: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane goes to another process again and again; who lets it go tells what its windows hold."""
    limits, keys, seconds = KINDS[kind]
    now = [1000.0]
    monkeypatch.setattr("app.pipeline.deliver.limits.time.monotonic", lambda: now[0])
    limiter, handed = Limiter(limits), now[0]
    went: list[tuple[float, str | None]] = []
    waiting = list(keys)
    while waiting:
        waits = [limiter.wait(key) for key in waiting]
        now[0] += min(every, min(waits) + 1e-6)
        if now[0] - handed >= every:
            limiter, handed = Limiter(limits, Past(windows=limiter.windows(anyway=True) or {})), now[0]
        elif limiter.wait(key := waiting[waits.index(min(waits))]) == 0:
            waiting.remove(key)
            limiter._count(key)
            went.append((now[0], key))
    for limit, only in product(limits, set(keys)):
        times = [at for at, key in went if not limit.keyed or key == only]
        assert all(b - a >= limit.per - 1e-6 for a, b in zip(times, times[limit.count :], strict=False))
    assert seconds <= went[-1][0] - went[0][0] < 1.2 * seconds + 2


def test_what_may_have_gone_untold_counts_under_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("app.pipeline.deliver.limits.time.monotonic", lambda: now[0])
    first = Limiter([Limit(3, 5, keyed=True)])
    first._count("C1")
    told = first.windows()
    assert told is not None
    assert first.windows() is None, "told once"
    now[0] += 1
    second = Limiter([Limit(3, 5, keyed=True)], Past(windows=told, used=2))
    assert (second.wait("C1"), second.wait("C2")) == (5.0, 0.0)
    second._count("C2")
    assert second.wait("C2") == 5.0


async def test_closing_sends_home_who_waits_but_not_the_patient() -> None:
    limiter = Limiter([Limit(1, 0.2)])
    await limiter.turn(None)
    waiting = asyncio.create_task(limiter.turn(None))
    patient = asyncio.create_task(limiter.turn(None, patient=True))
    await asyncio.sleep(0)
    limiter.close()
    assert await waiting is False
    assert await patient is True


def _noted(outcomes: str) -> list[bool]:
    breaker = Breaker()
    return [breaker.note(mark == "x") for mark in outcomes]


def test_a_system_that_is_away_opens_the_breaker() -> None:
    assert _noted("x" * Breaker.FEWEST)[-1]
    assert not any(_noted("x" * (Breaker.FEWEST - 1)))
    assert any(_noted("." * 20 + "x" * 20))


def test_a_system_that_fails_half_of_its_requests_is_tried_on() -> None:
    assert not any(_noted("x." * 50))
    assert not any(_noted("xx.x" * 50))


# --- shared writes ----------------------------------------------------------------------------------------------


class Written:
    """A store that answers after a moment, and refuses batches that hold 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.refuse: Callable[[list[int]], Exception | None] = lambda batch: None

    async def __call__(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        await asyncio.sleep(0)
        if error := self.refuse(batch):
            raise error
        return [item * 2 for item in batch]


async def test_one_after_another_is_never_left_waiting() -> None:
    shared = Shared(Written())
    async with asyncio.timeout(2):
        assert [await shared(n) for n in range(50)] == [n * 2 for n in range(50)]


async def test_many_at_once_share_writes_and_each_gets_its_own_answer() -> None:
    written = Written()
    shared = Shared(written, most=10)
    assert await asyncio.gather(*map(shared, range(95))) == [n * 2 for n in range(95)]
    assert len(written.batches) <= 11
    await shared.settle()
    assert shared.waiting == 0


async def test_one_bad_among_199_good_fails_alone() -> None:
    written = Written()
    written.refuse = lambda batch: ValueError("13") if 13 in batch else None
    shared = Shared(written)
    results = await asyncio.gather(*map(shared, range(200)), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, ValueError)] == [13]
    assert len(written.batches) < 25


async def test_while_the_store_is_away_everybody_is_told_at_once() -> None:
    written = Written()
    written.refuse = lambda batch: ConnectionRefusedError("away")
    results = await asyncio.gather(*map(Shared(written), range(20)), return_exceptions=True)
    assert all(isinstance(result, ConnectionRefusedError) for result in results)
    assert all(len(a) >= len(b) for a, b in pairwise(written.batches[1:]))
    assert len(written.batches) <= 2


@pytest.mark.parametrize("at_once", [1, 2])
async def test_no_more_writes_at_once_than_allowed(at_once: int) -> None:
    running = most = 0

    async def write(batch: list[int]) -> list[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return batch

    shared = Shared(write, most=3, at_once=at_once)
    await asyncio.gather(*map(shared, range(40)))
    assert most == at_once
