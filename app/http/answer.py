"""What came back from an outside system, and what its status means for the call."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import orjson

from app.connector import Json, Reply
from app.errors import CredentialError, PermanentError, RetryableError, UnsureError
from app.http.request import READS

MAX_RETRY_AFTER = 86_400.0
"""Seconds: a system that asks for more is asked again after a day."""


@dataclass(frozen=True, slots=True)
class Response(Reply):
    """An answer, its body unpacked. `headers` are looked up in any case and read in lower case, repeats joined by ", ".

    reads: the request changed nothing outside. complete: False if the body of a refusal (status 400 or more) was cut
    off, late, broken or too large; its status counts all the same. A success without its whole body is no Response.
    """

    reads: bool = False
    complete: bool = True

    def json(self) -> Json:
        """The decoded body. Not JSON: RetryableError if the request only read, else UnsureError (it was acted on,
        and we cannot say what came of it)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            kind = RetryableError if self.reads else UnsureError
            raise kind("the answer is not JSON", status=self.status) from error


_TRY_AGAIN = frozenset({408, 425, 429})
_MAYBE_DONE = frozenset({302, 303})
_NEVER = frozenset({501, 505})


def classify(
    method: str,
    response: Reply,
    *,
    now: datetime,
    retryable: Collection[int] = (),
    reads: bool = False,
) -> RetryableError | UnsureError | PermanentError | None:
    """What a complete answer means, by its status alone: None for a success, else the error to raise.

    Surely nothing happened: 408, 425, 429, 503 with Retry-After, and what the connector calls `retryable`. The system
    may have acted: other 5xx, and 302/303 (some answer so *after* acting); for a request that only reads these are
    retryable. 401 is a CredentialError; 403, other 3xx and 4xx, 501 and 505 are permanent. `now` is aware UTC.
    """
    status, only_reads = response.status, reads or method in READS
    if 200 <= status < 300:
        return None
    text, after = f"answered {_named(status)}", retry_after(response.headers, now)
    if status in _TRY_AGAIN or status in retryable or (status == 503 and after is not None):
        return RetryableError(text, after, status)
    if status == 401:
        return CredentialError(text, status)
    if (status >= 500 and status not in _NEVER) or status < 200 or (status in _MAYBE_DONE and not only_reads):
        return (RetryableError if only_reads else UnsureError)(text, after, status)
    return PermanentError(text, status)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, 0 to MAX_RETRY_AFTER, or None if `Retry-After` is absent or senseless (RFC 9110, 10.2.3).

    A date is taken against the answer's own `Date` where it has one, so that a wrong clock there costs nothing.
    `headers` answer to lower-case names; `now` is aware UTC.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER)
    until = _http_date(value)
    if until is None:
        return None
    there = _http_date(headers.get("date", "")) or now
    return min(max((until - there).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
