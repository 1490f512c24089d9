"""How often somebody may ask: a bucket for each, in this process."""

from collections.abc import Hashable
from time import monotonic

KEYS_AT_MOST = 10_000


class Pace:
    """So many a second for each key; what a key saved up, of at most `saves` seconds, it may ask for at once."""

    def __init__(self, a_second: int, saves: float) -> None:
        self._rate = a_second
        self.most = max(1, round(a_second * saves))
        self._known: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> tuple[float, float]:
        """Count one: (how many more may follow at once, seconds to wait; 0: it may go)."""
        now = monotonic()
        left, at = self._known.get(key, (float(self.most), now))
        left = min(self.most, left + (now - at) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        left = left if wait else left - 1
        if len(self._known) >= KEYS_AT_MOST and key not in self._known:
            self._known.clear()
        self._known[key] = (left, now)
        return left, wait

    def full_again(self, left: float) -> float:
        """Seconds until a key that has so many left may ask for all at once."""
        return (self.most - left) / self._rate
