"""Gathers what the judge compares: the ledger by SQL, the sink's and the sender's logs."""

from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.judge import Call, Evidence
from tests.support.sink import read_log

_CALLS = """
select encode(c.effect_key, 'hex') as key, e.object_id as order, split_part(c.action, '.', 2) as action, c.state,
    f.state as effect, coalesce(f.doubled, false) as doubled,
    coalesce((select array_agg(array[a.state, coalesce(a.error, '')] order by a.number, a.at)
        from attempt a where a.call_id = c.id), '{}') as attempts
from call c join event e on e.id = c.event_id left join effect f on f.key = c.effect_key
"""
_RUNS = "select e.object_id, count(*) from run r join event e on e.id = r.event_id group by 1"
_OPEN = "select e.object_id, r.state from run r join event e on e.id = r.event_id where r.state <> 'done'"
_LEFT_OVER = """
select (select count(*) from webhook where state <> 'normalised') as webhooks_not_normalised,
    (select count(*) from call where state in ('due', 'dead', 'cancelled')) as calls_not_ended,
    (select count(*) from attempt where state = 'sending') as attempts_sending,
    (select count(*) from effect where state = 'reserved') as effects_reserved
"""
_BUSY = """
select (select count(*) from webhook where state = 'due')
    + (select count(*) from call where state = 'due')
    + (select count(*) from attempt where state = 'sending')
    + (select count(*) from run r where r.state not in ('done', 'failed', 'cancelled')
        and not exists (select 1 from call c where c.run_id = r.id and c.state = 'uncertain'))
"""


async def _on(url: str, *queries: str) -> list[Any]:
    db = await asyncpg.connect(url, timeout=5)
    try:
        return [await db.fetch(query) for query in queries]
    finally:
        await db.close()


async def ask(url: str, query: str) -> list[Any]:
    """Rows of one query."""
    return list((await _on(url, query))[0])


async def busy(url: str) -> int:
    """How many things are under way."""
    return int((await ask(url, _BUSY))[0][0])


def accepted(log: Path) -> frozenset[str]:
    """Orders that got a 2xx."""
    lines = (line.split("\t") for line in log.read_text().splitlines()) if log.exists() else ()
    return frozenset(order for order, status, _ in lines if status.startswith("2"))


async def gather(url: str, orders: int, sender: Path, sink: Path) -> Evidence:
    events, runs, open_runs, calls, left_over = await _on(
        url, "select object_id from event where type = 'order.paid'", _RUNS, _OPEN, _CALLS, _LEFT_OVER
    )
    return Evidence(
        sent=frozenset(str(n) for n in range(1, orders + 1)),
        accepted=accepted(sender),
        events=Counter(row["object_id"] for row in events),
        runs={row[0]: row[1] for row in runs},
        open_runs=[(row[0], row[1]) for row in open_runs],
        calls=[Call(*list(row)[:6], tuple((s, e) for s, e in row["attempts"])) for row in calls],
        read=read_log(sink),
        left_over=dict(left_over[0]),
    )
