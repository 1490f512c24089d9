"""The lines of an order or checkout: goods, shipping, fees, taxes, discounts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.events import Money
from connectors.shopify.reading import (
    EXACT,
    NOTHING,
    PRESENTMENT,
    SHOP,
    Body,
    added,
    amount_of,
    exactly,
    ident,
    listed,
    names_and_values,
    number,
    table,
    take,
)

_LINE = table(
    "sku title variant_title vendor quantity current_quantity fulfillable_quantity taxable requires_shipping gift_card",
    weight="grams",
)
_SHIPPING = table("title code source phone", carrier="carrier_identifier", kind="delivery_category")
_LINE_EXTRA = ("sales_line_item_group_id", "selling_plan_allocation", "duties")
_DISCOUNT_TYPES: dict[Any, str] = {"discount_code": "code"}
_TARGETS: dict[Any, str] = {"shipping_line": "shipping"}
STATES = {None: "unfulfilled", "pending": "unfulfilled", "unshipped": "unfulfilled"}
"""Shopify's fulfillment_status where it differs from ours."""


def is_tip(line: Body) -> bool:
    return line.get("tip") is not None


def line_items(body: Body, currency: str | None, buyers: str | None) -> list[Body] | None:
    """The goods, without tips. `buyers` is the presentment currency if it is another than the shop's."""
    lines = body.get("line_items")
    if lines is None:
        return None
    applications = listed(body.get("discount_applications"))
    return [_line(line, currency, buyers, applications) for line in lines if not is_tip(line)]


def _line(line: Body, currency: str | None, buyers: str | None, applications: list[Body]) -> Body:
    found = take(_LINE, line)
    get = line.get
    found["id"] = ident(get("id")) or get("key")
    found["product_id"], found["variant_id"] = ident(get("product_id")), ident(get("variant_id"))
    found["title"] = get("title") or get("name")
    if "fulfillment_status" in line:
        found["fulfillment_status"] = STATES.get(get("fulfillment_status"), get("fulfillment_status"))
    found.update(_amounts(line, currency, SHOP))
    if buyers:
        found["presentment"] = _amounts(line, buyers, PRESENTMENT)
    found["tax_lines"] = tax_lines(get("tax_lines"), currency)
    if allocations := get("discount_allocations"):
        found["discounts"] = [_share(each, currency, applications) for each in allocations]
    if properties := get("properties"):
        found["properties"] = names_and_values(properties)
    if extra := {name: line[name] for name in _LINE_EXTRA if line.get(name)}:
        found["extra"] = extra
    return found


def _amounts(line: Body, currency: str | None, side: str) -> dict[str, Money | None]:
    """Price, subtotal, discount, tax, total of a line on one side."""
    price = amount_of(line, "price", currency, side)
    if price is None or not currency:
        return {"price": price}
    subtotal = EXACT.multiply(price.amount, Decimal(number(line.get("quantity")) or 0))
    discount = _off(line, currency, side)
    return {
        "price": price,
        "subtotal": exactly(subtotal, currency),
        "discount": exactly(discount, currency),
        "tax": _tax(line.get("tax_lines"), currency, side),
        "total": exactly(EXACT.subtract(subtotal, discount), currency),
    }


def _off(line: Body, currency: str, side: str) -> Decimal:
    """All discounts on a line: its shares of every discount, or (bodies before 2018) its own alone."""
    allocations = line.get("discount_allocations")
    if allocations:
        return added(amount_of(each, "amount", currency, side) for each in allocations)
    own = amount_of(line, "total_discount", currency, side)
    return NOTHING if own is None else own.amount


def _tax(lines: Any, currency: str, side: str) -> Money | None:
    if lines is None:
        return None
    if len(lines) == 1 and (only := amount_of(lines[0], "price", currency, side)) and only.currency == currency:
        return only
    return exactly(added(amount_of(each, "price", currency, side) for each in lines), currency)


def tax_lines(lines: Any, currency: str | None) -> list[Body] | None:
    if lines is None:
        return None
    return [
        {
            "title": each.get("title"),
            "rate": number(each.get("rate")),
            "amount": amount_of(each, "price", currency),
            "channel_liable": each.get("channel_liable"),
        }
        for each in lines
    ]


