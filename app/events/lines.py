"""What stands on an order or checkout: lines, taxes, discounts, totals, risk, attribution."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.events.amounts import Money
from app.events.parties import FreeDict, Noun
from app.events.values import Exact, Quantity, Text


class TaxLine(Noun):
    title: Text = None
    rate: Annotated[Exact | None, Field(description="0.19 for 19 %")] = None
    amount: Money | None = None
    code: Text = None
    jurisdiction: Text = None
    channel_liable: Annotated[bool | None, Field(description="The marketplace pays it, not the shop")] = None


class Discount(Noun):
    """A discount, or the part of one that a line bears."""

    code: Text = None
    title: Text = None
    type: Annotated[Text, Field(description="code, automatic, manual, script")] = None
    value: Exact | None = None
    value_type: Annotated[Text, Field(description="percentage, fixed_amount")] = None
    amount: Money | None = None
    target: Annotated[Text, Field(description="line_item, shipping, order")] = None


class LineAmounts(Noun):
    """A line's amounts in the buyer's currency."""

    price: Money | None = None
    subtotal: Money | None = None
    discount: Money | None = None
    tax: Money | None = None
    total: Money | None = None


class LineItem(Noun):
    """One position. Tips, fees, shipping and gift cards used to pay are not line items; a gift card sold is one."""

    id: Text = None
    product_id: Text = None
    variant_id: Text = None
    sku: Text = None
    barcode: Text = None
    title: Text = None
    variant_title: Text = None
    vendor: Text = None
    category: Text = None
    quantity: Annotated[Quantity | None, Field(description="As ordered")] = None
    current_quantity: Annotated[Quantity | None, Field(description="After edits and refunds")] = None
    fulfillable_quantity: Quantity | None = None
    price: Annotated[Money | None, Field(description="Of one, before discounts; with tax if taxes_included")] = None
    subtotal: Annotated[Money | None, Field(description="price x quantity, before discounts")] = None
    discount: Annotated[Money | None, Field(description="All discounts on this line, not negative")] = None
    tax: Money | None = None
    total: Annotated[Money | None, Field(description="subtotal - discount, as taxed as price is")] = None
    presentment: LineAmounts | None = None
    tax_lines: list[TaxLine] | None = None
    discounts: list[Discount] | None = None
    taxable: bool | None = None
    tax_code: Text = None
    requires_shipping: Annotated[bool | None, Field(description="False: digital, a service, or a gift card")] = None
    gift_card: bool | None = None
    weight: Annotated[Exact | None, Field(description="Grams of one")] = None
    fulfillment_status: Annotated[Text, Field(description="unfulfilled, partial, fulfilled, restocked")] = None
    subscription_id: Text = None
    parent_id: Annotated[Text, Field(description="The line of the bundle that this belongs to")] = None
    license_key: Text = None
    url: Text = None
    image_url: Text = None
    properties: FreeDict = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class ShippingLine(Noun):
    id: Text = None
    title: Text = None
    code: Text = None
    carrier: Text = None
    source: Text = None
    kind: Annotated[Text, Field(description="shipping, local, pickup_point, pickup")] = None
    price: Annotated[Money | None, Field(description="Before discounts")] = None
    discount: Money | None = None
    tax: Money | None = None
    total: Annotated[Money | None, Field(description="price - discount")] = None
    presentment: LineAmounts | None = None
    tax_lines: list[TaxLine] | None = None
    discounts: list[Discount] | None = None
    phone: Text = None


class Fee(Noun):
    id: Text = None
    title: Text = None
    amount: Money | None = None
    tax: Money | None = None
    tax_lines: list[TaxLine] | None = None
    taxable: bool | None = None


class Totals(Noun):
    """items + shipping + fees + tip + duty + rounding - discount (+ tax, unless taxes are included) = total.

    `items` and `shipping` are before discounts; `discount` is all discounts, not negative. What was paid by gift card
    is in `paid`.
    """

    items: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    discount: Money | None = None
    fees: Money | None = None
    tip: Money | None = None
    duty: Money | None = None
    rounding: Money | None = None
    total: Money | None = None
    paid: Money | None = None
    refunded: Money | None = None
    outstanding: Money | None = None


class Discrepancy(Noun):
    """Amounts that do not add up: what the sender's total is more than its parts (negative: less)."""

    amount: Money
    note: str


class Risk(Noun):
    level: Annotated[Text, Field(description="none, low, medium, high, pending")] = None
    recommendation: Annotated[Text, Field(description="accept, investigate, cancel, none")] = None
    score: Exact | None = None
    facts: list[str] | None = None


class Attribution(Noun):
    """Where the buyer came from."""

    source: Text = None
    medium: Text = None
    campaign: Text = None
    term: Text = None
    content: Text = None
    referrer: Text = None
    landing_page: Text = None
    device: Text = None
    type: Text = None
    extra: FreeDict = Field(default_factory=dict)
