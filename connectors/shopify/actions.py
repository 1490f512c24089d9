"""What can be done to orders and customers: tags, notes, holds, archiving, cancelling, parcels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from app.connector import Context, Json, action, lookup, upsert
from app.errors import PermanentError
from connectors.shopify import documents
from connectors.shopify.graphql import ask, gid, plain_id
from connectors.shopify.settings import Settings

Id = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True, pattern=r"^(gid://shopify/\w+/)?\d+$")]
"""Shopify's number, or its gid."""
Tag = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=r"^[^,]+$")]
HANDLE = "tradewind"
EXAMPLE_ORDER, HELD_ORDER, EXAMPLE_CUSTOMER = "5600001067975", "5600001068405", "7200000000042"


class OfOrder(BaseModel):
    order_id: Annotated[Id, Field(description="The order's id, as events carry it")]


class Changed(BaseModel):
    """`id`: of what was changed."""

    id: str


class TagOrder(OfOrder):
    tags: Annotated[list[Tag], Field(min_length=1)]


class TagCustomer(BaseModel):
    customer_id: Id
    tags: Annotated[list[Tag], Field(min_length=1)]


class Tagged(Changed):
    tags: Annotated[list[str], Field(description="All tags that it has now")]


async def _tag(ctx: Context[Settings], document: str, field: str, id: str, tags: list[str]) -> Tagged:
    data = await ask(ctx, document, id=id, tags=tags)
    node = _there(data[field]["node"], id)
    return Tagged(id=plain_id(node["id"]), tags=node.get("tags") or [])


def _there(node: Json, id: str) -> Mapping[str, Json]:
    if not isinstance(node, dict):
        raise PermanentError(f"Shopify has no {id}")
    return node


def _tag_order() -> TagOrder:
    return TagOrder(order_id=EXAMPLE_ORDER, tags=["invoiced"])


def _tag_customer() -> TagCustomer:
    return TagCustomer(customer_id=EXAMPLE_CUSTOMER, tags=["vip"])


@action(safe=upsert, example=_tag_order, causes=("order.updated",))
async def tag_order(ctx: Context[Settings], input: TagOrder) -> Tagged:
    """Add tags to an order; those it has stay."""
    return await _tag(ctx, documents.TAGS_ADD, "tagsAdd", gid("Order", input.order_id), input.tags)


@action(safe=upsert, example=_tag_order, causes=("order.updated",))
async def untag_order(ctx: Context[Settings], input: TagOrder) -> Tagged:
    """Take tags off an order; others stay."""
    return await _tag(ctx, documents.TAGS_REMOVE, "tagsRemove", gid("Order", input.order_id), input.tags)


@action(safe=upsert, example=_tag_customer, causes=("customer.updated",))
async def tag_customer(ctx: Context[Settings], input: TagCustomer) -> Tagged:
    """Add tags to a customer; those there stay."""
    return await _tag(ctx, documents.TAGS_ADD, "tagsAdd", gid("Customer", input.customer_id), input.tags)


@action(safe=upsert, example=_tag_customer, causes=("customer.updated",))
async def untag_customer(ctx: Context[Settings], input: TagCustomer) -> Tagged:
    """Take tags off a customer; others stay."""
    return await _tag(ctx, documents.TAGS_REMOVE, "tagsRemove", gid("Customer", input.customer_id), input.tags)


# --- notes, archive ---------------------------------------------------------------------------------------------


class AddNote(OfOrder):
    note: Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]


class Noted(Changed):
    note: Annotated[str, Field(description="The whole note as it reads now")]


@action(
    safe=upsert,
    example=lambda: AddNote(order_id=EXAMPLE_ORDER, note="Invoice 1042 sent"),
    exclusive_by=lambda input: input.order_id,
    causes=("order.updated",),
)
async def add_note(ctx: Context[Settings], input: AddNote) -> Noted:
    """Add lines to an order's note. Shopify only replaces notes, so the old one is read first; lines that are there
    already are not added again."""
    id_ = gid("Order", input.order_id)
    order = _there((await ask(ctx, documents.NOTE, id=id_))["order"], id_)
    old = order.get("note") or ""
    if f"\n{input.note}\n" in f"\n{old}\n":
        return Noted(id=plain_id(id_), note=old)
    note = f"{old}\n{input.note}" if old else input.note
    data = await ask(ctx, documents.NOTE_SET, input={"id": id_, "note": note})
    return Noted(id=plain_id(id_), note=data["orderUpdate"]["order"]["note"])


@action(safe=upsert, example=lambda: OfOrder(order_id=EXAMPLE_ORDER), causes=("order.updated", "order.closed"))
async def archive_order(ctx: Context[Settings], input: OfOrder) -> Changed:
    """Archive an order: it leaves the list of open ones."""
    data = await ask(ctx, documents.ARCHIVE, id=gid("Order", input.order_id))
    return Changed(id=plain_id(data["orderClose"]["order"]["id"]))


# --- holds ------------------------------------------------------------------------------------------------------

