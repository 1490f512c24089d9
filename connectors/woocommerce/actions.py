"""What can be done with an order (REST API v3). Every write fires the shop's own webhooks again."""

from datetime import timedelta
from decimal import Decimal
from html import unescape

from app.connector import Action, Context, Counts, Json, action, lookup, upsert
from app.errors import PermanentError
from app.events import Money
from connectors.woocommerce.fields import Body, amount, ident, meta, rows, text
from connectors.woocommerce.models import (
    AddNote,
    HoldOrder,
    NoteRef,
    OrderRef,
    RefundOrder,
    RefundRef,
    SetMeta,
    SetStatus,
    TagOrder,
    plain,
)
from connectors.woocommerce.orders import TAGS, tags_of
from connectors.woocommerce.rest import entries, listed, put
from connectors.woocommerce.settings import API, Settings

MARK = "_tradewind_key"
"""Meta key that holds the effect key of a refund."""
HOLD_REASON, HOLD_NOTE = "tradewind_hold_reason", "tradewind_hold_note"
SETTLE = timedelta(seconds=2)
"""WooCommerce reads what it wrote from one database; replicas and object caches of hosts may lag a little."""
ECHO = ("order.updated",)


def _ref(order: Body) -> OrderRef:
    return OrderRef(id=ident(order, "id") or "", status=text(order, "status") or "", tags=tags_of(meta(order)) or [])


@action(
    safe=upsert,
    causes=(*ECHO, "order.paid", "order.fulfilled", "order.cancelled"),
    example=lambda: SetStatus(order_id="1001", status="completed"),
)
async def set_status(ctx: Context[Settings], input: SetStatus) -> OrderRef:
    """Move an order to another status. WooCommerce sends the mails that belong to the change."""
    return _ref(await put(ctx, f"/orders/{input.order_id}", {"status": input.status}))


async def _find_note(ctx: Context[Settings], input: AddNote) -> NoteRef | None:
    """A note of the order with the same words."""
    wanted = " ".join(input.note.split())
    for each in await listed(ctx, f"/orders/{input.order_id}/notes"):
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
    return _ref(await put(ctx, f"/orders/{input.order_id}", {"meta_data": entries(input.meta)}))


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
    return _ref(await put(ctx, f"/orders/{input.order_id}", {"meta_data": entries({TAGS: ", ".join(tags)})}))


@action(safe=upsert, causes=ECHO, example=lambda: HoldOrder(order_id="1001", reason="High risk"))
async def hold_order(ctx: Context[Settings], input: HoldOrder) -> OrderRef:
    """Put an order on hold, until somebody moves it on."""
    said = {HOLD_REASON: input.reason, HOLD_NOTE: input.note}
    kept = entries({key: value for key, value in said.items() if value})
    changes: dict[str, Json] = {"status": "on-hold"} | ({"meta_data": kept} if kept else {})
    return _ref(await put(ctx, f"/orders/{input.order_id}", changes))


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
    for each in await listed(ctx, f"/orders/{input.order_id}/refunds", per_page="100"):
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
        "meta_data": entries({MARK: str(ctx.key)}),
    }
    if input.lines:
        body["line_items"] = [
            {"id": int(line.line_item_id), "quantity": line.quantity, "refund_total": line.amount}
            for line in input.lines
        ]
    reply = await ctx.http.post(f"{API}/orders/{input.order_id}/refunds", json=body)
    return RefundRef(id=ident(reply.json(), "id") or "", amount=amount(reply.json(), "amount", currency) or wanted)


ORDER_ACTIONS: list[Action] = [set_status, add_note, set_meta, tag_order, hold_order, refund_order]
