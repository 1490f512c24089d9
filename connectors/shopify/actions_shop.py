"""What can be done to the shop: discount codes, stock, products, metafields, webhook subscriptions."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from app.connector import Context, Json, action, lookup, native_key, unsafe, upsert
from app.errors import PermanentError
from app.events import Exact, Money, iso
from connectors.shopify import documents
from connectors.shopify.actions import Id
from connectors.shopify.graphql import TAKEN, ask, gid, idempotency_key, plain_id
from connectors.shopify.settings import Settings
from connectors.shopify.source import source

KEYS_LAST = timedelta(hours=24)
"""Shopify does not say how long it remembers a key of `@idempotent`; a day is what it says of refunds."""

STOCK_MOVES = ("inventory.changed", "inventory.out_of_stock", "inventory.back_in_stock")

# --- discounts --------------------------------------------------------------------------------------------------


class CreateDiscountCode(BaseModel):
    """A code of `percent` or `amount` off the whole order."""

    code: Annotated[str | None, Field(min_length=3, max_length=255, description="None: one is made")] = None
    prefix: Annotated[str, Field(max_length=30, description="What a made code begins with")] = ""
    percent: Annotated[Exact | None, Field(gt=0, le=100)] = None
    amount: Money | None = None
    description: Annotated[str | None, Field(max_length=200, description="What the staff reads")] = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    valid_days: Annotated[int | None, Field(ge=1, le=3650, description="Instead of expires_at")] = None
    usage_limit: Annotated[int | None, Field(ge=1, description="How often in all")] = 1
    once_per_customer: bool = True
    minimum_amount: Money | None = None
    customer_id: Annotated[Id | None, Field(description="Only this customer may use it")] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("give either percent or amount")
        return self


class DiscountCode(BaseModel):
    id: str
    code: str


def _code(ctx: Context[Settings], input: CreateDiscountCode) -> str:
    """The code asked for, or one made of the effect key: a repeat makes the same."""
    return input.code or f"{input.prefix}{ctx.key[:8]}".upper()


def _title(ctx: Context[Settings], input: CreateDiscountCode) -> str:
    """Carries the effect key, by which a repeat knows its own code from somebody else's of the same name."""
    return f"{input.description or _code(ctx, input)} [{ctx.key[:12]}]"


async def _discount(ctx: Context[Settings], input: CreateDiscountCode) -> DiscountCode | None:
    code = _code(ctx, input)
    node = (await ask(ctx, documents.DISCOUNT, code=code))["codeDiscountNodeByCode"]
    if node is None or node["codeDiscount"].get("title") != _title(ctx, input):
        return None
    return DiscountCode(id=plain_id(node["id"]), code=code)


@action(
    safe=lookup(timedelta(seconds=10), _discount),
    example=lambda: CreateDiscountCode(prefix="BACK-", percent=Decimal(10), valid_days=14),
)
async def create_discount_code(ctx: Context[Settings], input: CreateDiscountCode) -> DiscountCode:
    """Make a discount code for the whole order. A code that exists already is refused."""
    data = await ask(ctx, documents.DISCOUNT_CREATE, discount=_basic(ctx, input))
    node = data["discountCodeBasicCreate"]["codeDiscountNode"]
    return DiscountCode(id=plain_id(node["id"]), code=_code(ctx, input))


def _basic(ctx: Context[Settings], input: CreateDiscountCode) -> Json:
    starts = input.starts_at or ctx.now
    ends = input.expires_at or (starts + timedelta(days=input.valid_days) if input.valid_days else None)
    customers = {"customers": {"add": [gid("Customer", input.customer_id)]}} if input.customer_id else {"all": "ALL"}
    made: Json = {
        "title": _title(ctx, input),
        "code": _code(ctx, input),
        "startsAt": iso(starts),
        "appliesOncePerCustomer": input.once_per_customer,
        "context": customers,
        "customerGets": {"value": _value(input), "items": {"all": True}},
        "combinesWith": {"orderDiscounts": False, "productDiscounts": False, "shippingDiscounts": True},
    }
    made |= {"endsAt": iso(ends)} if ends else {}
    made |= {"usageLimit": input.usage_limit} if input.usage_limit else {}
    if input.minimum_amount:
        least = {"greaterThanOrEqualToSubtotal": str(input.minimum_amount.amount)}
        made["minimumRequirement"] = {"subtotal": least}
    return made


