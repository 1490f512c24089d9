"""The nouns beside the order: checkouts, disputes, returns, goods, subscriptions, bills, messages, the hub's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, computed_field

from app.events.money import Money
from app.events.order import (
    Address,
    Attribution,
    Consent,
    Customer,
    Discount,
    FreeDict,
    LineItem,
    Noun,
    Places,
    ShippingLine,
    TaxLine,
    Totals,
)
from app.events.values import Exact, Free, Quantity, Text, Time


class Checkout(Noun):
    """A purchase begun: it may become an order, or be abandoned."""

    id: Text = None
    token: Text = None
    cart_id: Text = None
    order_id: Text = None
    payment_id: Text = None
    subscription_id: Text = None
    status: Annotated[Text, Field(description="open, completed, expired")] = None
    payment_status: Annotated[Text, Field(description="paid, unpaid, no_payment_required")] = None
    mode: Annotated[Text, Field(description="payment, subscription, setup")] = None
    created_at: Time | None = None
    updated_at: Time | None = None
    completed_at: Time | None = None
    expires_at: Time | None = None
    url: Annotated[Text, Field(description="Where the buyer can go on")] = None
    customer: Customer | None = None
    email: Text = None
    phone: Text = None
    locale: Text = None
    email_consent: Consent | None = None
    sms_consent: Consent | None = None
    currency: Text = None
    presentment_currency: Text = None
    taxes_included: bool | None = None
    totals: Totals | None = None
    presentment: Totals | None = None
    tax_lines: list[TaxLine] | None = None
    line_items: list[LineItem] | None = None
    shipping_lines: list[ShippingLine] | None = None
    discounts: list[Discount] | None = None
    discount_codes: list[str] | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    note: Text = None
    attributes: FreeDict = Field(default_factory=dict)
    channel: Text = None
    source: Text = None
    attribution: Attribution | None = None
    gateway: Text = None
    test: bool | None = None
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)

    @computed_field(description="The grand total: totals.total")  # type: ignore[prop-decorator]
    @property
    def total(self) -> Money | None:
        return self.totals.total if self.totals else None


class Dispute(Noun):
    """A buyer asks money back through the bank or the processor."""

    id: Text = None
    order_id: Text = None
    payment_id: Text = None
    customer_id: Text = None
    kind: Annotated[Text, Field(description="chargeback, inquiry, claim")] = None
    amount: Money | None = None
    fee: Money | None = None
    net: Annotated[Money | None, Field(description="What it does to the balance, negative when money is taken")] = None
    reason: Text = None
    reason_code: Annotated[Text, Field(description="The network's own code")] = None
    status: Annotated[Text, Field(description="needs_response, under_review, accepted, won, lost, closed")] = None
    outcome: Text = None
    note: Text = None
    email: Text = None
    gateway: Text = None
    due_by: Annotated[Time | None, Field(description="Evidence must be in by then")] = None
    evidence_sent_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    closed_at: Time | None = None
    refundable: bool | None = None
    url: Text = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class ReturnLine(Noun):
    id: Text = None
    line_item_id: Text = None
    fulfillment_line_id: Text = None
    product_id: Text = None
    variant_id: Text = None
    sku: Text = None
    title: Text = None
    quantity: Quantity | None = None
    received_quantity: Quantity | None = None
    restocked_quantity: Quantity | None = None
    reason: Text = None
    note: Text = None


class Return(Noun):
    id: Text = None
    name: Text = None
    order_id: Text = None
    customer_id: Text = None
    status: Annotated[Text, Field(description="requested, open, declined, cancelled, received, closed")] = None
    reason: Text = None
    note: Text = None
    decline_reason: Text = None
    lines: list[ReturnLine] | None = None
    exchange_lines: list[LineItem] | None = None
    quantity: Quantity | None = None
    fee: Money | None = None
    refund_amount: Money | None = None
    tracking_company: Text = None
    tracking_numbers: list[str] | None = None
    tracking_urls: list[str] | None = None
    label_url: Text = None
    created_at: Time | None = None
    updated_at: Time | None = None
    received_at: Time | None = None
    closed_at: Time | None = None
    email: Text = None
    test: bool | None = None
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class Variant(Noun):
    id: Text = None
    product_id: Text = None
    title: Text = None
    sku: Text = None
    barcode: Text = None
    price: Money | None = None
    compare_at_price: Money | None = None
    cost: Money | None = None
    position: int | None = None
    taxable: bool | None = None
    tax_code: Text = None
    requires_shipping: bool | None = None
    weight: Annotated[Exact | None, Field(description="Grams")] = None
    inventory_item_id: Text = None
    inventory_quantity: Quantity | None = None
    track_inventory: bool | None = None
    backorder: Annotated[bool | None, Field(description="May be sold when there is none")] = None
    options: Places = Field(default_factory=dict)
    image_url: Text = None
    interval: Annotated[Text, Field(description="day, week, month, year: a recurring price")] = None
    interval_count: int | None = None
    active: bool | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    extra: FreeDict = Field(default_factory=dict)


class Product(Noun):
    id: Text = None
    title: Text = None
    handle: Text = None
    description: Text = None
    status: Annotated[Text, Field(description="active, draft, archived")] = None
    type: Text = None
    vendor: Text = None
    category: Text = None
    tags: list[str] | None = None
    currency: Text = None
    price: Annotated[Money | None, Field(description="The lowest, or the only one")] = None
    requires_shipping: bool | None = None
    variants: list[Variant] | None = None
    variants_complete: Annotated[bool | None, Field(description="False: the sender left some out")] = None
    options: list[str] | None = None
    url: Text = None
    image_urls: list[str] | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    published_at: Time | None = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class InventoryLevel(Noun):
    """How many of one item there are at one place."""

    item_id: Text = None
    variant_id: Text = None
    product_id: Text = None
    sku: Text = None
    title: Text = None
    location_id: Text = None
    location: Text = None
    available: Quantity | None = None
    before: Annotated[Quantity | None, Field(description="`available` before this change; None: not known")] = None
    on_hand: Quantity | None = None
    reserved: Quantity | None = None
    incoming: Quantity | None = None
    tracked: bool | None = None
    reason: Text = None
    updated_at: Time | None = None
    extra: FreeDict = Field(default_factory=dict)


class SubscriptionItem(Noun):
    id: Text = None
    product_id: Text = None
    variant_id: Annotated[Text, Field(description="Also the processor's price id")] = None
    sku: Text = None
    title: Text = None
    quantity: Quantity | None = None
    price: Annotated[Money | None, Field(description="Of one, per interval")] = None
    interval: Text = None
    interval_count: int | None = None
    current_period_start: Time | None = None
    current_period_end: Time | None = None


class Subscription(Noun):
    id: Text = None
    number: Text = None
    customer_id: Text = None
    customer: Customer | None = None
    email: Text = None
    order_id: Annotated[Text, Field(description="The order that began it")] = None
    latest_order_id: Text = None
    latest_invoice_id: Text = None
    payment_id: Text = None
    status: Annotated[
        Text,
        Field(description="incomplete, trialing, active, past_due, unpaid, paused, pending_cancel, cancelled, expired"),
    ] = None
    title: Text = None
    items: list[SubscriptionItem] | None = None
    amount: Annotated[Money | None, Field(description="Per interval")] = None
    currency: Text = None
    interval: Annotated[Text, Field(description="day, week, month, year")] = None
    interval_count: int | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    started_at: Time | None = None
    current_period_start: Time | None = None
    current_period_end: Time | None = None
    trial_start: Time | None = None
    trial_end: Time | None = None
    next_payment_at: Time | None = None
    paused_at: Time | None = None
    resumes_at: Time | None = None
    cancel_at_period_end: bool | None = None
    cancel_at: Time | None = None
    cancelled_at: Time | None = None
    ended_at: Time | None = None
    cancel_reason: Annotated[
        Text, Field(description="customer, seller, admin, payment_failed, fixed_period_ended, ...")
    ] = None
    cancel_comment: Text = None
    payment_method: Text = None
    payments_count: int | None = None
    failed_payments_count: int | None = None
    discounts: list[Discount] | None = None
    license_key: Text = None
    url: Text = None
    previous: Annotated[FreeDict, Field(description="What changed, as it was before, in the sender's words")] = Field(
        default_factory=dict
    )
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class InvoiceLine(Noun):
    id: Text = None
    product_id: Text = None
    variant_id: Text = None
    subscription_id: Text = None
    title: Text = None
    quantity: Quantity | None = None
    price: Money | None = None
    amount: Money | None = None
    tax: Money | None = None
    proration: bool | None = None
    period_start: Time | None = None
    period_end: Time | None = None


class Invoice(Noun):
    id: Text = None
    number: Text = None
    customer_id: Text = None
    customer: Customer | None = None
    email: Text = None
    order_id: Text = None
    subscription_id: Text = None
    payment_id: Text = None
    status: Annotated[Text, Field(description="draft, open, paid, voided, uncollectible")] = None
    billing_reason: Annotated[Text, Field(description="first, renewal, update, manual, ...")] = None
    currency: Text = None
    subtotal: Money | None = None
    discount: Money | None = None
    tax: Money | None = None
    total: Money | None = None
    amount_due: Money | None = None
    amount_paid: Money | None = None
    amount_remaining: Money | None = None
    lines: list[InvoiceLine] | None = None
    billing_address: Address | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    due_at: Time | None = None
    paid_at: Time | None = None
    voided_at: Time | None = None
    period_start: Time | None = None
    period_end: Time | None = None
    attempt: int | None = None
    next_attempt_at: Time | None = None
    error_code: Text = None
    error_message: Text = None
    paid_out_of_band: bool | None = None
    url: Text = None
    pdf_url: Text = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class Payout(Noun):
    """Money from the processor to the merchant's bank."""

    id: Text = None
    amount: Money | None = None
    fee: Money | None = None
    status: Annotated[Text, Field(description="pending, in_transit, paid, failed, canceled")] = None
    method: Text = None
    description: Text = None
    bank_name: Text = None
    bank_last4: Text = None
    failure_code: Text = None
    failure_message: Text = None
    automatic: bool | None = None
    created_at: Time | None = None
    arrives_at: Time | None = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)


