"""A worker killed right before and right after each of its commits: the run goes on where it was, and nothing outside
is done twice."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.byhand import Approval, approve
from app.registry import Registry
from app.sandbox import make_app as make_sandbox
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.mortal import When, live
from tests.support.serving import serving

EVERYTHING = """
title: Each kind of step once
on: order.created
cancel_on: {event: order.cancelled, where: order.id == run.order.id}
steps:
  - {id: first, use: testbench.make_native, with: {id: "{{ order.id }}", note: first}}
  - wait: 1h
  - id: paid
    wait_for: {event: order.paid, where: order.id == run.order.id, timeout: 6h}
  - parallel:
      - {id: left, use: testbench.make_lookup, with: {id: "{{ order.id }}", note: left}}
      - emit: all.told
        with: {number: "{{ order.number }}"}
  - set: {order: {attributes: {told: true}}}
  - id: ok
    approve: Go on with {{ order.number }}?
    timeout: 6h
  - choose:
      - when: steps.ok.approved and order.attributes.told
        steps:
          - for_each: order.line_items
            steps:
              - {id: each, use: testbench.put_upsert, with: {id: "{{ order.id }}-{{ item.id }}", note: each}}
"""
ENDED = """
select r.state, r.reason,
  (select jsonb_object_agg(path, state order by path) from step where run_id = r.id) as steps,
  (select jsonb_object_agg(path, c.state order by path) from call c where run_id = r.id) as calls,
  (select count(*) from event e where e.type = 'all.told' and e.subject_id = $1) as told,
  (select count(*) from effect e join call c on c.id = e.call_id where c.run_id = r.id and e.state = 'done') as effects
from run r join event e on e.id = r.event_id where e.subject_id = $1 and r.recipe = 'everything'
"""


RUN = "select r.id from run r join event e on e.id = r.event_id where e.subject_id = $1"
WHENS: tuple[When, ...] = ("before", "after")


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, httpx.AsyncClient]]:
    registry = Registry(testconnector.connector)
    async with (
        serving(make_sandbox(registry)) as sandbox,
        running(database_url, redis_url, tmp_path, testconnector.connector) as made,
        httpx.AsyncClient(base_url=sandbox) as outside,
    ):
        await made.connect("bench", testconnector.connector, {}, role="shop", base_url=f"{sandbox}/testbench")
        await made.recipe("everything", EVERYTHING)
        yield made, outside


class Order:
    """One order's way through the recipe. In each phase of it a worker is killed at its commit number `at`."""

    def __init__(self, hub: Harness, number: int, at: int | None = None, when: When = "before") -> None:
        self.hub, self.number, self.at, self.when = hub, str(number), at, when
        self.longest = 0
        self.killed: list[str] = []

    async def go(self) -> dict[str, Any]:
        clock = self.hub.hub.clock
        began = clock._at_zero
        await self.send("order.created")
        clock._at_zero += timedelta(hours=1)
        await self.work()
        await self.send("order.paid")
        run = await self.hub.one(RUN, self.number)
        await approve(self.hub.hub, "main", run, Approval(step="ok", approved=True), "somebody")
        await self.work()
        clock._at_zero = began
        return dict((await self.hub.rows(ENDED, self.number))[0])

    async def send(self, topic: str) -> None:
        body = testconnector.payload(self.number, topic=topic)
        assert (await self.hub.send("bench", topic, body)).status_code == 200
        await self.work()

    async def work(self) -> None:
        commits, alive = await live(self.hub, self.at, self.when)
        self.longest = max(self.longest, len(commits))
        if not alive:
            self.killed.append(commits[-1])
            _, alive = await live(self.hub)
        assert alive


async def test_a_worker_may_be_killed_before_and_after_each_of_its_commits(
    hub: tuple[Harness, httpx.AsyncClient], record_property: Callable[..., None]
) -> None:
    made, outside = hub
    calm = Order(made, 1)
    wanted = await calm.go()
    assert wanted["state"] == "done"
    assert wanted["told"] == 1
    assert wanted["calls"] == {"first": "done", "left": "done", "each[1]": "done"}
    number, killed = 1, Counter[str]()
    for when in WHENS:
        for at in range(1, calm.longest + 1):
            number += 1
            order = Order(made, number, at, when)
            assert await order.go() == wanted, (at, when, order.killed)
            killed.update(f"{when}: {what}" for what in order.killed)
    assert sum(killed.values()) >= 2 * calm.longest, killed
    lines = [f"{count:8,}  {what}" for what, count in sorted(killed.items())]
    record_property("printed", "\n".join(["workers killed at their commits:", *lines]))
    things = (await outside.get("/_state/testbench")).json()["made"]
    assert Counter(thing["note"] for thing in things) == {"first": number, "left": number, "each": number}
