"""Addresses, consent and customers, as they stand in bodies of every kind; the customers' own topics."""

from __future__ import annotations

from typing import Any

from app.connector import Facts, Normaliser, State
from app.events import Customer, CustomerEvent, Event, Ref
from connectors.shopify.reading import (
    Body,
    amount_of,
    build,
    fingerprint,
    guarded,
    id_of,
    ident,
    needed,
    number,
    one,
    table,
    tags_of,
    take,
    time_of,
    triggered_at,
    version_of,
)
from connectors.shopify.settings import Settings

_ADDRESS = table(
    "id first_name last_name name company address1 address2 city province province_code country country_code phone",
    postal_code="zip",
    is_default="default",
)
_CUSTOMER = table(
    "first_name last_name email phone currency state orders_count tax_exempt note",
    email_verified="verified_email",
)
_GRANTED: dict[Any, bool] = {
    "subscribed": True,
    "pending": False,
    "not_subscribed": False,
    "unsubscribed": False,
    "invalid": False,
    "redacted": False,
}


def address(body: Any) -> Body | None:
    """An Address; null and {} are none."""
    if not body:
        return None
    found = take(_ADDRESS, body)
    if body.get("latitude") is not None:
        found["latitude"], found["longitude"] = number(body["latitude"]), number(body.get("longitude"))
    return found


def consent(body: Any) -> Body | None:
    """A Consent of `{state, opt_in_level, consent_updated_at}`."""
    if not body:
        return None
    state = body.get("state")
    return {
        "granted": _GRANTED.get(state),
        "state": state,
        "level": body.get("opt_in_level"),
        "at": time_of(body.get("consent_updated_at")),
        "source": body.get("consent_collected_from"),
    }


def _old_consent(body: Body) -> Body | None:
    """Until 2024-07 bodies said `accepts_marketing`."""
    granted = body.get("accepts_marketing")
    if granted is None:
        return None
    return {
        "granted": granted,
        "level": body.get("marketing_opt_in_level"),
        "at": time_of(body.get("accepts_marketing_updated_at")),
    }


def customer(body: Body, currency: str | None) -> Body:
    """A Customer. From 2025-01 bodies have no tags, counts or consent. `currency` is the shop's."""
    found = take(_CUSTOMER, body)
    get = body.get
    found["id"] = ident(get("id")) or ident(get("admin_graphql_api_id"))
    found["created_at"], found["updated_at"] = time_of(get("created_at")), time_of(get("updated_at"))
    found["last_order_id"] = ident(get("last_order_id"))
    found["total_spent"] = amount_of(body, "total_spent", currency)
    found["email_consent"] = consent(get("email_marketing_consent")) or _old_consent(body)
    found["sms_consent"] = consent(get("sms_marketing_consent"))
    found["tags"] = tags_of(get("tags"))
    found["default_address"] = address(get("default_address"))
    if addresses := get("addresses"):
        found["addresses"] = [address(each) for each in addresses]
    if gid := get("admin_graphql_api_id"):
        found["external_ids"] = {"gid": gid}
    return found


def buyer(order: Body, currency: str | None) -> Body | None:
    """The customer of an order or checkout; a guest (customer null, email "") is who the order says, or nobody."""
    given = order.get("customer")
    email = order.get("email") or order.get("contact_email") or None
    phone = order.get("phone") or None
    found = customer(given, currency) if given else _guest(order, email, phone)
    if found is None:
        return None
    found["email"] = found.get("email") or email
    found["phone"] = found.get("phone") or phone
    found["locale"] = order.get("customer_locale")
    return found


def _guest(order: Body, email: Any, phone: Any) -> Body | None:
    at = order.get("billing_address") or order.get("shipping_address") or {}
    if not (email or phone or at):
        return None
    said = {name: at.get(name) for name in ("first_name", "last_name", "name", "company")}
    return {**said, "email": email, "phone": phone or at.get("phone")}


# --- the events -------------------------------------------------------------------------------------------------

WHOLE = {
    "customers/create": ("customer.created", "created_at"),
    "customers/update": ("customer.updated", "updated_at"),
    "customers/enable": ("customer.updated", "updated_at"),
    "customers/disable": ("customer.updated", "updated_at"),
    "customers/delete": ("customer.deleted", ""),
}
"""Topic -> (our type, the field that says when), for bodies that are the customer."""


@guarded
def stated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    type_, moment = WHOLE[facts.topic]
    said, note = build(Customer, customer(body, facts.settings.currency or body.get("currency")))
    version = version_of(said.updated_at)
    when = time_of(body.get(moment)) or (said.updated_at if moment else None) or triggered_at(facts)
    part = f"{version or when}/{fingerprint(body)}" if type_ == "customer.updated" else None
    ref, data = Ref("customer", id_of(body)), CustomerEvent(customer=said)
    return one(type_, ref, data, when, version=version, part=part, test=facts.test, note=note)


def _a_part(id_: str, fields: Body, facts: Facts[Settings], when: Any, body: Body) -> list[Event]:
    """`customer.updated` of a body that says only a part: without a version, so that it never counts as the newest."""
    said, note = build(Customer, {"id": id_, **fields})
    moment = when or triggered_at(facts)
    part = f"{facts.topic}/{version_of(moment)}/{fingerprint(body)}"
    data = CustomerEvent(customer=said)
    return one("customer.updated", Ref("customer", id_), data, moment, part=part, test=facts.test, note=note)


@guarded
def tagged(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`customer.tags_added` and `customer.tags_removed`: the change, not the whole list."""
    id_ = needed(ident(body.get("customerId")) or ident(body.get("customer_id")), "customerId")
    changed = facts.topic.rpartition(".")[2]
    when = time_of(body.get("occurredAt")) or time_of(body.get("occurred_at"))
    return _a_part(id_, {"extra": {changed: tags_of(body.get("tags")) or []}}, facts, when, body)


@guarded
def consented(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`customers_email_marketing_consent/update` and `customers_marketing_consent/update` (text messages)."""
    id_ = needed(ident(body.get("customer_id")) or ident(body.get("id")), "customer_id")
    mail, text = consent(body.get("email_marketing_consent")), consent(body.get("sms_marketing_consent"))
    when = next((each["at"] for each in (mail, text) if each and each["at"]), None)
    fields = {"email": body.get("email_address") or body.get("email"), "phone": body.get("phone")}
    return _a_part(id_, {**fields, "email_consent": mail, "sms_consent": text}, facts, when, body)


TOPICS: dict[str, Normaliser[Settings]] = {
    **dict.fromkeys(WHOLE, stated),
    "customer.tags_added": tagged,
    "customer.tags_removed": tagged,
    "customers_email_marketing_consent/update": consented,
    "customers_marketing_consent/update": consented,
}
