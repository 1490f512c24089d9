"""What moves for an order: money (payments, refunds, disputes, payouts) and goods (fulfilments, returns)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.events.amounts import Money
from app.events.lines import LineItem, Risk
from app.events.parties import Address, FreeDict, LateNoun, Places
from app.events.values import Quantity, Text, Time


class Payment(LateNoun):
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


class RefundLine(LateNoun):
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


class Refund(LateNoun):
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


class Dispute(LateNoun):
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


class Payout(LateNoun):
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


class FulfillmentLine(LateNoun):
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


class Fulfillment(LateNoun):
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


class ReturnLine(LateNoun):
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


class Return(LateNoun):
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
