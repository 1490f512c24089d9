"""What follows a sample order: payment, parcel, refund, cancellation, dispute; and what comes before: a checkout.

Each function gives the body of the topic that its docstring names.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

from connectors.shopify.sample import CATALOGUE, LOCATION_ID, SHOP_ID, Json, iso, order

_FROM_ORDER = (
    *("cart_token", "email", "note", "note_attributes", "taxes_included", "total_weight", "currency", "subtotal_price"),
    *("customer_locale", "presentment_currency", "total_discounts", "total_line_items_price", "total_price"),
    *("total_tax", "billing_address", "shipping_address", "customer", "shipping_lines", "discount_codes", "tax_lines"),
    *("landing_site", "referring_site"),
)
_FROM_LINE = (
    *("id", "product_id", "variant_id", "title", "variant_title", "sku", "quantity", "requires_shipping"),
    *("gift_card", "grams", "price", "price_set"),
)


def changed(body: Json, at: datetime, **fields: Any) -> Json:
    """`orders/updated`: the order with some fields changed (`tags="vip"`)."""
    return {**body, **fields, "updated_at": iso(at)}


def cancelled(body: Json, at: datetime, reason: str = "customer") -> Json:
    """`orders/cancelled`: nothing is left of the current amounts."""
    nothing = {
        "shop_money": {"amount": "0.00", "currency_code": body["currency"]},
        "presentment_money": {"amount": "0.00", "currency_code": body["presentment_currency"]},
    }
    current: Json = {"current_subtotal_price": "0.00", "current_subtotal_price_set": nothing}
    for name in ("price", "tax", "discounts"):
        current |= {f"current_total_{name}": "0.00", f"current_total_{name}_set": nothing}
    lines = [{**line, "current_quantity": 0, "fulfillable_quantity": 0} for line in body["line_items"]]
    current |= {"current_shipping_price_set": nothing, "line_items": lines}
    status = "refunded" if body["financial_status"] == "paid" else "voided"
    return changed(body, at, **current, cancelled_at=iso(at), cancel_reason=reason, financial_status=status)


def transaction(body: Json, at: datetime, kind: str = "sale", status: str = "success", gateway: str = "") -> Json:
    """`order_transactions/create`, of the whole amount."""
    id_ = body["id"] + 900_000_000
    return {
        "id": id_,
        "order_id": body["id"],
        "kind": kind,
        "gateway": gateway or "shopify_payments",
        "status": status,
        "message": "Transaction approved" if status == "success" else "The card was declined",
        "created_at": iso(at),
        "test": False,
        "authorization": f"pi_sample{body['id']}",
        "location_id": None,
        "user_id": None,
        "parent_id": None,
        "processed_at": iso(at),
        "device_id": None,
        "error_code": None if status == "success" else "card_declined",
        "source_name": "web",
        "payment_details": {
            "credit_card_bin": "424242",
            "credit_card_number": "•••• •••• •••• 4242",
            "credit_card_company": "Visa",
            "credit_card_name": body["customer"]["default_address"]["name"],
            "payment_method_name": "visa",
        },
        "receipt": {},
        "amount": body["total_price"],
        "currency": body["currency"],
        "payment_id": f"{body['name']}.1",
        "manual_payment_gateway": False,
        "amount_rounding": None,
        "admin_graphql_api_id": f"gid://shopify/OrderTransaction/{id_}",
    }


def fulfillment(body: Json, at: datetime, rng: Random, lines: Sequence[int] | None = None, parcel: int = 1) -> Json:
    """`fulfillments/create`: a parcel with all lines, or those of the given places."""
    id_ = body["id"] // 2 + parcel
    chosen = body["line_items"] if lines is None else [body["line_items"][place] for place in lines]
    code = f"1Z{rng.randrange(10**15):015d}"
    return {
        "id": id_,
        "order_id": body["id"],
        "status": "success",
        "created_at": iso(at),
        "service": "manual",
        "updated_at": iso(at),
        "tracking_company": "UPS",
        "shipment_status": None,
        "location_id": LOCATION_ID,
        "origin_address": None,
        "email": body["email"],
        "destination": body["shipping_address"],
        "line_items": [{name: line.get(name) for name in _FROM_LINE} for line in chosen],
        "tracking_number": code,
        "tracking_numbers": [code],
        "tracking_url": f"https://track.example.com/{code}",
        "tracking_urls": [f"https://track.example.com/{code}"],
        "receipt": {},
        "name": f"{body['name']}.{parcel}",
        "admin_graphql_api_id": f"gid://shopify/Fulfillment/{id_}",
    }


def fulfillment_event(parcel: Json, at: datetime, status: str) -> Json:
    """`fulfillment_events/create`: in_transit, out_for_delivery, delivered, attempted_delivery, failure ..."""
    id_ = parcel["id"] + int(at.timestamp()) % 1_000_000
    return {
        "id": id_,
        "fulfillment_id": parcel["id"],
        "status": status,
        "message": status.replace("_", " ").capitalize(),
        "happened_at": iso(at),
        "city": None,
        "province": None,
        "country": None,
        "zip": None,
        "address1": None,
        "latitude": None,
        "longitude": None,
        "shop_id": SHOP_ID,
        "created_at": iso(at),
        "updated_at": iso(at),
        "estimated_delivery_at": None,
        "order_id": parcel["order_id"],
        "admin_graphql_api_id": f"gid://shopify/FulfillmentEvent/{id_}",
    }


def refund(body: Json, at: datetime, line: int = 0, note: str | None = "Arrived broken") -> Json:
    """`refunds/create`: one of the given line goes back, with its money (discounts and taxes of the line left out)."""
    goods, id_ = body["line_items"][line], body["id"] // 3 + line
    nothing = {side: {**money, "amount": "0.00"} for side, money in goods["price_set"].items()}
    refunded = {
        "id": id_ + 5,
        "quantity": 1,
        "line_item_id": goods["id"],
        "location_id": LOCATION_ID,
        "restock_type": "return",
        "subtotal": float(goods["price"]),
        "total_tax": 0,
        "subtotal_set": goods["price_set"],
        "total_tax_set": nothing,
        "line_item": goods,
    }
    paid_back = {
        **transaction(body, at, kind="refund"),
        "id": id_ + 6,
        "parent_id": body["id"] + 900_000_000,
        "amount": goods["price"],
    }
    return {
        "id": id_,
        "order_id": body["id"],
        "created_at": iso(at),
        "note": note,
        "user_id": 88_001,
        "processed_at": iso(at),
        "duties": [],
        "total_duties_set": nothing,
        "return": None,
        "refund_shipping_lines": [],
        "admin_graphql_api_id": f"gid://shopify/Refund/{id_}",
        "order_adjustments": [],
        "refund_line_items": [refunded],
        "transactions": [paid_back],
    }


def dispute(body: Json, at: datetime, due: datetime, status: str = "needs_response") -> Json:
    """`disputes/create` and `disputes/update`."""
    ended = status in ("won", "lost")
    return {
        "id": body["id"] // 5,
        "order_id": body["id"],
        "type": "chargeback",
        "amount": body["total_price"],
        "currency": body["currency"],
        "reason": "fraudulent",
        "network_reason_code": "10.4",
        "status": status,
        "evidence_due_by": iso(due),
        "evidence_sent_on": None,
        "finalized_on": iso(at) if ended else None,
        "initiated_at": iso(at),
    }


def stock(sku: str, available: int, at: datetime) -> Json:
    """`inventory_levels/update`."""
    item = 46_200_000_000_000 + next(place for place, product in enumerate(CATALOGUE) if product[0] == sku)
    return {
        "inventory_item_id": item,
        "location_id": LOCATION_ID,
        "available": available,
        "updated_at": iso(at),
        "admin_graphql_api_id": f"gid://shopify/InventoryLevel/{LOCATION_ID}?inventory_item_id={item}",
    }


def checkout(number: int, at: datetime, rng: Random, **options: Any) -> Json:
    """`checkouts/create`: a purchase begun; `order(number, at=at, rng=Random(...))` of the same makes its order."""
    body = order(number, at=at, rng=rng, **options)
    token = body["checkout_token"]
    lines = [
        {**line, "key": str(line["id"]), "line_price": line["price"], "applied_discounts": []}
        for line in body["line_items"]
        if "tip" not in line
    ]
    return {
        "id": body["checkout_id"],
        "token": token,
        "gateway": None,
        "buyer_accepts_marketing": body["buyer_accepts_marketing"],
        "buyer_accepts_sms_marketing": False,
        "created_at": iso(at),
        "updated_at": iso(at),
        "completed_at": None,
        "closed_at": None,
        "name": f"#{body['checkout_id']}",
        "abandoned_checkout_url": f"https://tea.example.com/{SHOP_ID}/checkouts/{token}/recover?key=sample",
        "source_name": "web",
        "line_items": lines,
        **{name: body[name] for name in _FROM_ORDER},
    }
