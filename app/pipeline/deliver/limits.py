"""Rate limits of one lane, in the memory of its one drainer."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.connector import Limit

WORTH_TELLING = 1.0
"""Seconds of a pause that the next owner of a lane should know of."""


GRAINS = 20
"""Into so many parts a window is cut when it is told: what it holds counts as the youngest of its part."""

Told = dict[str, dict[str, list[tuple[float, int]]]]
"""What windows hold: by window, by key, (seconds ago, how many requests)."""


@dataclass(frozen=True)
class Past:
    """What the last owner of a lane left. pauses: seconds for which nothing may go under a key ("": at all); windows:
    what they held when it told of them last; used: requests that may have gone since then, under whatever key."""

    pauses: Mapping[str, float] = field(default_factory=dict)
    windows: Told = field(default_factory=dict)
    used: int = 0


class Limiter:
    """Sliding windows: a call waits for its turn, it does not fail."""

    def __init__(self, limits: Sequence[Limit], past: Past | None = None) -> None:
        past = past or Past()
        self._limits = limits
        self._news = False
        self._sent: dict[tuple[int, str], deque[float]] = {}
        self._unknown = [time.monotonic()] * past.used
        self._untold = False
        self._not_before: dict[str, float] = {"": 0.0}
        self._closed = asyncio.Event()
        self._recall(past.windows)
        for key, seconds in past.pauses.items():
            self.pause(seconds, key)
        self._news = False

    def _recall(self, windows: Told) -> None:
        now = time.monotonic()
        for index, limit in enumerate(self._limits):
            for key, held in windows.get(_name(limit), {}).items():
                times = sorted(now - ago for ago, number in held for _ in range(number))
                self._sent[index, key] = deque([*times, *self._unknown])

    def windows(self, *, anyway: bool = False) -> Told | None:
        """What the windows hold, if anything was sent since this was asked last, or anyway."""
        if not self._untold and not (anyway and self._limits):
            return None
        self._untold = False
        now, told = time.monotonic(), Told()
        for (index, key), sent in list(self._sent.items()):
            limit = self._limits[index]
            while sent and sent[0] <= now - limit.per:
                sent.popleft()
            if sent:
                told.setdefault(_name(limit), {})[key] = _grains(sent, now, limit.per / GRAINS)
            else:
                del self._sent[index, key]
        return told

    def pause(self, seconds: float, key: str | None = None) -> None:
        """Send nothing for so long (a Retry-After, or what an answer taught); with a key, nothing under that key."""
        until = time.monotonic() + seconds
        self._not_before[key or ""] = max(self._not_before.get(key or "", 0.0), until)
        self._news |= seconds >= WORTH_TELLING

    def news(self) -> dict[str, float]:
        """What was learnt since this was asked last, for the next owner of the lane: seconds by key."""
        if not self._news:
            return {}
        self._news = False
        now = time.monotonic()
        self._not_before = {key: until for key, until in self._not_before.items() if until > now or not key}
        return {key: until - now for key, until in self._not_before.items() if until > now}

    @property
    def paused_for(self) -> float:
        """Seconds for which nothing at all may go."""
        return max(0.0, self._not_before[""] - time.monotonic())

    def wait(self, key: str | None) -> float:
        """Seconds until a request may go; 0 when it may now."""
        return max(0.0, self._wait(key))

    async def turn(self, key: str | None, *, patient: bool = False) -> bool:
        """Wait until a request may go, and count it. False when the limiter was closed first, but for the `patient`."""
        while (wait := self._wait(key)) > 0:
            if self._closed.is_set() and not patient:
                return False
            await self._sleep(wait, patient)
        self._count(key)
        return True

    def close(self) -> None:
        """Nobody new gets a turn that does not come at once."""
        self._closed.set()

    async def _sleep(self, seconds: float, patient: bool) -> None:
        if patient:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            pass

    def _windows(self, key: str | None) -> list[tuple[Limit, deque[float]]]:
        return [
            (limit, self._sent.setdefault((index, (key or "") if limit.keyed else ""), deque(self._unknown)))
            for index, limit in enumerate(self._limits)
            if not limit.keyed or key is not None
        ]

    def _wait(self, key: str | None) -> float:
        now = time.monotonic()
        waits = [self._not_before[""] - now, self._not_before.get(key or "", 0.0) - now]
        for limit, sent in self._windows(key):
            while sent and sent[0] <= now - limit.per:
                sent.popleft()
            if len(sent) >= limit.count:
                waits.append(sent[0] + limit.per - now)
        return max(waits)

    def _count(self, key: str | None) -> None:
        now = time.monotonic()
        self._untold = bool(self._limits)
        for _, sent in self._windows(key):
            sent.append(now)


def _name(limit: Limit) -> str:
    return f"{limit.count}/{limit.per:g}{' a key' if limit.keyed else ''}"


def _grains(sent: Sequence[float], now: float, grain: float) -> list[tuple[float, int]]:
    """Requests counted by their part of the window, each part by its youngest."""
    parts: dict[int, list[float]] = {}
    for at in sent:
        parts.setdefault(int((now - at) / grain), []).append(at)
    return [(int(1000 * max(0.0, now - max(times))) / 1000, len(times)) for times in parts.values()]


class Breaker:
    """Opens when nearly all of the last outcomes were the destination's failures: a system that fails half of its
    requests is worth trying on, one that is away is not."""

    WINDOW, FEWEST, RATE = 20, 8, 0.9

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=self.WINDOW)

    def note(self, failed: bool) -> bool:
        """Count an outcome; True when the lane should park."""
        self._failed.append(failed)
        return failed and len(self._failed) >= self.FEWEST and sum(self._failed) >= self.RATE * len(self._failed)

    def reset(self) -> None:
        self._failed.clear()