def _share(allocation: Body, currency: str | None, applications: list[Body]) -> Body:
    """What a line bears of one discount."""
    index: Any = allocation.get("discount_application_index")
    known = isinstance(index, int) and 0 <= index < len(applications)
    of = _discount(applications[index]) if known else {}
    return {**of, "amount": amount_of(allocation, "amount", currency)}


def _discount(application: Body) -> Body:
    type_, target = application.get("type"), application.get("target_type")
    return {
        "code": application.get("code"),
        "title": application.get("title") or application.get("description"),
        "type": _DISCOUNT_TYPES.get(type_, type_),
        "value": number(application.get("value")),
        "value_type": application.get("value_type"),
        "target": _TARGETS.get(target, target),
    }


def discounts(body: Body, currency: str | None) -> list[Body] | None:
    """The order's discounts with what each took off in all. Old bodies know codes only."""
    applications = body.get("discount_applications")
    if applications is None:
        return _codes(body.get("discount_codes"), currency)
    if not applications or not currency:
        return [_discount(each) for each in applications]
    off: dict[Any, Decimal] = {}
    for line in (*listed(body.get("line_items")), *listed(body.get("shipping_lines"))):
        for share in listed(line.get("discount_allocations")):
            amount = amount_of(share, "amount", currency)
            index = share.get("discount_application_index")
            off[index] = EXACT.add(off.get(index, NOTHING), NOTHING if amount is None else amount.amount)
    return [
        {**_discount(each), "amount": exactly(off[index], currency) if index in off else None}
        for index, each in enumerate(applications)
    ]


def _codes(codes: Any, currency: str | None) -> list[Body] | None:
    if codes is None:
        return None
    return [
        {
            "code": each.get("code"),
            "type": "code",
            "value_type": each.get("type"),
            "amount": money_of_code(each, currency),
        }
        for each in codes
    ]


def money_of_code(code: Body, currency: str | None) -> Money | None:
    """A percentage code states the amount that it took off, not the percentage."""
    return amount_of(code, "amount", currency)


def shipping_lines(body: Body, currency: str | None, buyers: str | None) -> list[Body] | None:
    lines = body.get("shipping_lines")
    if lines is None:
        return None
    applications = listed(body.get("discount_applications"))
    return [_shipping(line, currency, buyers, applications) for line in lines if not line.get("is_removed")]


def _shipping(line: Body, currency: str | None, buyers: str | None, applications: list[Body]) -> Body:
    found = take(_SHIPPING, line)
    found["id"] = ident(line.get("id"))
    found.update(_charged(line, currency, SHOP))
    if buyers:
        found["presentment"] = {**_charged(line, buyers, PRESENTMENT)}
    found["tax_lines"] = tax_lines(line.get("tax_lines"), currency)
    if allocations := line.get("discount_allocations"):
        found["discounts"] = [_share(each, currency, applications) for each in allocations]
    return found


def _charged(line: Body, currency: str | None, side: str) -> dict[str, Money | None]:
    price = amount_of(line, "price", currency, side)
    if price is None or not currency:
        return {"price": price}
    after = amount_of(line, "discounted_price", currency, side)
    shares = line.get("discount_allocations")
    off = added(amount_of(each, "amount", currency, side) for each in shares) if shares else NOTHING
    if after is not None and not off:
        off = EXACT.subtract(price.amount, after.amount)
    return {
        "price": price,
        "discount": exactly(off, currency),
        "tax": _tax(line.get("tax_lines"), currency, side),
        "total": exactly(EXACT.subtract(price.amount, off), currency),
    }


def fee_lines(body: Body, currency: str | None) -> list[Body] | None:
    """`additional_fees` (import fees, for one); None where the body has no such list."""
    fees = body.get("additional_fees")
    if fees is None:
        return None
    return [
        {
            "id": ident(each.get("id")),
            "title": each.get("name"),
            "amount": amount_of(each, "price", currency),
            "tax_lines": tax_lines(each.get("tax_lines"), currency),
        }
        for each in fees
    ]
