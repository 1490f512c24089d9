"""A fake WooCommerce shop: orders, notes, refunds, products, coupons and webhooks in memory, strict about what we send.

Orders and products with an id below 9,000,000 are there as soon as somebody asks for them (so that demos and recipe
tests need no set-up); others are not found.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.woocommerce.fields import Body, number, rows, text
from connectors.woocommerce.settings import API

KEY, SECRET = "ck_sandbox", "cs_sandbox"
THERE = 9_000_000
WHEN = "2026-11-20T09:30:00"
STATUSES = frozenset({"pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed"})
_FAULTS = {
    401: ("woocommerce_rest_cannot_view", "Sorry, you cannot list resources."),
    403: ("rest_forbidden", "Sorry, you are not allowed to do that."),
    404: ("woocommerce_rest_shop_order_invalid_id", "Invalid ID."),
    429: ("too_many_requests", "Too many requests."),
}


class RefusedError(Exception):
    """An error in WooCommerce's words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = _json({"code": code, "message": message, "data": {"status": status}}, status)


@dataclass
class Shop:
    """What the fake shop holds."""

    orders: dict[str, Body] = field(default_factory=dict)
    products: dict[str, Body] = field(default_factory=dict)
    coupons: list[Body] = field(default_factory=list)
    webhooks: list[Body] = field(default_factory=list)
    last: int = 50_000

    def next_id(self) -> int:
        self.last += 1
        return self.last

    def order(self, number: str) -> Body:
        _exists(number, "woocommerce_rest_shop_order_invalid_id")
        return self.orders.setdefault(number, _new_order(int(number)))

    def product(self, number: str) -> Body:
        _exists(number, "woocommerce_rest_product_invalid_id")
        fresh: Body = {"id": int(number), "sku": f"SKU-{number}", "parent_id": 0, "manage_stock": False}
        return self.products.setdefault(number, fresh)

    def state(self) -> Json:
        hidden = [{name: value for name, value in each.items() if name != "secret"} for each in self.webhooks]
        return {"orders": self.orders, "products": self.products, "coupons": self.coupons, "webhooks": hidden}


def _exists(number: str, code: str) -> None:
    if not number.isdecimal() or not 0 < int(number) < THERE:
        raise RefusedError(404, code, "Invalid ID.")


def _new_order(number: int) -> Body:
    return {
        "id": number,
        "number": str(number),
        "status": "processing",
        "currency": "EUR",
        "total": "10000.00" if number != 1001 else "59.90",
        "meta_data": [],
        "refunds": [],
        "notes": [],
        "refund_objects": [],
    }


def sandbox() -> Sandbox:
    """One shop in euro. `settings` fit it, with a webhook secret of its own."""
    shop = Shop()
    settings = {
        "site": "https://shop.example",
        "webhook_secrets": ["sandbox-webhook-secret"],
        "consumer_key": KEY,
        "consumer_secret": SECRET,
        "currency": "EUR",
    }
    return Sandbox(settings, _routes(shop), shop.state, fault)


def fault(status: int) -> Response:
    code, message = _FAULTS.get(status, ("internal_server_error", "There has been a critical error on this website."))
    return _json({"code": code, "message": message, "data": {"status": status}}, status)


Answering = Callable[[Request, Body], Json]


