"""The only door through which Tradewind calls outside systems, and what it knows of the bytes that went out.

A failure is one of two things: the request surely did not leave (RetryableError), or it may have been read
(UnsureError). The proof is taken where bytes are written: `wire._Departure.send` and `wire._Body.write` are
the only places from which a request is written, and both mark its passage first. Also kept here: no resend of what
aiohttp holds for idempotent, no cookies, no proxies or netrc of the environment, no redirect to another place, URLs as
they are written, TLS always verified, no private address that the operator did not name, bounded answers.

    request   what is asked, stored and re-sent byte for byte
    guard     which addresses may be reached
    passage   one request on its way out
    wire      httpx on our aiohttp session
    transport the door
    answer    what came back, and what its status means
"""

from app.http.answer import MAX_RETRY_AFTER, Response, classify, retry_after
from app.http.guard import is_refused
from app.http.passage import boottime
from app.http.request import READS, Address, Request, Timeouts, target
from app.http.transport import KEEPALIVE, MAX_ANSWER, Transport

__all__ = [
    "KEEPALIVE",
    "MAX_ANSWER",
    "MAX_RETRY_AFTER",
    "READS",
    "Address",
    "Request",
    "Response",
    "Timeouts",
    "Transport",
    "boottime",
    "classify",
    "is_refused",
    "retry_after",
    "target",
]
