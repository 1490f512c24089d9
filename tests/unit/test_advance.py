"""The walk of a run, without a database: the same simulation that recipes are tested with."""

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from app.events import OrderEvent
from app.pipeline.match.explain import false_part, parts
from app.pipeline.match.simulate import Simulation
from app.pipeline.match.standins import Told
from app.recipes import parse_recipe, settled
from app.registry import Registry
from tests.support import testconnector

CONNECTORS = {connector.slug: connector for connector in Registry(testconnector.connector)}
BUYER = {"id": "7", "email": "ada@example.com"}


def order(number: int = 1, amount: str = "10.00", **more: Any) -> OrderEvent:
    total = {"amount": amount, "currency": "EUR"}
    given = {"id": str(number), "number": f"#{number}", "totals": {"total": total}, "customer": BUYER, **more}
    return OrderEvent.model_validate({"order": given})


def world(text: str, told: Mapping[str, list[Told]] | None = None, **inputs: Any) -> Simulation:
    recipe = parse_recipe(f"title: Test\n{text}", "test")
    return Simulation(recipe, CONNECTORS, settled(recipe, inputs), told or {})


def make(note: str, **more: str) -> str:
    extra = "".join(f", {key.rstrip('_')}: {value}" for key, value in more.items())
    return f'  - {{use: testbench.make_native, with: {{id: "1", note: "{note}"}}{extra}}}\n'


def notes(simulation: Simulation) -> list[str]:
    return [call.values["note"] for call in simulation.calls]


def ran(text: str, told: Mapping[str, list[Told]] | None = None, **more: Any) -> Simulation:
    simulation = world(text, told)
    simulation.happen("order.paid", order(**more))
    return simulation


# --- the scope --------------------------------------------------------------------------------------------------


def test_a_step_that_was_left_out_or_is_not_reached_is_nothing() -> None:
    source = "on: order.paid\nsteps:\n"
    source += '  - {id: a, if: "false", use: testbench.make_native, with: {id: "1", note: a}}\n'
    source += make("{{ steps.a is none }} {{ steps.b is none }}", id="b")
    assert notes(ran(source)) == ["true true"]


def test_the_error_says_message_step_and_action() -> None:
    source = "on: order.paid\nsteps:\n"
    source += '  - id: a\n    use: testbench.make_native\n    with: {id: "1", note: a}\n    on_error:\n'
    source += '      - {use: testbench.put_upsert, with: {id: "2", '
    source += 'note: "{{ error.message }}/{{ error.step }}/{{ error.action }}"}}\n'
    simulation = ran(source, {"a": [Told(fails="permanent", message="no")]})
    assert notes(simulation) == ["a", "no/a/testbench.make_native"]
    assert simulation.runs[0].state == "done"


def test_nouns_of_events_that_did_not_come_are_nothing() -> None:
    source = "on: [order.paid, checkout.created]\nsteps:\n" + make("{{ checkout is none }} {{ order.id }}")
    assert notes(ran(source)) == ["true 1"]


def test_inputs_have_their_types_and_defaults() -> None:
    source = (
        "on: order.paid\ninputs: {days: {type: integer, default: 3}, rate: {type: number, default: 0.19}}\nsteps:\n"
    )
    source += make("{{ inputs.days + 1 }} {{ inputs.rate * 100 }}")
    assert notes(ran(source)) == ["4 19.00"]


def test_an_output_comes_back_from_the_store_with_its_types() -> None:
    source = "on: order.paid\nsteps:\n"
    source += "  - {id: got, wait_for: {event: order.updated, where: order.id == run.order.id, timeout: 1d}}\n"
    source += make("{{ steps.got.event.order.totals.total.amount * 2 }} {{ steps.got.event.type }}")
    simulation = ran(source)
    simulation.happen("order.updated", order(amount="21.25"))
    assert notes(simulation) == ["42.50 order.updated"]
    output = simulation.runs[0].steps["got"].output
    assert isinstance(output["event"]["data"]["order"]["totals"]["total"]["amount"], str)


