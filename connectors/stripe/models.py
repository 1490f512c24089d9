"""Settings of a connection, and what the actions take and give."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.events import Money

Metadata = dict[str, str]
Interval = Literal["day", "week", "month", "year"]


class Settings(BaseModel):
    """One Stripe account."""

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(pattern=r"^acct_\w+$", description="The account's id, acct_... (Settings > Account)")]
    webhook_secrets: Annotated[
        list[SecretStr],
        Field(
            min_length=1,
            description="Signing secrets whsec_..., one an endpoint; two while one is rolled",
            json_schema_extra={"x-one-an-endpoint": True},
        ),
    ]
    api_key: Annotated[
        SecretStr | None,
        Field(description="Secret or restricted key; without it there are no line items and no actions"),
    ] = None
    livemode: Annotated[
        bool | None,
        Field(description="Take only live (true) or only test (false) events; not said: what the api_key is, or both"),
    ] = None
    tolerance_seconds: Annotated[int, Field(ge=1, le=86_400, description="How far a signature's time may be away")] = (
        300
    )
    order_metadata: Annotated[
        list[str],
        Field(description="Metadata keys under which a shop leaves its order's id, the first found wins"),
    ] = ["order_id", "shopify_order_id", "woocommerce_order_id", "wc_order_id", "orderId", "order"]

    @property
    def expects_live(self) -> bool | None:
        """Which events belong to this connection; None: both."""
        if self.livemode is not None or self.api_key is None:
            return self.livemode
        kind = self.api_key.get_secret_value().split("_")[1:2]
        return {"live": True, "test": False}.get("".join(kind))


class CreateProduct(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    sku: Annotated[str | None, Field(description="Kept as metadata sku")] = None
    active: bool = True
    shippable: bool | None = None
    images: Annotated[list[str], Field(max_length=8)] = []
    url: str | None = None
    tax_code: str | None = None
    unit_label: str | None = None
    default_price: Annotated[Money | None, Field(description="Also makes its first price")] = None
    interval: Annotated[Interval | None, Field(description="Of the default price, if it recurs")] = None
    metadata: Metadata = {}


class CreatePrice(BaseModel):
    """Prices cannot be changed: make a new one; with `transfer_lookup_key` it takes over the name at once."""

    product_id: Annotated[str, Field(min_length=1)]
    amount: Money
    interval: Interval | None = None
    interval_count: Annotated[int, Field(ge=1)] = 1
    nickname: str | None = None
    lookup_key: Annotated[str | None, Field(max_length=200)] = None
    transfer_lookup_key: bool = False
    tax_behavior: Literal["inclusive", "exclusive", "unspecified"] | None = None
    active: bool = True
    metadata: Metadata = {}


class RefundPayment(BaseModel):
    payment_id: Annotated[str, Field(pattern=r"^(pi|ch|py)_\w+$", description="payment.id: pi_... or ch_...")]
    amount: Annotated[Money | None, Field(description="Not said: all that is left")] = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = {}


class StripeProduct(BaseModel):
    id: str
    name: Annotated[str | None, Field(examples=["Mug"])] = None
    default_price_id: str | None = None


class StripePrice(BaseModel):
    id: str
    product_id: Annotated[str | None, Field(examples=["prod_1"])] = None
    amount: Annotated[Money | None, Field(examples=[{"amount": "9.90", "currency": "EUR"}])] = None
    lookup_key: str | None = None


class StripeRefund(BaseModel):
    id: str
    status: Annotated[str | None, Field(examples=["succeeded"])] = None
    amount: Annotated[Money | None, Field(examples=[{"amount": "9.90", "currency": "EUR"}])] = None
    payment_id: Annotated[str | None, Field(examples=["pi_1"])] = None
