"""Fulfilments (parcels), what carriers say of them, and holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from app.connector import Facts, Normaliser, Read, State
from app.events import Event, Fulfillment, FulfillmentEvent, Order, OrderEvent, Ref, event_type
from connectors.shopify.people import address
from connectors.shopify.reading import (
    Body,
    amount_of,
    build,
    fingerprint,
    guarded,
    happening,
    id_of,
    ident,
    listed,
    needed,
    one,
    table,
    take,
    time_of,
    triggered_at,
    version_of,
)
from connectors.shopify.settings import Settings

_PARCEL = table("name status shipment_status tracking_company service email")
_LINE = table("sku title variant_title quantity requires_shipping")


def parcel(body: Body, currency: str | None = None) -> Body:
    """A Fulfillment."""
    found = take(_PARCEL, body)
    get = body.get
    found["id"] = ident(get("id")) or ident(get("admin_graphql_api_id"))
    found["order_id"], found["location_id"] = ident(get("order_id")), ident(get("location_id"))
    found["tracking_numbers"] = _several(body, "tracking_number")
    found["tracking_urls"] = _several(body, "tracking_url")
    found["created_at"], found["updated_at"] = time_of(get("created_at")), time_of(get("updated_at"))
    found["destination"], found["origin"] = address(get("destination")), address(get("origin_address"))
    if get("line_items") is not None:
        found["lines"] = [_line(each, currency) for each in listed(get("line_items"))]
    if gid := get("admin_graphql_api_id"):
        found["external_ids"] = {"gid": gid}
    return found


def _several(body: Body, name: str) -> list[str]:
    """Old bodies say one (`tracking_number`), newer ones also all (`tracking_numbers`)."""
    given = listed(body.get(f"{name}s")) or [body.get(name)]
    return [str(each) for each in given if each]


def _line(line: Body, currency: str | None) -> Body:
    return {
        **take(_LINE, line),
        "id": ident(line.get("id")),
        "line_item_id": ident(line.get("id")),
        "product_id": ident(line.get("product_id")),
        "variant_id": ident(line.get("variant_id")),
        "price": amount_of(line, "price", currency),
    }


# --- parcels ----------------------------------------------------------------------------------------------------

_UPDATED: dict[Any, str] = {
    "cancelled": "fulfillment.cancelled",
    "error": "fulfillment.failed",
    "failure": "fulfillment.failed",
}
"""A fulfilment's status -> our type, at `fulfillments/update`; every other is `fulfillment.updated`."""


def _about(order: str | None, id_: str) -> Ref:
    return Ref("order", order) if order else Ref("fulfillment", id_)


def _parcel_event(type_: str, body: Body, facts: Facts[Settings], when: datetime | None, said: Fulfillment) -> Event:
    id_, version = id_of(body), version_of(said.updated_at)
    return Event(
        type=type_,
        object=Ref("fulfillment", id_),
        subject=_about(said.order_id, id_),
        occurred_at=when or triggered_at(facts),
        data=FulfillmentEvent(fulfillment=said),
        version=version,
        part=None if event_type(type_).milestone else f"{version}/{fingerprint(body)}",
        test=facts.test,
    )


