"""The nouns around an order: addresses, customers, amounts, lines, and the order itself.

A sender that does not say a thing leaves None: also for lists, where [] says "none of them". Words of a vocabulary are
kept as the sender's if they are not among those named. Amounts are in the shop's currency unless `presentment` says so.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, computed_field

from app.events.money import Money
from app.events.values import Exact, Free, Quantity, Text, Time

Places = dict[str, str]
"""Name of a system or of a link -> id or URL."""
FreeDict = dict[str, Free]


class Noun(BaseModel):
    """What all canonical models have in common: frozen, and a newer version's optional fields do not break a reader."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Address(Noun):
    id: Text = None
    first_name: Text = None
    last_name: Text = None
    name: Text = None
    company: Text = None
    address1: Text = None
    address2: Text = None
    city: Text = None
    province: Text = None
    province_code: Text = None
    postal_code: Text = None
    country: Text = None
    country_code: Annotated[Text, Field(description="ISO 3166-1 alpha-2")] = None
    phone: Text = None
    email: Text = None
    latitude: Exact | None = None
    longitude: Exact | None = None
    tax_number: Text = None
    is_default: bool | None = None


class Consent(Noun):
    """Whether messages are wanted on one channel. `granted` None: not known; nobody may be written to on a guess."""

    granted: bool | None = None
    state: Annotated[
        Text, Field(description="subscribed, pending, not_subscribed, unsubscribed, invalid, redacted")
    ] = None
    level: Annotated[Text, Field(description="single_opt_in, confirmed_opt_in, unknown")] = None
    at: Time | None = None
    source: Text = None


class Customer(Noun):
    """A buyer. A guest has no `id`. The fields from `order_number` on are what the hub knew when the event was made."""

    id: Text = None
    email: Text = None
    phone: Text = None
    first_name: Text = None
    last_name: Text = None
    name: Text = None
    company: Text = None
    locale: Annotated[Text, Field(description="BCP 47, as the sender writes it")] = None
    timezone: Text = None
    currency: Text = None
    email_consent: Consent | None = None
    sms_consent: Consent | None = None
    email_verified: bool | None = None
    state: Annotated[Text, Field(description="disabled, invited, enabled, declined")] = None
    tags: list[str] | None = None
    addresses: list[Address] | None = None
    default_address: Address | None = None
    orders_count: int | None = None
    total_spent: Money | None = None
    last_order_id: Text = None
    tax_exempt: bool | None = None
    tax_numbers: list[str] | None = None
    note: Text = None
    created_at: Time | None = None
    updated_at: Time | None = None
    url: Text = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)
    order_number: Annotated[int | None, Field(description="This is the customer's n-th order; None: not known")] = None
    lifetime_value: Annotated[
        list[Money] | None, Field(description="What was paid so far, one amount per currency")
    ] = None
    first_order_at: Time | None = None
    attributes: Annotated[FreeDict, Field(description="What recipes remembered with `set`")] = Field(
        default_factory=dict
    )


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


class Payment(Noun):
    """One movement or attempt of money from a buyer."""

    id: Text = None
    order_id: Text = None
    checkout_id: Text = None
    invoice_id: Text = None
    subscription_id: Text = None
    customer_id: Text = None
    parent_id: Annotated[Text, Field(description="The authorization that a capture belongs to")] = None
    kind: Annotated[Text, Field(description="authorization, capture, sale, void, refund")] = None
    status: Annotated[
        Text,
        Field(
            description="pending, requires_action, authorized, succeeded, partially_captured, failed, voided, expired"
        ),
    ] = None
    amount: Money | None = None
    presentment: Annotated[Money | None, Field(description="The amount that the buyer saw")] = None
    authorized: Money | None = None
    captured: Money | None = None
    refunded: Money | None = None
    tip: Money | None = None
    fee: Money | None = None
    net: Money | None = None
    gateway: Text = None
    method: Annotated[Text, Field(description="card, paypal, gift_card, bank_transfer, cash, ...")] = None
    card_brand: Text = None
    card_last4: Text = None
    card_country: Text = None
    email: Text = None
    name: Text = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    description: Text = None
    error_code: Text = None
    error_message: Text = None
    attempt: int | None = None
    next_attempt_at: Time | None = None
    risk: Risk | None = None
    disputed: bool | None = None
    receipt_url: Text = None
    url: Text = None
    created_at: Time | None = None
    updated_at: Time | None = None
    authorized_at: Time | None = None
    captured_at: Time | None = None
    expires_at: Time | None = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class RefundLine(Noun):
    id: Text = None
    line_item_id: Text = None
    product_id: Text = None
    variant_id: Text = None
    sku: Text = None
    title: Text = None
    quantity: Quantity | None = None
    amount: Annotated[Money | None, Field(description="Without tax unless taxes are included, not negative")] = None
    tax: Money | None = None
    restocked: bool | None = None
    restock_type: Annotated[Text, Field(description="no_restock, cancel, return")] = None
    location_id: Text = None


