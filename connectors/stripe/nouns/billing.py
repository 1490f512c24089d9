"""Subscriptions, invoices and payouts as our nouns, of every version: many fields moved in 2025-03-31 (basil)."""

from datetime import datetime

from app.events import (
    Customer,
    Invoice,
    InvoiceLine,
    Money,
    Payout,
    Ref,
    Subscription,
    SubscriptionItem,
    total,
)
from connectors.stripe.body import Obj, said
from connectors.stripe.nouns.payments import DASHBOARD, ids
from connectors.stripe.nouns.people import address

_SUBSCRIPTION_STATUS = {"canceled": "cancelled", "incomplete_expired": "expired"}
_INVOICE_STATUS = {"void": "voided"}
_BILLING_REASON = {
    "subscription_create": "first",
    "subscription_cycle": "renewal",
    "subscription_update": "update",
    "manual": "manual",
}


# --- subscriptions


def subscription_items(o: Obj) -> list[SubscriptionItem]:
    """Before items existed a subscription had one plan and a quantity."""
    return [_item(item) for item in o.all("items") or ([o] if o.of("plan") else [])]


def _item(item: Obj) -> SubscriptionItem:
    price = item.of("price", "plan")
    recurring = price.of("recurring") or price
    product = price.of("product")
    return SubscriptionItem(
        id=item.id("id"),
        product_id=price.id("product"),
        variant_id=price.id("id"),
        sku=price.metadata().get("sku") or price.text("lookup_key"),
        title=product.text("name") or price.text("nickname", "name"),
        quantity=item.whole("quantity"),
        price=price.unit_price(),
        interval=recurring.text("interval"),
        interval_count=recurring.whole("interval_count"),
        current_period_start=item.time("current_period_start"),
        current_period_end=item.time("current_period_end"),
    )


def subscription(o: Obj, previous: Obj) -> Subscription:
    items = subscription_items(o)
    first, ended = items[0] if items else SubscriptionItem(), o.of("cancellation_details")
    pause = o.of("pause_collection")
    end = o.time("current_period_end") or first.current_period_end
    going_on = o.text("status") in ("active", "trialing", "past_due") and not o.flag("cancel_at_period_end")
    return Subscription(
        id=o.id("id"),
        customer_id=o.id("customer"),
        latest_invoice_id=o.id("latest_invoice"),
        status=_SUBSCRIPTION_STATUS.get(o.text("status") or "", o.text("status")),
        title=first.title,
        items=items,
        amount=_per_interval(items),
        currency=(o.text("currency") or "").upper() or (first.price.currency if first.price else None),
        interval=first.interval,
        interval_count=first.interval_count,
        created_at=o.time("created"),
        started_at=o.time("start_date", "start"),
        current_period_start=o.time("current_period_start") or first.current_period_start,
        current_period_end=end,
        trial_start=o.time("trial_start"),
        trial_end=o.time("trial_end"),
        next_payment_at=end if going_on and not o.whole("cancel_at") else None,
        resumes_at=pause.time("resumes_at"),
        cancel_at_period_end=o.flag("cancel_at_period_end"),
        cancel_at=o.time("cancel_at"),
        cancelled_at=o.time("canceled_at"),
        ended_at=o.time("ended_at"),
        cancel_reason=ended.text("reason"),
        cancel_comment=ended.text("comment"),
        payment_method=o.id("default_payment_method", "default_source"),
        url=f"{DASHBOARD}/subscriptions/{o.id('id')}",
        previous=dict(previous.raw),
        test=o.test,
        metadata=o.metadata(),
        extra=said(pause_behavior=pause.text("behavior"), feedback=ended.text("feedback")),
    )


def _per_interval(items: list[SubscriptionItem]) -> Money | None:
    """The sum of all items, if each has a price and they recur alike."""
    if len({(item.interval, item.interval_count) for item in items}) != 1:
        return None
    parts = [item.price * item.quantity for item in items if item.price is not None and item.quantity is not None]
    one = {part.currency for part in parts}
    return total(parts) if len(parts) == len(items) and len(one) == 1 else None


