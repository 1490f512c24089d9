"""Payment intents, charges, refunds and disputes as our nouns.

One payment has one id: its intent's, or the charge's where there is none (before 2019). Everything about it stands on
the timeline of ("order", that id), because a refund or a dispute names the intent and nothing else of the sale.
"""

import re
from collections.abc import Sequence

from app.events import Dispute, Money, Payment, Places, Ref, Refund, Risk, total
from connectors.stripe.body import Obj
from connectors.stripe.nouns.people import contact

_WOO_SIGNATURE = re.compile(r"([0-9]{1,20}):[0-9a-f]{32}")
DASHBOARD = "https://dashboard.stripe.com"
_RISK = {"normal": "low", "elevated": "medium", "highest": "high"}
_DISPUTED = {
    "warning_needs_response": "needs_response",
    "warning_under_review": "under_review",
    "warning_closed": "closed",
    "charge_refunded": "closed",
    "prevented": "closed",
}


def payment_id(o: Obj) -> str | None:
    """Of an intent, a charge, or anything that names them."""
    if o.text("object") == "payment_intent":
        return o.id("id")
    own = o.id("id") if o.text("object") == "charge" else None
    return o.id("payment_intent", "charge") or own


def payment_ref(o: Obj) -> Ref:
    return Ref("payment", payment_id(o) or o.must("id"))


def sale_ref(o: Obj) -> Ref:
    return Ref("order", payment_id(o) or o.must("id"))


def shop_order(metadata: dict[str, str], keys: Sequence[str]) -> str | None:
    """The id that a shop left of its own order ("#1001" is 1001).

    WooCommerce's Stripe gateway leaves the order's *number* as `order_id`, and its id before the colon of `signature`
    (woocommerce-gateway-stripe, `get_order_signature`): the id wins.
    """
    woo = _WOO_SIGNATURE.fullmatch(metadata.get("signature", ""))
    if woo:
        return woo[1]
    return next((value for key in keys if (value := metadata.get(key, "").strip().lstrip("#"))), None)


def ids(**named: str | None) -> Places:
    return {f"stripe_{name}": value for name, value in named.items() if value}


def payment_of_charge(o: Obj, status: str, order_id: str | None) -> Payment:
    """A charge. Its captured amount is not said before 2020: then all of it but what was refunded at once."""
    method, outcome, fees = o.of("payment_method_details"), o.of("outcome"), o.of("balance_transaction")
    card = method.of(method.text("type") or "card", "card") or o.of("source", "card")
    captured = o.flag("captured")
    return Payment(
        id=payment_id(o),
        order_id=order_id,
        invoice_id=o.id("invoice"),
        customer_id=o.id("customer"),
        kind="authorization" if captured is False and status != "failed" else "sale",
        status=status,
        amount=o.money("amount_captured" if captured and o.whole("amount_captured") else "amount"),
        authorized=o.money("amount"),
        captured=o.money("amount_captured"),
        refunded=o.money("amount_refunded"),
        presentment=presentment(o),
        fee=fees.money("fee"),
        net=fees.money("net"),
        gateway="stripe",
        method=method.text("type") or o.of("source").text("object"),
        card_brand=(card.text("brand") or "").lower() or None,
        card_last4=card.text("last4"),
        card_country=card.text("country"),
        email=o.of("billing_details").text("email") or o.text("receipt_email"),
        name=o.of("billing_details").text("name") or card.text("name"),
        billing_address=contact(o.of("billing_details")),
        shipping_address=contact(o.of("shipping")),
        description=o.text("description"),
        error_code=o.text("failure_code"),
        error_message=o.text("failure_message"),
        risk=_risk(outcome),
        disputed=o.flag("disputed"),
        receipt_url=o.text("receipt_url"),
        url=f"{DASHBOARD}/payments/{payment_id(o)}",
        created_at=o.time("created"),
        test=o.test,
        metadata=o.metadata(),
        external_ids=ids(payment_intent=o.id("payment_intent"), charge=o.id("id"), balance_transaction=fees.id("id")),
    )


