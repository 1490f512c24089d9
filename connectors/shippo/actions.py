"""What can be done with Shippo. A label is money: one that was bought is found by its metadata, never bought again."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

from app.connector import Action, Context, Counts, Json, Reply, action, lookup, upsert
from app.errors import PermanentError, RetryableError, UnsureError
from app.events import Address, LineItem, Money, Order
from connectors.shippo.faults import messages_of, refused
from connectors.shippo.models import (
    AddressChecked,
    BuyLabel,
    GetRates,
    Label,
    LabelRefunded,
    Rate,
    Rates,
    RefundLabel,
    RegisterTracking,
    Settings,
    Track,
    Tracking,
    ValidateAddress,
    _Parcel,
)
from connectors.shippo.parcels import Body, address_body, address_of, destination, packed, parcel_body
from connectors.shippo.tracking import tracking_of

SETTLE = timedelta(seconds=60)
"""Until a label that was bought surely stands in the list: Shippo says no time."""
PAGES, PER_PAGE = 50, 100
"""How far back labels are searched at most: 5,000 of them."""
EARLIER = timedelta(days=1)
"""Than the call's first sending no label of it was made; so much do clocks differ at most."""
SAMPLE_LABEL = "sandbox-label"
"""In the sandbox."""
LISTS = "lists"
"""Name of the limit of 50 lists a minute."""


def example_order() -> Order:
    address = Address(
        name="Grace Example",
        address1="965 Mission St",
        city="San Francisco",
        province_code="CA",
        postal_code="94103",
        country_code="US",
    )
    mug = LineItem(id="1", sku="MUG", title="Mug", quantity=2, weight=Decimal(350), requires_shipping=True)
    return Order(id="5001", email="grace@example.com", shipping_address=address, line_items=[mug])


# --- addresses and rates ----------------------------------------------------------------------------------------


@action(safe=upsert, reads=True, example=lambda: ValidateAddress(order=example_order()))
async def validate_address(ctx: Context[Settings], input: ValidateAddress) -> AddressChecked:
    """Have an address checked. One that is wrong is no error: `valid` says so, and `messages` why."""
    address = input.address or (input.order.shipping_address if input.order else None)
    if address is None or not (address.country_code or address.country):
        raise PermanentError("there is no address with a country to check")
    body = {**address_body(address), "validate": True}
    said = _answer(await ctx.http.post("/addresses", json=body, reads=True))
    results = said.get("validation_results") or {}
    return AddressChecked(
        id=said["object_id"],
        valid=bool(results.get("is_valid")),
        messages=messages_of(results),
        address=address_of(said),
    )


@action(safe=upsert, reads=True, example=lambda: GetRates(order=example_order()))
async def get_rates(ctx: Context[Settings], input: GetRates) -> Rates:
    """Ask what carriers would take for a parcel of the order's items, the cheapest first. Nothing is bought."""
    return await _rates(ctx, input)


async def _rates(ctx: Context[Settings], input: _Parcel) -> Rates:
    box, grams = packed(input, ctx.settings)
    body = {
        "address_from": address_body(ctx.settings.sender),
        "address_to": address_body(destination(input, ctx.settings)),
        "parcels": [parcel_body(box, grams)],
        "metadata": f"order {input.order.id}"[:100],
        "async": False,
        **input.fields,
    }
    said = _answer(await ctx.http.post("/shipments", json=body, reads=True))
    rates = sorted((_rate(each) for each in said.get("rates") or ()), key=lambda rate: rate.price.amount)
    if not rates:
        raise refused("No carrier offers a rate", messages_of(said))
    return Rates(shipment_id=said["object_id"], rates=rates, box=box.name, weight=grams, messages=messages_of(said))


def _rate(body: Body) -> Rate:
    level = body.get("servicelevel") or {}
    return Rate(
        id=body["object_id"],
        carrier=body.get("provider") or "",
        service=level.get("token") or "",
        name=level.get("name"),
        price=Money(amount=Decimal(body["amount"]), currency=body["currency"]),
        days=body.get("estimated_days"),
    )


# --- labels -----------------------------------------------------------------------------------------------------


def mark_of(key: str) -> str:
    """How the metadata of a label begins that was bought under this effect key."""
    return f"tradewind {key}"


async def _find_label(ctx: Context[Settings], input: BuyLabel) -> Label | None:
    """The label that bears our effect key; one that failed was not bought. RetryableError while it is being made."""
    mark = mark_of(ctx.key)
    async for label in _labels(ctx):
        if str(label.get("metadata") or "").startswith(mark) and label.get("status") != "ERROR":
            if label.get("status") in ("QUEUED", "WAITING"):
                raise RetryableError("Shippo is still buying the label", 15)
            return _label(label, None)
    return None


async def _labels(ctx: Context[Settings]) -> AsyncIterator[Body]:
    """Labels since the call was first sent, the newest first. PermanentError after 5,000: somebody must look."""
    oldest = (ctx.first_sent - EARLIER).isoformat()
    for page in range(1, PAGES + 1):
        params = {"results": str(PER_PAGE), "page": str(page)}
        said = (await ctx.http.request("GET", "/transactions", params=params, limit_key=LISTS)).json()
        for each in said["results"]:
            yield each
        last = said["results"][-1].get("object_created") if said["results"] else None
        if not said.get("next") or (isinstance(last, str) and last < oldest):
            return
    raise PermanentError(
        f"too many labels to search: look in Shippo for one whose metadata begins {mark_of(ctx.key)!r}"
    )


