"""What can be done at Gumroad (API v2). It says most refusals with status 200 and `success: false`."""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

from app.connector import Action, Context, Counts, Reply, action, lookup, unsafe, upsert
from app.errors import CredentialError, PermanentError, TradewindError
from app.events import Money
from connectors.gumroad.forms import Body, text, truth, whole
from connectors.gumroad.models import (
    CreateOfferCode,
    MarkShipped,
    OfferCodeRef,
    PartiallyRefundSale,
    RefundSale,
    ResourcesSubscribed,
    SaleRef,
    SubscribeResources,
)
from connectors.gumroad.settings import API, Settings

SETTLE = timedelta(seconds=5)
SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "A$": "AUD", "CAD$": "CAD"}
"""Of listings; the API tells their currency by its symbol alone."""
SAMPLE_SALE = "kT3sandboxSaleAAAAAAAA=="
SAMPLE_PRODUCT = "pR0sandboxProductAAAAA=="


def problem(reply: Reply) -> TradewindError | None:
    """`{success: false, message}` is a refusal, whatever the status."""
    if reply.status not in (200, 201, 400, 401, 403, 404):
        return None
    try:
        said = reply.json()
    except (ValueError, TradewindError):
        return None
    if not isinstance(said, dict) or (said.get("success") is not False and reply.status < 400):
        return None
    kind = CredentialError if reply.status == 401 else PermanentError
    return kind((text(said, "message") or text(said, "error") or "refused without a reason")[:500], reply.status)


async def _get(ctx: Context[Settings], path: str, name: str, **params: str) -> Body:
    said = (await ctx.http.get(f"{API}{path}", params=params or None)).json()
    found = said.get(name) if isinstance(said, dict) else None
    if not isinstance(found, dict):
        raise PermanentError(f"the answer holds no {name}")
    return found


def _ref(sale: Body) -> SaleRef:
    return SaleRef(
        id=text(sale, "id") or "",
        refunded=truth(sale, "refunded") is True,
        shipped=truth(sale, "shipped") is True,
    )


@action(
    safe=upsert,
    example=lambda: MarkShipped(sale_id=SAMPLE_SALE, tracking_url="https://track.example/1Z999"),
)
async def mark_shipped(ctx: Context[Settings], input: MarkShipped) -> SaleRef:
    """Say that a physical sale was sent; the buyer gets a mail with the tracking link."""
    form = {"tracking_url": input.tracking_url} if input.tracking_url else {}
    reply = await ctx.http.request("PUT", f"{API}/sales/{input.sale_id}/mark_as_shipped", form=form)
    return _ref(reply.json()["sale"])


async def _find_refunded(ctx: Context[Settings], input: RefundSale) -> SaleRef | None:
    sale = await _get(ctx, f"/sales/{input.sale_id}", "sale")
    return _ref(sale) if truth(sale, "refunded") is True else None


@action(
    safe=lookup(SETTLE, _find_refunded),
    if_unsure="ask",
    exclusive_by=lambda input: str(input.sale_id),
    makes="refund",
    causes=("refund.created", "order.updated"),
    example=lambda: RefundSale(sale_id=SAMPLE_SALE),
)
async def refund_sale(ctx: Context[Settings], input: RefundSale) -> SaleRef:
    """Give all that is left of a sale back. Gumroad refuses a sale that is refunded already."""
    reply = await ctx.http.request("PUT", f"{API}/sales/{input.sale_id}/refund", form={})
    return _ref(reply.json()["sale"])


@action(
    safe=unsafe,
    if_unsure="ask",
    exclusive_by=lambda input: str(input.sale_id),
    makes="refund",
    causes=("refund.created", "order.updated"),
    counts=lambda input: Counts(money=input.amount),
    example=lambda: PartiallyRefundSale(sale_id=SAMPLE_SALE, amount=Money(amount=Decimal("2.50"), currency="USD")),
)
async def partially_refund_sale(ctx: Context[Settings], input: PartiallyRefundSale) -> SaleRef:
    """Give a part of a sale back, in the currency of the listing. Partial refunds have no id at Gumroad, so nobody can
    look whether one was made: an unsure attempt asks a person."""
    sale = await _get(ctx, f"/sales/{input.sale_id}", "sale")
    currency = SYMBOLS.get(text(sale, "currency_symbol") or "")
    if input.amount.currency != currency or not input.amount.is_rounded or input.amount.amount <= 0:
        raise PermanentError(
            f"cannot give back {input.amount} of a sale in {currency or text(sale, 'currency_symbol')}"
        )
    form = {"amount_cents": str(input.amount.minor())}
    reply = await ctx.http.request("PUT", f"{API}/sales/{input.sale_id}/refund", form=form)
    return _ref(reply.json()["sale"])


# --- offer codes -------------------------------------------------------------------------------------------------


