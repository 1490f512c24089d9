"""Errors, grouped by what happens next.

TradewindError
├── ConfigError              stop at start: the operator mends a file or a setting
├── RejectedError            an HTTP request is refused, with this status
│   ├── SignatureError       401
│   ├── MalformedError       400
│   ├── NotFoundError        404
│   ├── ConflictError        409
│   ├── ChangedError         412, somebody changed it meanwhile
│   ├── TooLargeError        413
│   ├── InvalidError         422, with what is wrong, field by field
│   ├── TooManyError         429, try again after `retry_after` seconds
│   └── UnavailableError     503, try again after `retry_after` seconds
├── RetryableError           surely had no effect outside: try again, after `retry_after` seconds if told
├── UnsureError              may have had its effect outside: the action's class of safety decides
└── PermanentError           trying again would not help
    └── CredentialError      nor would any other call of this connection: the lane parks
"""

import re
from collections.abc import Mapping, Sequence


class TradewindError(Exception):
    """Root of all errors that Tradewind raises on purpose."""


class ConfigError(TradewindError):
    """A file or a setting is wrong; the message says where and how to mend it."""


class RejectedError(TradewindError):
    """An HTTP request is refused."""

    status = 400


class SignatureError(RejectedError):
    """The sender could not prove who it is."""

    status = 401


class MalformedError(RejectedError):
    """The request cannot be read."""


class NotFoundError(RejectedError):
    status = 404


class ConflictError(RejectedError):
    status = 409


class ChangedError(RejectedError):
    """It is not the version any more that the caller saw."""

    status = 412


class InvalidError(RejectedError):
    """What was sent cannot be taken; `errors` are {field, detail} for each thing that is wrong."""

    status = 422

    def __init__(self, message: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class TooLargeError(RejectedError):
    status = 413


class TooManyError(RejectedError):
    """A key asks, or a connection sends, more often than it may; it may again after `retry_after` seconds."""

    status = 429

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(RejectedError):
    """The store is away; the sender should try again after `retry_after` seconds."""

    status = 503

    def __init__(self, message: str, retry_after: float = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RetryableError(TradewindError):
    """The call surely did nothing outside; it may be tried again, after `retry_after` seconds if the system said so."""

    def __init__(self, message: str, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class UnsureError(TradewindError):
    """The request may have been acted on: its bytes went out and no usable answer came back."""

    def __init__(self, message: str, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class PermanentError(TradewindError):
    """The outside system refuses, and will refuse again."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class CredentialError(PermanentError):
    """The outside system does not accept our credentials any more."""


# --- what data of another shape sets off ------------------------------------------------------------------------

_KINDS = {
    "str": "a text", "int": "a number", "float": "a number", "Decimal": "a number", "bool": "true or false",
    "list": "a list", "dict": "an object", "NoneType": "nothing",
}  # fmt: skip
_STANDS = re.compile(r"'(\w+)' object|argument of type '(\w+)'|not '?(\w+)'?$")


def misread(error: Exception) -> str:
    """In words what is wrong with a body whose reading ended with one of Python's own errors."""
    text = str(error)
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}" if error.args else "a part is missing"
    if isinstance(error, IndexError):
        return "a list is empty, or shorter than documented"
    if isinstance(error, ArithmeticError) or "ConversionSyntax" in text:
        return "an amount in it is no number"
    if isinstance(error, AttributeError | TypeError):
        found = _STANDS.search(text)
        kind = _KINDS.get(next(filter(None, found.groups()), "")) if found else None
        return (
            f"{kind} stands where something else is documented" if kind else "a part is of another kind than documented"
        )
    number, _, value = text.partition("with base 10: ")
    return f"{value} is no whole number" if value else number[:200] or "a value cannot be read"
