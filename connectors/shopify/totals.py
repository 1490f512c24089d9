"""An order's amounts: as ordered and as they stand now, in the shop's and the buyer's currency, adding up.

Where Shopify leaves open what an amount contains (shipping discounts, cash rounding, tips among the items, duties in
the prices), the reading that makes the stated total is taken; no amount is ever made up to fit. If none does, the order
says by how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from app.events import Money
from connectors.shopify.reading import EXACT, NOTHING, SHOP, Body, added, amount_of, exactly, listed
from connectors.shopify.refunds import moved_back

Names = tuple[tuple[str, str], ...]

_ORDERED: Names = (
    ("items", "total_line_items_price"),
    ("shipping", "total_shipping_price"),
    ("tax", "total_tax"),
    ("discount", "total_discounts"),
    ("duty", "original_total_duties"),
    ("fees", "original_total_additional_fees"),
    ("tip", "total_tip_received"),
    ("rounding", "total_cash_rounding_payment_adjustment"),
    ("total", "total_price"),
)
_CURRENT: Names = (
    ("shipping", "current_shipping_price"),
    ("tax", "current_total_tax"),
    ("discount", "current_total_discounts"),
    ("duty", "current_total_duties"),
    ("fees", "current_total_additional_fees"),
    ("rounding", "total_cash_rounding_payment_adjustment"),
    ("total", "current_total_price"),
)
Amounts = dict[str, Money | None]


def ordered(body: Body, currency: str | None, side: str = SHOP) -> Amounts:
    """Totals as ordered; on the buyer's side what Shopify says there only."""
    found = _named(_ORDERED, body, currency, side)
    if currency is None:
        return found
    if found["shipping"] is None:
        found["shipping"] = _sum(body.get("shipping_lines"), "price", currency, side)
    _tips(found, body, currency, side, "quantity")
    return _fitting(found, body, currency, side)


def current(body: Body, currency: str | None, side: str = SHOP) -> Amounts | None:
    """Totals after edits and refunds; None for bodies older than these fields (2020)."""
    found = _named(_CURRENT, body, currency, side)
    if currency is None or found["total"] is None:
        return None
    if found["shipping"] is None and not listed(body.get("refunds")):
        found["shipping"] = amount_of(body, "total_shipping_price", currency, side)
    goods = [line for line in listed(body.get("line_items")) if line.get("tip") is None]
    if all(line.get("current_quantity") is not None for line in goods):
        found["items"] = exactly(_times(goods, "current_quantity", currency, side), currency)
    _tips(found, body, currency, side, "current_quantity")
    if side == SHOP:
        found["outstanding"] = amount_of(body, "total_outstanding", currency)
    return _fitting(found, body, currency, side)


def _named(names: Names, body: Body, currency: str | None, side: str) -> Amounts:
    return {ours: amount_of(body, theirs, currency, side) for ours, theirs in names}


def _sum(lines: object, name: str, currency: str, side: str) -> Money | None:
    amounts = [amount_of(line, name, currency, side) for line in listed(lines)]
    return exactly(added(amounts), currency) if amounts and None not in amounts else None


def _times(lines: list[Body], quantity: str, currency: str, side: str) -> Decimal:
    total = NOTHING
    for line in lines:
        price = amount_of(line, "price", currency, side)
        if price is not None:
            total = EXACT.add(total, EXACT.multiply(price.amount, Decimal(line.get(quantity) or 0)))
    return total


def _tips(found: Amounts, body: Body, currency: str, side: str, quantity: str) -> None:
    """A tip is a line item too, and stated once more as `total_tip_received` (which may say 0): it is counted once."""
    lines = [line for line in listed(body.get("line_items")) if line.get("tip") is not None]
    if lines:
        counted = quantity if lines[0].get(quantity) is not None else "quantity"
        found["tip"] = exactly(_times(lines, counted, currency, side), currency)
    elif quantity == "current_quantity":
        found["tip"] = amount_of(body, "total_tip_received", currency, side)


# --- adding up --------------------------------------------------------------------------------------------------


