"""From an order or a refund to the lines of a document: pure, exact, and summing up to the total that the shop states.

Amounts go out net of tax. US companies state the order's tax (TxnTaxDetail.TotalTax); global ones have a tax code on
every line, and the tax is what those codes make of the net sums. What is missing to the shop's total, mostly a cent of
rounding, becomes a line of its own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from app.connector import Json
from app.errors import PermanentError
from app.events import LineItem, Money, Order, Refund, RefundLine, ShippingLine, TaxLine, Totals, total, unit
from connectors.quickbooks.models import Settings
from connectors.quickbooks.settled import gross_of, settled

SHIPPING = "SHIPPING_ITEM_ID"
"""The literal by which QuickBooks knows its own shipping line."""


@dataclass(frozen=True)
class Wanted:
    """An item that a line needs: by its own name and SKU, or one of the settings' by name alone."""

    name: str
    sku: str | None = None


@dataclass(frozen=True)
class Part:
    """One line. net: without tax, negative for what is taken off; tax: as the shop says it."""

    item: Wanted
    text: str
    net: Money
    tax: Money
    code: str
    quantity: Decimal | None = None
    price: Money | None = None


@dataclass(frozen=True)
class Draft:
    """The lines of a document, the discount of US companies, and the tax and total that they make."""

    parts: Sequence[Part]
    discount: Money | None
    tax: Money
    total: Money
    adjustment: Money | None


def draft_of_order(order: Order, settings: Settings) -> Draft:
    """PermanentError if the order states no total, money that is not whole cents, or a tax rate without a code."""
    totals, whole = order.totals, order.total
    if totals is None or whole is None:
        raise PermanentError("the order states no total")
    order = settled(order, totals, settings)
    items = [part for line in order.line_items or () for part in _item(line, order, settings)]
    parts = [*items, *_shipping(order, settings), *_others(order, totals, settings)]
    tax = total([part.tax for part in parts]) if totals.tax is None else totals.tax
    return _draft(parts, _discount(order, totals), tax, whole, settings, order)


def draft_of_refund(refund: Refund, order: Order | None, settings: Settings) -> Draft:
    """The refund's lines where it has any, its shipping, and the rest as an adjustment; the order's own lines where all
    of it is given back. PermanentError where codes are needed and neither refund nor order tells the tax."""
    whole = refund.amount
    if whole is None:
        raise PermanentError("the refund states no amount")
    given = _given_back(refund, order)
    shipping = refund.shipping if refund.shipping is not None and refund.shipping.amount else None
    if not given and shipping is None and order is not None and _is_all_of(refund, order):
        return draft_of_order(order, settings)
    if order is not None and order.totals is not None and _tax_unknown(given, settings):
        order = settled(order, order.totals, settings)
    included = _holds_tax(refund, given, order)
    parts = [_refunded(line, order, included, settings) for line in given]
    if shipping is not None:
        shipped = order.shipping_lines[0] if order and order.shipping_lines else None
        parts.append(_ship(shipping, _share_of(shipped, shipping) if shipped else None, None, included, settings))
    if not parts:
        parts = [_whole_refund(refund, whole, order, settings)]
    tax = _tax_given_back(refund, parts, whole)
    return _draft(parts, None, tax, whole, settings, order, "Of the refund, beyond its lines")


def to_json(draft: Draft, items: dict[Wanted, str], settings: Settings) -> dict[str, Json]:
    """The part of a QuickBooks document that holds lines and tax. `items`: the id of every item wanted."""
    lines = [_line(part, items[part.item]) for part in draft.parts]
    body: dict[str, Json] = {"Line": lines}
    if draft.discount is not None and draft.discount.amount:
        detail = {"PercentBased": False}
        lines.append(
            {"Amount": draft.discount.amount, "DetailType": "DiscountLineDetail", "DiscountLineDetail": detail}
        )
        body["ApplyTaxAfterDiscount"] = True
    if settings.tax == "us":
        return body | {"TxnTaxDetail": {"TotalTax": draft.tax.amount}}
    return body | {"GlobalTaxCalculation": "TaxExcluded"}


