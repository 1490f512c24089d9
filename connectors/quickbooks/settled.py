"""An order whose lines state all of its discount and tax: what only the totals say is spread over the lines.

Shops say both on every line; processors, marketplaces and pushed orders often say them for the whole order alone.
Without this a discount or tax of the whole order would end up in the line that makes up for rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from app.errors import PermanentError
from app.events import Fee, LineItem, Money, Order, ShippingLine, TaxLine, Totals, total, unit
from connectors.quickbooks.models import Settings

Line = LineItem | ShippingLine
UNSEEN = 10
"""As many lines, each rounded, may stand behind the one of an order that names none."""
L = TypeVar("L", LineItem, ShippingLine)


@dataclass(frozen=True)
class _Bearing:
    """What each line that bears a tax costs (0 for the others), the items first, and the rate, where one fits."""

    costs: Sequence[Decimal]
    rate: Decimal | None = None


def settled(order: Order, totals: Totals, settings: Settings) -> Order:
    """The order, with shares of the discount and of the tax on the lines that are silent about them.

    An order without lines gets one for all its items. PermanentError where lines need tax codes, but the order does
    not tell which of them bear its tax.
    """
    items, shipping = list(order.line_items or ()), list(order.shipping_lines or ())
    if not items and (whole := totals.items or _items_of(order, totals)) is not None:
        items = [LineItem(subtotal=whole)]
    if not shipping and totals.shipping is not None and totals.shipping.amount:
        shipping = [ShippingLine(price=totals.shipping)]
    off = _missing(totals.discount, [*(line.discount for line in items), *(line.discount for line in shipping)])
    if off is not None:
        shares = _shares(off, [_cost(line) for line in items])
        items = [_discounted(line, share) for line, share in zip(items, shares, strict=True)]
    lines: list[Line | Fee] = [*items, *shipping, *(order.fee_lines or ())]
    tax = _missing(totals.tax, [_tax_of(line) for line in lines])
    if tax is not None:
        saying = sum(_says_tax(line) for line in lines)
        bearing = _bearing(tax, items, shipping, saying, order, settings)
        shares = _shares(tax, bearing.costs)
        items = [_taxed(line, share, bearing.rate) for line, share in zip(items, shares, strict=False)]
        shipping = [
            _taxed(line, share, bearing.rate) for line, share in zip(shipping, shares[len(items) :], strict=True)
        ]
    return order.model_copy(update={"line_items": items, "shipping_lines": shipping})


def gross_of(line: Line) -> Money | None:
    """Before discounts, as the line says it; None where it states no price."""
    if isinstance(line, ShippingLine):
        return line.price or line.total
    if line.subtotal is None and line.price is not None and line.quantity is not None:
        return (line.price * line.quantity).rounded()
    return line.subtotal or line.total


def _items_of(order: Order, totals: Totals) -> Money | None:
    """What is left of the total for the items where the order states neither them nor their sum."""
    if totals.total is None:
        return None
    beside = [totals.shipping, totals.tip, totals.duty, totals.rounding, None if order.taxes_included else totals.tax]
    fees = [fee.amount for fee in order.fee_lines] if order.fee_lines else [totals.fees]
    rest = totals.total + (totals.discount or Money.zero(totals.total.currency))
    rest -= total([*beside, *fees]) or Money.zero(rest.currency)
    return rest if rest.amount > 0 else None


def _missing(whole: Money | None, stated: Sequence[Money | None]) -> Money | None:
    """What the lines say less than the whole; None if nothing, or more."""
    if whole is None or not whole.is_rounded:
        return None
    rest = whole - (total(stated) or Money.zero(whole.currency))
    return rest if rest.amount > 0 else None


# --- who bears the tax ------------------------------------------------------------------------------------------


def _bearing(
    tax: Money, items: Sequence[LineItem], shipping: Sequence[ShippingLine], saying: int, order: Order, own: Settings
) -> _Bearing:
    """The silent items, or these and the silent shipping: whichever make this tax at a known rate, to a unit a line.

    Where none do, up to a unit for each line that says its tax is rounding, and nobody's; so is a unit without a code.
    """
    of_items, of_shipping = [_silent_cost(line) for line in items], [_silent_cost(line) for line in shipping]
    nobody = [Decimal(0)] * (len(items) + len(shipping))
    choices = [costs for costs in ([*of_items, *nobody[len(items) :]], [*of_items, *of_shipping]) if any(costs)]
    if not choices:
        return _Bearing(nobody)
    needs_code = own.tax == "global"
    slack, rounded = unit(tax.currency), saying + (0 if order.line_items else UNSEEN)
    for rates in _rates(order.tax_lines, [Decimal(rate) for rate in own.tax_codes] if needs_code else []):
        fits = list(_fits(tax.amount, choices, rates, bool(order.taxes_included), slack, rounded))
        if fits:
            return min(fits, key=lambda fit: fit[0])[1]
    if tax.amount <= slack * max(saying, needs_code):
        return _Bearing(nobody)
    if needs_code:
        raise PermanentError(
            f"the order does not tell which of its lines bear {tax} of its tax, and no rate that it states or that"
            " tax_codes knows makes that of all that may: send it with the tax of each line"
        )
    return _Bearing(next((costs for costs in choices if sum(costs) > 2 * tax.amount), choices[-1]))


def _fits(
    tax: Decimal, choices: Sequence[Sequence[Decimal]], rates: Sequence[Decimal], included: bool, slack: Decimal, n: int
) -> Iterator[tuple[Decimal, _Bearing]]:
    """With how far off each is."""
    for costs in choices:
        net = sum(costs, Decimal(0)) - (tax if included else 0)
        for rate in rates:
            off = abs(net * rate - tax)
            if rate and off <= slack * (n + sum(map(bool, costs))):
                yield off, _Bearing(costs, rate)


def _rates(lines: Sequence[TaxLine] | None, coded: list[Decimal]) -> list[list[Decimal]]:
    """Those to try, the likeliest first: what the order states and has a code, what it states, what has a code.

    What it states may lie on the same goods all at once (9 % and 9 %).
    """
    each = [line.rate for line in lines or () if line.rate and (line.amount is None or line.amount.amount)]
    together = sum(each, Decimal(0))
    return [[rate for rate in (*each, together) if rate in coded], each, coded, [together]]


def _silent_cost(line: Line) -> Decimal:
    """What a line costs that does not say its tax; nothing if it does, or says that it is not taxable."""
    return Decimal(0) if _says_tax(line) or getattr(line, "taxable", None) is False else _cost(line)


def _says_tax(line: Line | Fee) -> bool:
    return line.tax is not None or line.tax_lines is not None


# --- shares -----------------------------------------------------------------------------------------------------


def _shares(amount: Money, costs: Sequence[Decimal]) -> list[Money]:
    """By what the lines cost; nothing each, where that is nothing."""
    return amount.allocate(costs) if any(costs) else [Money.zero(amount.currency)] * len(costs)


def _cost(line: Line) -> Decimal:
    """After the line's discount."""
    gross = gross_of(line)
    return max(gross.amount - (line.discount.amount if line.discount else 0), Decimal(0)) if gross else Decimal(0)


def _discounted(line: LineItem, share: Money) -> LineItem:
    if not share.amount:
        return line
    return line.model_copy(update={"discount": share if line.discount is None else line.discount + share})


def _taxed(line: L, share: Money, rate: Decimal | None) -> L:
    if not share.amount:
        return line
    return line.model_copy(update={"tax": share, "tax_lines": [TaxLine(rate=rate, amount=share)] if rate else None})


def _tax_of(line: Line | Fee) -> Money | None:
    return line.tax or total([each.amount for each in line.tax_lines or ()])
