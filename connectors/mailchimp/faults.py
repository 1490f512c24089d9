"""Mailchimp's errors: problem documents (RFC 7807), and what each means for a call.

Source: Mailchimp's error glossary; the bare 403 and the missing Retry-After: its "Throttling" page.
"""

from collections.abc import Mapping

import orjson

from app.connector import Json, Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError

_CREDENTIAL = {
    "API Key Missing",
    "API Key Invalid",
    "User Disabled",
    "Account Disabled",
    "WrongDatacenter",
    "Wrong Datacenter",
}
_COMPLIANCE = {
    "Member In Compliance State": "it unsubscribed, bounced, or is under review",
    "Forgotten Email Not Subscribed": "it was deleted for good",
}
"""Only the person can come back, by a sign-up form of Mailchimp's."""
LATER = 6 * 3600.0
"""Seconds until an address that signed up to too many lists may be tried again: Mailchimp says only "later"."""


class ComplianceError(PermanentError):
    """The member may not be added or changed by us."""


def problem(reply: Reply) -> TradewindError | None:
    """What an answer means; None leaves it to the status."""
    if reply.status < 400 or reply.status in (408, 429) or reply.status >= 500:
        return None
    said = _document(reply.body)
    if said is None:
        return (
            RetryableError("Mailchimp refuses for now: far too many requests", 60, 429) if reply.status == 403 else None
        )
    return _meaning(str(said.get("title", "")), _text(said), reply.status)


def _document(body: bytes) -> Mapping[str, Json] | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) and ("title" in said or "detail" in said) else None


def _meaning(title: str, text: str, status: int) -> TradewindError:
    if title in _CREDENTIAL or status == 401:
        return CredentialError(text, status)
    if title in _COMPLIANCE:
        why = f"{_COMPLIANCE[title]}; only the person can come back, by a sign-up form"
        return ComplianceError(f"{text} ({why})", status)
    if "signed up to a lot of lists" in text:
        return RetryableError(text, LATER, status)
    return PermanentError(text, status)


def _text(said: Mapping[str, Json]) -> str:
    errors = said.get("errors")
    fields = [
        f"{each.get('field') or 'body'}: {each.get('message')}"
        for each in (errors if isinstance(errors, list) else ())
        if isinstance(each, dict)
    ]
    parts = [str(said[part]) for part in ("title", "detail") if said.get(part)]
    return ("Mailchimp refuses: " + "; ".join([*dict.fromkeys(parts), *fields[:10]]))[:900]
