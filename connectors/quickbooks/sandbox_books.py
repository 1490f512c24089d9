"""The books of the sandbox's sample company: what is kept, what is refused, how totals come about."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import orjson
from pydantic import ValidationError

from app.connector import Json
from app.events import unit
from connectors.quickbooks import sandbox_forms as forms
from connectors.quickbooks.sandbox_fault import FaultError

Entity = dict[str, Json]
_FORMS: dict[str, type[forms.Changed]] = {
    "Customer": forms.Customer,
    "Item": forms.Item,
    "Payment": forms.Payment,
    **dict.fromkeys(("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt"), forms.Document),
}
_ENTITIES = {name.lower(): name for name in (*_FORMS, "Vendor", "Employee", "Account", "TaxCode")}
_NAMED = ("Customer", "Vendor", "Employee")
_TRANSACTIONS = ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Payment")
_FILTERABLE: dict[str, str] = {
    "Customer": "Id DisplayName GivenName FamilyName CompanyName PrimaryEmailAddr Active",
    "Vendor": "Id DisplayName PrimaryEmailAddr Active",
    "Employee": "Id DisplayName Active",
    "Item": "Id Name Sku Type Active",
    "Account": "Id Name AccountType AccountSubType Active",
    "TaxCode": "Id Name Active",
    "Payment": "Id CustomerRef PaymentRefNum TotalAmt TxnDate",
}
_DOCUMENT_FILTERABLE = "Id DocNumber CustomerRef TxnDate DueDate TotalAmt Balance PaymentRefNum"
_AUTOMATED_RATE = Decimal("0.08")
"""What the sample company's automated sales tax makes of taxable lines when a document states no tax."""
_CENT = Decimal("0.01")


