"""How fast a backtest reads the past, and what it needs for it: `python -m bench.backtest [events] [--recipe FILE]`.

So many paid orders, each of another buyer, are written over the last 29 days, and a recipe (by default a shipped one
without waits) is run over them as `tradewind recipes backtest` does, against itself too if asked. The processes that do
it and PostgreSQL share this machine's cores. Asked for: 2,000 events/s on two cores, memory flat over a million events.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psutil
import uvloop

from app import events as canonical
from app.byhand.trials import try_out
from app.byhand.trying import wanted_trial
from app.byhand.versions import version_of
from app.crypto import Hasher
from app.domain.connections import Connection
from app.hub import Hub, open_hub
from app.ids import new_id
from app.pipeline.match.reports import Backtest
from app.pipeline.normalise.reading import Work, normalise, read
from app.pipeline.normalise.states import States
from app.registry import Registry
from app.settings import Settings
from app.store import events as store
from app.store.events import NewEvent
from app.store.packing import pack
from bench.normalise import row
from bench.stage import ROOT, stage
from tests.support.orders import shopify_order

ASKED_FOR = 2_000
"""Events a second."""
SPAN = timedelta(days=29)
BATCH = 2_000
EVERY = 0.05
"""Of the events, from one look at speed and memory to the next."""
FIRST = 1_000_000
"""The number of the first order: all have as many digits, so that one text makes them all."""
BUYER = "buyer{}@example.com"


# --- the past ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """Paid orders made of one that the shop's connector read: its text, with number and buyer replaced."""

    connection: Connection
    text: bytes

    def row(self, number: int, event_id: Any) -> NewEvent:
        text = self.text.replace(str(FIRST).encode(), str(number).encode())
        order = str(5_000_000_000_000 + number)
        mine, email = self.connection.id, BUYER.format(number)
        return NewEvent(
            id=event_id, workspace="main", type="order.paid", connection_id=mine, webhook_id=None, object_kind="order",
            object_id=order, subject_connection_id=mine, subject_kind="order", subject_id=order, version=None,
            occurred_at=datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC), data=pack(text),
            schema_version=canonical.SCHEMA_VERSION, test=False, historical=False, note=None, echo=None,
            number=f"#{number}", email=email, customer_id=None, decisions="{}", waiters_due=False,
        )  # fmt: skip


def past(connection: Connection, hasher: Hasher) -> Past:
    work = Work(row(new_id(), connection.id, orjson.dumps(shopify_order(FIRST, email=BUYER.format(FIRST)))), connection)
    read(work)
    normalise(work, States(hasher))
    return Past(connection, canonical.dump(next(each.data for each in work.events if each.type == "order.paid")))


def ids_over(since: datetime, count: int) -> Iterator[Any]:
    """Ids spread evenly over the span: in each the millisecond of its event."""
    step = SPAN.total_seconds() * 1000 / count
    begin = since.timestamp() * 1000
    for number in range(count):
        made = new_id()
        yield UUID(int=int(begin + number * step) << 80 | made.int & (1 << 80) - 1)


async def write(hub: Hub, since: datetime, count: int) -> None:
    (connection,) = [each for each in hub.connections if each.slug == "store"]
    made, ids = past(connection, hub.hasher), ids_over(since, count)
    for first in range(0, count, BATCH):
        rows = [made.row(FIRST + n, next(ids)) for n in range(first, min(first + BATCH, count))]
        async with hub.database.transaction() as db:
            await store.insert(db, rows)
    async with hub.database.acquire() as db:
        await db.execute("analyze event")


# --- the backtest -----------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What was seen at intervals: events read, seconds since the first, MB of all processes that work; CPU seconds of
    each at the last look."""

    count: int
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    before: float = field(default_factory=time.process_time)
    spent: list[float] = field(default_factory=list)

    def look(self, events: int, at: datetime) -> None:
        if events < (self.looks[-1][0] if self.looks else 0) + self.count * EVERY:
            return
        took, memory = time.monotonic() - self.began, self.memory()
        self.spent = [sum(each.cpu_times()[:2]) for each in (psutil.Process(), *psutil.Process().children())]
        before, since = self.looks[-1][:2] if self.looks else (0, 0.0)
        self.looks.append((events, took, memory))
        print(f"{events:>9,} events  {(events - before) / (took - since):>6,.0f}/s  {memory:>6.0f} MB", flush=True)

    def cpu(self) -> float:
        """Seconds of CPU until the last look."""
        return sum(self.spent) - self.before

    def memory(self) -> float:
        mine = psutil.Process()
        return float(sum(each.memory_full_info().pss for each in (mine, *mine.children()))) / 1e6


async def run(hub: Hub, file: Path, count: int, compared: bool) -> tuple[Backtest, Seen, float]:
    """The backtest of a file's recipe over everything that was written; how long it took from its start to its end."""
    version = await version_of(hub, "main", file.stem, source=file.read_text(), file=str(file))
    until = hub.clock.now()
    trial = wanted_trial(hub, "main", version, until - SPAN, until, version if compared else None)
    seen = Seen(count)
    report = await try_out(hub, trial, seen.look)
    return report, seen, time.monotonic() - seen.began


async def measure(given: argparse.Namespace) -> bool:
    settings = Settings()
    registry = Registry.of(settings)
    async with open_hub(settings, registry, stays=True) as hub:
        since, began = hub.clock.now() - SPAN + timedelta(minutes=1), time.monotonic()
        await write(hub, since, given.events)
        print(f"{given.events:,} events written in {time.monotonic() - began:.0f} s", flush=True)
        report, seen, took = await run(hub, given.recipe, given.events, given.against)
    return told(report, seen, took, given)


def told(report: Backtest, seen: Seen, took: float, given: argparse.Namespace) -> bool:
    """Say what was measured; whether it is what is asked for."""
    runs, calls = sum(report.new.runs.values()), sum(report.new.calls.values())
    print(f"{given.recipe.stem}: {report.events:,} events, {runs:,} runs, {calls:,} calls, {report.differing} differ")
    rate = report.events / took
    memory = [mb for _, _, mb in seen.looks]
    growth = memory[-1] - memory[len(memory) // 4] if len(memory) > 3 else 0.0
    print(f"{seen.cpu() / report.events * 1000:.2f} ms of CPU an event here and in processes of its own")
    print(f"{rate:,.0f} events/s from start to report (asked for: {ASKED_FOR:,} without waits)")
    print(f"memory {max(memory):.0f} MB at most, {growth:+.0f} MB over the last three quarters")
    return report.events == given.events and rate >= ASKED_FOR


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.backtest", description=__doc__)
    parser.add_argument("events", type=int, nargs="?", default=100_000)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "announce-orders.yaml")
    parser.add_argument("--against", action="store_true", help="compare it with itself: two versions, not one")
    given = parser.parse_args()
    with stage() as made:
        os.environ.update(made.environment)
        return 0 if uvloop.run(measure(given)) else 1


if __name__ == "__main__":
    sys.exit(main())
