"""Returns: goods that buyers want to send back."""

from __future__ import annotations

from typing import Any

from app.connector import Facts, Normaliser, State
from app.events import Event, Ref, Return, event_type, return_event
from connectors.shopify.reading import (
    Body,
    added,
    build,
    exactly,
    fingerprint,
    guarded,
    happening,
    id_of,
    ident,
    listed,
    of_pair,
    one,
    time_of,
    triggered_at,
)
from connectors.shopify.settings import Settings

STEPS = {
    "returns/request": "return.requested",
    "returns/approve": "return.approved",
    "returns/decline": "return.declined",
    "returns/cancel": "return.cancelled",
    "returns/close": "return.closed",
    "returns/reopen": "return.reopened",
    "returns/update": "return.updated",
    "returns/process": "return.received",
}
_STATUS: dict[Any, str] = {"canceled": "cancelled", "return_closed": "closed"}


def returned(body: Body) -> Body:
    """A Return."""
    lines = listed(body.get("return_line_items"))
    status, decline = body.get("status"), body.get("decline") or {}
    found: Body = {
        "id": id_of(body),
        "name": body.get("name"),
        "order_id": _id_in(body.get("order")) or ident(body.get("order_id")),
        "status": _STATUS.get(status, status.lower() if isinstance(status, str) else status),
        "decline_reason": decline.get("reason"),
        "note": decline.get("note"),
        "lines": [_line(each) for each in lines],
        "exchange_lines": [_exchange(each) for each in listed(body.get("exchange_line_items"))],
        "quantity": body.get("total_return_line_items"),
        "created_at": time_of(body.get("created_at")),
        "closed_at": time_of(body.get("closed_at")),
    }
    if lines and (reason := next((each.get("return_reason") for each in lines), None)):
        found["reason"] = reason
    found["fee"] = _fee(body, lines)
    if gid := body.get("admin_graphql_api_id"):
        found["external_ids"] = {"gid": gid}
    return found


def _id_in(holder: Any) -> str | None:
    return (ident(holder.get("id")) or ident(holder.get("admin_graphql_api_id"))) if holder else None


def _line(line: Body) -> Body:
    parcel_line = line.get("fulfillment_line_item") or {}
    return {
        "id": ident(line.get("id")),
        "fulfillment_line_id": ident(parcel_line.get("id")),
        "line_item_id": _id_in(parcel_line.get("line_item")),
        "quantity": line.get("quantity"),
        "reason": line.get("return_reason"),
        "note": line.get("customer_note") or line.get("return_reason_note"),
    }


def _exchange(line: Body) -> Body:
    goods = line.get("line_item") or {}
    return {"id": ident(goods.get("id")) or ident(line.get("id")), "quantity": line.get("quantity")}


def _fee(body: Body, lines: list[Body]) -> Any:
    """Return shipping and restocking together, in the shop's currency."""
    fees = [*listed(body.get("return_shipping_fees")), *(each.get("restocking_fee") for each in lines)]
    amounts = [of_pair(each["price"], None) for each in fees if each and each.get("price")]
    known = [each for each in amounts if each is not None]
    return exactly(added(known), known[0].currency) if known else None


@guarded
def stated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """One event for one of STEPS. Bodies have no time of their own: Shopify's time of the delivery stands for it."""
    said, note = build(Return, returned(body))
    type_, ref = STEPS[facts.topic], Ref("return", id_of(body))
    part = None if event_type(type_).milestone else f"{happening(facts)}/{fingerprint(body)}"
    return one(
        type_,
        ref,
        return_event(said),
        triggered_at(facts),
        subject=Ref("order", said.order_id) if said.order_id else ref,
        part=part,
        test=facts.test,
        note=note,
    )


TOPICS: dict[str, Normaliser[Settings]] = dict.fromkeys(STEPS, stated)
