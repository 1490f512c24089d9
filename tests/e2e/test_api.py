"""The HTTP API over a whole hub: what it shows, what it lets people do, and what it refuses."""

import base64
import io
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from rich.console import Console

from app.export import export
from app.ids import new_id
from app.settings import Settings
from app.store.migrating import migrate
from app.trace import trace
from app.trace.terminal import render
from tests.support.bench import TWO_STEPS, Bench, benched
from tests.support.routes import DESCRIPTION
from tests.support.services import apart, running_postgres
from tests.support.testconnector import SECRET, TOKEN, payload

OPERATIONS = [
    (method, path, operation)
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
]
KEYED = [
    (method, path, operation["security"][0]["key"][0])
    for method, path, operation in OPERATIONS
    if operation.get("security")
]


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


# --- who may ask ------------------------------------------------------------------------------------------------


def _filled(path: str) -> str:
    known = {"id": new_id(), "name": "two-steps", "slug": "shop", "key": "0" * 32, "number": 1}
    return path.format_map(defaultdict(lambda: "1001", known))


def test_every_route_under_v1_takes_a_key() -> None:
    open_paths = {path for _, path, operation in OPERATIONS if not operation.get("security")}
    assert open_paths == {"/healthz", "/readyz", "/metrics", "/v1/oauth/callback"}


async def test_every_route_refuses_no_key_a_wrong_one_and_too_small_a_scope(bench: Bench) -> None:
    scopes = ["read", "replay", "recipes", "connections", "admin"]
    made = {scope: (await bench.post("/v1/keys", {"name": scope, "scopes": [scope]}, 201))["key"] for scope in scopes}
    for method, path, scope in KEYED:
        address = _filled(path)
        for headers in ({"authorization": ""}, {"authorization": "Bearer tw_wrong"}, {"authorization": "Basic eDp5"}):
            refused = await bench.api.request(method, address, headers=headers)
            assert refused.status_code == 401, (method, path, refused.text)
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert refused.headers["content-type"] == "application/problem+json"
        for other in scopes:
            answer = await bench.api.request(method, address, headers={"authorization": f"Bearer {made[other]}"})
            if other in (scope, "admin"):
                assert answer.status_code not in (401, 403), (method, path, other, answer.text)
            else:
                assert answer.status_code == 403, (method, path, other, answer.text)
                assert f'scope="{scope}"' in answer.headers["www-authenticate"]


async def test_a_key_sees_only_its_workspace(bench: Bench) -> None:
    event_id = await bench.order()
    run = await bench.run(event_id)
    await bench.post("/v1/workspaces", {"name": "other"}, 201)
    there = {"Tradewind-Workspace": "other"}
    made = await bench.api.post("/v1/keys", json={"name": "other", "scopes": ["admin"]}, headers=there)
    bearer = {"authorization": f"Bearer {made.json()['key']}"}
    for path in (f"/v1/events/{event_id}", f"/v1/events/{event_id}/raw", f"/v1/runs/{run['id']}", "/v1/trace/%231001",
                 f"/v1/trace/{run['id']}", "/v1/recipes/two-steps", "/v1/connections/shop"):  # fmt: skip
        assert (await bench.api.get(path, headers=bearer)).status_code == 404, path
    for path in (f"/v1/events/{event_id}/replay", f"/v1/runs/{run['id']}/retry", f"/v1/runs/{run['id']}/cancel",
                 "/v1/recipes/two-steps/pause", "/v1/connections/shop/pause"):  # fmt: skip
        assert (await bench.api.post(path, headers=bearer)).status_code == 404, path
    for path in ("/v1/events", "/v1/runs", "/v1/webhooks", "/v1/effects", "/v1/recipes", "/v1/connections"):
        assert (await bench.api.get(path, headers=bearer)).json()["items"] == [], path
    refused = await bench.api.get("/v1/events", headers=bearer | {"Tradewind-Workspace": "main"})
    assert refused.status_code == 403


