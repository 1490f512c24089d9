"""What Shopify sends: how it signs and names its webhooks, and which function reads which topic."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.connector import Json, RawWebhook, Read, Receipt, Source
from app.events import iso
from app.signing import HmacSignature
from connectors.shopify import checkouts, goods, orders, parcels, payments, people, refunds, returns, shops
from connectors.shopify.reading import header
from connectors.shopify.second import second_reading
from connectors.shopify.settings import Settings
from connectors.shopify.unused import IGNORED

WINDOW = timedelta(hours=24)
"""Retries go on for 4 hours (8 of them, https://shopify.dev/changelog/updates-to-webhook-retry-mechanism); a day leaves
room for a clock and a backlog, and is short enough that a body that comes again by itself (a shop that sets a stock
level back and forth has `updated_at`, a `products/delete` has not) is not taken for a redelivery."""


def topic_of(headers: Mapping[str, str]) -> str:
    """The topic; of the newer Events, which name noun and action apart, `Product/update`. "" if there is none."""
    topic, action = header(headers, "topic") or "", header(headers, "action")
    return f"{topic}/{action}" if action and topic and "/" not in topic else topic


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    """The id of the delivery is its key: it stays the same over all retries, while X-Shopify-Event-Id is shared by the
    several topics that one action of the merchant sets off (`orders/create` would swallow `orders/paid`).

    Without that header (some relays drop it) the key is made of topic and body, because a retry carries the original
    body: but a key made of content must be forgotten, or a later webhook of the same content would be lost.
    """
    topic = topic_of(raw.headers)
    test = (header(raw.headers, "test") or "").lower() == "true"
    delivery = header(raw.headers, "webhook-id")
    if delivery:
        return Receipt(topic, f"id:{delivery}", test=test)
    content = hashlib.sha256(raw.body).hexdigest()
    return Receipt(topic, f"content:{topic}:{content}", window=WINDOW, test=test)


def headers(topic: str, body: bytes, settings: Settings, now: datetime) -> Mapping[str, str]:
    """What Shopify puts beside the signature. Ids are made of content and time: sending the same twice at one time is a
    redelivery, at another time a new delivery."""
    seed = hashlib.sha256(f"{topic}\0{iso(now)}\0".encode() + body).digest()
    return {
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": settings.shop,
        "x-shopify-api-version": settings.api_version,
        "x-shopify-webhook-id": str(UUID(bytes=seed[:16], version=4)),
        "x-shopify-event-id": str(UUID(bytes=seed[16:], version=4)),
        "x-shopify-triggered-at": iso(now),
    }


def needs(topic: str, payload: Json, settings: Settings) -> Sequence[Read]:
    return parcels.hold_reads(topic, payload, settings) if topic.startswith("fulfillment_orders/") else ()


signature: HmacSignature[Settings] = HmacSignature(
    header="x-shopify-hmac-sha256", also=("shopify-hmac-sha256",), secrets=lambda settings: settings.webhook_secrets
)

source = Source(
    signature=signature,
    identify=identify,
    topics={
        **orders.TOPICS,
        "refunds/create": refunds.created,
        **payments.TOPICS,
        **parcels.TOPICS,
        **returns.TOPICS,
        **checkouts.TOPICS,
        **people.TOPICS,
        **goods.TOPICS,
        **shops.TOPICS,
    },
    ignored=IGNORED,
    needs=needs,
    remembers=goods.remembers,
    headers=headers,
    second_reading=second_reading,
)
