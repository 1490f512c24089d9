"""Proof of the sender: `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex> ...][,v0=...]`.

Signed are the ASCII digits of t, a dot, and the raw body; the key is the whole `whsec_...` text. While a secret is
rolled the header carries one v1 for each that is valid; v0 proves nothing. Source: stripe-python, stripe/_webhook.py,
whose tolerance looks only backwards: a time far in the future passes there and is refused here.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from app.connector import RawWebhook, Signed
from app.errors import SignatureError
from app.signing import key_of, mac
from connectors.stripe.models import Settings

HEADER = "stripe-signature"
_SECONDS = re.compile(r"[0-9]{1,12}")


class StripeSignature:
    """Any v1 under any of the connection's secrets, at most `tolerance_seconds` away from when it was received."""

    def verify(self, raw: RawWebhook, settings: Settings, received_at: datetime) -> None:
        header = raw.headers.get(HEADER)
        if header is None:
            raise SignatureError(f"no {HEADER} header")
        seconds, claimed = parse(header)
        if not _fits(claimed, seconds, raw.body, settings.webhook_secrets):
            raise SignatureError(f"{HEADER} does not fit the body")
        distance = abs(received_at.timestamp() - seconds)
        if distance > settings.tolerance_seconds:
            raise SignatureError(
                f"signed {distance:.0f} s away from when it came; {settings.tolerance_seconds} s allowed"
            )

    def sign(self, body: bytes, settings: Settings, now: datetime) -> Signed:
        seconds = int(now.timestamp())
        return Signed({HEADER: f"t={seconds},v1={digest(settings.webhook_secrets[0], seconds, body)}"})


def parse(header: str) -> tuple[int, list[str]]:
    """The time and every v1 of the header; SignatureError if it has no time or no v1."""
    pairs = [item.partition("=")[::2] for item in header.split(",")]
    times = [value for name, value in pairs if name == "t"]
    claimed = [value for name, value in pairs if name == "v1"]
    if not times or not _SECONDS.fullmatch(times[0]):
        raise SignatureError(f"{HEADER} has no time")
    if not claimed:
        raise SignatureError(f"{HEADER} has no v1")
    return int(times[0]), claimed


def signed_at(header: str) -> datetime:
    """When Stripe signed; SignatureError as `parse`."""
    return datetime.fromtimestamp(parse(header)[0], UTC)


def digest(secret: SecretStr, seconds: int, body: bytes) -> str:
    """What stands after `v1=`: HMAC-SHA256 in lower-case hex."""
    return mac(key_of(secret), b"%d." % seconds + body).hex()


def _fits(claimed: Sequence[str], seconds: int, body: bytes, secrets: Sequence[SecretStr]) -> bool:
    right = [digest(secret, seconds, body).encode() for secret in secrets]
    given = [value.encode("ascii", "replace") for value in claimed]
    fits = [hmac.compare_digest(one, other) for one in given for other in right]
    return any(fits)