def subscription_of_invoice(o: Obj) -> Subscription:
    """What an invoice says of the subscription that it bills."""
    start, end = billed_period(o)
    return Subscription(
        id=subscription_id(o),
        customer_id=o.id("customer"),
        customer=payer(o),
        email=o.text("customer_email"),
        latest_invoice_id=o.id("id"),
        payment_id=invoice_payment(o),
        currency=o.currency,
        amount=o.money("total"),
        current_period_start=start,
        current_period_end=end,
        failed_payments_count=o.whole("attempt_count") if o.text("status") == "open" else None,
        next_payment_at=o.time("next_payment_attempt"),
        test=o.test,
        metadata=(o.of("parent").of("subscription_details") or o.of("subscription_details")).metadata(),
    )


# --- invoices


def subscription_id(o: Obj) -> str | None:
    """Of an invoice; moved into `parent` in basil, and to the lines before."""
    named = o.id("subscription") or o.of("parent").of("subscription_details").id("subscription")
    return named or next((id for line in o.all("lines") if (id := _line_subscription(line))), None)


def _line_subscription(line: Obj) -> str | None:
    parent = line.of("parent")
    details = parent.of("subscription_item_details", "invoice_item_details")
    return line.id("subscription") or details.id("subscription")


def invoice_payment(o: Obj) -> str | None:
    """The payment intent (or charge) that paid it; basil says it only where `payments` is expanded."""
    paid = next((each.of("payment") for each in o.all("payments")), Obj({}))
    return o.id("payment_intent") or paid.id("payment_intent", "charge") or o.id("charge")


def billed_period(o: Obj) -> tuple[datetime | None, datetime | None]:
    """The period that an invoice's newest line of its subscription pays; prorations look back and do not count."""
    lines = [line for line in o.all("lines") if _line_subscription(line) and not _proration(line)]
    newest = max((line.of("period") for line in lines), key=lambda p: p.whole("start") or 0, default=Obj({}))
    return newest.time("start") or o.time("period_start"), newest.time("end") or o.time("period_end")


def is_renewal(o: Obj) -> bool:
    """Before 2018-10-31 the reason was `subscription` for all periods; a first one has no period before it."""
    reason = o.text("billing_reason")
    later = (o.whole("period_start") or 0) < (o.whole("period_end") or 0)
    return reason == "subscription_cycle" or (reason == "subscription" and later)


def invoice_ref(o: Obj) -> Ref:
    return Ref("invoice", o.must("id"))


def invoice_subject(o: Obj) -> Ref:
    """An invoice stands on its subscription's timeline, or on that of its payment, or alone."""
    subscription, payment = subscription_id(o), invoice_payment(o)
    if subscription:
        return Ref("subscription", subscription)
    return Ref("order", payment) if payment else invoice_ref(o)


def payer(o: Obj) -> Customer | None:
    own = address(o.of("customer_address"))
    known = Customer(
        id=o.id("customer"),
        email=o.text("customer_email"),
        name=o.text("customer_name"),
        phone=o.text("customer_phone"),
        default_address=own,
        tax_numbers=[value for value in (tax.text("value") for tax in o.all("customer_tax_ids")) if value] or None,
    )
    return known if known.id or known.email else None


