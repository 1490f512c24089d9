"""`make bench`: what the shipped configuration does, beside a bare endpoint and a physical floor, in one run.

Ratios are medians of interleaved rounds; absolutes drift with the machine. Everything runs on this machine: load,
API, worker, PostgreSQL with fsync, Redis, and the destination share its cores.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table

from app.embedded import free_port
from bench.load import FIRST_ID
from bench.soak import soak
from bench.stage import ROOT, Stage, stage

console = Console(width=118)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and orders")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    rounds, orders = (2, 4000) if given.quick else (5, 8000)
    rows = Rows()
    rows += mapping()
    with stage() as made:
        rows += cold_start(made)
        start_workers(made, given.workers)
        for rate, seconds in ((20, 10), (100, 6), (500, 4)):
            rows += latency(made, rate, seconds, 3 if given.quick else 5)
        stop_workers(made, given.workers)
        rows += acknowledgements(made, rounds, orders)
        start_workers(made, given.workers)
        rows += throughput(made, rounds, orders)
        rows += burst(made, 4000 if given.quick else 20_000)
        rows += at_rest(made)
        rows += growth(made, 1 if given.quick else 5)
        rows += takeover(made)
    show(rows)


class Rows(list[tuple[str, str, str]]):
    """What was measured; each row is said as it comes, the whole table at the end."""

    def __iadd__(self, more: Iterable[tuple[str, str, str]]) -> "Rows":  # type: ignore[override,misc]
        for row in more:
            console.print("  ".join(row), style="dim")
            self.append(row)
        return self


def show(rows: list[tuple[str, str, str]]) -> None:
    table = Table("measure", "value", "beside it", title=f"{os.cpu_count()} cores, shared by everything")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def mapping() -> list[tuple[str, str, str]]:
    """CPU from a stored order to its event, in a process of its own, the best of some rounds."""
    script = "from bench.normalise import normalising; print(normalising())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=120)
    return [("normalising an 8 KB order", f"{float(done.stdout):.3f} ms of CPU", "body to event; asked for 0.150")]


def cold_start(made: Stage) -> list[tuple[str, str, str]]:
    """From starting API and worker (services up) to the first outbound call."""
    began = time.monotonic()
    made.start("api", "-m", "app.cli", "serve")
    made.start("worker", "-m", "app.cli", "worker")
    made.wait_ready(made.port)
    ready = time.monotonic() - began
    made.load(1, "--rate", "10")
    made.wait_arrived(1)
    first = time.monotonic() - began
    made.stop("worker")
    return [("cold start to ready / first call out", f"{ready:.2f} s / {first:.2f} s", "services were up")]


def acknowledgements(made: Stage, rounds: int, orders: int) -> list[tuple[str, str, str]]:
    """Durable acknowledgements per second with the worker stopped, beside the bare endpoint."""
    port = free_port()
    made.start("bare", "-m", "bench.bare", str(port))
    time.sleep(1.5)
    ours, bare = [], []
    for _ in range(rounds):
        bare.append(made.load(orders, port=port)["rate"])
        made.sent -= orders
        ours.append(_all_taken(made.load(orders))["rate"])
    made.stop("bare")
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    half = made.load(orders, "--rate", str(statistics.median(ours) / 2))
    return [
        (
            "durable acks/s, worker stopped",
            f"{statistics.median(ours):.0f}/s",
            f"{ratio:.0%} of bare {statistics.median(bare):.0f}/s",
        ),
        ("ack at half of that, p50 / p99", f"{half['p50']:.1f} / {half['p99']:.1f} ms", ""),
    ]


def start_workers(made: Stage, workers: int) -> None:
    for number in range(workers):
        made.start("worker" if number == 0 else f"worker{number}", "-m", "app.cli", "worker")


def stop_workers(made: Stage, workers: int) -> None:
    for number in range(workers):
        made.stop("worker" if number == 0 else f"worker{number}")


def throughput(made: Stage, rounds: int, orders: int) -> list[tuple[str, str, str]]:
    """Orders per second from webhook to drained, none lost, beside the floor."""
    made.wait_arrived(made.sent, 300)
    rates, floors = [], []
    used: dict[str, float] = {}
    statements = log = 0.0
    for _ in range(rounds):
        before, (calls, written), began = made.cpu(), made.written(), time.monotonic()
        _all_taken(made.load(orders))
        made.wait_arrived(made.sent)
        rates.append(orders / (time.monotonic() - began))
        for name, value in made.cpu().items():
            used[name] = used.get(name, 0.0) + (value - before.get(name, 0.0)) / (rounds * orders) * 1000
        after = made.written()
        statements += (after[0] - calls) / (rounds * orders)
        log += (after[1] - written) / (rounds * orders)
        floors.append(_floor(made, orders // 2))
    spent = ", ".join(f"{name} {used[name]:.2f}" for name in sorted(used) if not name.startswith("sink"))
    ratio = statistics.median(rate / floor for rate, floor in zip(rates, floors, strict=True))
    memory = {name: made.memory(name) for name in made.processes if name.startswith(("api", "worker"))}
    listed = " + ".join(f"{name} {mb[0]:.0f}" for name, mb in memory.items())
    resident = sum(mb[1] for mb in memory.values())
    return [
        (
            "end to end, drained, none lost",
            f"{statistics.median(rates):.0f} orders/s",
            f"{ratio:.0%} of the floor {statistics.median(floors):.0f}/s",
        ),
        (
            "CPU ms per order",
            f"{sum(v for n, v in used.items() if n != 'sink'):.2f}",
            spent + " (floor's inserts included)",
        ),
        ("memory (PSS)", f"{sum(mb[0] for mb in memory.values()):.0f} MB", f"{listed}; resident {resident:.0f} MB"),
    ]


def latency(made: Stage, rate: int, seconds: int, windows: int) -> list[tuple[str, str, str]]:
    """From sending a webhook to its call's arrival, at a steady rate, by warm processes: medians of windows."""
    made.load(rate, "--rate", str(rate))
    made.wait_arrived(made.sent)
    seen = [_window(made, rate, seconds) for _ in range(windows)]
    p50, p99, ack50, ack99 = (statistics.median(each) for each in zip(*seen, strict=True))
    return [
        (
            f"end to end at {rate}/s, p50 / p99",
            f"{p50:.1f} / {p99:.1f} ms",
            f"ack {ack50:.1f} / {ack99:.1f} ms; {windows} windows, "
            f"p99 {min(each[1] for each in seen):.1f} to {max(each[1] for each in seen):.1f}",
        )
    ]


