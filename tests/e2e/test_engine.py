"""The engine with a whole hub: real PostgreSQL, a sandbox outside, time moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app import events as canonical
from app.byhand import Approval, approve
from app.pipeline.match.timed import Timed
from app.pipeline.run import listening
from app.store import waiters
from tests.support.shop import Shop, opened


@pytest.fixture
async def shop(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(database_url, redis_url, tmp_path) as made:
        yield made


def say(note: str, more: str = "") -> str:
    return f'  - {{use: testbench.make_native, with: {{id: "1", note: "{note}"}}{more}}}\n'


async def test_a_wait_is_a_row_that_time_ends(shop: Shop) -> None:
    steps = [say("at once", ", id: a"), "  - wait: 3d\n", say("late", ", id: b")]
    await shop.hub.recipe("later", "title: Later\non: order.paid\nsteps:\n" + "".join(steps))
    await shop.order(1)
    assert await shop.runs() == [("waiting", None)]
    await shop.forward(days=2, hours=23)
    assert await shop.made() == ["at once"]
    await shop.forward(hours=1, seconds=1)
    assert await shop.made() == ["at once", "late"]
    assert await shop.runs() == [("done", None)]
    assert await shop.hub.one("select array_agg(late order by id) from call") == [False, True]


WELCOME = """
title: Ask when nothing came
on: order.created
steps:
  - id: paid
    wait_for: {event: order.paid, where: order.id == run.order.id, timeout: 2d}
  - {use: testbench.make_native, if: steps.paid.timed_out, with: {id: "1", note: "unpaid {{ order.number }}"}}
  - id: yes
    use: testbench.make_native
    if: not steps.paid.timed_out
    with: {id: "2", note: "paid {{ steps.paid.event.order.totals.paid.amount }}"}
"""


async def test_an_event_that_is_waited_for_wakes_its_run_and_no_other(shop: Shop) -> None:
    await shop.hub.recipe("ask", WELCOME)
    await shop.order(1, "order.created")
    await shop.order(2, "order.created")
    assert await shop.hub.one("select count(*) from waiter") == 2
    await shop.order(2, "order.paid", amount="12.50")
    assert await shop.made() == ["paid 12.50"]
    assert await shop.runs() == [("waiting", None), ("done", None)]
    await shop.forward(days=2, seconds=1)
    assert await shop.made() == ["paid 12.50", "unpaid #1"]
    assert await shop.hub.one("select count(*) from waiter") == 0
    assert await shop.hub.one("select count(*) from heard") == 0


async def test_what_meets_a_bug_while_others_wait_and_emit_is_given_up_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event that cannot be held against the waiters, and one emitted event that cannot be stated."""
    await shop.hub.recipe("welcome", WELCOME)
    emit = "title: Emit\non: order.paid\nsteps:\n  - emit: vip.reached\n    with: {number: '{{ order.number }}'}\n"
    await shop.hub.recipe("emit", emit)
    for number in (1, 2, 3):
        await shop.order(number, "order.created")
    find, state = waiters.find, Timed._emitted

    async def deaf(db: Any, probes: Sequence[Any]) -> Any:
        bad = await db.fetchval("select id from event where number = '#2' and type = 'order.paid'")
        if bad in [event_id for event_id, *_ in probes]:
            raise RuntimeError("a bug")
        return await find(db, probes)

    def dumb(self: Timed, timer: Any) -> Any:
        if "#2" in timer.data["data"]:
            raise RuntimeError("a bug")
        return state(self, timer)

    monkeypatch.setattr(waiters, "find", deaf)
    monkeypatch.setattr(Timed, "_emitted", dumb)
    for number in (1, 2, 3):
        await shop.order(number, settle=False)
    await shop.settle()
    assert await shop.hub.one("select count(*) from run where recipe = 'welcome' and state = 'done'") == 2
    assert await shop.hub.one("select count(*) from event where type = 'vip.reached'") == 2
    (row,) = await shop.hub.rows("select * from event where number = '#2' and type = 'order.paid'")
    assert listening.as_heard({**row, "schema_version": 99}, shop.hub.hub.connections) is None, "unreadable: not heard"
    left = "select (select count(*) from timer) + (select count(*) from event where waiters_due)"
    assert await shop.hub.one(left) == 0
    assert await shop.hub.one("select count(*) from run where recipe = 'welcome' and state = 'waiting'") == 1


