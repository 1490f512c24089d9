"""Stripe's errors: `{"error": {"type", "code", "message", "param", "decline_code"}}`, by what happens next.

Source: docs.stripe.com/error-low-level and /idempotent_requests; stripe-python's `_should_retry`: `Stripe-Should-Retry`
rules, else 409 and every 5xx may be sent again under the same key. The key makes an unsure request safe to repeat, so
whatever may have acted is UnsureError. Errors of 500 and more, and 429 with its Retry-After, are left to their status.
"""

import orjson

from app.connector import Json, Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError

IN_USE = "idempotency_key_in_use"


def problem(reply: Reply) -> TradewindError | None:
    """What an answer below 500 means; None for a success, and where the status says it all.

    | answer | means |
    |---|---|
    | 401 | the key is wrong, expired or revoked: CredentialError |
    | 409 idempotency_key_in_use | the first request with this key still runs: UnsureError |
    | 409 and others with Stripe-Should-Retry: true | another request held the object: RetryableError |
    | 400 idempotency_error | the key was used with other parameters: PermanentError |
    | 402, 403, 404 and other 4xx | refused: PermanentError |
    """
    if reply.status < 400 or reply.status >= 500 or reply.status == 429:
        return None
    error = _error(reply)
    text, again = _text(reply.status, error), reply.headers.get("stripe-should-retry")
    if reply.status == 401:
        return CredentialError(text, reply.status)
    if error.get("code") == IN_USE:
        return UnsureError(text, 1.0, reply.status)
    if again == "true" or (reply.status == 409 and again != "false"):
        return RetryableError(text, status=reply.status)
    return PermanentError(text, reply.status)


def _error(reply: Reply) -> dict[str, Json]:
    """The `error` object; empty if the answer is none of Stripe's."""
    try:
        body = reply.json()
    except orjson.JSONDecodeError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _text(status: int, error: dict[str, Json]) -> str:
    """`code: message (param)`, with the bank's own word where a card was declined."""
    code = error.get("decline_code") or error.get("code") or error.get("type") or f"status {status}"
    param = f" ({error['param']})" if error.get("param") else ""
    return f"{code}: {str(error.get('message') or 'Stripe gave no reason')[:300]}{param}"