def payment_of_intent(o: Obj, status: str, order_id: str | None) -> Payment:
    """An intent, and what only its charge says where the body holds it (expanded, or before 2022-11-15)."""
    charge, error = latest_charge(o), o.of("last_payment_error")
    said = payment_of_charge(charge, status, order_id) if charge else Payment()
    received = o.whole("amount_received") or 0
    fields = Payment(
        id=o.id("id"),
        order_id=order_id,
        invoice_id=o.id("invoice"),
        customer_id=o.id("customer"),
        kind="authorization" if status == "authorized" else "sale",
        status=status,
        amount=o.money("amount_received" if received else "amount"),
        authorized=o.money("amount_capturable" if o.whole("amount_capturable") else "amount"),
        captured=o.money("amount_received"),
        tip=o.of("amount_details").of("tip").money("amount", currency=o.text("currency")),
        presentment=presentment(o),
        gateway="stripe",
        method=charge.of("payment_method_details").text("type") or _only(o.texts("payment_method_types")),
        email=said.email or o.text("receipt_email"),
        shipping_address=contact(o.of("shipping")),
        description=o.text("description"),
        error_code=error.text("decline_code", "code") or said.error_code,
        error_message=error.text("message") or said.error_message,
        url=f"{DASHBOARD}/payments/{o.id('id')}",
        created_at=o.time("created"),
        test=o.test,
        metadata=said.metadata | o.metadata(),
        external_ids=ids(payment_intent=o.id("id"), charge=charge_of_intent(o)),
    )
    return said.model_copy(update={name: value for name, value in fields if value is not None})


def latest_charge(o: Obj) -> Obj:
    """The charge that an intent holds, empty if it only names it."""
    charges = o.all("charges")
    newest = max(charges, key=lambda each: each.whole("created") or 0) if charges else Obj({})
    return o.of("latest_charge") or newest


def charge_of_intent(o: Obj) -> str | None:
    return o.id("latest_charge") or latest_charge(o).id("id")


def attempt_of_intent(o: Obj) -> str | None:
    """The charge of the attempt that failed; None if it failed before a charge was made (3-D Secure, bad card)."""
    return o.of("last_payment_error").id("charge") or charge_of_intent(o)


def refund(o: Obj, order_id: str | None) -> Refund:
    return Refund(
        id=o.id("id"),
        order_id=order_id,
        payment_id=payment_id(o),
        amount=o.money("amount"),
        presentment=presentment(o),
        status=o.text("status"),
        reason=o.text("reason"),
        note=o.text("description"),
        gateway="stripe",
        failure_reason=o.text("failure_reason"),
        created_at=o.time("created"),
        metadata=o.metadata(),
        external_ids=ids(
            charge=o.id("charge"),
            payment_intent=o.id("payment_intent"),
            balance_transaction=o.id("balance_transaction"),
        ),
    )


def dispute(o: Obj, order_id: str | None) -> Dispute:
    """Before 2014 a dispute had no id of its own: the charge's stands for it."""
    status, details = o.text("status") or "", o.of("evidence_details")
    method = o.of("payment_method_details")
    card, movements = method.of(method.text("type") or "card"), o.all("balance_transactions")
    same = len({each.text("currency") for each in movements}) == 1
    return Dispute(
        id=o.id("id", "charge"),
        order_id=order_id,
        payment_id=payment_id(o),
        customer_id=o.of("charge").id("customer"),
        kind=card.text("case_type") or ("inquiry" if status.startswith("warning_") else "chargeback"),
        amount=o.money("amount"),
        fee=total(each.money("fee") for each in movements) if same else None,
        net=total(each.money("net") for each in movements) if same else None,
        reason=o.text("reason"),
        reason_code=card.text("network_reason_code") or o.text("network_reason_code"),
        status=_DISPUTED.get(status, status),
        outcome=status or None,
        email=o.of("evidence").text("customer_email_address"),
        gateway="stripe",
        due_by=details.time("due_by") or o.time("evidence_due_by"),
        created_at=o.time("created"),
        refundable=o.flag("is_charge_refundable"),
        url=f"{DASHBOARD}/disputes/{o.id('id', 'charge')}",
        test=o.test,
        metadata=o.metadata(),
        external_ids=ids(charge=o.id("charge"), payment_intent=o.id("payment_intent")),
    )


def presentment(o: Obj) -> Money | None:
    """What the buyer saw, where Stripe converted (`presentment_details`)."""
    shown = o.of("presentment_details")
    return shown.money("presentment_amount", currency=shown.text("presentment_currency"))


def _risk(outcome: Obj) -> Risk | None:
    level = outcome.text("risk_level")
    score = outcome.whole("risk_score")
    return Risk(level=_RISK.get(level, level), score=score) if level else None


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None
