"""What stands on an order: lines, shipping, fees, taxes, coupons, and the sums that they make.

All amounts of an order's lines are net of tax, whatever `prices_include_tax` says of the catalogue: so an order says
`taxes_included: false`, and its tax stands beside.
"""

from collections.abc import Sequence
from decimal import Decimal
from html import unescape

from app.connector import Json
from app.events import Discount, Fee, LineItem, Money, Quantity, ShippingLine, TaxLine, Totals, total
from connectors.woocommerce.fields import Body, amount, ident, meta, nested, number, quantity, rows, text, title

_TIPS = frozenset({"tip", "tips", "gratuity", "trinkgeld", "pourboire", "propina", "mancia"})
_PICKUP = ("local_pickup", "pickup_location")


def line_items(body: Body, currency: str | None) -> list[LineItem]:
    rates = _rates(body)
    return [_line(row, currency, rates) for row in rows(body, "line_items")]


def _line(row: Body, currency: str | None, rates: dict[str, tuple[str | None, Decimal | None]]) -> LineItem:
    before, after = amount(row, "subtotal", currency), amount(row, "total", currency)
    count = quantity(row, "quantity")
    return LineItem(
        id=ident(row, "id"),
        product_id=ident(row, "product_id"),
        variant_id=ident(row, "variation_id"),
        sku=text(row, "sku"),
        title=title(row, "name"),
        variant_title=_variant(row) if ident(row, "variation_id") else None,
        quantity=count,
        price=_of_one(before, count),
        subtotal=before,
        discount=_difference(before, after),
        tax=amount(row, "total_tax", currency),
        total=after,
        tax_lines=_line_taxes(row, currency, rates),
        tax_code=text(row, "tax_class"),
        parent_id=ident(row, "bundled_by") or ident(row, "composite_parent"),
        image_url=text(nested(row, "image"), "src"),
        properties=_properties(row),
    )


def _difference(before: Money | None, after: Money | None) -> Money | None:
    if before is None or after is None:
        return None
    return Money.zero(before.currency) if before.amount == after.amount else before - after


def _of_one(subtotal: Money | None, count: Quantity | None) -> Money | None:
    """Before discounts and tax, to six decimals: WooCommerce's own `price` is after discounts."""
    if subtotal is None or not count or count == 1:
        return subtotal if count else None
    one = (subtotal.amount / Decimal(count)).quantize(Decimal("0.000001"))
    shown = max(2, -int(one.normalize().as_tuple().exponent))
    return Money(amount=one.quantize(Decimal(1).scaleb(-shown)), currency=subtotal.currency)


def _properties(row: Body) -> dict[str, Json]:
    """What buyers see of a line's meta data, under the names that they see."""
    return {
        title(each, "display_key") or str(each["key"]): each.get("display_value") or each.get("value")
        for each in rows(row, "meta_data")
        if not str(each.get("key", "_")).startswith("_")
    }


def _variant(row: Body) -> str | None:
    """`Small, Red`, of the attributes that buyers see."""
    return ", ".join(unescape(value) for value in _properties(row).values() if isinstance(value, str)) or None


def _rates(body: Body) -> dict[str, tuple[str | None, Decimal | None]]:
    """Rate id -> (label, rate as a share of one)."""
    return {
        rate: (text(row, "label"), _share(row)) for row in rows(body, "tax_lines") if (rate := ident(row, "rate_id"))
    }


def _share(row: Body) -> Decimal | None:
    percent = number(row.get("rate_percent"))
    return None if percent is None else percent.scaleb(-2)


def _line_taxes(
    row: Body, currency: str | None, rates: dict[str, tuple[str | None, Decimal | None]]
) -> list[TaxLine] | None:
    found = []
    for tax in rows(row, "taxes"):
        label, rate = rates.get(ident(tax, "id") or "", (None, None))
        if (money := amount(tax, "total", currency)) is not None:
            found.append(TaxLine(title=label, rate=rate, amount=money))
    return found or None


def tax_lines(body: Body, currency: str | None) -> list[TaxLine]:
    return [
        TaxLine(
            title=title(row, "label"),
            rate=_share(row),
            amount=total([amount(row, "tax_total", currency), amount(row, "shipping_tax_total", currency)]),
            code=text(row, "rate_code"),
        )
        for row in rows(body, "tax_lines")
    ]


def shipping_lines(body: Body, currency: str | None) -> list[ShippingLine]:
    return [_shipping(row, currency) for row in rows(body, "shipping_lines")]


def _shipping(row: Body, currency: str | None) -> ShippingLine:
    method, price = text(row, "method_id"), amount(row, "total", currency)
    return ShippingLine(
        id=ident(row, "id"),
        title=title(row, "method_title"),
        code=method,
        kind="pickup" if method and method.startswith(_PICKUP) else "shipping",
        price=price,
        tax=amount(row, "total_tax", currency),
        total=price,
    )


def fees(body: Body, currency: str | None) -> list[Fee]:
    return [
        Fee(
            id=ident(row, "id"),
            title=title(row, "name"),
            amount=amount(row, "total", currency),
            tax=amount(row, "total_tax", currency),
            taxable=None if text(row, "tax_status") is None else text(row, "tax_status") == "taxable",
        )
        for row in rows(body, "fee_lines")
    ]


def is_tip(fee: Fee) -> bool:
    return (fee.title or "").casefold().strip(" :") in _TIPS


def coupons(body: Body, currency: str | None) -> list[Discount]:
    return [_coupon(row, currency) for row in rows(body, "coupon_lines")]


def _coupon(row: Body, currency: str | None) -> Discount:
    """The kind and value of a coupon stand on the line since WooCommerce 8, before that in a dump of the PHP object."""
    dump: Json = meta(row).get("coupon_data")
    rule = row if "discount_type" in row else dump if isinstance(dump, dict) else {}
    kind = text(rule, "discount_type")
    return Discount(
        code=text(row, "code"),
        type="code",
        amount=amount(row, "discount", currency),
        value=number(rule.get("nominal_amount", rule.get("amount"))),
        value_type=None if kind is None else "percentage" if "percent" in kind else "fixed_amount",
        target="order",
    )


def totals(
    body: Body,
    currency: str | None,
    lines: Sequence[LineItem],
    extra: Sequence[Fee],
    paid: bool | None,
    refunded: Money | None,
) -> Totals:
    """The sums as ordered: goods before discounts, so that items + shipping + fees + tip - discount + tax = total.

    extra: fees with tips. paid: None where a part was paid, and WooCommerce does not say how much.
    """
    grand = amount(body, "total", currency)
    nothing = None if grand is None else Money.zero(grand.currency)
    return Totals(
        items=total(line.subtotal for line in lines) or _none_of(body, currency),
        shipping=amount(body, "shipping_total", currency),
        tax=amount(body, "total_tax", currency),
        discount=amount(body, "discount_total", currency),
        fees=total(fee.amount for fee in extra if not is_tip(fee)),
        tip=total(fee.amount for fee in extra if is_tip(fee)),
        total=grand,
        paid=None if paid is None else grand if paid else nothing,
        refunded=refunded,
        outstanding=None if paid is None else nothing if paid else grand,
    )


def _none_of(body: Body, currency: str | None) -> Money | None:
    """An order without goods (a fee, a manual order) has items worth nothing."""
    return Money.zero(currency) if currency and body.get("line_items") == [] else None
