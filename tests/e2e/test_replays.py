"""Replays of many events: counted before, paced, paused, resumed; and never an effect twice unless asked by name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.byhand.replay import begin_planned
from app.byhand.replays import Replays
from app.ids import new_id
from tests.support.bench import TWO_STEPS, Bench, benched

FAST = {"per_second": 1000}


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


def drainer(bench: Bench) -> Replays:
    return Replays(bench.hub.hub, bench.hub.normaliser.matcher)


async def made(bench: Bench, options: Any = None, **wanted: Any) -> str:
    answer = await bench.api.post("/v1/replays", json={"filter": wanted, "options": {**FAST, **(options or {})}})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "draft"
    return str(answer.json()["id"])


async def act(bench: Bench, replay: str, verb: str, expect: int = 200) -> Any:
    return await bench.post(f"/v1/replays/{replay}/{verb}", expect=expect)


async def drained(bench: Bench, replay: str) -> Any:
    """Work replays until none is due, and what they began."""
    async with asyncio.timeout(20):
        replays = drainer(bench)
        while await replays.drain():
            pass
    await bench.work()
    return await bench.get(f"/v1/replays/{replay}")


async def previewed(bench: Bench, replay: str) -> Any:
    await act(bench, replay, "preview")
    return await drained(bench, replay)


async def orders(bench: Bench, failing: set[int], count: int = 5) -> None:
    """Paid orders 1 to `count`; the second call of the failing ones is refused for good."""
    for number in range(1, count + 1):
        if number in failing:
            bench.outside.statuses["/unsafe"] = [422]
        await bench.order(number)


async def test_a_replay_of_yesterdays_failures_makes_what_is_missing_and_doubles_nothing(bench: Bench) -> None:
    await orders(bench, failing={2, 4})
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (5, 5)
    replay = await made(bench, state="failed")
    preview = (await previewed(bench, replay))["preview"]
    assert (preview["items"], preview["runs"], preview["effects"]) == (2, 2, {"done": 2, "new": 2})
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (5, 5), "a preview does nothing"
    await act(bench, replay, "start")
    done = await drained(bench, replay)
    assert (done["state"], done["done"], done["total"]) == ("done", 2, 2)
    assert done["runs"] == {"done": 2}
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (5, 7)
    again = await made(bench, state="failed")
    await act(bench, again, "start")
    assert (await drained(bench, again))["done"] == 0, "their last runs have not failed"
    everything = await made(bench)
    await act(bench, everything, "start")
    report = (await drained(bench, everything))["report"]
    assert report["effects"] == {"done": 10}
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (5, 7)
    verbs = [
        row["verb"] for row in await bench.hub.rows("select verb from audit where object = $1", f"replay/{replay}")
    ]
    assert sorted(verbs) == ["create", "preview", "start"]


async def test_failed_runs_go_on_from_their_failed_step(bench: Bench) -> None:
    await orders(bench, failing={1, 3}, count=3)
    replay = await made(bench, {"begin": "failed_step"}, state="failed", recipe="two-steps")
    preview = (await previewed(bench, replay))["preview"]
    assert (preview["runs"], preview["effects"]) == (2, {"done": 2, "new": 2})
    await act(bench, replay, "start")
    done = await drained(bench, replay)
    assert (done["state"], done["runs"], done["report"]["runs"]) == ("done", {"done": 2}, 2)
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (3, 5)
    assert await bench.hub.one("select count(*) from run") == 3, "no new runs"


@pytest.mark.parametrize("begin", ["start", "failed_step"])
async def test_what_a_replay_calls_holds_no_new_order_up(bench: Bench, begin: str) -> None:
    """Its calls take turns with those of new orders (which `late` ones do), although its events are older."""
    await orders(bench, failing={1, 2}, count=2)
    await act(bench, await made(bench, {"begin": begin}, state="failed"), "start")
    await drainer(bench).drain()
    await bench.order(3)
    late = await bench.hub.rows(
        "select e.number, count(*) as calls from call c join event e on e.id = c.event_id where c.late group by 1"
    )
    assert {row["number"]: row["calls"] for row in late} == dict.fromkeys(["#1", "#2"], 2 if begin == "start" else 1)


async def test_redo_acts_again_for_each_and_only_by_name(bench: Bench) -> None:
    await orders(bench, failing=set(), count=3)
    replay = await made(bench, {"redo": ["second"]}, type="order.*", connection="shop")
    preview = (await previewed(bench, replay))["preview"]
    assert preview["effects"] == {"done": 3, "new": 3}
    await act(bench, replay, "start")
    assert (await drained(bench, replay))["runs"] == {"done": 3}
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (3, 6)
    wrong = await made(bench, {"redo": ["third"]}, type="order.*")
    report = (await previewed(bench, wrong))["preview"]
    assert report["refused"] == 3
    assert "names no effect" in report["refusals"][0]["reason"]


async def test_the_filter_finds_by_text_error_time_and_recipe(bench: Bench) -> None:
    await orders(bench, failing={2}, count=3)
    await bench.recipe("three-steps", TWO_STEPS.replace("order.paid", "order.created"))
    middle = await bench.hub.one("select at from event where subject_id = '2' and type = 'order.paid'")
    found = {
        name: (await previewed(bench, await made(bench, **wanted)))["preview"].get("items", 0)
        for name, wanted in {
            "number": {"text": "#2"},
            "email": {"text": "Buyer-3@example.com", "type": "order.*"},
            "error": {"error": "422"},
            "no error": {"error": "429"},
            "signs": {"error": "4_2"},
            "since": {"since": middle.isoformat(), "type": "order.paid"},
            "until": {"until": middle.isoformat(), "type": "order.paid"},
            "recipe": {"recipe": "two-steps"},
            "done": {"state": "done"},
            "type": {"type": "order.created"},
        }.items()
    }
    assert found == {
        "number": 1, "email": 1, "error": 1, "no error": 0, "signs": 0, "since": 2, "until": 1, "recipe": 3,
        "done": 2, "type": 0,
    }  # fmt: skip


async def test_a_replay_is_paused_resumed_and_cancelled(bench: Bench) -> None:
    await orders(bench, failing=set(), count=4)
    replay = await made(bench, {"per_second": 0.5}, type="order.paid")
    replays = drainer(bench)
    await act(bench, replay, "start")
    await replays.drain()
    assert (await bench.get(f"/v1/replays/{replay}"))["done"] == 1, "its pace allows one"
    assert not await replays.drain()
    await act(bench, replay, "pause")
    await bench.hub.rows("update replay set next_at = null, options = options || '{\"per_second\": 1000}'")
    assert not await replays.drain()
    assert (await bench.get(f"/v1/replays/{replay}"))["done"] == 1
    await act(bench, replay, "start", 409)
    await act(bench, replay, "resume")
    assert (await drained(bench, replay))["done"] == 4
    await act(bench, replay, "cancel", 409)
    other = await made(bench, {"per_second": 0.5}, type="order.paid")
    await act(bench, other, "start")
    await replays.drain()
    assert (await act(bench, other, "cancel"))["state"] == "cancelled"
    assert (await drained(bench, other))["done"] == 1
    assert {each["id"] for each in (await bench.get("/v1/replays"))["items"]} == {replay, other}


class ProcessDies(BaseException):
    """Ends a process where it stands, as far as a test can."""


async def test_a_crash_between_two_batches_repeats_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await orders(bench, failing=set(), count=5)
    replay = await made(bench, type="order.paid")
    await act(bench, replay, "start")
    begun = []

    async def dies_at_the_second(*args: Any) -> Any:
        lanes = await begin_planned(*args)
        begun.append(1)
        if len(begun) == 2:
            raise ProcessDies
        return lanes

    monkeypatch.setattr("app.byhand.replays.BATCH", 2)
    monkeypatch.setattr("app.byhand.replays.begin_planned", dies_at_the_second)
    assert await drainer(bench).drain()
    with pytest.raises(ProcessDies):
        await drainer(bench).drain()
    assert (await bench.get(f"/v1/replays/{replay}"))["done"] == 2
    both = await asyncio.gather(drainer(bench).drain(), drainer(bench).drain())
    assert any(both)
    assert (await drained(bench, replay))["done"] == 5
    per_event = await bench.hub.rows("select count(*) as runs from run where replay_id is not null group by event_id")
    assert [row["runs"] for row in per_event] == [1] * 5


async def test_an_event_that_cannot_be_replayed_is_refused_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await orders(bench, failing=set(), count=4)
    bad = await bench.hub.one("select id from event where subject_id = '3' and type = 'order.paid'")
    replay = await made(bench, type="order.paid")
    await act(bench, replay, "start")

    async def fails_for_one(hub: Any, runner: Any, db: Any, workspace: str, plan: Any) -> Any:
        if any(each.beginning.event_id == bad for each in plan):
            raise ZeroDivisionError("a bug that one event meets")
        return await begin_planned(hub, runner, db, workspace, plan)

    monkeypatch.setattr("app.byhand.replays.begin_planned", fails_for_one)
    done = await drained(bench, replay)
    assert (done["state"], done["done"], done["report"]["runs"], done["report"]["refused"]) == ("done", 4, 3, 1)
    assert done["report"]["refusals"][0]["id"] == str(bad)
    assert "ZeroDivisionError" in done["report"]["refusals"][0]["reason"]


COPIES = """
insert into event (id, at, workspace, type, connection_id, object_kind, object_id, subject_kind, subject_id,
    occurred_at, data, schema_version)
