"""Do an order's amounts add up? If not, by how much and where: a note, never a correction."""

from __future__ import annotations

from decimal import Decimal

from app.events.amounts import CurrencyError, Money, total, unit
from app.events.lines import Discrepancy, LineItem, Totals
from app.events.order import Order


def reconcile(order: Order) -> Decimal | None:
    """By how much the amounts as ordered do not add up (what is stated less what the parts make); None if they do, or
    if too little is known to tell."""
    found = discrepancy(order)
    return found.amount.amount if found else None


def with_discrepancy(order: Order) -> Order:
    """The order with `discrepancy` filled if its amounts do not add up, else the same."""
    found = discrepancy(order)
    return order.model_copy(update={"discrepancy": found}) if found else order


def discrepancy(order: Order) -> Discrepancy | None:
    """The first of these that does not hold: parts make the total; lines make the items; both within one currency."""
    totals = order.totals
    if totals is None or totals.items is None:
        return None
    try:
        return _of_parts(totals, order.taxes_included) or _of_lines(totals.items, order.line_items)
    except CurrencyError as error:
        return Discrepancy(amount=Money.zero(totals.items.currency), note=str(error))


def _of_parts(totals: Totals, taxes_included: bool | None) -> Discrepancy | None:
    """Compares with the total; where the sender does not say whether taxes are included, either way will do."""
    if totals.items is None or totals.total is None:
        return None
    tax = totals.tax or Money.zero(totals.items.currency)
    parts = [totals.items, totals.shipping, totals.fees, totals.tip, totals.duty, totals.rounding]
    net = total(parts) or totals.items
    if totals.discount is not None:
        net = net - totals.discount
    ways = {True: [net], False: [net + tax], None: [net + tax, net]}[taxes_included]
    if totals.total in ways:
        return None
    return _differs(totals.total, ways[0], "the parts of the total")


def _of_lines(items: Money, lines: list[LineItem] | None) -> Discrepancy | None:
    known = [_subtotal(line) for line in lines or ()]
    amounts = [each for each in known if each is not None]
    if not amounts or len(amounts) != len(known):
        return None
    made = total(amounts) or items
    finer = sum(not each.is_rounded for each in amounts)  # each may have been rounded before the sender added them up
    if abs(items - made).amount <= unit(items.currency) * finer:
        return None
    return _differs(items, made, "the line items")


def _subtotal(line: LineItem) -> Money | None:
    if line.subtotal is not None:
        return line.subtotal
    return line.price * line.quantity if line.price is not None and line.quantity is not None else None


def _differs(stated: Money, made: Money, what: str) -> Discrepancy:
    more = stated - made
    word = "more" if more.amount > 0 else "less"
    return Discrepancy(amount=more, note=f"{what} make {made}, but {stated} is stated: {abs(more)} {word}")