def _value(input: CreateDiscountCode) -> Json:
    """A percentage is a share of one here; an amount is in the shop's currency."""
    if input.percent is not None:
        return {"percentage": float(input.percent / 100)}
    if input.amount is None or not input.amount.is_rounded:
        raise PermanentError(f"{input.amount} is no whole number of the currency's units")
    return {"discountAmount": {"amount": str(input.amount.amount), "appliesOnEachItem": False}}


# --- stock ------------------------------------------------------------------------------------------------------


class Stocked(BaseModel):
    """The item is named by one of the first four; a product by its id only if it has one variant."""

    inventory_item_id: Annotated[Id | None, Field(description="As inventory events carry it")] = None
    variant_id: Id | None = None
    sku: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    product_id: Annotated[Id | None, Field(description="May stand beside variant_id")] = None
    location_id: Annotated[Id | None, Field(description="None: the connection's own location")] = None
    reason: Annotated[str, Field(pattern=r"^[a-z_]+$", description="Shopify's word for why")] = "correction"
    expected: Annotated[int | None, Field(description="Refuse if another number is there now")] = None

    @model_validator(mode="after")
    def _one_item(self) -> Self:
        named = [each for each in (self.inventory_item_id, self.variant_id, self.sku) if each]
        if len(named) > 1 or not (named or self.product_id):
            raise ValueError("name the item by one of inventory_item_id, variant_id, sku or product_id")
        return self


class SetStock(Stocked):
    quantity: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]


class AdjustStock(Stocked):
    delta: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]


class Stock(BaseModel):
    inventory_item_id: str
    location_id: str
    change: Annotated[int | None, Field(description="By how much it changed; None: Shopify did not say")] = None


async def _place(ctx: Context[Settings], input: Stocked) -> tuple[str, str]:
    """(inventory item, location) as gids."""
    location = input.location_id or ctx.settings.location_id
    if location is None:
        raise PermanentError("which location? set `location_id` in the step, or in the connection's settings")
    item = input.inventory_item_id or await _item_of(ctx, input)
    ctx.touches(f"{plain_id(item)}:{plain_id(location)}")  # a level has no id of its own
    return gid("InventoryItem", item), gid("Location", location)


async def _item_of(ctx: Context[Settings], input: Stocked) -> str:
    """The inventory item of a variant, a sku, or a product's only variant."""
    if input.variant_id:
        variant = await ask(ctx, documents.ITEM_OF_VARIANT, id=gid("ProductVariant", input.variant_id))
        found = [variant["productVariant"]] if variant["productVariant"] else []
    elif input.sku:
        quoted = input.sku.replace("\\", "\\\\").replace('"', '\\"')
        some = (await ask(ctx, documents.ITEM_OF_SKU, query=f'sku:"{quoted}"'))["productVariants"]["nodes"]
        found = [each for each in some if each["sku"] == input.sku]
    else:
        product = (await ask(ctx, documents.ITEMS_OF_PRODUCT, id=gid("Product", str(input.product_id))))["product"]
        found = product["variants"]["nodes"] if product else []
    if len(found) != 1:
        raise PermanentError(f"{len(found) or 'no'} variants are {input.variant_id or input.sku or input.product_id!r}")
    return str(found[0]["inventoryItem"]["id"])


@action(
    safe=native_key(KEYS_LAST, then=unsafe),
    example=lambda: AdjustStock(inventory_item_id="46200000000000", location_id="7100042001", delta=-1),
    causes=STOCK_MOVES,
)
async def adjust_inventory(ctx: Context[Settings], input: AdjustStock) -> Stock:
    """Change what is available of an item at a place by so many, up or down."""
    item, location = await _place(ctx, input)
    change = {"inventoryItemId": item, "locationId": location, "delta": input.delta}
    change |= {"changeFromQuantity": input.expected}
    data = await ask(
        ctx,
        documents.INVENTORY_ADJUST,
        input={"name": "available", "reason": input.reason, "changes": [change]},
        key=idempotency_key(ctx.key),
    )
    return _stock(item, location, data["inventoryAdjustQuantities"])


