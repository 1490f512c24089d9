"""Stripe's customers and addresses as ours."""

from app.events import Address, Consent, Customer
from connectors.stripe.body import Obj

_PLACE = ("line1", "line2", "city", "state", "postal_code", "country")
_CONSENT = {"opt_in": True, "opt_out": False}


def address(of: Obj, name: str | None = None, phone: str | None = None, email: str | None = None) -> Address | None:
    """None if every field is blank, as in most card payments."""
    if not any(of.text(field) for field in _PLACE):
        return None
    return Address(
        name=name,
        phone=phone,
        email=email,
        address1=of.text("line1"),
        address2=of.text("line2"),
        city=of.text("city"),
        province=of.text("state"),
        postal_code=of.text("postal_code"),
        country_code=of.text("country"),
    )


def contact(of: Obj) -> Address | None:
    """An address beside a name: `billing_details`, `shipping`, `shipping_details`."""
    return address(of.of("address"), of.text("name"), of.text("phone"), of.text("email"))


def customer(o: Obj) -> Customer:
    own, shipping = contact(o), contact(o.of("shipping"))
    locales = o.texts("preferred_locales")
    return Customer(
        id=o.id("id"),
        email=o.text("email"),
        phone=o.text("phone"),
        name=o.text("name"),
        company=o.text("business_name"),
        locale=locales[0] if locales else None,
        currency=o.currency,
        addresses=[each for each in (own, shipping) if each] or None,
        default_address=own,
        tax_exempt={"none": False, "exempt": True}.get(o.text("tax_exempt") or ""),
        tax_numbers=[value for value in (tax.text("value") for tax in o.all("tax_ids")) if value] or None,
        note=o.text("description"),
        created_at=o.time("created"),
        test=o.test,
        metadata=o.metadata(),
    )


def buyer(o: Obj) -> Customer:
    """The buyer of a checkout session; a guest has no id."""
    given, consent = o.of("customer_details"), _CONSENT.get(o.of("consent").text("promotions") or "")
    expanded = o.of("customer")
    own = contact(given)
    return Customer(
        id=o.id("customer"),
        email=given.text("email") or o.text("customer_email") or expanded.text("email"),
        phone=given.text("phone") or expanded.text("phone"),
        name=given.text("name", "individual_name") or expanded.text("name"),
        company=given.text("business_name"),
        locale=_locale(o.text("locale")),
        default_address=own,
        addresses=[own] if own else None,
        email_consent=None if consent is None else Consent(granted=consent, source="stripe checkout"),
        tax_exempt={"none": False, "exempt": True}.get(given.text("tax_exempt") or ""),
        tax_numbers=[value for value in (tax.text("value") for tax in given.all("tax_ids")) if value] or None,
        test=o.test,
    )


def known_customer(o: Obj, email: str | None = None, name: str | None = None) -> Customer | None:
    """Who paid, as far as a payment or invoice says; None if it says nobody."""
    expanded = o.of("customer")
    id = o.id("customer")
    email, name = email or expanded.text("email"), name or expanded.text("name")
    return Customer(id=id, email=email, name=name) if id or email else None


def _locale(said: str | None) -> str | None:
    return None if said == "auto" else said
