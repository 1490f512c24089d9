"""Where a parcel is: Shippo's words as ours, asked for or told by its webhooks.

Facts: Shippo's tracking guide (statuses, substatuses, `track_updated`). Its webhooks are not reliably signed: a token
in the URL stands for the signature.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from app.connector import Facts, Ignored, Json, RawWebhook, Receipt, Source, State
from app.errors import MalformedError, misread
from app.events import Event, Fulfillment, FulfillmentEvent, Ref, parse_time
from app.signing import TokenSignature
from connectors.shippo.models import Settings, Tracking
from connectors.shippo.parcels import Body, address_of

WINDOW = timedelta(days=3)
"""How long a body seen before counts as a redelivery: Shippo gives its webhooks no id."""
_WORDS = {
    "PRE_TRANSIT": "confirmed",
    "TRANSIT": "in_transit",
    "DELIVERED": "delivered",
    "RETURNED": "failure",
    "FAILURE": "failure",
}
_SUBSTATUS = {
    "out_for_delivery": "out_for_delivery",
    "delivery_attempted": "attempted_delivery",
    "notice_left": "attempted_delivery",
    "delayed": "delayed",
    "delivery_rescheduled": "delayed",
    "pickup_available": "ready_for_pickup",
}
_EVENTS = {
    "confirmed": "updated",
    "ready_for_pickup": "updated",
    "in_transit": "in_transit",
    "out_for_delivery": "out_for_delivery",
    "attempted_delivery": "failed",
    "failure": "failed",
    "delayed": "delayed",
    "delivered": "delivered",
}
"""A fulfillment's shipment_status -> the type of event."""


def tracking_of(said: Json) -> Tracking:
    """An answer of `/tracks`, or the `data` of a webhook."""
    now = said.get("tracking_status") or {}
    return Tracking(
        carrier=str(said.get("carrier") or ""),
        tracking_number=str(said["tracking_number"]),
        status=_status(now),
        details=now.get("status_details"),
        at=_time(now.get("status_date")),
        estimated_delivery_at=_time(said.get("eta")),
    )


def _status(now: Body) -> str | None:
    """The finer word while the parcel is on its way, else Shippo's own."""
    code = now.get("substatus", {}).get("code") if isinstance(now.get("substatus"), dict) else now.get("substatus")
    if now.get("status") in ("TRANSIT", "FAILURE") and code in _SUBSTATUS:
        return _SUBSTATUS[str(code)]
    return _WORDS.get(str(now.get("status")))


def _time(text: Json) -> datetime | None:
    return parse_time(text, assume_utc=True) if isinstance(text, str) else None


# --- webhooks ---------------------------------------------------------------------------------------------------


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    try:
        said = orjson.loads(raw.body)
    except orjson.JSONDecodeError as e:
        raise MalformedError("the body is not JSON") from e
    topic = said.get("event") if isinstance(said, dict) else None
    if not isinstance(topic, str) or not topic:
        raise MalformedError("the webhook names no event")
    key = hashlib.blake2b(raw.body, digest_size=16).hexdigest()
    return Receipt(topic, key, WINDOW, test=said.get("test") is True)


def tracked(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
    """One event for each state of a parcel."""
    try:
        return _tracked(payload["data"], facts)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as e:
        raise MalformedError(f"the tracking cannot be read: {misread(e)}") from e


def _tracked(data: Body, facts: Facts[Settings]) -> Sequence[Event] | Ignored:
    found = tracking_of(data)
    type_ = _EVENTS.get(found.status or "")
    if type_ is None:
        return Ignored("the carrier knows nothing of the parcel yet")
    ref = Ref("fulfillment", f"{found.carrier}:{found.tracking_number}")
    when = found.at or facts.received_at
    parcel = _fulfillment(ref.id, data, found, when)
    event = FulfillmentEvent(fulfillment=parcel)
    return [Event(f"fulfillment.{type_}", ref, ref, when, event, part=_part(data, found), test=facts.test)]


def _part(data: Body, found: Tracking) -> str:
    """Tells one state of a parcel from the next: Shippo's id of it, or its own words."""
    now = data.get("tracking_status") or {}
    return str(now.get("object_id") or f"{found.status} {now.get('status_date')} {found.details}")


def _fulfillment(id: str, data: Body, found: Tracking, when: datetime) -> Fulfillment:
    to = data.get("address_to")
    delivered = found.status == "delivered"
    label = data.get("transaction")
    return Fulfillment(
        id=id,
        order_id=order_of(data.get("metadata")),
        status="success",
        shipment_status=found.status,
        message=found.details,
        tracking_company=found.carrier,
        tracking_numbers=[found.tracking_number],
        service=(data.get("servicelevel") or {}).get("name"),
        destination=address_of(to) if isinstance(to, dict) else None,
        estimated_delivery_at=found.estimated_delivery_at,
        updated_at=when,
        delivered_at=when if delivered else None,
        external_ids={"shippo_transaction": str(label)} if label else {},
    )


def order_of(metadata: Json) -> str | None:
    """The order's id, from the metadata that `buy_label` and `register_tracking` leave: `... order <id>`."""
    words = metadata.split() if isinstance(metadata, str) else []
    ours = words[:1] == ["order"] or (words[:1] == ["tradewind"] and words[2:3] == ["order"])
    return words[-1] if ours and len(words) in (2, 4) else None


_OWN = "it says what the label's own call answered"
source: Source[Settings] = Source(
    signature=TokenSignature(lambda settings: settings.url_tokens),
    identify=identify,
    topics={"track_updated": tracked},
    ignored={
        "transaction_created": _OWN,
        "transaction_updated": _OWN,
        "batch_created": "batches are not made by the hub",
        "batch_purchased": "batches are not made by the hub",
    },
)
