"""Standard Webhooks 1.0: a body signed with its id and time, so that nobody can change or replay it."""

import base64
from datetime import datetime

from pydantic import SecretStr

from app.connector import EffectKey
from app.signing import mac
from connectors.http.models import signing_key


def signed(body: bytes, secret: SecretStr, key: EffectKey, now: datetime) -> dict[str, str]:
    """The three headers. The id is made of the effect key: a repeat bears it again, and a receiver can drop it."""
    id, seconds = f"msg_{key}", str(int(now.timestamp()))
    digest = mac(signing_key(secret), b".".join([id.encode(), seconds.encode(), body]))
    return {
        "webhook-id": id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
