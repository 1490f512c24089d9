"""What Shippo needs to know, what its actions take, and what they give back."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from app.events import Address, Exact, FreeDict, LineItem, Money, Order, Text, Time

Format = Literal[
    "PNG", "PNG_2.3x7.5", "PDF", "PDF_2.3x7.5", "PDF_4x6", "PDF_4x8", "PDF_A4", "PDF_A5", "PDF_A6", "ZPLII"
]
Positive = Annotated[Exact, Field(gt=0)]
Token = Annotated[SecretStr, Field(min_length=16)]


class Box(BaseModel):
    """A box of the shop, and what may go into it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    length: Positive
    width: Positive
    height: Positive
    unit: Annotated[Literal["cm", "in"], Field(description="Of length, width and height")] = "cm"
    tare: Annotated[Exact, Field(ge=0, description="Grams of the empty box")] = Exact(0)
    max_weight: Annotated[Positive | None, Field(description="Grams of goods that it holds")] = None
    max_items: Annotated[int | None, Field(ge=1, description="Pieces that it holds")] = None
    skus: Annotated[list[str], Field(description="Only for these, with * for any text (PRINT-*); none: for all")] = []


class Settings(BaseModel):
    """A Shippo account, where it sends from, and the shop's boxes, the smallest first."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    account: Annotated[str, Field(min_length=1, description="A name for the account")] = "default"
    api_token: Annotated[SecretStr, Field(description="shippo_live_... or shippo_test_...")]
    sender: Annotated[Address, Field(description="Where parcels are sent from: name, address1, city, country_code ...")]
    boxes: Annotated[list[Box], Field(min_length=1, description="The first one that fits is taken")]
    item_weight: Annotated[
        Positive | None, Field(description="Grams of an item whose weight the shop does not say; none: refused")
    ] = None
    format: Annotated[Format, Field(description="Of labels")] = "PDF_4x6"
    url_tokens: Annotated[
        list[Token],
        Field(description="Unguessable words for ?token= of the webhook URL; several while one is changed"),
    ] = []

    @field_validator("sender")
    @classmethod
    def _says_its_country(cls, sender: Address) -> Address:
        if not sender.country_code:
            raise ValueError("sender needs a country_code, as US")
        return sender


class ValidateAddress(BaseModel):
    """`address`, or the one that `order` ships to."""

    address: Address | None = None
    order: Order | None = None


class AddressChecked(BaseModel):
    """`messages` say what is wrong, or what was put right; `address` is what Shippo made of it."""

    id: str
    valid: bool
    messages: list[str] = Field(default_factory=list)
    address: Address


class _Parcel(BaseModel):
    """What goes where: by default the order's items that still must be shipped, in the first box that fits."""

    order: Order
    to: Annotated[Address | None, Field(description="Instead of the order's shipping address")] = None
    items: Annotated[list[LineItem] | None, Field(description="Instead of the order's items")] = None
    box: Annotated[Text, Field(description="Name of a box, whatever its rule says")] = None
    weight: Annotated[Positive | None, Field(description="Grams of the whole parcel, packed")] = None
    fields: Annotated[
        FreeDict,
        Field(description="Shippo's own fields of a shipment, laid over what is made (extra, carrier_accounts)"),
    ] = Field(default_factory=dict)


class GetRates(_Parcel):
    pass


class BuyLabel(_Parcel):
    choose: Annotated[Literal["cheapest", "fastest"], Field(description="Among the rates that fit")] = "cheapest"
    service: Annotated[Text, Field(description="Only this service: usps_priority")] = None
    carrier: Annotated[Text, Field(description="Only this carrier: USPS")] = None
    at_most: Annotated[Money | None, Field(description="Refuse a dearer label")] = None
    format: Format | None = None


class Rate(BaseModel):
    id: str
    carrier: str
    service: str
    name: Text = None
    price: Money
    days: Annotated[int | None, Field(description="Days until it is delivered, as the carrier estimates")] = None


EXAMPLE_RATE = {
    "id": "rate-1", "carrier": "USPS", "service": "usps_priority", "days": 2,
    "price": {"amount": "7.50", "currency": "USD"},
}  # fmt: skip


class Rates(BaseModel):
    """`rates`: the cheapest first."""

    shipment_id: str
    rates: Annotated[list[Rate], Field(examples=[[EXAMPLE_RATE]])]
    box: str
    weight: Annotated[Exact, Field(description="Grams, packed")]
    messages: list[str] = Field(default_factory=list)


class Label(BaseModel):
    """A label that was bought. `label_url` is signed and ends some time: keep the file."""

    id: str
    status: Annotated[str, Field(examples=["SUCCESS"])]
    tracking_number: Annotated[Text, Field(examples=["92055901755477000271990251"])] = None
    tracking_url: Annotated[Text, Field(examples=["https://tools.usps.com/go/TrackConfirmAction"])] = None
    label_url: Annotated[Text, Field(examples=["https://deliver.goshippo.com/label-1.pdf"])] = None
    carrier: Annotated[Text, Field(examples=["USPS"])] = None
    service: Annotated[Text, Field(examples=["usps_priority"])] = None
    price: Annotated[Money | None, Field(examples=[EXAMPLE_RATE["price"]])] = None


class RefundLabel(BaseModel):
    label_id: Annotated[str, Field(min_length=1, description="`id` of `buy_label`")]


class LabelRefunded(BaseModel):
    label_id: str
    status: Annotated[
        str, Field(description="QUEUED, PENDING or SUCCESS: carriers take up to weeks", examples=["PENDING"])
    ]


class Track(BaseModel):
    carrier: Annotated[str, Field(pattern=r"^[\w-]+$", description="Shippo's word: usps, dhl_express")]
    tracking_number: Annotated[str, Field(min_length=1)]


class RegisterTracking(Track):
    """Ask for webhooks about a parcel whose label was not bought by Shippo."""

    order_id: Annotated[Text, Field(max_length=60)] = None


class Tracking(BaseModel):
    """`status`: as of a fulfillment's `shipment_status`; None while the carrier knows nothing."""

    carrier: str
    tracking_number: str
    status: Annotated[Text, Field(examples=["in_transit"])] = None
    details: Text = None
    at: Time | None = None
    estimated_delivery_at: Time | None = None
