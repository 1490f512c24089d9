"""How long a list takes when a million events are kept: every list, filter and search, also combined and deep.

    python -m bench.million [--events 1000000] [--asks 15] [--home FOLDER]

Fills a database by SQL (webhooks, events, runs, calls and effects of three months, customers, audit lines), serves it,
and asks over HTTP one after another, with other values each time. Asked for: 50 ms each (p50 of the asks; the exit code
says whether all kept to it). `--home` keeps what was filled, so that the next time only asks.
"""

import argparse
import asyncio
import base64
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import asyncpg
import orjson
import uvloop

from app.store import partitions
from app.store.packing import pack
from bench.listing import Reader
from bench.load import percentiles
from bench.stage import Stage, staged

ASKED_FOR = 50.0
"""Milliseconds."""
DAYS = 84

SLUGS = ("shop", "payments", "second", "books", "chat", "postage", "till", "rare")


def _id(at: str, number: str, mark: str = "0") -> str:
    """SQL of a UUIDv7 of that moment; `number` tells those of one millisecond apart, `mark` the tables."""
    return (
        f"(lpad(to_hex((extract(epoch from {at}) * 1000)::bigint), 12, '0') || '7{mark}00' || '8000' || "
        f"lpad(to_hex({number}), 12, '0'))::uuid"
    )


_AT = f"date_trunc('milliseconds', now() - ($1::int - g) * (interval '{DAYS} days' / $1::int))"
"""The moment of the g-th event of $1, up to now."""
_CONNECTIONS = """
insert into connection (id, slug, connector, account, secrets, role)
select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, slug, 'events', slug, '', null
from unnest($1::text[]) with ordinality as t(slug, n)
"""
_WHOSE = """('00000000-0000-7000-8000-' || lpad((case when g % 50000 = 3 then 8 when g % 100 < 60 then 1
    when g % 100 < 85 then 2 when g % 100 < 98 then 3 else 7 end)::text, 12, '0'))::uuid"""
"""Of three shops, one small and one that sends hardly anything, and a payment processor with a quarter."""
_TYPE = """case when g % 50000 = 3 then 'review.received'
    when g % 100 between 60 and 84 then (array['payment.succeeded', 'payment.authorized', 'refund.created'])[1 + g % 3]
    when g % 1000 = 7 then 'stock.counted'
    else (array['order.created', 'order.paid', 'order.updated', 'order.fulfilled'])[1 + g % 4] end"""
