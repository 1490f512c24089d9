"""What the Stripe actions send, what its answers mean, and how strict its sandbox is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from app.connector import Action, EffectKey, Json, Lookup, NativeKey, Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError
from app.events import Money, money
from connectors.stripe import connector
from connectors.stripe.faults import problem
from connectors.stripe.models import CreatePrice, CreateProduct, RefundPayment, Settings
from connectors.stripe.sandbox import KEY, sandbox
from tests.support.vendorspecs import spec

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ONE, OTHER = EffectKey("0" * 32), EffectKey("f" * 32)
EUR = Decimal("12.90")


@dataclass
class Wire:
    """The hub's side of a request, straight to a sandbox; what went out and came back is kept."""

    settings: Settings
    app: Starlette = field(default_factory=lambda: Starlette(routes=list(sandbox().routes)))
    seen: list[tuple[httpx.Request, httpx.Response]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Json = None,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
        limit_key: str | None = None,
    ) -> Reply:
        sent = {**connector.http.headers, **connector.auth.headers(self.settings), **(headers or {})}  # type: ignore[union-attr]
        data = dict(form) if form is not None else None
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://stripe.test") as client:
            answer = await client.request(method, path, params=params, data=data, content=content, headers=sent)
        self.seen.append((answer.request, answer))
        reply = Reply(answer.status_code, dict(answer.headers), answer.content)
        error = problem(reply) or (None if reply.status < 400 else PermanentError(reply.text, reply.status))
        if error is not None:
            raise error
        return reply

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Reply:
        return await self.request("GET", path, params=params)

    async def post(self, path: str, **more: Any) -> Reply:
        return await self.request("POST", path, **more)


@dataclass
class Ctx:
    http: Wire
    key: EffectKey = ONE
    now: datetime = NOW

    @property
    def settings(self) -> Settings:
        return self.http.settings

    def touches(self, *ids: str) -> None:
        assert all(ids)


def wire(**more: Any) -> Wire:
    return Wire(Settings.model_validate({**sandbox().settings, **more}))


def action(name: str) -> Action:
    return next(each for each in connector.actions if each.name == name)


async def do(name: str, input: Any, on: Wire | None = None, key: EffectKey = ONE) -> Any:
    return await action(name).call(Ctx(on or wire(), key), input)


def sent(on: Wire) -> dict[str, str]:
    return dict(parse_qsl(on.seen[-1][0].content.decode(), keep_blank_values=True))


INPUTS = [
    ("create_product", action("create_product").example()),
    ("create_product", CreateProduct(name="Plain")),
    (
        "create_product",
        CreateProduct(
            name="Tea club",
            description="Two teas",
            shippable=True,
            images=["https://lantern.example/1.jpg", "https://lantern.example/2.jpg"],
            url="https://lantern.example/club",
            tax_code="txcd_40060003",
            unit_label="box",
            active=False,
            default_price=Money(amount=Decimal("19"), currency="JPY"),
            interval="month",
            metadata={"shelf": "C"},
        ),
    ),
    ("create_price", action("create_price").example()),
    (
        "create_price",
        CreatePrice(
            product_id="prod_sandbox",
            amount=Money(amount=Decimal("5.120"), currency="KWD"),
            nickname="Once",
            lookup_key="once",
            transfer_lookup_key=True,
            tax_behavior="inclusive",
            active=False,
        ),
    ),
    ("refund_payment", action("refund_payment").example()),
    ("refund_payment", RefundPayment(payment_id="ch_sandbox", metadata={"ticket": "77"})),
]


@pytest.mark.parametrize(("name", "input"), INPUTS)
async def test_requests_and_answers_are_as_stripe_describes_them(name: str, input: Any) -> None:
    description, on = spec("stripe"), wire()
    await do(name, input, on)
    for request, answer in on.seen:
        assert description.check_request(request, request.url.path) == []
        assert description.check_answer(request, request.url.path, answer) == []
        assert request.headers["stripe-version"] == "2025-09-30.clover"


@pytest.mark.parametrize("name", ["create_product", "create_price", "refund_payment"])
async def test_lookups_and_errors_are_as_stripe_describes_them(name: str) -> None:
    description, on, safe = spec("stripe"), wire(), action(name).safe
    assert isinstance(safe, NativeKey)
    assert isinstance(safe.then, Lookup)
    await safe.then.find(Ctx(on), action(name).example())
    with pytest.raises(PermanentError):
        await on.get("/v1/products/prod_none")
    for request, answer in on.seen:
        assert description.check_request(request, request.url.path) == []
        assert description.check_answer(request, request.url.path, answer) == []


