"""The protocol of the HTTP server: uvicorn's, with bounds on the time and size of what comes before our code.

A sender that drips its request, or does not read its answer, is let go; so is one that sends too long a head. Without
this a few hundred open sockets would keep everybody else out.
"""

import asyncio
import resource
import sys
from typing import Any, ClassVar

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.passage import new_request_id
from app.api.shield import BARE

HEAD_SECONDS = 10.0
"""From the first byte (or the opening of the connection) to the end of the headers."""
BODY_SECONDS = 15.0
"""From the end of the headers to the end of the body."""
READ_SECONDS = 30.0
"""For a client to make room for more of its answer."""
HEAD_BYTES = 64 * 1024
HEADERS_AT_MOST = 200
CONNECTIONS_AT_MOST = 16_000
"""Senders in a burst open one for each webhook; some ten kilobytes each."""
OTHER_FILES = 200
"""What a process may have open beside them."""

_REFUSALS = {
    400: (b"Bad Request", b"malformed", b"This is not HTTP."),
    408: (b"Request Timeout", b"too-slow", b"The request did not arrive in time."),
    503: (b"Service Unavailable", b"unavailable", b"There are too many connections; try again."),
    431: (b"Request Header Fields Too Large", b"head-too-large", b"The head of the request is too large."),
}


def make_room() -> None:
    """Let this process open as many files as connections take, as far as the system allows it (the usual 1,024 are
    a burst's first quarter of a second; who meets that bound cannot even be told); else fewer connections are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_AT_MOST + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY:
        Door.at_most = max(1, min(CONNECTIONS_AT_MOST, soft - OTHER_FILES))


class _TooLargeHeadError(Exception):
    """Raised inside the parser's callback; it comes out as an error of the parser."""


class Door(HttpToolsProtocol):
    """One connection. `_timer` runs while a part of a request is awaited (for `_timed` seconds; `_wanted` is what it
    shall be), `_late` while a client does not read. at_most: connections of this process."""

    at_most: ClassVar[int] = CONNECTIONS_AT_MOST

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._timed: float | None = None
        self._wanted: float | None = None
        self._late: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head = 0
        self._trailers = 0
        self._ended = False
        self._refused = False
        self._data = b""
        self._declined = False

    # --- the connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.at_most:
            self._refuse(503)
        else:
            self._await(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._wanted is None and self._in_head:
            self._wanted = HEAD_SECONDS  # bytes between two requests end the keep-alive's own time
        self._ended = False
        self._data = data
        super().data_received(data)
        self._data = b""
        self._keep_time()
        if self._in_head and not self._ended and not self._refused:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(431)

    def send_400_response(self, msg: str) -> None:
        self._refuse(431 if self._head > HEAD_BYTES else 400)

    # --- the request --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head, self._trailers = True, 0, 0
        self._wanted = self._wanted or HEAD_SECONDS

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailers += len(name) + len(value)  # what stands after a body is no header, and is not kept
        if self._trailers > HEAD_BYTES:
            raise _TooLargeHeadError

    def on_headers_complete(self) -> None:
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > HEAD_BYTES or len(self.headers) > HEADERS_AT_MOST:
            self._head = HEAD_BYTES + 1
            raise _TooLargeHeadError
        self._declined = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._declined:
            return
        self._in_head = False
        super().on_headers_complete()
        self._wanted = BODY_SECONDS

    def _unsupported_upgrade_warning(self) -> None:
        """Called where the parser has stopped because the client would like another protocol (Java's client asks for
        HTTP/2 so, in each request) and would leave the body unread. A server may go on as if that had not been asked
        (RFC 9110, 7.8): the same head without it, and what follows, to a new parser."""
        if not self._declined:
            return
        stopped = sys.exception()
        rest = self._data[stopped.args[0] :] if stopped else b""
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = [first, *(b"%s: %s" % header for header in self.headers if header[0] != b"upgrade")]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._data = b"\r\n".join(lines) + b"\r\n\r\n" + rest
        super().data_received(self._data)

    def on_message_complete(self) -> None:
        if self._declined:
            return
        super().on_message_complete()
        self._in_head, self._head, self._ended = True, 0, True
        self._wanted = None

    # --- the answer ---------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._late is None:
            self._late = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._late is not None:
            self._late.cancel()
            self._late = None

    # --- being late ---------------------------------------------------------------------------------------------

    def _await(self, seconds: float | None) -> None:
        self._wanted = seconds
        self._keep_time()

    def _keep_time(self) -> None:
        """Set the timer to what is awaited now. A request that comes whole, as most do, never has one."""
        if self._wanted == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timed = self._wanted
        self._timer = None if self._wanted is None else self.loop.call_later(self._wanted, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = self._timed = self._wanted = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._await(BODY_SECONDS)  # it is we who do not read
        elif self.cycle is None or self.cycle.response_complete or self._unanswered():
            self._refuse(408)
        else:
            self.transport.abort()

    def _unanswered(self) -> bool:
        """Whether the request that is coming in is the one that is being worked, and nothing was said to it yet."""
        return not self._in_head and not self.cycle.response_started and not self.pipeline

    def _refuse(self, status: int) -> None:
        """Answer in the server's place, and end the connection."""
        self._refused = True
        self._await(None)
        if self.cycle is not None and not self.cycle.response_complete:
            if not self._unanswered():
                self.transport.abort()
                return
            self.cycle.disconnected = True  # what the app would say now is not written
        phrase, name, detail = _REFUSALS[status]
        body = b'{"type":"/problems/%s","title":"%s","status":%d,"detail":"%s"}' % (name, phrase, status, detail)
        head = [
            b"HTTP/1.1 %d %s" % (status, phrase),
            b"content-type: application/problem+json",
            b"content-length: %d" % len(body),
            b"connection: close",
            b"x-request-id: " + new_request_id().encode(),
            *([b"retry-after: 5"] if status == 503 else []),
            *(b"%s: %s" % header for header in BARE),
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()
