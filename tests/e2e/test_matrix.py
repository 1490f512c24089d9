"""Generated over every route: which scope opens it, that no other workspace's thing is found, what is noted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.ids import new_id
from tests.support.bench import KEY, Bench, benched
from tests.support.everyroute import Route, World, in_order, routes, world_of

SCOPES = ("read", "replay", "recipes", "connections", "admin")
KEYED = [each for each in routes() if each.scope]
CANNOT: dict[str, str] = {
    "POST /v1/connections/{slug}/oauth/start": "the test connection knows no OAuth: refused (409)",
}
"""Changing routes that are not tried here, and why."""


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path, api_rate=100_000) as made:
        yield made


async def key_of(bench: Bench, *scopes: str, workspace: str = "main", connections: list[str] | None = None) -> str:
    wanted = {"name": f"the {'+'.join(scopes)} key", "scopes": list(scopes)}
    if connections:
        wanted["connections"] = connections
    answer = await bench.api.post("/v1/keys", json=wanted, headers={"Tradewind-Workspace": workspace})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def unknown(path: str) -> str:
    """The address of something that is not there: the route is opened, and nothing happens."""
    names = {"name": "no-such", "slug": "no-such", "text": "no-such", "address": "nobody@example.com"}
    return path.format(id=new_id(), key="0" * 32, kind="order", number=7, **names)


async def test_every_route_by_every_scope(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """With requests that are good: the scope alone decides. What may not is refused before anything happens."""
    world = await world_of(bench)
    keys = {scope: await key_of(bench, scope) for scope in SCOPES}
    lines, count = [], Counter[str]()
    for route in KEYED:
        marks = []
        for scope in SCOPES:
            if scope in (route.scope, "admin"):
                nothing = await bench.api.request(
                    route.method, unknown(route.path), headers={"authorization": f"Bearer {keys[scope]}"}
                )
                assert nothing.status_code not in (401, 403), f"{route} is closed to {scope}: {nothing.text}"
                marks.append("opens")
                continue
            answer = await world.ask(route, keys[scope])
            assert answer.status_code == 403, f"{route} opens with {scope}: {answer.status_code} {answer.text}"
            marks.append("-")
        count.update(marks)
        lines.append(f"  {route.method:<6} {route.path:<44}" + "".join(f"{mark:<12}" for mark in marks))
    answer = await world.ask(Route("GET", "/v1/events", "read"), keys["read"])
    assert answer.status_code == 200
    with capsys.disabled():
        head = f"\n  {len(KEYED)} routes x {len(SCOPES)} scopes: {count['opens']} open, {count['-']} refused (403)\n"
        print(head + " " * 53 + "".join(f"{scope:<12}" for scope in SCOPES), *lines, sep="\n")


async def test_no_route_knows_another_workspaces_things(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """By an admin key of the other workspace, and by one that is limited to another connection."""
    world = await world_of(bench)
    await bench.post("/v1/workspaces", {"name": "other"}, 201)
    await bench.hub.connect("elsewhere", bench.hub.hub.registry["testbench"], {"account": "elsewhere"})
    theirs = await key_of(bench, "admin", workspace="other")
    narrow = await key_of(bench, "read", "replay", "connections", connections=["elsewhere"])
    before = await fingerprint(bench)
    tried = Counter[str]()
    for route in KEYED:
        if "{" in route.path and route.path not in GLOBAL:
            if (
                str(route) == "PUT /v1/recipes/{name}"
                or route.path in MAKES
                or str(route) == "PUT /v1/connections/{slug}"
            ):
                continue  # makes one of that name in its own workspace
            answer = await world.ask(route, theirs)
            assert answer.status_code == 404, f"{route}: {answer.status_code} {answer.text[:200]}"
            tried["things of another workspace: 404"] += 1
        elif route.method == "GET" and route.path not in GLOBAL:
            answer = await world.ask(route, theirs)
            assert answer.status_code == 200, f"{route}: {answer.text}"
            assert not holds(answer.text, world), f"{route} shows what is another workspace's"
            tried["lists of another workspace: nothing of ours"] += 1
        answer = await world.ask(route, narrow)
        if route.path not in GLOBAL:
            assert answer.status_code in (403, 404), f"{route} opens with a limited key: {answer.text[:200]}"
            tried["routes by a key limited to another connection: 403 or 404"] += 1
    assert await fingerprint(bench) == before, "somebody changed what is not theirs"
    with capsys.disabled():
        print("\n  " + "; ".join(f"{name} ({number})" for name, number in tried.items()))


MAKES = {"/v1/recipes/check"}
GLOBAL = {
    *("/v1/connectors", "/v1/connectors/{slug}", "/v1/workspaces"),
    *("/v1/templates", "/v1/templates/{name}/preview"),
}
"""What is of all workspaces, or says only one's own."""


