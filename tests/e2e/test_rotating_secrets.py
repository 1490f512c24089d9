"""A connection gets a new secret: what signs with an older one is taken meanwhile, and a token is proven first."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.sandbox import make_app
from tests.support.bench import Bench, benched
from tests.support.serving import serving
from tests.support.testconnector import payload


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def rotate(bench: Bench, slug: str, expect: int = 200, **wanted: Any) -> Any:
    answer = await bench.api.post(f"/v1/connections/{slug}/rotate", json=wanted)
    assert answer.status_code == expect, answer.text
    await bench.refresh()
    return answer.json()


async def taken(bench: Bench, *secrets: str) -> list[int]:
    """The answers to webhooks that are signed with each of these."""
    found = bench.hub.hub.connections.find("main", "shop")
    assert found is not None
    said = []
    for number, secret in enumerate(secrets):
        settings = found.connector.settings.model_validate({"account": "x", "webhook_secrets": [secret]})
        body, now = orjson.dumps(payload(number)), bench.hub.hub.clock.now()
        signed = found.source.signature.sign(body, settings, now)
        beside = found.source.headers("order.paid", body, settings, now) if found.source.headers else {}
        headers = {"content-type": "application/json", **beside, **signed.headers}
        said.append((await bench.hub.client.post("/webhooks/shop", content=body, headers=headers)).status_code)
    return said


async def test_two_older_signing_secrets_are_taken_until_they_are_forgotten(bench: Bench) -> None:
    names = [f"signing-secret-{number}" for number in range(4)]
    for name in names:
        done = await rotate(bench, "shop", setting="webhook_secrets", value=name)
    assert (done["taken"], done["works"]) == (3, None)
    assert await taken(bench, *names) == [401, 200, 200, 200]
    assert (await rotate(bench, "shop", setting="webhook_secrets", value=names[2]))["taken"] == 3, (
        "back to an older one"
    )
    assert (await rotate(bench, "shop", setting="webhook_secrets", forget_old=True))["taken"] == 1
    assert await taken(bench, *names) == [401, 401, 200, 401]
    (line,) = [each for each in (await bench.get("/v1/audit"))["items"] if each["verb"] == "rotate"][:1]
    assert line["detail"] == {"setting": "webhook_secrets", "forget_old": True, "forget": False}


async def test_where_each_endpoint_has_a_secret_none_goes_that_is_not_named(bench: Bench) -> None:
    held = ["whsec_account", "whsec_connect", "whsec_third"]
    stripe = bench.hub.hub.registry["stripe"]
    await bench.hub.connect("pay", stripe, {"account": "acct_1", "webhook_secrets": held}, role="payments")
    assert (await rotate(bench, "pay", setting="webhook_secrets", value="whsec_newer"))["taken"] == 4
    refused = await rotate(bench, "pay", 422, setting="webhook_secrets", forget_old=True)
    assert "say which one goes" in refused["errors"][0]["detail"]
    unknown = await rotate(bench, "pay", 422, setting="webhook_secrets", forget="whsec_never")
    assert "no such secret" in unknown["errors"][0]["detail"]
    await rotate(bench, "pay", setting="webhook_secrets", forget="whsec_account")
    found = bench.hub.hub.connections.find("main", "pay")
    assert found is not None
    kept = [each.get_secret_value() for each in found.settings.webhook_secrets]  # type: ignore[attr-defined]
    assert kept == ["whsec_newer", "whsec_connect", "whsec_third"]


async def test_a_token_counts_only_when_the_system_takes_it(bench: Bench) -> None:
    shopify = bench.hub.hub.registry["shopify"]
    assert shopify.sandbox is not None
    given = dict(shopify.sandbox().settings)
    async with serving(make_app(bench.hub.hub.registry)) as outside:
        where = f"{outside}/shopify"
        await bench.hub.connect("store", shopify, given | {"access_token": None}, role="shop", base_url=where)
        refused = await rotate(bench, "store", 422, setting="access_token", value="shpat_of-another-shop")
        assert "the old one stays" in refused["errors"][0]["detail"]
        assert "shpat_of-another-shop" not in str(refused)
        done = await rotate(bench, "store", setting="access_token", value=given["access_token"])
        assert (done["taken"], done["works"]) == (1, True)
        assert (await bench.api.post("/v1/connections/store/test")).json()["works"]


async def test_a_key_and_its_secret_are_rotated_together(bench: Bench) -> None:
    """Proven as a pair, and the shop's own webhooks sign with the new secret after `register_webhooks`."""
    woo, pair = bench.hub.hub.registry["woocommerce"], {"consumer_key": "ck_sandbox", "consumer_secret": "cs_sandbox"}
    assert woo.sandbox is not None
    older = dict(woo.sandbox().settings) | {"consumer_key": "ck_of-last-year", "consumer_secret": "cs_of-last-year"}
    async with serving(make_app(bench.hub.hub.registry)) as outside:
        await bench.hub.connect("store", woo, older, role="shop", base_url=f"{outside}/woocommerce")
        for setting, value in pair.items():
            alone = await rotate(bench, "store", 422, setting=setting, value=value)
            assert "the old one stays" in alone["errors"][0]["detail"]
        refused = await rotate(bench, "store", 422, values={**pair, "consumer_key": "ck_of-another-shop"})
        assert "the old ones stay" in refused["errors"][0]["detail"]
        done = await rotate(bench, "store", values={**pair, "webhook_secrets": "a-newer-webhook-secret"})
        assert (done["works"], done["settings"]) == (True, {**dict.fromkeys(pair, 1), "webhook_secrets": 2})
    refused = await rotate(bench, "store", 422, values={"site": "https://elsewhere.example"})
    assert "has no secret 'site'" in refused["errors"][0]["detail"]
    refused = await rotate(bench, "store", 422, values=pair, forget_old=True)
    assert "given alone" in refused["errors"][0]["detail"]
    (line, *_) = [each for each in (await bench.get("/v1/audit"))["items"] if each["verb"] == "rotate"]
    assert line["detail"]["setting"] == "consumer_key, consumer_secret, webhook_secrets"


async def test_a_clients_secret_is_not_called_proven_by_a_token_that_is_still_good(bench: Bench) -> None:
    books = bench.hub.hub.registry["quickbooks"]
    assert books.sandbox is not None
    async with serving(make_app(bench.hub.hub.registry)) as outside:
        await bench.hub.connect("books", books, dict(books.sandbox().settings), base_url=f"{outside}/quickbooks")
        assert (await bench.api.post("/v1/connections/books/test")).json()["works"]
        done = await rotate(bench, "books", setting="client_secret", value="not-the-secret-of-anybody")
    assert done["works"] is None
    assert "refreshed next" in done["said"]


async def test_what_cannot_be_rotated_is_said(bench: Bench) -> None:
    async def why(**wanted: Any) -> str:
        return str((await rotate(bench, "shop", 422, **wanted))["errors"][0]["detail"])

    assert await why(value="x" * 20) == "say which secret: token, webhook_secrets"
    assert "no such secret; it has token" in await why(setting="account", value="y")
    assert await why(setting="webhook_secrets") == "give the new secret, or forget the old ones"
    assert "holds one secret" in await why(setting="token", forget_old=True)
    assert (await bench.api.post("/v1/connections/no-such/rotate", json={"value": "x"})).status_code == 404
    await bench.hub.rows("update connection set origin = 'file:/etc/connections.yaml' where slug = 'shop'")
    owned = await rotate(bench, "shop", 409, setting="token", value="another-token")
    assert "/etc/connections.yaml" in owned["detail"]
