"""What the API lets people set up: recipes, connections, workspaces; and the events that others push."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.pushed import PushedEvent
from tests.support.bench import TWO_STEPS, Bench, benched
from tests.support.serving import serving

ORDER: dict[str, Any] = PushedEvent.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload,assignment]
SECOND = TWO_STEPS.replace("> 1", "> 2")


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def _put(bench: Bench, path: str, body: Any, expect: int = 200, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await bench.api.put(path, json=body, headers=named)
    assert answer.status_code == expect, answer.text
    return answer.json()


# --- recipes ----------------------------------------------------------------------------------------------------


async def test_a_recipe_is_written_runs_and_gets_a_version_for_each_change(bench: Bench) -> None:
    made = await _put(bench, "/v1/recipes/mine", {"source": TWO_STEPS})
    assert (made["version"], made["changed"], made["warnings"]) == (1, True, [])
    assert not (await _put(bench, "/v1/recipes/mine", {"source": TWO_STEPS}))["changed"]
    await _put(bench, "/v1/recipes/mine", {"source": SECOND})
    await bench.refresh()
    run = await bench.run(await bench.order(), "mine")
    assert (run["state"], run["version"]) == ("done", 2)
    assert [each["number"] for each in (await bench.get("/v1/recipes/mine/versions"))["items"]] == [2, 1]
    assert (await bench.get("/v1/recipes/mine/versions/1"))["source"] == TWO_STEPS
    diff = (await bench.get("/v1/recipes/mine/diff"))["diff"].splitlines()
    assert [line for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-where: order.total.amount > 1",
        "+where: order.total.amount > 2",
    ]
    assert (await bench.api.delete("/v1/recipes/mine")).status_code == 204
    await bench.get("/v1/recipes/mine", 404)
    await bench.refresh()
    event = await bench.get(f"/v1/events/{await bench.order(1002)}")
    assert "mine" not in [run["recipe"] for run in event["runs"]]


async def test_a_recipe_with_faults_is_refused_with_each_place(bench: Bench) -> None:
    broken = TWO_STEPS.replace("order.paid", "order.payed")
    said = await _put(bench, "/v1/recipes/mine", {"source": broken}, 422)
    assert said["errors"][0]["field"].startswith("body.source:3:")
    assert "order.payed" in said["errors"][0]["detail"]
    checked = await bench.post("/v1/recipes/check", {"name": "mine", "source": broken})
    assert (checked["usable"], checked["problems"][0]["line"]) == (False, 3)
    assert (await bench.post("/v1/recipes/check", {"name": "mine", "source": TWO_STEPS}))["usable"]
    unknown = await bench.post("/v1/recipes/check", {"name": "mine", "source": "title: x\non: order.paid\nsteps:\n"
                               "  - use: slack.post_message\n    with: {text: x}\n"})  # fmt: skip
    assert [each["severity"] for each in unknown["problems"]] == ["warning"], "nothing is connected to slack here"


async def _known(bench: Bench, path: str, tag: str) -> int:
    """The status of a GET by one who knows the answer of that tag."""
    answer = await bench.api.get(path, headers={"if-none-match": tag})
    assert answer.status_code == 200 or (answer.content == b"" and answer.headers["etag"])
    return answer.status_code


async def test_who_changes_a_recipe_overwrites_nothing_unseen(bench: Bench) -> None:
    await _put(bench, "/v1/recipes/mine", {"source": TWO_STEPS}, if_none_match="*")
    await _put(bench, "/v1/recipes/mine", {"source": SECOND}, 412, if_none_match="*")
    seen = (await bench.api.get("/v1/recipes/mine")).headers["etag"]
    await bench.post("/v1/recipes/mine/pause")
    said = await _put(bench, "/v1/recipes/mine", {"source": SECOND}, 412, if_match=seen)
    assert said["type"] == "/problems/changed-meanwhile"
    now = (await bench.api.get("/v1/recipes/mine")).headers["etag"]
    assert [await _known(bench, "/v1/recipes/mine", f'"other", W/{each}') for each in (now, seen)] == [304, 200]
    put = await bench.api.put("/v1/recipes/mine", json={"source": SECOND}, headers={"if-match": now})
    got = await bench.api.get("/v1/recipes/mine")
    assert (put.status_code, got.headers["etag"].startswith(put.headers["etag"][:-1])) == (200, True)
    assert (await bench.api.delete("/v1/recipes/mine", headers={"if-match": seen})).status_code == 412


async def test_of_many_who_make_the_same_thing_one_does(bench: Bench) -> None:
    only_new = {"if-none-match": "*"}
    recipes = [{"source": TWO_STEPS.replace("> 1", f"> {number}")} for number in range(4)]
    tills = [{"connector": "events", "settings": {"name": f"till {number}"}} for number in range(4)]
    for path, bodies, made in (("/v1/recipes/race", recipes, 200), ("/v1/connections/race", tills, 201)):
        answers = await asyncio.gather(*(bench.api.put(path, json=each, headers=only_new) for each in bodies))
        assert sorted(each.status_code for each in answers) == [made, 412, 412, 412], path


async def test_inputs_are_set_and_checked(bench: Bench) -> None:
    source = TWO_STEPS + "inputs:\n  days: {type: integer, default: 3, description: Days}\n"
    await _put(bench, "/v1/recipes/mine", {"source": source, "inputs": {"days": 5}})
    assert (await bench.get("/v1/recipes/mine"))["inputs"] == {"days": 5}
    await _put(bench, "/v1/recipes/mine", {"source": source.replace("> 1", "> 2")})
    assert (await bench.get("/v1/recipes/mine"))["inputs"] == {"days": 5}
    for wrong in ({"days": "soon"}, {"weeks": 1}):
        await _put(bench, "/v1/recipes/mine", {"source": source, "inputs": wrong}, 422)


async def test_test_cases_run_against_a_text_before_it_is_trusted(bench: Bench) -> None:
    cases = (
        "events:\n  paid: {type: order.paid, data: {order: {id: '7', totals: {total: {amount: 5, currency: EUR}}}}}\n"
    )
    cases += "cases:\n  - name: both\n    when: paid\n    expect: {calls: [{use: testbench.make_native}]}\n"
    told = await bench.post("/v1/recipes/two-steps/test", {"tests": cases, "source": TWO_STEPS})
    assert not told["passed"]
    assert "make_unsafe" in str(told["results"][0]["differences"])
    there = await bench.post("/v1/recipes/two-steps/test", {"tests": "cases: 7"})
    assert there["problems"]
    outside = cases.replace("when: paid", "when: {webhook: shopify/../../../../../../etc/passwd}")
    assert "root:" not in str(await bench.post("/v1/recipes/two-steps/test", {"tests": outside}))


async def test_what_a_folder_owns_the_api_does_not_change(bench: Bench) -> None:
    await bench.hub.rows("update recipe set origin = 'folder:/shop/recipes', updated_at = clock_timestamp()")
    said = await _put(bench, "/v1/recipes/two-steps", {"source": SECOND}, 409)
    assert "/shop/recipes" in said["detail"]
    assert (await bench.api.delete("/v1/recipes/two-steps")).status_code == 409


# --- connections ------------------------------------------------------------------------------------------------

SETTINGS = {
    "account": "second",
    "url": "https://second.invalid",
    "webhook_secrets": ["a-webhook-secret"],
    "token": "a-token-1",
}


async def test_a_connection_is_made_changed_and_removed_and_keeps_its_secrets(bench: Bench) -> None:
    made = await _put(bench, "/v1/connections/more", {"connector": "testbench", "settings": SETTINGS}, 201)
    assert made["settings"] == {"account": "second", "url": "https://second.invalid"}
    assert made["origin"] == "api"
    changed = {"account": "second", "url": "https://third.invalid"}
    again = await _put(bench, "/v1/connections/more", {"connector": "testbench", "settings": changed})
    assert (again["id"], again["settings"]["url"]) == (made["id"], "https://third.invalid")
    await bench.refresh()
    known = bench.hub.hub.connections.find("main", "more")
    assert known is not None
    assert known.settings.token.get_secret_value() == "a-token-1"  # type: ignore[attr-defined]
    assert (await bench.api.delete("/v1/connections/more")).status_code == 204
    await bench.get("/v1/connections/more", 404)
    back = await _put(bench, "/v1/connections/again", {"connector": "testbench", "settings": SETTINGS}, 201)
    assert back["id"] == made["id"], "the permanent id belongs to the account"


async def test_settings_that_do_not_fit_are_named_and_never_repeated(bench: Bench) -> None:
    for settings, field in (({"account": "x", "hush": "s3cret"}, "body.settings.hush"),
                            ({"account": {"s3cret": 1}}, "body.settings.account")):  # fmt: skip
        said = await _put(bench, "/v1/connections/more", {"connector": "testbench", "settings": settings}, 422)
        assert field in [each["field"] for each in said["errors"]]
        assert "s3cret" not in str(said)
    await _put(bench, "/v1/connections/more", {"connector": "no-such", "settings": {}}, 422)
    taken = {"connector": "testbench", "settings": {**SETTINGS, "account": "bench"}, "as": "shop"}
    assert "same" in (await _put(bench, "/v1/connections/more", taken, 409))["detail"]


async def test_who_changes_a_connection_overwrites_nothing_unseen(bench: Bench) -> None:
    seen = (await bench.api.get("/v1/connections/shop")).headers["etag"]
    assert (await _known(bench, "/v1/connections/shop", seen), await _known(bench, "/v1/connections/shop", "*")) == (
        304,
        304,
    )
    await bench.hub.rows("insert into lane (connection_id, state, parked_at) select id, 'parked', now() from connection"
                         " on conflict (connection_id) do update set state = 'parked'")  # fmt: skip
    assert await _known(bench, "/v1/connections/shop", seen) == 200, "how its lane does is news"
    body = {"connector": "testbench", "settings": {"account": "bench"}, "as": "shop", "role": "shop"}
    await _put(bench, "/v1/connections/shop", body, 200, if_match=seen)
    seen = (await bench.api.get("/v1/connections/shop")).headers["etag"]
    await bench.post("/v1/connections/shop/pause")
    body = {"connector": "testbench", "settings": {"account": "bench"}, "as": "shop"}
    await _put(bench, "/v1/connections/shop", body, 412, if_match=seen)
    await bench.hub.rows("update connection set origin = 'file:/shop/connections.yaml'")
    assert "/shop/connections.yaml" in (await _put(bench, "/v1/connections/shop", body, 409))["detail"]


async def test_only_an_admin_may_lead_requests_elsewhere(bench: Bench) -> None:
    made = await bench.post("/v1/keys", {"name": "keeper", "scopes": ["connections"]}, 201)
    bearer = {"authorization": f"Bearer {made['key']}"}
    body = {"connector": "testbench", "settings": SETTINGS, "base_url": "http://127.0.0.1:1"}
    assert (await bench.api.put("/v1/connections/more", json=body, headers=bearer)).status_code == 403
    await _put(bench, "/v1/connections/more", body, 201)


async def test_the_health_of_a_connection_says_what_is_wrong(bench: Bench) -> None:
    well = await bench.get("/v1/connections/shop/health")
    assert (well["verdict"], well["reasons"], well["last_webhook_at"]) == ("ok", [], None)
    bench.outside.statuses["/unsafe"] = [500]
    await bench.order()
    ill = await bench.get("/v1/connections/shop/health")
    assert (ill["verdict"], ill["uncertain"]) == ("degraded", 1)
    assert ill["last_webhook_at"]
    await bench.post("/v1/connections/shop/pause")
    assert (await bench.get("/v1/connections/shop/health"))["verdict"] == "paused"
    await bench.hub.rows("update connection set problem = 'the token is refused'")
    assert "the token is refused" in (await bench.get("/v1/connections/shop/health"))["reasons"]
    proof = await bench.post("/v1/connections/shop/test")
    assert proof["works"]


async def test_a_person_authorises_a_connection_and_its_tokens_are_kept_sealed(bench: Bench) -> None:
    asked: list[dict[str, list[str]]] = []

    async def token(request: Request) -> Response:
        asked.append(parse_qs((await request.body()).decode()))
        return JSONResponse({"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 3600})

    app = Starlette(routes=[Route("/oauth2/v1/tokens/bearer", token, methods=["POST"])])
    async with serving(app) as address:
        settings = {"realm_id": "4620", "client_id": "me", "client_secret": "hush-hush"}
        body = {"connector": "quickbooks", "settings": settings, "base_url": address}
        await _put(bench, "/v1/connections/books", body, 201)
        begun = await bench.post("/v1/connections/books/oauth/start")
        sent = {name: values[0] for name, values in parse_qs(urlsplit(begun["authorize_url"]).query).items()}
        assert begun["authorize_url"].startswith(f"{address}/connect/oauth2?")
        assert (sent["client_id"], sent["redirect_uri"]) == ("me", begun["redirect_uri"])
        back = {"state": sent["state"], "code": "c-1"}
        for wrong in ({**back, "realmId": "other"}, {"state": sent["state"], "error": "access_denied"},
                      {"state": "x" + sent["state"], "code": "c-1"}, {"state": "", "code": "c-1"}):  # fmt: skip
            refused = await bench.api.get("/v1/oauth/callback", params=wrong, headers={"authorization": ""})
            assert refused.status_code == 400, wrong
        assert asked == []
        done = await bench.api.get(
            "/v1/oauth/callback", params={**back, "realmId": "4620"}, headers={"authorization": ""}
        )
        assert done.status_code == 200, done.text
    assert asked[0]["code"] == ["c-1"]
    assert asked[0]["code_verifier"]
    (row,) = await bench.hub.rows("select credentials, credentials_expire_at from connection where slug = 'books'")
    assert b"refresh-1" not in row["credentials"]
    assert row["credentials_expire_at"] is not None
    await bench.post("/v1/connections/shop/oauth/start", expect=409)


# --- pushed events ----------------------------------------------------------------------------------------------


async def test_a_pushed_event_runs_recipes_like_any_other(bench: Bench) -> None:
    taken = await bench.post("/v1/events", ORDER, 202)
    await bench.work()
    trace = await bench.get(f"/v1/trace/{taken['id']}")
    (way,) = trace["ways"]
    (event,) = [each for each in way["events"] if each["event"]["type"] == "order.paid"]
    assert [run["recipe"] for run in event["runs"]] == ["two-steps"]
    found = await bench.get("/v1/events", q="R-1001", type="order.paid")
    assert [each["connection"] for each in found["items"]] == ["events"]
    assert (await bench.get("/v1/connections/events"))["connector"] == "events"
    timeline = (await bench.get("/v1/subjects/order/R-1001/timeline", connection="events"))["items"]
    assert "order.paid" in [moment["type"] for moment in timeline]


async def test_a_fact_that_is_pushed_again_stays_one_event(bench: Bench) -> None:
    first = await bench.post("/v1/events", ORDER, 202, key="k-1")
    assert await bench.post("/v1/events", ORDER, 202, key="k-1") == first
    await bench.post("/v1/events", ORDER, 202, key="k-2")
    await bench.work()
    assert await bench.hub.one("select count(*) from event where type = 'order.paid'") == 1
    assert await bench.hub.one("select count(*) from webhook") == 2
    await bench.hub.rows("update idempotency set answer = null, locked_until = clock_timestamp()")
    assert await bench.post("/v1/events", ORDER, 202, key="k-1") == first, "its process died before the answer"
    assert await bench.hub.one("select count(*) from webhook") == 2


async def test_an_event_that_does_not_fit_its_schema_is_refused_with_the_place(bench: Bench) -> None:
    for change, field in (
        ({"type": "order.payed"}, "body.type"),
        ({"type": "hub.run_failed"}, "body.type"),
        ({"type": "privacy.customer_redacted"}, "body.type"),
        (
            {"data": {"order": {"id": "1", "totals": {"total": {"amount": "x", "currency": "EUR"}}}}},
            "body.data.order.totals",
        ),
        ({"data": {}}, "body.data.order"),
        ({"type": "inventory.changed", "occurred_at": None, "data": {"inventory": {"id": "1"}}}, "body"),
        ({"object": {"kind": "order", "id": ""}}, "body.object.id"),
        ({"occurred_at": "2026-11-22T18:00:00"}, "body.occurred_at"),
        ({"more": 1}, "body.more"),
    ):
        said = await bench.post("/v1/events", {**ORDER, **change}, 422)
        assert any(each["field"].startswith(field) for each in said["errors"]), (change, said)
    assert await bench.hub.one("select count(*) from webhook") == 0


async def test_several_systems_push_beside_each_other(bench: Bench) -> None:
    for name in ("till", "kiosk"):
        body = {"connector": "events", "settings": {"name": name}, "role": "shop"}
        await _put(bench, f"/v1/connections/{name}", body, 201)
    await bench.post("/v1/events", ORDER, 422)
    for name in ("till", "kiosk"):
        assert (await bench.post("/v1/events", ORDER, 202, connection=name))["connection"] == name
    await bench.post("/v1/events", ORDER, 404, connection="shop")
    await bench.work()
    assert await bench.hub.one("select count(*) from event where type = 'order.paid'") == 2
    assert (await bench.api.post("/webhooks/till", json=ORDER)).status_code == 401


# --- workspaces -------------------------------------------------------------------------------------------------


async def test_workspaces_are_made_changed_and_seen_by_their_keys_only(bench: Bench) -> None:
    made = await bench.post("/v1/workspaces", {"name": "second", "timezone": "Europe/Berlin", "currency": "EUR"}, 201)
    assert (made["timezone"], made["locale"]) == ("Europe/Berlin", None)
    await bench.post("/v1/workspaces", {"name": "second"}, 409)
    await bench.post("/v1/workspaces", {"name": "third", "timezone": "Mars/Base"}, 422)
    there = {"Tradewind-Workspace": "second"}
    key = (await bench.api.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}, headers=there)).json()["key"]
    bearer = {"authorization": f"Bearer {key}"}
    listed = (await bench.api.get("/v1/workspaces", headers=bearer)).json()["items"]
    assert [each["name"] for each in listed] == ["second"]
    assert (await bench.api.get("/v1/workspaces/main", headers=bearer)).status_code == 404
    assert (await bench.api.patch("/v1/workspaces/main", json={"locale": "de"}, headers=bearer)).status_code == 404
    assert (await bench.api.post("/v1/workspaces", json={"name": "third"}, headers=bearer)).status_code == 403
    mine = await bench.api.patch("/v1/workspaces/second", json={"locale": "de-DE"}, headers=bearer)
    assert (mine.json()["locale"], mine.json()["currency"]) == ("de-DE", "EUR")
    assert {each["name"] for each in (await bench.get("/v1/workspaces"))["items"]} == {"main", "second"}
    assert (await bench.api.get("/v1/events", headers={"Tradewind-Workspace": "nowhere"})).status_code == 404


async def test_the_audit_log_tells_every_change_by_hand(bench: Bench) -> None:
    await _put(bench, "/v1/recipes/mine", {"source": TWO_STEPS})
    await _put(bench, "/v1/connections/more", {"connector": "testbench", "settings": SETTINGS}, 201)
    await bench.post("/v1/workspaces", {"name": "second"}, 201)
    lines = (await bench.get("/v1/audit", verb="put"))["items"]
    assert [line["object"] for line in lines] == ["connection/more", "recipe/mine"]
    assert [line["actor"] for line in lines] == ["admin", "admin"]
    assert "a-token-1" not in str(lines)
    assert [line["verb"] for line in (await bench.get("/v1/audit", object="recipe/mine"))["items"]] == ["put"]
    made = await bench.api.get("/v1/audit", headers={"Tradewind-Workspace": "second"})
    assert [line["object"] for line in made.json()["items"]] == ["workspace/second"]
