"""What Shippo, Discord and Gumroad take, written down by hand from their public documentation, for want of a
description beside the checkout: names, types and bounds of every request that we send. What is not named is refused.

Shippo: docs.goshippo.com and the models of its SDKs; Discord: docs/resources/message of its documentation; Gumroad:
gumroad.com/api and the controllers of its own source.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
FILLED: Schema = {"type": "string", "minLength": 1}
DIGITS: Schema = {"type": "string", "pattern": "^[0-9]+$"}
YES_NO: Schema = {"type": "boolean"}
NOTE: Schema = {"type": "string", "maxLength": 100}
SIZE: Schema = {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,4})?$"}


def _one_of(*words: str) -> Schema:
    return {"enum": words}


def _object(needed: Mapping[str, Schema], **more: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**needed, **more},
        "required": list(needed),
        "additionalProperties": False,
    }


NOTHING = _object({})
ADDRESS = _object(
    {"country": {"type": "string", "minLength": 2}},
    **dict.fromkeys(("name", "company", "street1", "street2", "street3", "street_no", "city", "state", "zip"), TEXT),
    **dict.fromkeys(("phone", "email", "metadata"), TEXT),
    **dict.fromkeys(("is_residential", "validate"), YES_NO),
)
PARCEL = _object(
    {
        **dict.fromkeys(("length", "width", "height", "weight"), SIZE),
        "distance_unit": _one_of("cm", "in", "ft", "m", "mm", "yd"),
        "mass_unit": _one_of("g", "kg", "lb", "oz"),
    },
    metadata=NOTE,
    template=TEXT,
    extra={"type": "object"},
)
LABELS = _one_of(
    *("PNG", "PNG_2.3x7.5", "PDF", "PDF_2.3x7.5", "PDF_4x6", "PDF_4x8", "PDF_A4", "PDF_A5", "PDF_A6", "ZPLII")
)
SHIPMENT = _object(
    {"address_from": ADDRESS, "address_to": ADDRESS, "parcels": {"type": "array", "minItems": 1, "items": PARCEL}},
    metadata=NOTE,
    extra={"type": "object"},
    address_return=ADDRESS,
    shipment_date=TEXT,
    carrier_accounts={"type": "array", "items": TEXT},
    **{"async": YES_NO},
)
PAGE = _object({}, page=DIGITS, results={"type": "string", "pattern": "^([1-9][0-9]?|100)$"})

IDS: Schema = {"type": "array", "items": DIGITS, "maxItems": 100}
MENTIONS = _object(
    {},
    parse={"type": "array", "items": _one_of("roles", "users", "everyone")},
    roles=IDS,
    users=IDS,
    replied_user=YES_NO,
)
EDIT: dict[str, Schema] = {
    "content": {"type": "string", "minLength": 1, "maxLength": 2000},
    "embeds": {"type": "array", "maxItems": 10, "items": {"type": "object"}},
    "flags": {"type": "integer"},
    "allowed_mentions": MENTIONS,
    "components": {"type": "array"},
    "attachments": {"type": "array"},
}
MESSAGE = _object(
    {},
    **EDIT,
    nonce={"type": ["integer", "string"], "maxLength": 25},
    enforce_nonce=YES_NO,
    tts=YES_NO,
    message_reference={"type": "object"},
    sticker_ids={"type": "array", "maxItems": 3},
    poll={"type": "object"},
)

RESOURCE = _one_of(
    *("sale", "refund", "cancellation", "dispute", "dispute_won"),
    *("subscription_updated", "subscription_ended", "subscription_restarted"),
)
OFFER = _object(
    {"name": FILLED, "amount_off": DIGITS},
    offer_type=_one_of("percent", "cents"),
    universal=_one_of("true", "false"),
    max_purchase_count=DIGITS,
)
SALES = _object({}, **dict.fromkeys(("email", "after", "before", "product_id", "order_id", "page_key"), FILLED))

TAKEN: dict[str, dict[str, Schema]] = {
    "shippo": {
        "POST /addresses": ADDRESS,
        "POST /shipments": SHIPMENT,
        "POST /transactions": _object({"rate": FILLED}, label_file_type=LABELS, metadata=NOTE, **{"async": YES_NO}),
        "GET /transactions": PAGE,
        "GET /transactions/{}": NOTHING,
        "POST /refunds": _object({"transaction": FILLED}, **{"async": YES_NO}),
        "POST /tracks": _object({"carrier": FILLED, "tracking_number": FILLED}, metadata=NOTE),
        "GET /tracks/{}/{}": NOTHING,
        "GET /addresses": PAGE,
    },
    "discord": {
        "POST /api/v10/channels/{}/messages": MESSAGE,
        "PATCH /api/v10/channels/{}/messages/{}": _object({}, **EDIT),
        "GET /api/v10/users/@me": NOTHING,
    },
    "gumroad": {
        "PUT /v2/sales/{}/mark_as_shipped": _object({}, tracking_url=FILLED),
        "PUT /v2/sales/{}/refund": _object({}, amount_cents=DIGITS),
        "GET /v2/sales/{}": NOTHING,
        "GET /v2/sales": SALES,
        "GET /v2/products": NOTHING,
        "GET /v2/products/{}": NOTHING,
        "GET /v2/user": NOTHING,
        "GET /v2/subscribers/{}": NOTHING,
        "POST /v2/products/{}/offer_codes": OFFER,
        "GET /v2/products/{}/offer_codes": NOTHING,
        "GET /v2/resource_subscriptions": _object({"resource_name": RESOURCE}),
        "DELETE /v2/resource_subscriptions/{}": NOTHING,
        "PUT /v2/resource_subscriptions": _object({"resource_name": RESOURCE, "post_url": FILLED}),
    },
}
"""Connector -> request -> its body, or of a GET its query."""
FORMS = {"gumroad"}
"""Whose bodies are forms; the others' are JSON."""


def wrong_with(slug: str, request: httpx.Request) -> list[str]:
    """What the system would not take of a request, as the sandbox of a connector got it; nothing for other systems."""
    if slug not in TAKEN:
        return []
    path = request.url.raw_path.decode().partition("?")[0].removeprefix(f"/{slug}")
    for name, schema in TAKEN[slug].items():
        if re.fullmatch(re.escape(name).replace(r"\{\}", "[^/]+"), f"{request.method} {path}"):
            return [
                f"{name}: {error.message}" for error in Draft202012Validator(schema).iter_errors(_said(slug, request))
            ]
    return [f"{request.method} {path} is described nowhere"]


def _said(slug: str, request: httpx.Request) -> Any:
    if request.method == "GET":
        return dict(request.url.params)
    if slug in FORMS:
        return dict(parse_qsl(request.content.decode(), keep_blank_values=True))
    return orjson.loads(request.content)
