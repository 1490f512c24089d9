"""A fake Stripe account: products, prices, payments and refunds in memory, as strict as the vendor about requests.

Payments pi_sandbox and ch_sandbox (and all whose id goes on from there: pi_sandbox_7) exist, paid, of 100.00 EUR.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox

KEY = "sk_test_sandbox"
ACCOUNT = "acct_sandbox"
PAID = 10_000
CREATED = 1_791_000_000
Fields = Mapping[str, str]
_METADATA = re.compile(r"metadata\[([^\[\]]{1,40})\]")
_QUERY = re.compile(r"metadata\['(\w+)'\]:'([^']*)'")
_WHOLE = re.compile(r"-?[0-9]+")
_INTERVALS = ("day", "week", "month", "year")

_KNOWN = {
    "products": "name description active shippable url tax_code unit_label id statement_descriptor images "
    "default_price_data[currency] default_price_data[unit_amount] default_price_data[recurring][interval]",
    "prices": "product currency unit_amount unit_amount_decimal nickname lookup_key transfer_lookup_key tax_behavior "
    "active recurring[interval] recurring[interval_count]",
    "refunds": "payment_intent charge amount reason",
}
_REQUIRED = {"products": ("name",), "prices": ("currency", "product"), "refunds": ()}
_WHOLE_FIELDS = ("amount", "unit_amount", "default_price_data[unit_amount]", "recurring[interval_count]")
_FLAGS = ("active", "shippable", "transfer_lookup_key")
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


class Refused(Exception):
    """Answered with Stripe's error object."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": _TYPES.get(status, "invalid_request_error"), "message": message}
        self.error |= {name: value for name, value in (("code", code), ("param", param)) if value}


_TYPES = {402: "card_error", 429: "rate_limit_error"} | dict.fromkeys((500, 502, 503, 504), "api_error")


@dataclass
class Held:
    """What the account holds, by id, and the answers kept under idempotency keys."""

    products: dict[str, dict[str, Json]] = field(default_factory=dict)
    prices: dict[str, dict[str, Json]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Json]] = field(default_factory=dict)
    answers: dict[str, tuple[Json, int, bytes]] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=lambda: count(1))


def sandbox() -> Sandbox:
    held = Held(products={"prod_sandbox": _product("prod_sandbox", {"name": "Sandbox product"}, {})})
    routes = [
        _route("/v1/account", "GET", lambda request, fields: _ACCOUNT),
        *(_route(f"/v1/{kind}", "POST", _once(held, kind, make)) for kind, make in _MAKERS.items()),
        _route("/v1/products/search", "GET", lambda request, fields: _found(held.products, fields, request)),
        _route("/v1/prices/search", "GET", lambda request, fields: _found(held.prices, fields, request)),
        _route("/v1/refunds", "GET", lambda request, fields: _list(_refunds_of(held, fields), request)),
        _route("/v1/products/{id}", "GET", lambda request, fields: _one(held.products, request)),
        _route("/v1/prices/{id}", "GET", lambda request, fields: _one(held.prices, request)),
        _route("/v1/checkout/sessions/{id}/line_items", "GET", lambda request, fields: _list(_LINES, request)),
    ]
    settings = {"account": ACCOUNT, "webhook_secrets": ["whsec_sandbox"], "api_key": KEY}
    return Sandbox(settings=settings, routes=routes, state=lambda: _state(held), fault=_fault)


def _state(held: Held) -> Json:
    return {kind: list(getattr(held, kind).values()) for kind in ("products", "prices", "refunds")}


def _fault(status: int) -> Response:
    code = {429: "rate_limit", 401: None, 409: "lock_timeout"}.get(status)
    return _refusal(Refused(status, "The sandbox was told to fail.", code))


# --- every request

Answer = Callable[[Request, Fields], Json]


def _route(path: str, method: str, answer: Answer) -> Route:
    async def handle(request: Request) -> Response:
        try:
            _authorise(request)
            fields = await _fields(request)
            made = answer(request, fields)
        except Refused as refused:
            return _refusal(refused)
        return made if isinstance(made, Response) else _json(made)

    endpoint: Callable[[Request], Awaitable[Response]] = handle
    return Route(path, endpoint, methods=[method])


def _json(body: Json, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(_shown(body)), status, {"request-id": "req_sandbox", **headers}, "application/json")


def _shown(value: Json) -> Json:
    """Stripe writes null where its own description forbids it (expandable fields); left out, an answer fits both."""
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items() if inner is not None}
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


def _refusal(refused: Refused) -> Response:
    again = {409: "true", 429: "true"}.get(refused.status, "false")
    return _json({"error": refused.error}, refused.status, **{"stripe-should-retry": again})


def _authorise(request: Request) -> None:
    given = request.headers.get("authorization", "")
    if not given:
        raise Refused(401, "You did not provide an API key.")
    if given != f"Bearer {KEY}":
        raise Refused(401, "Invalid API Key provided.", "api_key_invalid")