def wanted(draft: Draft) -> list[Wanted]:
    """The items that are to be found; QuickBooks' own shipping line is none."""
    return list(dict.fromkeys(part.item for part in draft.parts if part.item.name != SHIPPING))


def _line(part: Part, item: str) -> dict[str, Json]:
    detail: dict[str, Json] = {"ItemRef": {"value": item}, "TaxCodeRef": {"value": part.code}}
    text = part.text
    unit_price = _unit_price(part)
    if unit_price is not None:
        detail |= {"Qty": part.quantity, "UnitPrice": unit_price}
    elif part.quantity not in (None, 1):
        text = f"{part.quantity} x {text}"
    return {
        "Amount": part.net.amount,
        "Description": text[:4000],
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": detail,
    }


def _unit_price(part: Part) -> Decimal | None:
    """What times the quantity is exactly the amount, to seven decimals; None if there is no such price (fault 6070)."""
    if not part.quantity or part.item.name == SHIPPING:
        return None
    if part.price is not None and part.price.amount * part.quantity == part.net.amount:
        return part.price.amount
    price = (part.net.amount / part.quantity).quantize(Decimal("0.0000001")).normalize()
    return price if price * part.quantity == part.net.amount else None


# --- an order's parts -------------------------------------------------------------------------------------------


def _item(line: LineItem, order: Order, settings: Settings) -> Iterator[Part]:
    gross = gross_of(line)
    if gross is None:
        raise PermanentError(f"line {line.title or line.id} states no price")
    gross = gross.rounded()
    included = bool(order.taxes_included)
    off = line.discount or _none(gross)
    tax = line.tax or total([each.amount for each in line.tax_lines or ()]) or _none(gross)
    net, net_off = _net(gross, off, tax, included)
    code = _code(_tax_rate(line.tax_lines, tax, net - net_off, settings), tax, settings)
    text = " - ".join(part for part in (line.title, line.variant_title) if part) or line.sku or _name_of(order)
    price = None if included else line.price
    quantity = None if line.quantity is None else Decimal(line.quantity)
    yield Part(_item_of(line, settings), text, net, tax, code, quantity, price)
    if settings.tax == "global" and net_off.amount:
        yield Part(Wanted(settings.discount_item), f"Discount on {text}", -net_off, _none(gross), code)


def _shipping(order: Order, settings: Settings) -> Iterator[Part]:
    for line in order.shipping_lines or ():
        if line.price is not None and line.price.amount:
            yield from _shipped(line, bool(order.taxes_included), settings)


def _shipped(line: ShippingLine, included: bool, settings: Settings) -> Iterator[Part]:
    price = line.price or line.total
    if price is None:
        return
    part = _ship(price, line, line.discount, included, settings)
    yield part
    off = line.discount or _none(price)
    if settings.tax == "global" and off.amount:
        net_off = _net(price, off, part.tax, included)[1]
        yield Part(Wanted(settings.discount_item), f"Discount on {part.text}", -net_off, _none(price), part.code)


def _ship(gross: Money, line: ShippingLine | None, discount: Money | None, included: bool, settings: Settings) -> Part:
    off = discount or _none(gross)
    stated = (line.tax or total([each.amount for each in line.tax_lines or ()])) if line else None
    tax = stated or _none(gross)
    net, net_off = _net(gross, off, tax, included)
    code = _code(_tax_rate(line.tax_lines if line else None, tax, net - net_off, settings), tax, settings)
    title = f"Shipping: {line.title}" if line and line.title else "Shipping"
    return Part(Wanted(settings.shipping_item), title, net, tax, code)


def _others(order: Order, totals: Totals, settings: Settings) -> Iterator[Part]:
    """Fees, tip, duty and the shop's own rounding."""
    included = bool(order.taxes_included)
    for fee in order.fee_lines or ():
        if fee.amount is not None and fee.amount.amount:
            tax = fee.tax or total([each.amount for each in fee.tax_lines or ()]) or _none(fee.amount)
            net = _net(fee.amount, _none(fee.amount), tax, included)[0]
            code = _code(_tax_rate(fee.tax_lines, tax, net, settings), tax, settings)
            yield Part(Wanted(settings.fee_item), fee.title or "Fee", net, tax, code)
    plain = [
        (None if order.fee_lines else totals.fees, settings.fee_item, "Fees"),
        (totals.tip, settings.tip_item, "Tip"),
        (totals.duty, settings.fee_item, "Duties"),
        (totals.rounding, settings.adjustment_item, "Rounding"),
    ]
    for amount, item, text in plain:
        if amount is not None and amount.amount:
            yield _untaxed(amount, item, text, settings)


