"""WooCommerce's addresses and customers in our words."""

import re
from collections.abc import Sequence

from app.connector import Facts, Json, State
from app.events import Address, Customer, CustomerEvent, Event, Ref
from connectors.woocommerce.fields import Body, flag, ident, meta, moment, nested, occurrence, past, resource, text
from connectors.woocommerce.settings import Settings

_CODE = re.compile(r"[A-Z0-9-]{1,6}")
_VAT = ("_billing_vat_number", "billing_vat_number", "_vat_number", "vat_number", "_billing_eu_vat_number")


def address(said: Body, tax_number: str | None = None) -> Address | None:
    """An address, or None if all of it is blank. `state` is a code where WooCommerce knows the country's states."""
    state = text(said, "state")
    coded = state is not None and _CODE.fullmatch(state) is not None
    first, last = text(said, "first_name"), text(said, "last_name")
    found = Address(
        first_name=first,
        last_name=last,
        name=" ".join(filter(None, (first, last))) or None,
        company=text(said, "company"),
        address1=text(said, "address_1"),
        address2=text(said, "address_2"),
        city=text(said, "city"),
        province=None if coded else state,
        province_code=state if coded else None,
        postal_code=text(said, "postcode"),
        country_code=text(said, "country"),
        phone=text(said, "phone"),
        email=text(said, "email"),
        tax_number=tax_number,
    )
    return found if found.model_fields_set and any(getattr(found, name) for name in found.model_fields_set) else None


def tax_number(found: dict[str, Json]) -> str | None:
    """The buyer's VAT number, as the usual plugins keep it."""
    return next((str(found[name]) for name in _VAT if isinstance(found.get(name), str)), None)


def buyer(body: Body, billing: Address | None, shipping: Address | None, locale: str | None) -> Customer | None:
    """The customer of an order; a guest (`customer_id` 0) has no id. None if nothing at all is said of the buyer."""
    number, known = ident(body, "customer_id"), billing or shipping
    if number is None and known is None:
        return None
    said = known or Address()
    return Customer(
        id=number,
        email=billing.email if billing else None,
        phone=said.phone,
        first_name=said.first_name,
        last_name=said.last_name,
        name=said.name,
        company=said.company,
        locale=locale,
        addresses=[each for each in (billing, shipping) if each],
        default_address=known,
    )


def customer_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """customer.created and .updated: who was made before the connection is history."""
    body = resource(payload)
    customer = customer_of(body)
    ref = Ref("customer", customer.id or "")
    data = CustomerEvent(customer=customer)
    made, changed = customer.created_at, customer.updated_at or customer.created_at
    version, update = occurrence(body)
    events = [Event("customer.created", ref, ref, made, data, version, historical=past(made, facts))]
    if facts.topic != "customer.created":
        events.append(
            Event("customer.updated", ref, ref, changed, data, version, update, historical=past(changed, facts))
        )
    return events


def customer_of(body: Body) -> Customer:
    billing, shipping = address(nested(body, "billing")), address(nested(body, "shipping"))
    first, last = text(body, "first_name"), text(body, "last_name")
    said = meta(body)
    return Customer(
        id=ident(body, "id"),
        email=text(body, "email") or (billing.email if billing else None),
        phone=billing.phone if billing else None,
        first_name=first,
        last_name=last,
        name=" ".join(filter(None, (first, last))) or (billing.name if billing else None),
        company=billing.company if billing else None,
        addresses=[each for each in (billing, shipping) if each],
        default_address=billing or shipping,
        created_at=moment(body, "date_created_gmt"),
        updated_at=moment(body, "date_modified_gmt"),
        metadata={key: value for key, value in said.items() if not key.startswith("_")},
        extra={
            name: value
            for name, value in {
                "username": text(body, "username"),
                "role": text(body, "role"),
                "is_paying_customer": flag(body, "is_paying_customer"),
            }.items()
            if value is not None
        },
    )


def customer_deleted(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """The body is the id alone; WooCommerce does not say when."""
    ref = Ref("customer", ident(resource(payload), "id") or "")
    return [Event("customer.deleted", ref, ref, None, CustomerEvent(customer=Customer(id=ref.id)))]
