"""What QuickBooks Online needs to know, what its actions take, and what they give back."""

import datetime as dt
import re
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from app.events import Address, Customer, FreeDict, Id, Money, Order, Refund, Text

_RATE = re.compile(r"[0-9]?(\.[0-9]{1,6})?(?<=[0-9])")


class Settings(BaseModel):
    """One QuickBooks company (realm)."""

    model_config = ConfigDict(extra="forbid")

    realm_id: Annotated[
        str, Field(pattern=r"^[0-9]+$", description="The company's id, as the redirect of OAuth says it")
    ]
    client_id: Annotated[str, Field(min_length=1, description="Of your app in Intuit's developer portal")]
    client_secret: SecretStr
    refresh_token: Annotated[
        SecretStr | None,
        Field(description="The first one; later ones are kept by the hub. Or authorise in the browser"),
    ] = None
    sandbox_company: Annotated[bool, Field(description="The company is one of Intuit's sandbox companies")] = False
    minor_version: Annotated[int, Field(ge=75, description="Intuit supports nothing below 75")] = 75
    tax: Annotated[
        Literal["us", "global"],
        Field(description="us: automated sales tax, the order's tax is stated; global: a tax code on every line"),
    ] = "us"
    tax_codes: Annotated[
        dict[str, str], Field(description='global only: tax rate -> id of the tax code, {"0.19": "5"}')
    ] = Field(default_factory=dict)
    untaxed_code: Annotated[Text, Field(description="global only: id of the tax code for what bears no tax")] = None
    items: Annotated[
        Literal["create", "match", "one"],
        Field(description="create: missing items are made; match: they count as `sales_item`; one: all do"),
    ] = "create"
    sales_item: Annotated[str, Field(description="Name of the item for what has none of its own")] = "Sales"
    shipping_item: Annotated[
        str, Field(description="SHIPPING_ITEM_ID where the company has shipping switched on, else an item's name")
    ] = "SHIPPING_ITEM_ID"
    discount_item: str = "Discount"
    tip_item: str = "Tip"
    fee_item: str = "Fee"
    adjustment_item: Annotated[str, Field(description="Item of the line that makes up for rounding")] = "Rounding"
    income_account: Annotated[
        Text, Field(description="Id of the account for new items; else the first income account")
    ] = None
    deposit_account: Annotated[Text, Field(description="Id of the bank account of sales receipts and refunds")] = None
    home_currency: Annotated[
        str | None,
        StringConstraints(pattern=r"^[A-Za-z]{3}$", to_upper=True),
        Field(description="With multi-currency switched on in the company: its own currency, as USD"),
    ] = None
    walk_in_customer: Annotated[str, Field(description="Who bought, where an order does not say")] = "Online customer"
    timezone: Annotated[str, Field(description="In which the dates of documents are meant")] = "UTC"

    @field_validator("tax_codes")
    @classmethod
    def _are_rates(cls, codes: dict[str, str]) -> dict[str, str]:
        rates = [rate for text in codes if _RATE.fullmatch(text) and (rate := Decimal(text)) < 1]
        if len(rates) < len(codes):
            raise ValueError('a tax rate is written as "0.19", for 19 %')
        if len(set(rates)) < len(codes):
            raise ValueError("one tax rate has two codes")
        return codes

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("no time zone is called so; one is Europe/Berlin") from None
        return name


class FindOrCreateCustomer(BaseModel):
    """Who to find by e-mail address, or else to make. `order` fills in what the customer does not say."""

    customer: Customer | None = None
    order: Order | None = None
    name: Annotated[Text, Field(description="Display name, instead of the customer's own")] = None
    address: Address | None = None
    currency: Annotated[Text, Field(description="With multi-currency, instead of the order's")] = None
    fields: Annotated[FreeDict, Field(description="QuickBooks' own fields, laid over a new customer")] = Field(
        default_factory=dict
    )


