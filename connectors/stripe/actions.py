"""What can be done at Stripe: products and prices made, payments refunded.

Requests are form encoded. Each carries the effect key twice: as `Idempotency-Key`, which Stripe remembers for 24 hours
at least, and as metadata `tradewind_key`, by which the effect is found afterwards.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from app.connector import Context, Counts, Json, action, lookup, native_key
from app.errors import PermanentError
from app.events import Money
from connectors.stripe.amounts import from_api, to_api
from connectors.stripe.models import (
    CreatePrice,
    CreateProduct,
    RefundPayment,
    Settings,
    StripePrice,
    StripeProduct,
    StripeRefund,
)

KEY = "tradewind_key"
REMEMBERED = timedelta(hours=24)
SEARCH_LAGS = timedelta(minutes=5)
"""Stripe's search shows what was written "under a minute" later, more in an outage (docs.stripe.com/search)."""

Form = list[tuple[str, str]]


def form_of(fields: Mapping[str, object]) -> Form:
    """Form fields of those that are said; nested names are written out (`recurring[interval]`)."""
    return [(name, _plain(value)) for name, value in fields.items() if value is not None]


def _plain(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _metadata(ctx: Context[Settings], own: Mapping[str, str], sku: str | None = None) -> dict[str, str]:
    marked = {**own, **({"sku": sku} if sku else {}), KEY: str(ctx.key)}
    return {f"metadata[{name}]": value for name, value in marked.items()}


async def _post(ctx: Context[Settings], path: str, fields: Mapping[str, object]) -> dict[str, Json]:
    reply = await ctx.http.post(path, form=form_of(fields), headers={"idempotency-key": str(ctx.key)})
    answer: dict[str, Json] = reply.json()
    return answer


async def _search(ctx: Context[Settings], path: str) -> dict[str, Json] | None:
    """The one that this effect made, if the search shows it."""
    found = (await ctx.http.get(path, params={"query": f"metadata['{KEY}']:'{ctx.key}'"})).json()["data"]
    return found[0] if found else None


# --- products


def _product(said: Mapping[str, Json]) -> StripeProduct:
    price = said.get("default_price")
    return StripeProduct(
        id=said["id"], name=said.get("name"), default_price_id=price["id"] if isinstance(price, dict) else price
    )


async def _find_product(ctx: Context[Settings], input: CreateProduct) -> StripeProduct | None:
    found = await _search(ctx, "/v1/products/search")
    return _product(found) if found else None


@action(
    safe=native_key(REMEMBERED, then=lookup(SEARCH_LAGS, _find_product)),
    example=lambda: CreateProduct(
        name="Enamel mug", sku="MUG-1", default_price=Money(amount=Decimal("12.90"), currency="EUR")
    ),
    makes="product",
    causes=("product.created", "product.updated"),
)
async def create_product(ctx: Context[Settings], input: CreateProduct) -> StripeProduct:
    """Make a product, with its first price if one is given."""
    fields = {
        "name": input.name,
        "description": input.description,
        "active": input.active,
        "shippable": input.shippable,
        "url": input.url,
        "tax_code": input.tax_code,
        "unit_label": input.unit_label,
    }
    images = {f"images[{i}]": image for i, image in enumerate(input.images)}
    price = _default_price(input)
    made = _product(
        await _post(ctx, "/v1/products", fields | images | price | _metadata(ctx, input.metadata, input.sku))
    )
    ctx.touches(made.id)
    return made


def _default_price(input: CreateProduct) -> dict[str, object]:
    if input.default_price is None:
        return {}
    return {
        "default_price_data[currency]": input.default_price.currency.lower(),
        "default_price_data[unit_amount]": to_api(input.default_price),
        "default_price_data[recurring][interval]": input.interval,
    }


# --- prices


def _price(said: Mapping[str, Json]) -> StripePrice:
    product = said.get("product")
    return StripePrice(
        id=said["id"],
        product_id=product["id"] if isinstance(product, dict) else product,
        amount=from_api(said.get("unit_amount"), said.get("currency")),
        lookup_key=said.get("lookup_key"),
    )


async def _find_price(ctx: Context[Settings], input: CreatePrice) -> StripePrice | None:
    found = await _search(ctx, "/v1/prices/search")
    return _price(found) if found else None


@action(
    safe=native_key(REMEMBERED, then=lookup(SEARCH_LAGS, _find_price)),
    example=lambda: CreatePrice(
        product_id="prod_sandbox", amount=Money(amount=Decimal("9.90"), currency="EUR"), interval="month"
    ),
    makes="price",
    causes=("product.updated",),
)
async def create_price(ctx: Context[Settings], input: CreatePrice) -> StripePrice:
    """Make a price of a product, once or recurring. Amounts of prices cannot be changed later."""
    fields = {
        "product": input.product_id,
        "currency": input.amount.currency.lower(),
        "unit_amount": to_api(input.amount),
        "nickname": input.nickname,
        "lookup_key": input.lookup_key,
        "transfer_lookup_key": input.transfer_lookup_key or None,
        "tax_behavior": input.tax_behavior,
        "active": input.active,
        "recurring[interval]": input.interval,
        "recurring[interval_count]": input.interval_count if input.interval else None,
    }
    return _price(await _post(ctx, "/v1/prices", fields | _metadata(ctx, input.metadata)))


# --- refunds


def _refund(said: Mapping[str, Json]) -> StripeRefund:
    return StripeRefund(
        id=said["id"],
        status=said.get("status"),
        amount=from_api(said.get("amount"), said.get("currency")),
        payment_id=said.get("payment_intent") or said.get("charge"),
    )


def _of(input: RefundPayment) -> dict[str, str]:
    kind = "payment_intent" if input.payment_id.startswith("pi_") else "charge"
    return {kind: input.payment_id}


async def _find_refund(ctx: Context[Settings], input: RefundPayment) -> StripeRefund | None:
    """Lists, other than searches, show what was just written."""
    found = (await ctx.http.get("/v1/refunds", params={**_of(input), "limit": "100"})).json()["data"]
    return next((_refund(each) for each in found if (each.get("metadata") or {}).get(KEY) == ctx.key), None)


@action(
    safe=native_key(REMEMBERED, then=lookup(timedelta(seconds=30), _find_refund)),
    example=lambda: RefundPayment(
        payment_id="pi_sandbox", amount=Money(amount=Decimal("5.00"), currency="EUR"), reason="requested_by_customer"
    ),
    if_unsure="ask",
    makes="refund",
    causes=("refund.created", "refund.updated"),
    counts=lambda input: Counts(money=input.amount),
)
async def refund_payment(ctx: Context[Settings], input: RefundPayment) -> StripeRefund:
    """Give a payment back, in whole or in part. A refund may still fail days later: refund.failed says so."""
    if input.amount is not None and input.amount.amount <= 0:
        raise PermanentError(f"a refund of {input.amount} gives nothing back")
    fields = {
        **_of(input),
        "amount": None if input.amount is None else to_api(input.amount),
        "reason": input.reason,
        **_metadata(ctx, input.metadata),
    }
    made = _refund(await _post(ctx, "/v1/refunds", fields))
    ctx.touches(made.id)
    return made


ACTIONS = (create_product, create_price, refund_payment)