class Company:
    """All entities by kind and id, as QuickBooks would answer them. `country`: US or DE, by its way of taxing."""

    def __init__(self, tax: Literal["us", "global"], currency: str | None = None) -> None:
        self.tax = tax
        self.currency = currency or ("USD" if tax == "us" else "EUR")
        self.country = "US" if tax == "us" else "DE"
        self._kept: dict[str, dict[str, Entity]] = {name: {} for name in _ENTITIES.values()}
        self._next = 200
        self._samples()

    def _samples(self) -> None:
        self._put("Account", {"Id": "79", "Name": "Sales of Product Income", "AccountType": "Income"})
        self._put("Account", {"Id": "35", "Name": "Checking", "AccountType": "Bank"})
        self._put("Vendor", {"Id": "30", "DisplayName": "Mug Supplies Ltd"})
        self._put("Employee", {"Id": "55", "DisplayName": "Emily Platt"})
        for id, name, rate in (("5", "19%", "0.19"), ("6", "7%", "0.07"), ("7", "0%", "0")):
            self._put("TaxCode", {"Id": id, "Name": name, "Rate": rate})
        ada = {"Id": "1", "DisplayName": "Ada Example", "PrimaryEmailAddr": {"Address": "ada@example.com"}}
        self._put("Customer", {**ada, "CurrencyRef": {"value": self.currency}})
        account = {"value": "79"}
        self._put("Item", {"Id": "1", "Name": "Services", "Type": "Service", "IncomeAccountRef": account})
        line = {
            "Amount": Decimal("100.00"),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": "1"}},
        }
        invoice = {
            "Id": "101",
            "DocNumber": "SAMPLE",
            "CustomerRef": {"value": "1"},
            "Line": [line],
            "BillEmail": {"Address": "ada@example.com"},
            "EmailStatus": "NotSet",
        }
        self._put("Invoice", {**invoice, "TotalAmt": Decimal(100), "Balance": Decimal(100)})

    # --- reading ------------------------------------------------------------------------------------------------

    def entity(self, path: str) -> str:
        if path not in _ENTITIES:
            raise FaultError("Unsupported Operation", "500", f"Operation {path} is not supported.")
        return _ENTITIES[path]

    def filterable(self, entity: str) -> frozenset[str]:
        return frozenset(_FILTERABLE.get(entity, _DOCUMENT_FILTERABLE).split())

    def all(self, entity: str) -> list[Entity]:
        return [_plain(each) for each in self._kept[entity].values()]

    def get(self, entity: str, id: str) -> Entity:
        return _plain(self._existing(entity, id))

    def state(self) -> Json:
        """What was made or changed since the start; the sample company's own records only once they are changed."""
        return {
            {"Customer": "customers", "Item": "items"}.get(name, f"{name[0].lower()}{name[1:]}s"): [
                _plain(each) for each in kept.values() if not (each.get("sample") and each["SyncToken"] == "0")
            ]
            for name, kept in self._kept.items()
            if name in _FORMS
        }

    def _existing(self, entity: str, id: str) -> Entity:
        if id not in self._kept[entity]:
            raise FaultError("Object Not Found", "610", "Object Not Found : Something you're trying to use is inactive")
        return self._kept[entity][id]

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, entity: str, body: bytes, operation: str | None) -> Json:
        """Create, update (`Id` and `SyncToken` given) or void; the answer of the request."""
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError as e:
            raise FaultError("Invalid JSON", "2010", str(e)) from e
        if not isinstance(given, dict):
            raise FaultError("Invalid JSON", "2010", "the body is not an object")
        if operation == "void":
            return self._answer(entity, self._void(entity, given))
        if entity not in _FORMS or operation not in (None, "update"):
            raise FaultError("Unsupported Operation", "500", f"Operation {operation or 'create'} is not supported.")
        if "Id" in given:
            return self._answer(entity, self._update(entity, given))
        return self._answer(entity, self._create(entity, _checked(entity, given)))

    def send(self, entity: str, id: str, to: str | None) -> Json:
        kept = self._existing(entity, id)
        address = to or (kept.get("BillEmail") or {}).get("Address")
        if not address or "@" not in address:
            raise FaultError("Missing required parameter", "2020", "BillEmail is required to send", element="BillEmail")
        self._change(kept, {"EmailStatus": "EmailSent", "BillEmail": {"Address": address}})
        return self._answer(entity, kept)

    def _answer(self, entity: str, kept: Entity) -> Json:
        return {entity: _plain(kept), "time": "2026-01-01T00:00:00.000-00:00"}

    def _put(self, entity: str, made: Entity) -> Entity:
        defaults: Entity = {"SyncToken": "0", "sparse": False, "domain": "QBO", "sample": True}
        if entity in (*_NAMED, "Item", "Account", "TaxCode"):
            defaults["Active"] = True
        self._kept[entity][made["Id"]] = {**defaults, **made}
        return self._kept[entity][made["Id"]]

    def _create(self, entity: str, given: Entity) -> Entity:
        if entity in _NAMED:
            given = self._named(given, None)
        if entity == "Item":
            self._unique_item(given, None)
            self._refers("Account", given["IncomeAccountRef"], "IncomeAccountRef")
        if entity in _TRANSACTIONS:
            given = self._transaction(entity, given)
        self._next += 1
        made = self._put(entity, {**given, "Id": str(self._next), "sample": False})
        if entity == "Payment":
            self._apply(made)
        return made

    def _update(self, entity: str, given: Entity) -> Entity:
        kept = self._existing(entity, str(given["Id"]))
        _fresh(kept, given)
        keep = {name: value for name, value in kept.items() if name in _FORMS[entity].model_fields}
        merged = _plain({**keep, **given}) if given.get("sparse") else given
        new = _checked(entity, merged)
        if entity in _NAMED:
            new = self._named(new, kept["Id"])
        if entity in _TRANSACTIONS:
            new = self._transaction(entity, new)
        self._change(kept, {name: value for name, value in new.items() if name not in ("Id", "SyncToken", "sparse")})
        return kept

    def _void(self, entity: str, given: Entity) -> Entity:
        kept = self._existing(entity, str(given.get("Id", "")))
        _fresh(kept, given)
        note = f"Voided {kept.get('PrivateNote', '')}".strip()
        lines = [{**line, "Amount": Decimal(0)} for line in kept.get("Line", [])]
        zero = Decimal(0)
        self._change(kept, {"TotalAmt": zero, "Balance": zero, "PrivateNote": note, "Line": lines})
        return kept

    def _change(self, kept: Entity, values: Entity) -> None:
        kept.update(values)
        kept["SyncToken"] = str(int(kept["SyncToken"]) + 1)

    # --- rules --------------------------------------------------------------------------------------------------

    def _named(self, given: Entity, own: str | None) -> Entity:
        name = given.get("DisplayName") or " ".join(
            given[part] for part in ("GivenName", "FamilyName") if given.get(part)
        )
        if not name:
            raise FaultError("Required param missing", "2020", "DisplayName is missing", element="DisplayName")
        for kind in _NAMED:
            for other in self._kept[kind].values():
                if other["DisplayName"].lower() == name.lower() and other["Id"] != own:
                    raise FaultError(
                        "Duplicate Name Exists Error", "6240", f"The name supplied exists. : Id={other['Id']}"
                    )
        return {"CurrencyRef": {"value": self.currency}, **given, "DisplayName": name}

    def _unique_item(self, given: Entity, own: str | None) -> None:
        for other in self._kept["Item"].values():
            if other["Name"].lower() == given["Name"].lower() and other["Id"] != own:
                raise FaultError("Duplicate Name Exists Error", "6240", f"The name supplied exists. : Id={other['Id']}")

    def _refers(self, entity: str, ref: Entity | None, field: str) -> None:
        if ref is not None and ref["value"] not in self._kept[entity]:
            detail = f"Invalid Reference Id : {entity} element id {ref['value']} not found"
            raise FaultError("Invalid Reference Id", "2500", detail, element=field)

    def _transaction(self, entity: str, given: Entity) -> Entity:
        if given.get("CustomerRef") is None and entity in ("Invoice", "CreditMemo", "Payment"):
            raise FaultError("Required param missing", "2020", "CustomerRef is missing", element="CustomerRef")
        if entity == "RefundReceipt" and not given.get("DepositToAccountRef"):
            raise FaultError("Required param missing", "2020", "DepositToAccountRef", element="DepositToAccountRef")
        self._refers("Customer", given.get("CustomerRef"), "CustomerRef")
        self._refers("Account", given.get("DepositToAccountRef"), "DepositToAccountRef")
        given = {**given, "CurrencyRef": given.get("CurrencyRef") or {"value": self.currency}}
        self._one_currency(given)
        if entity == "Payment":
            return self._payment(given)
        for line in given["Line"]:
            self._line(line)
        made = {**given, **self._totals(given)}
        if entity == "Invoice":
            made |= {"Balance": made["TotalAmt"], "EmailStatus": "NotSet"}
        return made

    def _one_currency(self, given: Entity) -> None:
        """A customer has one currency for ever; sales without a customer are in the company's."""
        customer = (given.get("CustomerRef") or {}).get("value")
        held = self._kept["Customer"][customer]["CurrencyRef"]["value"] if customer else self.currency
        if given["CurrencyRef"]["value"] != held:
            text = "The currency of the transaction is invalid for customer / vendor / account."
            raise FaultError("Business Validation Error", "6000", text, element="CurrencyRef")

    def _line(self, line: Entity) -> None:
        detail = line.get(line["DetailType"])
        if detail is None and line["DetailType"] != "DescriptionOnly":
            raise FaultError("Required param missing", "2020", f"{line['DetailType']} is missing", element="Line")
        if line["DetailType"] != "SalesItemLineDetail" or detail is None:
            return
        if detail["ItemRef"]["value"] != "SHIPPING_ITEM_ID":
            self._refers("Item", detail["ItemRef"], "ItemRef")
        quantity, price = detail.get("Qty"), detail.get("UnitPrice")
        if quantity is not None and price is not None and _cents(quantity * price) != line["Amount"]:
            raise FaultError("Amount calculation incorrect", "6070", "Amount is not equal to UnitPrice * Qty.")
        code = (detail.get("TaxCodeRef") or {}).get("value")
        if self.tax == "us" and code not in (None, "TAX", "NON"):
            raise FaultError("Invalid Reference Id", "2500", f"Invalid tax code {code}", element="TaxCodeRef")
        if self.tax == "global":
            if code is None:
                raise FaultError("Business Validation Error", "6000", "Make sure all your transactions have a GST rate")
            self._refers("TaxCode", {"value": code}, "TaxCodeRef")

    def _totals(self, given: Entity) -> Entity:
        sales = [line for line in given["Line"] if line["DetailType"] == "SalesItemLineDetail"]
        net = _sum(line["Amount"] for line in sales)
        off = _sum(line["Amount"] for line in given["Line"] if line["DetailType"] == "DiscountLineDetail")
        tax = self._tax_of(given, sales, off)
        if net - off + tax < 0:
            raise FaultError("Business Validation Error", "6000", "Transaction amount must be 0 or greater")
        return {"TotalAmt": net - off + tax, "TxnTaxDetail": {"TotalTax": tax}}

    def _tax_of(self, given: Entity, sales: list[Entity], off: Decimal) -> Decimal:
        if self.tax == "us":
            stated = (given.get("TxnTaxDetail") or {}).get("TotalTax")
            taxable = _sum(each["Amount"] for each in sales if _code(each) == "TAX")
            return Decimal(stated) if stated is not None else _cents(max(taxable - off, Decimal(0)) * _AUTOMATED_RATE)
        sums: dict[str, Decimal] = {}
        for line in sales:
            sums[_code(line)] = sums.get(_code(line), Decimal(0)) + line["Amount"]
        step = unit(self.currency)
        rates = {code: Decimal(self._kept["TaxCode"][code]["Rate"]) for code in sums}
        return _sum((net * rates[code]).quantize(step, ROUND_HALF_UP) for code, net in sums.items())

    def _payment(self, given: Entity) -> Entity:
        applied = _sum(line["Amount"] for line in given.get("Line") or ())
        if applied > given["TotalAmt"]:
            raise FaultError("Business Validation Error", "6000", "The amount applied is more than the amount received")
        for line in given.get("Line") or ():
            for linked in line["LinkedTxn"]:
                self._refers(linked["TxnType"], {"value": linked["TxnId"]}, "LinkedTxn")
        return {**given, "UnappliedAmt": given["TotalAmt"] - applied}

    def _apply(self, payment: Entity) -> None:
        for line in payment.get("Line") or ():
            for linked in line["LinkedTxn"]:
                paid = self._kept[linked["TxnType"]][linked["TxnId"]]
                self._change(paid, {"Balance": paid.get("Balance", Decimal(0)) - line["Amount"]})