def _routes(shop: Shop) -> list[Route]:
    made = _Handlers(shop)
    return [
        _route("/orders/{id}", "GET", lambda request, body: _shown(shop.order(request.path_params["id"]))),
        _route("/orders/{id}", "PUT", made.change_order),
        _route("/orders/{id}/notes", "GET", lambda request, body: shop.order(request.path_params["id"])["notes"]),
        _route("/orders/{id}/notes", "POST", made.add_note),
        _route(
            "/orders/{id}/refunds", "GET", lambda request, body: shop.order(request.path_params["id"])["refund_objects"]
        ),
        _route("/orders/{id}/refunds", "POST", made.refund),
        _route("/products", "GET", made.find_products),
        _route("/products/{id}", "GET", lambda request, body: shop.product(request.path_params["id"])),
        _route("/products/{id}", "PUT", made.change_product),
        _route("/products/{parent}/variations/{id}", "PUT", made.change_product),
        _route("/coupons", "GET", made.find_coupons),
        _route("/coupons", "POST", made.add_coupon),
        _route("/webhooks", "GET", lambda request, body: [_open(each) for each in shop.webhooks]),
        _route("/webhooks", "POST", made.add_webhook),
        _route("/webhooks/{id}", "PUT", made.change_webhook),
    ]


def _route(path: str, method: str, answer: Answering) -> Route:
    return Route(f"{API}{path}", _guarded(answer, 201 if method == "POST" else 200), methods=[method])


def _guarded(answer: Answering, status: int) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            _check_credentials(request)
            return _json(answer(request, _body(request, await request.body())), status)
        except RefusedError as refused:
            return refused.answer

    return handle


