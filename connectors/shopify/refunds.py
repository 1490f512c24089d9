"""Refunds: money, or only goods, given back; on their own (`refunds/create`) and inside orders."""

from __future__ import annotations

from typing import Any

from app.connector import Facts, State
from app.events import Event, Money, Ref, Refund, RefundEvent
from connectors.shopify.payments import payment
from connectors.shopify.reading import (
    EXACT,
    PRESENTMENT,
    SHOP,
    Body,
    added,
    amount_of,
    build,
    exactly,
    guarded,
    id_of,
    ident,
    listed,
    needed,
    of_pair,
    one,
    table,
    take,
    time_of,
    version_of,
)
from connectors.shopify.settings import Settings

_GONE = {"failure", "error"}
_RESTOCKED = {"cancel", "return", "legacy_restock"}
_LINE = table("quantity restock_type")
_GOODS = table("sku title")


def movements(refund: Body) -> list[Body]:
    """The refund's transactions that gave money back, or will (pending). A failed one gave nothing."""
    return [
        each
        for each in listed(refund.get("transactions"))
        if each.get("kind") == "refund" and each.get("status") not in _GONE
    ]


def moved_back(refund: Body, currency: str) -> Money:
    """The money of one refund in the shop's currency; 0 where only goods were taken back.

    Transactions may be stated in the buyer's currency alone (https://shopify.dev/docs/api/admin-rest transactions,
    `in_shop_currency`); then what the parts of the refund make in the shop's currency stands for them.
    """
    moved = movements(refund)
    amounts = [_in_shop(each, currency) for each in moved]
    if None in amounts:
        return exactly(_parts(refund, currency), currency)
    return exactly(added(amounts), currency)


def _in_shop(transaction: Body, currency: str) -> Money | None:
    if transaction.get("amount_set"):
        return of_pair(transaction["amount_set"], currency)
    code = transaction.get("currency") or currency
    return amount_of(transaction, "amount", currency) if code == currency else None


def _parts(refund: Body, currency: str) -> Any:
    """Goods, their tax, shipping, duties, less what an adjustment held back."""
    lines = listed(refund.get("refund_line_items"))
    goods = added(amount_of(each, name, currency) for each in lines for name in ("subtotal", "total_tax"))
    beside = (_shipping(refund, currency), *_shipping_tax(refund, currency))
    back = EXACT.add(goods, added((*beside, amount_of(refund, "total_duties", currency))))
    return EXACT.add(back, _adjusted(refund, currency))


def _shipping(refund: Body, currency: str) -> Money | None:
    """The shipping given back: lines since 2023-10, before that an adjustment with a minus."""
    if lines := refund.get("refund_shipping_lines"):
        return exactly(added(amount_of(each, "subtotal_amount", currency) for each in lines), currency)
    taken = [each for each in listed(refund.get("order_adjustments")) if each.get("kind") == "shipping_refund"]
    if not taken:
        return None
    whole = (amount_of(each, name, currency) for each in taken for name in ("amount", "tax_amount"))
    return exactly(added(whole).copy_negate(), currency)


def _shipping_tax(refund: Body, currency: str) -> list[Money | None]:
    """What the lines of shipping state beside their subtotals."""
    return [amount_of(each, "tax_amount", currency) for each in listed(refund.get("refund_shipping_lines"))]


def _adjusted(refund: Body, currency: str) -> Any:
    """By how much more (less: negative) was given back than goods and shipping make."""
    others = [each for each in listed(refund.get("order_adjustments")) if each.get("kind") != "shipping_refund"]
    return added(amount_of(each, "amount", currency) for each in others).copy_negate()


# --- the noun ---------------------------------------------------------------------------------------------------


