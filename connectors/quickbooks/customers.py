"""Who is invoiced: a customer of QuickBooks found by e-mail address, or made under a name that nobody else bears."""

import re
from collections.abc import Iterator

from app.connector import Json
from app.errors import PermanentError
from app.events import Address, Customer
from connectors.quickbooks import books
from connectors.quickbooks.books import Books, quoted
from connectors.quickbooks.faults import DuplicateNameError
from connectors.quickbooks.lines import plain_name
from connectors.quickbooks.models import CustomerFound, FindOrCreateCustomer

MOST_SUFFIXES = 9
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


def key_of(input: FindOrCreateCustomer) -> str:
    """Two calls for one person must not run at once."""
    return (_email(input) or _name(input, None, "")).lower()


async def find(ctx: Books, input: FindOrCreateCustomer) -> CustomerFound | None:
    """By e-mail address (and currency, where the company has several); without one, by the names that we would give,
    among those without one."""
    email = _email(input)
    names = ", ".join(quoted(name) for name in _names(ctx, input))
    where = f"PrimaryEmailAddr = {quoted(email)}" if email else f"DisplayName in ({names})"
    for each in await books.query(ctx, "Customer", where):
        same_currency = _currency(ctx, input) in (None, each.get("CurrencyRef", {}).get("value"))
        if same_currency and (email or not each.get("PrimaryEmailAddr")):
            return _found(each, created=False)
    return None


async def create(ctx: Books, input: FindOrCreateCustomer) -> CustomerFound:
    """Names are unique among customers, vendors and employees together: a taken one gets the e-mail address, then a
    number behind it."""
    for name in _names(ctx, input):
        try:
            body = {**_body(ctx, input), "DisplayName": name, **input.fields}
            return _found(await books.create(ctx, "Customer", body, ctx.key(f"customer:{name}")), created=True)
        except DuplicateNameError:
            if made := await find(ctx, input):  # by another call, meanwhile
                return made
    raise PermanentError(f"QuickBooks knows too many called {_display(ctx, input)!r}: give the call a `name`")


async def in_currency(ctx: Books, id: str, currency: str) -> str:
    """The customer, or where it has another currency the one of the same person in this: found, or made."""
    if ctx.settings.home_currency in (None, currency):
        return id
    known = await books.read(ctx, "Customer", id)
    if known.get("CurrencyRef", {}).get("value") == currency:
        return id
    who = Customer(name=known.get("DisplayName"), email=(known.get("PrimaryEmailAddr") or {}).get("Address"))
    copied = {part: known[part] for part in ("GivenName", "FamilyName", "CompanyName") if known.get(part)}
    wish = FindOrCreateCustomer(customer=who, currency=currency, fields=copied)
    return (await find(ctx, wish) or await create(ctx, wish)).id


def _names(ctx: Books, input: FindOrCreateCustomer) -> Iterator[str]:
    name, email = _display(ctx, input), _email(input)
    yield name
    if email and email != name:
        yield f"{name} ({email})"[:500]
    for number in range(2, MOST_SUFFIXES + 1):
        yield f"{name} ({number})"


def _found(customer: dict[str, Json], created: bool) -> CustomerFound:
    books.check(customer, ("Id", "DisplayName"))
    email = (customer.get("PrimaryEmailAddr") or {}).get("Address")
    return CustomerFound(id=str(customer["Id"]), name=customer["DisplayName"], email=email, created=created)


def _body(ctx: Books, input: FindOrCreateCustomer) -> dict[str, Json]:
    who, address = _customer(input), _address(input)
    shipping = input.order.shipping_address if input.order else None
    phone = who.phone or (address.phone if address else None)
    company = who.company or (address.company if address else None)
    email, currency = _email(input), _currency(ctx, input)
    body = {
        "GivenName": _plain(who.first_name or (address.first_name if address else None), 100),
        "FamilyName": _plain(who.last_name or (address.last_name if address else None), 100),
        "CompanyName": _plain(company, 100),
        "PrimaryEmailAddr": {"Address": email} if email else None,
        "PrimaryPhone": {"FreeFormNumber": phone[:30]} if phone else None,
        "BillAddr": postal(address) if address else None,
        "ShipAddr": postal(shipping) if shipping else None,
        "CurrencyRef": {"value": currency} if currency else None,
    }
    return {name: value for name, value in body.items() if value}


def postal(address: Address) -> dict[str, str]:
    """QuickBooks' PhysicalAddress; parts that are not said are left out."""
    parts = {
        "Line1": _cut(address.address1, 500),
        "Line2": _cut(address.address2, 500),
        "City": _cut(address.city, 255),
        "CountrySubDivisionCode": _cut(address.province_code or address.province, 255),
        "PostalCode": _cut(address.postal_code, 30),
        "Country": _cut(address.country_code or address.country, 255),
    }
    return {name: value for name, value in parts.items() if value}


def _cut(text: str | None, length: int) -> str | None:
    return text[:length] if text else None


def _customer(input: FindOrCreateCustomer) -> Customer:
    return input.customer or (input.order.customer if input.order else None) or Customer()


def _address(input: FindOrCreateCustomer) -> Address | None:
    order = input.order
    ordered = (order.billing_address or order.shipping_address) if order else None
    return input.address or ordered or _customer(input).default_address


def _email(input: FindOrCreateCustomer) -> str | None:
    address = _address(input)
    said = (
        _customer(input).email or (input.order.email if input.order else None) or (address.email if address else None)
    )
    return mail_address(said)


def mail_address(said: str | None) -> str | None:
    """As QuickBooks takes it; None for what it would refuse: who misspelt theirs is in the books all the same."""
    said = (said or "").strip()
    return said if _ADDRESS.fullmatch(said) and len(said) <= 100 else None


def _display(ctx: Books, input: FindOrCreateCustomer) -> str:
    name = _name(input, _email(input), ctx.settings.walk_in_customer)
    currency = _currency(ctx, input)
    return f"{name} {currency}" if currency and currency != ctx.settings.home_currency else name


def _name(input: FindOrCreateCustomer, email: str | None, otherwise: str) -> str:
    """The name to show, at most 400 characters."""
    who, address = _customer(input), _address(input)
    said = [input.name, who.name, _full(who), *((address.name, _full(address)) if address else ())]
    return next(filter(None, (_plain(each, 400) for each in (*said, who.company, email, otherwise))), "")


def _plain(said: str | None, most: int) -> str | None:
    return plain_name(said, most) or None if said else None


def _full(who: Customer | Address) -> str | None:
    return " ".join(part for part in (who.first_name, who.last_name) if part) or None


def _currency(ctx: Books, input: FindOrCreateCustomer) -> str | None:
    """Said only where the company keeps several currencies: a customer has one for ever."""
    if not ctx.settings.home_currency:
        return None
    return input.currency or (input.order.currency if input.order else None) or ctx.settings.home_currency