@action(
    safe=native_key(KEYS_LAST, then=upsert),
    example=lambda: SetStock(inventory_item_id="46200000000000", location_id="7100042001", quantity=12),
    causes=STOCK_MOVES,
)
async def set_inventory(ctx: Context[Settings], input: SetStock) -> Stock:
    """Set what is available of an item at a place."""
    item, location = await _place(ctx, input)
    level = {"inventoryItemId": item, "locationId": location, "quantity": input.quantity}
    level |= {"changeFromQuantity": input.expected}
    data = await ask(
        ctx,
        documents.INVENTORY_SET,
        input={"name": "available", "reason": input.reason, "quantities": [level]},
        key=idempotency_key(ctx.key),
    )
    return _stock(item, location, data["inventorySetQuantities"])


def _stock(item: str, location: str, payload: Json) -> Stock:
    changes = (payload.get("inventoryAdjustmentGroup") or {}).get("changes") or []
    change = changes[0]["delta"] if changes else None
    return Stock(inventory_item_id=plain_id(item), location_id=plain_id(location), change=change)


# --- products, metafields ---------------------------------------------------------------------------------------


class VariantOf(BaseModel):
    sku: str | None = None
    price: Exact | None = None
    compare_at_price: Exact | None = None
    barcode: str | None = None
    options: Annotated[dict[str, str], Field(description="{Colour: Blue}; none for the only variant")] = Field(
        default_factory=dict
    )
    tracked: bool | None = None
    requires_shipping: bool | None = None


class UpsertProduct(BaseModel):
    """The product that has the handle is made or changed; what is None stays as it is."""

    handle: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=255)]
    title: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    description: Annotated[str | None, Field(description="HTML")] = None
    vendor: str | None = None
    product_type: str | None = None
    status: Literal["active", "draft", "archived"] | None = None
    tags: list[str] | None = None
    variants: Annotated[
        list[VariantOf] | None, Field(min_length=1, max_length=100, description="All of them: others are deleted")
    ] = None


class ProductMade(BaseModel):
    id: str
    handle: str
    variants: Annotated[dict[str, str], Field(description="sku -> variant id")]


@action(
    safe=upsert,
    example=lambda: UpsertProduct(
        handle="harbour-mug",
        title="Harbour mug",
        status="active",
        variants=[VariantOf(sku="MUG-BLUE", price=Decimal("18.00"), options={"Colour": "Blue"})],
    ),
    causes=("product.created", "product.updated"),
)
async def upsert_product(ctx: Context[Settings], input: UpsertProduct) -> ProductMade:
    """Make the product of a handle, or change it."""
    there = (await ask(ctx, documents.PRODUCT_OF_HANDLE, handle=input.handle))["productByIdentifier"]
    if there is not None:
        ctx.touches(there["id"])
    data = await ask(ctx, documents.PRODUCT_SET, identifier={"handle": input.handle}, input=_product(input))
    product = data["productSet"]["product"]
    if there is None:
        ctx.touches(product["id"])
    variants = {each["sku"]: plain_id(each["id"]) for each in product["variants"]["nodes"] if each["sku"]}
    return ProductMade(id=plain_id(product["id"]), handle=product["handle"], variants=variants)


def _product(input: UpsertProduct) -> Json:
    said = {
        "handle": input.handle,
        "title": input.title,
        "descriptionHtml": input.description,
        "vendor": input.vendor,
        "productType": input.product_type,
        "status": input.status.upper() if input.status else None,
        "tags": input.tags,
    }
    made: Json = {name: value for name, value in said.items() if value is not None}
    if input.variants:
        made["variants"] = [_variant(each) for each in input.variants]
        made["productOptions"] = _options(input.variants)
    return made


_ONLY = {"Title": "Default Title"}
"""How Shopify names the option of a product that has none."""


def _options(variants: list[VariantOf]) -> list[Json]:
    values: dict[str, dict[str, None]] = {}
    for variant in variants:
        for name, value in (variant.options or _ONLY).items():
            values.setdefault(name, {})[value] = None
    return [{"name": name, "values": [{"name": each} for each in known]} for name, known in values.items()]