async def test_an_event_between_trigger_and_wait_is_met_by_looking_back(shop: Shop) -> None:
    late = WELCOME.replace("steps:\n", "steps:\n  - wait: 1d\n", 1)
    await shop.hub.recipe("ask", late)
    await shop.order(1, "order.created")
    await shop.order(1, "order.paid")
    assert await shop.runs() == [("waiting", None)]
    await shop.forward(days=1, seconds=1)
    assert await shop.made() == ["paid 10.00"]


async def test_a_past_event_that_meets_a_bug_spoils_no_run_that_looks_back_over_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the events that are looked over one cannot be loaded, and of another the field that is asked for fails."""
    load, field_of = canonical.load, listening.field_of

    def loads(type_: str, schema_version: int, data: Any) -> Any:
        if "#2" in str(data):
            raise AttributeError("a bug")
        return load(type_, schema_version, data)

    def finds(facts: Any, path: str) -> Any:
        if facts["order"]["number"] == "#3":
            raise AttributeError("a bug")
        return field_of(facts, path)

    await shop.hub.recipe("ask", WELCOME.replace("steps:\n", "steps:\n  - wait: 1d\n", 1))
    await shop.order(1, "order.created")
    for number in (2, 3, 1):
        await shop.order(number, "order.paid", amount="7.00")
    monkeypatch.setattr(canonical, "load", loads)
    monkeypatch.setattr(listening, "field_of", finds)
    await shop.forward(days=1, seconds=5)
    assert await shop.made() == ["paid 7.00"]
    assert await shop.runs() == [("done", None)]


CANCEL = """
title: Remind
on: order.created
cancel_on:
  - {event: order.cancelled, where: order.id == run.order.id, reason: the order was cancelled}
steps:
  - wait: 1d
  - {use: testbench.make_native, with: {id: "1", note: "remind {{ order.number }}"}}
"""


async def test_a_cancelled_run_calls_nobody_and_says_why(shop: Shop) -> None:
    await shop.hub.recipe("remind", CANCEL)
    await shop.order(1, "order.created")
    await shop.order(2, "order.created")
    await shop.order(1, "order.cancelled")
    assert await shop.runs() == [("cancelled", "the order was cancelled"), ("waiting", None)]
    await shop.forward(days=1, seconds=1)
    assert await shop.made() == ["remind #2"]
    assert await shop.hub.one("select count(*) from waiter") == 0


async def test_a_cancel_that_is_committed_but_not_yet_matched_is_seen_by_the_step_that_comes_due(shop: Shop) -> None:
    await shop.hub.recipe("remind", CANCEL)
    await shop.order(1, "order.created")
    await shop.order(1, "order.cancelled", settle=False)
    await shop.hub.normaliser.drain()
    shop.hub.hub.clock._at_zero += timedelta(days=1, seconds=1)
    await shop.hub.runner.drain()
    assert await shop.runs() == [("cancelled", "the order was cancelled")]


async def test_a_due_step_holds_for_webhooks_that_came_before_it(shop: Shop) -> None:
    await shop.hub.recipe("remind", CANCEL)
    await shop.order(1, "order.created")
    await shop.order(1, "order.cancelled", settle=False)
    shop.hub.hub.clock._at_zero += timedelta(days=1, seconds=1)
    await shop.hub.runner.drain()
    assert await shop.runs() == [("waiting", None)]
    await shop.settle()
    await shop.forward(seconds=2)
    assert await shop.runs() == [("cancelled", "the order was cancelled")]
    assert await shop.made() == []


async def test_unsent_calls_of_a_cancelled_run_are_never_sent(shop: Shop) -> None:
    now = CANCEL.replace("  - wait: 1d\n", "")
    await shop.hub.recipe("remind", now)
    shop.hub.hub.bells.lane = lambda name: True
    await shop.order(1, "order.created", settle=False)
    await shop.hub.normaliser.drain()
    assert await shop.hub.one("select count(*) from call where state = 'due'") == 1
    await shop.order(1, "order.cancelled", settle=False)
    await shop.hub.normaliser.drain()
    await shop.hub.runner.match_waiters()
    await shop.hub.runner.drain()
    await shop.settle()
    assert await shop.runs() == [("cancelled", "the order was cancelled")]
    assert await shop.made() == []
    assert await shop.hub.rows("select state from call") == [("cancelled",)]


async def test_items_go_at_most_so_many_at_once_and_in_order(shop: Shop) -> None:
    source = """
