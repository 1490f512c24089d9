"""What the fake Mailchimp accepts: the required fields and types of each request; what is not known is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["subscribed", "unsubscribed", "cleaned", "pending", "transactional"]
Short = Annotated[str, Field(min_length=1, max_length=50)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
Number = int | float


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MemberForm(Form):
    email_address: Email
    status_if_new: Status
    status: Status | None = None
    merge_fields: dict[str, Any] = Field(default_factory=dict)
    language: str | None = None
    vip: bool = False
    email_type: Literal["html", "text"] = "html"


class TagForm(Form):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    status: Literal["active", "inactive"]


class TagsForm(Form):
    tags: list[TagForm]
    is_syncing: bool = False


class EventForm(Form):
    name: Annotated[str, Field(min_length=2, max_length=30)]
    properties: dict[str, str] = Field(default_factory=dict)
    occurred_at: str | None = None


class StoreForm(Form):
    id: Short
    list_id: str
    name: str
    currency_code: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    domain: str | None = None


class AddressForm(Form):
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    province: str | None = None
    province_code: str | None = None
    postal_code: str | None = None
    country: str | None = None
    country_code: str | None = None


class OrderAddressForm(AddressForm):
    name: str | None = None
    company: str | None = None
    phone: str | None = None


class BuyerForm(Form):
    id: Short
    email_address: Email | None = None
    opt_in_status: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    address: AddressForm | None = None


class CustomerForm(BuyerForm):
    email_address: Email
    opt_in_status: bool


class VariantForm(Form):
    id: Short
    title: str
    sku: str | None = None
    price: Number | None = None
    inventory_quantity: int | None = None
    image_url: str | None = None


class ProductForm(Form):
    id: Short
    title: str
    variants: Annotated[list[VariantForm], Field(min_length=1)]
    handle: str | None = None
    published_at_foreign: str | None = None
    url: str | None = None
    description: str | None = None
    type: str | None = None
    vendor: str | None = None
    image_url: str | None = None


class LineForm(Form):
    id: Short
    product_id: str
    product_variant_id: str
    quantity: Annotated[int, Field(ge=1)]
    price: Number
    discount: Number | None = None


class CartForm(Form):
    id: Short
    customer: BuyerForm
    currency_code: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    order_total: Number
    lines: Annotated[list[LineForm], Field(min_length=1)]
    tax_total: Number | None = None
    checkout_url: str | None = None
    campaign_id: str | None = None


class OrderForm(Form):
    id: Short
    customer: BuyerForm
    currency_code: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    order_total: Number
    lines: Annotated[list[LineForm], Field(min_length=1)]
    tax_total: Number | None = None
    shipping_total: Number | None = None
    discount_total: Number | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    processed_at_foreign: str | None = None
    updated_at_foreign: str | None = None
    cancelled_at_foreign: str | None = None
    landing_site: str | None = None
    tracking_number: str | None = None
    tracking_carrier: str | None = None
    order_url: str | None = None
    campaign_id: str | None = None
    billing_address: OrderAddressForm | None = None
    shipping_address: OrderAddressForm | None = None


KINDS: dict[str, type[Form]] = {"products": ProductForm, "orders": OrderForm, "carts": CartForm}
"""Of a store, by the last part of the path."""
