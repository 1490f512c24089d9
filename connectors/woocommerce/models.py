"""Inputs and outputs of the actions at a WooCommerce shop."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.events import Money

Number = Annotated[str, Field(pattern=r"^[0-9]{1,20}$", description="WooCommerce's id")]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class SetStatus(Input):
    order_id: Number
    status: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9-]{1,17}$",
            description="pending, processing, on-hold, completed, cancelled, refunded, failed, or a plugin's own",
        ),
    ]


class AddNote(Input):
    order_id: Number
    note: Annotated[str, Field(min_length=1, max_length=10_000)]
    to_customer: Annotated[bool, Field(description="Show it to the customer, who gets a mail")] = False


class SetMeta(Input):
    order_id: Number
    meta: Annotated[dict[str, str], Field(min_length=1, description="Key -> value; an existing key is replaced")]


class TagOrder(Input):
    order_id: Number
    tags: Annotated[list[Annotated[str, Field(pattern=r"^[^,]{1,100}$")]], Field(min_length=1)]


class HoldOrder(Input):
    order_id: Number
    reason: Annotated[str | None, Field(description="Kept in the order's meta data", max_length=1000)] = None
    note: Annotated[str | None, Field(description="What the staff reads, kept there too", max_length=1000)] = None


class RefundedLine(Input):
    line_item_id: Number
    quantity: Annotated[int, Field(ge=0)] = 0
    amount: Annotated[Decimal, Field(ge=0, description="Without tax")]


class RefundOrder(Input):
    order_id: Number
    amount: Annotated[Money | None, Field(description="All that is left, if it is not said")] = None
    reason: Annotated[str, Field(max_length=1000)] = "Refunded by Tradewind"
    lines: list[RefundedLine] = Field(default_factory=list)
    through_gateway: Annotated[bool, Field(description="Give the money back too, not only note it")] = True
    restock: Annotated[bool, Field(description="Put the goods of `lines` back into stock")] = False


class SetStock(Input):
    """Of a product or variation, by its id, its SKU, or the item that an inventory event names."""

    product_id: Number | None = None
    variant_id: Annotated[Number | None, Field(description="Of the variable product `product_id`")] = None
    inventory_item_id: Number | None = None
    sku: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    quantity: int

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if sum(each is not None for each in (self.product_id, self.inventory_item_id, self.sku)) != 1:
            raise ValueError("give one of product_id, inventory_item_id and sku")
        return self


class CreateCoupon(Input):
    """A code that takes off a percentage or an amount of the whole cart."""

    code: Annotated[str | None, Field(pattern=r"^\S{1,60}$", description="None: one is made")] = None
    prefix: Annotated[str, Field(pattern=r"^\S{0,30}$", description="What a made code begins with")] = ""
    percent: Annotated[Decimal | None, Field(gt=0, le=100)] = None
    amount: Money | None = None
    description: Annotated[str | None, Field(max_length=200, description="What the staff reads")] = None
    expires_at: datetime | None = None
    valid_days: Annotated[int | None, Field(ge=1, le=3650, description="Instead of expires_at")] = None
    usage_limit: Annotated[int | None, Field(ge=1, description="How often in all")] = 1
    once_per_customer: bool = True
    minimum_amount: Money | None = None
    email: Annotated[str | None, Field(description="Only for this buyer")] = None
    free_shipping: bool = False

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("give either percent or amount")
        return self

    @property
    def value(self) -> tuple[Literal["percent", "fixed_cart"], str]:
        if self.percent is not None:
            return "percent", f"{self.percent:f}"
        return "fixed_cart", plain(self.amount)


class RegisterWebhooks(Input):
    url: Annotated[str, Field(pattern=r"^https?://\S+$", description="This connection's webhook address")]
    topics: Annotated[list[str], Field(min_length=1)] = [
        "order.created",
        "order.updated",
        "order.deleted",
        "order.restored",
        "product.created",
        "product.updated",
        "product.deleted",
        "customer.created",
        "customer.updated",
        "customer.deleted",
    ]


class OrderRef(BaseModel):
    id: str
    status: Annotated[str, Field(examples=["processing"])]
    tags: list[str] = Field(default_factory=list)


class NoteRef(BaseModel):
    id: str


class RefundRef(BaseModel):
    id: str
    amount: Money


class StockRef(BaseModel):
    id: str
    quantity: int


class CouponRef(BaseModel):
    id: str
    code: str


class WebhooksRegistered(BaseModel):
    made: list[str]
    mended: list[str]
    kept: list[str]


def plain(money: Money | None) -> str:
    """A WooCommerce amount: text with the currency's decimals. ValueError for money that is not rounded."""
    if money is None or not money.is_rounded:
        raise ValueError(f"{money} must be rounded first")
    return f"{money.rounded().amount:f}"
