"""WooCommerce's actions against its fake shop, and each of their requests against the vendor's property tables."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from app.connector import Reply
from app.errors import CredentialError, PermanentError, UnsureError
from app.events import Money
from connectors.woocommerce import connector
from connectors.woocommerce.models import (
    AddNote,
    CreateCoupon,
    HoldOrder,
    RefundedLine,
    RefundOrder,
    RegisterWebhooks,
    SetMeta,
    SetStatus,
    SetStock,
    TagOrder,
    plain,
)
from connectors.woocommerce.rest import problem
from tests.connectors.conftest import Bench, open_bench


def eur(amount: str) -> Money:
    return Money(amount=amount, currency="EUR")


@pytest.fixture
async def shop() -> AsyncIterator[Bench]:
    async for bench in open_bench(connector):
        yield bench


async def test_every_kind_of_request_fits_the_tables(shop: Bench) -> None:
    await shop.ok("set_status", SetStatus(order_id="1002", status="completed"))
    await shop.ok("add_note", AddNote(order_id="1002", note="On its way", to_customer=True))
    await shop.ok("set_meta", SetMeta(order_id="1002", meta={"a": "1", "b": "2"}))
    await shop.ok("set_stock", SetStock(product_id="2001", variant_id="2002", quantity=0))
    await shop.ok("hold_order", HoldOrder(order_id="1002", reason="Address?"))
    coupon = CreateCoupon(
        code="SORRY5",
        amount=eur("5"),
        description="For the delay",
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        usage_limit=1,
        once_per_customer=True,
        minimum_amount=eur("20.00"),
        email="ada@example.com",
        free_shipping=True,
    )
    assert (await shop.ok("create_coupon", coupon)).code == "sorry5"
    held = (await shop.state())["orders"]["1002"]
    assert held["status"] == "on-hold"


async def test_stock_is_set_of_what_an_event_or_a_sku_names(shop: Bench) -> None:
    await shop.ok("set_stock", SetStock(inventory_item_id="310", quantity=4))
    await shop.ok("set_stock", SetStock(sku="SKU-311", quantity=5))
    await shop.ok("set_stock", SetStock(product_id="312", variant_id="312", quantity=6))
    products = (await shop.state())["products"]
    assert [products[each]["stock_quantity"] for each in ("310", "311", "312")] == [4, 5, 6]
    failed = await shop.failed("set_stock", SetStock(sku="nobody's", quantity=5))
    assert failed.kind == "permanent"
    with pytest.raises(ValidationError):
        SetStock(quantity=1)


async def test_a_made_code_is_the_same_for_every_try_of_one_call(shop: Bench) -> None:
    wanted = CreateCoupon(prefix="back-", percent=Decimal("12.5"), valid_days=14)
    first = await shop.ok("create_coupon", wanted)
    again = await shop.perform("create_coupon", wanted, if_found=True)
    assert again.found  # type: ignore[union-attr]
    other = await shop.ok("create_coupon", wanted, key=bytes(16))
    assert first.code.startswith("back-")
    assert other.code != first.code
    sent = json.loads(shop.recorder.seen[0][0].content)
    assert (sent["amount"], sent["date_expires_gmt"]) == ("12.5", "2026-12-04T12:00:00")


async def test_tags_gather_in_the_meta_data(shop: Bench) -> None:
    await shop.ok("tag_order", TagOrder(order_id="1001", tags=["vip"]))
    order = await shop.ok("tag_order", TagOrder(order_id="1001", tags=["invoiced", "vip"]))
    assert order.tags == ["vip", "invoiced"]
    kept = (await shop.state())["orders"]["1001"]["meta_data"]
    assert [each["value"] for each in kept if each["key"] == "tradewind_tags"] == ["vip, invoiced"]


async def test_a_refund_without_an_amount_gives_back_what_is_left(shop: Bench) -> None:
    await shop.ok("refund_order", RefundOrder(order_id="1001", amount=eur("9.90")))
    rest = await shop.ok("refund_order", RefundOrder(order_id="1001"), key=bytes(16))
    assert rest.amount == eur("50.00")
    failed = await shop.failed("refund_order", RefundOrder(order_id="1001"), key=bytes(15) + b"1")
    assert failed.kind == "permanent"


@pytest.mark.parametrize(
    "amount", [Money(amount="5.00", currency="USD"), eur("5.001"), eur("59.91"), eur("0"), eur("-1")]
)
async def test_no_refund_is_asked_for_that_the_order_cannot_bear(shop: Bench, amount: Money) -> None:
    failed = await shop.failed("refund_order", RefundOrder(order_id="1001", amount=amount))
    assert failed.kind == "permanent"
    assert (await shop.state())["orders"]["1001"]["refunds"] == []


async def test_a_refund_broken_off_at_the_gateway_is_not_made_twice(shop: Bench) -> None:
    """WooCommerce writes the mark last: what it left unmarked is ours if amount and reason are."""
    wanted = RefundOrder(order_id="1001", amount=eur("5.00"), reason="Scratched")
    first = await shop.ok("refund_order", wanted)
    found = await shop.perform("refund_order", wanted, if_found=True)
    assert found.found  # type: ignore[union-attr]
    other = await shop.perform("refund_order", wanted, if_found=True, key=bytes(16))
    assert not other.found  # type: ignore[union-attr]
    assert first.amount == eur("5.00")


async def test_lines_of_a_refund_name_the_lines_of_the_order(shop: Bench) -> None:
    line = RefundedLine(line_item_id="4101", quantity=1, amount=Decimal("4.20"))
    await shop.ok("refund_order", RefundOrder(order_id="1001", amount=eur("5.00"), lines=[line], restock=True))
    sent = json.loads(shop.recorder.seen[-1][0].content)
    assert sent["line_items"] == [{"id": 4101, "quantity": 1, "refund_total": 4.2}]
    assert sent["api_refund"] is True


async def test_webhooks_are_made_once_and_disabled_ones_are_switched_on(shop: Bench) -> None:
    wanted = RegisterWebhooks(url="https://hub.example/webhooks/shop", topics=["order.created", "order.updated"])
    assert (await shop.ok("register_webhooks", wanted)).made == ["order.created", "order.updated"]
    number = (await shop.state())["webhooks"][0]["id"]
    disabled = await shop.people.put(
        f"/woocommerce/wp-json/wc/v3/webhooks/{number}", json={"status": "disabled"}, auth=("ck_sandbox", "cs_sandbox")
    )
    assert disabled.status_code == 200
    done = await shop.ok("register_webhooks", wanted)
    assert (done.made, done.mended, done.kept) == ([], ["order.created"], ["order.updated"])
    assert "sandbox-webhook-secret" not in json.dumps(await shop.state())


async def test_a_rotated_secret_reaches_every_webhook_that_leads_here(shop: Bench) -> None:
    """Also the paused one that nobody asked for, which stays as it is; not one that leads elsewhere."""
    url, basic = "https://hub.example/webhooks/shop", ("ck_sandbox", "cs_sandbox")
    for topic, where in (("order.created", url), ("coupon.created", url), ("order.created", "https://other.example")):
        body = {"topic": topic, "delivery_url": where, "secret": "older", "status": "paused"}
        made = await shop.people.post("/woocommerce/wp-json/wc/v3/webhooks", json=body, auth=basic)
        assert made.status_code == 201
    wanted = RegisterWebhooks(url=url, topics=["order.created", "order.updated"])
    done = await shop.ok("register_webhooks", wanted, webhook_secrets=["newer", "older"])
    assert (done.made, done.mended, done.kept) == (["order.updated"], ["order.created"], [])
    sent = [json.loads(request.content) for request, _ in shop.recorder.seen if request.method in ("PUT", "POST")]
    assert [(each["secret"], each.get("status")) for each in sent] == [
        ("newer", "active"),
        ("newer", None),
        ("newer", "active"),
    ]


async def test_what_does_not_exist_is_permanent_with_the_vendors_reason(shop: Bench) -> None:
    failed = await shop.failed("set_status", SetStatus(order_id="99999999", status="completed"))
    assert (failed.kind, "Invalid ID" in failed.error) == ("permanent", True)


async def test_a_second_coupon_of_one_code_is_refused(shop: Bench) -> None:
    await shop.ok("create_coupon", CreateCoupon(code="HI", percent=Decimal(10)))
    failed = await shop.failed("create_coupon", CreateCoupon(code="HI", percent=Decimal(10)), key=bytes(16))
    assert failed.kind == "permanent"
    again = CreateCoupon(code="HI", percent=Decimal(10))
    missed = await shop.perform("create_coupon", again, if_found=True, key=bytes(16))
    assert not getattr(missed, "found", False), "a coupon that another call made is not ours"


def test_a_coupon_is_worth_a_percentage_or_an_amount() -> None:
    with pytest.raises(ValidationError):
        CreateCoupon(code="X")
    with pytest.raises(ValidationError):
        CreateCoupon(code="X", percent=Decimal(5), amount=eur("5.00"))


def test_money_goes_out_rounded_or_not_at_all() -> None:
    assert plain(eur("5")) == "5.00"
    assert plain(Money(amount="500", currency="JPY")) == "500"
    with pytest.raises(ValueError, match="rounded"):
        plain(eur("5.001"))


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (200, {"content-type": "application/json"}, b"{}", type(None)),
        (200, {"content-type": "text/html; charset=UTF-8"}, b"<html>", UnsureError),
        (401, {}, b'{"code":"woocommerce_rest_cannot_view","message":"No."}', CredentialError),
        (404, {}, b"<html>", PermanentError),
        (400, {}, b'{"code":"x","message":"The coupon code already exists"}', PermanentError),
        (500, {}, b"", type(None)),
    ],
)
def test_answers_are_read_in_the_vendors_words(status: int, headers: dict[str, str], body: bytes, kind: type) -> None:
    assert type(problem(Reply(status, headers, body))) is kind


async def test_a_connection_without_keys_says_what_it_cannot_do(shop: Bench) -> None:
    said = await shop.test(consumer_key=None, consumer_secret=None)
    assert "No REST keys" in said
    assert "0 webhooks" in await shop.test()