class Review(Noun):
    id: Text = None
    product_id: Text = None
    order_id: Text = None
    customer: Customer | None = None
    rating: Exact | None = None
    best_rating: Annotated[Exact | None, Field(description="The most that can be given, mostly 5")] = None
    title: Text = None
    body: Text = None
    author: Text = None
    email: Text = None
    verified: bool | None = None
    status: Annotated[Text, Field(description="pending, published, rejected")] = None
    locale: Text = None
    url: Text = None
    image_urls: list[str] | None = None
    created_at: Time | None = None
    test: bool | None = None
    extra: FreeDict = Field(default_factory=dict)


class Message(Noun):
    """One message of a conversation with a customer."""

    id: Text = None
    conversation_id: Text = None
    channel: Annotated[Text, Field(description="chat, email, sms, form, ...")] = None
    direction: Annotated[Text, Field(description="in, out")] = None
    subject: Text = None
    body: Text = None
    author: Text = None
    email: Text = None
    phone: Text = None
    customer: Customer | None = None
    order_id: Text = None
    locale: Text = None
    url: Text = None
    attachment_urls: list[str] | None = None
    created_at: Time | None = None
    test: bool | None = None
    extra: FreeDict = Field(default_factory=dict)


class PrivacyRequest(Noun):
    id: Text = None
    kind: Annotated[Text, Field(description="data_request, customer_redact, shop_redact")] = None
    customer_id: Text = None
    email: Text = None
    phone: Text = None
    order_ids: list[str] | None = None
    shop: Text = None
    due_by: Time | None = None
    created_at: Time | None = None
    extra: FreeDict = Field(default_factory=dict)


class Shop(Noun):
    id: Text = None
    name: Text = None
    domain: Text = None
    email: Text = None
    phone: Text = None
    currency: Text = None
    locale: Text = None
    timezone: Text = None
    plan: Text = None
    address: Address | None = None
    extra: FreeDict = Field(default_factory=dict)


class HubTrouble(Noun):
    """Something that went wrong in the hub itself; many of one kind are one event with a `count`."""

    kind: Text = None
    title: Text = None
    reason: Text = None
    connection: Text = None
    recipe: Text = None
    step: Text = None
    action: Text = None
    run_id: Text = None
    call_id: Text = None
    event_id: Text = None
    count: int | None = None
    first_at: Time | None = None
    last_at: Time | None = None
    url: Annotated[Text, Field(description="Where in the hub to look")] = None
    details: FreeDict = Field(default_factory=dict)


class Slot(Noun):
    """A time at which a schedule was due."""

    recipe: Text = None
    schedule: Text = None
    timezone: Text = None
    at: Time | None = None
    previous_at: Time | None = None


Data = dict[str, Free]
"""What a recipe emits."""