async def test_keys_are_shown_once_and_can_be_revoked(bench: Bench) -> None:
    made = await bench.post("/v1/keys", {"name": "reporting", "scopes": ["read"]}, 201)
    listed = (await bench.get("/v1/keys"))["items"]
    assert [key["name"] for key in listed] == ["reporting"]
    assert made["key"] not in str(listed)
    await bench.post(f"/v1/keys/{made['id']}/revoke", expect=204)
    assert (await bench.get("/v1/keys"))["items"][0]["revoked_at"] is not None
    await bench.post(f"/v1/keys/{new_id()}/revoke", expect=404)
    assert "tw_" not in str(await bench.hub.rows("select * from audit")).replace(made["key"][:11], "")
    past = await bench.post("/v1/keys", {"name": "late", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, 422)
    assert past["errors"] == [{"field": "body.expires_at", "detail": "is in the past"}]
    await bench.post("/v1/keys", {"name": "typo", "scopes": ["read"], "connection": ["shop"]}, 422)


# --- problems ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("DELETE", "/v1/events", 405, "method-not-allowed"),
        ("GET", "/v1/events?limit=0", 422, "invalid"),
        ("GET", "/v1/events?cursor=nonsense", 400, "malformed"),
        ("GET", "/v1/events?q=%00", 400, "malformed"),
        ("GET", "/v1/events?since=2026-01-01T00:00:00", 422, "invalid"),
        ("GET", "/v1/events/not-an-id", 422, "invalid"),
        ("GET", "/v1/events/ffffffff-ffff-7fff-bfff-ffffffffffff", 422, "invalid"),
        ("GET", "/v1/runs/00000000-0000-7000-8000-000000000000", 404, "not-found"),
        ("GET", "/v1/trace/%00", 404, "not-found"),
        ("POST", "/v1/effects/zz/answer", 422, "invalid"),
    ],
)
async def test_every_error_is_a_problem_document(bench: Bench, method: str, path: str, status: int, name: str) -> None:
    answer = await bench.api.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"] == f"/problems/{name}"
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]


async def test_an_invalid_request_is_told_where_and_never_repeated(bench: Bench) -> None:
    said = await bench.post("/v1/keys", {"name": "x", "scopes": ["hush-hush"]}, 422)
    assert said["errors"][0]["field"] == "body.scopes.0"
    assert "hush-hush" not in str(said)


LATE, EARLY = "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"
NASTY = [
    *(
        "",
        " ",
        "\x00",
        "%",
        "'; drop table event; --",
        "\U0001f600",
        "a" * 5000,
        "-1",
        "1e400",
        "null",
        "../../etc",
        "*",
    ),
    *("\\", LATE, EARLY, "A" * 22, "\u202e"),
]
BODIES: list[Any] = [
    None,
    [],
    {},
    {"answer": "happened", "output": {"id": "\x00"}},
    {"recipes": ["\x00"], "redo": ["\ud800"]},
    {"redo": ["x" * 100_000]},
    {"name": "\ud800", "scopes": ["read"]},
    {"name": "\x00", "scopes": ["read"]},
    {"name": "x", "scopes": ["read"], "expires_at": LATE},
    {"name": "x", "scopes": ["read"], "expires_at": EARLY},
]


async def test_nothing_that_is_asked_makes_the_hub_stumble(bench: Bench) -> None:
    """Each path by every value, each parameter by a third of them, another third from one to the next."""
    await bench.order()
    asked = 0
    third = count()
    for method, path, operation in OPERATIONS:
        named = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        inside = re.findall(r"{(\w+)", path)
        asking: list[tuple[str, dict[str, str]]] = []
        asking += [(path.format_map(dict.fromkeys(inside, quote(nasty, safe=""))), {}) for nasty in NASTY if inside]
        asking += [(_filled(path), {name: nasty}) for name in named for nasty in NASTY[next(third) % 3 :: 3]]
        for address, params in asking:
            answer = await bench.api.request(method, address, params=params)
            assert answer.status_code < 500, (method, address, params, answer.text)
            asked += 1
        for body in BODIES if method == "post" and "{name}" not in path and "{slug}" not in path else []:
            sent = json.dumps(body).encode()
            answer = await bench.api.post(_filled(path), content=sent, headers={"content-type": "application/json"})
            assert answer.status_code < 500, (path, body, answer.text)
            asked += 1
    assert asked > 1000


# --- lists ------------------------------------------------------------------------------------------------------


