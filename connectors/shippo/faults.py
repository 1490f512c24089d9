"""Shippo's errors. Many come in a success: a label that was not bought is a 201 with status ERROR.

Source: Shippo's API reference and SDKs; the words of carriers that are only away for a while are known from use.
"""

import re

import orjson

from app.connector import Json, Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError

_FOR_NOW = re.compile(r"time[d -]*out|temporar|try again|unavailable|too many|rate limit", re.IGNORECASE)


def problem(reply: Reply) -> TradewindError | None:
    """What a refusal means; None leaves it to the status."""
    if reply.status < 400 or reply.status in (408, 429) or reply.status >= 500:
        return None
    text = f"Shippo refuses: {_said(reply)}"
    return CredentialError(text, reply.status) if reply.status == 401 else PermanentError(text, reply.status)


def refused(what: str, messages: list[str]) -> TradewindError:
    """An ERROR in a success: surely nothing was bought."""
    text = f"{what}: {'; '.join(messages) or 'Shippo does not say why'}"[:900]
    return RetryableError(text) if _FOR_NOW.search(text) else PermanentError(text)


def messages_of(said: Json) -> list[str]:
    """The texts of `messages`, whatever shape they have."""
    messages = said.get("messages") if isinstance(said, dict) else None
    texts = [each.get("text") if isinstance(each, dict) else each for each in messages or ()]
    return [str(text)[:300] for text in texts if text][:20]


def _said(reply: Reply) -> str:
    """`{"detail": ...}`, or `{"field": ["message"]}`, as one line."""
    try:
        said = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return f"answered {reply.status}"
    return _line(said)[:600] or f"answered {reply.status}"


def _line(said: Json) -> str:
    if isinstance(said, dict):
        return "; ".join(
            _line(value) if name in ("detail", "__all__", "non_field_errors") else f"{name}: {_line(value)}"
            for name, value in said.items()
        )
    return ", ".join(_line(each) for each in said) if isinstance(said, list) else str(said)
