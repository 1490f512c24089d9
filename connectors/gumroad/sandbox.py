"""A fake Gumroad: sales, subscribers, offer codes and resource subscriptions of one seller, in memory.

Any sale or subscriber whose id does not begin with `missing` is there as soon as somebody asks for it, so that demos
and recipe tests need no set-up.
"""

import hmac
import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.gumroad.actions import SAMPLE_PRODUCT
from connectors.gumroad.forms import Body
from connectors.gumroad.models import ALL
from connectors.gumroad.settings import API

TOKEN = "sandbox-access-token"  # noqa: S105
SELLER = "sE11erSandboxAAAAAAAAA=="
PRICE = 2400

Form = dict[str, str]
Answering = Callable[[Request, Form], Json]


class RefusedError(Exception):
    """A refusal in Gumroad's words: mostly with status 200."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.answer = _json({"success": False, "message": message}, status)


@dataclass
class Seller:
    """What the fake seller has."""

    sales: dict[str, Body] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    codes: dict[str, list[Body]] = field(default_factory=dict)
    subscriptions: list[Body] = field(default_factory=list)

    def sale(self, number: str) -> Body:
        if number.startswith("missing"):
            raise RefusedError("The sale was not found.")
        return self.sales.setdefault(number, _new_sale(number))

    def state(self) -> Json:
        pings = [{"resource_name": each["resource_name"]} for each in self.subscriptions]
        return {
            "sales": self.sales,
            "refunds": self.refunds,
            "offer_codes": self.codes,
            "resource_subscriptions": pings,
        }


def _new_sale(number: str) -> Body:
    return {
        "id": number,
        "seller_id": SELLER,
        "email": "buyer@example.com",
        "purchase_email": "buyer@example.com",
        "full_name": "Robin Buyer",
        "created_at": "2026-11-20T09:30:00Z",
        "product_id": SAMPLE_PRODUCT,
        "product_name": "Field guide",
        "price": PRICE,
        "gumroad_fee": 290,
        "currency_symbol": "$",
        "amount_refundable_in_currency": "24",
        "refunded": False,
        "partially_refunded": False,
        "chargedback": False,
        "disputed": False,
        "dispute_won": False,
        "quantity": 1,
        "order_id": 524000001,
        "custom_fields": {},
        "card": {
            "visual": "**** **** **** 4242",
            "type": "visa",
            "bin": None,
            "expiry_month": None,
            "expiry_year": None,
        },
        "is_gift_receiver_purchase": False,
    }


def sandbox() -> Sandbox:
    seller = Seller()
    settings = {"seller_id": SELLER, "tokens": ["sandbox-url-token-0123456789"], "access_token": TOKEN}
    return Sandbox(settings, _routes(seller), seller.state, fault)


def fault(status: int) -> Response:
    return _json({"status": status, "error": "Something went wrong."}, status)


def _routes(seller: Seller) -> list[Route]:
    made = _Handlers(seller)
    return [
        _route("/user", "GET", made.user),
        _route("/sales", "GET", made.find_sales),
        _route("/sales/{id}", "GET", lambda request, form: {"sale": seller.sale(request.path_params["id"])}),
        _route("/sales/{id}/mark_as_shipped", "PUT", made.ship),
        _route("/sales/{id}/refund", "PUT", made.refund),
        _route("/subscribers/{id}", "GET", made.subscriber),
        _route("/products", "GET", lambda request, form: {"products": [{"id": SAMPLE_PRODUCT, "name": "Field guide"}]}),
        _route("/products/{id}/offer_codes", "GET", made.codes),
        _route("/products/{id}/offer_codes", "POST", made.add_code),
        _route("/resource_subscriptions", "GET", made.subscriptions),
        _route("/resource_subscriptions", "PUT", made.subscribe),
        _route("/resource_subscriptions/{id}", "DELETE", made.unsubscribe),
    ]


def _route(path: str, method: str, answer: Answering) -> Route:
    return Route(f"{API}{path}", _guarded(answer), methods=[method])


def _guarded(answer: Answering) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            _check_token(request)
            form = _form(request, await request.body())
            return _json({"success": True, **answer(request, form)})
        except RefusedError as refused:
            return refused.answer

    return handle


def _check_token(request: Request) -> None:
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {TOKEN}".encode()):
        raise RefusedError("The access token is invalid.", 401)


def _form(request: Request, raw: bytes) -> Form:
    if request.method == "GET":
        return dict(request.query_params)
    kind = request.headers.get("content-type", "")
    if raw and not kind.startswith("application/x-www-form-urlencoded"):
        raise RefusedError(f"This fake takes forms, not {kind}.", 400)
    return dict(parse_qsl(raw.decode(), keep_blank_values=True))


class _Handlers:
    def __init__(self, seller: Seller) -> None:
        self._seller = seller
        self._numbers = itertools.count(1)

    def user(self, request: Request, form: Form) -> Body:
        return {"user": {"name": "Sandbox seller", "user_id": SELLER, "url": "https://sandbox.gumroad.com"}}

    def find_sales(self, request: Request, form: Form) -> Body:
        wanted = form.get("order_id", "")
        if not wanted.isdecimal():
            raise RefusedError("Invalid order ID.", 400)
        return {"sales": [each for each in self._seller.sales.values() if str(each["order_id"]) == wanted]}

    def ship(self, request: Request, form: Form) -> Body:
        _only(form, "tracking_url")
        sale = self._seller.sale(request.path_params["id"])
        sale.update({"shipped": True} | ({"tracking_url": url} if (url := form.get("tracking_url")) else {}))
        return {"sale": sale}

    def refund(self, request: Request, form: Form) -> Body:
        _only(form, "amount_cents")
        sale = self._seller.sale(request.path_params["id"])
        given = self._seller.refunds.get(sale["id"], 0)
        said = form.get("amount_cents", str(sale["price"] - given))
        if sale["refunded"]:
            raise RefusedError("Purchase is already refunded.")
        if not re.fullmatch("[0-9]+", said) or not 0 < int(said) <= sale["price"] - given:
            raise RefusedError("Refund amount cannot be greater than the purchase price.")
        given += int(said)
        self._seller.refunds[sale["id"]] = given
        left = sale["price"] - given
        sale["refunded"], sale["partially_refunded"] = left == 0, left > 0
        sale["amount_refundable_in_currency"] = f"{left // 100}.{left % 100:02}".removesuffix(".00")
        return {"sale": sale}

    def subscriber(self, request: Request, form: Form) -> Body:
        number = request.path_params["id"]
        if number.startswith("missing"):
            raise RefusedError("The subscriber was not found.")
        found = {
            "id": number,
            "product_id": SAMPLE_PRODUCT,
            "product_name": "Field guide club",
            "user_id": "5550001",
            "user_email": "buyer@example.com",
            "purchase_ids": [],
            "created_at": "2026-10-20T09:30:00Z",
            "user_requested_cancellation_at": None,
            "charge_occurrence_count": None,
            "recurrence": "monthly",
            "cancelled_at": None,
            "ended_at": None,
            "failed_at": None,
            "free_trial_ends_at": None,
            "status": "alive",
        }
        return {"subscriber": found}

    def codes(self, request: Request, form: Form) -> Body:
        return {"offer_codes": self._seller.codes.get(request.path_params["id"], [])}

    def add_code(self, request: Request, form: Form) -> Body:
        _only(form, "name", "universal", "offer_type", "amount_off", "max_purchase_count")
        if not form.get("amount_off"):
            raise RefusedError("You are missing required offer code parameters.")
        if not form["amount_off"].isdecimal() or form.get("offer_type") not in ("percent", "cents"):
            raise RefusedError("Please enter a valid discount.")
        codes = self._seller.codes.setdefault(request.path_params["id"], [])
        if any(each["name"] == form.get("name") for each in codes):
            raise RefusedError("Discount code must be unique.")
        worth = {"percent_off" if form["offer_type"] == "percent" else "amount_cents": int(form["amount_off"])}
        made = {
            "id": f"code-{len(codes) + 1}",
            "name": form.get("name", ""),
            "universal": form.get("universal") == "true",
        }
        codes.append(made | worth)
        return {"offer_code": made | worth}

    def subscriptions(self, request: Request, form: Form) -> Body:
        name = form.get("resource_name")
        if name not in ALL:
            raise RefusedError("Valid resource_name parameter required")
        return {
            "resource_subscriptions": [each for each in self._seller.subscriptions if each["resource_name"] == name]
        }

    def subscribe(self, request: Request, form: Form) -> Body:
        _only(form, "resource_name", "post_url")
        name, url = form.get("resource_name"), form.get("post_url", "")
        if not re.fullmatch(r"https?://[^\s/]+\S*", url):
            raise RefusedError(f"Invalid post URL '{url}'")
        if name not in ALL:
            raise RefusedError(f"Unable to subscribe to '{name}'.")
        number = next(self._numbers)
        made = {"id": f"rs-{number}==", "resource_name": name, "post_url": url}
        self._seller.subscriptions.append(made)
        return {"resource_subscription": made}

    def unsubscribe(self, request: Request, form: Form) -> Body:
        left = [each for each in self._seller.subscriptions if each["id"] != request.path_params["id"]]
        if len(left) == len(self._seller.subscriptions):
            raise RefusedError("The resource subscription was not found.")
        self._seller.subscriptions = left
        return {"message": "The resource_subscription was deleted successfully."}


def _only(form: Form, *names: str) -> None:
    unknown = set(form) - set(names)
    if unknown:
        raise RefusedError(f"This fake knows no parameter {', '.join(sorted(unknown))}.", 400)


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
