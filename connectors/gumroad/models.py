"""Inputs and outputs of the actions at Gumroad."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.events import Money

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]{1,64}$", description="Gumroad's id")]
Resource = Literal[
    "sale",
    "refund",
    "dispute",
    "dispute_won",
    "cancellation",
    "subscription_updated",
    "subscription_ended",
    "subscription_restarted",
]
ALL: list[Resource] = [
    "sale",
    "refund",
    "dispute",
    "dispute_won",
    "cancellation",
    "subscription_updated",
    "subscription_ended",
    "subscription_restarted",
]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MarkShipped(Input):
    sale_id: Id
    tracking_url: Annotated[str | None, Field(pattern=r"^https?://\S+$")] = None


class RefundSale(Input):
    sale_id: Id


class PartiallyRefundSale(Input):
    sale_id: Id
    amount: Annotated[Money, Field(description="In the currency of the product's listing")]


class CreateOfferCode(Input):
    """A code that takes off a percentage or an amount: of one product, or of all if none is named."""

    code: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$", description="None: one is made")] = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,30}$", description="What a made code begins with")] = ""
    percent: Annotated[int | None, Field(ge=1, le=100)] = None
    amount: Money | None = None
    product_id: Id | None = None
    usage_limit: Annotated[int | None, Field(ge=1, description="How often in all")] = 1

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("give either percent or amount")
        return self


class SubscribeResources(Input):
    url: Annotated[
        str, Field(pattern=r"^https?://[^\s?]+$", description="This connection's webhook address, without its token")
    ]
    resources: Annotated[list[Resource], Field(min_length=1)] = ALL


class SaleRef(BaseModel):
    id: str
    refunded: bool = False
    shipped: bool = False


class OfferCodeRef(BaseModel):
    id: str
    code: str
    product_id: str


class ResourcesSubscribed(BaseModel):
    made: list[str]
    kept: list[str]
    removed: Annotated[list[str], Field(description="Those that were asked for under an older token as well")] = Field(
        default_factory=list
    )
