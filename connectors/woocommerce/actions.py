"""What can be done at a WooCommerce shop (REST API v3). Every write fires the shop's own webhooks again."""

from collections.abc import Mapping
from datetime import UTC, timedelta
from decimal import Decimal
from html import unescape

from app.connector import Action, Context, Counts, Json, Reply, action, lookup, upsert
from app.errors import CredentialError, PermanentError, TradewindError, UnsureError
from app.events import Money
from connectors.woocommerce.fields import Body, amount, ident, meta, rows, text
from connectors.woocommerce.models import (
    AddNote,
    CouponRef,
    CreateCoupon,
    HoldOrder,
    NoteRef,
    OrderRef,
    RefundOrder,
    RefundRef,
    RegisterWebhooks,
    SetMeta,
    SetStatus,
    SetStock,
    StockRef,
    TagOrder,
    WebhooksRegistered,
    plain,
)
from connectors.woocommerce.orders import TAGS, tags_of
from connectors.woocommerce.settings import API, Settings

MARK = "_tradewind_key"
"""Meta key that holds the effect key of a refund."""
HOLD_REASON = "tradewind_hold_reason"
SETTLE = timedelta(seconds=2)
"""WooCommerce reads what it wrote from one database; replicas and object caches of hosts may lag a little."""
ECHO = ("order.updated",)


def problem(reply: Reply) -> TradewindError | None:
    """WooCommerce's reason (`{code, message, data: {status}}`) for a refusal. A web page with status 200 is no answer:
    pretty permalinks are off, or a plugin printed a warning."""
    if 200 <= reply.status < 300:
        page = "html" in reply.headers.get("content-type", "")
        return UnsureError("answered a web page, not JSON: are pretty permalinks on?", status=200) if page else None
    if reply.status not in (400, 401, 403, 404, 409):
        return None
    said = _said(reply)
    why = f"{text(said, 'message') or 'no reason given'} ({text(said, 'code') or reply.status})"
    kind = CredentialError if reply.status == 401 else PermanentError
    return kind(why[:500], reply.status)


def _said(reply: Reply) -> Body:
    try:
        said = reply.json()
    except (ValueError, TradewindError):
        return {}
    return said if isinstance(said, dict) else {}


async def _put(ctx: Context[Settings], path: str, changes: Mapping[str, Json]) -> Body:
    said: Body = (await ctx.http.request("PUT", f"{API}{path}", json=dict(changes))).json()
    return said


async def _list(ctx: Context[Settings], path: str, **params: str) -> list[Body]:
    said = (await ctx.http.get(f"{API}{path}", params=params)).json()
    return rows({"rows": said}, "rows")


def _ref(order: Body) -> OrderRef:
    return OrderRef(id=ident(order, "id") or "", status=text(order, "status") or "", tags=tags_of(meta(order)) or [])


