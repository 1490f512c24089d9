"""A change is tried before it is trusted: dry runs, backtests and explanations over what a hub has stored."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.byhand import backtests as jobs
from app.byhand import trials
from app.byhand.trials import Trial, try_out
from app.byhand.versions import Text
from app.domain.retention import Retention
from app.errors import PermanentError
from app.hub import Hub
from app.pipeline.match.reports import Backtest
from app.recipes import parse_recipe
from tests.support.bench import TWO_STEPS, Bench, benched

SPENDS = """
title: Spend for every large order
on: order.paid
where: order.totals.paid.amount > 15
steps:
  - {use: testbench.make_unsafe, with: {id: "{{ order.id }}", note: "{{ order.number }}", amount: "{{ order.total }}"}}
"""
WAITS = """
title: Ask later, unless it is cancelled
on: order.paid
cancel_on: {event: order.cancelled, where: order.id == run.order.id}
steps:
  - wait: 1d
  - {use: testbench.make_native, with: {id: "{{ order.id }}", note: late}}
"""
SETS = """
title: Remember who bought for much
on: order.paid
where: order.total.amount > 50
steps:
  - set: {customer: {attributes: {spent: "{{ order.total }}"}}}
"""
READS = """
title: Greet who bought for much before
on: order.paid
where: customer.attributes.spent
steps:
  - {use: testbench.make_native, with: {id: "{{ order.id }}", note: "{{ customer.attributes.spent | money }}"}}
"""
PAID = ((1, "10.00"), (2, "60.00"), (3, "5.00"), (4, "70.00"))
LOOKS = """
title: Look first
on: order.paid
steps:
  - {id: seen, use: testbench.look_up, with: {id: "{{ order.id }}"}}
  - {id: new, if: steps.seen.key == 'not there', use: testbench.make_native, with: {id: "{{ order.id }}"}}
