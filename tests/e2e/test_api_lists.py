"""Lists: a feed that skips nothing, and filters that an index answers however much is kept."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.ids import new_id
from app.store import lists, stream
from app.store.lists import EventFilter, Page, RunFilter, WebhookFilter
from tests.support.bench import Bench, benched
from tests.support.harness import Harness, running

NEW_EVENT = """
insert into event (id, at, workspace, type, object_kind, object_id, subject_kind, subject_id, occurred_at, data,
    schema_version) values ($1, clock_timestamp(), 'main', 'order.paid', 'order', $2, 'order', $2, clock_timestamp(),
    '', 1)
"""


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def test_a_follower_skips_nothing_although_a_long_transaction_commits_late(
    bench: Bench, database_url: str
) -> None:
    slow = await asyncpg.connect(database_url)
    try:
        late, cursor, seen = new_id(), {}, []

        async def follow() -> int:
            nonlocal cursor
            page = await bench.get("/v1/events/feed", limit=2, type="order.*", **cursor)
            cursor = {"cursor": page["next"]}
            seen.extend(UUID(each["id"]) for each in page["items"])
            return len(page["items"])

        await bench.hub.rows(NEW_EVENT, new_id(), "before")
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(NEW_EVENT, late, "late")
        meanwhile = [new_id() for _ in range(5)]
        for each in meanwhile:
            await bench.hub.rows(NEW_EVENT, each, "meanwhile")
        while await follow():
            pass
        assert len(seen) == 1, "what an open transaction may still precede waits"
        await transaction.commit()
        while await follow():
            pass
    finally:
        await slow.close()
    assert len(seen) == len(set(seen)) == 7
    assert {late, *meanwhile} <= set(seen)
    await bench.order()
    assert await follow(), "the same cursor goes on for ever"


async def test_a_feed_goes_on_in_a_server_that_counted_fewer_transactions(bench: Bench) -> None:
    """As after a dump was restored elsewhere: what is written there stands behind what was written before."""
    await bench.hub.rows("insert into workspace (name) values ('main') on conflict do nothing")
    await bench.hub.rows(NEW_EVENT, new_id(), "old")
    await bench.hub.rows("update event set written = written + 1000000")
    async with bench.hub.hub.database.begin() as db:
        await stream.carry_on(db)
    page = await bench.get("/v1/events/feed")
    assert len(page["items"]) == 1
    await bench.hub.rows(NEW_EVENT, new_id(), "new")
    after = await bench.get("/v1/events/feed", cursor=page["next"])
    assert [each["subject"]["id"] for each in after["items"]] == ["new"]


async def test_a_newest_first_list_shows_each_row_once_while_rows_come_in(bench: Bench) -> None:
    before = [new_id() for _ in range(6)]
    for each in before:
        await bench.hub.rows(NEW_EVENT, each, "x")
    seen, cursor = [], {}
    while True:
        page = await bench.get("/v1/events", limit=2, **cursor)
        seen += [UUID(each["id"]) for each in page["items"]]
        await bench.hub.rows(NEW_EVENT, new_id(), "y")
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == before[::-1]


# --- indexes ----------------------------------------------------------------------------------------------------

FILLED = 40_000
FILL = """
insert into event (id, at, workspace, type, connection_id, object_kind, object_id, subject_kind, subject_id,
    occurred_at, data, schema_version, number, email)
select ('01' || lpad(to_hex(extract(epoch from now())::bigint * 1000 - g), 10, '0') || '70008000'
        || lpad(to_hex(g), 12, '0'))::uuid, now() - g * interval '1 ms', 'main',
    case when g % 4000 = 7 then 'review.received' else 'order.' || (array['created', 'paid', 'updated'])[1 + g % 3] end,
    case when g % 5000 = 3 then $1::uuid else $2::uuid end, 'order', g::text, 'order', g::text, now(), '', 1,
    '#' || g, 'buyer-' || g || '@example.com'
from generate_series(1, $3::int) as g
"""
FILL_RUNS = """
insert into run (id, at, workspace, recipe, version_id, event_id, connection_id, subject, state, reason)
select id, at, workspace, case when object_id::int % 4000 = 9 then 'rare' else 'common' end, id, id, connection_id, '',
    case when object_id::int % 900 = 5 then 'failed' else 'done' end,
    case when object_id::int % 900 = 5 then 'step charge: answered ' || object_id || ': no such order' end
from event
"""
FILL_WEBHOOKS = """
insert into webhook (id, at, workspace, connection_id, topic, headers, body, size, state)
select id, at, workspace, connection_id, type, '', '', 1, case when object_id::int % 5000 = 2 then 'unknown'
    else 'normalised' end from event
"""


class Explaining:
    """A database connection that tells the plan of each query instead of answering it."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.plans: list[str] = []

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        rows = await self._db.fetch(f"explain (analyze, costs off, timing off) {query}", *args)
        self.plans.append("\n".join(row[0] for row in rows))
        return []

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._db.fetchval(query, *args)


FILTERS: list[tuple[str, Any]] = [
    ("newest", EventFilter()),
    ("type", EventFilter(type="order.paid")),
    ("rare type", EventFilter(type="review.received")),
    ("family", EventFilter(type="review.*")),
    ("connection", EventFilter(connection="rare")),
    ("number", EventFilter(text="#123")),
    ("e-mail", EventFilter(text="buyer-77@example.com")),
    ("external id", EventFilter(text="4711")),
    ("error", EventFilter(text="answered 1805")),
    ("nothing", EventFilter(text="nobody-has-this")),
    ("recipe", EventFilter(recipe="rare")),
    ("runs", RunFilter()),
    ("runs of a recipe", RunFilter(recipe="rare")),
    ("runs in a state", RunFilter(state="failed")),
    ("runs of a connection", RunFilter(connection="rare")),
    ("runs with an error", RunFilter(text="no such order")),
    ("runs of an order", RunFilter(text="#123")),
    ("webhooks", WebhookFilter()),
    ("webhooks of a connection", WebhookFilter(connection="rare", state="normalised")),
]


async def test_every_filter_is_answered_by_an_index(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with running(database_url, redis_url, tmp_path) as hub:
        await _fill(hub)
        for name, wanted in FILTERS:
            async with hub.hub.database.acquire() as db:
                explaining = Explaining(db)
                ask = {EventFilter: lists.events, RunFilter: lists.runs, WebhookFilter: lists.webhooks}[type(wanted)]
                await ask(explaining, "main", Page(50), wanted)  # type: ignore[arg-type,operator]
            for plan in explaining.plans:
                read = [int(rows) for rows in re.findall(r"rows=(\d+)", plan)]
                removed = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
                assert not re.search(r"Seq Scan on (event|run|webhook)_\d", _met(plan)), f"{name}:\n{plan}"
                assert max(read + removed) < FILLED / 4, f"{name}:\n{plan}"


def _met(plan: str) -> str:
    """The lines of a plan that met rows: empty partitions may be read as they like."""
    return "\n".join(line for line in plan.splitlines() if "rows=0" not in line and "never executed" not in line)


async def _fill(hub: Harness) -> None:
    made = """insert into connection (id, slug, connector, account, secrets) values ($1, $2, 'events', $2, '')
              returning id"""
    rare, common = await hub.one(made, new_id(), "rare"), await hub.one(made, new_id(), "common")
    async with hub.hub.database.transaction() as db:
        await db.execute(FILL, rare, common, FILLED)
        await db.execute(FILL_RUNS)
        await db.execute(FILL_WEBHOOKS)
    async with hub.hub.database.acquire() as db:
        for table in ("event", "run", "webhook"):
            await db.execute(f"analyze {table}")
