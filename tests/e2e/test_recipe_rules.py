"""The rules of a whole recipe in a hub: once per value and window, places by priority, tries, quiet hours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support import testconnector
from tests.support.shop import Shop, opened


@pytest.fixture
async def shop(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(database_url, redis_url, tmp_path) as made:
        yield made


def recipe(rules: str, note: str, before: str = "", on: str = "order.updated", more: str = "") -> str:
    step = f'{{id: told, use: testbench.make_native, with: {{id: "1", note: "{note}{{{{ order.number }}}}"}}{more}}}'
    return f"title: Rules\non: {on}\n{rules}\nsteps:\n{before}  - {step}\n"


async def test_a_once_per_value_is_free_again_after_its_window_for_each_way_to_go_on(shop: Shop) -> None:
    once = "once_per: {value: order.email, within: 30d}"
    day = "  - wait: 1d\n"
    await shop.hub.recipe("ignores", recipe(once, "i"))
    await shop.hub.recipe("restarts", recipe(f"{once}\nagain: restart", "r", day))
    await shop.hub.recipe("queues", recipe(f"{once}\nagain: queue", "q", day))
    await shop.order(1, "order.updated", email="ada@example.com")
    await shop.forward(hours=12)
    await shop.order(2, "order.updated", email="ada@example.com")
    assert await shop.made() == ["i#1"]
    await shop.forward(hours=13)
    assert await shop.made() == ["i#1", "q#1"]
    await shop.forward(hours=12)
    assert await shop.made() == ["i#1", "q#1", "r#2"]
    await shop.forward(days=1)
    assert await shop.made() == ["i#1", "q#1", "r#2", "q#2"]
    await shop.forward(days=27)
    await shop.order(3, "order.updated", email="ada@example.com")
    assert (await shop.made())[4:] == []
    await shop.forward(days=2)
    await shop.order(4, "order.updated", email="ada@example.com")
    await shop.forward(days=1, seconds=5)
    assert sorted((await shop.made())[4:]) == ["i#4", "q#3", "q#4", "r#4"]
    said = await shop.hub.one("select decisions from event order by id desc limit 1")
    assert all(decision.startswith("run ") for decision in said.values()), said


async def test_events_without_the_once_per_value_are_each_for_themselves(shop: Shop) -> None:
    await shop.hub.recipe("once", recipe("once_per: order.email", "o"))
    for number, email in ((1, None), (2, None), (3, "ada@example.com"), (4, "ada@example.com")):
        await shop.order(number, "order.updated", email=email)
    assert await shop.made() == ["o#1", "o#2", "o#3"]


async def test_a_free_place_goes_to_the_recipe_of_the_highest_priority_then_to_who_came_first(shop: Shop) -> None:
    limits = "group: g\nlimits: {per: customer.email, at_most: 1, within: 7d}\npriority: "
    await shop.hub.recipe("low", recipe(f"{limits}-5", "low", on="order.paid"))
    await shop.hub.recipe("high", recipe(f"{limits}10", "high", on="order.created"))
    for number, topic in ((1, "order.paid"), (2, "order.paid"), (3, "order.paid"), (4, "order.created")):
        await shop.order(number, topic, email="ada@example.com")
    order = ["low#1", "high#4", "low#2", "low#3"]
    for count in range(1, 5):
        assert await shop.made() == order[:count]
        await shop.forward(days=7, seconds=1)


async def test_a_step_says_how_often_and_how_long_its_call_is_tried(shop: Shop) -> None:
    every = 'with: {id: "1"}, if_unsure: skip, on_error: continue'
    steps = "".join(
        f"  - {{id: {name}, use: testbench.{name}, {every}, {more}}}\n"
        for name, more in (
            ("make_native", "retry: {attempts: 2}"),
            ("make_lookup", "retry: false"),
            ("put_upsert", "retry: {within: 10m}"),
        )
    )
    await shop.hub.recipe("tries", f"title: Tries\non: order.paid\nsteps:\n{steps}")
    await shop.outside.post("/_faults/testbench", json=[{"status": 503}])
    await shop.order(1)
    for _ in range(6):
        await shop.forward(minutes=5)
    assert await shop.runs() == [("done", None)]
    rows = await shop.hub.rows("select path, attempts from call where state in ('dead', 'skipped')")
    tries = {row["path"]: row["attempts"] for row in rows}
    assert (tries["make_native"], tries["make_lookup"]) == (2, 1)
    assert 2 <= tries["put_upsert"] < 6, tries


async def test_a_steps_timeout_ends_an_attempt_before_the_connectors_own_would(shop: Shop) -> None:
    await shop.hub.recipe("short", recipe("", "t", on="order.paid", more=", timeout: 1s, retry: false"))
    await shop.outside.post("/_faults/testbench", json=[{"slow": 3}])
    await shop.order(1)
    (row,) = await shop.hub.rows("select state, error, extract(epoch from ended_at - at) as took from attempt")
    assert 0.9 < row["took"] < 1.9, row


async def test_quiet_hours_end_by_the_clock_on_the_wall_when_it_goes_back(shop: Shop) -> None:
    quiet = 'quiet_hours: {from: "21:00", to: "02:30", timezone: Europe/Berlin}'
    await shop.hub.recipe("quiet", recipe(quiet, "n"))
    clock = shop.hub.hub.clock
    clock._at_zero += datetime(2027, 10, 31, 1, 10, tzinfo=UTC) - clock.now()  # 02:10 for the second time
    await shop.order(1, "order.updated")
    assert await shop.runs() == [("waiting", None)]
    await shop.forward(minutes=19)
    assert await shop.made() == []
    await shop.forward(minutes=2)
    assert await shop.made() == ["n#1"]


async def test_a_recipe_takes_the_events_that_it_names_and_is_quiet_by_the_customers_clock(shop: Shop) -> None:
    """`on` narrowed in each way, and three buyers of whom it is night for one."""
    here = ", connection: bench"
    other = {"account": "two", "webhook_secrets": ["hush-hush"]}
    await shop.hub.connect("other", testconnector.connector, other, role="shop", base_url="http://127.0.0.1:9")
    narrowed = {
        "plain": "order.paid", "other": "{event: order.paid, connection: other}",
        "same": "{event: order.paid, platform: testbench}", "nobody": "{event: order.paid, platform: shopify}",
        "test": "{event: order.paid, test: only}", "tests": "{event: order.paid, test: true}",
        "old": "{event: order.paid, historical: only}",
    }  # fmt: skip
    for name, on in narrowed.items():
        await shop.hub.recipe(name, recipe("", name, on=on, more=here))
    await shop.order(1)
    await shop.hub.send("other", "order.paid", testconnector.payload(2))
    await shop.order(3, test=True)
    await shop.order(4, historical=True)
    assert sorted(await shop.made()) == [
        "old#4", "other#2", "plain#1", "plain#2", "same#1", "same#2", "test#3", "tests#1", "tests#2", "tests#3",
    ]  # fmt: skip
    why = await shop.hub.one("select decisions ->> 'plain' from event where number = '#4'")
    assert "historical" in why

    quiet = 'quiet_hours: {from: "21:00", to: "08:00", timezone: customer}'
    await shop.hub.recipe("quiet", recipe(quiet, "awake", on="order.created", more=here))
    clock = shop.hub.hub.clock
    clock._at_zero += datetime(2027, 6, 1, 13, 0, tzinfo=UTC) - clock.now()
    for number, country in enumerate(("DE", "JP"), 5):  # 15:00 and 22:00
        await shop.order(number, "order.created", country=country)
    await shop.order(7, "order.created")  # nobody knows where: by the shop's clock
    assert (await shop.made())[10:] == ["awake#5", "awake#7"]
    await shop.forward(hours=9, minutes=59)
    assert len(await shop.made()) == 12
    await shop.forward(minutes=2)
    assert (await shop.made())[12:] == ["awake#6"]


async def test_a_run_stays_on_the_version_it_began_with_and_a_poisonous_one_holds_up_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One version waits while the next is written; beside them a run that the database refuses."""
    day = "  - wait: 1d\n"
    await shop.hub.recipe("versions", recipe("", "old", day))
    await shop.hub.recipe("poison", "title: P\non: order.updated\nsteps:\n  - wait: 1d\n  - {id: bad, approve: Go?}\n")
    await shop.order(1, "order.updated")
    await shop.hub.recipe("versions", recipe("", "new", f"{day}{day}"))
    await shop.order(2, "order.updated")
    monkeypatch.setattr("app.pipeline.run.advance.say", lambda *_: "\0")
    await shop.forward(days=1, seconds=5)
    assert await shop.made() == ["old#1"]
    await shop.forward(days=1, seconds=5)
    assert await shop.made() == ["old#1", "new#2"]
    refused = await shop.hub.rows("select state, reason from run where recipe = 'poison'")
    assert [tuple(row) for row in refused] == [
        ("failed", "it cannot be moved: a fault of the hub (UntranslatableCharacterError)")
    ] * 2


