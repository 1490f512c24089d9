"""What can be done with a WooCommerce shop's goods, coupons and webhooks, and the test of its keys."""

from datetime import UTC, timedelta
from decimal import Decimal

from app.connector import Action, Context, Json, action, lookup, upsert
from app.errors import PermanentError
from connectors.woocommerce.actions import ORDER_ACTIONS, SETTLE
from connectors.woocommerce.fields import ident, rows, text
from connectors.woocommerce.models import (
    CouponRef,
    CreateCoupon,
    RegisterWebhooks,
    SetStock,
    StockRef,
    WebhooksRegistered,
    plain,
)
from connectors.woocommerce.rest import listed, put
from connectors.woocommerce.settings import API, Settings


@action(
    safe=upsert,
    causes=("product.updated", "inventory.changed", "inventory.out_of_stock", "inventory.back_in_stock"),
    example=lambda: SetStock(product_id="2001", quantity=12),
)
async def set_stock(ctx: Context[Settings], input: SetStock) -> StockRef:
    """Set how many of a product or variation there are (WooCommerce knows no relative change)."""
    changes = {"manage_stock": True, "stock_quantity": input.quantity}
    said = await put(ctx, await _item(ctx, input), changes)
    return StockRef(id=ident(said, "id") or "", quantity=input.quantity)


async def _item(ctx: Context[Settings], input: SetStock) -> str:
    """The path of the product or variation. A simple product's only variant has the product's own id in our events."""
    if input.product_id is not None:
        variation = input.variant_id if input.variant_id != input.product_id else None
        return f"/products/{input.product_id}" + (f"/variations/{variation}" if variation else "")
    if input.sku is not None:
        found = await listed(ctx, "/products", sku=input.sku)
        if len(found) != 1:
            raise PermanentError(f"{len(found)} products have the SKU {input.sku!r}")
        item = found[0]
    else:
        item = (await ctx.http.get(f"{API}/products/{input.inventory_item_id}")).json()
    parent, number = ident(item, "parent_id"), ident(item, "id")
    ctx.touches(*(each for each in (number, parent) if each))
    return f"/products/{parent}/variations/{number}" if parent else f"/products/{number}"


def _code(ctx: Context[Settings], input: CreateCoupon) -> str:
    """The code asked for, or one made of the effect key: a repeat makes the same."""
    return input.code or f"{input.prefix}{ctx.key('code')[:10]}"


def _description(ctx: Context[Settings], input: CreateCoupon) -> str:
    """Carries the effect key, by which a repeat knows its own coupon from somebody else's of the same code."""
    return f"{input.description or 'Made by Tradewind'} [{ctx.key[:12]}]"


async def _find_coupon(ctx: Context[Settings], input: CreateCoupon) -> CouponRef | None:
    """The coupon of that code, if this call made it."""
    for each in await listed(ctx, "/coupons", code=_code(ctx, input)):
        if text(each, "description") == _description(ctx, input):
            return CouponRef(id=ident(each, "id") or "", code=text(each, "code") or "")
    return None


@action(
    safe=lookup(SETTLE, _find_coupon),
    exclusive_by=lambda input: input.code or input.prefix or "made",
    makes="discount",
    example=lambda: CreateCoupon(prefix="thanks-", percent=Decimal(10), valid_days=14),
)
async def create_coupon(ctx: Context[Settings], input: CreateCoupon) -> CouponRef:
    """Make a coupon code, the one given or one made up. A code that exists already is refused by WooCommerce."""
    kind, value = input.value
    expires_at = input.expires_at or (ctx.now + timedelta(days=input.valid_days) if input.valid_days else None)
    said = {
        "code": _code(ctx, input),
        "discount_type": kind,
        "amount": value,
        "description": _description(ctx, input),
        "date_expires_gmt": f"{expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if expires_at else None,
        "usage_limit": input.usage_limit,
        "usage_limit_per_user": 1 if input.once_per_customer else None,
        "minimum_amount": plain(input.minimum_amount) if input.minimum_amount else None,
        "email_restrictions": [input.email] if input.email else None,
        "free_shipping": True if input.free_shipping else None,
    }
    body = {name: each for name, each in said.items() if each is not None}
    reply = await ctx.http.post(f"{API}/coupons", json=body)
    return CouponRef(id=ident(reply.json(), "id") or "", code=text(reply.json(), "code") or "")


# --- webhooks ----------------------------------------------------------------------------------------------------


@action(
    safe=upsert,
    exclusive_by=lambda input: str(input.url),
    example=lambda: RegisterWebhooks(url="https://hub.example/webhooks/shop", topics=["order.created"]),
)
async def register_webhooks(ctx: Context[Settings], input: RegisterWebhooks) -> WebhooksRegistered:
    """Make the shop's webhooks that are missing, and switch on those that it disabled after failures. All that lead to
    this address sign with the newest of `webhook_secrets` from then on: run it after rotating those; what WooCommerce
    still delivers under the older one is taken until that is forgotten."""
    secret = ctx.settings.webhook_secrets[0].get_secret_value()
    done, there = WebhooksRegistered(made=[], mended=[], kept=[]), set()
    for each in await listed(ctx, "/webhooks", per_page="100"):
        if each.get("delivery_url") != input.url:
            continue
        topic, changes = text(each, "topic") or "", {"secret": secret}  # which cannot be read: it may be an older one
        if topic in input.topics and each.get("status") != "active":
            changes["status"] = "active"
        await put(ctx, f"/webhooks/{ident(each, 'id')}", changes)
        if topic in input.topics and topic not in there:
            (done.mended if "status" in changes else done.kept).append(topic)
            there.add(topic)
    for topic in (each for each in dict.fromkeys(input.topics) if each not in there):
        (await ctx.http.post(f"{API}/webhooks", json=_webhook(topic, input.url, secret))).json()
        done.made.append(topic)
    return done


def _webhook(topic: str, url: str, secret: str) -> dict[str, Json]:
    return {
        "name": f"Tradewind: {topic}",
        "topic": topic,
        "delivery_url": url,
        "secret": secret,
        "status": "active",
    }


async def test(ctx: Context[Settings]) -> str:
    """Read the shop's webhooks: proves the keys, and shows those that WooCommerce disabled."""
    if not ctx.settings.can_read:
        return "No REST keys: webhooks are verified, but refunds are not read back and no action can run"
    reply = await ctx.http.get(f"{API}/webhooks", params={"per_page": "100"})
    found = rows({"rows": reply.json()}, "rows")
    idle = [text(each, "topic") or "?" for each in found if each.get("status") != "active"]
    return f"{len(found)} webhooks" + (f"; not active: {', '.join(sorted(idle))}" if idle else ", all active")


ACTIONS: list[Action] = [*ORDER_ACTIONS, set_stock, create_coupon, register_webhooks]
