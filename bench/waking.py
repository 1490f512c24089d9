"""What it is like when many waiting runs come due at one moment.

    python -m bench.waking [--runs 10000] [--rate 20]

Orders make runs that wait; then all of their waits are set to end at one moment, while new orders go on coming in. It
prints how long the runs took to wake and call, the longest time in which none did, and how long a new order took from
its webhook to its call meanwhile. The exit code says whether it was smooth: no standstill over a second, no new order
that took five, and at least nine in ten of them called in the end.
"""

import argparse
import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import asyncpg
import uvloop

from bench.stage import ROOT, Stage, stage

WAITS = """title: Put every order after a day
on: order.paid
steps:
  - wait: 1d
  - use: testbench.put_upsert
    with: {id: "{{ order.id }}", note: woken}
"""
STANDSTILL, SLOWEST, PATIENCE = 1.0, 5.0, 60.0
"""Seconds; the last: how long new orders may still come after the last one was sent."""
CAME = 0.9
ALL_DUE = """
with woken as (update run set due_at = clock_timestamp() where recipe = 'waits' and state = 'waiting' returning id)
update step set due_at = clock_timestamp() from woken where step.run_id = woken.id and step.state = 'running'
"""
LEFT = "select count(*) from run where recipe = 'waits' and id <= $1 and state <> 'done'"
FRESH = """
select extract(epoch from c.ended_at - w.at) from call c join event e on e.id = c.event_id
join webhook w on w.id = e.webhook_id where c.recipe = 'put-every-order' and w.at >= $1 and c.state = 'done'
"""


async def wake(url: str) -> tuple[float, float]:
    """Let all waits end now; answers the seconds until all are done, and the longest standstill."""
    db = await asyncpg.connect(url)
    try:
        last = await db.fetchval("select id from run where recipe = 'waits' order by id desc limit 1")
        await db.execute(ALL_DUE)
        began = moved = time.perf_counter()
        left, longest = await db.fetchval(LEFT, last), 0.0
        while left:
            await asyncio.sleep(0.05)
            before, left = left, await db.fetchval(LEFT, last)
            now = time.perf_counter()
            longest = max(longest, now - moved)
            moved = now if left < before else moved
        return time.perf_counter() - began, longest
    finally:
        await db.close()


async def fresh_since(url: str, since: datetime, wanted: int) -> list[float]:
    """How long the orders that came since then took to their calls, once all are called or patience is over."""
    db = await asyncpg.connect(url)
    try:
        end = time.monotonic() + PATIENCE
        while len(found := await db.fetch(FRESH, since)) < wanted and time.monotonic() < end:
            await asyncio.sleep(0.2)
        return [float(row[0]) for row in found]
    finally:
        await db.close()


def measure(made: Stage, given: argparse.Namespace, wanted: int) -> tuple[float, float, list[float]]:
    folder = made.home / "waking"
    folder.mkdir()
    (folder / "waits.yaml").write_text(WAITS)
    name = "put-every-order.yaml"
    (folder / name).write_text((ROOT / "bench" / "recipes" / name).read_text())
    for process, command in (("api", "serve"), ("worker", "worker")):
        made.start(process, "-m", "app.cli", command, TRADEWIND_RECIPES=str(folder))
    made.wait_ready(made.port, seconds=120)
    made.load(given.runs)
    made.wait_arrived(made.sent, 600)
    url, since = made.embedded.database_url, datetime.now(UTC)
    with ThreadPoolExecutor(1) as apart:
        senders = apart.submit(made.load, wanted, "--rate", str(given.rate)) if wanted else None
        time.sleep(1)
        took, longest = uvloop.run(wake(url))
        if senders:
            senders.result()
    return took, longest, uvloop.run(fresh_since(url, since, wanted))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.waking", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs that wait for one moment")
    parser.add_argument("--rate", type=float, default=20, help="new orders a second meanwhile")
    given = parser.parse_args()
    wanted = int(given.rate * 15)
    with stage() as made:
        took, longest, fresh = measure(made, given, wanted)
    slowest = max(fresh, default=0.0)
    print(f"{given.runs:,} runs that came due at one moment: all woken and called after {took:.1f} s")
    print(f"{given.runs / took:,.0f} runs/s; the longest time without one: {longest:.2f} s")
    print(f"new orders meanwhile: {len(fresh)} of {wanted} called, the slowest from webhook to call {slowest:.2f} s")
    return 0 if longest < STANDSTILL and slowest < SLOWEST and len(fresh) >= CAME * wanted else 1


if __name__ == "__main__":
    sys.exit(main())