@action(
    safe=lookup(SETTLE, _find_label),
    makes="label",
    exclusive_by=lambda input: input.order.id or "none",
    counts=lambda input: Counts(money=input.at_most),
    example=lambda: BuyLabel(order=example_order()),
)
async def buy_label(ctx: Context[Settings], input: BuyLabel) -> Label:
    """Buy the cheapest or fastest label for a parcel of the order's items, if wanted of one service or carrier.

    Only within the sender's country: customs declarations are not there yet. The same label is never bought twice."""
    rate = choose((await _rates(ctx, input)).rates, input)
    body = {
        "rate": rate.id,
        "label_file_type": input.format or ctx.settings.format,
        "metadata": f"{mark_of(ctx.key)} order {input.order.id}"[:100],
        "async": False,
    }
    said = _answer(await ctx.http.post("/transactions", json=body))
    if said.get("status") in ("QUEUED", "WAITING"):
        raise UnsureError("Shippo is still buying the label", 15)
    if said.get("status") == "ERROR":
        raise refused("The label was not bought", messages_of(said))
    return _label(said, rate)


def choose(rates: list[Rate], input: BuyLabel) -> Rate:
    """The rate wanted; PermanentError says what there is instead."""
    fitting = [
        rate
        for rate in rates
        if (input.service in (None, rate.service))
        and (input.carrier is None or input.carrier.casefold() == rate.carrier.casefold())
    ]
    if not fitting:
        offered = ", ".join(dict.fromkeys(f"{rate.carrier} {rate.service}" for rate in rates))
        raise PermanentError(f"no rate of that service or carrier; offered are {offered}"[:900])
    if len({rate.price.currency for rate in fitting}) > 1:
        raise PermanentError("the rates are in several currencies: name a service or a carrier")
    best = min(fitting, key=_fast if input.choose == "fastest" else _cheap)
    if input.at_most is not None and _dearer(best.price, input.at_most):
        raise PermanentError(f"the label would cost {best.price}, more than {input.at_most}")
    return best


def _cheap(rate: Rate) -> tuple[Decimal, int]:
    return rate.price.amount, _days(rate)


def _fast(rate: Rate) -> tuple[int, Decimal]:
    return _days(rate), rate.price.amount


def _days(rate: Rate) -> int:
    """Who does not say how long it takes comes last."""
    return rate.days if rate.days is not None else 1000


def _dearer(price: Money, limit: Money) -> bool:
    if price.currency != limit.currency:
        raise PermanentError(f"the label is priced in {price.currency}, `at_most` in {limit.currency}")
    return price.amount > limit.amount


def _label(said: Body, rate: Rate | None) -> Label:
    """`rate`: the one that was asked for; a repeat may have bought that of the first try."""
    told = said.get("rate")
    known = rate if rate is not None and told == rate.id else None
    inner = told if isinstance(told, dict) else {}
    price = Money(amount=Decimal(inner["amount"]), currency=inner["currency"]) if inner.get("amount") else None
    return Label(
        id=said["object_id"],
        status=str(said.get("status")),
        tracking_number=said.get("tracking_number"),
        tracking_url=said.get("tracking_url_provider"),
        label_url=said.get("label_url"),
        carrier=known.carrier if known else inner.get("provider"),
        service=known.service if known else inner.get("servicelevel_token"),
        price=known.price if known else price,
    )


async def _find_refund(ctx: Context[Settings], input: RefundLabel) -> LabelRefunded | None:
    label = (await ctx.http.get(f"/transactions/{quote(input.label_id, safe='')}")).json()
    words = {"REFUNDED": "SUCCESS", "REFUNDPENDING": "PENDING"}
    status = words.get(str(label.get("status")))
    return LabelRefunded(label_id=input.label_id, status=status) if status else None


@action(
    safe=lookup(SETTLE, _find_refund),
    exclusive_by=lambda input: input.label_id,
    example=lambda: RefundLabel(label_id=SAMPLE_LABEL),
)
async def refund_label(ctx: Context[Settings], input: RefundLabel) -> LabelRefunded:
    """Ask the money for an unused label back. One that is refunded already is no error; carriers take up to weeks."""
    if found := await _find_refund(ctx, input):
        return found
    said = _answer(await ctx.http.post("/refunds", json={"transaction": input.label_id, "async": False}))
    if said.get("status") == "ERROR":
        raise refused("The label was not refunded", messages_of(said))
    return LabelRefunded(label_id=input.label_id, status=str(said.get("status")))


# --- tracking ---------------------------------------------------------------------------------------------------


@action(safe=upsert, reads=True, example=lambda: Track(carrier="shippo", tracking_number="SHIPPO_TRANSIT"))
async def track(ctx: Context[Settings], input: Track) -> Tracking:
    """Ask where a parcel is."""
    number = quote(input.tracking_number, safe="")
    return tracking_of((await ctx.http.get(f"/tracks/{input.carrier}/{number}")).json())


@action(safe=upsert, example=lambda: RegisterTracking(carrier="shippo", tracking_number="SHIPPO_TRANSIT", order_id="1"))
async def register_tracking(ctx: Context[Settings], input: RegisterTracking) -> Tracking:
    """Ask for webhooks about a parcel whose label was bought elsewhere; those of `buy_label` come by themselves."""
    body = {"carrier": input.carrier, "tracking_number": input.tracking_number}
    if input.order_id:
        body["metadata"] = f"order {input.order_id}"
    reply = await ctx.http.post("/tracks", json=body)
    said = reply.json()
    if not isinstance(said, dict) or "tracking_number" not in said:
        raise UnsureError("Shippo's answer has no tracking_number", status=reply.status)
    return tracking_of(said)


def _answer(reply: Reply) -> Body:
    said: Json = reply.json()
    if not isinstance(said, dict) or not isinstance(said.get("object_id"), str):
        raise UnsureError("Shippo's answer has no object_id", status=reply.status)
    return said


ACTIONS: list[Action] = [
    validate_address,
    get_rates,
    buy_label,
    refund_label,
    track,
    register_tracking,
]