async def test_a_product_carries_its_price_in_stripe_s_units() -> None:
    on = wire()
    made = await do("create_product", CreateProduct(name="Mug", sku="M-1", default_price=money("12.90", "EUR")), on)
    form = sent(on)
    assert form["default_price_data[currency]"] == "eur"
    assert form["default_price_data[unit_amount]"] == "1290"
    assert form["metadata[sku]"] == "M-1"
    assert form["metadata[tradewind_key]"] == ONE
    assert made.default_price_id.startswith("price_")


@pytest.mark.parametrize(
    ("amount", "code", "units"),
    [
        ("12.90", "EUR", "1290"),
        ("500", "JPY", "500"),
        ("2500", "ISK", "250000"),
        ("5", "UGX", "500"),
        ("1.250", "KWD", "1250"),
    ],
)
async def test_amounts_go_out_in_stripe_s_units(amount: str, code: str, units: str) -> None:
    on = wire()
    made = await do("create_price", CreatePrice(product_id="prod_sandbox", amount=money(amount, code)), on)
    assert sent(on)["unit_amount"] == units
    assert made.amount == money(amount, code)


@pytest.mark.parametrize(("amount", "code"), [("12.905", "EUR"), ("2500.50", "ISK"), ("1.255", "KWD"), ("0.5", "JPY")])
async def test_an_amount_finer_than_stripe_takes_is_refused_before_sending(amount: str, code: str) -> None:
    on = wire()
    with pytest.raises(PermanentError):
        await do("create_price", CreatePrice(product_id="prod_sandbox", amount=money(amount, code)), on)
    assert on.seen == []


async def test_a_refund_of_nothing_is_refused_before_sending() -> None:
    on = wire()
    with pytest.raises(PermanentError):
        await do("refund_payment", RefundPayment(payment_id="pi_sandbox", amount=money("0", "EUR")), on)
    assert on.seen == []


@pytest.mark.parametrize("id", ["", "re_1", "pi_", "pi_1/../x", "in_1"])
def test_only_payments_are_refunded(id: str) -> None:
    with pytest.raises(ValidationError):
        RefundPayment(payment_id=id)


# --- once


@pytest.mark.parametrize("name", ["create_product", "create_price", "refund_payment"])
async def test_the_effect_key_goes_out_and_makes_a_repeat_harmless(name: str) -> None:
    on = wire()
    first, again = await do(name, action(name).example(), on), await do(name, action(name).example(), on)
    assert first == again
    assert on.seen[0][0].headers["idempotency-key"] == ONE
    assert on.seen[1][1].headers["idempotent-replayed"] == "true"
    assert await do(name, action(name).example(), on, OTHER) != first


async def test_the_same_key_with_other_parameters_is_refused() -> None:
    on = wire()
    await do("create_product", CreateProduct(name="Mug"), on)
    with pytest.raises(PermanentError, match="idempotent requests"):
        await do("create_product", CreateProduct(name="Cup"), on)
    assert on.seen[-1][1].status_code == 400
    assert on.seen[-1][1].json()["error"]["type"] == "idempotency_error"


async def test_a_refusal_is_not_kept_under_the_key() -> None:
    on = wire()
    form = {"currency": "eur", "unit_amount": "1"}
    for fields, status in ((form, 400), ({**form, "product": "prod_sandbox"}, 200)):
        try:
            await on.post("/v1/prices", form=fields, headers={"idempotency-key": "k"})
        except PermanentError as error:
            assert error.status == status  # noqa: PT017
    assert [answer.status_code for _, answer in on.seen] == [400, 200]


@pytest.mark.parametrize("name", ["create_product", "create_price", "refund_payment"])
async def test_after_stripe_forgot_the_key_the_effect_is_found_by_it(name: str) -> None:
    on, safe, input = wire(), action(name).safe, action(name).example()
    assert isinstance(safe, NativeKey)
    assert isinstance(safe.then, Lookup)
    assert safe.valid_for == timedelta(hours=24)
    assert await safe.then.find(Ctx(on), input) is None
    made = await do(name, input, on)
    await do(name, input, on, OTHER)
    found = await safe.then.find(Ctx(on), input)
    assert found is not None
    assert found.id == made.id  # type: ignore[attr-defined]


# --- what answers mean


