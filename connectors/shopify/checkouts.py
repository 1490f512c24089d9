"""Checkouts: purchases begun, which become orders or are abandoned."""

from __future__ import annotations

from typing import Any

from app.connector import Facts, Normaliser, State
from app.events import Checkout, CheckoutEvent, Event, Ref
from connectors.shopify import lines, people, totals
from connectors.shopify.reading import (
    Body,
    build,
    fingerprint,
    guarded,
    ident,
    names_and_values,
    needed,
    table,
    take,
    time_of,
    triggered_at,
    version_of,
)
from connectors.shopify.settings import Settings

_CHECKOUT = table(
    "token currency presentment_currency taxes_included phone note gateway",
    cart_id="cart_token",
    url="abandoned_checkout_url",
    locale="customer_locale",
    source="source_name",
    channel="source_name",
)
_CONSENTS = {"email_consent": "buyer_accepts_marketing", "sms_consent": "buyer_accepts_sms_marketing"}


def checkout_id(body: Body) -> str:
    """Its number; bodies from 2026-04 have only the token (and orders then have no `checkout_id`, but the token)."""
    return needed(ident(body.get("id")) or ident(body.get("token")), "id or token")


def checkout(body: Body) -> Body:
    """A Checkout. Its amounts are in the buyer's currency: unlike orders, bodies state them once (`checkouts/delete`
    names the presentment currency beside them, and no shop currency at all)."""
    currency = body.get("presentment_currency") or body.get("currency")
    found = take(_CHECKOUT, body)
    found["id"], found["email"] = checkout_id(body), body.get("email")
    found |= {name: time_of(body.get(name)) for name in ("created_at", "updated_at", "completed_at")}
    found["status"] = "completed" if body.get("completed_at") else "open"
    found["customer"] = people.buyer(body, currency)
    found |= {ours: {"granted": body[name]} for ours, name in _CONSENTS.items() if body.get(name) is not None}
    found["totals"] = totals.ordered(body, currency)
    found["line_items"] = lines.line_items(body, currency, None)
    found["shipping_lines"] = lines.shipping_lines(body, currency, None)
    found["tax_lines"] = lines.tax_lines(body.get("tax_lines"), currency)
    found["discounts"] = lines.discounts(body, currency)
    codes = body.get("discount_codes")
    found["discount_codes"] = None if codes is None else [each.get("code") for each in codes]
    found["billing_address"] = people.address(body.get("billing_address"))
    found["shipping_address"] = people.address(body.get("shipping_address"))
    found["attributes"] = names_and_values(body.get("note_attributes"))
    return found


def _event(type_: str, said: Checkout, body: Body, facts: Facts[Settings], when: Any, note: str | None) -> Event:
    ref, version = Ref("checkout", checkout_id(body)), version_of(said.updated_at)
    part = f"{version or when}/{fingerprint(body)}" if type_ == "checkout.updated" else None
    moment = when or triggered_at(facts)
    data = CheckoutEvent(checkout=said)
    return Event(type_, ref, ref, moment, data, version=version, part=part, test=facts.test, note=note)


@guarded
def stated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`checkouts/create` and `checkouts/update`. A completed checkout is not also *updated*: whoever waits for a buyer
    to come back would begin to wait anew."""
    said, note = build(Checkout, checkout(body))
    begun = facts.topic == "checkouts/create"
    events = [_event("checkout.created", said, body, facts, said.created_at, note)] if begun else []
    if said.completed_at:
        return [*events, _event("checkout.completed", said, body, facts, said.completed_at, note)]
    return events or [_event("checkout.updated", said, body, facts, said.updated_at, note)]


@guarded
def deleted(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`checkouts/delete`: it can no longer be completed."""
    said, note = build(Checkout, checkout(body) | {"status": "expired"})
    return [_event("checkout.expired", said, body, facts, None, note)]


TOPICS: dict[str, Normaliser[Settings]] = {
    "checkouts/create": stated,
    "checkouts/update": stated,
    "checkouts/delete": deleted,
}
