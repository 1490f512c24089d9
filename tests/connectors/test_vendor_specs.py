"""The checkers of vendors' descriptions find what is wrong. Every request of every test's bench goes through them
(`tests.support.contracts`), and a bench fails at its end if one was wrong."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.connector import Connector
from app.sandbox import make_app
from tests.connectors.conftest import REGISTRY, open_bench
from tests.support.byhand import wrong_with
from tests.support.contracts import NOT_DESCRIBED, description, judge
from tests.support.journal import Journal
from tests.support.vendorspecs import spec


@pytest.mark.parametrize("slug", sorted(NOT_DESCRIBED))
async def test_what_a_described_system_is_sent_is_judged(slug: str) -> None:
    connector: Connector[Any] = REGISTRY[slug]
    if description(slug) is None:
        pytest.skip("the vendor's description does not lie beside the checkout")
    async for bench in open_bench(connector):
        await bench.test()
        for number, action in enumerate(connector.actions[:2]):
            await bench.ok(action, key=number.to_bytes(16, "big"))
        assert len(bench.recorder.judged) >= 3
        assert any(verdict.wrong == [] for verdict in bench.recorder.judged)


@pytest.mark.parametrize(
    ("slug", "method", "path", "body"),
    [
        ("woocommerce", "POST", "/wp-json/wc/v3/coupons", {"amount": "10"}),
        ("woocommerce", "PUT", "/wp-json/wc/v3/orders/1", {"status": "completed", "colour": "red"}),
        ("woocommerce", "PUT", "/wp-json/wc/v3/orders/1", {"number": "7"}),
        ("woocommerce", "GET", "/wp-json/wc/v3/planets", None),
        ("shopify", "POST", "/admin/api/2026-07/graphql.json", {"query": "{ shop { nme } }", "variables": {}}),
        ("shopify", "POST", "/admin/api/2026-07/graphql.json",
         {"query": "query X($id: ID!) { order(id: $id) { id } }", "variables": {}}),
        ("shopify", "GET", "/admin/api/2026-07/orders.json", None),
        ("stripe", "POST", "/v1/refunds", {"amount": 1}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(slug: str, method: str, path: str, body: Any) -> None:
    verdict = judge(slug, httpx.Request(method, f"http://sandbox/{slug}{path}", json=body), None)
    if verdict is None:
        pytest.skip("the vendor's description does not lie beside the checkout")
    assert verdict.wrong


async def test_what_any_sandbox_is_sent_is_written_down_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in another process, also where a fault was told; what the sandbox itself refuses is a test of that."""
    if description("stripe") is None:
        pytest.skip("the vendor's description does not lie beside the checkout")
    monkeypatch.setenv("TRADEWIND_SANDBOX_JOURNAL", str(tmp_path))
    transport = httpx.ASGITransport(make_app(REGISTRY))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.post("/stripe/v1/refunds", data={"amount": "one"})
        await client.get("/stripe/v1/planets")
        await client.post("/_faults/stripe", json={"status": 500})
        await client.post("/stripe/v1/refunds", data={"amount": "one"}, headers={"authorization": "Bearer a-secret"})
    judged = Journal(tmp_path).judge_new()
    assert judged.counts == Counter({("stripe", "refused"): 2, ("stripe", "checked"): 1})
    (wrong,) = judged.wrong
    assert wrong.startswith("stripe: POST /v1/refunds: body amount")
    assert "a-secret" not in next(tmp_path.glob("*.jsonl")).read_text()


def test_the_checker_finds_what_is_wrong() -> None:
    """Wrong field, wrong type, missing field, wrong content type, unknown query, unknown path: each is found."""
    vendor = spec("quickbooks")
    path = "/v3/company/1/invoice"
    line = {"Amount": 1, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "1"}}}
    right = {"CustomerRef": {"value": "1"}, "Line": [line]}

    def check(body: Any, url: str = path, **options: Any) -> list[str]:
        request = httpx.Request("POST", f"https://x{url}", json=body, **options)
        return vendor.check_request(request, url.partition("?")[0])

    assert check(right) == []
    assert check({**right, "Custmer": 1})
    assert check({**right, "DocNumber": 1001})
    assert check({"CustomerRef": {"value": "1"}})
    assert check(right, headers={"content-type": "text/plain"})
    assert check(right, f"{path}?minorversion=12")
    assert check(right, f"{path}?request_id=1")
    assert check(right, "/v3/company/1/invoices")


def sent(slug: str, method: str, path: str, **options: Any) -> httpx.Request:
    return httpx.Request(method, f"http://sandbox/{slug}{path}", **options)


@pytest.mark.parametrize(
    "request_",
    [
        sent("shippo", "POST", "/transactions", json={"rate": "r", "metadata": "x" * 101}),
        sent("shippo", "POST", "/transactions", json={"label_file_type": "PDF_4x6"}),
        sent("shippo", "POST", "/addresses", json={"country": "US", "zip": 94103}),
        sent("shippo", "POST", "/addresses", json={"country": "US", "postal_code": "94103"}),
        sent("shippo", "GET", "/transactions?results=101"),
        sent("shippo", "GET", "/labels"),
        sent("discord", "POST", "/api/v10/channels/1/messages", json={"content": "x", "nonce": "x" * 26}),
        sent("discord", "PATCH", "/api/v10/channels/1/messages/2", json={"content": "x", "nonce": "x"}),
        sent("discord", "POST", "/api/v10/channels/1/messages", json={"content": "x" * 2001}),
        sent("gumroad", "PUT", "/v2/sales/x==/refund", data={"amount_cents": "2.50"}),
        sent("gumroad", "POST", "/v2/products/x==/offer_codes", data={"name": "HI", "offer_type": "percent"}),
        sent("gumroad", "PUT", "/v2/resource_subscriptions", data={"resource_name": "sales", "post_url": "https://x"}),
    ],
    ids=lambda request_: f"{request_.method} {request_.url.path}",
)
def test_what_is_written_down_by_hand_refuses_what_the_vendor_would(request_: httpx.Request) -> None:
    assert wrong_with(request_.url.path.split("/")[1], request_) != []
