"""Lists: a feed that skips nothing, and filters that an index answers however much is kept."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.ids import new_id, time_of
from app.store import lists, stream
from app.store.database import Connection
from app.store.lists import DeedFilter, EffectFilter, EventFilter, Page, RunFilter, WebhookFilter, where
from tests.support.bench import Bench, benched
from tests.support.harness import Harness, running

Ask = Callable[[Connection, Page], Awaitable[list[UUID]]]
NEW_EVENT = """
insert into event (id, at, workspace, type, object_kind, object_id, subject_kind, subject_id, occurred_at, data,
    schema_version) values ($1, $3, 'main', 'order.paid', 'order', $2, 'order', $2, $3, '', 1)
"""


def event(row_id: UUID, object_id: str) -> tuple[str, UUID, str, datetime]:
    """The statement that writes an event, with its arguments."""
    return NEW_EVENT, row_id, object_id, time_of(row_id)


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


@dataclass
class Follower:
    """Reads a feed page by page."""

    bench: Bench
    filters: dict[str, str]
    cursor: dict[str, str] = field(default_factory=dict)
    seen: list[UUID] = field(default_factory=list)

    async def follow(self) -> int:
        """How many events the next page held."""
        page = await self.bench.get("/v1/events/feed", limit=3, **self.filters, **self.cursor)
        self.cursor = {"cursor": page["next"]}
        self.seen += [UUID(each["id"]) for each in page["items"]]
        return len(page["items"])

    async def until(self, count: int) -> None:
        """Follow until so many were seen: another database of the same server may hold them back for a while."""
        async with asyncio.timeout(30):
            while await self.follow() or len(self.seen) < count:
                await asyncio.sleep(0 if len(self.seen) < count else 0.01)


async def test_followers_skip_nothing_although_transactions_commit_in_another_order_than_they_wrote(
    bench: Bench, database_url: str
) -> None:
    lot = random.Random(7)
    writers = [await asyncpg.connect(database_url) for _ in range(5)]
    followers = [Follower(bench, {}), Follower(bench, {"type": "order.*"})]
    committed: set[UUID] = set()
    try:
        opened: dict[int, tuple[Any, list[UUID]]] = {}
        for _ in range(60):
            number = lot.randrange(len(writers))
            if number in opened and lot.random() < 0.5:
                transaction, wrote = opened.pop(number)
                await (transaction.commit() if (kept := lot.random() < 0.9) else transaction.rollback())
                committed.update(wrote if kept else ())
            else:
                if number not in opened:
                    opened[number] = (writers[number].transaction(), [])
                    await opened[number][0].start()
                opened[number][1].append(new_id())
                await writers[number].execute(*event(opened[number][1][-1], "some"))
            for each in followers:
                await each.follow()
        assert len(committed) > 20
        assert len(followers[0].seen) < len(committed), "what an open transaction may still precede waits"
        for transaction, wrote in opened.values():
            await transaction.commit()
            committed.update(wrote)
    finally:
        for writer in writers:
            await writer.close()
    for each in followers:
        await each.until(len(committed))
        assert (len(each.seen), set(each.seen)) == (len(committed), committed), "none twice, none skipped"
    assert followers[0].seen == followers[1].seen
    await bench.order()
    await followers[0].until(len(committed) + 1)  # the same cursor goes on for ever


async def test_a_feed_goes_on_in_a_server_that_counted_fewer_transactions(bench: Bench) -> None:
    """As after a dump was restored elsewhere: what is written there stands behind what was written before."""
    await bench.hub.rows("insert into workspace (name) values ('main') on conflict do nothing")
    await bench.hub.rows(*event(new_id(), "old"))
    await bench.hub.rows("update event set written = written + 1000000")
    async with bench.hub.hub.database.begin() as db:
        await stream.carry_on(db)
    page = await bench.get("/v1/events/feed")
    assert len(page["items"]) == 1
    await bench.hub.rows(*event(new_id(), "new"))
    after = await bench.get("/v1/events/feed", cursor=page["next"])
    assert [each["subject"]["id"] for each in after["items"]] == ["new"]


async def test_a_newest_first_list_shows_each_row_once_while_rows_come_in(bench: Bench) -> None:
    before = [new_id() for _ in range(6)]
    for each in before:
        await bench.hub.rows(*event(each, "x"))
    seen, cursor = [], {}
    while True:
        page = await bench.get("/v1/events", limit=2, **cursor)
        seen += [UUID(each["id"]) for each in page["items"]]
        await bench.hub.rows(*event(new_id(), "y"))
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == before[::-1]


# --- indexes ----------------------------------------------------------------------------------------------------

FILLED = 40_000
FILL = """
insert into event (id, at, workspace, type, connection_id, object_kind, object_id, subject_kind, subject_id,
    occurred_at, data, schema_version, number, email, webhook_id)