def _check_credentials(request: Request) -> None:
    expected = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise RefusedError(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")


def _body(request: Request, raw: bytes) -> Body:
    if request.method == "GET":
        return {}
    try:
        said = orjson.loads(raw)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not said:
        raise RefusedError(400, "rest_invalid_json", "Invalid JSON body passed.")
    return said


class _Handlers:
    """The writes, each as strict about names and types as the REST API's own schema."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def change_order(self, request: Request, body: Body) -> Json:
        _only(body, status=str, meta_data=list, customer_note=str, set_paid=bool, transaction_id=str)
        order = self._shop.order(request.path_params["id"])
        if "status" in body and body["status"] not in STATUSES:
            _invalid("status", "is not one of " + ", ".join(sorted(STATUSES)))
        order.update({name: value for name, value in body.items() if name != "meta_data"})
        for entry in _entries(body):
            old = next((each for each in order["meta_data"] if each["key"] == entry["key"]), None)
            if old is not None:
                old["value"] = entry["value"]
            else:
                order["meta_data"].append({"id": self._shop.next_id(), **entry})
        return _shown(order)

    def add_note(self, request: Request, body: Body) -> Json:
        _only(body, note=str, customer_note=bool, added_by_user=bool)
        _required(body, "note")
        note = {
            "id": self._shop.next_id(),
            "author": "REST API",
            "date_created_gmt": WHEN,
            "customer_note": False,
        } | body
        self._shop.order(request.path_params["id"])["notes"].append(note)
        return note

    def refund(self, request: Request, body: Body) -> Json:
        _only(body, amount=str, reason=str, api_refund=bool, api_restock=bool, meta_data=list, line_items=list)
        order = self._shop.order(request.path_params["id"])
        wanted = number(body.get("amount"))
        left = Decimal(order["total"]) + sum(Decimal(each["total"]) for each in order["refunds"])
        if wanted is None or wanted <= 0 or wanted > left:
            raise RefusedError(
                400,
                "woocommerce_rest_invalid_order_refund",
                "Refund amount must be greater than zero and not more than is left.",
            )
        made = {
            "id": self._shop.next_id(),
            "date_created_gmt": WHEN,
            "amount": f"{wanted:.2f}",
            "reason": body.get("reason", ""),
            "refunded_payment": body.get("api_refund", True),
            "meta_data": _entries(body),
            "line_items": [],
        }
        order["refund_objects"].append(made)
        order["refunds"].append({"id": made["id"], "reason": made["reason"], "total": f"-{made['amount']}"})
        if wanted == left:
            order["status"] = "refunded"
        return made

    def find_products(self, request: Request, body: Body) -> Json:
        """`SKU-<id>` is the SKU of every product."""
        sku = request.query_params.get("sku", "")
        return [self._shop.product(sku.removeprefix("SKU-"))] if sku.startswith("SKU-") else []

    def change_product(self, request: Request, body: Body) -> Json:
        _only(body, manage_stock=bool, stock_quantity=int)
        product = self._shop.product(request.path_params["id"])
        product.update(body)
        return product

    def find_coupons(self, request: Request, body: Body) -> Json:
        code = request.query_params.get("code")
        return [each for each in self._shop.coupons if code is None or each["code"] == code.lower()]

    def add_coupon(self, request: Request, body: Body) -> Json:
        _only(
            body,
            code=str,
            discount_type=str,
            amount=str,
            description=str,
            date_expires_gmt=str,
            usage_limit=int,
            usage_limit_per_user=int,
            minimum_amount=str,
            email_restrictions=list,
            free_shipping=bool,
        )
        _required(body, "code")
        if body.get("discount_type", "fixed_cart") not in ("percent", "fixed_cart", "fixed_product"):
            _invalid("discount_type", "is not one of percent, fixed_cart, fixed_product")
        if number(body.get("amount", "0")) is None:
            _invalid("amount", "is not a number")
        code = body["code"].lower()
        if any(each["code"] == code for each in self._shop.coupons):
            raise RefusedError(400, "woocommerce_rest_coupon_code_already_exists", "The coupon code already exists")
        made = {**body, "id": self._shop.next_id(), "code": code}
        self._shop.coupons.append(made)
        return made

    def add_webhook(self, request: Request, body: Body) -> Json:
        _only(body, name=str, topic=str, delivery_url=str, secret=str, status=str)
        _required(body, "topic", "delivery_url")
        if not body["delivery_url"].startswith(("http://", "https://")):
            raise RefusedError(
                400, "woocommerce_rest_invalid_webhook_delivery_url", "Webhook delivery URL must be a valid URL."
            )
        if body["topic"].partition(".")[0] not in ("order", "product", "customer", "coupon", "subscription", "action"):
            raise RefusedError(
                400, "woocommerce_rest_invalid_webhook_topic", "Webhook topic is required and must be valid."
            )
        made = {"status": "active", **body, "id": self._shop.next_id()}
        self._shop.webhooks.append(made)
        return _open(made)

    def change_webhook(self, request: Request, body: Body) -> Json:
        _only(body, status=str, name=str, secret=str)
        found = next((each for each in self._shop.webhooks if str(each["id"]) == request.path_params["id"]), None)
        if found is None:
            raise RefusedError(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
        if body.get("status", "active") not in ("active", "paused", "disabled"):
            _invalid("status", "is not one of active, paused, disabled")
        found.update(body)
        return _open(found)


def _only(body: Body, **types: type) -> None:
    """Unknown names and wrong types are refused (WooCommerce drops unknown names without a word: worse)."""
    for name, value in body.items():
        if name not in types:
            _invalid(name, "is unknown")
        if not isinstance(value, types[name]) or (types[name] is int and isinstance(value, bool)):
            _invalid(name, f"is not of type {types[name].__name__}")


def _required(body: Body, *names: str) -> None:
    missing = [name for name in names if not text(body, name)]
    if missing:
        raise RefusedError(400, "rest_missing_callback_param", f"Missing parameter(s): {', '.join(missing)}")


def _invalid(name: str, why: str) -> None:
    raise RefusedError(400, "rest_invalid_param", f"Invalid parameter(s): {name} {why}")


def _entries(body: Body) -> list[Body]:
    entries = rows(body, "meta_data")
    if any(set(each) - {"id", "key", "value"} or not isinstance(each.get("key"), str) for each in entries):
        _invalid("meta_data", "has an entry without a key")
    return entries


def _shown(order: Body) -> Body:
    return {name: value for name, value in order.items() if name not in ("notes", "refund_objects")}


def _open(webhook: Body) -> Body:
    """A webhook's secret can be written, not read."""
    return {name: value for name, value in webhook.items() if name != "secret"}


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