async def test_pages_of_a_list_hold_every_row_once(bench: Bench) -> None:
    for number in range(7):
        await bench.hub.send("shop", "order.paid", payload(number))
    await bench.work()
    for path in ("/v1/events", "/v1/runs", "/v1/webhooks", "/v1/effects"):
        whole = [row.get("id") or row["key"] for row in (await bench.get(path, limit=200))["items"]]
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await bench.get(path, limit=3, **cursor)
            seen += [row.get("id") or row["key"] for row in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert seen == whole, path
        assert len(seen) == len(set(seen)) >= 7, path


async def test_events_are_found_by_what_people_know_of_them(bench: Bench) -> None:
    first, second = await bench.order(1001), await bench.order("small", "0.50")

    async def ids(**wanted: Any) -> list[str]:
        items = (await bench.get("/v1/events", **{"type": "order.paid", **wanted}))["items"]
        return [event["id"] for event in items]

    for found in ({"q": "1001"}, {"q": "#1001"}, {"q": "BUYER-1001@example.com"}, {"recipe": "two-steps"},
                  {"state": "done"}):  # fmt: skip
        assert await ids(**found) == [first], found
    assert await ids(type="order.paid") == await ids(type="order.*") == await ids(connection="shop") == [second, first]
    for nothing in ({"q": "1002"}, {"type": "order.created"}, {"state": "failed"},
                    {"test": True}, {"until": "2020-01-01T00:00:00Z"}, {"since": "2099-01-01T00:00:00Z"}):  # fmt: skip
        assert await ids(**nothing) == [], nothing


async def test_runs_are_found_by_state_recipe_and_error(bench: Bench) -> None:
    bench.outside.statuses["/unsafe"] = [422]
    failed = await bench.order(1)
    await bench.order(2)

    async def events(**wanted: Any) -> list[str]:
        return [run["event_id"] for run in (await bench.get("/v1/runs", **wanted))["items"]]

    for found in ({"state": "failed"}, {"q": "answered 422"}, {"q": "#1"}, {"event": failed}):
        assert await events(**found) == [failed], found
    assert len(await events(recipe="two-steps")) == len(await events(type="order.paid", connection="shop")) == 2
    assert await events(q="100%") == []
    assert (await bench.get("/v1/runs", expect=422, recipe="other"))["type"] == "/problems/unknown-name"
    assert [event["id"] for event in (await bench.get("/v1/events", q="answered 42"))["items"]] == [failed]


async def test_webhooks_that_made_nothing_are_kept_and_shown(bench: Bench) -> None:
    await bench.hub.send("shop", "no.such.topic", {"x": 1})
    await bench.hub.send("shop", "order.paid", b"not json \xff")
    await bench.hub.send("shop", "ping", {})
    await bench.work()
    for state, topic in (("unknown", "no.such.topic"), ("malformed", "order.paid"), ("ignored", "ping")):
        items = (await bench.get("/v1/webhooks", state=state))["items"]
        assert [item["topic"] for item in items] == [topic]
        assert items[0]["reason"]
    malformed = (await bench.get("/v1/webhooks", state="malformed"))["items"][0]
    raw = await bench.get(f"/v1/events/{malformed['id']}/raw")
    assert raw["encoding"] == "base64"
    assert base64.b64decode(raw["body"]) == b"not json \xff"


async def test_refused_webhooks_are_listed(bench: Bench) -> None:
    assert (await bench.api.post("/webhooks/shop", content=b"{}")).status_code == 401
    assert (await bench.api.post("/webhooks/nowhere", content=b"{}")).status_code == 404
    items: list[dict[str, object]] = []
    while len(items) < 2:
        items = (await bench.get("/v1/rejected"))["items"]
    assert {(item["slug"], item["status"]) for item in items} == {("shop", 401), ("nowhere", 404)}
    assert [item["slug"] for item in (await bench.get("/v1/rejected", status=401))["items"]] == ["shop"]


# --- one thing in full ------------------------------------------------------------------------------------------


async def test_an_event_says_why_each_recipe_ran_or_not(bench: Bench) -> None:
    await bench.recipe("big-orders", TWO_STEPS.replace("> 1", "> 1000"))
    event_id = await bench.order()
    event = await bench.get(f"/v1/events/{event_id}")
    said = {decision["recipe"]: decision for decision in event["decisions"]}
    assert said["two-steps"]["run_id"] == event["runs"][0]["id"]
    assert not said["big-orders"]["ran"]
    assert said["big-orders"]["reason"].startswith("where is false")
    assert event["data"]["order"]["number"] == "#1001"
    assert event["subject"] == {"kind": "order", "id": "1001"}
    raw = await bench.get(f"/v1/events/{event_id}/raw")
    assert orjson.loads(raw["body"]) == payload(1001, "10.00")
    assert raw["headers"]["x-testbench-topic"] == "order.paid"


async def test_a_run_shows_its_steps_calls_attempts_and_effects(bench: Bench) -> None:
    bench.outside.statuses["/native"] = [429]
    run = await bench.run(await bench.order())
    shown = await bench.get(f"/v1/runs/{run['id']}")
    assert [step["path"] for step in shown["steps"]] == ["first", "second"]
    call = shown["steps"][0]["calls"][0]
    assert [(attempt["status"], attempt["state"]) for attempt in call["attempts"]] == [(429, "retryable"), (200, "ok")]
    assert all(attempt["duration_ms"] is not None for attempt in call["attempts"])
    assert call["effect"]["state"] == "done"
    assert call["output"]["id"] == "1001"
    assert shown["state"] == "done"


@pytest.mark.shows_secrets("the table recipe_version", "the table webhook", "the table call")
async def test_secrets_are_never_shown(bench: Bench) -> None:
    """Not even those that a merchant wrote into a recipe, and a sender into a body; both are kept as they came."""
    bench.outside.statuses["/unsafe"] = [422]
    await bench.recipe("leaky", TWO_STEPS.replace('"{{ order.id }}"', f'"{{{{ order.id }}}}-{TOKEN}"'))
    event_id = await bench.order(1, note=SECRET)
    run = await bench.run(event_id, "leaky")
    shown = [await bench.get(path) for path in ("/v1/connections", "/v1/connections/shop", f"/v1/runs/{run['id']}",
             f"/v1/events/{event_id}", f"/v1/events/{event_id}/raw", f"/v1/trace/{run['id']}")]  # fmt: skip
    assert TOKEN not in str(shown)
    assert SECRET not in str(shown)
    assert "•••" in str(shown[2])
    assert shown[4]["redacted"]
    assert shown[0]["items"][0]["settings"] == {"account": "bench", "url": "https://testbench.invalid"}


async def test_the_catalogue_tells_schemas_and_marks_secrets(bench: Bench) -> None:
    listed = {item["slug"] for item in (await bench.get("/v1/connectors"))["items"]}
    assert {"testbench", "shopify", "slack"} <= listed
    for slug in listed:
        detail = await bench.get(f"/v1/connectors/{slug}")
        assert all(action["input"]["type"] == "object" for action in detail["details"])
    testbench = await bench.get("/v1/connectors/testbench")
    assert testbench["settings"]["properties"]["token"]["writeOnly"]
    assert testbench["topics"] == ["order.cancelled", "order.created", "order.paid", "order.updated"]
    await bench.get("/v1/connectors/nothing", 404)


# --- stopping the flow ------------------------------------------------------------------------------------------


async def test_a_paused_recipe_holds_its_runs_until_it_is_resumed(bench: Bench) -> None:
    assert (await bench.post("/v1/recipes/two-steps/pause"))["paused"]
    await bench.refresh()
    event_id = await bench.order()
    assert (await bench.run(event_id))["state"] == "held"
    assert bench.outside.asked == []
    assert await bench.post("/v1/recipes/two-steps/resume") == {
        "name": "two-steps", "enabled": True, "paused": False, "released": 1}  # fmt: skip
    await bench.refresh()
    await bench.work()
    assert (await bench.run(event_id))["state"] == "done"
    assert len(bench.outside.asked) == 2


async def test_a_disabled_recipe_makes_no_runs(bench: Bench) -> None:
    assert not (await bench.post("/v1/recipes/two-steps/disable"))["enabled"]
    await bench.refresh()
    event = await bench.get(f"/v1/events/{await bench.order()}")
    assert event["runs"] == []
    assert [decision["reason"] for decision in event["decisions"]] == ["disabled"]
    assert (await bench.post("/v1/recipes/two-steps/enable"))["enabled"]


async def test_what_a_file_disables_the_api_does_not_enable(bench: Bench) -> None:
    await bench.hub.recipe("asleep", TWO_STEPS + "enabled: false\n")
    await bench.post("/v1/recipes/two-steps/enable")
    said = await bench.post("/v1/recipes/asleep/enable", expect=409)
    assert "enabled: false" in said["detail"]
    assert (await bench.get("/v1/recipes/asleep"))["enabled"] is False


async def test_a_paused_connection_sends_nothing_until_it_is_resumed(bench: Bench) -> None:
    assert (await bench.post("/v1/connections/shop/pause"))["paused"]
    await bench.hub.send("shop", "order.paid", payload(1001))
    while await bench.hub.normaliser.drain() or await bench.hub.runner.drain():
        pass
    await bench.hub.delivery.poll()
    shown = await bench.get("/v1/connections/shop")
    assert (shown["lane"]["due"], bench.outside.asked) == (1, [])
    assert not (await bench.post("/v1/connections/shop/resume"))["paused"]
    await bench.refresh()
    await bench.work()
    assert len(bench.outside.asked) == 2


async def test_recipes_are_shown_with_source_and_versions(bench: Bench) -> None:
    await bench.recipe("two-steps", TWO_STEPS.replace("> 1", "> 2"))
    detail = await bench.get("/v1/recipes/two-steps")
    assert detail["version"] == 2
    assert [version["number"] for version in detail["versions"]] == [2, 1]
    assert detail["on"] == ["order.paid"]
    assert "> 2" in detail["source"]
    assert detail["usable"]
    await bench.get("/v1/recipes/nothing", 404)
    await bench.post("/v1/recipes/nothing/pause", expect=404)


# --- traces -----------------------------------------------------------------------------------------------------


async def test_one_trace_is_found_by_every_name_and_id_of_it(bench: Bench) -> None:
    event_id = await bench.order()
    event = await bench.get(f"/v1/events/{event_id}")
    run = event["runs"][0]
    step = run["steps"][0]
    call = step["calls"][0]
    headers = (await bench.get(f"/v1/events/{event_id}/raw"))["headers"]
    names = {
        "name": ["1001", "#1001", "Buyer-1001@example.com", "gid://shop/Order/1001", "https://shop.example/o/1001/"],
        "webhook": [event["webhook_id"], headers["x-testbench-delivery"]],
        "event": [event_id],
        "run": [run["id"]],
        "step": [step["id"]],
        "call": [call["id"]],
        "attempt": [call["attempts"][0]["id"]],
        "effect": [call["effect"]["key"]],
    }
    for kind, asked in names.items():
        for name in asked:
            found = await bench.get(f"/v1/trace/{name.replace('#', '%23')}")
            assert found["kind"] == kind
            (way,) = found["ways"]
            assert way["webhook"]["id"] == event["webhook_id"], kind
            (each,) = [each for each in way["events"] if each["event"]["type"] == "order.paid"]
            assert each["event"]["id"] == event_id, kind
            assert each["runs"] == event["runs"], kind
    await bench.get("/v1/trace/1002", 404)
    await bench.get(f"/v1/trace/{new_id()}", 404)


async def test_a_trace_says_when_what_it_points_to_expired(bench: Bench) -> None:
    event_id = await bench.order()
    run = await bench.run(event_id)
    call = run["steps"][0]["calls"][0]
    await bench.hub.rows("delete from webhook")
    found = await bench.get(f"/v1/trace/{event_id}")
    assert found["ways"][0]["webhook"] is None
    assert found["ways"][0]["gone"]["kind"] == "webhook"
    assert found["ways"][0]["gone"]["expired_on"] > "2026"
    await bench.hub.rows("delete from event")
    found = await bench.get(f"/v1/trace/{run['id']}")
    assert found["gone"][0]["kind"] == "event"
    assert found["ways"][0]["events"][0]["runs"][0]["id"] == run["id"]
    await bench.hub.rows("delete from call")
    found = await bench.get(f"/v1/trace/{call['effect']['key']}")
    assert found["effects"][0]["state"] == "done"
    assert (found["gone"][0]["kind"], found["gone"][0]["id"]) == ("call", call["id"])
    shown = await trace(bench.hub.hub.database, "main", call["effect"]["key"], settings=Settings())
    assert "expired on 20" in _printed(shown)


async def test_a_printed_trace_reads_from_webhook_to_effect(bench: Bench) -> None:
    await bench.recipe("big-orders", TWO_STEPS.replace("> 1", "> 1000"))
    bench.outside.statuses["/native"] = [429]
    bench.outside.statuses["/unsafe"] = [422]
    await bench.order()
    text = _printed(await trace(bench.hub.hub.database, "main", "#1001"))
    wanted = ["✓ webhook order.paid", "● event order.paid #1001", "– big-orders did not run", "where is false",
              "✗ run two-steps", "✓ first", "✓ testbench.make_native", "↻ attempt 1", "429", "✓ attempt 2", "✓ effect",
              "✗ second", "✗ attempt 1", "422", "as told: 422", "– effect"]  # fmt: skip
    at = -1
    for piece in wanted:
        found = text.find(piece, at + 1)
        assert found > at, f"{piece!r} is not where it should be in:\n{text}"
        at = found
    assert "Nothing is known of 'nobody'" in _printed(await trace(bench.hub.hub.database, "main", "nobody"))


def _printed(shown: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(render(shown))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- the description --------------------------------------------------------------------------------------------


def test_the_exported_files_are_up_to_date() -> None:
    assert export(check=True) == [], "run `make openapi`"


def test_exporting_writes_what_the_check_compares(tmp_path: Path) -> None:
    assert export(tmp_path, check=True) == sorted(export(tmp_path), key=lambda name: name != "openapi.json")
    assert export(tmp_path, check=True) == []


def test_every_operation_is_described() -> None:
    assert DESCRIPTION["openapi"].startswith("3.1")
    assert DESCRIPTION["webhooks"]["inbound"]["post"]["responses"]["401"]
    assert DESCRIPTION["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    for method, path, operation in OPERATIONS:
        assert operation["summary"], path
        assert operation["tags"], path
        if operation.get("security"):
            problem = operation["responses"]["401"]["content"]
            assert list(problem) == ["application/problem+json"], (method, path)
            succeeded = operation["responses"].get("201") or operation["responses"].get("200")
            if succeeded:
                assert succeeded["content"]["application/json"]["schema"], (method, path)


async def test_health_needs_no_key(bench: Bench) -> None:
    key = bench.api.headers.pop("authorization")
    assert await bench.get("/healthz") == {"status": "ok"}
    assert await bench.get("/readyz") == {"status": "ready"}
    metrics = (await bench.api.get("/metrics")).text
    assert 'tradewind_due{stage="call"} 0.0' in metrics
    assert "shop" not in metrics, "nobody learns which connections there are"
    wrong = (await bench.api.get("/metrics", headers={"authorization": "Bearer tw_wrong"})).text
    known = (await bench.api.get("/metrics", headers={"authorization": key})).text
    assert 'tradewind_lane_open{connection="shop"} 1.0' in known
    assert "shop" not in wrong


async def test_while_the_database_is_away_the_api_says_so_and_when_to_ask_again(redis_url: str, tmp_path: Path) -> None:
    with running_postgres() as server:
        apart(lambda: migrate(server.url))
        async with benched(server.url, redis_url, tmp_path) as bench:
            made = await bench.post("/v1/keys", {"name": "x", "scopes": ["read"]}, 201)
            server.stop()
            for key in (None, made["key"]):
                headers = {"authorization": f"Bearer {key}"} if key else {}
                for path in ("/v1/events", "/v1/keys" if key is None else "/v1/runs"):
                    away = await bench.api.get(path, headers=headers)
                    assert (away.status_code, away.headers["retry-after"]) == (503, "5"), away.text
                    assert away.json()["type"] == "/problems/unavailable"
            assert (await bench.api.get("/readyz")).status_code == 503
            assert (await bench.api.get("/healthz")).status_code == 200
            assert (await bench.api.get("/metrics")).status_code == 200


async def test_a_body_that_is_sent_as_a_form_is_told_which_header_it_lacks(bench: Bench) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}  # what curl sends unless it is told
    answer = await bench.api.post("/v1/keys", content=b'{"name": "a", "scopes": ["read"]}', headers=form)
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["field"]) == (422, "body")
    assert "Content-Type: application/json" in fault["detail"]
