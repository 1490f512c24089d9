"""Mailchimp's webhooks: who subscribed, left or cannot be reached, as `customer.updated` with the consent.

They are unsigned forms: a token in the URL stands for the signature. Facts: its "Sync audience data".
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import parse_qsl

from app.connector import Answer, Facts, Ignored, Json, RawWebhook, Receipt, Source, State
from app.errors import MalformedError, misread
from app.events import Consent, Customer, CustomerEvent, Event, Ref, parse_time
from app.signing import TokenSignature
from connectors.mailchimp.models import Settings, hash_of

WINDOW = timedelta(days=3)
"""How long a body seen before counts as a redelivery: Mailchimp gives its webhooks no id, but says when it fired."""
_PART = re.compile(r"\[([^\[\]]*)\]")
_CONSENT = {"subscribe": (True, "subscribed"), "unsubscribe": (False, "unsubscribed"), "cleaned": (False, "invalid")}


def parse(raw: RawWebhook) -> Json:
    """`type=...&data[email]=...&data[merges][FNAME]=...` as nested dicts."""
    try:
        pairs = parse_qsl(raw.body.decode(), max_num_fields=500)
    except ValueError as e:
        raise MalformedError("the body is no form") from e
    whole: dict[str, Json] = {}
    for name, value in pairs:
        path = [name.partition("[")[0], *_PART.findall(name)][:5]
        place = whole
        for part in path[:-1]:
            below = place.get(part)
            place[part] = place = below if isinstance(below, dict) else {}
        place[path[-1]] = value
    return whole


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    topic = parse(raw).get("type")
    if not isinstance(topic, str) or not topic:
        raise MalformedError("the webhook names no type")
    return Receipt(topic, hashlib.blake2b(raw.body, digest_size=16).hexdigest(), WINDOW)


def consent_changed(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
    """A part of a customer: the address, the name if it is told, and what was agreed to."""
    try:
        return _changed(payload["type"], payload["fired_at"], payload["data"], facts)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise MalformedError(f"the webhook cannot be read: {misread(e)}") from e


def _changed(topic: str, fired_at: str, data: dict[str, Json], facts: Facts[Settings]) -> Sequence[Event] | Ignored:
    if data.get("list_id") != facts.settings.list_id:
        return Ignored("it is about another audience than this connection's")
    granted, word = _CONSENT[facts.topic]
    when, email = parse_time(fired_at, assume_utc=True), data["email"].strip()
    merges = data.get("merges") if isinstance(data.get("merges"), dict) else {}
    reason = data.get("reason")
    customer = Customer(
        id=hash_of(email),
        email=email,
        first_name=(merges or {}).get("FNAME"),
        last_name=(merges or {}).get("LNAME"),
        email_consent=Consent(granted=granted, state=word, at=when, source=f"mailchimp: {reason}" if reason else None),
    )
    ref = Ref("customer", hash_of(email))
    part = f"{topic} {fired_at}"
    return [Event("customer.updated", ref, ref, when, CustomerEvent(customer=customer), part=part, test=facts.test)]


SIGNATURE: TokenSignature[Settings] = TokenSignature(lambda settings: settings.url_tokens)


def greet(raw: RawWebhook, settings: Settings) -> Answer:
    """Mailchimp takes a webhook's URL only after a GET of it was answered with 200."""
    SIGNATURE.verify(raw, settings, raw.received_at)
    return Answer(200)


source: Source[Settings] = Source(
    signature=SIGNATURE,
    identify=identify,
    greet=greet,
    topics=dict.fromkeys(_CONSENT, consent_changed),
    ignored={
        "profile": "merge fields are what the hub itself writes",
        "upemail": "the shop says which address a customer has",
        "campaign": "a campaign is no fact about a customer",
    },
    parse=parse,
    content_type="application/x-www-form-urlencoded",
)
