"""Rate limits of one lane, in the memory of its one drainer."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence

from app.connector import Limit


class Limiter:
    """Sliding windows: a call waits for its turn, it does not fail. `used`: requests that the windows already hold."""

    def __init__(self, limits: Sequence[Limit], used: int = 0) -> None:
        self._limits = limits
        self._sent: dict[tuple[int, str], deque[float]] = defaultdict(deque)
        self._not_before = 0.0
        self._turn = asyncio.Lock()
        for index, limit in enumerate(limits):
            if not limit.keyed:
                self._sent[index, ""].extend([time.monotonic()] * min(used, limit.count))

    def pause(self, seconds: float) -> None:
        """Send nothing more for so long (a Retry-After, or what an answer taught)."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    @property
    def paused_for(self) -> float:
        return max(0.0, self._not_before - time.monotonic())

    async def turn(self, key: str | None) -> None:
        """Wait until a request may go, and count it."""
        while True:
            async with self._turn:
                wait = self._wait(key)
                if wait <= 0:
                    self._count(key)
                    return
            await asyncio.sleep(wait)

    def _windows(self, key: str | None) -> list[tuple[Limit, deque[float]]]:
        return [
            (limit, self._sent[index, (key or "") if limit.keyed else ""])
            for index, limit in enumerate(self._limits)
            if not limit.keyed or key is not None
        ]

    def _wait(self, key: str | None) -> float:
        now = time.monotonic()
        waits = [self._not_before - now]
        for limit, sent in self._windows(key):
            while sent and sent[0] <= now - limit.per:
                sent.popleft()
            if len(sent) >= limit.count:
                waits.append(sent[0] + limit.per - now)
        return max(waits)

    def _count(self, key: str | None) -> None:
        now = time.monotonic()
        for _, sent in self._windows(key):
            sent.append(now)


class Breaker:
    """Opens when most of the last outcomes were the destination's failures."""

    WINDOW, FEWEST, RATE = 20, 5, 0.8

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=self.WINDOW)

    def note(self, failed: bool) -> bool:
        """Count an outcome; True when the lane should park."""
        self._failed.append(failed)
        return failed and len(self._failed) >= self.FEWEST and sum(self._failed) >= self.RATE * len(self._failed)

    def reset(self) -> None:
        self._failed.clear()