class Refund(Noun):
    """Money (or only goods) given back. Amounts are not negative."""

    id: Text = None
    order_id: Text = None
    payment_id: Text = None
    customer_id: Text = None
    return_id: Text = None
    amount: Annotated[Money | None, Field(description="Of this refund alone")] = None
    presentment: Money | None = None
    total_refunded: Annotated[Money | None, Field(description="Of the payment or order, this refund included")] = None
    is_full: bool | None = None
    status: Annotated[Text, Field(description="pending, succeeded, failed, canceled")] = None
    reason: Text = None
    note: Text = None
    lines: list[RefundLine] | None = None
    items: Annotated[Money | None, Field(description="The part that is for goods")] = None
    shipping: Money | None = None
    tax: Money | None = None
    duty: Money | None = None
    adjustment: Annotated[Money | None, Field(description="What neither lines nor shipping explain")] = None
    fee: Money | None = None
    payments: Annotated[list[Payment] | None, Field(description="The movements of money, if the sender says them")] = (
        None
    )
    gateway: Text = None
    failure_reason: Text = None
    created_at: Time | None = None
    updated_at: Time | None = None
    processed_at: Time | None = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class FulfillmentLine(Noun):
    id: Text = None
    line_item_id: Text = None
    product_id: Text = None
    variant_id: Text = None
    sku: Text = None
    title: Text = None
    variant_title: Text = None
    quantity: Quantity | None = None
    price: Money | None = None
    requires_shipping: bool | None = None


class Fulfillment(Noun):
    """A parcel, or a digital delivery."""

    id: Text = None
    order_id: Text = None
    name: Text = None
    status: Annotated[Text, Field(description="pending, open, success, cancelled, error, failure")] = None
    shipment_status: Annotated[
        Text,
        Field(
            description="label_purchased, label_printed, confirmed, ready_for_pickup, picked_up, in_transit, delayed, "
            "out_for_delivery, attempted_delivery, delivered, failure"
        ),
    ] = None
    message: Text = None
    tracking_company: Text = None
    tracking_numbers: list[str] | None = None
    tracking_urls: list[str] | None = None
    service: Text = None
    lines: list[FulfillmentLine] | None = None
    location_id: Text = None
    origin: Address | None = None
    destination: Address | None = None
    email: Text = None
    label_url: Text = None
    estimated_delivery_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    shipped_at: Time | None = None
    delivered_at: Time | None = None
    test: bool | None = None
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class Order(Noun):
    """An order, or a sale at a processor without a shop."""

    id: Text = None
    number: Annotated[Text, Field(description="As buyers see it (#1001): never an identity")] = None
    created_at: Time | None = None
    updated_at: Time | None = None
    processed_at: Time | None = None
    paid_at: Time | None = None
    fulfilled_at: Time | None = None
    closed_at: Time | None = None
    cancelled_at: Time | None = None
    cancel_reason: Annotated[Text, Field(description="customer, fraud, inventory, declined, staff, other")] = None
    status: Annotated[
        Text, Field(description="open, pending, processing, on_hold, completed, closed, cancelled, failed, draft")
    ] = None
    payment_status: Annotated[
        Text,
        Field(
            description="pending, authorized, partially_paid, paid, partially_refunded, refunded, voided, expired, failed"
        ),
    ] = None
    fulfillment_status: Annotated[Text, Field(description="unfulfilled, partial, fulfilled, restocked, on_hold")] = None
    currency: Annotated[Text, Field(description="The shop's")] = None
    presentment_currency: Annotated[Text, Field(description="The buyer's")] = None
    taxes_included: bool | None = None
    tax_exempt: bool | None = None
    totals: Annotated[Totals | None, Field(description="As ordered")] = None
    current: Annotated[Totals | None, Field(description="As it stands now, after edits and refunds")] = None
    presentment: Annotated[Totals | None, Field(description="As ordered, in the buyer's currency")] = None
    presentment_current: Annotated[Totals | None, Field(description="As it stands now, in the buyer's currency")] = None
    tax_lines: list[TaxLine] | None = None
    line_items: list[LineItem] | None = None
    shipping_lines: list[ShippingLine] | None = None
    fee_lines: list[Fee] | None = None
    discounts: list[Discount] | None = None
    discount_codes: list[str] | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    customer: Customer | None = None
    email: Text = None
    phone: Text = None
    locale: Text = None
    email_consent: Consent | None = None
    sms_consent: Consent | None = None
    tags: list[str] | None = None
    note: Text = None
    attributes: Annotated[FreeDict, Field(description="Note attributes, custom fields, metadata of the sale")] = Field(
        default_factory=dict
    )
    risk: Risk | None = None
    channel: Annotated[Text, Field(description="web, pos, draft_order, marketplace, subscription, api, admin, ...")] = (
        None
    )
    source: Annotated[Text, Field(description="The sender's own word for the channel")] = None
    app_id: Text = None
    location_id: Text = None
    staff_id: Text = None
    ip_address: Text = None
    attribution: Attribution | None = None
    gateways: list[str] | None = None
    payments: list[Payment] | None = None
    refunds: list[Refund] | None = None
    fulfillments: list[Fulfillment] | None = None
    payment_terms_due_at: Time | None = None
    weight: Annotated[Exact | None, Field(description="Grams")] = None
    checkout_id: Text = None
    cart_id: Text = None
    subscription_id: Text = None
    invoice_id: Text = None
    payment_id: Text = None
    external_ids: Annotated[Places, Field(description="How other systems know it: stripe_payment_intent -> pi_...")] = (
        Field(default_factory=dict)
    )
    links: Annotated[Places, Field(description="status, admin, invoice ... -> URL")] = Field(default_factory=dict)
    test: bool | None = None
    discrepancy: Discrepancy | None = None
    extra: FreeDict = Field(default_factory=dict)

    @computed_field(description="The grand total as ordered: totals.total")  # type: ignore[prop-decorator]
    @property
    def total(self) -> Money | None:
        return self.totals.total if self.totals else None
