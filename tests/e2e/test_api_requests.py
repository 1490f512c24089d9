"""What every request passes: ids, limits of keys, and keys under which a repeat does nothing more."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.ids import new_id
from tests.support.bench import KEY, Bench, benched
from tests.support.harness import running, settings_for
from tests.support.routes import hub_app

WANTED = {"name": "reporting", "scopes": ["read"]}


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def _post(bench: Bench, path: str, body: Any, key: str, **headers: str) -> httpx.Response:
    return await bench.api.post(path, json=body, headers={"idempotency-key": key, **headers})


async def test_every_answer_carries_the_id_of_its_request(bench: Bench) -> None:
    for method, path in (("GET", "/healthz"), ("GET", "/v1/events"), ("GET", "/v1/none"), ("POST", "/webhooks/none")):
        answer = await bench.api.request(method, path)
        assert len(answer.headers["x-request-id"]) == 24, path
        mine = await bench.api.request(method, path, headers={"x-request-id": "mine-1"})
        assert mine.headers["x-request-id"] == "mine-1", path
        odd = await bench.api.request(method, path, headers={"x-request-id": "no <b>"})
        assert odd.headers["x-request-id"] != "no <b>"
        if answer.status_code >= 400:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
    taken = await bench.hub.send("shop", "order.paid", {"id": 1})
    assert taken.headers["x-request-id"]


async def test_a_repeat_under_its_key_does_nothing_more_and_is_answered_the_same(bench: Bench) -> None:
    first = await _post(bench, "/v1/keys", WANTED, "k-1")
    again = await _post(bench, "/v1/keys", WANTED, "k-1")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len((await bench.get("/v1/keys"))["items"]) == 1
    revoked = [await _post(bench, f"/v1/keys/{first.json()['id']}/revoke", None, "k-2") for _ in range(2)]
    assert [(each.status_code, each.content) for each in revoked] == [(204, b"")] * 2


async def test_repeats_at_once_do_one_thing(bench: Bench) -> None:
    answers = await asyncio.gather(*(_post(bench, "/v1/keys", WANTED, "k-1") for _ in range(5)))
    assert len({answer.json()["key"] for answer in answers}) == 1
    assert len((await bench.get("/v1/keys"))["items"]) == 1


async def test_a_key_sent_with_another_request_is_refused(bench: Bench) -> None:
    await _post(bench, "/v1/keys", WANTED, "k-1")
    for path, body in (("/v1/keys", {"name": "other", "scopes": ["read"]}), ("/v1/recipes/two-steps/pause", None)):
        refused = await _post(bench, path, body, "k-1")
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert not (await bench.get("/v1/recipes/two-steps"))["paused"]


async def test_a_request_that_did_nothing_leaves_its_key_free(bench: Bench) -> None:
    assert (await _post(bench, "/v1/keys", {"name": "x", "scopes": []}, "k-1")).status_code == 422
    assert (await _post(bench, "/v1/keys", WANTED, "k-1")).status_code == 201
    assert (await _post(bench, f"/v1/runs/{new_id()}/retry", None, "k-2")).status_code == 404
    assert (await _post(bench, "/v1/recipes/two-steps/pause", None, "k-2")).status_code == 200
    assert (await _post(bench, "/v1/recipes/two-steps/pause", None, "x" * 256)).status_code == 400


async def test_keys_of_different_callers_do_not_meet(bench: Bench) -> None:
    made = (await _post(bench, "/v1/keys", {"name": "second", "scopes": ["admin"]}, "k-1")).json()
    mine = await _post(bench, "/v1/keys", WANTED, "k-1", authorization=f"Bearer {made['key']}")
    assert mine.status_code == 201
    await bench.post(f"/v1/keys/{made['id']}/revoke", expect=204)
    await asyncio.sleep(1.1)  # the time for which a key is remembered
    closed = await _post(bench, "/v1/keys", WANTED, "k-1", authorization=f"Bearer {made['key']}")
    assert closed.status_code == 401, "a stored answer is for those who may still ask"


async def test_answers_survive_a_restart_and_are_sealed_at_rest(bench: Bench, tmp_path: Path) -> None:
    first = await _post(bench, "/v1/keys", WANTED, "k-1")
    settings = bench.hub.hub.settings
    app = hub_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client,
    ):
        headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "k-1"}
        assert (await client.post("/v1/keys", json=WANTED, headers=headers)).json() == first.json()
    (stored,) = await bench.hub.rows("select answer from idempotency")
    assert first.json()["key"].encode() not in stored["answer"]


async def test_a_process_that_died_before_its_answer_leaves_no_doubt(bench: Bench) -> None:
    """Where the change was made its audit line says so; where it was not, the repeat makes it."""
    await _post(bench, "/v1/keys", WANTED, "k-done")
    await bench.hub.rows("update idempotency set answer = null, locked_until = clock_timestamp()")
    refused = await _post(bench, "/v1/keys", WANTED, "k-done")
    assert refused.status_code == 409
    assert "/v1/audit" in refused.json()["detail"]
    await _post(bench, "/v1/keys", WANTED, "k-lost")
    undone = "update idempotency set answer = null, locked_until = clock_timestamp(), id = gen_random_uuid()"
    await bench.hub.rows(undone)
    assert (await _post(bench, "/v1/keys", WANTED, "k-lost")).status_code == 201


async def test_a_key_that_asks_too_often_is_told_how_long_to_wait(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    assert settings_for(database_url, redis_url, tmp_path).api_rate == 300
    async with running(database_url, redis_url, tmp_path, api_rate=2) as hub:
        bearer = {"authorization": f"Bearer {KEY}"}
        answers = [await hub.client.get("/v1/keys", headers=bearer) for _ in range(6)]
        assert [answer.status_code for answer in answers[:4]] == [200] * 4
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:3]] == ["3", "2", "1"]
        assert answers[0].headers["ratelimit-limit"] == "4"
        refused = answers[-1]
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many")
        assert refused.headers["retry-after"] == "1"
        assert (await hub.client.get("/healthz")).status_code == 200