def _discount(order: Order, totals: Totals) -> Money | None:
    """All discounts, as the order states them, else its lines; net of tax where prices hold it."""
    priced = [*(order.line_items or ()), *(order.shipping_lines or ())]
    whole = totals.discount if totals.discount is not None else total(each.discount for each in priced)
    if whole is None or not whole.amount or not order.taxes_included:
        return whole
    off = [_net_off_of(each) for each in priced if each.discount is not None and each.discount.amount]
    return total(off) or whole


def _net_off_of(line: LineItem | ShippingLine) -> Money:
    gross = gross_of(line)
    off = line.discount
    if off is None or gross is None:
        raise PermanentError(f"line {line.title or line.id} has a discount, but no price")
    return _net(gross.rounded(), off, line.tax or _none(off), True)[1]


# --- a refund's parts -------------------------------------------------------------------------------------------


def _given_back(refund: Refund, order: Order | None) -> list[RefundLine]:
    """The lines that give back money. Where no order tells their rates, what only the refund states of tax is spread
    over those that are silent."""
    lines = [line for line in refund.lines or () if line.amount]
    silent = [line.amount.amount for line in lines if line.tax is None and line.amount]
    if refund.tax is None or not any(silent) or order is not None or (refund.shipping and refund.shipping.amount):
        return lines
    rest = refund.tax - (total([line.tax for line in lines]) or _none(refund.tax))
    shares = iter(max(rest, _none(rest)).allocate(silent))
    return [line if line.tax is not None else line.model_copy(update={"tax": next(shares)}) for line in lines]


def _holds_tax(refund: Refund, given: Iterable[RefundLine], order: Order | None) -> bool:
    """Whether a refund's prices hold tax: as its amount tells, where one reading makes that, else as its order says."""
    parts = total([*(line.amount for line in given), refund.shipping, refund.duty, refund.adjustment])
    if parts is not None and refund.amount is not None:
        if parts == refund.amount:
            return True
        if refund.tax is not None and parts + refund.tax == refund.amount:
            return False
    return bool(order and order.taxes_included)


def _tax_given_back(refund: Refund, parts: Iterable[Part], whole: Money) -> Money | None:
    """As the refund states it, or as its lines make it if with that they come to the whole: what is stated may be of
    the goods alone."""
    made, net = total([part.tax for part in parts]), total([part.net for part in parts])
    comes_out = made is not None and net is not None and net + made == whole
    return made if comes_out else refund.tax or made


def _is_all_of(refund: Refund, order: Order) -> bool:
    """Whether a refund that names no lines gives the whole order back."""
    same_tax = refund.tax is None or (order.totals is not None and refund.tax == order.totals.tax)
    return refund.amount == order.total and same_tax


def _tax_unknown(lines: Iterable[RefundLine], settings: Settings) -> bool:
    return settings.tax == "global" and any(line.tax is None for line in lines)


def _refunded(line: RefundLine, order: Order | None, included: bool, settings: Settings) -> Part:
    gross = line.amount
    if gross is None:
        raise PermanentError("a line of the refund states no amount")
    ids = {each.id: each for each in order.line_items or () if each.id} if order else {}
    ordered, gross, tax = ids.get(line.line_item_id or ""), gross.rounded(), line.tax or _none(gross)
    net = gross - tax if included else gross
    if _tax_unknown([line], settings):
        code = next(_item(ordered, order, settings)).code if ordered and order else _only_code(order, settings)
        net = _net_of(gross, code, settings) if included else gross
    else:
        code = _code(_tax_rate(ordered.tax_lines if ordered else None, tax, net, settings), tax, settings)
    title = line.title or (ordered.title if ordered else None) or line.sku or "Refund"
    sku = line.sku or (ordered.sku if ordered else None)
    item = _item_of(LineItem(title=title, sku=sku), settings)
    return Part(item, title, net, tax, code, None if line.quantity is None else Decimal(line.quantity))


