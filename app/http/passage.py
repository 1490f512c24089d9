"""One request on its way out: where it may go, what is asked before it leaves, and how far its bytes have come."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx
from multidict import CIMultiDict

from app.http.guard import is_refused
from app.http.request import Request, Timeouts


def boottime() -> float:
    """Seconds on a clock that also runs while the machine is suspended: what deadlines are measured in."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class StoppedError(Exception):
    """The request was held back before a byte left; `Passage.reason` or `Passage.refusal` says why."""


class RefusedAddressError(OSError):
    """The guard let no socket be made."""


@dataclass(slots=True, eq=False)
class Passage:
    """allowed: it may go to private addresses. sent: its first byte may have left. admitted, refused: how many
    addresses were tried, and the last that the guard refused. refusal: what `before_send` raised. wire: the connection
    that carries it. writing: parts of it are still waiting to go."""

    request: Request
    headers: CIMultiDict[str]
    timeouts: Timeouts
    allowed: bool
    deadline: float | None
    before_send: Callable[[], Awaitable[object]] | None
    sent: bool = False
    reason: str | None = None
    refusal: Exception | None = None
    admitted: int = 0
    refused: str | None = None
    wire: asyncio.WriteTransport | None = None
    writing: bool = False
    answer: httpx.Response | None = None
    body: bytearray = field(default_factory=bytearray)

    def admit(self, address: str) -> None:
        """Raises RefusedAddressError for an address that is neither public nor allowed by the operator."""
        if not self.allowed and is_refused(address):
            self.refused = address
            raise RefusedAddressError(f"{address} is not a public address")
        self.admitted += 1

    async def announce(self) -> None:
        """Calls `before_send`, once; what it raises stops the request and reaches the caller as it is."""
        hook, self.before_send = self.before_send, None
        try:
            if hook is not None:
                await hook()
        except Exception as error:
            self.refusal = error
            raise StoppedError from error

    def check_wire(self) -> None:
        """Raises StoppedError if the connection is gone or leads to a place that may not be called."""
        wire = self.wire
        if wire is None or wire.is_closing():
            self._stop("the connection closed before the request was sent")
        elif not self.allowed and is_refused(_peer(wire)):
            self.refused = _peer(wire)
            self._stop("the connection leads to an address that is not public")

    def check_deadline(self) -> None:
        """Raises StoppedError if the request may not leave any more."""
        if self.deadline is not None and boottime() > self.deadline:
            self._stop("its deadline had passed")

    def cut(self) -> None:
        """Ends the connection at once. Closed politely it would first send what is still buffered, and so give a
        request its end long after we gave it up, or wait for ever on a system that does not read."""
        if self.wire is not None:
            self.wire.abort()

    def _stop(self, reason: str) -> None:
        self.reason = reason
        raise StoppedError(reason)


def _peer(wire: asyncio.BaseTransport) -> str:
    name = wire.get_extra_info("peername")
    return str(name[0]) if name else ""


current: ContextVar[Passage] = ContextVar("passage")
"""The passage of this task: aiohttp hands it neither to the maker of sockets nor to the writer of requests."""
