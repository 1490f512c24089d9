"""Reads before normalising: made in the connection's lane, kept with the webhook, given up or waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.pipeline.deliver import reads
from app.registry import Registry
from app.store.packing import unpack_json
from tests.support.harness import Harness, running
from tests.support.serving import serving

REFUND = {"id": 77, "reason": "broken", "amount": "5.00", "date_created_gmt": "2026-11-20T10:00:00", "line_items": []}


class Shop:
    """A WooCommerce shop that answers as told and counts who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[Headers] = []
        self.answer: Callable[[], Response] = lambda: JSONResponse([REFUND])
        self.app = Starlette(routes=[Route("/{path:path}", self._serve)])

    async def _serve(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        self.headers.append(request.headers)
        return self.answer()


@pytest.fixture
async def shop(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Shop]]:
    fake = Shop()
    async with serving(fake.app) as address, running(database_url, redis_url, tmp_path) as hub:
        settings = {
            "site": "https://shop.example",
            "webhook_secrets": ["hush"],
            "consumer_key": "ck_1",
            "consumer_secret": "cs_1",
        }
        await hub.connect("woo", Registry()["woocommerce"], settings, base_url=address)
        yield hub, fake


def order() -> dict[str, Any]:
    return {
        "id": 501,
        "number": "501",
        "status": "processing",
        "currency": "EUR",
        "total": "20.00",
        "total_tax": "0.00",
        "shipping_total": "0.00",
        "discount_total": "0.00",
        "date_created_gmt": "2026-11-20T08:00:00",
        "date_modified_gmt": "2026-11-20T10:00:00",
        "date_paid_gmt": "2026-11-20T08:01:00",
        "billing": {"email": "ada@example.com", "first_name": "Ada"},
        "line_items": [{"id": 1, "name": "Mug", "quantity": 2, "total": "20.00", "subtotal": "20.00", "taxes": []}],
        "refunds": [{"id": 77, "reason": "broken", "total": "-5.00"}],
    }


async def settled(hub: Harness, *states: str) -> Any:
    """The webhook, once it is in one of these states."""
    async with asyncio.timeout(15):
        while True:
            await hub.settle()
            (row,) = await hub.rows("select * from webhook")
            if row["state"] in states:
                return row
            await asyncio.sleep(0.02)


async def refund_event(hub: Harness) -> Any:
    (row,) = await hub.rows("select * from event where type = 'refund.created'")
    return row


async def test_what_a_source_wants_is_read_in_the_lane_before_its_events_are_made(shop: tuple[Harness, Shop]) -> None:
    hub, fake = shop
    await hub.send("woo", "order.updated", order())
    row = await settled(hub, "normalised")
    assert row["reads"]["read"]["refunds"][0]["reason"] == "broken"
    assert fake.asked == ["/wp-json/wc/v3/orders/501/refunds"]
    event = await refund_event(hub)
    assert event["note"] is None
    assert unpack_json(event["data"])["refund"]["reason"] == "broken"
    assert await hub.one("select count(*) from timer") == 0