title: Items
on: order.paid
steps:
  - id: each
    for_each: "['a', 'b', 'c']"
    as: letter
    key: letter
    use: testbench.make_native
    with: {id: "{{ letter }}", note: "{{ letter }}"}
  - {use: testbench.put_upsert, with: {id: "9", note: "{{ steps.each | map('id') | join('') }}"}}
"""
    await shop.hub.recipe("items", source)
    await shop.order(1, settle=False)
    await shop.hub.normaliser.drain()
    assert await shop.hub.one("select count(*) from call") == 1
    await shop.settle()
    assert await shop.made() == ["a", "b", "c", "abc"]


async def test_steps_are_done_for_each_item_with_waits_of_their_own(shop: Shop) -> None:
    source = """
title: Items
on: order.paid
steps:
  - for_each: "['a', 'b']"
    as: letter
    key: letter
    at_once: 2
    steps:
      - wait: 1h
      - id: inner
        use: testbench.make_native
        with: {id: "{{ letter }}", note: "{{ letter }}1"}
      - {use: testbench.put_upsert, with: {id: "{{ letter }}", note: "{{ steps.inner.id }}2"}}
"""
    await shop.hub.recipe("items", source)
    await shop.order(1)
    await shop.forward(hours=1, seconds=1)
    assert sorted(await shop.made()) == ["a1", "a2", "b1", "b2"]
    assert await shop.runs() == [("done", None)]


async def test_again_restart_counts_from_the_last_event(shop: Shop) -> None:
    source = """
title: Quiet for a day
on: order.updated
once_per: order.id
again: restart
steps:
  - wait: 1d
  - {use: testbench.make_native, with: {id: "1", note: "{{ order.totals.paid.amount | string }}"}}
"""
    await shop.hub.recipe("quiet", source)
    await shop.order(1, "order.updated", amount="1.00")
    await shop.forward(hours=20)
    await shop.order(1, "order.updated", amount="2.00", at="2026-11-20T11:00:00Z")
    await shop.forward(hours=20)
    assert await shop.made() == []
    await shop.forward(hours=5)
    assert await shop.made() == ["2.00"]
    await shop.order(1, "order.updated", amount="3.00", at="2026-11-20T12:00:00Z")
    await shop.forward(days=2)
    assert await shop.made() == ["2.00"]
    assert [state for state, _ in await shop.runs()] == ["cancelled", "done"]


async def test_again_queue_runs_one_after_another(shop: Shop) -> None:
    source = """
title: One after another
on: order.updated
once_per: order.id
again: queue
steps:
  - wait: 1d
  - {use: testbench.make_native, with: {id: "1", note: "{{ order.totals.paid.amount | string }}"}}
"""
    await shop.hub.recipe("queue", source)
    await shop.order(1, "order.updated", amount="1.00")
    await shop.order(1, "order.updated", amount="2.00", at="2026-11-20T11:00:00Z")
    await shop.forward(days=1, seconds=1)
    assert await shop.made() == ["1.00"]
    await shop.forward(days=1, seconds=1)
    assert await shop.made() == ["1.00", "2.00"]
    assert [state for state, _ in await shop.runs()] == ["done", "done"]


LIMITED = """
title: Not too often
on: order.paid
limits: {per: order.email, at_most: 1, within: 7d}
steps:
  - {use: testbench.make_native, with: {id: "1", note: "{{ order.number }}"}}
"""


async def test_a_limit_defers_across_runs(shop: Shop) -> None:
    await shop.hub.recipe("limited", LIMITED)
    for number in (1, 2, 3):
        await shop.order(number, email="ada@example.com" if number < 3 else "bob@example.com")
    assert await shop.made() == ["#1", "#3"]
    await shop.forward(days=6, hours=23)
    assert await shop.made() == ["#1", "#3"]
    await shop.forward(hours=1, seconds=5)
    assert await shop.made() == ["#1", "#3", "#2"]


async def test_a_limit_that_skips_says_so(shop: Shop) -> None:
    await shop.hub.recipe("limited", LIMITED.replace("within: 7d", "within: 7d, over: skip"))
    await shop.order(1, email="ada@example.com")
    await shop.order(2, email="ADA@example.com")
    assert await shop.made() == ["#1"]
    assert (await shop.runs())[1] == ("cancelled", "the limit of 1 in 1w is reached")


async def test_what_a_recipe_emits_runs_another_once(shop: Shop) -> None:
    emitting = """
