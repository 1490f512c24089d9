"""Bytes that orders leave in PostgreSQL, by table, scaled to a million: `python -m bench.sizes [orders]`.

Orders of 8 KB go through the whole hub: two recipes loaded, one of which answers each order with one call.
"""

import asyncio
import shutil
import sys
import time
from collections import defaultdict
from typing import Any

import asyncpg
import orjson

from bench.stage import Stage, stage

MILLION = 1_000_000

_SIZES = """
select coalesce(i.inhparent::regclass::text, c.oid::regclass::text) as name,
    pg_table_size(c.oid) as table, pg_indexes_size(c.oid) as indexes
from pg_class c left join pg_inherits i on i.inhrelid = c.oid
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
"""
_OPEN = """
select (select count(*) from webhook where state = 'due') + (select count(*) from run where state = 'running')
"""
_ROWS = "select (select count(*) from event), (select count(*) from run), (select count(*) from call)"


async def sizes(url: str) -> dict[str, list[int]]:
    """{table: [bytes of rows with TOAST, bytes of indexes]}, partitions together."""
    connection = await asyncpg.connect(url)
    try:
        for row in await connection.fetch("select oid::regclass::text as t from pg_class where relkind in ('r', 'p')"):
            if not row["t"].startswith(("pg_", "information_schema")):
                await connection.execute(f"vacuum (analyze) {row['t']}")
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in await connection.fetch(_SIZES):
            found[row["name"]][0] += row["table"]
            found[row["name"]][1] += row["indexes"]
        return dict(found)
    finally:
        await connection.close()


async def settled(url: str, orders: int, seconds: float = 300) -> Any:
    """Wait until nothing is open; answers how many events, runs and calls there are."""
    connection = await asyncpg.connect(url)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            rows = tuple(await connection.fetchrow(_ROWS))
            if rows[1] >= orders and not await connection.fetchval(_OPEN):
                return rows
            await asyncio.sleep(0.5)
        raise RuntimeError("the orders were not drained in time")
    finally:
        await connection.close()


def measure(hub: Stage, orders: int) -> tuple[dict[str, list[int]], Any]:
    hub.start("api", "-m", "app.cli", "serve")
    hub.start("worker", "-m", "app.cli", "worker")
    hub.wait_ready(hub.port)
    empty = asyncio.run(sizes(hub.embedded.database_url))
    hub.load(orders)
    rows = asyncio.run(settled(hub.embedded.database_url, orders))
    full = asyncio.run(sizes(hub.embedded.database_url))
    nothing = [0, 0]
    return {name: [b - a for a, b in zip(empty.get(name, nothing), full[name], strict=True)] for name in full}, rows


def table(found: dict[str, list[int]], orders: int) -> str:
    """Markdown, largest first: MB for a million orders."""
    scale = MILLION / orders / 1e6
    lines = ["| table | rows, MB | indexes, MB | bytes an order |", "|---|---|---|---|"]
    ordered = sorted(found.items(), key=lambda item: -sum(item[1]))
    for name, (rows, indexes) in ordered:
        if (rows + indexes) * scale >= 1:
            line = f"| `{name}` | {rows * scale:,.0f} | {indexes * scale:,.0f} | {(rows + indexes) / orders:,.0f} |"
            lines.append(line)
    all_rows, all_indexes = (sum(each[n] for each in found.values()) for n in (0, 1))
    total = (all_rows + all_indexes) / orders
    lines.append(f"| together | {all_rows * scale:,.0f} | {all_indexes * scale:,.0f} | {total:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with stage() as hub:
        found, (events, runs, calls) = measure(hub, orders)
        print(f"{orders:,} orders of 8 KB: {events:,} events, {runs:,} runs, {calls:,} calls\n")
        print(table(found, orders))
        print(orjson.dumps({"free_disk_mb": shutil.disk_usage(hub.home).free // 1_000_000}).decode(), file=sys.stderr)


if __name__ == "__main__":
    main()
