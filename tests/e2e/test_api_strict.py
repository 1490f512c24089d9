"""What an address says is taken at its word, or refused: nothing that a caller meant is passed over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bench import Bench, benched
from tests.support.everyroute import routes


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path, api_rate=100_000) as made:
        yield made


async def test_no_route_passes_over_a_parameter(bench: Bench) -> None:
    """Unknown, misspelt, or given twice: refused before anything is done."""
    for route in routes():
        if route.scope is None:
            continue
        path = route.path.replace("{", "").replace("}", "")
        answer = await bench.api.request(route.method, f"{path}?no-such=1&no-such=2")
        assert answer.status_code == 422, route
        assert {each["field"] for each in answer.json()["errors"]} >= {"query.no-such"}, route
    for query, said in (
        ("State=failed", "perhaps 'state' is meant"),
        ("dry-run=true", "this address takes"),
        ("state=failed&state=done", "is given more than once"),
    ):
        refused = await bench.api.get(f"/v1/runs?{query}")
        assert refused.status_code == 422
        assert said in refused.json()["errors"][0]["detail"]
    before = await bench.hub.one("select count(*) from run")
    event = await bench.order()
    refused = await bench.api.post(f"/v1/events/{event}/replay?dry-run=true")
    assert "perhaps 'dry_run' is meant" in refused.json()["errors"][0]["detail"]
    assert await bench.hub.one("select count(*) from run where replay_of is not null") == before


async def test_a_filter_that_names_what_never_was_is_refused_and_what_once_was_stays_one(bench: Bench) -> None:
    await bench.order()
    for query, said in (
        ("events?connection=shp", "there is no connection 'shp': did you mean 'shop'?"),
        ("events?recipe=two-stepps&state=failed", "there is no recipe 'two-stepps': did you mean 'two-steps'?"),
        ("runs?type=order.payed", "there is no type of events 'order.payed': did you mean 'order.paid'?"),
        ("runs?type=ordr.*&state=failed", "there is no type of events 'ordr.*': did you mean 'order.*'?"),
        ("runs?recipe=zzz", "there is no recipe 'zzz'"),
        ("events/feed?type=ordre.paid", "there is no type of events 'ordre.paid': did you mean 'order.paid'?"),
        ("effects?recipe=two-stepps", "there is no recipe 'two-stepps': did you mean 'two-steps'?"),
        ("webhooks?connection=shp", "there is no connection 'shp': did you mean 'shop'?"),
        ("replays?connection=shp", "there is no connection 'shp': did you mean 'shop'?"),
        ("recipes?type=order.payed", "there is no type of events 'order.payed': did you mean 'order.paid'?"),
        ("effects?action=zzz.charge", "there is no action 'zzz.charge'"),
        ("effects?action=shopfy.tag_order", "there is no action 'shopfy.tag_order': did you mean 'shopify.tag_order'?"),
        ("connections?connector=shopfy", "there is no connector 'shopfy': did you mean 'shopify'?"),
        ("audit?verb=qqq", "there is no verb 'qqq'"),
        ("audit?verb=replai&object=event/*", "there is no verb 'replai': did you mean 'replay'?"),
        ("audit?actor=nobody-here", "there is no actor 'nobody-here'"),
        ("rejected?connection=shp", "there is no connection 'shp': did you mean 'shop'?"),
        ("backtests?recipe=two-stepps", "there is no recipe 'two-stepps': did you mean 'two-steps'?"),
    ):
        refused = await bench.api.get(f"/v1/{query}")
        assert refused.status_code == 422, query
        assert (refused.json()["type"], refused.json()["errors"][0]["detail"]) == ("/problems/unknown-name", said), (
            query
        )
    for fine in ("state=held", "type=refund.created", "type=refund.*", "type=schedule.due", "type=loyalty.earned"):
        assert (await bench.api.get(f"/v1/runs?{fine}")).json()["items"] == [], fine
    was = bench.hub.rows
    await was("update connection set slug = 'gone', removed = true where slug = 'shop'")
    await was("update recipe set name = 'past', removed = true")
    await was("update event set type = 'order.once'")
    for query in ("events?connection=gone&state=held", "events?recipe=past", "runs?recipe=two-steps&state=held",
                  "events?type=order.once&state=held", "events?type=order.on*&state=held"):  # fmt: skip
        assert (await bench.api.get(f"/v1/{query}")).json()["items"] == [], query


async def test_of_thousands_of_unknown_parameters_only_some_are_told(bench: Bench) -> None:
    """Each name that is told is compared with what the address takes: a flood of them would hold everybody else up."""
    for query in ("&".join(f"n{number}=1" for number in range(5000)), "&".join(["state=done"] * 5000)):
        refused = await bench.api.get(f"/v1/runs?{query}")
        assert refused.status_code == 422
        assert 1 <= len(refused.json()["errors"]) <= 20


async def test_a_head_is_answered_as_its_get_and_no_address_ends_in_a_slash(bench: Bench) -> None:
    for path in ("/v1/events", "/v1/recipes", "/healthz", "/openapi.json"):
        head, got = await bench.api.head(path), await bench.api.get(path)
        assert (head.status_code, head.headers["content-type"]) == (200, got.headers["content-type"])
        slashed = await bench.api.get(f"{path}/", follow_redirects=False)
        assert slashed.status_code == 404, "a redirect would carry the key to whatever host was claimed"
        assert "slash" in slashed.json()["detail"]


async def test_a_deed_to_many_that_names_what_never_was_is_refused_and_does_nothing(bench: Bench) -> None:
    await bench.order()
    before = await bench.hub.one("select count(*) from audit")
    for path, body, field in (
        ("runs/cancel", {"recipe": "two-stepps"}, "body.recipe"),
        ("runs/cancel", {"state": "held", "type": "order.payed"}, "body.type"),
        ("runs/cancel?dry_run=true", {"connection": "shp"}, "body.connection"),
        ("replays", {"filter": {"connection": "shp"}}, "body.filter.connection"),
        ("replays", {"filter": {"type": "ordr.*"}}, "body.filter.type"),
        ("replays", {"filter": {"recipe": "two-stepps"}}, "body.filter.recipe"),
        ("replays", {"options": {"recipes": ["two-steps", "two-stepps"]}}, "body.options.recipes"),
        ("webhooks/reprocess", {"state": "unknown", "connection": "shp"}, "body.connection"),
    ):
        refused = await bench.api.post(f"/v1/{path}", json=body)
        assert refused.status_code == 422, (path, body, refused.text)
        assert (refused.json()["type"], refused.json()["errors"][0]["field"]) == ("/problems/unknown-name", field)
    event = await bench.hub.one("select id from event limit 1")
    refused = await bench.api.post(f"/v1/events/{event}/replay", json={"recipes": ["two-steps", "two-stepps"]})
    assert "did you mean 'two-steps'?" in refused.json()["errors"][0]["detail"]
    assert await bench.hub.one("select count(*) from audit") == before