@guarded
def created(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`fulfillments/create`: one parcel; an order of two parcels has two."""
    said, note = build(Fulfillment, parcel(body))
    return [replace(_parcel_event("fulfillment.created", body, facts, said.created_at, said), note=note)]


@guarded
def updated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`fulfillments/update`. That a parcel arrived is left to `fulfillment_events/create`, which knows when."""
    said, note = build(Fulfillment, parcel(body))
    type_ = _UPDATED.get(body.get("status"), "fulfillment.updated")
    return [replace(_parcel_event(type_, body, facts, said.updated_at, said), note=note)]


# --- what carriers say ------------------------------------------------------------------------------------------

STEPS: dict[Any, str] = {
    "in_transit": "fulfillment.in_transit",
    "out_for_delivery": "fulfillment.out_for_delivery",
    "delivered": "fulfillment.delivered",
    "failure": "fulfillment.failed",
    "attempted_delivery": "fulfillment.failed",
    "delayed": "fulfillment.delayed",
}
"""A fulfilment event's status -> our type. Labels, confirmations and pick-ups are `fulfillment.updated`."""

_PLACE = ("address1", "city", "province", "country", "zip", "latitude", "longitude")


def _step(body: Body) -> Body:
    """The Fulfillment that a fulfilment event tells of: only what it says."""
    when, status = time_of(body.get("happened_at")), body.get("status")
    place = {name: body[name] for name in _PLACE if body.get(name) is not None}
    return {
        "id": ident(body.get("fulfillment_id")),
        "order_id": ident(body.get("order_id")),
        "shipment_status": status,
        "message": body.get("message"),
        "estimated_delivery_at": time_of(body.get("estimated_delivery_at")),
        "delivered_at": when if status == "delivered" else None,
        "updated_at": time_of(body.get("updated_at")),
        "extra": {"place": place} if place else {},
    }


def _step_event(type_: str, body: Body, facts: Facts[Settings], part: str, note: str | None = None) -> Event:
    said, unread = build(Fulfillment, _step(body))
    whole = Ref("fulfillment", said.id) if said.id else Ref("fulfillment_event", id_of(body))
    when = time_of(body.get("happened_at")) or time_of(body.get("created_at")) or triggered_at(facts)
    return Event(
        type=type_,
        object=whole,
        subject=Ref("order", said.order_id) if said.order_id else whole,
        occurred_at=when,
        data=FulfillmentEvent(fulfillment=said),
        part=part,
        test=facts.test,
        note="; ".join(each for each in (note, unread) if each) or None,
    )


@guarded
def step_created(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`fulfillment_events/create`: the object is the parcel, each of its steps has the event's id."""
    event = body.get("fulfillment_event") or body
    needed(ident(event.get("fulfillment_id")), "fulfillment_id")
    return [_step_event(STEPS.get(event.get("status"), "fulfillment.updated"), event, facts, id_of(event))]


@guarded
def step_deleted(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`fulfillment_events/delete`: mostly just the id of the event that is taken back."""
    event = body.get("fulfillment_event") or body
    note = f"the fulfilment event {id_of(event)} was deleted"
    return [_step_event("fulfillment.updated", event, facts, f"deleted/{id_of(event)}", note)]


# --- holds ------------------------------------------------------------------------------------------------------


def _fulfillment_order(body: Body) -> Body:
    return body.get("fulfillment_order") or {}


def hold_reads(topic: str, payload: Any, settings: Settings) -> list[Read]:
    """A hold names its fulfilment order, not the order: the order is read from the Admin API if there is a token."""
    body = _fulfillment_order(payload) if isinstance(payload, dict) else {}
    id_ = ident(body.get("id")) if isinstance(body, dict) else None
    if not id_ or not id_.isdecimal() or body.get("order_id") or settings.access_token is None:
        return []
    return [Read("fulfillment_order", f"/admin/api/{settings.api_version}/fulfillment_orders/{id_}.json")]


def _order_of(held: Body, facts: Facts[Settings]) -> str | None:
    answer = facts.reads.get("fulfillment_order")
    read = (answer.get("fulfillment_order") or {}) if isinstance(answer, dict) else {}
    return ident(held.get("order_id")) or ident(read.get("order_id"))


@guarded
def held_or_released(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`fulfillment_orders/placed_on_hold` and `hold_released`: the order was updated, held or not as far as is known.

    Where nobody can tell the order, the event is about the fulfilment order, and says so.
    """
    held = _fulfillment_order(body)
    id_ = needed(ident(held.get("id")), "fulfillment_order.id")
    order = _order_of(held, facts)
    on_hold = held.get("status") == "on_hold" or facts.topic.endswith("placed_on_hold")
    fields = {"id": order, "fulfillment_status": "on_hold" if on_hold else None, "extra": {"hold": body}}
    said, note = build(Order, fields)
    unnamed = None if order else f"the body names only the fulfilment order {id_}, and the order could not be read"
    when = triggered_at(facts)
    part = f"{facts.topic}/{id_}/{happening(facts)}"
    ref = Ref("order", order) if order else Ref("fulfillment_order", id_)
    notes = "; ".join(each for each in (unnamed, note) if each) or None
    return one("order.updated", ref, OrderEvent(order=said), when, part=part, test=facts.test, note=notes)


TOPICS: dict[str, Normaliser[Settings]] = {
    "fulfillments/create": created,
    "fulfillments/update": updated,
    "fulfillment_events/create": step_created,
    "fulfillment_events/delete": step_deleted,
    "fulfillment_orders/placed_on_hold": held_or_released,
    "fulfillment_orders/hold_released": held_or_released,
}