REASONS = {
    *("awaiting_payment", "awaiting_return_items", "high_risk_of_fraud", "incorrect_address"),
    *("inventory_out_of_stock", "unknown_delivery_date", "other"),
}
"""Shopify's own words for why an order is held; any other reason is `other`, and kept as the note."""


class HoldOrder(OfOrder):
    reason: Annotated[str | None, Field(max_length=500, description="high_risk_of_fraud ..., or words of your own")] = (
        None
    )
    note: Annotated[str | None, Field(max_length=1000, description="What the staff reads")] = None
    handle: Annotated[str, Field(max_length=64, description="The name under which `release_order` finds it")] = HANDLE
    notify: Annotated[bool, Field(description="Tell the merchant by e-mail")] = False


class ReleaseOrder(OfOrder):
    handle: Annotated[str, Field(max_length=64)] = HANDLE


class Held(Changed):
    fulfillment_orders: Annotated[list[str], Field(description="Those concerned; none if nothing is left to send")]


_SENDABLE = {"OPEN", "SCHEDULED", "IN_PROGRESS", "ON_HOLD"}


async def _to_send(ctx: Context[Settings], order_id: str) -> tuple[Mapping[str, Json], list[Json]]:
    """The order, and those of its fulfilment orders (one for each place) that are not yet done, by id."""
    id_ = gid("Order", order_id)
    order = _there((await ask(ctx, documents.FULFILLMENT_ORDERS, id=id_))["order"], id_)
    nodes = [each for each in order["fulfillmentOrders"]["nodes"] if each["status"] in _SENDABLE]
    return order, sorted(nodes, key=lambda each: str(each["id"]))


@action(
    safe=upsert,
    example=lambda: HoldOrder(order_id=EXAMPLE_ORDER, reason="high_risk_of_fraud", note="Two cards were tried"),
    causes=("order.updated",),
)
async def hold_order(ctx: Context[Settings], input: HoldOrder) -> Held:
    """Hold the sending of an order: every part of it that is not sent yet, under a handle of ours."""
    order, nodes = await _to_send(ctx, input.order_id)
    if nodes:
        ids = {f"id{n}": each["id"] for n, each in enumerate(nodes)}
        again = ("DUPLICATE_FULFILLMENT_HOLD_HANDLE",)
        await ask(ctx, documents.hold(len(nodes)), again, hold=_hold(input), **ids)
    return Held(id=plain_id(order["id"]), fulfillment_orders=[plain_id(each["id"]) for each in nodes])


def _hold(input: HoldOrder) -> Json:
    word = (input.reason or "other").strip().lower().replace(" ", "_")
    known = word in REASONS
    note = "; ".join(each for each in (None if known else input.reason, input.note) if each)
    reason = word.upper() if known else "OTHER"
    hold = {"reason": reason, "handle": input.handle, "notifyMerchant": input.notify}
    return hold | ({"reasonNotes": note} if note else {})


@action(safe=upsert, example=lambda: ReleaseOrder(order_id=HELD_ORDER), causes=("order.updated",))
async def release_order(ctx: Context[Settings], input: ReleaseOrder) -> Held:
    """Release the holds that `hold_order` put under the same handle; those of others stay."""
    order, nodes = await _to_send(ctx, input.order_id)
    held = {each["id"]: ours for each in nodes if (ours := _ours(each, input.handle))}
    if held:
        ids = {f"id{n}": id_ for n, id_ in enumerate(held)}
        holds = {f"holds{n}": ours for n, ours in enumerate(held.values())}
        await ask(ctx, documents.release(len(held)), **ids, **holds)
    return Held(id=plain_id(order["id"]), fulfillment_orders=[plain_id(each) for each in held])


def _ours(node: Json, handle: str) -> list[str]:
    return [each["id"] for each in node["fulfillmentHolds"] if each["handle"] == handle and each["heldByRequestingApp"]]


# --- cancel, pay ------------------------------------------------------------------------------------------------


class CancelOrder(OfOrder):
    refund: Annotated[bool, Field(description="Give the money back, the way it came")]
    restock: Annotated[bool, Field(description="Put the goods back into stock")]
    reason: Literal["customer", "declined", "fraud", "inventory", "staff", "other"] = "other"
    notify_customer: bool = False
    note: Annotated[str | None, Field(max_length=255, description="What the staff reads")] = None


async def _cancelled(ctx: Context[Settings], input: CancelOrder) -> Changed | None:
    id_ = gid("Order", input.order_id)
    order = (await ask(ctx, documents.STANDING, id=id_))["order"]
    return Changed(id=plain_id(id_)) if order and order["cancelledAt"] else None


@action(
    safe=lookup(timedelta(minutes=2), _cancelled),
    example=lambda: CancelOrder(order_id=EXAMPLE_ORDER, refund=True, restock=True, reason="fraud"),
    causes=("order.cancelled", "order.updated", "refund.created"),
)
async def cancel_order(ctx: Context[Settings], input: CancelOrder) -> Changed:
    """Cancel an order for good. Shopify does it a moment later; `order.cancelled` says when."""
    await ask(
        ctx,
        documents.CANCEL,
        id=gid("Order", input.order_id),
        reason=input.reason.upper(),
        restock=input.restock,
        refund=input.refund,
        notify=input.notify_customer,
        note=input.note,
    )
    return Changed(id=plain_id(input.order_id))