def _share_of(line: ShippingLine, back: Money) -> ShippingLine:
    """The shipping line with as much of its tax as of its cost is given back."""
    cost, tax = line.price or line.total, line.tax or total([each.amount for each in line.tax_lines or ()])
    cost = cost - line.discount if cost and line.discount else cost
    if cost is None or tax is None or not cost.amount or back >= cost:
        return line
    return line.model_copy(update={"tax": _in_units(tax.amount * back.amount / cost.amount, tax.currency)})


def _whole_refund(refund: Refund, whole: Money, order: Order | None, settings: Settings) -> Part:
    text = f"Refund of order {order.number or order.id}" if order else "Refund"
    tax = refund.tax or _none(whole)
    if refund.tax is None and settings.tax == "global":
        code = _only_code(order, settings)
        return Part(Wanted(settings.sales_item), text, _net_of(whole, code, settings), tax, code)
    rates = None if tax.amount or order is None else order.tax_lines  # the refund's own tax says which, or how many
    code = _code(_tax_rate(rates, tax, whole - tax, settings), tax, settings)
    return Part(Wanted(settings.sales_item), text, whole - tax, tax, code)


def _only_code(order: Order | None, settings: Settings) -> str:
    """The tax code that all of an order bears."""
    why = "no order is given that tells it"
    if order is not None:
        parts = [part for part in draft_of_order(order, settings).parts if part.item.name != settings.adjustment_item]
        codes = {part.code for part in parts if part.net.amount}
        if len(codes) == 1:
            return codes.pop()
        why = "its order bears several tax rates"
    raise PermanentError(
        f"the refund does not state its tax, and {why}: give the refund with its `tax` (0 for none) or its lines"
        + ("" if order else ", or the `order`")
    )


def _net_of(gross: Money, code: str, settings: Settings) -> Money:
    """What is left of money once the tax of its code is out of it."""
    rate = next((Decimal(rate) for rate, known in settings.tax_codes.items() if known == code), Decimal(0))
    return _in_units(gross.amount / (1 + rate), gross.currency)


def _in_units(amount: Decimal, currency: str) -> Money:
    return Money(amount=amount.quantize(unit(currency), ROUND_HALF_UP), currency=currency)


# --- sums -------------------------------------------------------------------------------------------------------


def _draft(
    parts: list[Part],
    discount: Money | None,
    tax: Money | None,
    whole: Money,
    settings: Settings,
    order: Order | None,
    rest: str = "Rounding to the order's total",
) -> Draft:
    discount = discount if settings.tax == "us" else None
    tax = (tax or _none(whole)) if settings.tax == "us" else _tax_of_codes(parts, whole, settings)
    made = (total([part.net for part in parts]) or _none(whole)) + tax - (discount or _none(whole))
    missing = whole - made
    if missing.amount:
        parts = [*parts, _untaxed(missing, settings.adjustment_item, rest, settings)]
    if not parts:  # a document without a line is refused
        parts = [_untaxed(_none(whole), settings.sales_item, _name_of(order) if order else "Refund", settings)]
    for money in (whole, tax, discount, *(part.net for part in parts)):
        if money is not None:
            booked(money)
    return Draft(_taxable(parts, tax, settings), discount, tax, whole, missing if missing.amount else None)


def booked(money: Money) -> Money:
    """The same, where QuickBooks can keep it; else PermanentError."""
    if not money.is_rounded:
        raise PermanentError(f"{money} is not a whole number of the currency's units: round it first")
    if money.amount != round(money.amount, 2):
        raise PermanentError(f"{money} cannot be booked: QuickBooks keeps two decimals, whatever the currency")
    return money