"""


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def dry(bench: Bench, event: str, name: str, **more: Any) -> Any:
    return await bench.post(f"/v1/recipes/{name}/dry-run", {"event_id": event, **more})


async def backtest(bench: Bench, text: str, against: str | None = None, **more: Any) -> Backtest:
    """Of all that the hub stored; a wait may go on for a minute."""
    now = bench.hub.hub.clock.now()
    other = Text(against, {}) if against else None
    trial = Trial("main", "tried", Text(text, {}), now - timedelta(days=1), now + timedelta(minutes=1), other)
    return await try_out(bench.hub.hub, trial, more.get("progress", lambda events, at: None), more.get("apart", False))


# --- dry runs ---------------------------------------------------------------------------------------------------


async def test_a_dry_run_shows_every_call_and_makes_none(bench: Bench) -> None:
    event = await bench.order(1, amount="20.00")
    before = list(bench.outside.asked)
    done = await dry(bench, event, "two-steps")
    assert (done["decision"], done["state"]) == ("run", "done")
    assert [(call["use"], call["connection"], call["input"]) for call in done["calls"]] == [
        ("testbench.make_native", "shop", {"id": "1"}),
        ("testbench.make_unsafe", "shop", {"id": "1-2"}),
    ]
    assert done["assumed"] == 0, "the stored run recorded what its calls answered"
    unknown = await dry(bench, event, "spends", source=SPENDS)
    assert (unknown["calls"][0]["input"]["amount"], unknown["assumed"]) == ({"amount": "20.00", "currency": "EUR"}, 1)
    assert bench.outside.asked == before
    assert await bench.hub.one("select count(*) from run") == 1


async def test_a_dry_run_says_why_a_recipe_would_not_run(bench: Bench) -> None:
    event = await bench.order(1)
    done = await dry(bench, event, "spends", source=SPENDS)
    assert done["decision"] == "where is false: order.totals.paid.amount > 15 (order.totals.paid.amount is 10.00)"
    assert (done["state"], done["calls"]) == ("none", [])


async def test_time_passes_in_a_dry_run_and_what_really_came_comes(bench: Bench) -> None:
    kept, cancelled = await bench.order(1), await bench.order(2)
    await bench.hub.send("shop", "order.cancelled", {**_body(2), "topic": "order.cancelled"})
    await bench.work()
    assert (await dry(bench, kept, "waits", source=WAITS))["state"] == "waiting"
    later = await dry(bench, kept, "waits", source=WAITS, passes="2d")
    assert (later["state"], len(later["calls"])) == ("done", 1)
    ended = await dry(bench, cancelled, "waits", source=WAITS, passes="2d")
    assert (ended["state"], ended["calls"]) == ("cancelled", [])


def _body(number: int) -> dict[str, Any]:
    from tests.support.testconnector import payload

    return payload(number)


async def test_a_dry_run_takes_any_version_and_refuses_a_text_with_faults(bench: Bench) -> None:
    event = await bench.order(1)
    await bench.recipe("two-steps", TWO_STEPS.replace("> 1", "> 1000"))
    assert (await dry(bench, event, "two-steps"))["state"] == "none"
    assert (await dry(bench, event, "two-steps", version=1))["state"] == "done"
    place = "/v1/recipes/two-steps/dry-run"
    await bench.post(place, {"event_id": event, "version": 9}, 404)
    await bench.post("/v1/recipes/nothing/dry-run", {"event_id": event}, 404)
    refused = await bench.post(place, {"event_id": event, "source": SPENDS.replace("paid.amount", "payd")}, 400)
    (fault,) = refused["errors"]
    assert fault["field"] == "source:4:21"
    assert "payd" in fault["detail"]
    await bench.post(place, {"event_id": event, "passes": "soon"}, 400)
    await bench.post(place, {"event_id": event, "inputs": {"other": 1}}, 400)


async def test_calls_that_only_read_are_made_for_real_where_that_is_asked(bench: Bench) -> None:
    event = await bench.order(7)
    bench.outside.there.add("7")
    before = list(bench.outside.asked)
    guessed = await dry(bench, event, "looks", source=LOOKS)
    assert guessed["assumed"] >= 1
    real = await dry(bench, event, "looks", source=LOOKS, reads=True)
    assert [(call["use"], call["answer"]["key"], call["assumed"]) for call in real["calls"]] == [
        ("testbench.look_up", "there", False)
    ]
    assert real["steps"]["new"] == "skipped"
    assert bench.outside.asked == before, "nothing was made"


# --- explaining -------------------------------------------------------------------------------------------------


async def test_an_event_is_explained_recipe_by_recipe_with_the_values_that_were_seen(bench: Bench) -> None:
    await bench.recipe("spends", SPENDS.replace("where: ", "where: order.number and "))
    await bench.recipe("others", SPENDS.replace("on: order.paid", "on: refund.created").replace("where", "#where"))
    event = await bench.order(1)
    await bench.recipe("later", WAITS)
    said = await bench.get(f"/v1/events/{event}/explain")
    whys = {why["recipe"]: why for why in said["recipes"]}
    assert (whys["two-steps"]["ran"], whys["two-steps"]["decided"]) == (True, "then")
    assert whys["two-steps"]["run_id"] == (await bench.run(event))["id"]
    spends = whys["spends"]
    assert (spends["ran"], spends["decided"]) == (False, "then")
    assert spends["reason"] == "where is false: order.totals.paid.amount > 15 (order.totals.paid.amount is 10.00)"
    assert spends["parts"] == [
        {"condition": "order.number", "holds": True, "values": {"order.number": "#1"}, "error": None},
        {"condition": "order.totals.paid.amount > 15", "holds": False, "error": None,
         "values": {"order.totals.paid.amount": "10.00"}},
    ]  # fmt: skip
    assert whys["others"]["reason"] == "it does not ask for order.paid, but for refund.created"
    assert whys["later"]["reason"].endswith("today: it would run, once for order/1")
    only = await bench.get(f"/v1/events/{event}/explain", recipe="spends")
    assert [why["recipe"] for why in only["recipes"]] == ["spends"]
    await bench.get(f"/v1/events/{event}/explain", 404, recipe="nothing")


# --- backtests --------------------------------------------------------------------------------------------------


async def test_a_backtest_tells_what_a_change_would_have_done(bench: Bench) -> None:
    await bench.recipe("tried", SPENDS)
    for number in range(1, 4):
        await bench.order(number, amount=f"{number * 10}.00")
    seen: list[int] = []
    report = await backtest(
        bench, SPENDS.replace("> 15", "> 25"), SPENDS, progress=lambda events, at: seen.append(events)
    )
    assert (report.events, report.differing, seen) == (3, 1, [3])
    assert report.new.as_json() == {
        "runs": {"done": 1}, "calls": {"testbench.make_unsafe": 1}, "money": {"EUR": "30.00"}, "contacts": 1,
        "errors": {}, "examples": 0, "assumed": 0,
    }  # fmt: skip
    assert report.current is not None
    assert report.current.money == {"EUR": Decimal("50.00")}
    (difference,) = report.as_json()["differences"]
    assert difference["after"] == {"run": "none", "calls": []}
    assert difference["before"]["run"] == "done"
    assert difference["before"]["calls"][0]["input"]["note"] == "#2"
    assert await bench.hub.one("select count(*) from call where action = 'testbench.make_unsafe'") == 5


async def test_a_backtest_lets_waits_end_and_hears_what_really_came(bench: Bench) -> None:
    for number in (1, 2, 3):
        await bench.order(number)
    await bench.hub.send("shop", "order.cancelled", {**_body(2), "topic": "order.cancelled"})
    await bench.work()
    report = await backtest(bench, WAITS)
    assert report.new.as_json()["runs"] == {"cancelled": 1, "waiting": 2}
    changed = await backtest(bench, WAITS.replace("wait: 1d", "wait: 1m"), WAITS)
    assert changed.new.as_json()["calls"] == {"testbench.make_native": 2}
    assert {(each.before.run, each.after.run) for each in changed.differences} == {("waiting", "done")}


async def test_decisions_that_rest_on_an_example_are_counted_as_assumed(bench: Bench) -> None:
    await bench.recipe("tried", LOOKS)
    await bench.order(1)
    known = await backtest(bench, LOOKS)
    assert (known.new.examples, known.new.assumed) == (0, 0), "the stored run recorded the answers"
    renamed = LOOKS.replace("id: seen", "id: met").replace("steps.seen", "steps.met")
    guessed = await backtest(bench, renamed)
    assert guessed.new.assumed == 1
    assert guessed.new.examples >= 1


async def test_a_backtest_reads_what_recipes_had_remembered_by_then(bench: Bench) -> None:
    """Another recipe's, in its order; the version that is tried remembers for itself what it says in the span."""
    await bench.recipe("sets", SETS)
    await bench.recipe("tried", READS)
    events = [await bench.order(number, amount, email="Ada@example.com") for number, amount in PAID]
    ran = {str(row["event_id"]) for row in await bench.hub.rows("select event_id from run where recipe = 'tried'")}
    assert ran == {events[2], events[3]}
    report = await backtest(bench, READS, "title: None\non: order.paid\nsteps: [{stop: true}]\n")
    told = {str(each.event_id): each.after.calls for each in report.differences if each.after.run == "done"}
    assert {event for event, calls in told.items() if calls} == ran
    assert b'"note":"60.00 EUR"' in told[events[2]][0].input
    said = await bench.get(f"/v1/events/{events[0]}/explain", recipe="tried")
    assert said["recipes"][0]["reason"].endswith("(customer.attributes.spent is absent)")


