"""Refunds, told one by one, or as what a charge has given back by now."""

from collections.abc import Mapping
from datetime import datetime

from app.connector import Facts, Unread
from app.events import Event, Ref, Refund, RefundEvent
from connectors.stripe.amounts import from_api
from connectors.stripe.body import Notice, Obj
from connectors.stripe.models import Settings
from connectors.stripe.nouns import payments
from connectors.stripe.topics.statement import Handler, Said, event, order_id, remembered, shop_links

REFUNDS = "refunds"
"""Also the name of the read."""


def _refund(notice: Notice, facts: Facts[Settings], name: str, o: Obj, refund: Refund, at: datetime | None) -> Event:
    """`charge.refund.updated` and `refund.updated` tell one change under two ids: state and time tell them together."""
    part = f"{o.text('status')} {notice.version}" if name == "updated" else None
    return event(
        notice,
        facts,
        f"refund.{name}",
        Ref("refund", o.must("id")),
        payments.sale_ref(o),
        RefundEvent(refund=refund),
        at=at,
        part=part,
        links=shop_links(notice, facts, *_around(o)),
    )


def _around(o: Obj) -> tuple[Obj, ...]:
    """Where else a shop may have named its order: the refund itself, and its payment if that is expanded."""
    return o, o.of("charge"), o.of("payment_intent")


def _read(notice: Notice, facts: Facts[Settings], o: Obj) -> Refund:
    """A refund does not say its mode; its event does."""
    refund = payments.refund(o, order_id(notice, facts, *_around(o)))
    return refund.model_copy(update={"test": None if notice.livemode is None else not notice.livemode})


def refund_created(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    return [_refund(notice, facts, "created", o, _read(notice, facts, o), o.time("created"))]


def refund_updated(notice: Notice, facts: Facts[Settings]) -> Said:
    """A refund can fail days after it succeeded: the money is back with the merchant."""
    o = notice.object
    refund = _read(notice, facts, o)
    updated = _refund(notice, facts, "updated", o, refund, None)
    if o.text("status") not in ("failed", "canceled"):
        return [updated]
    return [updated, _refund(notice, facts, "failed", o, refund, None)]


def refund_failed(notice: Notice, facts: Facts[Settings]) -> Said:
    o = notice.object
    return [_refund(notice, facts, "failed", o, _read(notice, facts, o), None)]


def charge_refunded(notice: Notice, facts: Facts[Settings]) -> Said:
    """Says how much of the charge is refunded by now, and before 2022-11-15 also by which refunds.

    Only a refund's own id makes one event with `refund.created`: where neither the body nor a read names it, what is
    told is that the payment's refunds changed, by how much and to how much.
    """
    new = _new_refunds(notice) or _read_refunds(notice, facts)
    if not new:
        return [_refunded_by(notice, facts)]
    newest = max(new, key=lambda each: each.whole("created") or 0)
    return [_refund_of_charge(notice, facts, each, each is newest) for each in new]


def _read_refunds(notice: Notice, facts: Facts[Settings]) -> list[Obj]:
    """All that were read and made by then: earlier ones are known already, or were missed."""
    read, until = facts.reads.get(REFUNDS), notice.created
    if isinstance(read, Unread) or not isinstance(read, dict):
        return []
    made = [(each, each.time("created")) for each in Obj(read).all("data") if each.id("id")]
    return [each for each, at in made if until is None or at is None or at <= until]


def _new_refunds(notice: Notice) -> list[Obj]:
    """The refunds that this body is about: those not there before, or the newest that make up what was added."""
    usable = [each for each in notice.object.all(REFUNDS) if each.id("id")]
    before = {each.id("id") for each in notice.previous.all(REFUNDS)}
    if before:
        return [each for each in usable if each.id("id") not in before]
    added = _added(notice)
    if added is None:
        return usable
    new: list[Obj] = []
    for each in sorted(usable, key=lambda each: each.whole("created") or 0, reverse=True):
        if sum(one.whole("amount") or 0 for one in new) < added:
            new.append(each)
    return new


def _added(notice: Notice) -> int | None:
    now, before = notice.object.whole("amount_refunded"), notice.previous.whole("amount_refunded")
    return None if now is None or before is None else now - before


def _refund_of_charge(notice: Notice, facts: Facts[Settings], each: Obj, newest: bool) -> Event:
    charge = notice.object
    o = Obj({"currency": charge.text("currency"), **each.raw, "charge": charge.id("id"), **_intent(charge)})
    refund = _read(notice, facts, o)
    if newest:
        told = {"total_refunded": charge.money("amount_refunded"), "is_full": charge.flag("refunded")}
        refund = refund.model_copy(update=told)
    return _refund(notice, facts, "created", o, refund, o.time("created"))


def _intent(charge: Obj) -> dict[str, str]:
    id = charge.id("payment_intent")
    return {"payment_intent": id} if id else {}


def _refunded_by(notice: Notice, facts: Facts[Settings]) -> Event:
    """`refund.updated` of the payment: the amount added since the last that was told, if that is known."""
    o, now, before = notice.object, notice.object.whole("amount_refunded"), _told_before(notice, facts.since)
    return event(
        notice,
        facts,
        "refund.updated",
        payments.payment_ref(o),
        payments.sale_ref(o),
        RefundEvent(refund=_sum_refunded(notice, facts, before)),
        part=f"refunded {now}",
        versioned=False,
        note="the refund's id is not in this body: subscribe refund.created, or give the connection an api_key",
        remember=None if now is None else {**remembered(notice), "refunded": max(now, before or 0)},
        links=shop_links(notice, facts),
    )


def _told_before(notice: Notice, since: datetime | None) -> int | None:
    """What was refunded of the payment when last told; nothing of one that the connection has seen from its start."""
    known = remembered(notice).get("refunded")
    if isinstance(known, int):
        return known
    made = notice.object.time("created")
    return 0 if since and made and made >= since else None


def _sum_refunded(notice: Notice, facts: Facts[Settings], before: int | None) -> Refund:
    o, now, added = notice.object, notice.object.whole("amount_refunded"), _added(notice)
    if added is None and now is not None and before is not None and now > before:
        added = now - before
    return Refund(
        order_id=order_id(notice, facts),
        payment_id=payments.payment_id(o),
        amount=from_api(added, o.currency),
        total_refunded=o.money("amount_refunded"),
        is_full=o.flag("refunded"),
        gateway="stripe",
        test=None if notice.livemode is None else not notice.livemode,
        external_ids=payments.ids(charge=o.id("id"), payment_intent=o.id("payment_intent")),
    )


TOPICS: Mapping[str, Handler] = {
    "charge.refunded": charge_refunded,
    "charge.refund.updated": refund_updated,
    "refund.created": refund_created,
    "refund.updated": refund_updated,
    "refund.failed": refund_failed,
}