def _window(made: Stage, rate: int, seconds: int) -> tuple[float, float, float, float]:
    """p50 and p99 to the call's arrival, then to the acknowledgement; in ms."""
    result = made.load(rate * seconds, "--rate", str(rate))
    made.wait_arrived(made.sent)
    arrived = made.sink("arrived")
    times = sorted((arrived[str(FIRST_ID + int(number))] - at) * 1000 for number, at in result["sent"].items())
    return times[len(times) // 2], times[len(times) * 99 // 100], result["p50"], result["p99"]


CHANGES = 5
"""Of each order in the burst."""


def burst(made: Stage, webhooks: int) -> list[tuple[str, str, str]]:
    """Changes of many orders, in turn, in five seconds: none refused, all worked, each order's in their sequence."""
    began, first = time.monotonic(), made.sent + 1
    result = made.load(webhooks, "--rate", str(webhooks / 5), "--changes", str(CHANGES))
    took = time.monotonic() - began
    names = {"0": "connections broken"}
    refused = [f"{n} {names.get(status, status)}" for status, n in result["statuses"].items() if status != "200"]
    orders = [str(order) for order in range(FIRST_ID + first, FIRST_ID + first + webhooks // CHANGES)]
    newest = {str(FIRST_ID + int(order)): change for order, change in result["newest"].items()}
    came: dict[str, list[int]] = {}
    while open_ := [order for order in orders if max(came.get(order, ()), default=0) < newest.get(order, 0)]:
        if time.monotonic() - began > 600:
            raise RuntimeError(f"{len(open_)} of {len(orders)} orders not drained in 600 s; see {made.home}")
        time.sleep(0.5)
        came = made.sink("changes")
    drained = time.monotonic() - began
    wrong = sum(came.get(order, []) != sorted(set(came.get(order, ()))) for order in orders)
    return [
        (
            f"burst of {webhooks} in 5 s",
            f"{', '.join(refused) or 'none refused'}, {wrong} orders out of sequence",
            f"taken in {took:.1f} s, p99 {result['p99'] / 1000:.1f} s, drained after {drained:.1f} s; "
            f"{len(orders)} orders, {CHANGES} changes each",
        )
    ]


def at_rest(made: Stage) -> list[tuple[str, str, str]]:
    """CPU of a worker that has nothing to do, when PostgreSQL has tidied up after the load."""
    time.sleep(30)
    before, began = made.cpu(), time.monotonic()
    time.sleep(5)
    after, took = made.cpu(), time.monotonic() - began
    idle = {name: (after[name] - before[name]) / took for name in ("worker", "api", "postgres")}
    return [
        (
            "idle CPU of one core",
            f"worker {idle['worker']:.1%}",
            f"api {idle['api']:.1%}, postgres {idle['postgres']:.1%}",
        )
    ]


def growth(made: Stage, minutes: float, rate: int = 100) -> list[tuple[str, str, str]]:
    """Whether memory grows under a steady load; `python -m bench.soak` does the same for as long as you like."""
    grown = soak(made, minutes * 60, rate)
    listed = ", ".join(f"{name} {server.first:.0f} MB, at most {server.peak:.0f}" for name, server in grown.items())
    slope = sum(server.slope for server in grown.values())
    return [(f"memory over {minutes:g} min at {rate}/s", f"{slope:+.2f} MB a minute", f"resident; {listed}")]


def takeover(made: Stage, rate: int = 100) -> list[tuple[str, str, str]]:
    """`kill -9` of the worker that holds the lane, in the middle of a load: when another has called what it left."""
    made.load(rate, "--rate", str(rate))  # the lane is this worker's by now
    made.start("heir", "-m", "app.cli", "worker")
    time.sleep(4)
    with ThreadPoolExecutor(1) as apart:
        sending = apart.submit(made.load, 3 * rate, "--rate", str(rate))
        time.sleep(2)
        made.stop("worker", signal.SIGKILL)
        killed = time.monotonic()
    taken = _all_taken(sending.result())
    made.wait_arrived(made.sent, 60)
    arrived = made.sink("arrived")
    came = {number: arrived[str(FIRST_ID + int(number))] for number in taken["sent"]}
    left = [at - killed for number, at in came.items() if at > killed > taken["sent"][number]]
    return [
        (
            "orphaned by a kill -9, called again after",
            f"{max(left):.1f} s" if left else "nothing was left",
            f"{len(left)} orders that were taken before it; all {len(came)} called",
        )
    ]


def _all_taken(result: dict[str, Any]) -> dict[str, Any]:
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"not every webhook was taken: {result['statuses']}")
    return result


def _floor(made: Stage, orders: int) -> float:
    command = [sys.executable, "-m", "bench.floor", made.embedded.database_url, str(made.sink_port), str(orders)]
    done = subprocess.run(command, cwd=ROOT, env=made.environment, capture_output=True, check=True, timeout=120)
    return float(done.stdout)


if __name__ == "__main__":
    main()
