"""Parcels: WooCommerce has none of its own; its Shipment Tracking extension and those that copy it (Advanced Shipment
Tracking) keep them in the order's meta data."""

from app.connector import Facts, Json
from app.events import Event, Fulfillment, FulfillmentEvent, Order, Ref, from_unix
from connectors.woocommerce.fields import Body, ident, number, past, text
from connectors.woocommerce.settings import Settings

ITEMS = "_wc_shipment_tracking_items"


def fulfillments_of(body: Body, said: dict[str, Json]) -> list[Fulfillment] | None:
    """The order's parcels; None where no extension keeps any."""
    items = said.get(ITEMS)
    if not isinstance(items, list):
        return None
    return [_parcel(item, ident(body, "id")) for item in items if isinstance(item, dict) and _number(item)]


def _parcel(item: Body, order: str | None) -> Fulfillment:
    shipped, link = number(item.get("date_shipped")), text(item, "custom_tracking_link")
    when = from_unix(int(shipped)) if shipped is not None and 0 < shipped < 10**11 else None
    return Fulfillment(
        id=text(item, "tracking_id") or f"{order}-{_number(item)}",
        order_id=order,
        status="success",
        tracking_company=text(item, "tracking_provider") or text(item, "custom_tracking_provider"),
        tracking_numbers=[_number(item) or ""],
        tracking_urls=[link] if link else None,
        created_at=when,
        shipped_at=when,
    )


def _number(item: Body) -> str | None:
    return text(item, "tracking_number")


def fulfillment_events(order: Order, facts: Facts[Settings]) -> list[Event]:
    """One fulfillment.created for each parcel. Its date has no time of day, so the order's last change is when."""
    subject, found = Ref("order", order.id or ""), []
    for parcel in order.fulfillments or ():
        ref, when = Ref("fulfillment", parcel.id or ""), order.updated_at
        data = FulfillmentEvent(fulfillment=parcel, order=order, customer=order.customer)
        old = past(parcel.shipped_at, facts) and past(when, facts)
        found.append(Event("fulfillment.created", ref, subject, when, data, historical=old))
    return found