def _checked(entity: str, given: Entity) -> Entity:
    """The form's fields, or the fault that Intuit answers: 2010 for a field it does not know, 2020 for one missing."""
    try:
        form = _FORMS[entity].model_validate(given)
    except ValidationError as e:
        error = e.errors()[0]
        field = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            text = f"Property Name:{field} specified is unsupported or invalid"
            raise FaultError("Request has invalid or unsupported property", "2010", text, element=field) from e
        if error["type"] in ("missing", "too_short"):
            raise FaultError("Required param missing", "2020", f"{field} is missing", element=field) from e
        raise FaultError("Invalid value", "2050", f"{field}: {error['msg']}", element=field) from e
    return form.model_dump(exclude_none=True)


def _fresh(kept: Entity, given: Entity) -> None:
    if "SyncToken" not in given:
        raise FaultError("Required param missing", "2020", "SyncToken is missing", element="SyncToken")
    if given["SyncToken"] != kept["SyncToken"]:
        raise FaultError("Stale Object Error", "5010", "You and somebody else were working on this at the same time.")


def _code(line: Entity) -> str:
    detail = line["SalesItemLineDetail"]
    return str((detail.get("TaxCodeRef") or {}).get("value") or "NON")


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _plain(entity: Entity) -> Entity:
    """As JSON: decimals as numbers, and without our own mark."""
    return {name: _value(value) for name, value in entity.items() if name not in ("sample", "Rate")}


def _value(value: Json) -> Json:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value