async def _fields(request: Request) -> Fields:
    if request.method == "GET":
        return dict(request.query_params)
    kind = request.headers.get("content-type", "").split(";")[0]
    body = (await request.body()).decode()
    if body and kind != "application/x-www-form-urlencoded":
        raise Refused(400, f"Invalid request: the content type {kind} is not form encoded")
    return dict(parse_qsl(body, keep_blank_values=True))


def _once(held: Held, kind: str, make: Callable[[Held, Fields], Json]) -> Answer:
    """Stripe keeps the first answer under an idempotency key, but not one of a validation that failed."""

    def answer(request: Request, fields: Fields) -> Json:
        key = request.headers.get("idempotency-key")
        if key is not None and len(key) > 255:
            raise Refused(400, "Idempotency keys may have at most 255 characters")
        asked = [request.url.path, dict(fields)]
        if key in held.answers:
            return _replayed(held.answers[key], asked)
        _validate(kind, fields)
        response = _json(make(held, fields))
        if key is not None:
            held.answers[key] = (asked, response.status_code, bytes(response.body))
        return response

    return answer


def _replayed(kept: tuple[Json, int, bytes], asked: Json) -> Response:
    first, status, body = kept
    if first != asked:
        refused = Refused(
            400, "Keys for idempotent requests can only be used with the same parameters they were first used with."
        )
        refused.error["type"] = "idempotency_error"
        raise refused
    return Response(body, status, {"idempotent-replayed": "true"}, "application/json")


# --- fields


def _validate(kind: str, fields: Fields) -> None:
    known = set(_KNOWN[kind].split())
    for name, value in fields.items():
        if name not in known and not _METADATA.fullmatch(name) and not re.fullmatch(r"images\[\d\]", name):
            raise Refused(400, f"Received unknown parameter: {name}", "parameter_unknown", name)
        _validate_value(name, value)
    for name in _REQUIRED[kind]:
        if not fields.get(name):
            raise Refused(400, f"Missing required param: {name}.", "parameter_missing", name)


def _validate_value(name: str, value: str) -> None:
    if name in _WHOLE_FIELDS and not _WHOLE.fullmatch(value):
        raise Refused(400, f"Invalid integer: {value}", "parameter_invalid_integer", name)
    if name in _FLAGS and value not in ("true", "false"):
        raise Refused(400, f"Invalid boolean: {value}", None, name)
    if name.endswith("[interval]") and value not in _INTERVALS:
        raise Refused(400, f"Invalid interval: {value}", None, name)
    if name == "reason" and value not in _REASONS:
        raise Refused(400, f"Invalid reason: {value}", None, name)
    if name.endswith("currency]") or name == "currency":
        _validate_currency(value, name)
    if name.startswith("metadata[") and len(value) > 500:
        raise Refused(400, "Metadata values can have up to 500 characters.", None, name)


def _validate_currency(value: str, name: str) -> None:
    if not re.fullmatch(r"[a-z]{3}", value):
        raise Refused(400, f"Invalid currency: {value}", None, name)


def _metadata(fields: Fields) -> dict[str, str]:
    return {match[1]: value for name, value in fields.items() if (match := _METADATA.fullmatch(name))}


# --- what it makes


def _product(id: str, fields: Fields, metadata: Mapping[str, str]) -> dict[str, Json]:
    return {
        "id": id,
        "object": "product",
        "active": fields.get("active", "true") == "true",
        "created": CREATED,
        "default_price": None,
        "description": fields.get("description"),
        "images": [value for name, value in fields.items() if name.startswith("images[")],
        "livemode": False,
        "metadata": dict(metadata),
        "name": fields["name"],
        "package_dimensions": None,
        "shippable": {"true": True, "false": False}.get(fields.get("shippable", "")),
        "statement_descriptor": None,
        "tax_code": fields.get("tax_code"),
        "unit_label": fields.get("unit_label"),
        "updated": CREATED,
        "url": fields.get("url"),
    }


def _make_product(held: Held, fields: Fields) -> Json:
    id = fields.get("id") or f"prod_{next(held.numbers):08}"
    if id in held.products:
        raise Refused(400, f"Product already exists: {id}", "resource_already_exists", "id")
    made = _product(id, fields, _metadata(fields))
    held.products[id] = made
    start = "default_price_data"
    if f"{start}[currency]" in fields:
        first = {
            name.removeprefix(start)[1:].replace("]", "", 1): value
            for name, value in fields.items()
            if name.startswith(start)
        }
        made["default_price"] = _make_price(held, {"product": id, **first})["id"]
    return made


def _make_price(held: Held, fields: Fields) -> dict[str, Json]:
    if fields["product"] not in held.products:
        raise Refused(400, f"No such product: '{fields['product']}'", "resource_missing", "product")
    if "unit_amount" not in fields and "unit_amount_decimal" not in fields:
        raise Refused(400, "Missing required param: unit_amount.", "parameter_missing", "unit_amount")
    _free_lookup_key(held, fields)
    id = f"price_{next(held.numbers):08}"
    held.prices[id] = _price(id, fields)
    return held.prices[id]


