"""Fulfilments (parcels), what carriers say of them, and holds."""

from __future__ import annotations

from connectors.shopify.people import address
from connectors.shopify.reading import Body, amount_of, ident, listed, table, take, time_of

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
