"""QuickBooks' faults: what each means for a call. A fault can come with status 200.

Codes: Intuit's "Error codes" page for 120, 610, 3200, 6190, 6210, 6240; the others as its forum and SDKs tell them.
"""

from collections.abc import Mapping

import orjson

from app.connector import Json, Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError


class DuplicateNameError(PermanentError):
    """Another customer, vendor, employee or item bears the name (6240)."""


class StaleError(RetryableError):
    """Somebody changed it since it was read (5010): read again, then change."""


_RETRYABLE = {"3001": "too many requests"}
_CREDENTIAL = {
    "3100": "the app is not authorised for this company",
    "3200": "the access token is not valid any more",
    "6190": "the company's subscription has ended",
}
_CURRENCY = "a customer has one currency for ever: with multi-currency switched on, set the connection's home_currency"
_PERMANENT = {
    "120": "the authorising user may not do this",
    "610": "it does not exist, or was made inactive",
    "2010": "a field is not known",
    "2020": "a required field is missing",
    "2500": "it refers to something that does not exist",
    "6000": "a business rule of QuickBooks forbids it",
    "6070": "Amount is not Qty x UnitPrice",
    "6140": "the document number exists already",
    "6210": "the accounting period is closed, or the number exists already",
}
"""What to tell people beside QuickBooks' own words; every other code of a ValidationFault is permanent too."""


def problem(reply: Reply) -> TradewindError | None:
    """The fault of an answer, as what happens next; None leaves it to the status."""
    if b'"Fault"' not in reply.body and b'"fault"' not in reply.body:
        return None
    fault = _fault(reply.body)
    if fault is None:
        return None
    errors = fault.get("Error") or fault.get("error") or [{}]
    first: Mapping[str, Json] = errors[0] if isinstance(errors[0], dict) else {}
    return _meaning(str(first.get("code", "")), str(fault.get("type", "")), _text(first), reply)


def _fault(body: bytes) -> Mapping[str, Json] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    fault = answer.get("Fault") or answer.get("fault") if isinstance(answer, dict) else None
    return fault if isinstance(fault, dict) else None


def _text(error: Mapping[str, Json]) -> str:
    parts = [str(error[part]) for part in ("Message", "Detail") if error.get(part)]
    return ": ".join(dict.fromkeys(parts))[:500] or "a fault without a message"


def _meaning(code: str, kind: str, text: str, reply: Reply) -> TradewindError | None:
    said = f"QuickBooks refuses ({code or kind}): {text}"
    status = reply.status
    if code == "6240":
        return DuplicateNameError(said, status)
    if code == "5010":
        return StaleError(said, 0, status)
    if code in _RETRYABLE or status == 429:
        return RetryableError(f"{said} ({_RETRYABLE.get(code, 'too many requests')})", _seconds(reply), status)
    if code in _CREDENTIAL or kind.lower().startswith("authentication") or status == 401:
        return CredentialError(f"{said} ({_CREDENTIAL.get(code, 'credentials are not accepted')})", status)
    if kind.lower().startswith("system") or status >= 500:
        return UnsureError(said, _seconds(reply), status)
    if "currency" in text.lower():
        return PermanentError(f"{said} ({_CURRENCY})", status)
    if code in _PERMANENT:
        return PermanentError(f"{said} ({_PERMANENT[code]})", status)
    return PermanentError(said, status)


def _seconds(reply: Reply) -> float | None:
    value = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "")
    return float(value) if value.replace(".", "", 1).isdigit() else None
