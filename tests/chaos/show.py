"""Plays one case: starts everything, lets the trouble happen, waits until all is drained, and has it judged."""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.embedded import free_port
from tests.chaos import evidence
from tests.chaos.cases import Case
from tests.chaos.judge import judge
from tests.chaos.stage import Stage, ask, stage

CONNECTIONS = """
connections:
  bench:
    connector: testbench
    role: shop
    settings: {}
    base_url: http://127.0.0.1:%d
"""
RECIPES = {
    "things": """
title: Three things that can be repeated
on: order.paid
steps:
  - {id: native, use: testbench.make_native, with: {id: "{{ order.id }}"}}
  - {id: upsert, use: testbench.put_upsert, with: {id: "{{ order.id }}"}}
  - {id: lookup, use: testbench.make_lookup, with: {id: "{{ order.id }}"}}
""",
    "words": """
title: Three things that cannot
on: order.paid
steps:
  - {id: repeat, use: testbench.say_repeat, with: {id: "{{ order.id }}"}}
  - {id: skip, use: testbench.say_skip, with: {id: "{{ order.id }}"}}
  - {id: asks, use: testbench.make_unsafe, with: {id: "{{ order.id }}"}}
""",
}
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


@dataclass
class Played:
    """What came of a case."""

    case: Case
    orders: int
    wrong: list[str]
    notes: list[str] = field(default_factory=list)
    questions: int = 0
    read: int = 0
    unsure: int = 0
    seconds: float = 0
    drained: float = 0


class Theatre:
    """The scene that a trouble acts on; ends when its time is over."""

    def __init__(self, made: Stage, port: int, seconds: float) -> None:
        self.stage = made
        self.notes: list[str] = []
        self._port = port
        self._end = time.monotonic() + seconds

    def wait(self, seconds: float) -> bool:
        time.sleep(min(seconds, max(0.0, self._end - time.monotonic())))
        return time.monotonic() < self._end

    def ask(self, query: str) -> list[Any]:
        return asyncio.run(evidence.ask(self.stage.postgres.url, query))

    def start_sink(self) -> None:
        log = self.stage.home / "sink.log.tsv"
        self.stage.start("sink", "tests.support.sink", "--port", str(self._port), "--log", str(log))
        self.stage.wait_ready(self._port, "/_stats")


def play(case: Case, orders: int, *, short: bool = False, patience: float = 240) -> Played:
    """Play a case with so many orders."""
    seconds = case.short if short and case.short is not None else case.seconds
    port = free_port()
    with stage(CONNECTIONS % port, RECIPES, "tests.support.testconnector") as made:
        began = time.monotonic()
        theatre = _open(case, made, port, seconds)
        sender = made.home / "sender.tsv"
        rate = orders / min(seconds, 25)
        load = ["--port", made.port, "--orders", orders, "--rate", rate, "--log", sender, "--times", case.times]
        made.start("sender", "tests.chaos.load", *map(str, load))
        wrong = _trouble(case, theatre)
        calm = time.monotonic()
        wrong += _drain(made, patience)
        seen = asyncio.run(evidence.gather(made.postgres.url, orders, sender, made.home / "sink.log.tsv"))
        wrong += judge(seen, kills=case.kills, cut=case.cut)
        if wrong:
            _show_logs(made)
        return Played(
            case,
            orders,
            wrong,
            theatre.notes,
            questions=sum(call.state == "uncertain" for call in seen.calls),
            read=len(seen.read),
            unsure=sum(call.tried("unsure", "late") for call in seen.calls),
            seconds=time.monotonic() - began,
            drained=time.monotonic() - calm,
        )


def _open(case: Case, made: Stage, port: int, seconds: float) -> Theatre:
    theatre = Theatre(made, port, seconds)
    theatre.start_sink()
    if case.sink:
        ask(f"http://127.0.0.1:{port}/_behave", {"seed": 7, "do": list(case.sink)})
    made.hub("api", "serve")
    for number in range(1, case.workers + 1):
        name = f"worker-{number}"
        made.hub(name, "worker", **case.environment.get(name, {}))
    made.wait_ready()
    theatre._end = time.monotonic() + seconds
    return theatre


def _trouble(case: Case, theatre: Theatre) -> list[str]:
    try:
        case.trouble(theatre)
    except AssertionError as e:
        return [str(e)]
    return []


def _drain(made: Stage, patience: float) -> list[str]:
    """Wait until the sender is done and nothing is under way."""
    end = time.monotonic() + patience
    left: Any = "the sender still sends"
    while time.monotonic() < end:
        if dead := [
            name for name, process in made.processes.items() if name != "sender" and process.poll() is not None
        ]:
            return [f"ended by itself: {', '.join(dead)}"]
        if made.processes["sender"].poll() is not None:
            try:
                left = asyncio.run(evidence.busy(made.postgres.url))
            except AWAY:
                left = "PostgreSQL is away"
            if left == 0:
                return []
        time.sleep(0.2)
    return [f"not drained in {patience:.0f} s: {left} left"]


def _show_logs(made: Stage) -> None:
    for name in (*made.processes, "worker-1", "api"):
        sys.stderr.write(f"--- {name}\n{made.log(name)}\n")
