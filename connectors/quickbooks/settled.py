"""An order whose lines state all of its discount and tax: what only the totals say is spread over the lines.

Shops say both on every line; processors, marketplaces and pushed orders often say them for the whole order alone.
Without this a discount or tax of the whole order would end up in the line that makes up for rounding.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from app.events import Fee, LineItem, Money, Order, ShippingLine, TaxLine, Totals, total

L = TypeVar("L", LineItem, ShippingLine)


def settled(order: Order, totals: Totals) -> Order:
    """The order, with shares of the discount and of the tax on the lines that are silent about them."""
    items, shipping = list(order.line_items or ()), list(order.shipping_lines or ())
    if not shipping and totals.shipping is not None and totals.shipping.amount:
        shipping = [ShippingLine(price=totals.shipping)]
    off = _missing(totals.discount, [*(line.discount for line in items), *(line.discount for line in shipping)])
    if off is not None:
        items = _spread(
            off, items, lambda line, share: line.model_copy(update={"discount": _plus(line.discount, share)})
        )
    lines: list[LineItem | ShippingLine | Fee] = [*items, *shipping, *(order.fee_lines or ())]
    tax = _missing(totals.tax, [_tax_of(line) for line in lines])
    if tax is not None:
        rate = _only_rate(order.tax_lines)

        def taxed(line: L, share: Money) -> L:
            return line.model_copy(
                update={"tax": share, "tax_lines": [TaxLine(rate=rate, amount=share)] if rate else None}
            )

        if any(_bears(line) for line in items):
            items = _spread(tax, items, taxed, _bears)
        else:
            shipping = _spread(tax, shipping, taxed, _bears)
    return order.model_copy(update={"line_items": items, "shipping_lines": shipping})


def gross_of(line: LineItem | ShippingLine) -> Money | None:
    """Before discounts, as the line says it; None where it states no price."""
    if isinstance(line, ShippingLine):
        return line.price or line.total
    if line.subtotal is None and line.price is not None and line.quantity is not None:
        return (line.price * line.quantity).rounded()
    return line.subtotal or line.total


def _missing(whole: Money | None, stated: Sequence[Money | None]) -> Money | None:
    """What the lines say less than the whole; None if nothing, or more."""
    if whole is None or not whole.is_rounded:
        return None
    rest = whole - (total(stated) or Money.zero(whole.currency))
    return rest if rest.amount > 0 else None


def _spread(
    amount: Money, lines: list[L], add: Callable[[L, Money], L], bears: Callable[[L], bool] = lambda line: True
) -> list[L]:
    """By what the lines cost after their discounts; as they are, where that is nothing."""
    weights = [_cost(line) if bears(line) else Decimal(0) for line in lines]
    if not any(weights):
        return lines
    return [
        add(line, share) if share.amount else line for line, share in zip(lines, amount.allocate(weights), strict=True)
    ]


def _cost(line: LineItem | ShippingLine) -> Decimal:
    gross = gross_of(line)
    return max(gross.amount - (line.discount.amount if line.discount else 0), Decimal(0)) if gross else Decimal(0)


def _bears(line: LineItem | ShippingLine) -> bool:
    """A line that does not say its tax may bear some, unless it says that it is not taxable."""
    return line.tax is None and line.tax_lines is None and getattr(line, "taxable", None) is not False


def _tax_of(line: LineItem | ShippingLine | Fee) -> Money | None:
    return line.tax or total([each.amount for each in line.tax_lines or ()])


def _plus(one: Money | None, other: Money) -> Money:
    return other if one is None else one + other


def _only_rate(lines: Sequence[TaxLine] | None) -> Decimal | None:
    rates = {line.rate for line in lines or () if line.rate}
    return rates.pop() if len(rates) == 1 else None