def invoice(o: Obj) -> Invoice:
    moments, error = o.of("status_transitions"), o.of("last_finalization_error", "last_payment_error")
    start, end = billed_period(o)
    return Invoice(
        id=o.id("id"),
        number=o.text("number"),
        customer_id=o.id("customer"),
        customer=payer(o),
        email=o.text("customer_email"),
        subscription_id=subscription_id(o),
        payment_id=invoice_payment(o),
        status=_INVOICE_STATUS.get(o.text("status") or "", o.text("status")) or _old_status(o),
        billing_reason=_BILLING_REASON.get(o.text("billing_reason") or "", o.text("billing_reason")),
        currency=o.currency,
        subtotal=o.money("subtotal"),
        discount=_sum(o, "total_discount_amounts"),
        tax=o.money("tax") or _sum(o, "total_taxes") or _sum(o, "total_tax_amounts"),
        total=o.money("total"),
        amount_due=o.money("amount_due"),
        amount_paid=o.money("amount_paid"),
        amount_remaining=o.money("amount_remaining"),
        lines=[_line(line, o.text("currency")) for line in o.all("lines")] if o.has("lines") else None,
        billing_address=address(o.of("customer_address"), o.text("customer_name")),
        created_at=o.time("created", "date"),
        due_at=o.time("due_date"),
        paid_at=moments.time("paid_at"),
        voided_at=moments.time("voided_at"),
        period_start=start,
        period_end=end,
        attempt=o.whole("attempt_count"),
        next_attempt_at=o.time("next_payment_attempt"),
        error_code=error.text("decline_code", "code"),
        error_message=error.text("message"),
        paid_out_of_band=o.flag("paid_out_of_band"),
        url=o.text("hosted_invoice_url"),
        pdf_url=o.text("invoice_pdf"),
        test=o.test,
        metadata=o.metadata(),
        external_ids=ids(invoice=o.id("id"), charge=o.id("charge"), payment_intent=o.id("payment_intent")),
        extra=said(collection_method=o.text("collection_method"), description=o.text("description")),
    )


def _line(line: Obj, currency: str | None) -> InvoiceLine:
    """`pricing.price_details` since basil; before it `price`, before 2020 `plan`."""
    price, details = line.of("price", "plan"), line.of("pricing").of("price_details")
    decimal = Obj({"currency": currency, "unit_amount_decimal": line.of("pricing").raw.get("unit_amount_decimal")})
    period = line.of("period")
    return InvoiceLine(
        id=line.id("id"),
        product_id=details.id("product") or price.id("product"),
        variant_id=details.id("price") or price.id("id"),
        subscription_id=_line_subscription(line),
        title=line.text("description"),
        quantity=line.whole("quantity"),
        price=price.unit_price() or decimal.unit_price(),
        amount=line.money("amount", currency=line.text("currency") or currency),
        tax=_sum(line, "taxes", currency) or _sum(line, "tax_amounts", currency),
        proration=_proration(line),
        period_start=period.time("start"),
        period_end=period.time("end"),
    )


def _proration(line: Obj) -> bool | None:
    details = line.of("parent").of("subscription_item_details", "invoice_item_details")
    flag = line.flag("proration")
    return details.flag("proration") if flag is None else flag


def _sum(o: Obj, name: str, currency: str | None = None) -> Money | None:
    """The sum of `amount` over a list that has no currency of its own; None if the list is missing or empty."""
    return total(each.money("amount", currency=currency or o.text("currency")) for each in o.all(name))


def _old_status(o: Obj) -> str | None:
    """Before 2018 an invoice had no status, but flags."""
    paid = o.flag("paid")
    return None if paid is None else "paid" if paid else "open"


# --- payouts


def payout(o: Obj) -> Payout:
    bank = o.of("destination")
    return Payout(
        id=o.id("id"),
        amount=o.money("amount"),
        status=o.text("status"),
        method=o.text("method"),
        description=o.text("description"),
        bank_name=bank.text("bank_name"),
        bank_last4=bank.text("last4"),
        failure_code=o.text("failure_code"),
        failure_message=o.text("failure_message"),
        automatic=o.flag("automatic"),
        created_at=o.time("created"),
        arrives_at=o.time("arrival_date"),
        test=o.test,
        metadata=o.metadata(),
        extra=said(balance_transaction=o.id("balance_transaction"), reconciliation=o.text("reconciliation_status")),
    )