def _entries(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


# --- orders ------------------------------------------------------------------------------------------------------


@action(safe=upsert, causes=ECHO, example=lambda: SetStatus(order_id="1001", status="completed"))
async def set_status(ctx: Context[Settings], input: SetStatus) -> OrderRef:
    """Move an order to another status. WooCommerce sends the mails that belong to the change."""
    return _ref(await _put(ctx, f"/orders/{input.order_id}", {"status": input.status}))


async def _find_note(ctx: Context[Settings], input: AddNote) -> NoteRef | None:
    """A note of the order with the same words."""
    wanted = " ".join(input.note.split())
    for each in await _list(ctx, f"/orders/{input.order_id}/notes"):
        if " ".join(unescape(text(each, "note") or "").split()) == wanted:
            return NoteRef(id=ident(each, "id") or "")
    return None


@action(safe=lookup(SETTLE, _find_note), causes=ECHO, example=lambda: AddNote(order_id="1001", note="Packed."))
async def add_note(ctx: Context[Settings], input: AddNote) -> NoteRef:
    """Add a note to an order, for the shop alone or for the customer (who gets a mail)."""
    note = {"note": input.note, "customer_note": input.to_customer}
    reply = await ctx.http.post(f"{API}/orders/{input.order_id}/notes", json=note)
    return NoteRef(id=ident(reply.json(), "id") or "")


@action(safe=upsert, causes=ECHO, example=lambda: SetMeta(order_id="1001", meta={"erp_number": "A-77"}))
async def set_meta(ctx: Context[Settings], input: SetMeta) -> OrderRef:
    """Write meta data of an order. Keys that begin with an underscore are hidden in the shop's order screen."""
    return _ref(await _put(ctx, f"/orders/{input.order_id}", {"meta_data": _entries(input.meta)}))


@action(
    safe=upsert,
    causes=ECHO,
    exclusive_by=lambda input: str(input.order_id),
    example=lambda: TagOrder(order_id="1001", tags=["invoiced"]),
)
async def tag_order(ctx: Context[Settings], input: TagOrder) -> OrderRef:
    """Add tags to an order. WooCommerce's orders have none: they are kept in the meta data `tradewind_tags`."""
    order: Body = (await ctx.http.get(f"{API}/orders/{input.order_id}")).json()
    tags = list(dict.fromkeys([*(tags_of(meta(order)) or []), *input.tags]))
    return _ref(await _put(ctx, f"/orders/{input.order_id}", {"meta_data": _entries({TAGS: ", ".join(tags)})}))


@action(safe=upsert, causes=ECHO, example=lambda: HoldOrder(order_id="1001", reason="High risk"))
async def hold_order(ctx: Context[Settings], input: HoldOrder) -> OrderRef:
    """Put an order on hold, until somebody moves it on."""
    changes: dict[str, Json] = {"status": "on-hold"}
    if input.reason:
        changes["meta_data"] = _entries({HOLD_REASON: input.reason})
    return _ref(await _put(ctx, f"/orders/{input.order_id}", changes))


# --- refunds -----------------------------------------------------------------------------------------------------


async def _amount(ctx: Context[Settings], input: RefundOrder) -> tuple[Money, str]:
    """(what to give back, the order's currency). PermanentError for another currency or more than is left."""
    order: Body = (await ctx.http.get(f"{API}/orders/{input.order_id}")).json()
    currency = text(order, "currency") or ""
    grand = amount(order, "total", currency)
    given = [abs(money) for row in rows(order, "refunds") if (money := amount(row, "total", currency)) is not None]
    if grand is None:
        raise PermanentError(f"order {input.order_id} does not say its total")
    left = grand - sum(given, Money.zero(currency))
    wanted = input.amount or left
    if wanted.currency != left.currency or not wanted.is_rounded:
        raise PermanentError(f"cannot give back {wanted} of an order in {currency}")
    if wanted.amount <= 0 or wanted > left:
        raise PermanentError(f"cannot give back {wanted}: {left} is left")
    return wanted, currency


async def _find_refund(ctx: Context[Settings], input: RefundOrder) -> RefundRef | None:
    """The refund that bears our key; or one without any mark, but with the same amount and reason: WooCommerce writes
    the mark last, so that is one that broke off at the gateway. Better one refund too few than two."""
    order: Body = (await ctx.http.get(f"{API}/orders/{input.order_id}")).json()
    currency = text(order, "currency") or ""
    for each in await _list(ctx, f"/orders/{input.order_id}/refunds", per_page="100"):
        mark, given = meta(each).get(MARK), amount(each, "amount", currency)
        same = given is not None and given == (input.amount or given) and text(each, "reason") == input.reason
        if given is not None and (mark == str(ctx.key) or (mark is None and same)):
            return RefundRef(id=ident(each, "id") or "", amount=given)
    return None


@action(
    safe=lookup(SETTLE, _find_refund),
    if_unsure="ask",
    exclusive_by=lambda input: str(input.order_id),
    makes="refund",
    causes=("refund.created", "order.updated"),
    counts=lambda input: Counts(money=input.amount),
    example=lambda: RefundOrder(
        order_id="1001", amount=Money(amount=Decimal("5.00"), currency="EUR"), reason="Scratched"
    ),
)
async def refund_order(ctx: Context[Settings], input: RefundOrder) -> RefundRef:
    """Give money back for an order, in part or all that is left, through its payment gateway or only in the books."""
    wanted, currency = await _amount(ctx, input)
    body: dict[str, Json] = {
        "amount": plain(wanted),
        "reason": input.reason,
        "api_refund": input.through_gateway,
        "api_restock": input.restock,
        "meta_data": _entries({MARK: str(ctx.key)}),
    }
    if input.lines:
        body["line_items"] = [
            {"id": int(line.line_item_id), "quantity": line.quantity, "refund_total": line.amount}
            for line in input.lines
        ]
    reply = await ctx.http.post(f"{API}/orders/{input.order_id}/refunds", json=body)
    return RefundRef(id=ident(reply.json(), "id") or "", amount=amount(reply.json(), "amount", currency) or wanted)


# --- products and coupons ----------------------------------------------------------------------------------------


@action(
    safe=upsert,
    causes=("product.updated", "inventory.changed"),
    example=lambda: SetStock(product_id="2001", quantity=12),
)
async def set_stock(ctx: Context[Settings], input: SetStock) -> StockRef:
    """Set how many of a product or variation there are (WooCommerce knows no relative change)."""
    path = f"/products/{input.product_id}"
    if input.variation is not None:
        path += f"/variations/{input.variation}"
    said = await _put(ctx, path, {"manage_stock": True, "stock_quantity": input.quantity})
    return StockRef(id=ident(said, "id") or "", quantity=input.quantity)


async def _find_coupon(ctx: Context[Settings], input: CreateCoupon) -> CouponRef | None:
    """The coupon of that code, if it is worth the same."""
    kind, value = input.value
    for each in await _list(ctx, "/coupons", code=input.code):
        worth = amount(each, "amount", "XXX")
        if text(each, "discount_type") == kind and worth is not None and worth.amount == Decimal(value):
            return CouponRef(id=ident(each, "id") or "", code=text(each, "code") or input.code)
    return None


@action(
    safe=lookup(SETTLE, _find_coupon),
    exclusive_by=lambda input: str(input.code),
    makes="discount",
    example=lambda: CreateCoupon(code="thanks10", percent=Decimal(10), usage_limit=1),
)
async def create_coupon(ctx: Context[Settings], input: CreateCoupon) -> CouponRef:
    """Make a coupon code. A code that exists already is refused by WooCommerce."""
    kind, value = input.value
    said = {
        "code": input.code,
        "discount_type": kind,
        "amount": value,
        "description": input.description,
        "date_expires_gmt": f"{input.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if input.expires_at else None,
        "usage_limit": input.usage_limit,
        "usage_limit_per_user": 1 if input.once_per_customer else None,
        "minimum_amount": plain(input.minimum_amount) if input.minimum_amount else None,
        "email_restrictions": [input.email] if input.email else None,
        "free_shipping": True if input.free_shipping else None,
    }
    body = {name: each for name, each in said.items() if each is not None}
    reply = await ctx.http.post(f"{API}/coupons", json=body)
    return CouponRef(id=ident(reply.json(), "id") or "", code=text(reply.json(), "code") or input.code)


# --- webhooks ----------------------------------------------------------------------------------------------------


@action(
    safe=upsert,
    exclusive_by=lambda input: str(input.url),
    example=lambda: RegisterWebhooks(url="https://hub.example/webhooks/shop", topics=["order.created"]),
)
async def register_webhooks(ctx: Context[Settings], input: RegisterWebhooks) -> WebhooksRegistered:
    """Make the shop's webhooks that are missing, and switch on those that it disabled after failures."""
    existing = [each for each in await _list(ctx, "/webhooks", per_page="100") if each.get("delivery_url") == input.url]
    by_topic = {text(each, "topic"): each for each in existing}
    done = WebhooksRegistered(made=[], mended=[], kept=[])
    for topic in input.topics:
        found = by_topic.get(topic)
        if found is None:
            (await ctx.http.post(f"{API}/webhooks", json=_webhook(topic, input.url, ctx.settings))).json()
            done.made.append(topic)
        elif found.get("status") != "active":
            await _put(ctx, f"/webhooks/{ident(found, 'id')}", {"status": "active"})
            done.mended.append(topic)
        else:
            done.kept.append(topic)
    return done


def _webhook(topic: str, url: str, settings: Settings) -> dict[str, Json]:
    secret = settings.webhook_secrets[0].get_secret_value()
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


ACTIONS: list[Action] = [
    set_status,
    add_note,
    set_meta,
    tag_order,
    hold_order,
    refund_order,
    set_stock,
    create_coupon,
    register_webhooks,
]
