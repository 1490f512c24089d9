"""Money: an exact decimal with a currency. Never a float, never two currencies in one sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from app.events.values import Exact

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{2,7}$", to_upper=True)]
"""ISO 4217 code in capitals; longer codes of shop plugins (USDT) are kept too."""

# ISO 4217: currencies whose unit is not a hundredth. How a *provider* counts minor units is its connector's matter.
_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS = dict.fromkeys(_ZERO.split(), 0) | dict.fromkeys(_THREE.split(), 3) | {"CLF": 4, "UYW": 4}

# Room for any sum or product of amounts in bounds; what would not be exact raises.
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])


class CurrencyError(ValueError):
    """Two currencies met where one was needed."""


def exponent(currency: str) -> int:
    """Decimals of the currency's unit by ISO 4217: 2 for EUR, 0 for JPY, 3 for KWD; 2 for a code not known."""
    return _EXPONENTS.get(currency.upper(), 2)


def unit(currency: str) -> Decimal:
    """The smallest amount of the currency: 0.01 for EUR, 1 for JPY, 0.001 for KWD."""
    return Decimal(1).scaleb(-exponent(currency))


class Money(BaseModel):
    """An exact amount in one currency, not rounded until `rounded()` is asked for.

    `amount` takes a str ("10.90"), an int or a Decimal, less than 10**15 either way; a float is refused. In JSON it is
    a string. Arithmetic and order raise CurrencyError for two currencies; equality of two currencies is just False.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    amount: Exact
    currency: Currency

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(amount=Decimal(0), currency=currency)

    def _same(self, other: object) -> Decimal:
        if not isinstance(other, Money):
            raise TypeError(f"money goes with money, not with {type(other).__name__}")
        if other.currency != self.currency:
            raise CurrencyError(f"{self} and {other} are of two currencies")
        return other.amount

    def _with(self, amount: Decimal) -> Self:
        return type(self)(amount=amount, currency=self.currency)

    def __add__(self, other: Money) -> Self:
        return self._with(_EXACT.add(self.amount, self._same(other)))

    def __radd__(self, other: int | Money) -> Self:
        """`sum(moneys)` begins with the int 0; nothing else but money may be added."""
        return self if other == 0 and isinstance(other, int) else self._with(_EXACT.add(self._same(other), self.amount))

    def __sub__(self, other: Money) -> Self:
        return self._with(_EXACT.subtract(self.amount, self._same(other)))

    def __mul__(self, factor: Decimal | int) -> Self:
        if isinstance(factor, bool) or not isinstance(factor, int | Decimal):
            raise TypeError(f"money is multiplied by an int or a Decimal, not by {type(factor).__name__}")
        return self._with(_EXACT.multiply(self.amount, Decimal(factor)))

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        return self._with(self.amount.copy_negate())

    def __abs__(self) -> Self:
        return self._with(self.amount.copy_abs())

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.amount > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.amount >= self._same(other)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def rounded(self) -> Self:
        """Rounded half up (away from zero) to the currency's unit, with exactly that many decimals."""
        return self._with(self.amount.quantize(unit(self.currency), context=_ROUNDING))

    @property
    def is_rounded(self) -> bool:
        """Whether the amount is a whole number of the currency's units (actions refuse money that is not)."""
        return self.rounded().amount == self.amount

    def minor(self, places: int | None = None) -> int:
        """The amount in minor units (1090 for 10.90 EUR), by ISO 4217 or as told; ValueError if it is not whole."""
        places = exponent(self.currency) if places is None else places
        scaled = _EXACT.scaleb(self.amount, places)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{self} is not a whole number of units of 1/10**{places}: round it first")
        return int(scaled)

    def allocate(self, weights: Sequence[Decimal | int]) -> list[Self]:
        """Split by weights so that the parts sum to exactly this amount: largest remainder, the earlier first on a tie.

        Parts are whole units of the currency (of this amount's own last decimal if that is finer). Weights are not
        negative and not all zero, else ValueError.
        """
        shares = [Fraction(weight) for weight in weights]
        whole = sum(shares, Fraction(0))
        if whole <= 0 or min(shares) < 0:
            raise ValueError("weights must not be negative, and one must be more than zero")
        places = max(exponent(self.currency), -int(self.amount.as_tuple().exponent))
        units = int(_EXACT.scaleb(self.amount, places))
        parts = _largest_remainder(abs(units), [share / whole for share in shares])
        sign = -1 if units < 0 else 1
        return [self._with(_EXACT.scaleb(Decimal(sign * part), -places)) for part in parts]


def _largest_remainder(units: int, shares: list[Fraction]) -> list[int]:
    exact = [units * share for share in shares]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: units - sum(parts)]:
        parts[i] += 1
    return parts


def money(amount: Decimal | int | str | None, currency: str | None) -> Money | None:
    """Money of what a sender said; None if the amount or the currency is missing or blank.

    ValueError for text that is no plain decimal and for floats (parse numbers of a body as Decimal).
    """
    if amount is None or amount == "" or not currency:
        return None
    return Money(amount=amount, currency=currency)


def from_minor(units: int | None, currency: str | None, places: int | None = None) -> Money | None:
    """Money of an integer in minor units (1090 -> 10.90 EUR); `places` where a provider counts unlike ISO 4217."""
    if units is None or not currency:
        return None
    places = exponent(currency) if places is None else places
    return Money(amount=_EXACT.scaleb(Decimal(units), -places), currency=currency)


def total(moneys: Iterable[Money | None]) -> Money | None:
    """The sum of those that are known; None of none. CurrencyError for two currencies."""
    known = [each for each in moneys if each is not None]
    return sum(known[1:], known[0]) if known else None