def reply(status: int, code: str | None = None, again: str | None = None, type: str = "invalid_request_error") -> Reply:
    error = {"error": {"type": type, "code": code, "message": "Stripe says no.", "param": "amount"}}
    return Reply(status, {} if again is None else {"stripe-should-retry": again}, orjson.dumps(error))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(401), CredentialError),
        (reply(400, "parameter_missing"), PermanentError),
        (reply(400, type="idempotency_error"), PermanentError),
        (reply(402, "card_declined", type="card_error"), PermanentError),
        (reply(403), PermanentError),
        (reply(404, "resource_missing"), PermanentError),
        (reply(409, "idempotency_key_in_use"), UnsureError),
        (reply(409, "idempotency_key_in_use", "true"), UnsureError),
        (reply(409, "lock_timeout"), RetryableError),
        (reply(409, "lock_timeout", "false"), PermanentError),
        (reply(400, "lock_timeout", "true"), RetryableError),
        (Reply(404, {}, b"<html>"), PermanentError),
        (Reply(400, {}, b'{"error": "text"}'), PermanentError),
        (Reply(400, {}, b"[]"), PermanentError),
    ],
)
def test_errors_are_told_apart_by_what_happens_next(answer: Reply, kind: type[TradewindError]) -> None:
    assert type(problem(answer)) is kind


@pytest.mark.parametrize("status", [200, 429, 500, 502, 503])
def test_where_the_status_says_it_all_it_is_left_to_the_hub(status: int) -> None:
    assert problem(reply(status)) is None


def test_an_error_names_code_message_and_field() -> None:
    assert str(problem(reply(400, "amount_too_large"))) == "amount_too_large: Stripe says no. (amount)"


# --- the sandbox

PRICE = {"product": "prod_sandbox", "currency": "eur"}


@pytest.mark.parametrize(
    ("path", "form", "code", "param"),
    [
        ("/v1/products", {}, "parameter_missing", "name"),
        ("/v1/products", {"name": "Mug", "colour": "red"}, "parameter_unknown", "colour"),
        ("/v1/prices", {"product": "prod_sandbox"}, "parameter_missing", "currency"),
        ("/v1/prices", {"product": "prod_sandbox", "currency": "eur"}, "parameter_missing", "unit_amount"),
        ("/v1/prices", {"product": "prod_none", "currency": "eur", "unit_amount": "1"}, "resource_missing", "product"),
        ("/v1/prices", {**PRICE, "unit_amount": "1.5"}, "parameter_invalid_integer", "unit_amount"),
        ("/v1/prices", {"product": "prod_sandbox", "currency": "EUR", "unit_amount": "1"}, None, "currency"),
        ("/v1/refunds", {}, None, None),
        ("/v1/refunds", {"payment_intent": "pi_unknown"}, "resource_missing", "payment_intent"),
        ("/v1/refunds", {"payment_intent": "pi_sandbox", "amount": "10001"}, None, "amount"),
        ("/v1/refunds", {"payment_intent": "pi_sandbox", "reason": "bored"}, None, "reason"),
    ],
)
async def test_the_sandbox_refuses_what_stripe_refuses(path: str, form: dict[str, str], code: Any, param: Any) -> None:
    on = wire()
    with pytest.raises(PermanentError):
        await on.post(path, form=form)
    error = on.seen[-1][1].json()["error"]
    assert (error.get("code"), error.get("param")) == (code, param)


async def test_the_sandbox_gives_back_no_more_than_was_paid() -> None:
    on = wire()
    await do("refund_payment", RefundPayment(payment_id="pi_sandbox", amount=money("60", "EUR")), on)
    rest = await do("refund_payment", RefundPayment(payment_id="pi_sandbox"), on, OTHER)
    assert rest.amount == money("40", "EUR")
    with pytest.raises(PermanentError, match="charge_already_refunded"):
        await do("refund_payment", RefundPayment(payment_id="pi_sandbox"), on, EffectKey("a" * 32))


@pytest.mark.parametrize("key", [None, "sk_test_wrong"])
async def test_without_the_key_nothing_happens(key: str | None) -> None:
    with pytest.raises(CredentialError):
        await do("create_product", CreateProduct(name="Mug"), wire(api_key=key))


async def test_a_connection_is_tested_by_whose_key_it_is() -> None:
    assert connector.test is not None
    assert "owner@sandbox.example" in await connector.test(Ctx(wire()))
    assert "No api_key" in await connector.test(Ctx(wire(api_key=None)))
    with pytest.raises(CredentialError, match="acct_sandbox"):
        await connector.test(Ctx(wire(account="acct_other")))
    with pytest.raises(CredentialError):
        await connector.test(Ctx(wire(api_key="sk_test_wrong")))


async def test_the_sandbox_has_line_items_to_read() -> None:
    on = wire()
    read = (await on.get("/v1/checkout/sessions/cs_1/line_items", params={"limit": "100"})).json()
    assert read["data"][0]["price"]["product"]["metadata"]["sku"] == "MUG-1"


def test_settings_take_the_key_that_the_sandbox_knows() -> None:
    assert wire().settings.api_key is not None
    assert wire().settings.api_key.get_secret_value() == KEY  # type: ignore[union-attr]