def _taxable(parts: list[Part], tax: Money, settings: Settings) -> list[Part]:
    """US: a stated tax needs a taxable line to stand on."""
    if settings.tax != "us" or not tax.amount or not parts or any(part.code == "TAX" for part in parts):
        return parts
    return [replace(parts[0], code="TAX"), *parts[1:]]


def _tax_of_codes(parts: Iterable[Part], whole: Money, settings: Settings) -> Money:
    """What QuickBooks will compute: per tax code, the rate on the net sum, rounded."""
    rates = {code: Decimal(rate) for rate, code in settings.tax_codes.items()}
    sums: dict[str, Money] = defaultdict(lambda: _none(whole))
    for part in parts:
        sums[part.code] += part.net
    taxes = [(net * rates.get(code, Decimal(0))).rounded() for code, net in sums.items()]
    return total(taxes) or _none(whole)


def _net(gross: Money, off: Money, tax: Money, included: bool) -> tuple[Money, Money]:
    """Price and discount without tax, where `tax` is what the discounted price holds."""
    if not included or not tax.amount:
        return gross, off
    after = gross - off
    net_after = after - tax
    if not off.amount or not after.amount:
        return net_after + off, off
    net_off = _in_units(off.amount * net_after.amount / after.amount, off.currency)
    return net_after + net_off, net_off


def _untaxed(amount: Money, item: str, text: str, settings: Settings) -> Part:
    return Part(Wanted(item), text, amount, _none(amount), _code(Decimal(0), None, settings))


def _tax_rate(lines: Sequence[TaxLine] | None, tax: Money | None, net: Money, settings: Settings) -> Decimal:
    """The rate of a line: as stated, else what tax and net make: the nearest of the settings' that makes this tax to
    the unit, or the tenth of a percent."""
    stated = [line.rate for line in lines or () if line.rate is not None and line.amount and line.amount.amount]
    if stated:
        return sum(stated, Decimal(0))
    if tax is None or not tax.amount or not net.amount:
        return Decimal(0)
    made = tax.amount / net.amount
    nearest = min((Decimal(rate) for rate in settings.tax_codes), key=lambda rate: abs(rate - made), default=made)
    fits = abs(net.amount * nearest - tax.amount) <= unit(net.currency)
    return nearest if fits else made.quantize(Decimal("0.001"))


def _code(rate: Decimal, tax: Money | None, settings: Settings) -> str:
    if settings.tax == "us":
        return "TAX" if tax is not None and tax.amount else "NON"
    for stated, code in settings.tax_codes.items():
        if Decimal(stated) == rate:
            return code
    if not rate and settings.untaxed_code:
        return settings.untaxed_code
    raise PermanentError(
        f"no tax code for a rate of {rate.normalize():f}: add it to the connection's tax_codes"
        if rate
        else "no tax code for what bears no tax: set the connection's untaxed_code"
    )


def _item_of(line: LineItem, settings: Settings) -> Wanted:
    if settings.items == "one":
        return Wanted(settings.sales_item)
    name = " - ".join(part for part in (line.title, line.variant_title) if part) or line.sku
    return Wanted(item_name(name), item_sku(line.sku)) if name else Wanted(settings.sales_item)


def item_name(name: str) -> str:
    """As QuickBooks takes it: at most 100 characters."""
    return plain_name(name, 100) or "Item"


def plain_name(name: str, most: int) -> str:
    """Names hold no colon, tab or line break."""
    return " ".join(bookable(name).replace(":", " ").split())[:most].strip()


def item_sku(sku: str | None) -> str | None:
    """As QuickBooks keeps it: at most 100 characters."""
    return bookable(sku)[:100].strip() or None if sku else None


_BEYOND = re.compile("[\U00010000-\U0010ffff][\ufe0e\ufe0f\u200d]*|[\x00-\x08\x0b-\x1f\x7f]")


def bookable(text: str) -> str:
    """A text without what QuickBooks cannot keep. An emoji in a description makes it answer 500 for ever
    (intuit/QuickBooks-V3-PHP-SDK, issue 264), and its names take none."""
    return _BEYOND.sub("", text)


def _name_of(order: Order) -> str:
    return f"Order {order.number or order.id}"


def _none(money: Money) -> Money:
    return Money.zero(money.currency)
