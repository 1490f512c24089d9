"""Products, variants and stock."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.connector import Facts, Normaliser, State
from app.events import Event, InventoryEvent, InventoryLevel, Product, ProductEvent, Ref
from connectors.shopify.reading import (
    Body,
    build,
    fingerprint,
    guarded,
    happening,
    id_of,
    ident,
    listed,
    money,
    number,
    one,
    table,
    tags_of,
    take,
    time_of,
    triggered_at,
    version_of,
)
from connectors.shopify.settings import Settings

_PRODUCT = table("title handle status vendor", description="body_html", type="product_type")
_VARIANT = table("title sku barcode position taxable tax_code requires_shipping inventory_quantity")
_GRAMS = {"g": Decimal(1), "kg": Decimal(1000), "oz": Decimal("28.349523125"), "lb": Decimal("453.59237")}

PRODUCTS = {
    "products/create": ("product.created", "created_at"),
    "products/update": ("product.updated", "updated_at"),
    "products/delete": ("product.deleted", ""),
}


def product(body: Body, currency: str | None) -> Body:
    """A Product. Bodies name no currency: prices are given only if the connection's settings do."""
    found = take(_PRODUCT, body)
    options = [str(each.get("name")) for each in listed(body.get("options"))]
    found |= {name: time_of(body.get(name)) for name in ("created_at", "updated_at", "published_at")}
    found["id"], found["tags"], found["currency"] = id_of(body), tags_of(body.get("tags")), currency
    category = body.get("category")
    found["category"] = category.get("full_name") if isinstance(category, dict) else None
    found["options"] = options if body.get("options") is not None else None
    if body.get("images") is not None:
        found["image_urls"] = [each["src"] for each in body["images"] if each.get("src")]
    if body.get("variants") is not None:
        found |= _variants(body, options, currency)
    if gid := body.get("admin_graphql_api_id"):
        found["external_ids"] = {"gid": gid}
    return found


def _variants(body: Body, options: list[str], currency: str | None) -> Body:
    """Only the first hundred variants come whole; the rest is in `variant_gids` (from 2024-10)."""
    variants = [_variant(each, options, currency) for each in body["variants"]]
    prices = [each["price"] for each in variants if each["price"] is not None]
    everyone = body.get("variant_gids") or body.get("variant_ids")
    return {
        "variants": variants,
        "variants_complete": None if everyone is None else len(everyone) <= len(variants),
        "price": min(prices) if prices else None,
    }


def _variant(body: Body, options: list[str], currency: str | None) -> Body:
    found = take(_VARIANT, body)
    get = body.get
    found["id"] = ident(get("id")) or ident(get("admin_graphql_api_id"))
    found["product_id"], found["inventory_item_id"] = ident(get("product_id")), ident(get("inventory_item_id"))
    found["price"], found["compare_at_price"] = money(get("price"), currency), money(get("compare_at_price"), currency)
    found["created_at"], found["updated_at"] = time_of(get("created_at")), time_of(get("updated_at"))
    found["weight"] = _weight(body)
    if "inventory_policy" in body:
        found["backorder"] = get("inventory_policy") == "continue"
    if "inventory_management" in body:
        found["track_inventory"] = get("inventory_management") is not None
    chosen = {name: get(f"option{n}") for n, name in enumerate(options or ["1", "2", "3"], 1)}
    found["options"] = {name: value for name, value in chosen.items() if isinstance(value, str) and value}
    return found


def _weight(body: Body) -> Any:
    """Grams."""
    if body.get("grams") is not None:
        return number(body["grams"])
    weight, factor = number(body.get("weight")), _GRAMS.get(str(body.get("weight_unit")))
    return Decimal(weight) * factor if weight is not None and factor else None


@guarded
def stated(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    type_, moment = PRODUCTS[facts.topic]
    currency = facts.settings.currency
    said, note = build(Product, product(body, currency))
    if said.variants and not currency:
        unsaid = "prices are left out: product webhooks do not name a currency; set `currency` in the connection"
        note = f"{unsaid}; {note}" if note else unsaid
    version = version_of(said.updated_at)
    when = time_of(body.get(moment)) or (said.updated_at if moment else None) or triggered_at(facts)
    part = f"{version or when}/{fingerprint(body)}" if type_ == "product.updated" else None
    ref, data = Ref("product", id_of(body)), ProductEvent(product=said)
    return one(type_, ref, data, when, version=version, part=part, test=facts.test, note=note)


# --- stock ------------------------------------------------------------------------------------------------------


def level_of(body: Any) -> Ref | None:
    """A level has no id of its own: it is an item at a place."""
    if not isinstance(body, dict):
        return None
    item, place = ident(body.get("inventory_item_id")), ident(body.get("location_id"))
    return Ref("inventory", f"{item}:{place}") if item and place else None


def remembers(topic: str, payload: Any) -> list[Ref]:
    """Stock levels are remembered, so that a change can say what was there before."""
    ref = level_of(payload) if topic in LEVELS else None
    return [ref] if ref else []


@guarded
def level_changed(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """`inventory_levels/update`, `connect`, `disconnect` (no longer stocked there: available is not known)."""
    ref = level_of(body)
    if ref is None:
        raise needed_level(body)
    updated = time_of(body.get("updated_at"))
    version, gone = version_of(updated), facts.topic == "inventory_levels/disconnect"
    available = None if gone else body.get("available")
    said, note = build(
        InventoryLevel,
        {
            "item_id": ident(body.get("inventory_item_id")),
            "location_id": ident(body.get("location_id")),
            "available": available,
            "before": _before(ref, version, state),
            "tracked": False if gone else None,
            "reason": facts.topic.rpartition("/")[2],
            "updated_at": updated,
        },
    )
    return one(
        "inventory.changed",
        ref,
        InventoryEvent(inventory=said),
        updated or triggered_at(facts),
        version=version,
        part=f"{facts.topic}/{version or happening(facts)}/{available}",
        test=facts.test,
        note=note,
        remember={"available": available if isinstance(available, int) else None},
    )


def needed_level(body: Body) -> Exception:
    missing = [name for name in ("inventory_item_id", "location_id") if not ident(body.get(name))]
    return ValueError(f"the body has no {' and no '.join(missing)}")


def _before(ref: Ref, version: str | None, state: State) -> Any:
    """What was available at the last change; not known if that was later than this one."""
    last = state.get(ref)
    if last is None or (version and last.version and last.version > version):
        return None
    return last.data.get("available")


LEVELS = ("inventory_levels/update", "inventory_levels/connect", "inventory_levels/disconnect")

TOPICS: dict[str, Normaliser[Settings]] = {**dict.fromkeys(PRODUCTS, stated), **dict.fromkeys(LEVELS, level_changed)}