class CustomerFound(BaseModel):
    id: str
    name: str
    email: Annotated[str | None, Field(examples=["ada@example.com"])] = None
    created: Annotated[bool, Field(description="False: it was there before")]


class FindOrCreateItem(BaseModel):
    """An item to find by SKU, or else by name, or else to make."""

    name: Annotated[str, Field(min_length=1)]
    sku: Text = None
    price: Money | None = None
    description: Text = None
    type: Literal["NonInventory", "Service"] = "NonInventory"
    fields: Annotated[FreeDict, Field(description="QuickBooks' own fields, laid over a new item")] = Field(
        default_factory=dict
    )


class ItemFound(BaseModel):
    id: str
    name: str
    sku: str | None = None
    created: bool


class _Document(BaseModel):
    number: Annotated[Text, Field(description="Instead of the order's number; 21 characters at most")] = None
    date: Annotated[dt.date | None, Field(description="Instead of the order's own date")] = None
    email: Annotated[Text, Field(description="Instead of the order's")] = None
    memo: Annotated[Text, Field(description="Shown to the customer")] = None
    fields: Annotated[FreeDict, Field(description="QuickBooks' own fields, laid over what is made of the order")] = (
        Field(default_factory=dict)
    )


class CreateInvoice(_Document):
    """An order to be invoiced to a customer of QuickBooks."""

    order: Order
    customer_id: Id
    due_in_days: Annotated[int | None, Field(ge=0, le=365)] = None


class CreateSalesReceipt(_Document):
    """An order that is paid already: one document instead of invoice and payment."""

    order: Order
    customer_id: Text = None
    deposit_account: Text = None
    payment_reference: Text = None


class CreateCreditMemo(_Document):
    """A refund that stays with the customer as credit (or settles an open invoice)."""

    refund: Refund
    customer_id: Id
    order: Annotated[Order | None, Field(description="Whose lines say the items and tax rates")] = None


class CreateRefundReceipt(_Document):
    """A refund that was paid out."""

    refund: Refund
    customer_id: Text = None
    order: Order | None = None
    deposit_account: Annotated[Text, Field(description="Account the money left, instead of the connection's")] = None


class RecordPayment(BaseModel):
    """Money received for an invoice."""

    customer_id: Id
    amount: Money
    invoice_id: Annotated[Text, Field(description="Without it the payment stays unapplied")] = None
    reference: Annotated[Text, Field(description="The processor's id of it; 21 characters are kept")] = None
    date: dt.date | None = None
    deposit_account: Text = None
    fields: FreeDict = Field(default_factory=dict)


class SendInvoice(BaseModel):
    """An invoice to be mailed by QuickBooks."""

    invoice_id: Id
    to: Annotated[Text, Field(description="Instead of the invoice's own address")] = None


class InvoiceRef(BaseModel):
    invoice_id: Id


class Transaction(BaseModel):
    """A document as QuickBooks keeps it.

    adjustment: the line that was added so that the total is the order's. off_by: QuickBooks' total less the order's,
    where they differ all the same (its own tax rules).
    """

    id: str
    number: Annotated[str | None, Field(examples=["1001"])] = None
    total: Money
    balance: Money | None = None
    customer_id: Annotated[str | None, Field(examples=["58"])] = None
    adjustment: Money | None = None
    off_by: Money | None = None


class InvoiceSent(BaseModel):
    id: str
    number: Annotated[str | None, Field(examples=["1001"])] = None
    status: Annotated[str, Field(description="EmailSent, once QuickBooks has mailed it", examples=["EmailSent"])]
    to: Annotated[str | None, Field(examples=["ada@example.com"])] = None


class InvoiceVoided(BaseModel):
    id: str
    number: Annotated[str | None, Field(examples=["1001"])] = None


class Pdf(BaseModel):
    name: Annotated[str, Field(examples=["invoice-101.pdf"])]
    content_type: str = "application/pdf"
    content: Annotated[str, Field(description="The file in base64", examples=["JVBERi0xLjQK"])]
    size: Annotated[int, Field(description="Bytes", examples=[9])]
