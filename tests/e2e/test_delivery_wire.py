"""Every fault of a wire, through the whole of delivery: what the ledger says was sent is what a bare socket read."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.pipeline.deliver.limits import Breaker
from tests.support.harness import running
from tests.support.rawserver import BEHAVIOURS, Behaviour, Manner, RawServer, refusing_port, saying
from tests.support.testconnector import connector, payload

RECIPE = """
title: One call for every paid order
on: order.paid
steps:
  - {{id: thing, use: testbench.{action}, with: {{id: "{{{{ order.id }}}}"}}, retry: false}}
"""
assert connector.http is not None
testbench = replace(connector, http=replace(connector.http, timeout=0.5))
ACTIONS = ("make_native", "put_upsert", "make_unsafe")
FAULTS = {path.strip("/"): behaviour for path, behaviour in BEHAVIOURS.items()}
MADE = """
select split_part(c.action, '.', 2) as action, e.object_id as fault, a.state, a.deadline is not null as marked
from call c join event e on e.id = c.event_id join attempt a on a.call_id = c.id
"""


def _told(seen: Any) -> str:
    """The fault that a request asks for: the id of the thing that it makes."""
    return str(orjson.loads(seen.body)["id"]) if seen.body else ""


async def _misbehave(writer: asyncio.StreamWriter, seen: Any) -> bool:
    return await FAULTS[_told(seen)](writer, seen)


def _server(manner: Manner = "serve") -> RawServer:
    paths: dict[str, Behaviour] = dict.fromkeys(("/native", "/lookup", "/unsafe"), _misbehave)
    paths |= {f"/upsert/{name}": _misbehave for name in FAULTS}
    paths["/found"] = saying(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"found":false}', keep=True)
    return RawServer(manner, paths)


async def _all_tried(hub: Any, calls: int) -> list[Any]:
    async with asyncio.timeout(60):
        while True:
            await hub.settle(60)
            rows = list(await hub.rows(f"{MADE} where a.state <> 'sending'"))
            if len(rows) >= calls:
                return rows
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def never_parks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "note", lambda self, failed: False)


async def test_every_fault_by_every_method_leaves_as_many_attempts_as_requests_were_read(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with _server() as server, running(database_url, redis_url, tmp_path, testbench) as hub:
        await hub.connect("shop", testbench, {"account": "bench"}, role="shop", base_url=server.origin)
        for action in ACTIONS:
            await hub.recipe(action.replace("_", "-"), RECIPE.format(action=action))
        for fault in FAULTS:
            assert (await hub.send("shop", "order.paid", payload(fault))).status_code == 200
        made = await _all_tried(hub, len(FAULTS) * len(ACTIONS))
        tried = Counter((row["fault"], "PUT" if row["action"] == "put_upsert" else "POST") for row in made)
        read = Counter((_told(seen), seen.method) for seen in server.seen if seen.method != "GET")
        assert tried == read
        assert all(row["marked"] for row in made), "each was written down before its bytes went"
        sure = {"ok", "cookie", "gzip", "long-header", "big-refusal", "half-refusal"}
        assert {row["fault"] for row in made if row["state"] == "unsure"} >= set(FAULTS) - sure - {"words"}


@pytest.mark.parametrize("how", ["refused", "close", "reset", "reset-mid-upload"])
async def test_a_connection_that_fails_is_told_apart_from_a_request_that_may_have_left(
    how: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    manner: Any = "serve" if how == "refused" else how
    with refusing_port() as nobody:
        async with _server(manner) as server, running(database_url, redis_url, tmp_path, testbench) as hub:
            url = f"http://127.0.0.1:{nobody}" if how == "refused" else server.origin
            await hub.connect("shop", testbench, {"account": "bench"}, role="shop", base_url=url)
            for action in ACTIONS:
                await hub.recipe(action.replace("_", "-"), RECIPE.format(action=action))
            await hub.send("shop", "order.paid", payload("ok"))
            made = await _all_tried(hub, len(ACTIONS))
            assert len(made) == len(ACTIONS), "none is sent twice"
            assert not server.seen
            for row in made:
                assert row["state"] in ("retryable", "unsure"), row
                assert row["state"] == "retryable" or row["marked"], "what may have left was written down before"
            if how == "refused":
                assert {(row["state"], row["marked"]) for row in made} == {("retryable", False)}
