"""`python -m bench.replay [--events 100000] [--rate 5000]`: many stored events replayed, and all that belongs to it.

Previewed, started, paused in the middle, resumed, drained; then replayed once more, when every effect exists already
and none may be made again. The events are written into the database as they would stand there after orders came in.
Prints how fast and at what memory, and exits non-zero when an effect is missing or there twice, when a paused replay
went on, or when the worker grew by more than 60 MB between a tenth and the end.
"""

import argparse
import asyncio
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from app.ids import new_id, time_of
from app.store.packing import pack, unpack
from bench.stage import Stage, stage

GROWTH = 60.0
"""MB by which a worker may grow while it replays."""
PART = 5_000


@dataclass
class Api:
    """The replays of a hub."""

    made: Stage

    def ask(self, path: str, body: Any = None) -> Any:
        key = self.made.environment["TRADEWIND_ADMIN_KEY"]
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        url = f"http://127.0.0.1:{self.made.port}/v1/replays{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return orjson.loads(answer.read())

    def create(self, rate: float) -> str:
        return str(self.ask("", {"filter": {"type": "order.paid"}, "options": {"per_second": rate}})["id"])


@dataclass
class Watch:
    """Looks at a replay every half second: what went wrong, and the memory of the worker by the share that is done."""

    api: Api
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def until(self, replay: str, states: tuple[str, ...], *, done: int | None = None, of: int = 0) -> Any:
        said = 0.0
        while True:
            seen = self.api.ask(f"/{replay}")
            share = seen["done"] / of if of else 0.0
            self.memory.append((share, self.api.made.memory("worker")[1]))
            if seen["state"] in states or (done is not None and seen["done"] >= done):
                return seen
            if share - said >= 0.1:
                said = share
                print(f"  {seen['done']:>7,} of {of:,} replayed, worker {self.memory[-1][1]:.0f} MB", flush=True)
            time.sleep(0.5)

    def grown(self) -> float:
        early = [mb for share, mb in self.memory if share <= 0.1]
        return max(mb for _, mb in self.memory) - max(early)


async def fill(url: str, events: int) -> None:
    """Paid orders as one that came in stands there, each of its own."""
    db = await asyncpg.connect(url)
    try:
        (row,) = await db.fetch("select * from event where type = 'order.paid' limit 1")
        known, data = dict(row), orjson.loads(unpack(row["data"]))
        columns = [name for name in known if name not in ("decisions", "written", "waiters_due")]
        for first in range(0, events, PART):
            rows = []
            for number in range(first, min(events, first + PART)):
                order, id = str(7_000_000_000 + number), new_id()
                own = pack(orjson.dumps(data | {"order": data["order"] | {"id": order, "number": f"#{order}"}}))
                new = {"id": id, "at": time_of(id), "object_id": order, "subject_id": order, "number": f"#{order}"}
                each = known | new | {"data": own, "webhook_id": None}
                rows.append(tuple(each[name] for name in columns))
            await db.copy_records_to_table("event", records=rows, columns=columns)
        await db.execute("analyze event")
    finally:
        await db.close()


def replay(watch: Watch, events: int, rate: float, *, pause: bool) -> None:
    """One replay from its preview to its end."""
    api = watch.api
    name, began = api.create(rate), time.monotonic()
    api.ask(f"/{name}/preview", {})
    seen = watch.until(name, ("previewed",))
    print(f"previewed in {time.monotonic() - began:.1f} s: {_counts(seen['preview'])}")
    if seen["total"] != events:
        watch.wrong.append(f"the preview counted {seen['total']} events, there are {events}")
    began, stood = time.monotonic(), 0.0
    api.ask(f"/{name}/start", {})
    if pause:
        watch.until(name, ("done",), done=events // 3, of=events)
        stood = _paused(watch, name)
    seen = watch.until(name, ("done",), of=events)
    seconds = time.monotonic() - began - stood
    print(f"replayed in {seconds:.1f} s, {events / seconds:.0f} events/s: {_counts(seen['report'])}")
    if seen["done"] != events or seen["report"].get("runs") != events:
        watch.wrong.append(f"done {seen['done']} of {events}: {_counts(seen['report'])}")
    while any(state not in ("done",) and number for state, number in api.ask(f"/{name}")["runs"].items()):
        time.sleep(0.5)
    print(f"all its runs are done after {time.monotonic() - began - stood:.1f} s")


def _counts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "refusals"}


def _paused(watch: Watch, name: str) -> float:
    began = time.monotonic()
    watch.api.ask(f"/{name}/pause", {})
    before = watch.api.ask(f"/{name}")["done"]
    time.sleep(2)
    after = watch.api.ask(f"/{name}")["done"]
    if after != before:
        watch.wrong.append(f"a paused replay went on from {before} to {after}")
    watch.api.ask(f"/{name}/resume", {})
    print(f"paused at {before:,} for 2 s, and resumed")
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.replay", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=5_000, help="runs begun a second, at most")
    given = parser.parse_args()
    with stage() as made:
        for name, command in (("api", "serve"), ("worker", "worker")):
            made.start(name, "-m", "app.cli", command)
        made.wait_ready(made.port)
        made.load(1)
        made.wait_arrived(1)
        asyncio.run(fill(made.embedded.database_url, given.events - 1))
        print(f"{given.events:,} events are stored", flush=True)
        watch = Watch(Api(made))
        replay(watch, given.events, given.rate, pause=True)
        first = made.sink("stats")
        replay(watch, given.events, given.rate, pause=False)
        again = made.sink("stats")
    if first["distinct"] != given.events or again != first:
        watch.wrong.append(f"of {given.events} effects the sink saw {first}, and after the second replay {again}")
    if (grown := watch.grown()) > GROWTH:
        watch.wrong.append(f"the worker grew by {grown:.0f} MB")
    print(f"sink: {first}, again: {again}; the worker grew by {grown:.0f} MB after its first tenth")
    print("\n".join(watch.wrong) or "every effect once, none again")
    return 1 if watch.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
