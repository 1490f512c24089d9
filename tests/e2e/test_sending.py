"""The hub stands in for a platform: no answer is without bound, and no secret is told to who may not read it."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.sending import MOST
from tests.support.bench import Bench, benched
from tests.support.testconnector import payload


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


def body(size: int, count: int) -> dict[str, object]:
    return {"topic": "order.paid", "body": base64.b64encode(b"x" * size).decode(), "count": count}


async def test_what_is_signed_at_once_has_a_bound(bench: Bench) -> None:
    path = "/v1/connections/shop/sign"
    assert len((await bench.post(path, body(50_000, 100)))["requests"]) == 100
    refused = await bench.post(path, body(100_000, 100), 422)
    assert refused["errors"] == [
        {
            "field": "body.count",
            "detail": "these are more than 5,000,000 bytes together: ask for at most 50 at a time",
        }
    ]
    assert len((await bench.post(path, body(3_900_000, 1)))["requests"]) == 1, "the largest body fits into a request"
    assert "3900000" in (await bench.post(path, body(3_900_001, 1), 422))["errors"][0]["detail"]


async def test_captured_fixtures_end_before_they_are_too_many_bytes(bench: Bench) -> None:
    for number in range(13):
        note = ["y"] * (90_000 if number < 8 else 10)
        assert (await bench.hub.send("shop", "order.paid", payload(number) | {"note": note})).status_code == 200
    items = (await bench.get("/v1/connections/shop/fixtures", last=200))["items"]
    assert 5 < len(items) < 13
    assert sum(len(each["body"]) for each in items) <= MOST
    assert len((await bench.get("/v1/connections/shop/fixtures", last=2))["items"]) == 2


async def test_a_secret_that_a_platform_sends_as_it_is_shows_only_to_an_admin(bench: Bench) -> None:
    gumroad = bench.hub.hub.registry["gumroad"]
    settings = {"seller_id": "seller-1", "tokens": ["an-unguessable-token-of-it"]}
    await bench.hub.connect("sales", gumroad, settings)
    await bench.refresh()
    made = await bench.post("/v1/keys", {"name": "narrow", "scopes": ["connections"]}, 201)
    narrow = {"authorization": f"Bearer {made['key']}"}
    wanted = {"topic": "sale", "body": base64.b64encode(b"a=b").decode()}
    refused = await bench.api.post("/v1/connections/sales/sign", json=wanted, headers=narrow)
    assert refused.status_code == 403
    assert 'scope="admin"' in refused.headers["www-authenticate"]
    assert "admin" in refused.json()["detail"]
    assert "an-unguessable-token-of-it" not in refused.text
    signed = (await bench.post("/v1/connections/sales/sign", wanted))["requests"]
    assert signed[0]["query"] == {"token": "an-unguessable-token-of-it"}
    hashed = await bench.api.post("/v1/connections/shop/sign", json=body(10, 1), headers=narrow)
    assert hashed.status_code == 200, "a signature tells nothing of its secret"