_EVENTS = f"""
insert into event (id, at, workspace, type, connection_id, webhook_id, object_kind, object_id, subject_kind, subject_id,
    occurred_at, data, schema_version, number, email, test)
select {_id(_AT, "g")}, {_AT}, 'main', {_TYPE}, {_WHOSE}, {_id(_AT, "g", "1")},
    case when g % 100 between 60 and 84 then 'payment' else 'order' end,
    case when g % 100 between 60 and 84 then 'pi_' || g else (5000000000000 + g / 4)::text end,
    'order', (5000000000000 + g / 4)::text, {_AT}, $2, 1, '#' || g / 4,
    case when g % 500 = 1 then 'busy@example.com' else 'buyer-' || (g / 4) % 300000 || '@example.com' end, g % 1000 = 0
from generate_series(1, $1::int) as g
"""
_WEBHOOKS = f"""
insert into webhook (id, at, workspace, connection_id, topic, headers, body, size, state, reason, events, normalised_at)
select {_id(_AT, "g", "1")}, {_AT}, 'main', {_WHOSE},
    case when g % 20000 = 9 then 'products/delete' else (array['orders/paid', 'orders/updated'])[1 + g % 2] end,
    '', $2::bytea, length($2::bytea), case when g % 5000 = 2 then 'unknown' when g % 10000 = 5 then 'malformed'
        when g % 50 = 4 then 'ignored' else 'normalised' end,
    case when g % 5000 = 2 then 'nobody knows the topic carts/merge-' || g
        when g % 10000 = 5 then 'order.total_price: is no amount: 12,' || g
        when g % 50 = 4 then 'a draft is nobody''s order' end, 1, {_AT}
from generate_series(1, $1::int) as g
"""
_RUNS = f"""
insert into run (id, at, workspace, recipe, version_id, event_id, connection_id, subject, state, reason, data, ended_at)
select {_id(_AT, "g", "2")}, {_AT}, 'main',
    case when g % 30000 = 9 then 'tell-of-reviews' when g % 8 = 1 then 'invoice-paid-orders'
        when g % 8 < 4 then 'announce-orders' else 'tag-orders' end,
    {_id(_AT, "g")}, {_id(_AT, "g")}, {_WHOSE}, '', case when g % 500 = 5 then 'failed'
        when g % 2000 = 11 then 'cancelled' when g % 3000 = 13 then 'waiting'
        when g > $1::int - 40 then 'running' else 'done' end,
    case when g % 5000 = 5 then 'step invoice: QuickBooks answers 400: Duplicate Document Number ' || g
        when g % 500 = 5 then 'step announce: timed out after 30 s' end, $2, {_AT}
from generate_series(1, $1::int) as g where g % 2 = 1
"""
_CALLS = f"""
insert into call (id, at, workspace, connection_id, run_id, event_id, recipe, path, action, subject, effect_key, input,
    state, due_at, error, ended_at)
select {_id(_AT, "g", "3")}, {_AT}, 'main',
    ('00000000-0000-7000-8000-' || lpad((4 + g % 3)::text, 12, '0'))::uuid, {_id(_AT, "g", "2")}, {_id(_AT, "g")},
    case when g % 30000 = 9 then 'tell-of-reviews' when g % 8 = 1 then 'invoice-paid-orders'
        when g % 8 < 4 then 'announce-orders' else 'tag-orders' end,
    'steps.0', (array['quickbooks.create_invoice', 'slack.post_message', 'shippo.buy_label'])[1 + g % 3], '',
    sha256(g::text::bytea), $2,
    case when g % 500 = 5 then 'dead' when g % 20000 = 17 then 'uncertain' when g > $1::int - 40 then 'due'
        else 'done' end, {_AT},
    case when g % 500 = 5 then 'QuickBooks answers 400: Duplicate Document Number ' || g end, {_AT}
from generate_series(1, $1::int) as g where g % 2 = 1
"""
_EFFECTS = f"""
insert into effect (key, workspace, state, call_id, label, at, ended_at)
select sha256(g::text::bytea), 'main', case when g % 500 = 5 then 'released' when g % 20000 = 17 then 'uncertain'
        when g > $1::int - 40 then 'reserved' else 'done' end, {_id(_AT, "g", "3")}, 'step ' || g, {_AT}, {_AT}
from generate_series(1, $1::int) as g where g % 2 = 1
"""
_PEOPLE = f"""
insert into customer (id, email, phone, name, orders, created_at, updated_at)
select {_id(_AT, "g", "4")}, 'buyer-' || g || '@example.com', '+49' || 1000000 + g, 'Ada Number ' || g, 1 + g % 5,
    {_AT}, {_AT}
from generate_series(1, $1::int) as g where g <= 300000
"""
_AUDIT = f"""
insert into audit (id, workspace, actor, verb, object, at)
select {_id(_AT, "g", "5")}, 'main', case when g % 20000 = 1 then 'auditor' else 'warehouse' end,
    case when g % 20000 = 2 then 'redo' when g % 2 = 0 then 'replay' else 'retry' end,
    case when g % 20000 = 3 then 'recipe/tag-orders' else 'event/' || {_id(_AT, "g")} end, {_AT}
from generate_series(1, $1::int) as g where g % 10 < 4
"""
_REJECTED = f"""
insert into rejected (id, slug, status, reason, size, at)
select {_id(_AT, "g", "6")}, case when g % 999 = 1 then 'rare' else 'shop' end,
    case when g % 999 = 2 then 413 else 401 end, 'the signature does not match', 100, {_AT}
from generate_series(1, $1::int) as g where g <= 10000
"""
_SUPPRESSED = f"""
insert into suppression (workspace, key, address, reason, since)
select 'main', decode(md5(g::text), 'hex'), 'gone-' || g || '@example.com', 'bounced', {_AT}
from generate_series(1, $1::int) as g where g <= 50000
"""
_REPLAYS = f"""
insert into replay (id, filter, options, state, actor, created_at)
select {_id(_AT, "g", "7")}, '{{"type": "order.paid"}}', '{{"begin": "start"}}', 'done', 'warehouse', {_AT}
from generate_series(1, $1::int) as g where g <= 1000
"""


