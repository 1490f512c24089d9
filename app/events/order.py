"""An order, and the checkout that it may come from.

Amounts are in the shop's currency unless `presentment` says so.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, computed_field

from app.events.amounts import Money
from app.events.lines import Attribution, Discount, Discrepancy, Fee, LineItem, Risk, ShippingLine, TaxLine, Totals
from app.events.moves import Fulfillment, Payment, Refund
from app.events.parties import Address, Consent, Customer, FreeDict, Noun, Places
from app.events.values import Exact, Text, Time


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
        Field(description="pending, authorized, partially_paid, paid, partially_refunded, refunded, voided, expired"),
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
