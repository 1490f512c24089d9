"""Orders: the noun, and the topics that state it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.connector import Facts, Normaliser, State
from app.events import Event, Order, OrderEvent, Ref, event_type, with_discrepancy
from connectors.shopify import lines, people, totals
from connectors.shopify.parcels import parcel
from connectors.shopify.payments import payment
from connectors.shopify.reading import (
    PRESENTMENT,
    Body,
    build,
    fingerprint,
    guarded,
    id_of,
    ident,
    listed,
    names_and_values,
    needed,
    of_pair,
    one,
    table,
    tags_of,
    take,
    time_of,
    triggered_at,
    version_of,
)
from connectors.shopify.refunds import refund
from connectors.shopify.settings import Settings

_ORDER = table(
    "currency presentment_currency taxes_included tax_exempt phone note test cancel_reason",
    number="name",
    locale="customer_locale",
    cart_id="cart_token",
    source="source_name",
    gateways="payment_gateway_names",
    weight="total_weight",
    payment_status="financial_status",
)
_TIMES = table("created_at updated_at processed_at closed_at cancelled_at")
_IDS = table("app_id location_id", staff_id="user_id")
_EXTERNAL = table("confirmation_number checkout_token po_number source_identifier", gid="admin_graphql_api_id")
_EXTRA = ("company", "estimated_taxes", "merchant_of_record_app_id", "landing_site_ref", "reference", "returns")
_CHANNELS: dict[Any, str] = {
    "shopify_draft_order": "draft_order",
    "iphone": "mobile",
    "android": "mobile",
    "subscription_contract": "subscription",
    "subscription_contract_checkout_one": "subscription",
}
_UTM = ("source", "medium", "campaign", "term", "content")

PLAIN = {
    "orders/create": ("order.created", "created_at"),
    "orders/updated": ("order.updated", "updated_at"),
    "orders/paid": ("order.paid", "updated_at"),
    "orders/cancelled": ("order.cancelled", "cancelled_at"),
    "orders/fulfilled": ("order.fulfilled", "updated_at"),
    "orders/partially_fulfilled": ("order.partially_fulfilled", "updated_at"),
    "orders/delete": ("order.deleted", ""),
}
"""Topic -> (our type, the field that says when). Each topic makes one event: `orders/create` of a paid order does not
make `order.paid` too (docs/sources/shopify.md says why)."""


def order(body: Body, shop: str) -> tuple[Order, str | None]:
    """The Order that a body states, and what of it could not be read. Raises as `guarded` expects."""
    currency = body.get("currency") or None
    theirs = body.get("presentment_currency") or currency
    buyers = theirs if theirs != currency else None
    found = take(_ORDER, body)
    found["id"] = id_of(body)
    found |= {ours: time_of(body.get(name)) for ours, name in _TIMES}
    found |= {ours: ident(body.get(name)) for ours, name in _IDS}
    found |= _standing(body)
    found |= _amounts(body, currency, buyers)
    found["line_items"] = lines.line_items(body, currency, buyers)
    found["shipping_lines"] = lines.shipping_lines(body, currency, buyers)
    found["fee_lines"] = lines.fee_lines(body, currency)
    found["tax_lines"] = lines.tax_lines(body.get("tax_lines"), currency)
    found["discounts"] = lines.discounts(body, currency)
    found |= _people(body, currency)
    found |= _origin(body)
    found |= _records(body, currency)
    found |= _beside(body, shop, found["id"])
    said, note = build(Order, found)
    return said if totals.surely_add_up(found, currency) else with_discrepancy(said), note


def _amounts(body: Body, currency: str | None, buyers: str | None) -> Body:
    ordered, now = totals.ordered(body, currency), totals.current(body, currency)
    if currency:
        totals.settle(ordered, now, body, currency)
    found: Body = {"totals": ordered, "current": now}
    if buyers:
        found["presentment"] = totals.ordered(body, buyers, PRESENTMENT)
        found["presentment_current"] = totals.current(body, buyers, PRESENTMENT)
    return found


def _standing(body: Body) -> Body:
    """Where the order stands. That it is on hold is not said in orders: fulfilment orders have their own topics."""
    status = "cancelled" if body.get("cancelled_at") else "closed" if body.get("closed_at") else "open"
    found: Body = {"status": status, "checkout_id": ident(body.get("checkout_id")) or body.get("checkout_token")}
    if "fulfillment_status" in body:
        said = body["fulfillment_status"]
        found["fulfillment_status"] = lines.STATES.get(said, said)
    return found


def _people(body: Body, currency: str | None) -> Body:
    granted = body.get("buyer_accepts_marketing")
    return {
        "email": body.get("email") or body.get("contact_email"),
        "customer": people.buyer(body, currency),
        "billing_address": people.address(body.get("billing_address")),
        "shipping_address": people.address(body.get("shipping_address")),
        "email_consent": None if granted is None else {"granted": granted},
        "tags": tags_of(body.get("tags")),
    }


def _origin(body: Body) -> Body:
    """Channel and where the buyer came from. A numeric source is the id of the app that made the order."""
    source = body.get("source_name")
    channel = "app" if isinstance(source, str) and source.isdecimal() else _CHANNELS.get(source, source)
    found: Body = {"channel": channel, "ip_address": body.get("browser_ip")}
    landing, referrer = body.get("landing_site"), body.get("referring_site")
    if landing or referrer:
        found["attribution"] = {"landing_page": landing, "referrer": referrer, **_campaign(landing)}
    return found


def _campaign(landing: Any) -> dict[str, str]:
    return _utm(landing) if isinstance(landing, str) and "utm_" in landing else {}


@lru_cache(maxsize=1024)
def _utm(landing: str) -> dict[str, str]:
    """Buyers of one campaign land on one address."""
    said = dict(parse_qsl(urlsplit(landing).query))
    return {name: said[f"utm_{name}"] for name in _UTM if f"utm_{name}" in said}


def _records(body: Body, currency: str | None) -> Body:
    """Refunds, parcels and payments that a body holds."""
    found: Body = {}
    if body.get("refunds") is not None:
        found["refunds"] = [refund(each, currency) for each in body["refunds"]]
    if body.get("fulfillments") is not None:
        found["fulfillments"] = [parcel(each, currency) for each in body["fulfillments"]]
    if body.get("transactions"):
        found["payments"] = [payment(each, currency) for each in body["transactions"]]
    return found


def _beside(body: Body, shop: str, id_: str) -> Body:
    codes = body.get("discount_codes")
    found: Body = {
        "discount_codes": None if codes is None else [each.get("code") for each in codes],
        "attributes": names_and_values(body.get("note_attributes")),
        "external_ids": {ours: str(body[name]) for ours, name in _EXTERNAL if body.get(name)},
        "links": {"admin": f"https://{shop}/admin/orders/{id_}"},
        "extra": {name: body[name] for name in _EXTRA if body.get(name)},
    }
    if status := body.get("order_status_url"):
        found["links"]["status"] = status
    found["extra"] |= {name: said for name, pair in _APART if (said := _stated(body, pair))}
    schedules = listed((body.get("payment_terms") or {}).get("payment_schedules"))
    found["payment_terms_due_at"] = time_of(schedules[-1].get("due_at")) if schedules else None
    return found


_APART = (
    ("cash_rounding", "total_cash_rounding_payment_adjustment_set"),
    ("duties", "original_total_duties_set"),
)
"""Amounts that the order's total may or may not contain, in `extra` as they are stated."""