select (substr(id::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, at, workspace, type,
    connection_id, object_kind, object_id || '-' || n, subject_kind, subject_id || '-' || n, occurred_at,
    data, schema_version
from event, generate_series(1, 149) n where type = 'order.paid'
"""


async def test_many_events_are_worked_by_batches_at_the_pace_that_was_asked(bench: Bench) -> None:
    await orders(bench, failing=set(), count=2)
    await bench.hub.rows(COPIES)
    replay = await made(bench, {"per_second": 400}, type="order.paid")
    await act(bench, replay, "start")
    replays, seen = drainer(bench), []
    while await replays.drain():
        seen.append((await bench.get(f"/v1/replays/{replay}"))["done"])
    assert seen[:3] == [100, 200, 300], "a quarter of a second's worth at once"
    assert (await bench.get(f"/v1/replays/{replay}"))["report"]["runs"] == 300
    began = await bench.hub.rows("select distinct at from run where replay_id is not null order by at")
    assert (began[-1]["at"] - began[0]["at"]).total_seconds() >= 0.4


async def test_what_cannot_be_asked_is_refused_and_reading_needs_no_more(bench: Bench) -> None:
    assert (await bench.api.post("/v1/replays", json={"filter": {"connection": "nowhere"}})).status_code == 422
    assert (await bench.api.post("/v1/replays", json={"filter": {"colour": "red"}})).status_code in (400, 422)
    refused = await bench.api.post("/v1/replays", json={"filter": {"recipe": "two-step", "type": "order.payd"}})
    assert refused.json()["type"] == "/problems/unknown-name"
    assert [each["field"] for each in refused.json()["errors"]] == ["body.filter.recipe", "body.filter.type"]
    body = {"filter": {}, "options": {"begin": "failed_step", "redo": ["second"]}}
    assert (await bench.api.post("/v1/replays", json=body)).status_code == 400
    await bench.get(f"/v1/replays/{new_id()}", 404)
    await act(bench, str(new_id()), "start", 404)