def _free_lookup_key(held: Held, fields: Fields) -> None:
    key = fields.get("lookup_key")
    owners = [price for price in held.prices.values() if key and price["lookup_key"] == key]
    if owners and fields.get("transfer_lookup_key") != "true":
        raise Refused(400, f"A price already uses that lookup key: {key}", "resource_already_exists", "lookup_key")
    for price in owners:
        price["lookup_key"] = None


def _price(id: str, fields: Fields) -> dict[str, Json]:
    interval = fields.get("recurring[interval]")
    every = int(fields.get("recurring[interval_count]", "1"))
    recurring = {"interval": interval, "interval_count": every, "meter": None, "usage_type": "licensed"}
    amount = fields.get("unit_amount")
    return {
        "id": id,
        "object": "price",
        "active": fields.get("active", "true") == "true",
        "billing_scheme": "per_unit",
        "created": CREATED,
        "currency": fields["currency"],
        "livemode": False,
        "lookup_key": fields.get("lookup_key"),
        "metadata": _metadata(fields),
        "nickname": fields.get("nickname"),
        "product": fields["product"],
        "recurring": recurring if interval else None,
        "tax_behavior": fields.get("tax_behavior", "unspecified"),
        "type": "recurring" if interval else "one_time",
        "unit_amount": int(amount) if amount else None,
        "unit_amount_decimal": amount or fields.get("unit_amount_decimal"),
    }


def _make_refund(held: Held, fields: Fields) -> Json:
    name, payment = next(((name, fields[name]) for name in ("payment_intent", "charge") if name in fields), ("", ""))
    if not name:
        raise Refused(400, "One of the following params should be provided for this request: payment_intent or charge.")
    if not re.fullmatch(r"(pi|ch)_sandbox\w*", payment):
        raise Refused(404, f"No such {name}: '{payment}'", "resource_missing", name)
    left = PAID - sum(each["amount"] for each in _refunds_of(held, {name: payment}))
    amount = int(fields.get("amount", str(left)))
    if left == 0:
        raise Refused(400, f"Charge {payment} has already been refunded.", "charge_already_refunded")
    if not 0 < amount <= left:
        raise Refused(
            400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", None, "amount"
        )
    id = f"re_{next(held.numbers):08}"
    held.refunds[id] = _refund(id, name, payment, amount, fields)
    return held.refunds[id]


def _refund(id: str, name: str, payment: str, amount: int, fields: Fields) -> dict[str, Json]:
    return {
        "id": id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": payment if name == "charge" else payment.replace("pi_", "ch_", 1),
        "created": CREATED,
        "currency": "eur",
        "metadata": _metadata(fields),
        "payment_intent": payment if name == "payment_intent" else None,
        "reason": fields.get("reason"),
        "receipt_number": None,
        "status": "succeeded",
    }


_MAKERS: Mapping[str, Callable[[Held, Fields], Json]] = {
    "products": _make_product,
    "prices": _make_price,
    "refunds": _make_refund,
}


# --- what it shows


def _one(held: Mapping[str, Json], request: Request) -> Json:
    id = request.path_params["id"]
    if id not in held:
        raise Refused(404, f"No such object: '{id}'", "resource_missing", "id")
    return held[id]


def _refunds_of(held: Held, fields: Fields) -> list[Json]:
    named = {name: fields[name] for name in ("payment_intent", "charge") if name in fields}
    kept = [each for each in held.refunds.values() if all(each[name] == id for name, id in named.items())]
    return kept[::-1]


def _list(items: list[Json], request: Request) -> Json:
    return {"object": "list", "data": items, "has_more": False, "url": _path(request)}


def _found(held: Mapping[str, Json], fields: Fields, request: Request) -> Json:
    match = _QUERY.fullmatch(fields.get("query", ""))
    if match is None:
        raise Refused(400, "We were unable to parse your search query.", None, "query")
    data = [each for each in held.values() if each["metadata"].get(match[1]) == match[2]]
    return {"object": "search_result", "data": data, "has_more": False, "next_page": None, "url": _path(request)}


_ACCOUNT = {
    "id": ACCOUNT,
    "object": "account",
    "charges_enabled": True,
    "country": "IE",
    "default_currency": "eur",
    "email": "owner@sandbox.example",
    "settings": None,
    "type": "standard",
}
_LINES = [
    {
        "id": "li_sandbox",
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": 2580,
        "amount_tax": 0,
        "amount_total": 2580,
        "currency": "eur",
        "description": "Enamel mug",
        "price": {
            "id": "price_sandbox",
            "object": "price",
            "currency": "eur",
            "product": {"id": "prod_sandbox", "object": "product", "name": "Enamel mug", "metadata": {"sku": "MUG-1"}},
            "unit_amount": 1290,
        },
        "quantity": 2,
    }
]


def _path(request: Request) -> str:
    """As Stripe says it, wherever the sandbox is mounted."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