# --- waits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "hours"),
    [
        ("wait: 90m", 1.5),
        ('wait: "{{ inputs.span }}"', 48),
        ('wait: {until: "next 09:00"}', 23),
        ('wait: {until: "next 09:00", timezone: America/New_York}', 4),
        ('wait: {until: "wednesday 10:00"}', 48),
        ('wait: {until: "{{ order.created_at }}"}', 30),
    ],
)
def test_a_wait_is_over_when_it_says(wait: str, hours: float) -> None:
    source = "on: order.paid\ninputs: {span: {type: duration, default: 2d}}\nsteps:\n"
    simulation = world(source + f"  - {wait}\n" + make("over"))
    simulation.happen("order.paid", order(created_at="2026-01-06T16:00:00Z"))
    simulation.forward(timedelta(hours=hours) - timedelta(seconds=1))
    assert notes(simulation) == []
    assert simulation.runs[0].state == "waiting"
    simulation.forward(timedelta(seconds=1))
    assert notes(simulation) == ["over"]


def test_a_customers_morning_is_that_of_the_address() -> None:
    source = 'on: order.paid\nsteps:\n  - wait: {until: "next 09:00", timezone: customer}\n' + make("over")
    simulation = world(source)
    simulation.happen("order.paid", order(shipping_address={"country_code": "US", "province_code": "CA"}))
    simulation.forward(timedelta(hours=6, minutes=59))
    assert notes(simulation) == []
    simulation.forward(timedelta(minutes=1))
    assert notes(simulation) == ["over"]


def test_a_wait_that_gives_no_time_fails_its_step() -> None:
    simulation = ran('on: order.paid\nsteps:\n  - {id: w, wait: "{{ order.number }}"}\n')
    assert simulation.runs[0].state == "failed"
    assert "w:" in (simulation.runs[0].reason or "")


def test_nobody_is_called_in_quiet_hours() -> None:
    source = 'on: order.paid\nquiet_hours: {from: "09:30", to: "11:00", timezone: UTC}\nsteps:\n' + make("day")
    simulation = ran(source)
    assert notes(simulation) == []
    simulation.forward(timedelta(hours=1))
    assert notes(simulation) == ["day"]


# --- items ------------------------------------------------------------------------------------------------------


def test_an_if_beside_for_each_is_asked_once_before_the_items() -> None:
    source = "on: order.paid\nsteps:\n  - if: order.totals.total.amount > 100\n    for_each: order.line_items\n"
    source += '    use: testbench.make_native\n    with: {id: "1", note: "{{ item.title }}"}\n'
    assert notes(ran(source, line_items=[{"id": "1", "title": "Mug"}])) == []
    assert notes(ran(source, amount="200", line_items=[{"id": "1", "title": "Mug"}])) == ["Mug"]


def test_a_list_that_is_absent_has_no_items() -> None:
    source = "on: order.paid\nsteps:\n  - {id: a, for_each: order.line_items, use: testbench.make_native, "
    source += 'with: {id: "1", note: "{{ item.title }}"}}\n' + make("{{ steps.a | length }} left")
    assert notes(ran(source)) == ["0 left"]


def test_an_item_that_fails_ends_the_row_of_items_unless_told_to_go_on() -> None:
    source = "on: order.paid\nsteps:\n  - id: a\n    for_each: order.line_items\n    use: testbench.make_native\n"
    source += '    with: {id: "1", note: "{{ item.title }}"}\n'
    items = [{"id": str(n), "title": f"t{n}"} for n in range(3)]
    failing = {"a": [Told(), Told(fails="permanent", message="no"), Told()]}
    assert notes(ran(source, failing, line_items=items)) == ["t0", "t1"]
    going = ran(source + "    on_error: continue\n" + make("{{ steps.a | length }} items"), failing, line_items=items)
    assert notes(going) == ["t0", "t1", "t2", "3 items"]


def test_items_of_one_key_are_refused() -> None:
    source = "on: order.paid\nsteps:\n  - for_each: order.line_items\n    key: item.title\n"
    source += '    use: testbench.make_native\n    with: {id: "1"}\n'
    simulation = ran(source, line_items=[{"id": "1", "title": "x"}, {"id": "2", "title": "x"}])
    assert "one key" in (simulation.runs[0].reason or "")


# --- choices, branches, ends ------------------------------------------------------------------------------------

