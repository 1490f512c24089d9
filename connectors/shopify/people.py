"""Addresses, consent and customers, as they stand in bodies of every kind."""

from __future__ import annotations

from typing import Any

from connectors.shopify.reading import Body, amount_of, ident, number, table, tags_of, take, time_of

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
    found["email"] = found["email"] or email
    found["phone"] = found["phone"] or phone
    found["locale"] = order.get("customer_locale")
    return found


def _guest(order: Body, email: Any, phone: Any) -> Body | None:
    at = order.get("billing_address") or order.get("shipping_address") or {}
    if not (email or phone or at):
        return None
    said = {name: at.get(name) for name in ("first_name", "last_name", "name", "company")}
    return {**said, "email": email, "phone": phone or at.get("phone")}
