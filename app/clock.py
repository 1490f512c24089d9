"""One clock: due times and `now` are database time; tests bring one of their own."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app import ids
from app.store.database import Database


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""
        ...


class DatabaseClock:
    """Database time, by an offset to this machine's monotonic clock that `measure` keeps fresh.

    A wall clock that is wrong, or jumps, changes nothing: only the monotonic clock is read here.
    """

    def __init__(self) -> None:
        self._at_zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    async def measure(self, database: Database) -> None:
        before = time.monotonic()
        theirs = await database.now()
        middle = (before + time.monotonic()) / 2
        self._at_zero = theirs - timedelta(seconds=middle)
        ids.follow(self._at_zero.timestamp())

    def now(self) -> datetime:
        return self._at_zero + timedelta(seconds=time.monotonic())
