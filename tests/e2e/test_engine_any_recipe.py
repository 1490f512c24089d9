"""Random recipes in a real hub whose workers die at random commits end as the simulation says that they do."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.byhand import Approval, approve
from app.events import OrderEvent
from app.pipeline.match.simulate import SimulatedRun
from app.recipes import Recipe, parse_recipe, settled
from app.registry import Registry
from app.sandbox import make_app as make_sandbox
from app.store.packing import unpack_json
from tests.support import testconnector
from tests.support.anyhistory import Happening, World, history, live_through
from tests.support.anyrecipe import AnyRecipe
from tests.support.harness import Harness, running
from tests.support.mortal import When, live
from tests.support.serving import serving

RECIPES, LENGTH = 9, 14
CONNECTORS = {connector.slug: connector for connector in Registry(testconnector.connector)}
RUNS = "select id, state, reason, event_id from run where recipe = $1 order by id"
STEPS = "select path, kind, state from step where run_id = $1"
CALLS = "select path, item, state, input from call where run_id = $1"
ASKING = """
select s.run_id, s.path from step s join run r on r.id = s.run_id
where s.kind = 'approve' and s.state = 'running' and r.recipe = $1 order by s.path, s.run_id
"""
IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|key-1")


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    registry = Registry(testconnector.connector)
    async with (
        serving(make_sandbox(registry)) as sandbox,
        running(database_url, redis_url, tmp_path, testconnector.connector) as made,
    ):
        await made.connect("bench", testconnector.connector, {}, role="shop", base_url=f"{sandbox}/testbench")
        yield made


def plain(happenings: list[Happening], first: int) -> list[tuple[str, Any]]:
    """The history as the connector's webhooks can tell it: (topic, body) for events."""
    found: list[tuple[str, Any]] = []
    for number, (kind, what) in enumerate(happenings):
        if kind == "event":
            topic, data = what
            own = first + int(data.order.id)
            at = f"2026-11-20T10:{number:02}:00Z"
            amount = str(data.order.totals.total.amount)
            email = f"buyer-{first + own % 3}@example.com"
            body = testconnector.payload(own, amount, topic=topic, email=email, at=at)
            found.append(("event", (topic, body)))
        else:
            found.append((kind, what))
    return found


class Dying:
    """A hub in which some workers die, at a time that only the test moves."""

    def __init__(self, hub: Harness, name: str, dice: Random, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub, self.name, self.dice, self.now = hub, name, dice, now
        self.deaths: Counter[str] = Counter()
        monkeypatch.setattr(hub.hub.clock, "now", lambda: self.now)

    async def live_through(self, happenings: list[tuple[str, Any]]) -> None:
        for kind, what in happenings:
            if kind == "event":
                topic, body = what
                assert (await self.hub.send("bench", topic, body)).status_code == 200
            elif kind == "decide":
                for row in await self.hub.rows(ASKING, self.name):
                    said = Approval(step=row["path"], approved=what)
                    await approve(self.hub.hub, "main", row["run_id"], said, "somebody")
            await self.work()
            if kind == "pass":
                await self.forward(what)

    async def forward(self, span: timedelta) -> None:
        """Time passes from one due moment to the next."""
        end = self.now + span
        while (
            due := await self.hub.one("select min(due_at) from run where state in ('running', 'waiting')")
        ) is not None:
            if due > end:
                break
            self.now = max(self.now, due)
            await self.work()
        self.now = end
        await self.work()

    async def work(self) -> None:
        when: When = self.dice.choice(["before", "after"])
        at = self.dice.choice([None, None, 1, 2, 3])
        _, alive = await live(self.hub, at, when, sends=False)
        if not alive:
            self.deaths[when] += 1
            _, alive = await live(self.hub, sends=False)
        assert alive

    async def outcome(self) -> list[Any]:
        found = []
        for run in await self.hub.rows(RUNS, self.name):
            steps = sorted(tuple(row) for row in await self.hub.rows(STEPS, run["id"]))
            calls = await self.hub.rows(CALLS, run["id"])
            told = sorted(shown(c["path"], c["item"], c["state"], unpack_json(c["input"])) for c in calls)
            found.append((run["state"], run["reason"], steps, told))
        return found


def simulated(recipe: Recipe, happenings: list[tuple[str, Any]], now: datetime) -> list[Any]:
    """What the simulation says of the same."""
    world = World(recipe, CONNECTORS, settled(recipe, {}), now=now)
    events: list[Happening] = []
    for kind, what in happenings:
        if kind == "event":
            topic, body = what
            events.append(("event", (topic, OrderEvent(order=testconnector._order(body)))))
        else:
            events.append((kind, what))
    live_through(world, events)
    return [told(run) for run in world.runs]


def told(run: SimulatedRun) -> Any:
    steps = sorted((row.path, row.kind, row.state) for row in run.steps.values())
    calls = sorted(shown(call.step, call.item, call.state, call.values) for call in run.calls)
    return run.state, run.reason, steps, calls


def shown(path: str, item: str | None, state: str, values: Any) -> tuple[str, str, str, str]:
    """A call as both tell it. One that its run no longer waits for is still made: to the simulation it is due."""
    return path, item or "", "done" if state == "due" else state, IDS.sub("*", str(values))


async def test_a_real_hub_whose_workers_die_ends_as_the_simulation(
    hub: Harness, monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]
) -> None:
    now = hub.hub.clock.now() + timedelta(hours=1)
    met: Counter[str] = Counter()
    for seed in range(RECIPES):
        dice, name = Random(seed), f"any-{seed}"
        text = AnyRecipe(dice, remembers=False).text()
        await hub.recipe(name, text)
        happenings = plain(history(dice, LENGTH), 1000 * (seed + 1))
        dying = Dying(hub, name, dice, now, monkeypatch)
        await dying.live_through(happenings)
        found = await dying.outcome()
        assert found == simulated(parse_recipe(text, name), happenings, now), seed
        met.update(f"killed {when}" for when in dying.deaths.elements())
        met.update(f"step {step[1]}" for run in found for step in run[2])
        now = dying.now
        await hub.hub.recipes.refresh(always=True)
        async with hub.hub.database.acquire() as db:
            await db.execute("update recipe set enabled = false, updated_at = clock_timestamp() where name = $1", name)
        await hub.hub.recipes.refresh()
    lines = [f"{count:8,}  {what}" for what, count in sorted(met.items())]
    record_property("printed", "\n".join([f"what {RECIPES} random recipes met in a real hub:", *lines]))
    assert met["killed before"] >= 10
    assert met["killed after"] >= 10
