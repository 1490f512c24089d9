"""`testbench`: a connector that is not shipped, with one action of each class of safety and a signed source.

Its sandbox honours idempotency keys; `tests.support.sink` speaks the same paths and honours nothing.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import (
    Action,
    Connector,
    Context,
    Counts,
    Facts,
    HeaderAuth,
    HttpOptions,
    Json,
    RawWebhook,
    Receipt,
    Sandbox,
    Source,
    State,
    action,
    lookup,
    native_key,
    unsafe,
    upsert,
)
from app.errors import MalformedError
from app.events import Address, Customer, Event, LineItem, Money, Order, OrderEvent, Ref, Totals, parse_time
from app.signing import HmacSignature

KEY_HEADER = "x-effect-key"
TOKEN = "testbench-token"
SECRET = "testbench-secret"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account: str = "bench"
    token: Annotated[SecretStr, Field(description="Sent as a bearer token")] = SecretStr(TOKEN)
    webhook_secrets: list[SecretStr] = [SecretStr(SECRET)]
    url: str = "https://testbench.invalid"


# --- the source -------------------------------------------------------------------------------------------------


def payload(
    order: int | str, amount: str = "10.00", *, currency: str = "EUR", topic: str = "order.paid", **extra: Any
) -> dict[str, Any]:
    """The body of a webhook, to be changed and encoded by a test."""
    body = {
        "id": str(order),
        "number": f"#{order}",
        "amount": amount,
        "currency": currency,
        "email": f"buyer-{order}@example.com",
        "at": "2026-11-20T10:00:00Z",
    }
    return {**body, **extra, "topic": topic}


def _identify(raw: RawWebhook, settings: Settings) -> Receipt:
    key = raw.headers.get("x-testbench-delivery")
    return Receipt(topic=raw.headers.get("x-testbench-topic", "unknown"), delivery_key=key)


def _headers(topic: str, body: bytes, settings: Settings, now: Any) -> dict[str, str]:
    return {"x-testbench-topic": topic, "x-testbench-delivery": hashlib.sha256(body).hexdigest()[:32]}


def _order(body: Json) -> Order:
    try:
        total = Money(amount=str(body["amount"]), currency=body["currency"])
        return Order(
            id=body["id"],
            number=body.get("number"),
            currency=body["currency"],
            email=body.get("email"),
            customer=Customer(email=body.get("email")),
            totals=Totals(items=total, total=total, paid=total),
            line_items=[LineItem(id="1", title="Thing", sku="THING", quantity=1, price=total, subtotal=total)],
            shipping_address=Address(country_code=body["country"]) if "country" in body else None,
            test=bool(body.get("test")),
        )
    except (KeyError, TypeError, ValueError) as e:
        raise MalformedError(f"this is no testbench order: {e}") from e


def _as(type_: str) -> Any:
    def normalise(body: Json, facts: Facts[Settings], state: State) -> Sequence[Event]:
        order = _order(body)
        at = parse_time(body.get("at"))
        ref = Ref("order", str(order.id))
        old = bool(body.get("historical"))
        said = {"version": body.get("at"), "test": bool(order.test), "historical": old}
        return [Event(type_, ref, ref, at, OrderEvent(order=order), **said)]

    return normalise


source: Source[Settings] = Source(
    signature=HmacSignature("x-testbench-signature", lambda settings: settings.webhook_secrets, "hex"),
    identify=_identify,
    topics={
        "order.created": _as("order.created"),
        "order.paid": _as("order.paid"),
        "order.updated": _as("order.updated"),
        "order.cancelled": _as("order.cancelled"),
    },
    ignored={"ping": "says only that the webhook works"},
    headers=_headers,
)


# --- the actions ------------------------------------------------------------------------------------------------


class Thing(BaseModel):
    id: str
    note: str | None = None
    amount: Money | None = None


class Made(BaseModel):
    id: str
    key: str


def _thing() -> Thing:
    return Thing(id="1", note="first")


async def _post(ctx: Context[Settings], path: str, input: Thing, method: str = "POST") -> Made:
    body = input.model_dump(mode="json", exclude_none=True)
    reply = await ctx.http.request(method, path, json=body, headers={KEY_HEADER: str(ctx.key)})
    reply.json()
    return Made(id=input.id, key=str(ctx.key))


async def _find(ctx: Context[Settings], input: Thing) -> Made | None:
    reply = await ctx.http.get("/found", params={"key": str(ctx.key)})
    return Made(id=input.id, key=str(ctx.key)) if reply.json()["found"] else None


@action(safe=native_key(timedelta(hours=24), 64), makes="thing", example=_thing)
async def make_native(ctx: Context[Settings], input: Thing) -> Made:
    """Make a thing under a key that the system itself honours."""
    return await _post(ctx, "/native", input)


@action(safe=upsert, example=_thing)
async def put_upsert(ctx: Context[Settings], input: Thing) -> Made:
    """Set a thing: once more changes nothing more."""
    return await _post(ctx, f"/upsert/{input.id}", input, "PUT")


@action(safe=lookup(timedelta(milliseconds=50), _find), example=_thing)
async def make_lookup(ctx: Context[Settings], input: Thing) -> Made:
    """Make a thing that can be searched for by its key."""
    return await _post(ctx, "/lookup", input)


@action(safe=upsert, reads=True, example=_thing)
async def look_up(ctx: Context[Settings], input: Thing) -> Made:
    """Look whether a thing was made, and change nothing."""
    reply = await ctx.http.get("/found", params={"key": input.id})
    return Made(id=input.id, key="there" if reply.json()["found"] else "not there")


@action(safe=unsafe, counts=lambda input: Counts(money=input.amount, contacts=1), example=_thing)
async def make_unsafe(ctx: Context[Settings], input: Thing) -> Made:
    """Make a thing that nothing makes safe to repeat; when in doubt a person is asked."""
    return await _post(ctx, "/unsafe", input)


@action(safe=unsafe, if_unsure="repeat", example=_thing)
async def say_repeat(ctx: Context[Settings], input: Thing) -> Made:
    """As `make_unsafe`, but repeated when in doubt."""
    return await _post(ctx, "/unsafe", input)


@action(safe=unsafe, if_unsure="skip", example=_thing)
async def say_skip(ctx: Context[Settings], input: Thing) -> Made:
    """As `make_unsafe`, but skipped when in doubt."""
    return await _post(ctx, "/unsafe", input)


ACTIONS: list[Action] = [look_up, make_native, put_upsert, make_lookup, make_unsafe, say_repeat, say_skip]


# --- the sandbox ------------------------------------------------------------------------------------------------


def sandbox() -> Sandbox:
    """Keeps what it was told by key (`/native`) or id (`/upsert`), and a row for each request elsewhere."""
    made: list[dict[str, Json]] = []

    def refused(request: Request) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _json({"error": "wrong token"}, 401)
        return None

    async def make(request: Request) -> Response:
        if answer := refused(request):
            return answer
        try:
            thing = Thing.model_validate_json(await request.body())
        except ValueError as e:
            return _json({"error": str(e)}, 422)
        row = {"path": request.scope["path"].rsplit("/testbench", 1)[-1], "key": request.headers.get(KEY_HEADER)}
        row |= thing.model_dump(mode="json")
        same = {"/native": "key", "/upsert/" + thing.id: "id"}.get(str(row["path"]))
        if same is None or not any(each[same] == row[same] and each["path"] == row["path"] for each in made):
            made.append(row)
        return _json({"id": thing.id})

    async def found(request: Request) -> Response:
        if answer := refused(request):
            return answer
        return _json({"found": any(each["key"] == request.query_params.get("key") for each in made)})

    routes = [
        Route("/native", make, methods=["POST"]),
        Route("/lookup", make, methods=["POST"]),
        Route("/unsafe", make, methods=["POST"]),
        Route("/upsert/{id}", make, methods=["PUT"]),
        Route("/found", found),
    ]
    return Sandbox({"token": TOKEN, "webhook_secrets": [SECRET]}, routes, lambda: {"made": made})


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


async def _test(ctx: Context[Settings]) -> str:
    await ctx.http.get("/found", params={"key": ""})
    return "The testbench answers."


connector = Connector(
    slug="testbench",
    title="Testbench",
    category="other",
    settings=Settings,
    account="account",
    source=source,
    actions=ACTIONS,
    auth=HeaderAuth(lambda settings: {"authorization": f"Bearer {settings.token.get_secret_value()}"}),
    http=HttpOptions(base_url=lambda settings: settings.url, at_once=50, timeout=2.0),
    sandbox=sandbox,
    test=_test,
    store={"tag_order": "put_upsert"},
)
