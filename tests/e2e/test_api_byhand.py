"""What people do by hand over the API: replay, retry, cancel, answer; never an effect too many."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.ids import new_id
from tests.support.bench import TWO_STEPS, Bench, benched
from tests.support.testconnector import payload

LOOKING = """
title: A thing that can be searched for
on: order.created
steps:
  - id: made
    use: testbench.make_lookup
    with: {id: "{{ order.id }}"}
"""
WAITING = """
title: A thing after a while
on: order.paid
steps:
  - use: testbench.make_native
    with: {id: "{{ order.id }}"}
  - wait: 30d
  - use: testbench.make_unsafe
    with: {id: "{{ order.id }}"}
"""
EACH = """
title: A thing for each of three, one after the other
on: order.created
steps:
  - id: each
    for_each: "['a', 'b', 'c']"
    key: item
    use: testbench.make_native
    with: {id: "{{ item }}"}
"""
ASKS = """
title: Asks first
on: order.paid
steps:
  - id: ask
    approve: {title: "Send {{ order.number }}?"}
  - if: steps.ask.approved
    use: testbench.make_lookup
    with: {id: "{{ order.id }}"}
"""
CANCELLED_BY = """
title: Unless it is cancelled
on: order.created
cancel_on:
  - {event: order.cancelled, where: order.id == run.order.id}
steps:
  - id: native
    use: testbench.make_native
    with: {id: "{{ order.id }}"}
  - wait: 1h
  - use: testbench.make_unsafe
    with: {id: "{{ order.id }}"}
