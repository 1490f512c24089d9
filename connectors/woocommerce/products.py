"""Products, their variations and their stock. A variation comes under the product's topics, as a product of its own.

Products do not say their currency: prices are told where the connection's settings name it.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from app.connector import Facts, Json, Remembered, State
from app.events import Event, InventoryEvent, InventoryLevel, Product, ProductEvent, Ref, Variant
from connectors.woocommerce.fields import (
    Body,
    amount,
    flag,
    ident,
    moment,
    nested,
    number,
    occurrence,
    past,
    quantity,
    resource,
    rows,
    text,
    title,
)
from connectors.woocommerce.settings import Settings

_STATUS = {"publish": "active", "private": "active", "trash": "archived"}
_TAGS = re.compile(r"<[^>]*>")


def remembered(topic: str, payload: Json) -> Sequence[Ref]:
    """A product's id may be a variation's: the body of a deletion does not say."""
    if not isinstance(payload, dict) or (number := ident(payload, "id")) is None:
        return ()
    return [Ref("product", number), Ref("variant", number)]


def product_events(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """product.created and .updated, or the update of the product that a variation belongs to, and what became of the
    stock."""
    body = resource(payload)
    own = _variation_events(body, facts) if _is_variation(body) else _product_events(body, facts)
    return [*own, *stock_events(body, facts, state)]


def _is_variation(body: Body) -> bool:
    return "variation" in (text(body, "type") or "") and ident(body, "parent_id") is not None


def _product_events(body: Body, facts: Facts[Settings]) -> list[Event]:
    product = product_of(body, facts.settings)
    ref, data = Ref("product", product.id or ""), ProductEvent(product=product)
    made, changed = product.created_at, product.updated_at or product.created_at
    version, update = occurrence(body)
    kept = {"title": product.title, **_stock_kept(body)}
    events = [Event("product.created", ref, ref, made, data, version, historical=past(made, facts), remember=kept)]
    if facts.topic != "product.created":
        old = past(changed, facts)
        events.append(Event("product.updated", ref, ref, changed, data, version, update, historical=old, remember=kept))
    return events


def _variation_events(body: Body, facts: Facts[Settings]) -> list[Event]:
    variant = variant_of(body, facts.settings)
    parent = Ref("product", variant.product_id or "")
    changed = moment(body, "date_modified_gmt") or moment(body, "date_created_gmt")
    version, update = occurrence(body)
    product = Product(id=parent.id, variants=[variant], variants_complete=False, url=text(body, "permalink"))
    kept = {"product_id": parent.id, "title": variant.title, **_stock_kept(body)}
    return [
        Event(
            "product.updated",
            Ref("variant", variant.id or ""),
            parent,
            changed,
            ProductEvent(product=product),
            version,
            update,
            historical=past(changed, facts),
            remember=kept,
        )
    ]


def product_deleted(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
    """Moved to the trash; the body is the id alone. A known variation's end is an update of its product."""
    number = ident(resource(payload), "id") or ""
    variant = state.get(Ref("variant", number))
    if variant is not None and isinstance(parent := variant.data.get("product_id"), str):
        gone = Product(id=parent, variants_complete=False, extra={"deleted_variant_id": number})
        subject = Ref("product", parent)
        data = ProductEvent(product=gone)
        return [Event("product.updated", Ref("variant", number), subject, None, data, part="deleted")]
    ref, known = Ref("product", number), state.get(Ref("product", number))
    named = known.data.get("title") if known else None
    return [Event("product.deleted", ref, ref, None, ProductEvent(product=Product(id=number, title=named)))]


def product_of(body: Body, settings: Settings) -> Product:
    simple = not body.get("variations")
    return Product(
        id=ident(body, "id"),
        title=title(body, "name"),
        handle=text(body, "slug"),
        description=_plain(title(body, "short_description") or title(body, "description")),
        status=_STATUS.get(text(body, "status") or "", text(body, "status")),
        type=text(body, "type"),
        category=next((title(each, "name") for each in rows(body, "categories")), None),
        tags=[name for each in rows(body, "tags") if (name := title(each, "name"))],
        currency=settings.currency,
        price=amount(body, "price", settings.currency),
        requires_shipping=flag(body, "shipping_required"),
        variants=[variant_of(body, settings)] if simple else None,
        variants_complete=simple,
        options=[name for each in rows(body, "attributes") if (name := title(each, "name"))],
        url=text(body, "permalink"),
        image_urls=[url for each in rows(body, "images") if (url := text(each, "src"))],
        created_at=moment(body, "date_created_gmt"),
        updated_at=moment(body, "date_modified_gmt"),
        extra={"stock_status": said} if (said := text(body, "stock_status")) else {},
    )


