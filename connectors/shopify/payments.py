"""Transactions (movements of money at an order, one event each by kind and status) and disputes."""

from __future__ import annotations

from typing import Any

from app.connector import Facts, Ignored, Normaliser, State
from app.events import Dispute, DisputeEvent, Event, Payment, PaymentEvent, Ref, Refund, RefundEvent
from connectors.shopify.reading import (
    PRESENTMENT,
    Body,
    amount_of,
    build,
    fingerprint,
    guarded,
    id_of,
    ident,
    money,
    of_pair,
    one,
    table,
    take,
    time_of,
    triggered_at,
)
from connectors.shopify.settings import Settings

_PAYMENT = table("kind gateway error_code test")
_STATUS = {"failure": "failed", "error": "failed", "success": "succeeded"}
_AUTHORIZED = {"authorization", "emv_authorization"}
_METHODS = {"gift_card": "gift_card", "cash": "cash", "paypal": "paypal", "store_credit": "store_credit"}

TYPES: dict[tuple[Any, Any], str] = {
    ("authorization", "success"): "payment.authorized",
    ("emv_authorization", "success"): "payment.authorized",
    ("sale", "success"): "payment.succeeded",
    ("capture", "success"): "payment.captured",
    ("void", "success"): "payment.voided",
}
"""(kind, status) -> our event type; a failure of any of these kinds is `payment.failed`."""

_KINDS = {kind for kind, _ in TYPES}
_FAILED = {"failure", "error"}


def payment(body: Body, currency: str | None) -> Body:
    """A Payment of a transaction. `currency` is the shop's where it is known."""
    found = take(_PAYMENT, body)
    get = body.get
    found["id"] = ident(get("id")) or ident(get("admin_graphql_api_id"))
    found["order_id"], found["parent_id"] = ident(get("order_id")), ident(get("parent_id"))
    found["status"] = _status(get("kind"), get("status"))
    found |= _amounts(body, currency)
    found["method"] = _method(body)
    found |= _card(get("payment_details") or {})
    found["error_message"] = get("message") if get("status") in _FAILED else None
    found["created_at"], found["updated_at"] = time_of(get("created_at")), time_of(get("processed_at"))
    found["external_ids"] = _external(body)
    if get("amount_rounding"):
        found["extra"] = {"amount_rounding": get("amount_rounding")}
    return found


def _status(kind: Any, status: Any) -> Any:
    if status == "success" and kind in _AUTHORIZED:
        return "authorized"
    if status == "success" and kind == "void":
        return "voided"
    return _STATUS.get(status, status)


def _amounts(body: Body, currency: str | None) -> Body:
    """The stated amount, in the buyer's currency perhaps; in the shop's too where both are said."""
    if pair := body.get("amount_set"):
        return {"amount": of_pair(pair, currency), "presentment": of_pair(pair, currency, PRESENTMENT)}
    stated = body.get("currency") or currency
    amount = amount_of(body, "amount", stated)
    if currency and stated != currency:
        return {"presentment": amount}
    return {"amount": amount}


def _method(body: Body) -> Any:
    """The gateway says it for gift cards, cash and the like; for the rest a card was used if its digits are there."""
    details, gateway = body.get("payment_details") or {}, body.get("gateway")
    if isinstance(gateway, str) and gateway in _METHODS:
        return _METHODS[gateway]
    return "card" if details.get("credit_card_number") else details.get("payment_method_name")


def _card(details: Body) -> Body:
    digits = details.get("credit_card_number")
    return {
        "card_brand": details.get("credit_card_company"),
        "card_last4": digits[-4:] if isinstance(digits, str) and digits[-4:].isdecimal() else None,
        "name": details.get("credit_card_name"),
    }


def _external(body: Body) -> dict[str, str]:
    """How the processor knows it: Shopify Payments leaves Stripe's ids as the authorization."""
    said: Body = {"gid": body.get("admin_graphql_api_id"), "payment_id": body.get("payment_id")}
    said["authorization"] = authorization = body.get("authorization")
    if isinstance(authorization, str) and authorization.startswith(("pi_", "ch_")):
        said["stripe_payment_intent" if authorization.startswith("pi_") else "stripe_charge"] = authorization
    return {name: value for name, value in said.items() if isinstance(value, str) and value}