def currency_of(refund: Body) -> str | None:
    """The shop's currency, wherever a refund's body names it: it has no field for it."""
    lines = listed(refund.get("refund_line_items"))
    pairs = [each.get("subtotal_set") for each in lines] + [refund.get("total_duties_set")]
    pairs += [each.get("subtotal_amount_set") for each in listed(refund.get("refund_shipping_lines"))]
    pairs += [each.get("amount_set") for each in listed(refund.get("order_adjustments"))]
    for pair in pairs:
        if pair and (code := (pair.get(SHOP) or {}).get("currency_code")) and code != "XXX":
            return str(code)
    codes = {each.get("currency") for each in listed(refund.get("transactions"))} - {None}
    return str(codes.pop()) if len(codes) == 1 else None


def refund(body: Body, currency: str | None) -> Body:
    found: Body = {
        "id": ident(body.get("id")) or ident(body.get("admin_graphql_api_id")),
        "order_id": ident(body.get("order_id")),
        "note": body.get("note"),
        "created_at": time_of(body.get("created_at")),
        "processed_at": time_of(body.get("processed_at")),
        "status": _status(body),
        "lines": [_line(each, currency) for each in listed(body.get("refund_line_items"))],
    }
    if returned := body.get("return"):
        found["return_id"] = ident(returned.get("id")) or ident(returned.get("admin_graphql_api_id"))
    if body.get("transactions") is not None:
        found["payments"] = [payment(each, currency) for each in body["transactions"]]
        found["gateway"] = next((each.get("gateway") for each in body["transactions"]), None)
    if currency:
        found |= _amounts(body, currency)
    return found


def _amounts(body: Body, currency: str) -> Body:
    lines = listed(body.get("refund_line_items"))
    adjusted = _adjusted(body, currency)
    taxes = [amount_of(each, "total_tax", currency) for each in lines]
    return {
        "amount": moved_back(body, currency),
        "presentment": _presentment(body, currency),
        "items": exactly(added(amount_of(each, "subtotal", currency) for each in lines), currency),
        "tax": exactly(added((*taxes, *_shipping_tax(body, currency))), currency),
        "shipping": _shipping(body, currency),
        "duty": amount_of(body, "total_duties", currency),
        "adjustment": exactly(adjusted, currency) if adjusted else None,
    }


def _presentment(body: Body, currency: str) -> Money | None:
    """What the buyer gets in the buyer's currency, if that is another."""
    moved = movements(body)
    pairs = [of_pair(each["amount_set"], None, PRESENTMENT) for each in moved if each.get("amount_set")]
    given = pairs or [amount_of(each, "amount", each.get("currency")) for each in moved]
    theirs = [each for each in given if each is not None and each.currency != currency]
    if not theirs or len({each.currency for each in theirs}) != 1:
        return None
    return exactly(added(theirs), theirs[0].currency)


def _status(body: Body) -> str | None:
    words = {each.get("status") for each in listed(body.get("transactions"))}
    if not words:
        return None
    if words <= _GONE:
        return "failed"
    return "pending" if "pending" in words else "succeeded"


def _line(line: Body, currency: str | None) -> Body:
    goods = line.get("line_item") or {}
    kind = line.get("restock_type")
    return {
        **take(_LINE, line),
        **take(_GOODS, goods),
        "id": ident(line.get("id")),
        "line_item_id": ident(line.get("line_item_id")),
        "product_id": ident(goods.get("product_id")),
        "variant_id": ident(goods.get("variant_id")),
        "location_id": ident(line.get("location_id")),
        "amount": amount_of(line, "subtotal", currency),
        "tax": amount_of(line, "total_tax", currency),
        "restocked": kind in _RESTOCKED if kind else None,
    }


# --- the event --------------------------------------------------------------------------------------------------


@guarded
def created(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`refunds/create`: says what is given back; whether the money arrived is another matter (Shopify's words)."""
    said, note = build(Refund, refund(body, currency_of(body)))
    order = needed(said.order_id, "order_id")
    return one(
        "refund.created",
        Ref("refund", id_of(body)),
        RefundEvent(refund=said),
        said.created_at or said.processed_at,
        subject=Ref("order", order),
        version=version_of(said.created_at),
        test=facts.test or any(each.get("test") for each in listed(body.get("transactions"))),
        note=note,
    )
