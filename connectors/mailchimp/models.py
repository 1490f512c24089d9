"""What Mailchimp needs to know, what its actions take, and what they give back."""

import hashlib
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from app.events import Checkout, Customer, FreeDict, Id, Order, Product, Text

Status = Literal["subscribed", "pending", "transactional", "unsubscribed"]


def _datacentre(key: SecretStr) -> str:
    """What stands behind the last dash; "" without one."""
    return key.get_secret_value().rpartition("-")[2] if "-" in key.get_secret_value() else ""


class Settings(BaseModel):
    """One audience (list) of a Mailchimp account, and the store whose customers, products and orders belong to it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    list_id: Annotated[str, Field(pattern=r"^\w{1,40}$", description="Audience > Settings > Audience ID")]
    api_key: Annotated[SecretStr, Field(description="Account > Extras > API keys; ends in its datacentre (-us21)")]
    store_id: Annotated[Text, Field(description="The store that `connect_store` made, for e-commerce")] = None
    url_tokens: Annotated[
        list[Annotated[SecretStr, Field(min_length=16)]],
        Field(description="Unguessable words for ?token= of the webhook URL; several while one is changed"),
    ] = []
    double_opt_in: Annotated[
        bool, Field(description="Mailchimp asks buyers who consented to confirm (status pending), before it mails them")
    ] = False

    @field_validator("api_key")
    @classmethod
    def _has_datacentre(cls, key: SecretStr) -> SecretStr:
        datacentre = _datacentre(key)
        if not (datacentre.isascii() and datacentre.isalnum() and 2 <= len(datacentre) <= 12):
            raise ValueError("an API key ends in a dash and its datacentre, as in ...-us21")
        return key

    @property
    def datacentre(self) -> str:
        return _datacentre(self.api_key)


# --- members ----------------------------------------------------------------------------------------------------


def _trimmed(email: str) -> str:
    return email.strip()


Email = Annotated[str, Field(pattern=r"^\s*[^@\s]+@[^@\s]+\s*$", max_length=320), AfterValidator(_trimmed)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]


def hash_of(email: str) -> str:
    """How Mailchimp names a member: the MD5 of the address in lower case."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


class UpsertMember(BaseModel):
    """A buyer: `customer`, or the one of `order`. Single fields go before what those say."""

    customer: Customer | None = None
    order: Order | None = None
    email: Annotated[Text, Field(description="Instead of the customer's")] = None
    status_if_new: Annotated[
        Status | None,
        Field(description="Of somebody the audience has never seen; else what the buyer consented to decides"),
    ] = None
    first_name: Text = None
    last_name: Text = None
    language: Annotated[Text, Field(description="Mailchimp's code: en, de, pt_PT")] = None
    merge_fields: Annotated[FreeDict, Field(description="Further merge fields by their tag")] = Field(
        default_factory=dict
    )
    fields: Annotated[FreeDict, Field(description="Mailchimp's own fields, laid over what is made; no `status`")] = (
        Field(default_factory=dict)
    )

    @field_validator("fields")
    @classmethod
    def _subscribes_nobody_again(cls, fields: FreeDict) -> FreeDict:
        if "status" in fields:
            raise ValueError("status would subscribe again who left: say `status_if_new`")
        return fields


class Tags(BaseModel):
    email: Email
    tags: Annotated[list[Tag], Field(min_length=1, max_length=100)]
    start_automations: Annotated[
        bool, Field(description="False: automations that wait for these tags do not start (for catching up)")
    ] = True


class AddTags(Tags):
    pass


class RemoveTags(Tags):
    pass


class AddEvent(BaseModel):
    email: Email
    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w ]{1,29}$", description="2 to 30 characters: purchased_mug")]
    properties: Annotated[dict[str, str | int], Field(description="Kept as text")] = Field(default_factory=dict)


class ArchiveMember(BaseModel):
    email: Email


class Member(BaseModel):
    """A member as Mailchimp keeps it. `mailable`: it may be sent campaigns; one who left stays `unsubscribed`."""

    id: str
    email: str
    status: Annotated[str, Field(examples=["subscribed"])]
    mailable: bool
    contact_id: Text = None


class Tagged(BaseModel):
    email: str
    tags: list[str]


class EventAdded(BaseModel):
    email: str
    name: str


class Archived(BaseModel):
    email: str


# --- e-commerce -------------------------------------------------------------------------------------------------


class ConnectStore(BaseModel):
    """The shop as Mailchimp knows it; its id goes into the connection's `store_id`."""

    id: Annotated[Id, Field(max_length=50)]
    name: Annotated[str, Field(min_length=1)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    url: Text = None


class UpsertCustomer(BaseModel):
    """A customer of the store, made of `customer`, or of `order` for a guest."""

    customer: Customer | None = None
    order: Order | None = None
    fields: Annotated[FreeDict, Field(description="Mailchimp's own fields, laid over what is made")] = Field(
        default_factory=dict
    )


class UpsertProduct(BaseModel):
    product: Product
    fields: Annotated[FreeDict, Field(description="Mailchimp's own fields, laid over what is made")] = Field(
        default_factory=dict
    )


class UpsertOrder(BaseModel):
    """An order as it stands. Products that the store does not know yet are made of its lines."""

    order: Order
    campaign_id: Annotated[Text, Field(description="Mailchimp's mc_cid of the buyer's visit")] = None
    fields: Annotated[FreeDict, Field(description="Mailchimp's own fields, laid over what is made")] = Field(
        default_factory=dict
    )


class UpsertCart(BaseModel):
    """An open checkout, for Mailchimp's abandoned cart mails."""

    checkout: Checkout
    fields: Annotated[FreeDict, Field(description="Mailchimp's own fields, laid over what is made")] = Field(
        default_factory=dict
    )


class DeleteCart(BaseModel):
    cart_id: Annotated[Id, Field(description="The checkout's id, as `upsert_cart` took it")]


class Kept(BaseModel):
    """What the store holds now. `created`: it was not there before."""

    id: str
    created: bool = False


class OrderKept(Kept):
    """`products`: those that had to be made first."""

    products: list[str] = Field(default_factory=list)