def holds(text: str, world: World) -> bool:
    ids = (
        world.event,
        world.failed,
        world.asking,
        *world.waiting,
        world.effect,
        world.replay,
        world.key,
        world.customer,
    )
    return any(each in text for each in ids) or "buyer-100" in text or "two-steps" in text


async def fingerprint(bench: Bench) -> list[tuple[str, str]]:
    """The rows of `main` in every table that an API may change."""
    tables = ("event", "run", "step", "call", "effect", "recipe", "connection", "replay", "customer")
    query = " union all ".join(
        f"select '{table}' as t, md5(string_agg(x::text, '|' order by x::text)) as d from {table} x "
        "where workspace = 'main'"
        for table in tables
    )
    return [(row["t"], row["d"]) for row in await bench.hub.rows(query)]


async def test_a_limited_key_opens_what_is_of_its_connections(bench: Bench) -> None:
    world = await world_of(bench)
    key = await key_of(bench, "read", "replay", "connections", connections=["shop"])
    bearer = {"authorization": f"Bearer {key}"}
    (listed,) = [each for each in (await bench.get("/v1/keys"))["items"] if each["connections"]]
    assert listed["connections"] == ["shop"]
    for path in (f"/v1/events/{world.event}", f"/v1/runs/{world.asking}", "/v1/connections/shop",
                 "/v1/events?connection=shop", "/v1/runs?connection=shop"):  # fmt: skip
        assert (await bench.api.get(path, headers=bearer)).status_code == 200, path
    for path in ("/v1/events", "/v1/trace/1001", "/v1/effects", "/v1/customers", "/v1/connections", "/v1/recipes"):
        assert (await bench.api.get(path, headers=bearer)).status_code == 403, path
    assert (await world.ask(Route("POST", "/v1/events/{id}/replay", "replay"), key)).status_code == 200
    assert (await bench.api.put("/v1/connections/shop", json={}, headers=bearer)).status_code == 403
    for wrong in ({"scopes": ["admin"]}, {"scopes": ["recipes"]}, {"connections": ["no-such"]}):
        refused = {"name": "x", "scopes": ["read"], "connections": ["shop"], **wrong}
        await bench.post("/v1/keys", refused, 400)


async def test_every_change_over_the_api_is_noted_with_its_key(bench: Bench) -> None:
    """Each changing route once, by a good request; a new route needs its request in tests/support/everyroute.py."""
    world = await world_of(bench)
    key = await key_of(bench, "admin")
    noted = []
    for route in in_order():
        before = await bench.hub.one("select count(*) from audit where actor = 'the admin key'")
        name = str(route)
        answer = await world.ask(route, KEY if name == "POST /v1/workspaces" else key)
        if name in CANNOT:
            assert answer.status_code == 409, f"{name}: {answer.text}"
            continue
        assert answer.status_code < 300, f"{name} is not a good request: {answer.status_code} {answer.text}"
        actor = "admin" if name == "POST /v1/workspaces" else "the admin key"
        after = await bench.hub.one("select count(*) from audit where actor = $1", actor)
        assert after > (0 if actor == "admin" else before), f"{name} left no line in the audit log"
        noted.append(name)
        await asyncio.sleep(0)
    assert len(noted) > 25
    said = str([dict(row) for row in await bench.hub.rows("select * from audit")])
    assert "buyer-" not in said, "the audit log is kept for ever: it holds nobody's data"
    assert "a-token-of-it" not in said
    assert "ada@example.com" not in said


async def test_the_audit_log_only_grows(bench: Bench) -> None:
    await bench.post("/v1/recipes/two-steps/pause")
    before = await bench.hub.rows("select * from audit order by id")
    assert before
    for statement in ("update audit set actor = 'nobody'", "delete from audit", "truncate audit",
                      "set session_replication_role = replica; delete from audit"):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await bench.hub.rows(statement) if ";" not in statement else await _several(bench, statement)
    assert await bench.hub.rows("select * from audit order by id") == before


async def _several(bench: Bench, statements: str) -> None:
    async with bench.hub.hub.database.acquire() as db:
        try:
            await db.execute(statements)
        finally:
            await db.execute("reset session_replication_role")
