"""What a mail server's answer means for the call, by its three digits (RFC 5321 section 4.2, RFC 4954 section 6)."""

import re

from app.errors import CredentialError, PermanentError, RetryableError, TradewindError

NEXT_TRY = 30.0
"""Seconds: servers that greylist take nothing that comes back at once."""

_BAD_MAILBOX = re.compile(r"5\.1\.(1|2|3|6|10)\b")
"""Enhanced codes for a mailbox or domain that is not there, has moved or takes no mail (RFC 3463, RFC 7505)."""


class RefusedRecipientError(PermanentError):
    """The server will never take mail for this address. `gone`: because there is no such mailbox."""

    def __init__(self, message: str, address: str, gone: bool, status: int) -> None:
        super().__init__(message, status)
        self.address = address
        self.gone = gone


def meaning(code: int, said: str, what: str) -> TradewindError:
    """The error that a refusal is. `what` was asked, in words; the server surely did nothing."""
    words = f"the mail server refused {what}: {code} {' '.join(said.split())[:300]}"
    if 400 <= code < 500:
        return RetryableError(words, NEXT_TRY, code)
    return PermanentError(words, code)


def login_meaning(code: int, said: str) -> TradewindError:
    """As `meaning`, of a refused login: 4xx is the server's trouble, anything else ours."""
    if 400 <= code < 500 and code != 421:
        return RetryableError(f"the mail server could not check the login: {code} {said[:300]}", NEXT_TRY, code)
    if code == 421:
        return meaning(code, said, "the login")
    return CredentialError(f"the mail server does not accept username and password: {code} {said[:300]}", code)


def recipient_meaning(code: int, said: str, address: str) -> TradewindError:
    error = meaning(code, said, f"the recipient {address}")
    if isinstance(error, PermanentError):
        return RefusedRecipientError(str(error), address, bool(_BAD_MAILBOX.search(said)), code)
    return error
