"""Fresh sample events for `send` and tests: an envelope as Stripe writes it around an object."""

import secrets
from collections.abc import Mapping
from datetime import datetime

import orjson

from app.connector import Json

API_VERSION = "2026-03-25.dahlia"


def sample_event(
    topic: str,
    object: Mapping[str, Json],
    now: datetime,
    *,
    previous: Mapping[str, Json] | None = None,
    livemode: bool = False,
    account: str | None = None,
    api_version: str | None = API_VERSION,
    id: str | None = None,
) -> bytes:
    """The body of one event about `object`, with an id of its own, indented as Stripe does; to be signed at `now`.

    previous: what changed, as it was before. account: the connected account that it is of.
    """
    data: dict[str, Json] = {"object": object}
    if previous is not None:
        data["previous_attributes"] = previous
    event = {
        "id": id or f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": api_version,
        "created": int(now.timestamp()),
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": topic,
    }
    return orjson.dumps(event | ({"account": account} if account else {}), option=orjson.OPT_INDENT_2)


def renew(body: bytes, now: datetime) -> bytes:
    """A sample body as a new event of this moment: fresh event id, `created` now; the object stays what it was."""
    event = orjson.loads(body)
    fresh = {**event, "id": f"evt_{secrets.token_hex(12)}", "created": int(now.timestamp())}
    return orjson.dumps(fresh, option=orjson.OPT_INDENT_2)
