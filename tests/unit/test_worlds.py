"""A world that forgets what has ended, and puts aside what waits, decides as one that keeps everything."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.events import OrderEvent
from app.pipeline.match.assumed import assumed
from app.pipeline.match.seen import Aside, Seen
from app.pipeline.match.simulate import Simulation
from app.recipes import parse_recipe, settled
from tests.support import testconnector

CONNECTORS = {"testbench": testconnector.connector}
SAY = "  - {use: testbench.make_native, with: {id: '{{ order.id }}', note: '{{ order.number }}'}}\n"
RECIPES = {
    "plain": "on: order.paid\nsteps:\n" + SAY,
    "waits": "on: order.paid\nsteps:\n  - wait: 10h\n" + SAY,
    "restarts": "on: order.paid\nonce_per: order.email\nagain: restart\nsteps:\n  - wait: 7h\n" + SAY,
    "queues": "on: order.paid\nonce_per: order.email\nagain: queue\nsteps:\n  - wait: 5h\n" + SAY,
    "window": "on: order.paid\nonce_per: {value: order.email, within: 9h}\nsteps:\n" + SAY,
    "once for two": "on: [order.paid, order.created]\nsteps:\n" + SAY,
    "limited": "on: order.paid\nlimits: {per: order.email, at_most: 2, within: 12h}\nsteps:\n" + SAY,
    "cancelled": "on: order.paid\ncancel_on: {event: order.cancelled, where: order.id == run.order.id}\n"
    "steps:\n  - wait: 4h\n" + SAY,
    "listens late": "on: order.paid\nsteps:\n  - wait: 2h\n"
    "  - {id: gone, wait_for: {event: order.cancelled, where: order.id == run.order.id, timeout: 6h}}\n" + SAY,
    "remembers": "on: order.paid\nwhere: customer.attributes.told | default('no') == 'no'\nsteps:\n"
    "  - set: {customer: {attributes: {told: 'yes'}}}\n" + SAY,
}


def order(number: int) -> OrderEvent:
    who = f"{number % 4}@example.com"
    data = {"id": str(number), "number": f"#{number}", "email": who, "customer": {"email": who}}
    return OrderEvent.model_validate({"order": data})


def lived(text: str, keeps: bool) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    """The calls of a made-up history, and how its runs ended."""
    recipe = parse_recipe(f"title: T\n{text}", "t")
    world = Simulation(recipe, CONNECTORS, settled(recipe, {}), keeps=keeps)
    calls: list[tuple[object, ...]] = []
    states: list[str] = []

    def take() -> None:
        calls.extend((call.use, call.step, call.input, call.at) for call in world.calls)
        world.calls.clear()
        states.extend(run.state for run in world.ended)
        world.ended.clear()

    for number in range(40):
        world.happen("order.paid", order(number))
        if number % 3 == 0:
            world.happen("order.created", order(number))
        if number % 5 == 2:
            world.forward(timedelta(minutes=20))
            world.happen("order.cancelled", order(number - 1))
        world.forward(timedelta(hours=1))
        take()
    world.forward(timedelta(days=2))
    take()
    states += [run.state for run in (world.runs if keeps else world.open_runs())]
    return calls, {state: states.count(state) for state in sorted(set(states))}


@pytest.mark.parametrize("name", RECIPES)
def test_a_world_that_forgets_decides_as_one_that_remembers(name: str) -> None:
    calls, states = lived(RECIPES[name], keeps=True)
    assert calls
    assert (calls, states) == lived(RECIPES[name], keeps=False)


def test_the_histories_are_not_all_alike() -> None:
    ways = {name: lived(text, keeps=False) for name, text in RECIPES.items()}
    assert len({str(calls) for calls, _ in ways.values()}) >= 9
    assert {state for _, states in ways.values() for state in states} >= {"done", "cancelled"}


def test_what_was_seen_is_known_however_much_it_is() -> None:
    seen = Seen()
    keys = [number.to_bytes(8, "big") for number in range(5000)]
    for key in (*keys[::2], *keys[::4]):
        seen.add(key)
    assert len(seen) == 2500
    assert all(key in seen for key in keys[::2])
    assert not any(key in seen for key in keys[3::2])


def test_what_is_put_aside_comes_back_as_it_was() -> None:
    aside = Aside()
    places = [aside.put(value) for value in ({"a": 1}, ["b"] * 1000, None)]
    assert [aside.take(where) for where in reversed(places)] == [None, ["b"] * 1000, {"a": 1}]


DECIDES = """title: T
on: order.paid
steps:
  - {id: made, use: testbench.make_native, with: {id: "1"}}
  - {id: a, if: steps.made.key == 'x', use: testbench.put_upsert, with: {id: "1"}}
  - {id: b, use: testbench.put_upsert, with: {id: "{{ steps.made.id }}"}}
  - choose:
      - {when: steps.made.id, steps: [{id: c, use: testbench.say_skip, with: {id: "1"}}]}
"""


def assumptions() -> Iterator[int]:
    recipe = parse_recipe(DECIDES, "t")
    world = Simulation(recipe, CONNECTORS, {})
    world.happen("order.paid", order(1))
    yield assumed(world.runs[0])
    for call in world.runs[0].calls:
        call.assumed = call.step != "made"
    yield assumed(world.runs[0])


def test_only_decisions_count_as_assumed_and_only_those_that_rest_on_an_example() -> None:
    assert list(assumptions()) == [2, 0]