title: Emit
on: order.paid
steps:
  - emit: vip.reached
    with: {level: gold, total: "{{ order.totals.paid.amount }}"}
"""
    taking = """
title: Take
on: vip.reached
steps:
  - {use: testbench.make_native, with: {id: "1", note: "{{ data.level }} {{ order.number }} {{ data.total + 1 }}"}}
"""
    await shop.hub.recipe("emit", emitting)
    await shop.hub.recipe("take", taking)
    await shop.order(1)
    assert await shop.made() == ["gold #1 11.0"]
    assert await shop.hub.one("select count(*) from timer") == 0


async def test_what_is_set_is_read_by_later_steps_and_later_runs(shop: Shop) -> None:
    source = """
title: Remember
on: order.paid
steps:
  - {use: testbench.make_native, with: {id: "1", note: "{{ customer.attributes.level | default('none') }}"}}
  - set: {customer: {attributes: {level: gold}, add_tags: vip}}
  - {use: testbench.put_upsert, with: {id: "2", note: "{{ customer.attributes.level }} {{ customer.tags | join }}"}}
"""
    await shop.hub.recipe("remember", source)
    await shop.order(1, email="ada@example.com")
    assert await shop.made() == ["none", "gold vip"]
    await shop.order(2, email="ada@example.com")
    assert (await shop.made())[2] == "gold"


async def test_what_is_remembered_keeps_its_value_and_its_type(shop: Shop) -> None:
    await shop.hub.recipe(
        "spends",
        """
title: Remember amounts and times
on: order.paid
where: customer.attributes.spent == none
steps:
  - set: {customer: {attributes: {spent: "{{ order.total.amount * 0.19 }}", n: 3, at: "{{ event.occurred_at }}"}}}
  - {use: testbench.make_native, with: {id: "1", note: "twice {{ customer.attributes.spent * 2 }}"}}
""",
    )
    await shop.hub.recipe(
        "reads",
        """
title: Another recipe reads them of the same person, by another event
on: order.created
where: customer.attributes.spent > 1 and order.customer.attributes.n == 3 and not customer.attributes.never
steps:
  - use: testbench.put_upsert
    with: {id: "2", note: "{{ customer.attributes.spent + customer.attributes.n }} {{ customer.attributes.at | date }}"}
""",
    )
    await shop.order(1, email="ada@example.com")
    await shop.order(2, email="ada@example.com")
    await shop.order(3, "order.created", email="ADA@example.com")
    await shop.order(4, "order.created", email="bob@example.com")
    assert await shop.made() == ["twice 3.8", "4.9 2026-11-20"]


async def test_places_are_counted_as_long_as_any_recipe_of_the_group_asks(shop: Shop) -> None:
    limits = (
        "[{per: customer.email, at_most: 9, within: 30d}, {per: customer.email, at_most: 1, within: 1h, over: skip}]"
    )
    short = LIMITED.replace("limits: {per: order.email, at_most: 1, within: 7d}", f"group: g\nlimits: {limits}")
    await shop.hub.recipe("short", short)
    await shop.hub.recipe("long", short.replace("order.paid", "order.created").replace(limits, LONG_LIMIT))
    for number in (1, 2, 3):
        await shop.order(number, email="ada@example.com")
        await shop.forward(hours=2)
    await shop.order(4, "order.created", email="ada@example.com")
    assert await shop.made() == ["#1", "#2", "#3"]
    assert (await shop.runs())[-1] == ("cancelled", "the limit of 3 in 1w is reached")


LONG_LIMIT = "{per: customer.email, at_most: 3, within: 7d, over: skip}"


async def test_later_steps_of_a_failing_run_follow_its_on_error(shop: Shop) -> None:
    source = """
title: Errors
on: order.paid
on_error:
  - {use: testbench.make_native, with: {id: "1", note: "{{ error.step }}: {{ error.message }}"}}
steps:
  - id: bad
    wait: "{{ order.note }}"
