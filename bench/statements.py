"""`python -m bench.statements [--orders 20]`: what PostgreSQL is asked for an order that comes alone.

One order a second is alone on a busy machine too. The statements by their beginnings, less what the same processes ask
in the same time without orders; and how often our processes waited for the disk.
"""

import argparse
import asyncio
import time

import asyncpg
from rich.console import Console
from rich.table import Table

from bench.stage import Stage, stage

Counts = dict[str, float]
COMMITS = "commits, empty ones too"
SYNCS = "waits for the disk: flushes of the log"
_CALLS = (
    "select left(regexp_replace(query, '\\s+', ' ', 'g'), 90) as said, sum(calls) from pg_stat_statements group by 1"
)
_SYNCS = "select sum(fsyncs) from pg_stat_io where object = 'wal' and backend_type = 'client backend'"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.statements", description=__doc__)
    parser.add_argument("--orders", type=int, default=20)
    given = parser.parse_args()
    with stage() as made:
        for name, command in (("api", "serve"), ("worker", "worker")):
            made.start(name, "-m", "app.cli", command)
        made.wait_ready(made.port, seconds=200)
        _one_by_one(made, 10)  # connections are open, statements prepared
        show(per_order(made, given.orders))


def per_order(made: Stage, orders: int) -> Counts:
    """Statement -> how often it ran for each order."""
    start = asyncio.run(_counts(made.embedded.database_url))
    began = time.monotonic()
    _one_by_one(made, orders)
    took, busy = time.monotonic() - began, asyncio.run(_counts(made.embedded.database_url))
    time.sleep(took)
    idle = asyncio.run(_counts(made.embedded.database_url))
    return {
        said: (count - start.get(said, 0) - (idle[said] - count)) / orders
        for said, count in busy.items()
        if count != start.get(said, 0)
    }


def _one_by_one(made: Stage, orders: int) -> None:
    made.load(orders, "--rate", "1")
    made.wait_arrived(made.sent)
    time.sleep(1)  # for what comes after its call has arrived


async def _counts(url: str) -> Counts:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("create extension if not exists pg_stat_statements")
        counts = {said: float(count) for said, count in await connection.fetch(_CALLS)}
        commits = "select xact_commit from pg_stat_database where datname = current_database()"
        counts[COMMITS] = float(await connection.fetchval(commits))
        if await connection.fetchval("select current_setting('server_version_num')::int >= 180000"):
            counts[SYNCS] = float(await connection.fetchval(_SYNCS) or 0)
        return counts
    finally:
        await connection.close()


def show(counts: Counts) -> None:
    table = Table("an order", "statement", title="what PostgreSQL is asked for an order that comes alone")
    statements = {said: count for said, count in counts.items() if said not in (COMMITS, SYNCS) and count >= 0.3}
    for said, count in sorted(statements.items(), key=lambda each: -each[1]):
        table.add_row(f"{count:.2f}", said)
    table.add_section()
    table.add_row(f"{sum(statements.values()):.1f}", "in all")
    for said in (COMMITS, SYNCS):
        if said in counts:
            table.add_row(f"{counts[said]:.1f}", said)
    Console(width=118).print(table)


if __name__ == "__main__":
    main()