async def _product(ctx: Context[Settings], input: CreateOfferCode) -> str:
    """The product that a code hangs on; a universal one hangs on any."""
    if input.product_id is not None:
        return input.product_id
    said = (await ctx.http.get(f"{API}/products")).json()
    products = said.get("products") if isinstance(said, dict) else None
    if not isinstance(products, list) or not products:
        raise PermanentError("the seller has no product to make an offer code for")
    return str(products[0]["id"])


def _code(ctx: Context[Settings], input: CreateOfferCode) -> str:
    """The code asked for, or one made of the effect key: a repeat makes the same."""
    return input.code or f"{input.prefix}{ctx.key('code')[:10]}"


async def _find_code(ctx: Context[Settings], input: CreateOfferCode) -> OfferCodeRef | None:
    product = await _product(ctx, input)
    said = (await ctx.http.get(f"{API}/products/{product}/offer_codes")).json()
    for each in said["offer_codes"]:
        same = whole(each, "percent_off") == input.percent and whole(each, "amount_cents") == _minor(input.amount)
        if text(each, "name") == _code(ctx, input) and same:
            return OfferCodeRef(id=text(each, "id") or "", code=_code(ctx, input), product_id=product)
    return None


def _minor(amount: Money | None) -> int | None:
    return None if amount is None else amount.minor()


@action(
    safe=lookup(SETTLE, _find_code),
    exclusive_by=lambda input: input.code or input.prefix or "made",
    makes="discount",
    example=lambda: CreateOfferCode(prefix="thanks-", percent=10, product_id=SAMPLE_PRODUCT),
)
async def create_offer_code(ctx: Context[Settings], input: CreateOfferCode) -> OfferCodeRef:
    """Make an offer code, the one given or one made up, for one product or for all. Gumroad refuses one that exists."""
    product = await _product(ctx, input)
    form = {"name": _code(ctx, input), "universal": "true" if input.product_id is None else "false"}
    if input.percent is not None:
        form |= {"offer_type": "percent", "amount_off": str(input.percent)}
    elif input.amount is not None:
        form |= {"offer_type": "cents", "amount_off": str(_minor(input.amount))}
    if input.usage_limit is not None:
        form["max_purchase_count"] = str(input.usage_limit)
    made = (await ctx.http.post(f"{API}/products/{product}/offer_codes", form=form)).json()["offer_code"]
    return OfferCodeRef(id=text(made, "id") or "", code=text(made, "name") or _code(ctx, input), product_id=product)


# --- pings -------------------------------------------------------------------------------------------------------


@action(
    safe=upsert,
    exclusive_by=lambda input: str(input.url),
    example=lambda: SubscribeResources(url="https://hub.example/webhooks/gumroad", resources=["sale"]),
)
async def subscribe_resources(ctx: Context[Settings], input: SubscribeResources) -> ResourcesSubscribed:
    """Ask Gumroad to ping this connection about each resource, where it does not yet. The token is added here; what was
    asked for under an older token is taken back."""
    url = f"{input.url}?token={quote(ctx.settings.tokens[0].get_secret_value(), safe='')}"
    done = ResourcesSubscribed(made=[], kept=[])
    for name in input.resources:
        said = (await ctx.http.get(f"{API}/resource_subscriptions", params={"resource_name": name})).json()
        there = [each for each in said["resource_subscriptions"] if isinstance(each, dict)]
        if any(each.get("post_url") == url for each in there):
            done.kept.append(name)
        else:
            form = {"resource_name": name, "post_url": url}
            (await ctx.http.request("PUT", f"{API}/resource_subscriptions", form=form)).json()
            done.made.append(name)
        if outdated := [each for each in there if _is_older(text(each, "post_url") or "", str(input.url), url)]:
            for each in outdated:
                await ctx.http.request("DELETE", f"{API}/resource_subscriptions/{quote(str(each['id']), safe='')}")
            done.removed.append(name)
    return done


def _is_older(there: str, address: str, now: str) -> bool:
    """Whether a subscription is this connection's, under another token."""
    return there != now and there.startswith(f"{address}?token=")


async def test(ctx: Context[Settings]) -> str:
    """Whose token it is. Without one nothing that Gumroad says can be proven, and this says so."""
    if ctx.settings.access_token is None:
        return "No access token: pings are unproven, and every event made of them says so"
    user = await _get(ctx, "/user", "user")
    if text(user, "user_id") != ctx.settings.seller_id:
        raise CredentialError(f"the access token belongs to another seller ({text(user, 'user_id')})")
    return f"{text(user, 'name') or 'Seller'} ({text(user, 'url') or ctx.settings.seller_id})"


ACTIONS: list[Action] = [
    mark_shipped,
    refund_sale,
    partially_refund_sale,
    create_offer_code,
    subscribe_resources,
]
