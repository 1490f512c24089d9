"""Growth: partitions go by age, and nothing that has not ended goes with them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app import ids
from app.domain.retention import Kept, Retention
from app.store import partitions, retention
from app.store.packing import unpack
from tests.support.bench import Bench, benched

WAITING = """
title: A thing after a while
on: order.paid
steps:
  - id: first
    use: testbench.make_native
    with: {id: "{{ order.id }}"}
  - wait: 30d
  - id: second
    use: testbench.make_unsafe
    with: {id: "{{ order.number }}/{{ steps.first.id }}/{{ order.total.amount }}"}
"""
YEARS = timedelta(days=800)


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


@contextmanager
def long_ago(by: timedelta) -> Iterator[datetime]:
    """Ids are made as if it were then, so that rows stand in the partitions of then."""
    then = datetime.now(UTC) - by
    ids.follow(then.timestamp() - time.monotonic())
    last, ids._last = ids._last, 0
    try:
        yield then
    finally:
        ids.follow(time.time() - time.monotonic())
        ids._last = last


async def order_long_ago(bench: Bench, by: timedelta = YEARS, number: int = 1001) -> str:
    with long_ago(by) as then:
        async with bench.hub.hub.database.transaction() as connection:
            await partitions.make_ahead(connection, then)
        return await bench.order(number)


async def kept(bench: Bench) -> Kept:
    hub = bench.hub.hub
    return await Retention(hub.database, hub.clock, hub.settings).pass_over(hub.clock.now())


async def counts(bench: Bench) -> dict[str, int]:
    tables = ("webhook", "event", "run", "step", "call", "attempt")
    return {table: await bench.hub.one(f"select count(*) from {table}") for table in tables}


async def go_on(bench: Bench) -> None:
    await bench.hub.rows("update step set due_at = clock_timestamp() - interval '1 s' where kind = 'wait'")
    await bench.hub.rows("update run set due_at = clock_timestamp() where state = 'waiting'")
    await bench.work()


async def test_what_ended_goes_with_its_partition_and_its_keys_stay(bench: Bench) -> None:
    event_id = await order_long_ago(bench)
    assert min((await counts(bench)).values()) >= 1
    done = await kept(bench)
    assert await counts(bench) == dict.fromkeys(("webhook", "event", "run", "step", "call", "attempt"), 0)
    assert {name.partition("_")[0] for name in done.dropped} == {"webhook", "event", "run", "step", "call", "attempt"}
    assert await bench.hub.one("select count(*) from effect") == 2
    assert await bench.hub.one("select count(*) from event_identity where event_id = $1", UUID(event_id)) == 1
    assert (await kept(bench)).dropped == []


async def test_a_waiting_run_goes_on_after_its_partition_expired(bench: Bench) -> None:
    await bench.recipe("later", WAITING)
    event_id = await order_long_ago(bench)
    (before,) = await bench.hub.rows("select id, at from run where recipe = 'later'")
    await kept(bench)
    (after,) = await bench.hub.rows("select id, at, data from run where recipe = 'later'")
    assert after["id"] == before["id"]
    assert after["at"] > datetime.now(UTC) - timedelta(days=1)
    assert await bench.hub.one("select count(*) from event where id = $1", UUID(event_id)) == 0
    assert await bench.hub.one("select count(*) from step where run_id = $1", after["id"]) == 2
    await go_on(bench)
    assert await bench.hub.one("select state from run where recipe = 'later'") == "done"
    assert bench.outside.count("/unsafe") == 2, "one of two-steps then, one of this run now"
    bodies = await bench.hub.rows("select input from call where path = 'second'")
    from app.store.packing import unpack_json

    assert unpack_json(bodies[-1]["input"])["id"] == "#1001/1001/10.00"


async def test_an_open_question_and_an_unread_webhook_are_kept(bench: Bench) -> None:
    with long_ago(YEARS) as then:
        async with bench.hub.hub.database.transaction() as connection:
            await partitions.make_ahead(connection, then)
        await bench.order(1)
        await bench.order(2)
    await bench.hub.rows(
        "update call set state = 'uncertain', unsure = true, ended_at = null where path = 'second' and id = "
        "(select id from call where path = 'second' order by id desc limit 1)"
    )
    asked = await bench.hub.one("select id from call where state = 'uncertain'")
    await bench.hub.rows("update webhook set state = 'due' where id = (select id from webhook order by id limit 1)")
    done = await kept(bench)
    assert (done.moved["webhook"], done.moved["call"], done.moved["attempt"]) == (1, 1, 1)
    assert await bench.hub.one("select id from call") == asked
    assert await bench.hub.one("select call_id from attempt") == asked
    await bench.work()
    assert await bench.hub.one("select state from webhook") == "normalised"
    assert await bench.hub.one("select count(*) from event") == 0, "its event's identity is kept for ever"


@pytest.mark.parametrize("table", ["event", "run", "step", "call"])
async def test_a_process_that_died_between_taking_out_and_dropping_loses_nothing(bench: Bench, table: str) -> None:
    await bench.recipe("later", WAITING)
    await order_long_ago(bench)
    database = bench.hub.hub.database
    moment = datetime.now(UTC) - timedelta(days=400)
    async with database.acquire() as db:
        for partition in await partitions.over_before(db, table, moment):
            assert await partitions.detach(db, partition)
    assert await bench.hub.one(f"select count(*) from {table}") == 0
    await kept(bench)
    assert await bench.hub.one("select state from run") == "waiting"
    await go_on(bench)
    assert await bench.hub.one("select state from run") == "done"


async def test_only_one_process_does_it_and_a_long_reader_puts_it_off_without_blocking(bench: Bench) -> None:
    await order_long_ago(bench)
    events = await bench.hub.one("select count(*) from event")
    database = bench.hub.hub.database
    async with database.transaction() as db:
        assert await retention.alone(db)
        assert (await kept(bench)).busy
    async with database.transaction() as db:
        await db.fetch("select * from event")
        began = asyncio.get_running_loop().time()
        done = await kept(bench)
        assert any(name.startswith("event_") for name in done.later)
        assert asyncio.get_running_loop().time() - began < 10
        assert await bench.hub.one("select count(*) from event") == events
    assert (await kept(bench)).later == []
    assert await bench.hub.one("select count(*) from event") == 0


async def test_partitions_are_made_beside_a_dump_and_orders_flow_meanwhile(bench: Bench) -> None:
    """They are made as the first ones were, and neither wait for who reads for hours nor let others wait."""
    database = bench.hub.hub.database
    async with database.transaction() as reader, database.transaction() as maker:
        for table in ("webhook", "event", "run", "step", "call", "attempt"):
            await reader.fetchval(f"select count(*) from {table}")
        async with asyncio.timeout(5):
            made = await partitions.make_ahead(maker, datetime.now(UTC) + timedelta(days=400))
            await bench.order(1)
    assert len(made) == 24
    assert await bench.hub.one("select count(*) from run where state = 'done'") == 1
    shapes = await bench.hub.rows(
        """select count(distinct (c.reloptions, a.attributes, i.indexes)) as shapes from pg_inherits h
           join pg_class c on c.oid = h.inhrelid and h.inhparent = 'webhook'::regclass,
           lateral (select array_agg((attname, attstorage, atttypid, attnotnull) order by attnum)::text as attributes
                    from pg_attribute where attrelid = c.oid and attnum > 0) a,
           lateral (select array_agg(d.said order by d.said)::text as indexes
                    from pg_index join pg_inherits n on n.inhrelid = indexrelid,
                    lateral (select replace(pg_get_indexdef(indexrelid), c.relname, '') as said) d
                    where indrelid = c.oid) i"""
    )
    assert shapes[0]["shapes"] == 1


async def test_expired_keys_are_trimmed_and_keys_without_an_end_are_not(bench: Bench) -> None:
    await bench.hub.rows(
        """insert into delivery (key, webhook_id, expires_at)
           select decode(lpad(to_hex(n), 32, '0'), 'hex'), gen_random_uuid(),
               case when n > 1200 then null else clock_timestamp() - interval '1 s' end
           from generate_series(1, 1203) n"""
    )
    await bench.hub.rows(
        """insert into once (key, run_id, expires_at) values ('a', gen_random_uuid(), now() - interval '1 s'),
           ('b', gen_random_uuid(), now() + interval '1 day'), ('c', gen_random_uuid(), null)"""
    )
    done = await kept(bench)
    assert done.trimmed == {"delivery": 1200, "once": 1}
    assert await bench.hub.one("select count(*) from delivery") == 3
    assert await bench.hub.one("select count(*) from once") == 2


async def test_it_looks_at_start_and_then_hourly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, passes = bench.hub.hub, []

    class Counting(Retention):
        async def pass_over(self, now: datetime) -> Any:
            passes.append(now)
            return Kept()

    looking = Counting(hub.database, hub.clock, hub.settings)
    for _ in range(3):
        await looking.look()
    assert len(passes) == 1
    looking.next_at = hub.clock.now()
    await looking.look()
    assert len(passes) == 2


async def test_an_attempt_that_was_never_heard_of_leaves_its_call_unsure(bench: Bench) -> None:
    await order_long_ago(bench)
    await bench.post("/v1/connections/shop/pause")
    await bench.hub.rows("update call set state = 'due', ended_at = null, unsure = false where path = 'second'")
    await bench.hub.rows(
        "update attempt set state = 'sending' where call_id = (select id from call where state = 'due')"
    )
    await kept(bench)
    (call,) = await bench.hub.rows("select unsure, state from call")
    assert (call["unsure"], call["state"]) == (True, "due"), "it may have acted"
    assert await bench.hub.one("select state from attempt") == "unsure"


async def test_orders_flow_while_partitions_go(bench: Bench) -> None:
    await order_long_ago(bench)
    going = asyncio.create_task(kept(bench))
    for number in range(2001, 2011):
        await bench.order(number)
    assert (await going).later == []
    states = await bench.hub.rows("select distinct state from run where at > clock_timestamp() - interval '1 day'")
    assert [row["state"] for row in states] == ["done"]


async def test_bodies_that_are_tied_to_nobody_live_thirty_days_at_most(bench: Bench) -> None:
    """Whatever the retention of raw webhooks is; and what went is noted for the workspace, without a name."""
    nobody = {"email": None}
    with long_ago(timedelta(days=31)) as then:
        async with bench.hub.hub.database.transaction() as connection:
            await partitions.make_ahead(connection, then)
        await bench.hub.send("shop", "planet.discovered", {"who": "Zelda Unknown"})
        await bench.order(1, **nobody)
        await bench.order(2, email="buyer@example.com")
    await bench.hub.send("shop", "planet.discovered", {"who": "Zelda Today"})
    await bench.order(3, **nobody)
    hub = bench.hub.hub
    settings = hub.settings.model_copy(update={"retention_raw_days": 365})
    done = await Retention(hub.database, hub.clock, settings).pass_over(hub.clock.now())
    assert done.blanked == {"webhook": 2, "attempt": 2}
    bodies = [unpack(row["body"]) for row in await bench.hub.rows("select body from webhook order by id")]
    assert [b"Zelda" in body or b"id" in body for body in bodies] == [False, False, True, True, True]
    kept_of = (
        "select count(*) from attempt where requests is not null group by call_id is null, at < now() - interval '1 d'"
    )
    assert sorted(row["count"] for row in await bench.hub.rows(kept_of)) == [2, 2]
    noted = await bench.hub.rows("select workspace, object, detail from audit where actor = 'retention' order by id")
    assert [(row["workspace"], row["object"], row["detail"]["rows"]) for row in noted] == [
        ("main", "webhook/bodies", 2),
        ("main", "attempt/bodies", 2),
    ]
    again = await Retention(hub.database, hub.clock, settings).pass_over(hub.clock.now())
    assert again.blanked == {"webhook": 0, "attempt": 0}, "each is looked at once"


async def test_what_retention_drops_is_noted_for_each_workspace(bench: Bench) -> None:
    await order_long_ago(bench)
    done = await kept(bench)
    noted = await bench.hub.rows("select workspace, object, detail from audit where actor = 'retention'")
    assert noted
    assert {row["object"] for row in noted} <= set(done.dropped)
    (event,) = [row for row in noted if row["object"].startswith("event")]
    assert (event["workspace"], event["detail"]["days"]) == ("main", 400)
    assert event["detail"]["rows"] >= 1
