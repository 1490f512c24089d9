"""What is billed again and again: subscriptions and invoices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.events.amounts import Money
from app.events.lines import Discount
from app.events.parties import Address, Customer, FreeDict, LateNoun, Places
from app.events.values import Quantity, Text, Time


class SubscriptionItem(LateNoun):
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


class Subscription(LateNoun):
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


class InvoiceLine(LateNoun):
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


class Invoice(LateNoun):
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