async def _paid(ctx: Context[Settings], input: OfOrder) -> Changed | None:
    id_ = gid("Order", input.order_id)
    order = (await ask(ctx, documents.STANDING, id=id_))["order"]
    return Changed(id=plain_id(id_)) if order and order["displayFinancialStatus"] == "PAID" else None


@action(
    safe=lookup(timedelta(seconds=30), _paid),
    example=lambda: OfOrder(order_id=EXAMPLE_ORDER),
    causes=("order.paid", "order.updated"),
)
async def mark_paid(ctx: Context[Settings], input: OfOrder) -> Changed:
    """Mark an order as paid by other means (bank transfer, cash)."""
    await ask(ctx, documents.MARK_PAID, id=gid("Order", input.order_id))
    return Changed(id=plain_id(input.order_id))


# --- parcels ----------------------------------------------------------------------------------------------------


class ParcelLine(BaseModel):
    line_item_id: Id
    quantity: Annotated[int, Field(ge=1)]


class CreateFulfillment(OfOrder):
    tracking_number: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    tracking_company: str | None = None
    tracking_url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    lines: Annotated[list[ParcelLine] | None, Field(description="None: all that is left to send")] = None
    notify_customer: Annotated[bool, Field(description="Shopify mails the buyer")] = False


class Fulfilled(BaseModel):
    ids: Annotated[list[str], Field(description="The fulfilments made: one for each place that goods leave from")]


async def _fulfilled(ctx: Context[Settings], input: CreateFulfillment) -> Fulfilled | None:
    id_ = gid("Order", input.order_id)
    order = _there((await ask(ctx, documents.FULFILLMENT_ORDERS, id=id_))["order"], id_)
    made = [
        plain_id(each["id"])
        for each in order["fulfillments"]
        if each["status"] != "CANCELLED" and any(t["number"] == input.tracking_number for t in each["trackingInfo"])
    ]
    return Fulfilled(ids=made) if made else None


@action(
    safe=lookup(timedelta(seconds=30), _fulfilled),
    example=lambda: CreateFulfillment(
        order_id=EXAMPLE_ORDER, tracking_number="1Z999AA10123456784", tracking_company="UPS"
    ),
    exclusive_by=lambda input: input.order_id,
    causes=("fulfillment.created", "order.fulfilled", "order.partially_fulfilled", "order.updated"),
)
async def create_fulfillment(ctx: Context[Settings], input: CreateFulfillment) -> Fulfilled:
    """Mark goods as sent, with the parcel's tracking."""
    _, nodes = await _to_send(ctx, input.order_id)
    parcels = _parcels(input, nodes)
    if not parcels:
        raise PermanentError("nothing of the order is left to send")
    data = await ask(ctx, documents.fulfill(len(parcels)), **{f"parcel{n}": each for n, each in enumerate(parcels)})
    return Fulfilled(ids=[plain_id(data[f"parcel{n}"]["fulfillment"]["id"]) for n in range(len(parcels))])


def _parcels(input: CreateFulfillment, nodes: list[Json]) -> list[Json]:
    """One parcel for each place; a part of the lines if the input names some."""
    tracking = {"number": input.tracking_number, "company": input.tracking_company, "url": input.tracking_url}
    left = {plain_id(each.line_item_id): each.quantity for each in input.lines} if input.lines is not None else None
    by_place: dict[str, list[Json]] = {}
    for node in nodes:
        lines = _lines(node, left)
        if node["status"] == "ON_HOLD" or lines == []:
            continue
        place = ((node.get("assignedLocation") or {}).get("location") or {}).get("id") or ""
        part = {"fulfillmentOrderId": node["id"]} | ({"fulfillmentOrderLineItems": lines} if lines else {})
        by_place.setdefault(place, []).append(part)
    told = {name: value for name, value in tracking.items() if value}
    return [
        {"lineItemsByFulfillmentOrder": parts, "trackingInfo": told, "notifyCustomer": input.notify_customer}
        for parts in by_place.values()
    ]


def _lines(node: Json, left: dict[str, int] | None) -> list[Json] | None:
    """What of a fulfilment order goes into the parcel: None for all, [] for nothing. Counts `left` down."""
    if left is None:
        return None
    chosen = []
    for line in node["lineItems"]["nodes"]:
        id_ = plain_id(line["lineItem"]["id"])
        count = min(left.get(id_, 0), line["remainingQuantity"])
        if count:
            left[id_] -= count
            chosen.append({"id": line["id"], "quantity": count})
    return chosen


ORDER_ACTIONS = (
    tag_order,
    untag_order,
    tag_customer,
    untag_customer,
    add_note,
    archive_order,
    hold_order,
    release_order,
    cancel_order,
    mark_paid,
    create_fulfillment,
)