TROUBLE = (
    asyncpg.DiskFullError("could not extend file"),
    asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    asyncpg.UndefinedColumnError('column "more" does not exist'),
    asyncpg.CheckViolationError('no partition of relation "step" found for row'),
)


async def test_trouble_of_the_server_ends_no_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a statement that took too long, a partition that is not there: the run waits, and goes on after."""
    await shop.hub.recipe("waits", recipe("", "n", "  - wait: 1d\n"))
    await shop.order(1, "order.updated")
    shop.hub.hub.clock._at_zero += timedelta(days=1, seconds=1)
    for trouble in TROUBLE:

        async def refuse(*_: Any, trouble: Exception = trouble) -> None:
            raise trouble

        with monkeypatch.context() as patched:
            patched.setattr("app.store.runs.insert_steps", refuse)
            with pytest.raises(type(trouble)):
                await shop.hub.runner.drain()
        assert await shop.runs() == [("waiting", None)]
    await shop.settle()
    assert await shop.made() == ["n#1"]


async def test_two_that_lock_in_opposite_order_while_a_bad_run_is_sought_begin_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.hub.recipe("waits", recipe("", "n", "  - wait: 1d\n"))
    await shop.order(1, "order.updated")
    shop.hub.hub.clock._at_zero += timedelta(days=1, seconds=1)
    met = [asyncpg.DeadlockDetectedError("deadlock detected"), ValueError("a fault")]

    async def refuse(*_: Any) -> None:
        raise met.pop()

    with monkeypatch.context() as patched:
        patched.setattr("app.store.runs.insert_steps", refuse)
        assert await shop.hub.runner.drain() is True
    assert met == []
    assert await shop.runs() == [("waiting", None)]


async def test_a_run_that_cannot_be_moved_waits_for_nothing_and_lets_the_next_begin(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = "  - {id: paid, wait_for: {event: order.paid, where: order.id == run.order.id, timeout: 1d}}\n"
    ask = "  - {id: bad, approve: Go?}\n"
    once = "once_per: {value: order.email, within: 30d}\nagain: queue"
    await shop.hub.recipe("queues", f"title: Q\non: order.updated\n{once}\nsteps:\n{heard}{ask}")
    for number in (1, 2):
        await shop.order(number, "order.updated", email="ada@example.com")
    assert await shop.hub.one("select count(*) from waiter where event_type = 'order.paid'") == 1
    (_, second) = await shop.hub.rows("select id from run order by id")
    later = shop.hub.hub.clock.now() + timedelta(days=9)
    await shop.hub.rows("update run set due_at = $1 where id = $2", later, second["id"])
    monkeypatch.setattr("app.pipeline.run.advance.say", lambda *_: "\0")
    await shop.forward(days=1, seconds=5)
    first, second = await shop.hub.rows("select id, state from run order by id")
    assert (first["state"], second["state"]) == ("failed", "waiting")
    assert await shop.hub.rows("select distinct run_id from waiter") == [(second["id"],)]
    assert await shop.hub.one("select count(*) from step where run_id = $1 and path = 'paid'", second["id"]) == 1