"""


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


# --- replay -----------------------------------------------------------------------------------------------------


async def test_a_replay_makes_a_run_and_no_effect_twice(bench: Bench) -> None:
    event_id = await bench.order()
    first = await bench.run(event_id)
    done = await bench.post(f"/v1/events/{event_id}/replay")
    await bench.work()
    (planned,) = done["runs"]
    assert planned["replay_of"] == first["id"]
    assert planned["whole"]
    assert [effect["standing"] for effect in planned["effects"]] == ["done", "done"]
    again = await bench.run(event_id)
    assert (again["id"], again["state"], again["replay_of"]) == (planned["run_id"], "done", first["id"])
    assert [step["calls"][0]["state"] for step in again["steps"]] == ["skipped", "skipped"]
    assert again["steps"][1]["output"] == first["steps"][1]["output"]
    assert len(bench.outside.asked) == 2
    assert (await bench.run(event_id))["replay_of"] == first["id"]


async def test_a_preview_says_what_a_replay_would_do_and_does_nothing(bench: Bench) -> None:
    bench.outside.statuses["/unsafe"] = [422]
    event_id = await bench.order()
    preview = await bench.post(f"/v1/events/{event_id}/replay", dry_run=True)
    assert preview["dry_run"]
    (run,) = preview["runs"]
    assert run["run_id"] is None
    assert [(effect["step"], effect["standing"]) for effect in run["effects"]] == [("first", "done"), ("second", "new")]
    assert not run["whole"]
    assert await bench.hub.one("select count(*) from run") == 1
    assert await bench.hub.one("select count(*) from audit where verb = 'replay'") == 0


async def test_a_preview_looks_beyond_waits(bench: Bench) -> None:
    await bench.recipe("waiting", WAITING)
    event_id = await bench.order()
    preview = await bench.post(f"/v1/events/{event_id}/replay", {"recipes": ["waiting"]}, dry_run=True)
    (run,) = preview["runs"]
    assert [(effect["action"], effect["standing"]) for effect in run["effects"]] == [
        ("testbench.make_native", "done"), ("testbench.make_unsafe", "new")]  # fmt: skip


async def test_redo_does_what_it_names_anew_and_nothing_else(bench: Bench) -> None:
    event_id = await bench.order()
    for times in (1, 2):
        said = await bench.post(f"/v1/events/{event_id}/replay", {"redo": ["second"]})
        await bench.work()
        assert [(effect["step"], effect["standing"]) for effect in said["runs"][0]["effects"]] == [
            ("first", "done"), ("second", "new")]  # fmt: skip
        assert said["runs"][0]["generation"] == times
        assert (await bench.run(event_id))["state"] == "done"
        assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (1, 1 + times)
    assert len({key for _, key in bench.outside.asked}) == 4, "each redo has an effect key of its own"
    plain = await bench.post(f"/v1/events/{event_id}/replay")
    await bench.work()
    assert [effect["standing"] for effect in plain["runs"][0]["effects"]] == ["done", "done"]
    assert len(bench.outside.asked) == 4
    said = await bench.post(f"/v1/events/{event_id}/replay", {"redo": ["third"]}, 400)
    assert "first, second" in said["detail"]


async def test_a_replay_with_an_idempotency_key_happens_once(bench: Bench) -> None:
    event_id = await bench.order()
    path, body = f"/v1/events/{event_id}/replay", {"redo": ["second"]}
    first = await bench.post(path, body, key="k-1")
    await bench.work()
    assert await bench.post(path, body, key="k-1") == first
    await bench.work()
    assert bench.outside.count("/unsafe") == 2
    await bench.post(path, {"redo": ["first"]}, 422, key="k-1")
    both = await asyncio.gather(bench.post(path, body, key="k-2"), bench.post(path, body, key="k-2"))
    await bench.work()
    assert both[0] == both[1]
    assert both[0]["runs"][0]["run_id"] != first["runs"][0]["run_id"]
    assert bench.outside.count("/unsafe") == 3


async def test_a_replay_runs_todays_version_or_that_of_then(bench: Bench) -> None:
    event_id = await bench.order()
    third = '  - id: third\n    use: testbench.make_unsafe\n    with: {id: "3"}\n'
    await bench.recipe("two-steps", TWO_STEPS + third)
    then = await bench.post(f"/v1/events/{event_id}/replay", {"version": "original"})
    await bench.work()
    assert (then["runs"][0]["version"], len(then["runs"][0]["effects"])) == (1, 2)
    assert len(bench.outside.asked) == 2
    now = await bench.post(f"/v1/events/{event_id}/replay", {"version": "current"})
    await bench.work()
    assert now["runs"][0]["version"] == 2
    assert [effect["standing"] for effect in now["runs"][0]["effects"]] == ["done", "done", "new"]
    assert len(bench.outside.asked) == 3


async def test_a_replay_says_why_a_recipe_does_not_answer(bench: Bench) -> None:
    event_id = await bench.order("small", "0.50")
    await bench.recipe("nothing", LOOKING)
    said = await bench.post(f"/v1/events/{event_id}/replay", {"recipes": ["two-steps", "nothing"]})
    assert said["runs"] == []
    reasons = {decision["recipe"]: decision["reason"] for decision in said["refused"]}
    assert reasons["two-steps"].startswith("where is false")
    assert reasons["nothing"] == "it does not answer order.paid"
    said = await bench.post(f"/v1/events/{event_id}/replay", {"version": "original", "recipes": ["two-steps"]})
    assert [decision["reason"] for decision in said["refused"]] == ["it never ran for this event"]
    await bench.post(f"/v1/events/{new_id()}/replay", expect=404)


async def test_a_recipe_that_came_later_runs_by_a_replay_once(bench: Bench) -> None:
    event_id = await bench.order()
    await bench.recipe("later", TWO_STEPS.replace("on: order.paid", "on: [order.paid, order.created]"))
    for _ in range(2):
        await bench.post(f"/v1/events/{event_id}/replay", {"recipes": ["later"]})
        await bench.work()
    assert len(bench.outside.asked) == 4
    later = [run for run in (await bench.get(f"/v1/events/{event_id}"))["runs"] if run["recipe"] == "later"]
    assert [run["replay_of"] for run in later] == [None, later[0]["id"]]
    sent = payload(1001, topic="order.created", at="2026-11-20T09:00:00Z")
    await bench.hub.send("shop", "order.created", sent)
    await bench.work()
    assert len(bench.outside.asked) == 4, "the replay used the order's one run"


# --- retry ------------------------------------------------------------------------------------------------------


async def test_a_failed_run_goes_on_from_its_failed_step(bench: Bench) -> None:
    bench.outside.statuses["/unsafe"] = [422]
    event_id = await bench.order()
    run = await bench.run(event_id)
    assert run["state"] == "failed"
    said = await bench.post(f"/v1/runs/{run['id']}/retry")
    assert said == {"run_id": run["id"], "steps": ["second"], "calls": 1}
    await bench.work()
    run = await bench.run(event_id)
    assert (run["state"], run["reason"]) == ("done", None)
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (1, 2)
    attempts = run["steps"][1]["calls"][0]["attempts"]
    assert [(attempt["number"], attempt["state"]) for attempt in attempts] == [(1, "permanent"), (2, "ok")]
    said = await bench.post(f"/v1/runs/{run['id']}/retry", expect=409)
    assert "done" in said["detail"]


async def test_a_step_that_failed_before_any_call_begins_anew(bench: Bench) -> None:
    await bench.recipe("two-steps", TWO_STEPS.replace('"{{ steps.first.id }}-2"', '"{{ order.note | upper }}"'))
    event_id = await bench.order()
    run = await bench.run(event_id)
    assert run["state"] == "failed"
    assert run["steps"][1]["calls"] == []
    assert (await bench.post(f"/v1/runs/{run['id']}/retry"))["calls"] == 0
    await bench.work()
    again = await bench.run(event_id)
    assert again["state"] == "failed", "what the recipe cannot say is not done, and never counts as done"
    assert [step["path"] for step in again["steps"]] == ["first", "second"]
    assert again["steps"][1]["id"] != run["steps"][1]["id"]
    assert bench.outside.count("/native") == 1


async def test_items_that_were_done_stay_done_and_those_behind_the_failed_one_are_not_forgotten(bench: Bench) -> None:
    await bench.recipe("each", EACH)
    bench.outside.statuses["/native"] = [200, 422]
    await bench.hub.send("shop", "order.created", payload(1, topic="order.created"))
    await bench.work()
    (run,) = (await bench.get("/v1/runs", recipe="each"))["items"]
    assert (run["state"], len(bench.outside.asked)) == ("failed", 2)
    await bench.post(f"/v1/runs/{run['id']}/retry")
    await bench.work()
    shown = await bench.get(f"/v1/runs/{run['id']}")
    assert shown["state"] == "done"
    assert [each["id"] for each in shown["steps"][0]["output"]] == ["a", "b", "c"]
    assert len(bench.outside.asked) == 4
    assert len({key for _, key in bench.outside.asked}) == 3


async def test_a_run_that_goes_on_still_listens_for_what_cancels_it(bench: Bench) -> None:
    await bench.recipe("cancellable", CANCELLED_BY)
    bench.outside.statuses["/native"] = [422]
    await bench.hub.send("shop", "order.created", payload(1, topic="order.created"))
    await bench.work()
    (run,) = (await bench.get("/v1/runs", recipe="cancellable"))["items"]
    await bench.post(f"/v1/runs/{run['id']}/retry")
    await bench.work()
    assert (await bench.get(f"/v1/runs/{run['id']}"))["state"] == "waiting"
    await bench.hub.send("shop", "order.cancelled", payload(1, topic="order.cancelled"))
    await bench.work()
    async with asyncio.timeout(5):
        while (await bench.get(f"/v1/runs/{run['id']}"))["state"] == "waiting":
            await bench.hub.runner.match_waiters()
            await bench.work()
    assert (await bench.get(f"/v1/runs/{run['id']}"))["state"] == "cancelled"


async def test_a_run_that_its_recipe_stopped_is_not_retried(bench: Bench) -> None:
    source = "title: Stops\non: order.paid\nsteps:\n  - stop: {reason: no stock, failed: true}\n"
    await bench.recipe("stops", source)
    event_id = await bench.order()
    run = await bench.run(event_id, "stops")
    assert run["state"] == "failed"
    said = await bench.post(f"/v1/runs/{run['id']}/retry", expect=409)
    assert "stopped" in said["detail"]


# --- cancel -----------------------------------------------------------------------------------------------------


async def test_a_cancelled_run_sends_nothing_more(bench: Bench) -> None:
    await bench.recipe("waiting", WAITING)
    event_id = await bench.order()
    run = await bench.run(event_id, "waiting")
    assert run["state"] == "waiting"
    said = await bench.post(f"/v1/runs/{run['id']}/cancel")
    assert (said["calls"], said["in_flight"], said["unanswered"]) == (0, 0, 0)
    run = await bench.run(event_id, "waiting")
    assert (run["state"], run["reason"], run["due_at"]) == ("cancelled", "cancelled by admin", None)
    assert [step["state"] for step in run["steps"]] == ["done", "cancelled"]
    finished = await bench.run(event_id)
    await bench.post(f"/v1/runs/{finished['id']}/cancel", expect=409)
    await bench.post(f"/v1/runs/{run['id']}/retry", expect=409)


async def test_a_call_that_waits_for_its_retry_is_cancelled_and_its_effect_let_go(bench: Bench) -> None:
    bench.outside.statuses["/native"] = [429]
    await bench.hub.send("shop", "order.paid", payload(1001))
    await bench.hub.settle()
    (run,) = (await bench.get("/v1/runs"))["items"]
    assert run["state"] == "running"
    assert (await bench.post(f"/v1/runs/{run['id']}/cancel"))["calls"] == 1
    await bench.work()
    assert len(bench.outside.asked) == 1
    shown = await bench.get(f"/v1/runs/{run['id']}")
    call = shown["steps"][0]["calls"][0]
    assert (call["state"], call["effect"]["state"]) == ("cancelled", "released")
    await bench.post(f"/v1/events/{run['event_id']}/replay")
    await bench.work()
    assert len(bench.outside.asked) == 3, "a replay does what the cancelled run left"


@pytest.mark.parametrize(("status", "state", "effect"), [(200, "done", "done"), (429, "cancelled", "released")])
async def test_a_call_that_is_being_sent_is_finished_and_not_repeated(
    bench: Bench, status: int, state: str, effect: str
) -> None:
    bench.outside.open.clear()
    bench.outside.statuses["/native"] = [status]
    await bench.hub.send("shop", "order.paid", payload(1001))
    working = asyncio.create_task(bench.work())
    async with asyncio.timeout(10):
        while not bench.outside.asked:
            await asyncio.sleep(0.01)
    (run,) = (await bench.get("/v1/runs"))["items"]
    cancelling = asyncio.create_task(bench.post(f"/v1/runs/{run['id']}/cancel"))
    async with asyncio.timeout(10):
        while (await bench.get(f"/v1/runs/{run['id']}"))["state"] != "cancelled":
            await asyncio.sleep(0.01)
    bench.outside.open.set()
    assert (await cancelling)["in_flight"] == 0
    await working
    call = (await bench.get(f"/v1/runs/{run['id']}"))["steps"][0]["calls"][0]
    assert (call["state"], call["effect"]["state"]) == (state, effect)
    assert len(bench.outside.asked) == 1


async def test_who_stands_behind_a_cancelled_run_goes_on(bench: Bench) -> None:
    bench.outside.statuses["/native"] = [429]
    await bench.hub.send("shop", "order.paid", payload(1001))
    await bench.hub.settle()
    (run,) = (await bench.get("/v1/runs"))["items"]
    replayed = await bench.post(f"/v1/events/{run['event_id']}/replay")
    await bench.post(f"/v1/runs/{run['id']}/cancel")
    await bench.work()
    shown = await bench.get(f"/v1/runs/{replayed['runs'][0]['run_id']}")
    assert shown["state"] == "done"
    assert len(bench.outside.asked) == 3


# --- approvals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [True, False])
async def test_a_run_goes_on_by_the_answer_of_a_person(bench: Bench, approved: bool) -> None:
    await bench.recipe("asks", ASKS)
    event_id = await bench.order()
    run = await bench.run(event_id, "asks")
    assert (run["state"], run["steps"][0]["output"]["title"]) == ("waiting", "Send #1001?")
    path, body = f"/v1/runs/{run['id']}/approve", {"approved": approved, "note": "as agreed"}
    await bench.post(path, {**body, "step": "other"}, 409)
    assert await bench.post(path, body) == {"run_id": run["id"], "step": "ask", "approved": approved}
    await bench.work()
    run = await bench.run(event_id, "asks")
    assert run["state"] == "done"
    assert (run["steps"][0]["output"]["by"], run["steps"][0]["output"]["note"]) == ("admin", "as agreed")
    assert bench.outside.count("/lookup") == (1 if approved else 0)
    await bench.post(path, body, 409)


# --- answers ----------------------------------------------------------------------------------------------------


async def _uncertain(bench: Bench) -> dict[str, Any]:
    """An order whose second thing nobody knows of: the system failed after it may have acted."""
    bench.outside.statuses["/unsafe"] = [500]
    await bench.order()
    (effect,) = (await bench.get("/v1/effects", state="uncertain"))["items"]
    assert effect["number"] == "#1001"
    assert (effect["call_state"], effect["path"], effect["recipe"]) == ("uncertain", "second", "two-steps")
    assert effect["question"]
    return dict(effect)


async def test_an_effect_that_happened_is_not_done_again(bench: Bench) -> None:
    effect = await _uncertain(bench)
    body = {"answer": "happened", "output": {"id": "told", "key": "k"}}
    said = await bench.post(f"/v1/effects/{effect['key']}/answer", body)
    assert (said["call_state"], said["effect_state"]) == ("done", "done")
    await bench.work()
    run = await bench.run(effect["event_id"])
    assert run["state"] == "done"
    assert run["steps"][1]["output"]["id"] == "told"
    assert bench.outside.count("/unsafe") == 1
    await bench.post(f"/v1/effects/{effect['key']}/answer", body, 409)


async def test_an_effect_that_did_not_happen_is_done(bench: Bench) -> None:
    effect = await _uncertain(bench)
    await bench.post(f"/v1/effects/{effect['call_id']}/answer", {"answer": "did_not"})
    await bench.work()
    assert (await bench.run(effect["event_id"]))["state"] == "done"
    assert bench.outside.count("/unsafe") == 2
    assert (await bench.get("/v1/effects", state="uncertain"))["items"] == []


async def test_what_nothing_can_look_up_is_not_looked_up(bench: Bench) -> None:
    effect = await _uncertain(bench)
    said = await bench.post(f"/v1/effects/{effect['key']}/answer", {"answer": "look_again"}, 409)
    assert "look yourself" in said["detail"]
    said = await bench.post(f"/v1/effects/{effect['key']}/answer", {"answer": "happened", "output": {"no": 1}}, 400)
    assert "testbench.make_unsafe" in said["detail"]
    await bench.post(f"/v1/effects/{'0' * 32}/answer", {"answer": "happened"}, 404)
    await bench.work()
    assert bench.outside.count("/unsafe") == 1


@pytest.mark.parametrize("there", [True, False])
async def test_a_look_finds_what_happened_or_does_it(bench: Bench, there: bool) -> None:
    await bench.recipe("looking", LOOKING)
    await bench.hub.send("shop", "order.created", payload(7, topic="order.created"))
    await bench.work()
    made = bench.outside.count("/lookup")
    await bench.hub.rows("update call set state = 'uncertain', unsure = true, question = '?'")
    await bench.hub.rows("update effect set state = 'uncertain'")
    await bench.hub.rows("update step set state = 'running', ended_at = null")
    await bench.hub.rows("update run set state = 'running', ended_at = null")
    (effect,) = (await bench.get("/v1/effects", state="uncertain"))["items"]
    if there:
        bench.outside.there.add(effect["key"])
    said = await bench.post(f"/v1/effects/{effect['key']}/answer", {"answer": "look_again"})
    assert (said["call_state"], said["effect_state"]) == ("due", "reserved")
    await bench.work()
    assert bench.outside.count("/lookup") == made + (0 if there else 1)
    run = await bench.run(effect["event_id"], "looking")
    assert (run["state"], run["steps"][0]["calls"][0]["effect"]["state"]) == ("done", "done")


async def test_a_doubt_of_a_cancelled_run_ends_without_another_call(bench: Bench) -> None:
    effect = await _uncertain(bench)
    said = await bench.post(f"/v1/runs/{effect['run_id']}/cancel")
    assert said["unanswered"] == 1
    said = await bench.post(f"/v1/effects/{effect['key']}/answer", {"answer": "did_not"})
    assert (said["call_state"], said["effect_state"], said["run_state"]) == ("cancelled", "released", "cancelled")
    await bench.work()
    assert bench.outside.count("/unsafe") == 1


async def test_nothing_is_redone_while_somebody_is_in_doubt(bench: Bench) -> None:
    effect = await _uncertain(bench)
    said = await bench.post(f"/v1/events/{effect['event_id']}/replay", {"redo": ["first"]}, 409)
    assert "uncertain" in said["detail"]
    preview = await bench.post(f"/v1/events/{effect['event_id']}/replay", dry_run=True)
    assert [each["standing"] for each in preview["runs"][0]["effects"]] == ["done", "uncertain"]


async def test_who_did_it_is_on_record(bench: Bench) -> None:
    effect = await _uncertain(bench)
    await bench.post(f"/v1/effects/{effect['key']}/answer", {"answer": "happened"})
    await bench.post(f"/v1/events/{effect['event_id']}/replay")
    await bench.post("/v1/recipes/two-steps/pause")
    rows = await bench.hub.rows("select actor, verb, object from audit order by id")
    assert [(row["actor"], row["verb"], row["object"]) for row in rows][-3:] == [
        ("admin", "answer", f"effect/{effect['key']}"),
        ("admin", "replay", f"event/{effect['event_id']}"),
        ("admin", "pause", "recipe/two-steps"),
    ]
