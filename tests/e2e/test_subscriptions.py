"""Others are told of canonical events: signed by Standard Webhooks, retried, and no more after they end it."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.subscriptions import SubscriptionWanted
from app.byhand import subscriptions
from app.byhand.subscriptions import types_of
from app.events import EVENT_TYPES, json_schema
from tests.e2e.test_api_docs import PYTHON
from tests.support.bench import Bench, benched
from tests.support.serving import serving


@dataclass
class Receiver:
    """Somebody else's endpoint; `statuses` are its next answers."""

    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 204)

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """The bodies, each proven by its signature as the Standard Webhooks specification says."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        bodies = []
        for headers, body in self.got:
            said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            made = base64.b64encode(hmac.digest(key, said, hashlib.sha256)).decode()
            assert headers["webhook-signature"] == f"v1,{made}"
            bodies.append(orjson.loads(body))
        return bodies


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Receiver, str]]:
    monkeypatch.setattr(subscriptions, "leads_inside", lambda host: False)
    made = Receiver()
    async with serving(Starlette(routes=[Route("/hook", made.take, methods=["POST"])])) as address:
        yield made, f"{address}/hook"


async def _subscribe(bench: Bench, url: str, *events: str) -> dict[str, Any]:
    made = await bench.post("/v1/webhook-subscriptions", {"slug": "erp", "url": url, "events": list(events)}, 201)
    host = url.removesuffix("/hook")  # a receiver on this machine is let through as an operator's base_url is
    await bench.hub.rows("update connection set base_url = $1, updated_at = clock_timestamp() where slug = 'erp'", host)
    await bench.refresh()
    return dict(made)


async def test_a_subscriber_gets_signed_events_that_fit_their_schema(
    bench: Bench, receiver: tuple[Receiver, str]
) -> None:
    there, url = receiver
    made = await _subscribe(bench, url, "order.*")
    assert made["secret"].startswith("whsec_")
    event_id = await bench.order()
    bodies = there.verified(made["secret"])
    paid = next(body for body in bodies if body["type"] == "order.paid")
    assert (paid["id"], paid["specversion"], paid["source"]) == (event_id, "1.0", "/connections/shop")
    assert paid["data"]["order"]["number"] == "#1001"
    schema = json_schema()
    for body in bodies:
        told = {"type": body["type"], "data": body["data"]}
        (one,) = [each for each in schema["oneOf"] if each["properties"]["type"]["const"] == body["type"]]
        jsonschema.Draft202012Validator({**one, "$defs": schema["$defs"]}).validate(told)
    runs = (await bench.get("/v1/runs", recipe="webhooks-erp-order"))["items"]
    assert {run["state"] for run in runs} == {"done"}


async def test_the_api_page_shows_how_a_delivery_is_verified(
    bench: Bench, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, url = receiver
    made = await _subscribe(bench, url, "order.paid")
    await bench.order()
    ((headers, body),) = there.got
    shown: dict[str, Any] = {}
    exec(next(each for each in PYTHON if "def is_ours" in each), shown)
    monkeypatch.setattr("time.time", lambda: float(headers["webhook-timestamp"]) + 2)
    assert shown["is_ours"](made["secret"], headers, body)
    assert not shown["is_ours"](made["secret"], headers, body + b" ")
    assert not shown["is_ours"](subscriptions.new_secret(), headers, body)
    monkeypatch.setattr("time.time", lambda: float(headers["webhook-timestamp"]) + 400)
    assert not shown["is_ours"](made["secret"], headers, body)


async def test_a_failed_delivery_is_tried_again_under_the_same_id(bench: Bench, receiver: tuple[Receiver, str]) -> None:
    there, url = receiver
    made = await _subscribe(bench, url, "order.paid")
    there.statuses = [500, 429]
    await bench.order()
    there.verified(made["secret"])
    assert len(there.got) == 3
    assert len({headers["webhook-id"] for headers, _ in there.got}) == 1
    assert len({body for _, body in there.got}) == 1


async def test_a_subscription_is_changed_paused_and_ended(bench: Bench, receiver: tuple[Receiver, str]) -> None:
    there, url = receiver
    made = await _subscribe(bench, url, "order.paid")
    assert (await bench.get("/v1/webhook-subscriptions/erp"))["events"] == ["order.paid"]
    changed = await bench.api.put("/v1/webhook-subscriptions/erp", json={"url": url, "events": ["refund.created"]})
    assert changed.json()["secret"] != made["secret"]
    assert (await bench.get("/v1/webhook-subscriptions"))["items"][0]["events"] == ["refund.created"]
    assert "secret" not in (await bench.get("/v1/webhook-subscriptions/erp"))
    await bench.refresh()
    await bench.order()
    assert there.got == []
    owned = await bench.api.put("/v1/recipes/webhooks-erp-refund", json={"source": "title: x"})
    assert owned.status_code in (409, 422)
    assert (await bench.api.delete("/v1/connections/erp")).status_code == 409
    assert (await bench.api.delete("/v1/webhook-subscriptions/erp")).status_code == 204
    await bench.get("/v1/webhook-subscriptions/erp", 404)
    await bench.get("/v1/recipes/webhooks-erp-refund", 404)


async def test_what_cannot_be_subscribed_is_refused(bench: Bench) -> None:
    good = {"slug": "erp", "url": "https://erp.example.com/hook", "events": ["order.paid"]}
    for change in ({"events": ["order.payed"]}, {"events": ["nothing.*"]}, {"events": []}, {"url": "ftp://x"},
                   {"url": "http://169.254.169.254/latest"}, {"url": "https://[::1]/x"}, {"url": "http://LOCALHOST./x"},
                   {"url": "https://me:secret@x"}, {"url": "http://127.1/"}, {"url": "https://a b.example/"},
                   {"url": "https://erp.example.com/\nhook"}, {"events": ["ordr.paid"]},
                   {"slug": "shop"}, {"slug": "Not a slug"}):  # fmt: skip
        refused = await bench.api.post("/v1/webhook-subscriptions", json=good | change)
        assert refused.status_code == 422, change
        assert {each["field"].partition(".")[2].partition(".")[0] for each in refused.json()["errors"]} == set(change)
    await bench.get("/v1/webhook-subscriptions/shop", 404)


async def test_of_many_who_subscribe_under_one_name_one_does(bench: Bench) -> None:
    wanted = {"slug": "erp", "url": "https://erp.example.com/hook", "events": ["order.paid", "stock.counted"]}
    several = [bench.api.post("/v1/webhook-subscriptions", json=wanted) for _ in range(4)]
    answers = await asyncio.gather(*several)
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    assert (await bench.api.put("/v1/webhook-subscriptions/other", json=wanted)).status_code in (404, 422)


async def test_a_subscription_leaves_a_recipe_that_somebody_else_made(bench: Bench) -> None:
    mine = {"source": "title: Mine\non: order.paid\nsteps:\n  - set: {order: {add_tags: [x]}}\n"}
    assert (await bench.api.put("/v1/recipes/webhooks-erp-order", json=mine)).status_code == 200
    wanted = {"slug": "erp", "url": "https://erp.example.com/hook", "events": ["order.paid"]}
    await bench.post("/v1/webhook-subscriptions", wanted, 409)
    assert (await bench.get("/v1/recipes/webhooks-erp-order"))["title"] == "Mine"


async def test_every_event_can_be_subscribed(bench: Bench) -> None:
    await bench.post("/v1/webhook-subscriptions", {"slug": "all", "url": "https://x.example.com", "events": ["*"]}, 201)
    assert (await bench.get("/v1/webhook-subscriptions/all"))["events"] == sorted(EVENT_TYPES)
    checked = [each for each in (await bench.get("/v1/recipes"))["items"] if each["name"].startswith("webhooks-all-")]
    assert all(each["usable"] for each in checked)
    for each in checked:
        source = (await bench.get(f"/v1/recipes/{each['name']}"))["source"]
        told = await bench.post("/v1/recipes/check", {"name": each["name"], "source": source})
        assert told["usable"], told["problems"]
    assert types_of(["order.paid", "order.*"])[0] == "order.paid"
    assert SubscriptionWanted.model_config["extra"] == "forbid"
