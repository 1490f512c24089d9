"""What our actions send, and what our sandboxes answer, is valid by the vendors' own descriptions."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.connector import Action, Connector
from tests.connectors.conftest import REGISTRY, Bench, open_bench
from tests.support.vendorspecs import VendorSpec, spec

DESCRIBED = ("quickbooks", "slack")
NOT_DESCRIBED = {
    "quickbooks": {"GET /v3/company/{}/invoice/{}/pdf"},
    "slack": {"POST /api/files.getUploadURLExternal", "POST /upload/{}", "POST /api/files.completeUploadExternal"},
}
"""Requests that the vendor's description leaves out; each must stand here, so that none slips through."""

CREATION_ONLY = {"'Line' is a required property", "'CustomerRef' is a required property"}
"""The description asks every invoice for what only a new one needs; voiding names Id and SyncToken alone."""

CASES = [
    pytest.param(REGISTRY[slug], action, id=f"{slug}.{action.name}")
    for slug in DESCRIBED
    for action in REGISTRY[slug].actions
]


@pytest.fixture
async def bench(connector: Connector[Any]) -> AsyncIterator[Bench]:
    async for each in open_bench(connector):
        yield each


def vendor_path(bench: Bench, request: httpx.Request) -> str:
    return request.url.path.removeprefix(f"/{bench.connector.slug}")


def described(bench: Bench, vendor: VendorSpec, request: httpx.Request) -> bool:
    path = vendor_path(bench, request)
    if vendor.operation(request.method, path) is not None:
        return True
    plain = "/".join(
        "{}" if any(char.isdigit() for char in part) and part != "v3" else part for part in path.split("/")
    )
    assert f"{request.method} {plain}" in NOT_DESCRIBED[bench.connector.slug]
    return False


@pytest.mark.parametrize(("connector", "action"), CASES)
async def test_requests_and_answers_are_as_the_vendor_describes(
    connector: Connector[Any], action: Action, bench: Bench
) -> None:
    vendor = spec(connector.slug)
    await bench.ok(action)
    for request, answer in bench.recorder.seen:
        if described(bench, vendor, request):
            path = vendor_path(bench, request)
            assert wrong(vendor, request, path) == []
            assert vendor.check_answer(request, path, answer) == []


def wrong(vendor: VendorSpec, request: httpx.Request, path: str) -> list[str]:
    found = vendor.check_request(request, path)
    if request.url.params.get("operation") == "void":
        return [each for each in found if each.removeprefix("body : ") not in CREATION_ONLY]
    return found


@pytest.mark.parametrize("connector", [REGISTRY[slug] for slug in DESCRIBED], ids=DESCRIBED)
async def test_the_test_of_a_connection_is_as_the_vendor_describes(connector: Connector[Any], bench: Bench) -> None:
    vendor = spec(connector.slug)
    await bench.test()
    for request, answer in bench.recorder.seen:
        assert vendor.check_request(request, vendor_path(bench, request)) == []
        assert vendor.check_answer(request, vendor_path(bench, request), answer) == []


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
