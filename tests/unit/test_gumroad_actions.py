"""Gumroad's actions against its fake, which says most refusals with status 200."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, parse_qsl

import pytest

from app.connector import Reply
from app.errors import CredentialError, PermanentError
from app.events import Money
from connectors.gumroad import connector
from connectors.gumroad.actions import problem
from connectors.gumroad.models import (
    CreateOfferCode,
    MarkShipped,
    PartiallyRefundSale,
    RefundSale,
    SubscribeResources,
)
from connectors.gumroad.sandbox import TOKEN
from tests.connectors.conftest import Bench, open_bench

SALE = "aB3saleForTestsAAAAAAA=="


def usd(amount: str) -> Money:
    return Money(amount=amount, currency="USD")


@pytest.fixture
async def gumroad() -> AsyncIterator[Bench]:
    async for bench in open_bench(connector):
        yield bench


async def test_a_sale_is_shipped_with_its_tracking_link(gumroad: Bench) -> None:
    done = await gumroad.ok("mark_shipped", MarkShipped(sale_id=SALE, tracking_url="https://t.example/1?a=b&c=d"))
    assert done.shipped
    assert (await gumroad.state())["sales"][SALE]["tracking_url"] == "https://t.example/1?a=b&c=d"
    request = gumroad.recorder.seen[-1][0]
    assert request.url.path.endswith(f"/v2/sales/{SALE}/mark_as_shipped")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_part_is_given_back_in_cents_of_the_listing(gumroad: Bench) -> None:
    part = PartiallyRefundSale(sale_id=SALE, amount=usd("4.50"))
    assert not (await gumroad.ok("partially_refund_sale", part)).refunded
    assert parse_qs(gumroad.recorder.seen[-1][0].content.decode()) == {"amount_cents": ["450"]}
    sale = (await gumroad.state())["sales"][SALE]
    assert (sale["partially_refunded"], sale["amount_refundable_in_currency"]) == (True, "19.50")
    assert (await gumroad.ok("refund_sale", RefundSale(sale_id=SALE))).refunded
    again = await gumroad.failed("refund_sale", RefundSale(sale_id=SALE))
    assert (again.kind, again.error) == ("permanent", "Purchase is already refunded.")


@pytest.mark.parametrize("amount", [Money(amount="4.50", currency="EUR"), usd("4.505"), usd("0"), usd("24.01")])
async def test_no_part_is_asked_for_that_the_sale_cannot_bear(gumroad: Bench, amount: Money) -> None:
    failed = await gumroad.failed("partially_refund_sale", PartiallyRefundSale(sale_id=SALE, amount=amount))
    assert failed.kind == "permanent"
    assert (await gumroad.state())["refunds"] == {}


async def test_an_unsure_refund_of_the_whole_is_looked_up_and_one_of_a_part_asks(gumroad: Bench) -> None:
    await gumroad.fault(status=500, after_acting=True, method="PUT", times=1)
    failed = await gumroad.failed("refund_sale", RefundSale(sale_id=SALE))
    assert failed.kind == "unsure"
    found = await gumroad.perform("refund_sale", RefundSale(sale_id=SALE), if_found=True)
    assert found.found  # type: ignore[union-attr]
    by_name = {action.name: action for action in connector.actions}
    assert by_name["partially_refund_sale"].if_unsure == "ask"


async def test_a_code_without_a_product_is_for_all(gumroad: Bench) -> None:
    made = await gumroad.ok("create_offer_code", CreateOfferCode(code="ALL5", amount=usd("5.00")))
    sent = dict(parse_qsl(gumroad.recorder.seen[-1][0].content.decode()))
    assert sent == {
        "name": "ALL5",
        "universal": "true",
        "offer_type": "cents",
        "amount_off": "500",
        "max_purchase_count": "1",
    }
    assert made.product_id
    refused = await gumroad.failed("create_offer_code", CreateOfferCode(code="ALL5", percent=5))
    assert refused.kind == "permanent"
    missed = await gumroad.perform("create_offer_code", CreateOfferCode(code="ALL5", percent=5), if_found=True)
    assert not getattr(missed, "found", False), "a code of another worth is not ours"


async def test_pings_are_asked_for_with_the_token_and_once(gumroad: Bench) -> None:
    wanted = SubscribeResources(url="https://hub.example/webhooks/books")
    assert len((await gumroad.ok("subscribe_resources", wanted)).made) == 8
    sent = dict(parse_qsl(gumroad.recorder.seen[-1][0].content.decode()))
    assert sent["post_url"] == "https://hub.example/webhooks/books?token=sandbox-url-token-0123456789"
    again = await gumroad.ok("subscribe_resources", wanted)
    assert (again.made, len(again.kept)) == ([], 8)


async def test_after_a_rotation_pings_under_the_old_token_are_taken_back(gumroad: Bench) -> None:
    """Else each sale is told twice, and the old token still travels when it is refused."""
    wanted = SubscribeResources(url="https://hub.example/webhooks/books")
    other = SubscribeResources(url="https://hub.example/webhooks/books-2")
    for each in (wanted, other):
        await gumroad.ok("subscribe_resources", each)
    tokens = ["a-newer-token-0123456789", *gumroad.settings["tokens"]]
    done = await gumroad.ok("subscribe_resources", wanted, tokens=tokens)
    assert (len(done.made), done.kept, len(done.removed)) == (8, [], 8)
    again = await gumroad.ok("subscribe_resources", wanted, tokens=tokens)
    assert (again.made, len(again.kept), again.removed) == ([], 8, [])
    listed = await gumroad.people.get(
        "/gumroad/v2/resource_subscriptions?resource_name=sale", headers={"authorization": f"Bearer {TOKEN}"}
    )
    asked = {each["post_url"] for each in listed.json()["resource_subscriptions"]}
    assert asked == {
        "https://hub.example/webhooks/books?token=a-newer-token-0123456789",
        "https://hub.example/webhooks/books-2?token=sandbox-url-token-0123456789",
    }


async def test_a_sale_that_is_not_there_is_permanent(gumroad: Bench) -> None:
    failed = await gumroad.failed("mark_shipped", MarkShipped(sale_id="missing"))
    assert (failed.kind, failed.error) == ("permanent", "The sale was not found.")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"success": true, "sale": {}}', type(None)),
        (200, b'{"success": false, "message": "No."}', PermanentError),
        (401, b'{"success": false, "message": "No."}', CredentialError),
        (401, b'{"status": 401, "error": "invalid_token"}', CredentialError),
        (400, b'{"status": 400, "error": "Invalid order ID."}', PermanentError),
        (404, b"<html>", type(None)),
        (200, b"[]", type(None)),
        (503, b'{"success": false}', type(None)),
    ],
)
def test_answers_are_read_in_the_vendors_words(status: int, body: bytes, kind: type) -> None:
    assert type(problem(Reply(status, {}, body))) is kind


async def test_a_connection_says_whose_it_is_and_that_pings_are_unproven_without_a_token(gumroad: Bench) -> None:
    assert "Sandbox seller" in await gumroad.test()
    assert "unproven" in await gumroad.test(access_token=None)
    with pytest.raises(CredentialError, match="another seller"):
        await gumroad.test(seller_id="somebody")
