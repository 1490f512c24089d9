"""How Stripe counts money: integers in a minor unit of its own, by a table that is neither ISO 4217 nor obvious.

Source: docs.stripe.com/currencies. ISK and UGX have no decimals in life but two in the API (5 UGX are 500). HUF and TWD
have two. Three-decimal amounts must end in 0. A currency that is not listed has two decimals.
"""

from decimal import Decimal

from app.errors import PermanentError
from app.events import Money, from_minor

_NONE = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE = "BHD JOD KWD OMR TND"
EXPONENTS = dict.fromkeys(_NONE.split(), 0) | dict.fromkeys(_THREE.split(), 3)
STEPS = {"ISK": 100, "UGX": 100} | dict.fromkeys(_THREE.split(), 10)
"""Amounts must be multiples of this many minor units (Stripe: invalid_charge_amount_no_decimal_compatible)."""


def places(currency: str) -> int:
    """Decimals of an amount in this currency as Stripe's API counts them."""
    return EXPONENTS.get(currency.upper(), 2)


def from_api(units: int | None, currency: str | None) -> Money | None:
    """Money of an amount in a body; None if either is missing."""
    return from_minor(units, currency, places(currency)) if currency else None


def from_decimal(units: str | None, currency: str | None) -> Money | None:
    """Money of `unit_amount_decimal` ("0.5": half a minor unit); None if either is missing. ValueError if no number."""
    if units is None or not currency:
        return None
    return Money(amount=Decimal(units).scaleb(-places(currency)), currency=currency)


def to_api(amount: Money) -> int:
    """The integer for a request. PermanentError if the amount is finer than Stripe takes."""
    try:
        units = amount.minor(places(amount.currency))
    except ValueError as e:
        raise PermanentError(str(e)) from e
    step = STEPS.get(amount.currency, 1)
    if units % step:
        raise PermanentError(f"Stripe takes {amount.currency} only in steps of {from_api(step, amount.currency)}")
    return units