async def test_a_backtest_counts_failed_runs_by_their_error(bench: Bench) -> None:
    await bench.order(1)
    failing = SPENDS.replace("> 15", "> 5").replace('"{{ order.number }}"', '"{{ order.line_items[5].title }}"')
    report = await backtest(bench, failing)
    assert report.new.runs == {"failed": 1}
    ((error, count),) = report.new.errors.items()
    assert error.startswith("testbench.make_unsafe:")
    assert count == 1


async def test_a_large_backtest_is_done_by_several_processes_and_reports_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        await bench.order(number, amount=f"{number * 10}.00")
    changed = SPENDS.replace("> 15", "> 25")
    whole = await backtest(bench, changed, SPENDS)
    hub = bench.hub.hub
    hub.settings = hub.settings.model_copy(update={"connectors": "tests.support.testconnector"})
    monkeypatch.setattr(trials, "LARGE", 1)
    seen: list[int] = []
    parts = await backtest(bench, changed, SPENDS, progress=lambda events, at: seen.append(events))
    told = ("events", "new", "current", "differing", "differences")
    assert [parts.as_json()[name] for name in told] == [whole.as_json()[name] for name in told]
    assert seen[-1] == 3


@pytest.mark.parametrize(("text", "apart"), [(SPENDS, True), (LOOKS, True), (WAITS, False)])
def test_only_recipes_that_remember_nothing_are_tried_in_parts(text: str, apart: bool) -> None:
    assert trials.splits(parse_recipe(text, "tried")) == apart
    assert not trials.splits(parse_recipe(text.replace("on: order.paid", "on: order.paid\nonce_per: order.email"), "t"))


async def test_a_span_that_retention_has_cut_is_refused_with_the_reason(bench: Bench) -> None:
    hub, now = bench.hub.hub, bench.hub.hub.clock.now()

    async def back(days: int) -> Backtest:
        trial = Trial("main", "tried", Text(SPENDS, {}), now - timedelta(days=days), now)
        return await try_out(hub, trial, lambda events, at: None)

    with pytest.raises(PermanentError, match=r"are not kept.*TRADEWIND_RETENTION_EVENTS_DAYS"):
        await back(401)
    assert (await back(60)).events == 0
    later = now + timedelta(days=400 + 70)
    dropped = (await Retention(hub.database, hub.clock, hub.settings).pass_over(later)).dropped
    assert any(name.startswith("event_") for name in dropped)
    with pytest.raises(PermanentError, match="are not kept"):
        await back(60)