"""
    await shop.hub.recipe("errors", source)
    await shop.order(1)
    (made,) = await shop.made()
    assert made.startswith("bad: ")
    assert (await shop.runs())[0][0] == "failed"


async def test_no_event_between_trigger_and_wait_is_missed_however_the_workers_race(shop: Shop) -> None:
    """Trigger and awaited event follow each other while two workers drain every stage as fast as they can."""
    await shop.hub.recipe("ask", WELCOME)
    hub, stop = shop.hub, asyncio.Event()

    async def work(drain: Callable[[], Awaitable[bool]]) -> None:
        while not stop.is_set():
            await drain()
            await asyncio.sleep(0)

    drains = [hub.normaliser.drain, hub.runner.match_waiters, hub.runner.drain]
    workers = [asyncio.create_task(work(drain)) for drain in drains * 2]
    try:
        for number in range(1, 41):
            await shop.order(number, "order.created", settle=False)
            while not await hub.one("select count(*) from webhook where state <> 'due'") >= 2 * number - 1:
                await asyncio.sleep(0)
            await shop.order(number, "order.paid", settle=False)
    finally:
        stop.set()
        await asyncio.gather(*workers)
    await shop.settle()
    assert await shop.runs() == [("done", None)] * 40
    assert sorted(await shop.made()) == ["paid 10.00"] * 40
    assert await hub.one("select count(*) from waiter") == 0


async def test_a_run_of_a_subject_waits_for_an_earlier_one_until_that_waits(shop: Shop) -> None:
    source = """
title: In order
on: order.updated
steps:
  - {id: a, use: testbench.make_native, with: {id: "1", note: "a{{ order.totals.paid.amount }}"}}
  - {id: b, use: testbench.make_native, with: {id: "1", note: "b{{ order.totals.paid.amount }}"}}
  - wait: 1d
  - {id: c, use: testbench.make_native, with: {id: "1", note: "c{{ order.totals.paid.amount }}"}}
"""
    await shop.hub.recipe("ordered", source)
    shop.hub.hub.bells.lane, lane = (lambda name: True), shop.hub.hub.bells.lane
    for hour in (10, 11, 12):
        at = f"2026-11-20T{hour}:00:00Z"
        await shop.order(1, "order.updated", settle=False, amount=f"{hour}.00", at=at)
        await shop.hub.normaliser.drain()
    assert await shop.hub.one("select count(*) from call") == 1
    shop.hub.hub.bells.lane = lane
    await shop.settle()
    await shop.forward(seconds=5)
    assert await shop.made() == ["a10.00", "b10.00", "a11.00", "b11.00", "a12.00", "b12.00"]
    await shop.forward(days=1, seconds=5)
    assert sorted((await shop.made())[6:]) == ["c10.00", "c11.00", "c12.00"]


async def test_a_schedule_runs_its_recipe_once_a_slot(shop: Shop) -> None:
    source = """
title: Every hour
on: {schedule: "0 * * * *"}
steps:
  - {use: testbench.make_native, with: {id: "1", note: "{{ slot.recipe }}"}}
"""
    await shop.hub.recipe("hourly", source)
    await shop.settle()
    assert await shop.made() == []
    await shop.forward(hours=1)
    await shop.forward(hours=3)
    assert await shop.made() == ["hourly", "hourly"]


async def test_a_person_is_asked_and_the_run_goes_on(shop: Shop) -> None:
    source = """
title: Ask
on: order.paid
steps:
  - {id: ok, approve: "Ship {{ order.number }}?", timeout: 2d}
  - {if: steps.ok.approved, use: testbench.make_native, with: {id: "1", note: "by {{ steps.ok.by }}"}}
  - {id: each, for_each: order.line_items, approve: "Pack {{ item.title }}?"}
  - {use: testbench.put_upsert, with: {id: "2", note: "{{ steps.each | map('approved') | join }}"}}
"""
    await shop.hub.recipe("ask", source)
    await shop.order(1)
    (row,) = await shop.hub.rows("select run_id, output from step where kind = 'approve'")
    assert row["output"]["title"] == "Ship #1?"
    for told in (["by ada"], ["by ada", "true"]):  # the second time of its only item: nothing else asks
        await approve(shop.hub.hub, "main", row["run_id"], Approval(approved=True), "ada")
        await shop.settle()
        assert await shop.made() == told


async def test_why_a_recipe_did_not_run_is_kept_with_the_event(shop: Shop) -> None:
    source = "title: No\non: order.paid\nwhere: order.number and order.totals.paid.amount > 50\nsteps:\n"
    await shop.hub.recipe("no", source + say("x"))
    await shop.order(1)
    decisions = await shop.hub.one("select decisions from event")
    assert decisions["no"] == "where is false: order.totals.paid.amount > 50 (order.totals.paid.amount is 10.00)"
