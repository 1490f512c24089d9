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