# --- backtests as jobs ------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backtests are done in this process: one of its own takes a second to start."""

    async def here(hub: Hub, trial: Trial, progress: Any, apart: bool) -> Backtest:
        return await try_out(hub, trial, progress)

    monkeypatch.setattr(jobs, "try_out", here)


async def started(bench: Bench, **wanted: Any) -> Any:
    return await bench.post("/v1/backtests", {"recipe": "tried", **wanted}, 201)


@pytest.mark.usefixtures("at_once")
async def test_a_backtest_is_a_job_with_progress_and_a_report(bench: Bench) -> None:
    await bench.recipe("tried", SPENDS)
    for number in range(1, 4):
        await bench.order(number, amount=f"{number * 10}.00")
    await asyncio.sleep(0.002)  # the span ends before the moment at which it is asked for
    job = await started(bench, source=SPENDS.replace("> 15", "> 25"), against="current", last="1d")
    assert (job["state"], job["share"], job["report"], job["compared"]) == ("queued", 0, None, True)
    worker = jobs.Backtests(bench.hub.hub)
    await worker.drain()
    assert worker.at_work is not None
    await worker.at_work
    done = await bench.get(f"/v1/backtests/{job['id']}")
    assert (done["state"], done["events"], done["share"], done["begun"]) == ("done", 3, 1, 1)
    assert done["report"]["new"]["money"] == {"EUR": "30.00"}
    assert done["report"]["current"]["money"] == {"EUR": "50.00"}
    assert done["report"]["differing"] == 1
    assert [each["id"] for each in (await bench.get("/v1/backtests", recipe="tried"))["items"]] == [job["id"]]
    await bench.post(f"/v1/backtests/{job['id']}/cancel", expect=409)


async def test_a_backtest_that_cannot_be_is_refused_with_the_reason(bench: Bench) -> None:
    await bench.recipe("tried", SPENDS)
    cut = await bench.post("/v1/backtests", {"recipe": "tried", "last": "500d"}, 400)
    assert "TRADEWIND_RETENTION_EVENTS_DAYS" in cut["detail"]
    await bench.post("/v1/backtests", {"recipe": "nothing"}, 404)
    await bench.post("/v1/backtests", {"recipe": "tried", "version": 7}, 404)
    await bench.post("/v1/backtests", {"recipe": "tried", "source": "title: No"}, 400)
    await bench.post("/v1/backtests", {"recipe": "tried", "last": "3d", "since": "2026-01-01T00:00:00Z"}, 422)


async def test_a_cancelled_backtest_ends_and_the_next_one_begins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def endless(*args: Any, **options: Any) -> Backtest:
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            ended.set()

    monkeypatch.setattr(jobs, "try_out", endless)
    monkeypatch.setattr(jobs, "BEAT", 0.01)
    await bench.recipe("tried", SPENDS)
    job, following = await started(bench), await started(bench)
    worker = jobs.Backtests(bench.hub.hub)
    await worker.drain()
    assert (await bench.get(f"/v1/backtests/{job['id']}"))["state"] == "running"
    assert (await bench.post(f"/v1/backtests/{job['id']}/cancel"))["state"] == "cancelled"
    assert worker.at_work is not None
    await worker.at_work
    assert ended.is_set()
    await worker.drain()
    assert (await bench.get(f"/v1/backtests/{following['id']}"))["state"] == "running"
    await worker.stop()
    assert (await bench.get(f"/v1/backtests/{following['id']}"))["state"] == "queued", "another process may begin it"


@pytest.mark.usefixtures("at_once")
async def test_a_backtest_whose_process_died_is_begun_anew_and_given_up_the_third_time(bench: Bench) -> None:
    await bench.recipe("tried", SPENDS)
    job = await started(bench)
    silent = "update backtest set state = 'running', owner = 'dead', begun = $1, heard_at = now() - interval '1 minute'"
    await bench.hub.rows(silent, 1)
    worker = jobs.Backtests(bench.hub.hub)
    await worker.drain()
    assert worker.at_work is not None
    await worker.at_work
    done = await bench.get(f"/v1/backtests/{job['id']}")
    assert (done["state"], done["begun"]) == ("done", 2)
    await bench.hub.rows(silent, 3)
    await jobs.Backtests(bench.hub.hub).drain()
    given_up = await bench.get(f"/v1/backtests/{job['id']}")
    assert (given_up["state"], given_up["error"]) == (
        "failed", "the process that ran it was cut off, 3 times; start it again"
    )  # fmt: skip
