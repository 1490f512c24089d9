"""The walk of a run, without a database: the same simulation that recipes are tested with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from app import events as canonical
from app.domain.memory import kept, with_remembered
from app.events import CustomEvent, FreeDict, Money, OrderEvent
from app.expressions import compile_condition
from app.pipeline.deliver.ending import storable
from app.pipeline.match.explain import false_part, parts
from app.pipeline.match.simulate import Simulation
from app.pipeline.match.standins import Told
from app.pipeline.run.advance import Walk
from app.pipeline.run.outputs import call_output
from app.recipes import Step, parse_recipe
from app.recipes import settled as settled_inputs
from app.registry import Registry
from app.store.database import to_json
from tests.support import testconnector

CONNECTORS = {connector.slug: connector for connector in Registry(testconnector.connector)}
BUYER = {"id": "7", "email": "ada@example.com"}


def order(number: int = 1, amount: str = "10.00", **more: Any) -> OrderEvent:
    total = {"amount": amount, "currency": "EUR"}
    given = {"id": str(number), "number": f"#{number}", "totals": {"total": total}, "customer": BUYER, **more}
    return OrderEvent.model_validate({"order": given})


def world(text: str, told: Mapping[str, list[Told]] | None = None, **inputs: Any) -> Simulation:
    recipe = parse_recipe(f"title: Test\n{text}", "test")
    return Simulation(recipe, CONNECTORS, settled_inputs(recipe, inputs), told or {})


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
        ('wait: {until: "next {{ inputs.at }}"}', 23),
        ('wait: {until: "{{ inputs.at }}", timezone: America/New_York}', 4),
        ('wait: {until: "next 09:00", timezone: America/New_York}', 4),
        ('wait: {until: "wednesday 10:00"}', 48),
        ('wait: {until: "{{ order.created_at }}"}', 30),
    ],
)
def test_a_wait_is_over_when_it_says(wait: str, hours: float) -> None:
    source = (
        "on: order.paid\ninputs: {span: {type: duration, default: 2d}, at: {type: time, default: '09:00'}}\nsteps:\n"
    )
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


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("2026-03-29T00:45", "2026-03-29T01:30"),
        ("2026-03-29T01:15", None),
        ("2026-10-25T00:15", "2026-10-25T00:30"),
        ("2026-10-25T00:45", None),
        ("2026-10-25T01:10", "2026-10-25T01:30"),
        ("2026-10-24T22:00", "2026-10-25T00:30"),
    ],
)
def test_quiet_hours_of_a_customer_keep_the_clock_on_the_wall_when_it_changes(now: str, over: str | None) -> None:
    """In Berlin 02:30 does not come on 29 March 2026, and comes twice on 25 October."""
    source = 'on: order.paid\nquiet_hours: {from: "22:00", to: "02:30"}\nsteps:\n' + make("day")
    simulation = world(source)
    simulation.now = datetime.fromisoformat(now).replace(tzinfo=UTC)
    simulation.happen("order.paid", order(shipping_address={"country_code": "DE"}))
    if over is not None:
        assert notes(simulation) == []
        simulation.forward(datetime.fromisoformat(over).replace(tzinfo=UTC) - simulation.now - timedelta(seconds=1))
        assert notes(simulation) == []
        simulation.forward(timedelta(seconds=1))
    assert notes(simulation) == ["day"]


def test_events_without_the_once_per_value_are_each_for_themselves() -> None:
    simulation = world("on: order.updated\nonce_per: order.customer.email\nsteps:\n" + make("{{ order.number }}"))
    for number, buyer in ((1, {"id": "1"}), (2, {"id": "2"}), (3, BUYER), (4, BUYER)):
        simulation.happen("order.updated", order(number, customer=buyer))
    assert notes(simulation) == ["#1", "#2", "#3"]


# --- what goes through the store --------------------------------------------------------------------------------


NUMBERS = st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
FREE = st.recursive(
    st.none() | NUMBERS | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.dates()
    | st.datetimes(timezones=st.just(UTC)) | st.sampled_from(["1001", "1e5", "true", "2026-01-01", "[1]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.{", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@dataclass
class Giving:
    """An action, as far as its output matters."""

    output: type[BaseModel]


class Everything(BaseModel):
    """The output of an action, with each type that one may have."""

    text: str
    whole: int
    exact: Decimal
    at: datetime
    day: date
    flag: bool
    money: Money | None
    many: list[Decimal]
    free: FreeDict


def plain(data: BaseModel) -> object:
    return canonical.scope(data)


def told_apart(value: object) -> object:
    """A value with the types of all that is in it."""
    if isinstance(value, dict):
        return {name: told_apart(each) for name, each in value.items()}
    if isinstance(value, list):
        return [told_apart(each) for each in value]
    return type(value), value


@settings(max_examples=150, deadline=None)
@given(FREE, st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.datetimes(timezones=st.just(UTC)))
def test_results_have_the_same_value_and_type_before_and_after_the_store(
    free: object, whole: int, exact: Decimal, at: datetime
) -> None:
    """What `set` remembers, what is emitted and what an action gave, each as text between."""
    said = kept({"x": free})
    before = with_remembered({}, {"attributes": said})
    after = with_remembered({}, {"attributes": orjson.loads(to_json(said))})
    assert told_apart(after) == told_apart(before)
    stated = CustomEvent.model_validate({"data": {"x": free}})
    assert told_apart(plain(canonical.load("any.told", 1, canonical.dump(stated)))) == told_apart(plain(stated))
    money = {"amount": "10.10", "currency": "EUR"}
    made = Everything(
        text="1001", whole=whole, exact=exact, at=at, day=at.date(), flag=True, many=[exact, exact], free={"x": free},
        money=Money.model_validate(money),
    )  # fmt: skip
    output = orjson.loads(storable(made.model_dump_json()))
    assert told_apart(call_output(Giving(Everything), output)) == told_apart(made.model_dump())  # type: ignore[arg-type]


DEEDS = ["approve: {title: %s}", "set: {customer: {attributes: {x: %s}}}", "emit: a.b\n    with: {x: %s}", "stop: %s"]
SAID = ["12345678901234567890 * 1000", "{'a': 1.5}", "[1, [now]]", "order", "1e29 * 1.5", "none"]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("value", SAID)
def test_whatever_a_step_says_ends_in_a_step_or_a_sentence(deed: str, value: str) -> None:
    simulation = ran("on: order.paid\nsteps:\n  - " + deed % f'"{{{{ {value} }}}}"' + "\n")
    run = simulation.runs[0]
    assert "a fault of the hub" not in (run.reason or "")
    assert run.state != "failed" or "cannot stand among text" in (run.reason or ""), run.reason


def test_a_bug_ends_the_run_that_meets_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, step: Step, *more: object) -> bool:
        raise RuntimeError("a customer's secret")

    monkeypatch.setattr(Walk, "_emit", broken)
    simulation = ran("on: order.paid\nsteps:\n  - set: {order: {add_tags: [a]}}\n  - emit: a.b\n")
    (run,) = simulation.runs
    assert (run.state, run.reason, run.steps) == ("failed", "a fault of the hub (RuntimeError)", {})


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


SETS = """
on: order.paid
steps:
  - for_each: order.line_items
    as: line
    key: line.sku
    set: {order: {add_tags: ["{{ line.sku }}", "{{ (order.tags or []) | length }}"]}}
  - id: inside
    for_each: order.line_items
    key: item.sku
    steps:
      - set: {customer: {attributes: {last: "{{ item.sku }}"}}}
  - id: bad
    use: testbench.make_native
    with: {id: "2", note: bad}
    on_error:
      - set: {order: {attributes: {bad: true}}}