def _fitting(found: Amounts, body: Body, currency: str, side: str) -> Amounts:
    """The amounts, read so that they make the total if any reading does."""
    total, rounding = found.get("total"), found.pop("rounding", None)
    if rounding is not None and not rounding.amount:
        found["rounding"] = rounding
    if total is None or found.get("items") is None:
        return found
    missing = EXACT.subtract(total.amount, _made(found, bool(body.get("taxes_included"))))
    if missing:
        for name, change in _readings(found, rounding, body, currency, side):
            if _sign(name) * change == missing:
                now = EXACT.add(_amount(found.get(name)), change)
                found[name] = exactly(now, currency) if now else None
                break
    return found


def _made(found: Amounts, taxes_included: bool) -> Decimal:
    parts = added(found.get(name) for name in ("items", "shipping", "fees", "tip", "duty"))
    tax = NOTHING if taxes_included else _amount(found.get("tax"))
    return EXACT.subtract(EXACT.add(parts, tax), _amount(found.get("discount")))


def _readings(
    found: Amounts, rounding: Money | None, body: Body, currency: str, side: str
) -> Iterator[tuple[str, Decimal]]:
    """What else an amount may mean: (amount, by how much it changes), the likelier first."""
    if rounding is not None:
        yield "rounding", rounding.amount
    yield "items", -_amount(found.get("tip"))
    yield "duty", -_amount(found.get("duty"))
    off = _off_shipping(body, currency, side)
    yield "discount", off
    yield "shipping", off


def _sign(name: str) -> int:
    return -1 if name == "discount" else 1


def _off_shipping(body: Body, currency: str, side: str) -> Decimal:
    """What discounts took off shipping."""
    allocations = (a for line in listed(body.get("shipping_lines")) for a in listed(line.get("discount_allocations")))
    return added(amount_of(each, "amount", currency, side) for each in allocations)


def _amount(given: Money | None) -> Decimal:
    return NOTHING if given is None else given.amount


def surely_add_up(found: Body, currency: str | None) -> bool:
    """Whether an order's amounts add up to the last digit, in one currency: then nobody need look for a discrepancy,
    which costs as much as all other reading together. False means: look."""
    amounts: Amounts = found["totals"]
    items, total = amounts.get("items"), amounts.get("total")
    if items is None or total is None or currency is None or found.get("taxes_included") not in (True, False):
        return False
    if any(each is not None and each.currency != currency for each in amounts.values()):
        return False
    subtotals = [line.get("subtotal") for line in found["line_items"] or ()]
    if None in subtotals or any(each.currency != currency for each in subtotals):
        return False
    made = EXACT.add(_made(amounts, found["taxes_included"]), _amount(amounts.get("rounding")))
    return made == total.amount and (not subtotals or added(subtotals) == items.amount)


# --- paid and refunded ------------------------------------------------------------------------------------------


def settle(totals: Amounts, now: Amounts | None, body: Body, currency: str) -> None:
    """Fill paid, refunded and outstanding in. Gift cards are payments: they are in `paid`."""
    totals["outstanding"] = amount_of(body, "total_outstanding", currency)
    totals["refunded"] = refunded(body, currency)
    totals["paid"] = _paid(totals, now, str(body.get("financial_status")), currency)
    if now is not None:
        now["paid"], now["refunded"] = totals["paid"], totals["refunded"]


_SETTLED = {"paid", "partially_refunded", "refunded"}
_OPEN = {"pending", "authorized", "partially_paid"}


def _paid(totals: Amounts, now: Amounts | None, status: str, currency: str) -> Money | None:
    """What came in, by the status: all, or what is no longer outstanding (of the order as it stands now)."""
    if status in _SETTLED:
        return totals["total"]
    if status in ("voided", "expired"):
        return exactly(NOTHING, currency)
    left = totals["outstanding"]
    if status not in _OPEN:
        return None
    if left is None:
        return None if status == "partially_paid" else exactly(NOTHING, currency)
    due = now["total"] if now is not None and now["total"] is not None else totals["total"]
    if due is None:
        return None
    return exactly(EXACT.add(EXACT.subtract(due.amount, left.amount), _amount(totals["refunded"])), currency)


def refunded(body: Body, currency: str) -> Money | None:
    """The money that went back, of all refunds; None where the body has no list of them."""
    if body.get("refunds") is None:
        return None
    return exactly(added(moved_back(each, currency) for each in body["refunds"]), currency)
