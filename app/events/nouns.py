"""The nouns beside the order: goods, reviews, messages, privacy requests, shops, and the hub's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.events.amounts import Money
from app.events.parties import Address, Customer, FreeDict, LateNoun, Places
from app.events.values import Exact, Id, Quantity, Text, Time


class Variant(LateNoun):
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


class Product(LateNoun):
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


class InventoryLevel(LateNoun):
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


class Review(LateNoun):
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


class Message(LateNoun):
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


class PrivacyRequest(LateNoun):
    id: Text = None
    kind: Annotated[Text, Field(description="data_request, customer_redact, shop_redact")] = None
    customer_id: Text = None
    email: Text = None
    phone: Text = None
    order_ids: list[Id] | None = None
    shop: Text = None
    due_by: Time | None = None
    created_at: Time | None = None
    extra: FreeDict = Field(default_factory=dict)


class Shop(LateNoun):
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


class HubTrouble(LateNoun):
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


class Slot(LateNoun):
    """A time at which a schedule was due."""

    recipe: Text = None
    schedule: Text = None
    timezone: Text = None
    at: Time | None = None
    previous_at: Time | None = None