def _filler(seed: int, size: int) -> bytes:
    """A body as it is stored: a JSON object of about so many bytes once compressed."""
    return pack(orjson.dumps({"filler": base64.b64encode(random.Random(seed).randbytes(size)).decode()}))


FILL: dict[str, tuple[str, bytes | None]] = {
    "event": (_EVENTS, _filler(1, 900)),
    "webhook": (_WEBHOOKS, _filler(2, 200)),
    "run": (_RUNS, _filler(3, 500)),
    "call": (_CALLS, _filler(4, 200)),
    "effect": (_EFFECTS, None),
    "customer": (_PEOPLE, None),
    "audit": (_AUDIT, None),
    "rejected": (_REJECTED, None),
    "suppression": (_SUPPRESSED, None),
    "replay": (_REPLAYS, None),
}


async def fill(hub: Stage, events: int) -> None:
    """Fill every table that is listed, and let PostgreSQL count what there is."""
    engine_url = hub.embedded.database_url
    await _make_partitions(engine_url)
    moment = f"timestamptz '{datetime.now(UTC).isoformat()}'"  # the same for all: ids are made of it
    db = await asyncpg.connect(engine_url, command_timeout=3600)
    try:
        await db.execute(_CONNECTIONS, list(SLUGS))
        for table, (statement, filler) in FILL.items():
            began = time.perf_counter()
            await db.execute(statement.replace("now()", moment), events, *([] if filler is None else [filler]))
            await db.execute(f"vacuum (analyze) {table}")
            print(f"filled {table} in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    finally:
        await db.close()


async def _make_partitions(url: str) -> None:
    from app.store.database import Database

    database = await Database(url).open()
    now = datetime.now(UTC)
    async with database.transaction() as db:
        for days in range(0, DAYS + 7, 7):
            await partitions.make_ahead(db, now - timedelta(days=days))
    await database.close()


# --- what is asked ----------------------------------------------------------------------------------------------


@dataclass
class Dice:
    """Draws values of what was filled."""

    lot: random.Random
    events: int

    def g(self) -> int:
        return self.lot.randrange(1, self.events)

    def number(self) -> str:
        return quote(f"#{self.g() // 4}")

    def moment(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=DAYS) * self.lot.random()

    def deep(self) -> str:
        """A cursor from somewhere in the middle."""
        at = datetime.now(UTC) - timedelta(days=DAYS) * (0.1 + 0.8 * self.lot.random())
        raw = UUID(int=int(at.timestamp() * 1000) << 80 | 0x7000 << 64 | 0x8 << 60).bytes
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


Ask = Callable[[Dice], str]


def _always(path: str, dice: Dice) -> str:
    return path


def _with(path: str, more: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{more}"


def _deep(path: str, dice: Dice) -> str:
    return _with(path, f"cursor={dice.deep()}")


def _until(path: str, dice: Dice) -> str:
    return _with(path, f"until={quote(dice.moment().isoformat())}")


def _within(path: str, dice: Dice) -> str:
    begin = dice.moment()
    return _with(path, f"since={quote(begin.isoformat())}&until={quote((begin + timedelta(hours=1)).isoformat())}")


def asks() -> Iterator[tuple[str, Ask]]:
    """(what is asked, its address)."""

    def fixed(*paths: str) -> Iterator[tuple[str, Ask]]:
        for path in paths:
            yield path, partial(_always, f"/v1/{path}")

    yield from fixed(
        *("events", "events?limit=200", "events?type=order.paid", "events?type=review.received"),
        *("events?type=stock.counted", "events?type=stock.*", "events?type=order.*", "events?type=refund.*"),
        *("events?connection=shop", "events?connection=rare", "events?connection=books", "events?test=true"),
        *("events?recipe=tag-orders", "events?recipe=tell-of-reviews", "events?recipe=no-such"),
        *("events?state=failed", "events?state=running", "events?state=done", "events?state=cancelled"),
        *("events?recipe=invoice-paid-orders&state=failed", "events?recipe=tag-orders&state=done"),
        *("events?type=order.paid&connection=payments", "events?type=order.paid&connection=till"),
        *("events?type=refund.created&connection=shop&test=true", "events?type=order.*&connection=payments"),
        *("events?type=refund.created&state=failed", "events?connection=till&recipe=tag-orders&state=failed"),
        *("events?q=busy@example.com", "events?q=nobody@example.com", "events?q=timed%20out"),
        *("events?q=Duplicate%20Document", "events?q=busy@example.com&type=refund.created"),
        *("events?q=timed%20out&connection=till", "events?q=busy@example.com&state=failed"),
        *("runs", "runs?recipe=tag-orders", "runs?recipe=tell-of-reviews", "runs?state=failed", "runs?state=running"),
        *("runs?state=held", "runs?state=waiting", "runs?state=done", "runs?connection=rare", "runs?connection=shop"),
        *("runs?type=order.paid", "runs?type=review.received", "runs?type=stock.counted", "runs?type=order.*"),
        *("runs?recipe=invoice-paid-orders&state=failed", "runs?recipe=tag-orders&state=running"),
        *("runs?connection=till&state=failed", "runs?connection=payments&type=order.paid"),
        *("runs?recipe=tell-of-reviews&state=failed&connection=till&type=order.paid",),
        *("runs?q=busy@example.com", "runs?q=timed%20out", "runs?q=Duplicate%20Document", "runs?q=nowhere-to-be-found"),
        *("runs?q=timed%20out&recipe=tag-orders&connection=till",),
        *("webhooks", "webhooks?state=unknown", "webhooks?state=malformed", "webhooks?state=due"),
        *("webhooks?state=ignored", "webhooks?connection=rare", "webhooks?connection=till&state=malformed"),
        *("webhooks?topic=orders/paid", "webhooks?topic=products/delete", "webhooks?topic=no/such"),
        *("webhooks?q=nobody%20knows", "webhooks?q=is%20no%20amount", "webhooks?q=nowhere-to-be-found"),
        *("webhooks?q=busy@example.com", "webhooks?q=busy@example.com&state=unknown"),
        *("rejected", "rejected?connection=rare", "rejected?status=413", "rejected?connection=rare&status=413"),
        *("rejected?q=signature", "rejected?q=nowhere"),
        *("effects", "effects?state=uncertain", "effects?state=reserved", "effects?state=released"),
        *(
            "effects?state=done",
            "effects?connection=chat",
            "effects?recipe=tell-of-reviews",
            "effects?recipe=tag-orders",
        ),
        *(
            "effects?q=busy@example.com",
            "effects?q=nowhere",
            "effects?q=Duplicate%20Document",
            "effects?state=released&connection=chat",
        ),
        *("effects?action=slack.post_message", "effects?action=slack.post_message&connection=books"),
        *(
            "customers",
            "customers?q=buyer-77@example.com",
            "customers?q=Number%20777",
            "customers?q=Number",
            "customers?q=nowhere",
        ),
        *("audit", "audit?actor=warehouse", "audit?actor=auditor", "audit?actor=nobody", "audit?verb=redo"),
        *("audit?object=recipe/tag-orders", "audit?object=recipe/*", "audit?actor=auditor&verb=redo"),
        *("audit?q=tag-orders", "audit?q=nowhere"),
        *("replays", "replays?state=done", "replays?state=running", "backtests", "connections", "recipes"),
        *("suppressions", "suppressions?q=gone-77@example.com", "webhook-subscriptions", "keys", "workspaces"),
        *(
            "events/feed",
            "events/feed?type=review.received",
            "events/feed?connection=rare",
            "events/feed?type=refund.*",
        ),
    )
    for noun in ("events", "runs", "webhooks", "customers", "audit"):
        yield f"{noun} in the middle", partial(_deep, f"/v1/{noun}?limit=100")
        yield f"{noun} before", partial(_until, f"/v1/{noun}")
        yield f"{noun} within an hour", partial(_within, f"/v1/{noun}")
    yield "effects before", partial(_until, "/v1/effects")
    yield "effects within an hour", partial(_within, "/v1/effects")
    yield "a type within an hour", partial(_within, "/v1/events?type=refund.created")
    yield "failed runs within an hour", partial(_within, "/v1/runs?state=failed")
    yield "a recipe within an hour", partial(_within, "/v1/events?recipe=tag-orders&state=done")
    yield "a type in the middle", partial(_deep, "/v1/events?type=order.paid")
    yield "a connection in the middle", partial(_deep, "/v1/events?connection=payments")
    yield "failed runs in the middle", partial(_deep, "/v1/runs?state=failed")
    yield "an order's number", lambda dice: f"/v1/events?q={dice.number()}"
    yield "an order's number without #", lambda dice: f"/v1/events?q={dice.g() // 4}"
    yield "a buyer", lambda dice: f"/v1/events?q=buyer-{dice.g() % 250000}@example.com"
    yield "a payment's id", lambda dice: f"/v1/events?q=pi_{dice.g() // 100 * 100 + 70}"
    yield "an order's id", lambda dice: f"/v1/events?q={5000000000000 + dice.g() // 4}"
    yield "an error's number", lambda dice: f"/v1/events?q=Number%20{dice.g() // 5000 * 5000 + 5}"
    yield "a run's order", lambda dice: f"/v1/runs?q={dice.number()}"
    yield "a webhook's order", lambda dice: f"/v1/webhooks?q={dice.number()}"
    yield "an effect's order", lambda dice: f"/v1/effects?q={dice.number()}"
    yield "a whole way", lambda dice: f"/v1/trace/{dice.g() // 4}"
    yield "a timeline", lambda dice: f"/v1/subjects/order/{5000000000000 + dice.g() // 4}/timeline"


async def ask_all(hub: Stage, events: int, times: int, only: str) -> bool:
    """Ask each so often, print the table; True if all kept to what is asked for."""
    key, well = hub.environment["TRADEWIND_ADMIN_KEY"], True
    _, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", hub.port)
    db = await asyncpg.connect(hub.embedded.database_url)
    await db.execute("create extension if not exists pg_stat_statements")
    print(
        "| asked | rows | shortest, ms | p50, ms | longest, ms | PostgreSQL, ms | pages |",
        "|---|---|---|---|---|---|---|",
        sep="\n",
    )
    for name, address in asks():
        if only not in name:
            continue
        dice, took, rows, seen, refused = Dice(random.Random(1), events), [], 0, "", ""
        await db.execute("select pg_stat_statements_reset()")
        for _ in range(times):
            began = time.perf_counter()
            status, body = await reader.get(address(dice), key)
            took.append(time.perf_counter() - began)
            if status == 422 and b"/problems/unknown-name" in body:
                refused = " (refused: there never was one)"
                continue
            if status != 200:
                seen = f" (answered {status}: {body[:100].decode()})"
                break
            rows = len(orjson.loads(body).get("items", ()))
        ran, pages = await db.fetchrow(_COST)
        p50 = percentiles(took)["p50"]
        slow = p50 > ASKED_FOR or bool(seen)
        well = well and not slow
        print(
            f"| {name}{seen or refused} | {rows} | {min(took) * 1000:.1f} | {p50:.1f}{' **slow**' if slow else ''} "
            f"| {max(took) * 1000:.1f} | {ran / len(took):.1f} | {pages / len(took):.0f} |",
            flush=True,
        )
    await db.close()
    return well


_COST = """
select coalesce(sum(total_exec_time + total_plan_time), 0), coalesce(sum(shared_blks_hit + shared_blks_read), 0)::float
from pg_stat_statements
where coalesce(query, '') not like '%pg_stat_statements%'
"""
"""What the statements since the last reset cost: milliseconds, and pages that were looked at."""


@contextmanager
def _home(given: str | None) -> Iterator[Path]:
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="tw-million-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.million", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--asks", type=int, default=15, help="of each, one after another")
    parser.add_argument("--home", help="a folder to fill, or that is filled already")
    parser.add_argument("--only", default="", help="only what holds this text")
    given = parser.parse_args()
    with _home(given.home) as home, staged(home) as hub:
        filled = home / "filled"
        if not filled.exists():
            asyncio.run(fill(hub, given.events))
            filled.touch()
        hub.start("api", "-m", "app.cli", "serve")
        hub.wait_ready(hub.port, seconds=120)
        return 0 if uvloop.run(ask_all(hub, given.events, given.asks, given.only)) else 1


if __name__ == "__main__":
    sys.exit(main())