def _stated(body: Body, name: str) -> str | None:
    """The amount with its currency, if it is not nothing."""
    pair = body.get(name)
    amount = of_pair(pair, body.get("currency")) if pair else None
    return str(amount) if amount is not None and amount.amount else None


# --- the events -------------------------------------------------------------------------------------------------


@guarded
def stated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """One event for one of the topics in PLAIN, whose body is the order (of deleted ones, mostly just the id)."""
    type_, moment = PLAIN[facts.topic]
    said, note = order(body, facts.settings.shop)
    version = version_of(said.updated_at)
    when = time_of(body.get(moment)) or (said.updated_at if moment else None) or triggered_at(facts)
    return one(
        type_,
        Ref("order", id_of(body)),
        OrderEvent(order=said),
        when,
        version=version,
        part=None if event_type(type_).milestone else f"{version or when}/{fingerprint(body)}",
        test=facts.test or bool(said.test),
        note=note,
    )


def _part_of_order(
    id_: str, fields: Body, type_: str, facts: Facts[Settings], when: Any, part: str, note: str | None = None
) -> list[Event]:
    """An event about an order whose body says only a part of it: no version, so that it never counts as the newest."""
    said, unread = build(Order, {"id": id_, **fields})
    notes = "; ".join(each for each in (note, unread) if each) or None
    data = OrderEvent(order=said)
    return one(type_, Ref("order", id_), data, when or triggered_at(facts), part=part, test=facts.test, note=notes)


@guarded
def edited(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`orders/edited`: the ids and quantities that changed, under `order.extra.edit`."""
    edit = body.get("order_edit") or body
    id_ = needed(ident(edit.get("order_id")), "order_id")
    when = time_of(edit.get("committed_at")) or time_of(edit.get("created_at"))
    part = ident(edit.get("id")) or fingerprint(body)
    return _part_of_order(id_, {"extra": {"edit": edit}}, "order.edited", facts, when, part)


@guarded
def risk_changed(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`orders/risk_assessment_changed`: one provider's verdict on an order."""
    id_ = needed(ident(body.get("order_id")) or ident(body.get("admin_graphql_api_order_id")), "order_id")
    level, when = body.get("risk_level"), time_of(body.get("created_at"))
    risk = {"level": level.lower() if isinstance(level, str) else None, "facts": _facts(body)}
    extra = {"risk_provider": body.get("provider_title")} if body.get("provider_title") else {}
    part = f"risk/{body.get('provider_id')}/{version_of(when)}/{fingerprint(body)}"
    return _part_of_order(id_, {"risk": risk, "extra": extra}, "order.updated", facts, when, part)


def _facts(body: Body) -> list[str] | None:
    given = body.get("facts")
    return None if given is None else [str(each.get("description")) for each in given]


TOPICS: dict[str, Normaliser[Settings]] = {
    **dict.fromkeys(PLAIN, stated),
    "orders/edited": edited,
    "orders/risk_assessment_changed": risk_changed,
}
