"""How fast the webhooks of one connection may come: a bucket for each, in this process."""

from time import monotonic
from uuid import UUID

from app.domain.connections import Connection
from app.errors import TooManyError

SAVED = 10.0
"""Seconds' worth that a connection which was quiet may send at once."""


class Pace:
    """`a_second` webhooks of each connection; 0 counts nothing."""

    def __init__(self, a_second: int) -> None:
        self._rate = a_second
        self._most = a_second * SAVED
        self._known: dict[UUID, tuple[float, float]] = {}

    def admit(self, connection: Connection) -> None:
        """Count one. Raises TooManyError, with the seconds after which the next is welcome."""
        if not self._rate:
            return
        now = monotonic()
        saved, at = self._known.get(connection.id, (self._most, now))
        saved = min(self._most, saved + (now - at) * self._rate)
        if saved < 1:
            self._known[connection.id] = (saved, now)
            raise TooManyError("This connection sends faster than it may; try again later.", (1 - saved) / self._rate)
        self._known[connection.id] = (saved - 1, now)