@guarded
def created(body: Body, facts: Facts[Settings], state: State) -> list[Event] | Ignored:
    """`order_transactions/create`."""
    kind, status = body.get("kind"), body.get("status")
    if kind == "refund":
        return _refund(body, facts)
    if kind not in _KINDS:
        return Ignored(f"a transaction of kind {kind!r} says nothing that another one does not")
    type_ = "payment.failed" if status in _FAILED else TYPES.get((kind, status))
    if type_ is None:
        return Ignored(f"a {kind} that is {status!r} has moved nothing yet; a later transaction says how it ends")
    said, note = build(Payment, payment(body, facts.settings.currency))
    id_ = id_of(body)
    return one(
        type_,
        Ref("payment", id_),
        PaymentEvent(payment=said),
        said.updated_at or said.created_at or triggered_at(facts),
        subject=Ref("order", said.order_id) if said.order_id else Ref("payment", id_),
        part=id_,
        test=facts.test or bool(body.get("test")),
        note=note,
        links=tuple(Ref(name, each) for name, each in said.external_ids.items() if each and name.startswith("stripe_")),
    )


def _refund(body: Body, facts: Facts[Settings]) -> list[Event] | Ignored:
    """A refund's money: `refunds/create` has said the refund; only its failure is news."""
    if body.get("status") not in _FAILED:
        return Ignored("the money of a refund; refunds/create says the refund itself")
    amount = money(body.get("amount"), body.get("currency"))
    order, when = ident(body.get("order_id")), time_of(body.get("processed_at")) or time_of(body.get("created_at"))
    said, note = build(
        Refund,
        {
            "order_id": order,
            "payment_id": ident(body.get("parent_id")),
            "amount": amount,
            "status": "failed",
            "gateway": body.get("gateway"),
            "failure_reason": body.get("message") or body.get("error_code"),
            "created_at": when,
            "external_ids": {"transaction": id_of(body)},
        },
    )
    object_ = Ref("refund", f"transaction:{id_of(body)}")
    return one(
        "refund.failed",
        object_,
        RefundEvent(refund=said),
        when or triggered_at(facts),
        subject=Ref("order", order) if order else object_,
        test=facts.test or bool(body.get("test")),
        note=note,
    )


# --- disputes ---------------------------------------------------------------------------------------------------

_DISPUTE = table("reason status", kind="type", reason_code="network_reason_code")
_DISPUTE_TIMES = table(
    created_at="initiated_at", due_by="evidence_due_by", evidence_sent_at="evidence_sent_on", closed_at="finalized_on"
)
_ENDS: dict[Any, str] = {"won": "dispute.won", "lost": "dispute.lost"}


def _dispute(body: Body) -> Body:
    found = take(_DISPUTE, body)
    found |= {ours: time_of(body.get(theirs)) for ours, theirs in _DISPUTE_TIMES}
    found["id"], found["order_id"] = id_of(body), ident(body.get("order_id"))
    found["amount"] = money(body.get("amount"), body.get("currency"))
    return found


def _disputed(type_: str, body: Body, facts: Facts[Settings], moment: str, part: str | None) -> list[Event]:
    said, note = build(Dispute, _dispute(body))
    ref = Ref("dispute", id_of(body))
    return one(
        type_,
        ref,
        DisputeEvent(dispute=said),
        time_of(body.get(moment)) or triggered_at(facts),
        subject=Ref("order", said.order_id) if said.order_id else ref,
        part=part,
        test=facts.test,
        note=note,
    )


@guarded
def disputed(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`disputes/create`."""
    return _disputed("dispute.opened", body, facts, "initiated_at", None)


@guarded
def dispute_changed(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`disputes/update`: its end, or any other change (the body has no time of its own for those)."""
    end = _ENDS.get(body.get("status"))
    if end:
        return _disputed(end, body, facts, "finalized_on", None)
    return _disputed("dispute.updated", body, facts, "", fingerprint(body))


TOPICS: dict[str, Normaliser[Settings]] = {
    "order_transactions/create": created,
    "disputes/create": disputed,
    "disputes/update": dispute_changed,
}
