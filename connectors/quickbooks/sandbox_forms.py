"""What the sandbox takes: every field that we may send, with its type, as Intuit's schema has it; others are refused.

Numbers must be JSON numbers and texts JSON strings, as the vendor demands.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return Decimal(str(value))


def _day(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a date")
    return date.fromisoformat(value).isoformat()


Number = Annotated[Decimal, BeforeValidator(_number)]
Day = Annotated[str, BeforeValidator(_day)]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Ref(Form):
    value: Annotated[str, Field(min_length=1)]
    name: str | None = None


class Email(Form):
    Address: Annotated[str, Field(max_length=100, pattern=r"^[^@\s]+@[^@\s]+$")]


class Phone(Form):
    FreeFormNumber: Annotated[str, Field(max_length=30)]


class Memo(Form):
    value: Annotated[str, Field(max_length=1000)]


class Postal(Form):
    Line1: Annotated[str | None, Field(max_length=500)] = None
    Line2: Annotated[str | None, Field(max_length=500)] = None
    City: Annotated[str | None, Field(max_length=255)] = None
    CountrySubDivisionCode: Annotated[str | None, Field(max_length=255)] = None
    PostalCode: Annotated[str | None, Field(max_length=30)] = None
    Country: Annotated[str | None, Field(max_length=255)] = None


class Changed(Form):
    """What an update adds."""

    Id: str | None = None
    SyncToken: str | None = None
    sparse: bool | None = None


_Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^:\t\n]+$")]
_Part = Annotated[str, Field(max_length=100, pattern=r"^[^:\t\n]+$")]


class Customer(Changed):
    DisplayName: _Name | None = None
    GivenName: _Part | None = None
    FamilyName: _Part | None = None
    CompanyName: Annotated[str | None, Field(max_length=100)] = None
    PrimaryEmailAddr: Email | None = None
    PrimaryPhone: Phone | None = None
    BillAddr: Postal | None = None
    ShipAddr: Postal | None = None
    CurrencyRef: Ref | None = None
    Notes: Annotated[str | None, Field(max_length=2000)] = None
    Taxable: bool | None = None
    Active: bool | None = None


class Item(Changed):
    Name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^:\t\n]+$")]
    Type: Literal["NonInventory", "Service", "Inventory"]
    IncomeAccountRef: Ref
    Sku: Annotated[str | None, Field(max_length=100)] = None
    Description: Annotated[str | None, Field(max_length=4000)] = None
    UnitPrice: Number | None = None
    Taxable: bool | None = None
    Active: bool | None = None


class SalesItem(Form):
    ItemRef: Ref
    Qty: Number | None = None
    UnitPrice: Number | None = None
    TaxCodeRef: Ref | None = None
    ServiceDate: Day | None = None


class Discount(Form):
    PercentBased: bool
    DiscountPercent: Number | None = None
    DiscountAccountRef: Ref | None = None


class Linked(Form):
    TxnId: str
    TxnType: Literal["Invoice", "CreditMemo", "SalesReceipt"]


class Line(Form):
    Id: str | None = None
    LineNum: int | None = None
    Amount: Number
    Description: Annotated[str | None, Field(max_length=4000)] = None
    DetailType: Literal["SalesItemLineDetail", "DiscountLineDetail", "DescriptionOnly"]
    SalesItemLineDetail: SalesItem | None = None
    DiscountLineDetail: Discount | None = None


class Tax(Form):
    TotalTax: Number | None = None
    TxnTaxCodeRef: Ref | None = None


class Document(Changed):
    DocNumber: Annotated[str | None, Field(max_length=21)] = None
    TxnDate: Day | None = None
    DueDate: Day | None = None
    CustomerRef: Ref | None = None
    Line: Annotated[list[Line], Field(min_length=1)]
    TxnTaxDetail: Tax | None = None
    GlobalTaxCalculation: Literal["TaxExcluded", "TaxInclusive", "NotApplicable"] | None = None
    ApplyTaxAfterDiscount: bool | None = None
    BillEmail: Email | None = None
    BillAddr: Postal | None = None
    ShipAddr: Postal | None = None
    CustomerMemo: Memo | None = None
    PrivateNote: Annotated[str | None, Field(max_length=4000)] = None
    CurrencyRef: Ref | None = None
    ExchangeRate: Number | None = None
    PaymentRefNum: Annotated[str | None, Field(max_length=21)] = None
    PaymentMethodRef: Ref | None = None
    DepositToAccountRef: Ref | None = None


class Applied(Form):
    Amount: Number
    LinkedTxn: list[Linked]


class Payment(Changed):
    CustomerRef: Ref
    TotalAmt: Number
    TxnDate: Day | None = None
    PaymentRefNum: Annotated[str | None, Field(max_length=21)] = None
    PaymentMethodRef: Ref | None = None
    DepositToAccountRef: Ref | None = None
    CurrencyRef: Ref | None = None
    ExchangeRate: Number | None = None
    PrivateNote: Annotated[str | None, Field(max_length=4000)] = None
    Line: list[Applied] | None = None
