"""The shop itself: privacy requests, which the law demands of every app, and the end of a connection."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.connector import Facts, Normaliser, State
from app.events import AppEvent, Customer, Event, PrivacyEvent, PrivacyRequest, Ref, Shop
from connectors.shopify.people import address
from connectors.shopify.reading import (
    Body,
    build,
    fingerprint,
    guarded,
    happening,
    id_of,
    ident,
    listed,
    needed,
    one,
    table,
    take,
    triggered_at,
)
from connectors.shopify.settings import Settings

DUE = timedelta(days=30)
"""Within which a request must be carried out (https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance)."""

_SHOP = table("name email phone currency", domain="myshopify_domain", locale="primary_locale", timezone="iana_timezone")

REQUESTS = {
    "customers/data_request": ("privacy.data_requested", "data_request"),
    "customers/redact": ("privacy.customer_redacted", "customer_redact"),
    "shop/redact": ("privacy.shop_redacted", "shop_redact"),
}
"""Topic -> (our type, kind of request)."""


@guarded
def requested(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """One of REQUESTS. Each delivery counts as a request of its own, so that none is taken for an old one."""
    type_, kind = REQUESTS[facts.topic]
    person = body.get("customer") or {}
    id_ = _request_id(body, kind, person)
    when = triggered_at(facts)
    orders = listed(body.get("orders_requested")) or listed(body.get("orders_to_redact"))
    said, note = build(
        PrivacyRequest,
        {
            "id": id_,
            "kind": kind,
            "customer_id": ident(person.get("id")),
            "email": person.get("email"),
            "phone": person.get("phone"),
            "order_ids": [known for each in orders if (known := ident(each))],
            "shop": body.get("shop_domain"),
            "due_by": when + DUE,
            "created_at": when,
        },
    )
    who = Customer(id=said.customer_id, email=said.email, phone=said.phone) if person else None
    ref, data = Ref("request", id_), PrivacyEvent(request=said, customer=who)
    part = f"{happening(facts)}/{fingerprint(body)}"
    return one(type_, ref, data, when, part=part, test=facts.test, note=note)


def _request_id(body: Body, kind: str, person: Body) -> str:
    """The request's own id; redactions have none: the customer (a guest: the content) or the shop stands for it."""
    if kind == "data_request" and (given := ident((body.get("data_request") or {}).get("id"))):
        return given
    if kind == "shop_redact":
        return f"shop:{needed(ident(body.get('shop_id')), 'shop_id')}"
    if not person:
        needed(None, "customer")
    return f"customer:{ident(person.get('id')) or fingerprint(person)}"


@guarded
def uninstalled(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`app/uninstalled`: the body is the shop; its token is dead already."""
    found: dict[str, Any] = take(_SHOP, body)
    found |= {"id": id_of(body), "plan": body.get("plan_name"), "address": address(body)}
    found["address"] = {**(found["address"] or {}), "id": None, "first_name": None, "last_name": None}
    found["domain"] = found.get("domain") or body.get("domain")
    said, note = build(Shop, found)
    ref = Ref("shop", id_of(body))
    when = triggered_at(facts)
    return one("app.uninstalled", ref, AppEvent(shop=said), when, part=happening(facts), test=facts.test, note=note)


TOPICS: dict[str, Normaliser[Settings]] = {**dict.fromkeys(REQUESTS, requested), "app/uninstalled": uninstalled}