select made, to_timestamp(extract(epoch from now())::bigint - g / 1000.0), 'main',
    case when g % 4000 = 7 then 'review.received' else 'order.' || (array['created', 'paid', 'updated'])[1 + g % 3] end,
    case when g % 5000 = 3 then $1::uuid else $2::uuid end, 'order', g::text, 'order', g::text, now(), '', 1,
    '#' || g, case when g % 100 = 5 then 'busy' else 'buyer-' || g end || '@example.com', made
from (select g, (lpad(to_hex(extract(epoch from now())::bigint * 1000 - g), 12, '0') || '70008000'
    || lpad(to_hex(g), 12, '0'))::uuid as made from generate_series(1, $3::int) as g) as t
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
FILL_CALLS = """
insert into call (id, at, workspace, connection_id, run_id, event_id, recipe, path, action, subject, effect_key, input,
    state, due_at, error)
select id, at, workspace, connection_id, id, id, recipe, 'steps.0', 'events.send', '', sha256(id::text::bytea), '',
    case state when 'failed' then 'dead' else 'done' end, at, reason
from run where (event_id::text ~ '5$' or state = 'failed')
"""
FILL_AUDIT = """
insert into audit (id, workspace, actor, verb, object, at)
select e.id, 'main', 'warehouse', 'replay', case when substr(e.id::text, 36) = '7' then 'recipe/rare'
    else 'recipe/common' end, e.at from event e
"""
FILL_EFFECTS = """
insert into effect (key, workspace, state, call_id, label, at)
select effect_key, workspace, case state when 'dead' then 'released' else 'done' end, id, '', at from call
"""


class Explaining:
    """A database connection that tells the plan of each query that it answers."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.plans: list[str] = []

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        rows = await self._db.fetch(f"explain (analyze, costs off, timing off) {query}", *args)
        self.plans.append("\n".join(row[0] for row in rows))
        found: list[Any] = await self._db.fetch(query, *args)
        return found

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


async def _ids(rows: Awaitable[list[Any]], column: str = "id") -> list[UUID]:
    return [row[column] for row in await rows]


def _events(wanted: EventFilter) -> Ask:
    return lambda db, page: _ids(lists.events(db, "main", page, wanted))


def _effects(wanted: EffectFilter) -> Ask:
    def ask(db: Connection, page: Page) -> Awaitable[list[UUID]]:
        before = None if page.before is None else (page.before, b"")
        return _ids(lists.effects(db, "main", before, page.limit, wanted), "call_id")

    return ask


COMBINED: dict[str, Ask] = {
    "a busy person": _events(EventFilter(text="busy@example.com")),
    "a busy person's failures": _events(EventFilter(text="busy@example.com", state="failed")),
    "a type's failures": _events(EventFilter(type="order.*", state="failed")),
    "failures saying something": _events(EventFilter(text="no such order", connection="common")),
    "a recipe's events of a connection": _events(EventFilter(recipe="rare", connection="common")),
    "runs of a busy person": lambda db, page: _ids(lists.runs(db, "main", page, RunFilter(text="busy@example.com"))),
    "webhooks of a busy person": lambda db, page: _ids(
        lists.webhooks(db, "main", page, WebhookFilter(text="busy@example.com", state="normalised"))
    ),
    "effects of a busy person": _effects(EffectFilter(text="busy@example.com")),
    "effects that failed": _effects(EffectFilter(text="no such order", state="released")),
    "what was done about a thing": lambda db, page: _ids(lists.audit(db, "main", page, DeedFilter(text="rare"))),
}


async def test_every_filter_is_answered_by_an_index_and_alike_whichever_way_it_goes(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
                assert not re.search(r"Seq Scan on (event|run|webhook|call)_\d", _met(plan)), f"{name}:\n{plan}"
                assert max(read + removed) < FILLED / 4, f"{name}:\n{plan}"
        async with hub.hub.database.acquire() as db:
            for name, ask in COMBINED.items():
                whole = await ask(db, Page(200))
                assert whole, name
                monkeypatch.setattr(where, "FEW", 0)
                assert await ask(db, Page(200)) == whole, f"{name}: from the newest on, not by candidates"
                monkeypatch.undo()
                last = whole[0]
                for row in whole[1:9]:
                    (last, *_) = await ask(db, Page(1, before=last))
                    assert last == row, f"{name}: page by page"


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
        await db.execute(FILL_CALLS)
        await db.execute(FILL_EFFECTS)
        await db.execute(FILL_AUDIT)
    async with hub.hub.database.acquire() as db:
        for table in ("event", "run", "webhook", "call", "effect", "audit"):
            await db.execute(f"analyze {table}")