def variant_of(body: Body, settings: Settings) -> Variant:
    """A variation, or the only form of a simple product (whose variant has the product's id)."""
    count = quantity(body, "stock_quantity")
    return Variant(
        id=ident(body, "id"),
        product_id=ident(body, "parent_id") or ident(body, "id"),
        title=title(body, "name"),
        sku=text(body, "sku"),
        barcode=text(body, "global_unique_id"),
        price=amount(body, "price", settings.currency),
        compare_at_price=amount(body, "regular_price", settings.currency) if flag(body, "on_sale") else None,
        taxable=None if (kind := text(body, "tax_status")) is None else kind == "taxable",
        tax_code=text(body, "tax_class"),
        requires_shipping=flag(body, "shipping_required"),
        inventory_item_id=ident(body, "id"),
        inventory_quantity=count,
        track_inventory=_tracked(body),
        backorder=flag(body, "backorders_allowed"),
        options={
            name: option
            for each in rows(body, "attributes")
            if (name := title(each, "name")) and (option := title(each, "option"))
        },
        image_url=next(
            (url for each in (*rows(body, "images"), nested(body, "image")) if (url := text(each, "src"))), None
        ),
        active=text(body, "status") == "publish",
        created_at=moment(body, "date_created_gmt"),
        updated_at=moment(body, "date_modified_gmt"),
    )


def _plain(html: str | None) -> str | None:
    return None if html is None else _TAGS.sub("", html).strip() or None


# --- stock -------------------------------------------------------------------------------------------------------


def _tracked(body: Body) -> bool | None:
    """Whether this item counts its own stock; `"parent"` says that the product does."""
    return False if body.get("manage_stock") == "parent" else flag(body, "manage_stock")


def _stock_kept(body: Body) -> dict[str, Json]:
    """What is remembered of an item's stock: its number, if it counts any, and whether there is some."""
    count, status = quantity(body, "stock_quantity") if _tracked(body) else None, text(body, "stock_status")
    some = count > 0 if count is not None else None if status is None else status != "outofstock"
    return {"available": None if count is None else str(count), "has_some": some}


def stock_events(body: Body, facts: Facts[Settings], state: State) -> list[Event]:
    """inventory.changed when the number differs from the one known before, or was not known; inventory.out_of_stock or
    .back_in_stock when it (or the status of what is not counted) went from some to none or back. An older body than the
    one known says nothing."""
    known, now, version = _known(body, state), _stock_kept(body), occurrence(body)[0]
    if known is not None and (known.version or "") > (version or ""):
        return []
    before: dict[str, Json] = dict(known.data) if known else {}
    level = _level(body, number(before.get("available")))
    types = []
    if level.available is not None and now["available"] != before.get("available"):
        types.append("inventory.changed")
    if None not in (had := before.get("has_some"), now["has_some"]) and had != now["has_some"]:
        types.append("inventory.back_in_stock" if now["has_some"] else "inventory.out_of_stock")
    return [_stock_event(type_, level, body, facts) for type_ in types]


def _known(body: Body, state: State) -> Remembered | None:
    return state.get(Ref("variant" if _is_variation(body) else "product", ident(body, "id") or ""))


def _level(body: Body, before: Decimal | None) -> InventoryLevel:
    status = text(body, "stock_status")
    return InventoryLevel(
        item_id=ident(body, "id"),
        variant_id=ident(body, "id"),
        product_id=ident(body, "parent_id") or ident(body, "id"),
        sku=text(body, "sku"),
        title=title(body, "name"),
        available=quantity(body, "stock_quantity") if _tracked(body) else None,
        before=int(before) if before is not None and before == before.to_integral_value() else before,
        tracked=_tracked(body),
        updated_at=moment(body, "date_modified_gmt"),
        extra={"stock_status": status} if status else {},
    )


def _stock_event(type_: str, level: InventoryLevel, body: Body, facts: Facts[Settings]) -> Event:
    """A second has several movements: the number tells them apart."""
    version, update = occurrence(body)
    ref, subject = Ref("inventory", level.item_id or ""), Ref("product", level.product_id or "")
    part = f"{version or update}={level.available if level.available is not None else text(body, 'stock_status')}"
    when, data = level.updated_at, InventoryEvent(inventory=level)
    return Event(type_, ref, subject, when, data, version, part, historical=past(when, facts))