CHOOSE = """on: order.paid
steps:
  - choose:
      - when: order.totals.total.amount > 100
        steps:
          - {id: big, use: testbench.make_native, with: {id: "1", note: big}}
      - when: order.totals.total.amount > 50
        steps:
          - {id: middle, use: testbench.make_native, with: {id: "1", note: middle}}
    otherwise:
      - {id: small, use: testbench.make_native, with: {id: "1", note: small}}
"""


@pytest.mark.parametrize(("amount", "note"), [("200", "big"), ("60", "middle"), ("5", "small")])
def test_the_first_branch_that_is_true_is_taken(amount: str, note: str) -> None:
    assert notes(ran(CHOOSE, amount=amount)) == [note]


def test_parallel_branches_do_not_wait_for_each_other() -> None:
    source = "on: order.paid\nsteps:\n  - parallel:\n"
    source += '      - - wait: 1d\n        - {id: a, use: testbench.make_native, with: {id: "1", note: a}}\n'
    source += '      - - {id: b, use: testbench.make_native, with: {id: "1", note: b}}\n' + make("both")
    simulation = ran(source)
    assert notes(simulation) == ["b"]
    simulation.forward(timedelta(days=1))
    assert notes(simulation) == ["b", "a", "both"]


def test_stop_ends_the_run_with_its_reason() -> None:
    simulation = ran("on: order.paid\nsteps:\n  - stop: {reason: enough, failed: true}\n")
    assert (simulation.runs[0].state, simulation.runs[0].reason) == ("failed", "enough")


def test_a_person_approves_declines_or_lets_it_be() -> None:
    source = "on: order.paid\nsteps:\n  - {id: ok, approve: Really?, timeout: 2d}\n"
    source += make("{{ steps.ok.approved }} {{ steps.ok.timed_out }}")
    approved, late = ran(source), ran(source)
    assert approved.decide("ok", True)
    late.forward(timedelta(days=2))
    assert (notes(approved), notes(late)) == (["true false"], ["false true"])


def test_a_reminder_is_not_sent_to_who_bought_meanwhile() -> None:
    source = "on: order.created\ncancel_on: {event: order.paid, where: order.id == run.order.id}\n"
    source += "steps:\n  - wait: 1d\n" + make("remind")
    simulation = world(source)
    simulation.happen("order.created", order(1))
    simulation.happen("order.created", order(2))
    simulation.happen("order.paid", order(1))
    simulation.forward(timedelta(days=1))
    assert [run.state for run in simulation.runs] == ["cancelled", "done"]
    assert notes(simulation) == ["remind"]


def test_an_absent_value_waits_for_nothing() -> None:
    source = "on: order.created\nsteps:\n"
    source += "  - {id: w, wait_for: {event: order.paid, where: order.email == run.order.email, timeout: 1d}}\n"
    simulation = world(source + make("late: {{ steps.w.timed_out }}"))
    simulation.happen("order.created", order(1))
    simulation.happen("order.paid", order(2))
    assert simulation.runs[0].state == "waiting"
    simulation.forward(timedelta(days=1))
    assert notes(simulation) == ["late: true"]


# --- failures inside steps ---------------------------------------------------------------------------------------

BROKEN = {"a": [Told(fails="permanent", message="no")]}


def inside(on_error: str, more: str = "", container: str = "steps") -> str:
    """A step that fails among others, inside one that says what follows."""
    return f"""on: order.paid
steps:
  - id: outer
    {container}:
      - {{id: a, use: testbench.make_native, with: {{id: "1", note: a}}}}
      - {{id: b, use: testbench.make_native, with: {{id: "1", note: b}}}}
    on_error: {on_error}
{more}"""


def test_a_failure_inside_a_step_is_the_steps_own() -> None:
    going = ran(inside("continue", make("after")), BROKEN)
    assert (notes(going), going.runs[0].state) == (["a", "after"], "done")
    assert (going.runs[0].steps["outer"].state, going.runs[0].steps["outer"].error) == ("failed", "a: no")


def test_a_steps_own_on_error_sees_what_failed_inside_it() -> None:
    handled = '\n      - {use: testbench.put_upsert, with: {id: "2", note: "{{ error.step }}/{{ error.message }}"}}'
    simulation = ran(inside(handled, make("after")), BROKEN)
    assert notes(simulation) == ["a", "outer/a: no", "after"]
    assert ran(inside("fail", "on_error: continue\n"), BROKEN).runs[0].reason == "a: no"