"""


@pytest.mark.parametrize("name", ["", "id: kept\n    "])
def test_what_is_set_for_each_item_is_seen_by_the_next_item_and_by_later_steps(name: str) -> None:
    """Also what is set inside a step, and after a failure; `order.customer` is the same customer."""
    source = SETS.replace("    as: line", f"    {name}as: line")
    source += make("{{ order.tags | join }} {{ order.customer.attributes.last }} {{ order.attributes.bad }}")
    lines = [{"id": "1", "sku": "A"}, {"id": "2", "sku": "B"}]
    simulation = ran(source, {"bad": [Told(fails="permanent")]}, line_items=lines)
    assert notes(simulation) == ["bad", "A0B2 B true"], simulation.runs[0].reason


def test_an_event_is_waited_for_by_each_item() -> None:
    source = "on: order.created\nsteps:\n"
    source += "  - {id: sent, for_each: order.line_items, key: item.sku, at_once: 2, timeout: 1d, "
    source += "wait_for: {event: order.updated, where: order.id == run.item.sku}}\n"
    source += make("{{ steps.sent | map('event.order.id') | join }} {{ steps.sent | map('timed_out') | join }}")
    simulation = world(source)
    simulation.happen("order.created", order(line_items=[{"id": "1", "sku": "6"}, {"id": "2", "sku": "7"}]))
    simulation.happen("order.updated", order(7))
    simulation.forward(timedelta(days=1))
    assert notes(simulation) == ["7 truefalse"], simulation.runs[0].reason


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


def test_a_person_is_asked_of_each_item_and_answers_one_or_all_that_ask() -> None:
    source = "on: order.paid\nsteps:\n"
    source += "  - {id: ask, for_each: order.line_items, key: item.sku, at_once: 2, approve: 'Send {{ item.sku }}?'}\n"
    source += make("{{ steps.ask | map('approved') | join(' ') }}")
    simulation = ran(source, line_items=[{"id": str(n), "sku": sku} for n, sku in enumerate("ABC")])
    assert not simulation.decide("ask[C]", True), "two at once"
    assert simulation.decide("ask[B]", False)
    assert not simulation.decide("ask[B]", True)
    assert simulation.decide("ask", True)
    assert notes(simulation) == ["true false true"]


def test_an_answer_is_for_who_asks_when_it_comes() -> None:
    source = "on: order.updated\nonce_per: order.id\nagain: queue\nsteps:\n  - {id: ok, approve: Really?}\n"
    simulation = world(source + make("{{ order.note }}"))
    for note in ("first", "second"):
        simulation.happen("order.updated", order(note=note), occurred_at=simulation.now)
    assert simulation.decide("ok", True)
    assert notes(simulation) == ["first"]
    assert simulation.decide("ok", True)
    assert notes(simulation) == ["first", "second"]


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


@pytest.mark.parametrize(
    ("source", "order", "told"),
    [
        ("'vip' in order.tags", {"tags": ["new", "b2b"]}, "order.tags is [new, b2b]"),
        ("'vip' in order.tags", {"tags": []}, "order.tags is []"),
        ("'x' in (order.lines | join(' ', 'sku'))", {"lines": [{"sku": "a"}] * 2}, "order.lines is a list of 2"),
        ("order.tags[0] == 'vip'", {"tags": ["t" * 61]}, "order.tags is a list of 1"),
    ],
)
def test_the_part_that_is_false_shows_what_its_lists_hold(source: str, order: dict[str, Any], told: str) -> None:
    assert false_part(compile_condition(source), {"order": order}) == f"{source} ({told})"


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
