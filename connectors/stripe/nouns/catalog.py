"""Products and prices as our products: a price is a variant of its product, known alone."""

from app.events import Product, Ref, Variant
from connectors.stripe.body import Obj, said
from connectors.stripe.nouns.payments import DASHBOARD


def product(o: Obj) -> Product:
    price = o.of("default_price")
    return Product(
        id=o.id("id"),
        title=o.text("name"),
        description=o.text("description"),
        status=_status(o.flag("active")),
        type=o.text("type"),
        price=price.unit_price(),
        currency=price.currency,
        requires_shipping=o.flag("shippable"),
        url=o.text("url") or f"{DASHBOARD}/products/{o.id('id')}",
        image_urls=o.texts("images") or None,
        created_at=o.time("created"),
        updated_at=o.time("updated"),
        test=o.test,
        metadata=o.metadata(),
        extra=said(default_price=o.id("default_price"), tax_code=o.id("tax_code"), unit_label=o.text("unit_label")),
    )


def product_of_price(o: Obj) -> Product:
    """The product of which one price changed; of the product itself only what the price says."""
    expanded = o.of("product")
    return Product(
        id=o.id("product"),
        title=expanded.text("name"),
        currency=o.currency,
        variants=[variant(o)],
        variants_complete=False,
        test=o.test,
        metadata=expanded.metadata(),
    )


def variant(price: Obj) -> Variant:
    recurring = price.of("recurring")
    return Variant(
        id=price.id("id"),
        product_id=price.id("product"),
        title=price.text("nickname"),
        sku=price.metadata().get("sku") or price.text("lookup_key"),
        price=price.unit_price(),
        interval=recurring.text("interval"),
        interval_count=recurring.whole("interval_count"),
        active=price.flag("active"),
        created_at=price.time("created"),
        extra=said(tax_behavior=price.text("tax_behavior"), lookup_key=price.text("lookup_key")),
    )


def product_subject(price: Obj) -> Ref:
    return Ref("product", price.id("product") or price.must("id"))


def _status(active: bool | None) -> str | None:
    return None if active is None else "active" if active else "archived"