def _variant(variant: VariantOf) -> Json:
    item = {"tracked": variant.tracked, "requiresShipping": variant.requires_shipping, "sku": variant.sku}
    said: dict[str, Any] = {
        "sku": variant.sku,
        "barcode": variant.barcode,
        "price": None if variant.price is None else str(variant.price),
        "compareAtPrice": None if variant.compare_at_price is None else str(variant.compare_at_price),
        "inventoryItem": {name: value for name, value in item.items() if value is not None} or None,
        "optionValues": [{"optionName": n, "name": v} for n, v in (variant.options or _ONLY).items()],
    }
    return {name: value for name, value in said.items() if value is not None}


class MetafieldOf(BaseModel):
    key: Annotated[str, Field(min_length=2, max_length=64)]
    value: Annotated[str, Field(max_length=1_000_000)]
    type: Annotated[str, Field(description="Shopify's type: single_line_text_field, number_integer, json ...")] = (
        "single_line_text_field"
    )
    namespace: Annotated[str, Field(min_length=2, max_length=255)] = "tradewind"


class SetMetafields(BaseModel):
    owner: Literal["order", "customer", "product"] = "order"
    owner_id: Id
    metafields: Annotated[list[MetafieldOf], Field(min_length=1, max_length=25)]


class MetafieldsMade(BaseModel):
    ids: list[str]


@action(
    safe=upsert,
    example=lambda: SetMetafields(owner_id="5600001067975", metafields=[MetafieldOf(key="invoice", value="1042")]),
    causes=("order.updated", "customer.updated", "product.updated"),
)
async def set_metafields(ctx: Context[Settings], input: SetMetafields) -> MetafieldsMade:
    """Set metafields of an order, customer or product: all of them or none."""
    owner = gid(input.owner.capitalize(), input.owner_id)
    fields = [{"ownerId": owner, **each.model_dump()} for each in input.metafields]
    data = await ask(ctx, documents.METAFIELDS_SET, metafields=fields)
    return MetafieldsMade(ids=[plain_id(each["id"]) for each in data["metafieldsSet"]["metafields"]])


# --- webhooks ---------------------------------------------------------------------------------------------------

BY_APP_ONLY = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
"""Topics that are set in the app's own configuration, not by the API."""
TOPICS = tuple(topic for topic in source.topics if topic not in BY_APP_ONLY)


class RegisterWebhooks(BaseModel):
    address: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    topics: Annotated[list[str], Field(min_length=1, description="All that become events, if not said")] = Field(
        default_factory=lambda: list(TOPICS)
    )


class Registered(BaseModel):
    made: Annotated[list[str], Field(description="Topics that were missing")]
    there: list[str]


def in_graphql(topic: str) -> str:
    """`ORDERS_PAID` of `orders/paid`, `CUSTOMER_TAGS_ADDED` of `customer.tags_added`."""
    return topic.replace("/", "_").replace(".", "_").upper()


@action(
    safe=upsert,
    example=lambda: RegisterWebhooks(
        address="https://hub.example.com/webhooks/main-store", topics=["orders/create", "orders/paid"]
    ),
    exclusive_by=lambda input: input.address,
)
async def register_webhooks(ctx: Context[Settings], input: RegisterWebhooks) -> Registered:
    """Subscribe an address to topics, as far as it is not yet: also mends what Shopify deleted after eight failures."""
    if wrong := [topic for topic in input.topics if topic not in TOPICS]:
        raise PermanentError(f"these topics cannot be subscribed to here: {', '.join(wrong)}")
    data = await ask(ctx, documents.WEBHOOKS, uri=input.address)
    known = {each["topic"] for each in data["webhookSubscriptions"]["nodes"] if each["uri"] == input.address}
    missing = [topic for topic in input.topics if in_graphql(topic) not in known]
    if missing:
        document = documents.subscribe([in_graphql(topic) for topic in missing])
        await ask(ctx, document, (TAKEN,), uri=input.address)
    return Registered(made=missing, there=[topic for topic in input.topics if topic not in missing])


SHOP_ACTIONS = (
    create_discount_code,
    adjust_inventory,
    set_inventory,
    upsert_product,
    set_metafields,
    register_webhooks,
)