def test_side_by_side_the_others_come_to_their_end_before_a_failure_counts() -> None:
    source = inside("continue", make("after"), "parallel").replace("{id: b, use", "{id: b, if: true, use")
    source = source.replace("      - {id: b", "      - - wait: 1d\n        - {id: b")
    simulation = ran(source, BROKEN)
    assert notes(simulation) == ["a"]
    simulation.forward(timedelta(days=1))
    assert notes(simulation) == ["a", "b", "after"]


def test_items_under_way_come_to_their_end_and_no_further_one_begins() -> None:
    source = """on: order.paid
steps:
  - steps:
      - for_each: order.line_items
        at_once: 2
        steps:
          - {id: a, use: testbench.make_native, with: {id: "1", note: "{{ item.title }}"}}
          - wait: 1h
    on_error: continue
"""
    items = [{"id": str(n), "title": f"t{n}"} for n in range(4)]
    failing = {"a": [Told(), Told(fails="permanent", message="no"), Told()]}
    simulation = ran(source + make("after"), failing, line_items=items)
    assert notes(simulation) == ["t0", "t1"]
    simulation.forward(timedelta(hours=1))
    assert notes(simulation) == ["t0", "t1", "after"]
    assert simulation.runs[0].state == "done"


# --- why not ----------------------------------------------------------------------------------------------------


def test_a_false_where_is_explained_by_its_part_and_values() -> None:
    simulation = ran("on: order.paid\nwhere: order.number and order.totals.total.amount > 100\nsteps:\n" + make("x"))
    said = "where is false: order.totals.total.amount > 100 (order.totals.total.amount is 10.00)"
    assert simulation.decisions == [said]


@pytest.mark.parametrize("source", ["a and b", "(a and b) and 'x and y' == c", "a or b and c", "not (a and b)"])
def test_parts_of_a_condition_say_together_what_it_says(source: str) -> None:
    for a in (True, False):
        for b in (True, False):
            scope = {"a": a, "b": b, "c": "x and y"}
            whole = all(bool(part.evaluate(scope)) for part in parts(source))
            assert whole == bool(parts(f"({source})")[0].evaluate(scope))


def test_the_part_that_is_false_shows_money_and_absence() -> None:
    (part,) = parts("order.total and true")[:1]
    assert false_part(part, {"order": {"total": None}}) == "order.total (order.total is absent)"


# --- crashes ----------------------------------------------------------------------------------------------------

LONG = """on: order.paid
steps:
  - {id: first, use: testbench.make_native, with: {id: "1", note: first}}
  - wait: 1d
  - for_each: order.line_items
    at_once: 2
    steps:
      - {id: each, use: testbench.make_native, with: {id: "{{ item.id }}", note: "{{ item.title }}"}}
      - wait: 1h
  - choose:
      - when: steps.first.key
        steps:
          - {id: last, use: testbench.put_upsert, with: {id: "9", note: last}}
"""


class Crashing(Simulation):
    """A world in which a worker dies before it wrote what a walk found, as often as the dice say."""

    dice = Random(0)
    crashes = 0

    def _take(self, run: Any, walk: Any) -> bool:
        while self.dice.random() < 0.5:
            type(self).crashes += 1
            walk = self._walk(run)
        return super()._take(run, walk)


def test_a_run_that_crashes_anywhere_comes_to_the_same_end() -> None:
    recipe = parse_recipe(f"title: Test\n{LONG}", "test")
    data = order(line_items=[{"id": str(n), "title": f"t{n}"} for n in range(5)])
    ends = []
    for kind, rounds in ((Simulation, 1), (Crashing, 30)):
        for seed in range(rounds):
            Crashing.dice = Random(seed)
            simulation = kind(recipe, CONNECTORS, {}, {})
            simulation.happen("order.paid", data)
            simulation.forward(timedelta(days=3))
            ends.append((simulation.runs[0].state, notes(simulation)))
    assert Crashing.crashes > 100
    assert ends[0][0] == "done"
    assert all(end == ends[0] for end in ends)