async def test_a_read_that_fails_for_long_is_done_without_and_the_event_says_why(
    shop: tuple[Harness, Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "TRIES", 2)
    monkeypatch.setattr(reads, "_wait", lambda tries, error: timedelta(milliseconds=5))
    hub, fake = shop
    fake.answer = lambda: Response("{}", 503)
    await hub.send("woo", "order.updated", order())
    await settled(hub, "normalised")
    assert len(fake.asked) == 2
    assert "not read" in (await refund_event(hub))["note"]


async def test_a_webhook_that_waits_says_what_for_and_goes_on_when_the_shop_is_back(
    shop: tuple[Harness, Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, fake = shop
    fake.answer = lambda: Response("down", 503)
    await hub.send("woo", "order.updated", order())
    async with asyncio.timeout(10):
        while "503" not in str(await hub.one("select reason from webhook where state = 'reading'")):
            await hub.settle()
            await asyncio.sleep(0.02)
    assert await hub.one("select count(*) from event") == 0
    fake.answer = lambda: JSONResponse([REFUND])
    async with hub.hub.database.acquire() as db:
        await db.execute("update timer set due_at = clock_timestamp()")
    await settled(hub, "normalised")


async def test_whoever_dies_with_a_read_lets_go_of_it(shop: tuple[Harness, Shop]) -> None:
    hub, _ = shop
    await hub.send("woo", "order.updated", order())
    while await hub.normaliser.drain():
        pass
    connection = hub.hub.connections.find("main", "woo")
    assert connection is not None
    now = hub.hub.clock.now()
    assert len(await reads.claim(hub.hub.database, connection.id, now)) == 1  # and dies
    assert not await reads.claim(hub.hub.database, connection.id, now)
    assert len(await reads.claim(hub.hub.database, connection.id, now + reads.LEASE)) == 1


async def test_a_paused_connection_reads_nothing(shop: tuple[Harness, Shop]) -> None:
    hub, fake = shop
    async with hub.hub.database.acquire() as db:
        await db.execute("update lane set paused = true")
    await hub.send("woo", "order.updated", order())
    await hub.settle()
    assert fake.asked == []
    assert await hub.one("select state from webhook") == "reading"


async def test_what_belongs_to_a_connected_account_is_read_in_its_name(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    fake = Shop()
    fake.answer = lambda: JSONResponse({"object": "list", "data": [], "has_more": False})
    async with serving(fake.app) as address, running(database_url, redis_url, tmp_path) as hub:
        settings = {"account": "acct_platform", "webhook_secrets": ["whsec_1"], "api_key": "sk_test_1"}
        await hub.connect("stripe", Registry()["stripe"], settings, base_url=address)
        session = {"id": "cs_test_1", "object": "checkout.session", "mode": "payment", "payment_status": "paid",
                   "amount_total": 500, "amount_subtotal": 500, "currency": "eur", "status": "complete"}  # fmt: skip
        await hub.send("stripe", "", {"id": "evt_1", "object": "event", "account": "acct_seller", "livemode": False,
                                      "type": "checkout.session.completed", "created": 1_791_000_000,
                                      "data": {"object": session}})  # fmt: skip
        await settled(hub, "normalised")
    assert fake.asked == ["/v1/checkout/sessions/cs_test_1/line_items"]
    assert fake.headers[0]["stripe-account"] == "acct_seller"


# --- senders that are believed only after a look ------------------------------------------------------------------


@pytest.fixture
async def gumroad(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Shop]]:
    fake = Shop()
    async with serving(fake.app) as address, running(database_url, redis_url, tmp_path) as hub:
        settings = {"seller_id": "seller==", "tokens": ["a-long-enough-token"], "access_token": "secret-token"}
        await hub.connect("gum", Registry()["gumroad"], settings, base_url=address)
        yield hub, fake


PING = b"resource_name=sale&seller_id=seller%3D%3D&sale_id=sale-1%3D%3D&price=500&currency=usd&email=ada%40example.com"


def sale() -> Response:
    said = {"id": "sale-1==", "seller_id": "seller==", "email": "ada@example.com", "price": 500, "currency": "usd",
            "created_at": "2026-11-20T10:00:00Z", "product_name": "Knots", "order_id": 12345,
            "quantity": 1}  # fmt: skip
    return JSONResponse({"success": True, "sale": said})


async def test_an_unsigned_ping_is_no_event_before_its_sale_is_read_back(gumroad: tuple[Harness, Shop]) -> None:
    hub, fake = gumroad
    fake.answer = lambda: Response("{}", 503)
    await hub.send("gum", "sale", PING)
    async with asyncio.timeout(10):
        while not fake.asked:
            await hub.settle()
            await asyncio.sleep(0.02)
    assert await hub.one("select count(*) from event") == 0
    fake.answer = sale
    async with asyncio.timeout(10):
        while await hub.one("select state from webhook") in ("reading", "due"):
            async with hub.hub.database.acquire() as db:
                await db.execute("update timer set due_at = least(due_at, clock_timestamp())")
            await hub.settle()
            await asyncio.sleep(0.05)
    (row,) = await hub.rows("select state, reason from webhook")
    assert (row["state"], row["reason"]) == ("normalised", None)
    assert await hub.one("select count(*) from event where type = 'order.paid'") == 1


async def test_a_ping_of_a_sale_that_is_not_there_ends_malformed_with_the_reason(
    gumroad: tuple[Harness, Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "TRIES", 2)
    monkeypatch.setattr(reads, "_wait", lambda tries, error: timedelta(milliseconds=5))
    hub, fake = gumroad
    fake.answer = lambda: JSONResponse({"success": False, "message": "The sale was not found."}, 404)
    await hub.send("gum", "sale", PING)
    row = await settled(hub, "malformed")
    assert "not found" in row["reason"]
    assert await hub.one("select count(*) from event") == 0
