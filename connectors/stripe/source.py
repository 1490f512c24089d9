"""What Stripe sends and what becomes of it: one table row a topic.

Each handler reads one snapshot event and states facts. Milestones are stated by every topic that proves them (a charge
and its intent both say that a payment succeeded); their identity makes one event of them, whatever comes first.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from app.connector import Json, RawWebhook, Read, Receipt, Source, parse_json
from app.events import Ref
from connectors.stripe.body import Notice, Obj, is_placeholder, read_notice
from connectors.stripe.ignored import IGNORED
from connectors.stripe.models import Settings
from connectors.stripe.nouns import checkout, payments
from connectors.stripe.second import second_reading
from connectors.stripe.signature import StripeSignature
from connectors.stripe.topics import billing, records, refunds, sales
from connectors.stripe.topics import payments as payment_topics
from connectors.stripe.topics.statement import Handler, normaliser

THIN = "a thin event: it names an object but holds no data; subscribe a snapshot endpoint for it"


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    """Topic and delivery key: the event's id, which all endpoints of one account share; a placeholder id is no key."""
    payload = parse_json(raw)
    notice = read_notice(payload, raw.received_at)
    return Receipt(
        topic=notice.topic,
        delivery_key=None if is_placeholder(notice.id) else notice.id,
        test=notice.livemode is False or is_placeholder(notice.id),
        ignored=THIN if _is_thin(payload) else _other_mode(notice, settings),
    )


def _is_thin(payload: Json) -> bool:
    return isinstance(payload, dict) and str(payload.get("object")).startswith("v2.")


def _other_mode(notice: Notice, settings: Settings) -> str | None:
    expected = settings.expects_live
    if expected is None or notice.livemode is None or notice.livemode == expected:
        return None
    names = {True: "live", False: "test"}
    return f"a {names[notice.livemode]} event; this connection takes {names[expected]} ones only"


TOPICS: Mapping[str, Handler] = {
    **payment_topics.TOPICS,
    **refunds.TOPICS,
    **sales.TOPICS,
    **records.TOPICS,
    **billing.TOPICS,
}

_READABLE = re.compile(r"[A-Za-z0-9_]{1,255}")
_OF_PAYMENTS = payment_topics.TOPICS.keys() | refunds.TOPICS.keys()
NEEDS_LINES = sales.TOPICS.keys() - {"checkout.session.expired"}


def needs(topic: str, payload: Json, settings: Settings) -> Sequence[Read]:
    """Reads wanted before normalising: a session's line items, and the refunds of a charge whose body has none; of a
    connected account in its name."""
    body = Obj(payload if isinstance(payload, dict) else {})
    o = body.of("data").of("object")
    id = o.text("id") or ""
    if settings.api_key is None or not _READABLE.fullmatch(id) or is_placeholder(id):
        return ()
    account = body.text("account")
    headers = {"Stripe-Account": account} if account and _READABLE.fullmatch(account) else {}
    if topic in NEEDS_LINES and not o.has(checkout.LINES):
        return (checkout.lines_read(id, headers),)
    if topic == "charge.refunded" and not o.all(refunds.REFUNDS):
        return (Read(refunds.REFUNDS, "/v1/refunds", {"charge": id, "limit": "100"}, headers),)
    return ()


def remembers(topic: str, payload: Json) -> Sequence[Ref]:
    """Of a payment: the shop's order that it pays, and how much of it was refunded when last told."""
    o = Obj(payload if isinstance(payload, dict) else {}).of("data").of("object")
    id = payments.payment_id(o) or o.id("id")
    return (Ref("payment", id),) if id and topic in _OF_PAYMENTS else ()


def headers(topic: str, body: bytes, settings: Settings, now: datetime) -> Mapping[str, str]:
    """Stripe puts nothing beside the signature but who it is: topic and id are in the body."""
    return {"user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)", "accept": "*/*; q=0.5, application/xml"}


source: Source[Settings] = Source(
    signature=StripeSignature(),
    identify=identify,
    topics={name: normaliser(handler) for name, handler in TOPICS.items()},
    ignored=IGNORED,
    needs=needs,
    remembers=remembers,
    headers=headers,
    content_type="application/json; charset=utf-8",
    second_reading=second_reading,
)
