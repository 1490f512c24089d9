"""Test files of recipes: what they say is read, and a test that would test nothing is told."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.documents import read_document, read_file
from app.recipes import RegistryCatalogue, load_folder, load_text
from app.recipes.differences import differences
from app.recipes.payloads import laid_over
from app.recipes.testfile import (
    Answer,
    Case,
    Decides,
    Given,
    Passes,
    TestFile,
    Webhook,
    read_test_file,
)
from app.registry import Registry
from tests.unit.test_recipes import INVOICE, SHELF

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPE = INVOICE + '  - id: ok\n    approve: "Sure?"\n    timeout: 2d\n'
EVENTS = """\
inputs: {due_days: 30}
events:
  paid:
    type: order.paid
    connection: main-store
    at: 2026-11-22T10:00:00Z
    data: {order: {id: "1", totals: {total: {amount: 119.00, currency: EUR}}}}
cases:
"""
WHOLE = (
    EVENTS
    + """\
  - name: everything
    inputs: {due_days: 5}
    when:
      - event: paid
        with: {order: {note: as a gift, totals: {total: {amount: 5}}}}
      - pass: 3d
      - {type: order.paid, data: {order: {id: "2"}}, test: true, historical: true}
      - webhook: {connector: shopify, payload: orders-paid}
        with: {email: ada@example.com}
      - approve: ok
        note: fine
    answers:
      invoice: [{fails: retryable, message: busy}, {id: "77"}]
      quickbooks.find_or_create_customer: {id: "58"}
    expect:
      run: done
      calls:
        - {use: quickbooks.create_invoice, step: invoice, with: {due_in_days: 5}}
        - store.tag_order
"""
)


def read(text: str) -> tuple[TestFile, list[str]]:
    recipe = load_text(RECIPE, "invoice", SHELF).recipe
    assert recipe is not None
    cases, problems = read_test_file(read_document(text, "t"), recipe, SHELF)
    return cases, [str(problem).removeprefix("t:") for problem in problems]


def only_case(text: str) -> Case:
    cases, problems = read(text)
    assert problems == []
    return cases.cases[0]


@pytest.mark.parametrize("at", ["2026-11-22T12:00:00+02:00", "'2026-11-22T10:00:00Z'", '"2026-11-22T12:00:00+02:00"'])
def test_a_time_may_stand_in_quotes(at: str) -> None:
    (given,) = only_case(EVENTS + f"  - {{name: a, when: {{event: paid, at: {at}}}, expect: done}}\n").happenings
    assert isinstance(given, Given)
    assert given.occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_everything_a_test_file_can_say_is_read() -> None:
    case = only_case(WHOLE)
    first, second, third, fourth, fifth = case.happenings
    assert isinstance(first, Given)
    assert first.data["order"] == {
        "id": "1",
        "note": "as a gift",
        "totals": {"total": {"amount": 5, "currency": "EUR"}},
    }
    assert first.occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert first.model().order.total.amount == 5  # type: ignore[attr-defined]
    assert second == Passes(timedelta(days=3))
    assert isinstance(third, Given)
    assert (third.test, third.historical) == (True, True)
    assert fourth == Webhook("shopify", "orders-paid", {"email": "ada@example.com"})
    assert fifth == Decides("ok", True, "fine")
    assert case.inputs == {"due_days": 5}
    assert case.answers["invoice"] == (Answer({}, "retryable", "busy"), Answer({"id": "77"}))
    assert case.expected.run == "done"
    assert case.expected.calls is not None
    assert [call.use for call in case.expected.calls] == ["quickbooks.create_invoice", "store.tag_order"]


def test_two_cases_of_one_name_are_told() -> None:
    _, problems = read(EVENTS + "  - {name: a, when: paid, expect: done}\n  - {name: a, when: paid, expect: none}\n")
    assert len(problems) == 1
    assert "another case above is named 'a' too" in problems[0]


def test_what_is_expected_has_short_forms() -> None:
    assert only_case(EVENTS + "  - {name: a, when: paid, expect: done}\n").expected.calls is None
    assert only_case(EVENTS + "  - {name: a, when: paid, expect: {calls: []}}\n").expected.run == "none"
    assert only_case(EVENTS + "  - {name: a, when: paid, expect: {calls: [store.tag_order]}}\n").expected.run == "done"


CASE = EVENTS + "  - {name: a, when: %s, expect: done}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cases: {}\n", "1:8: cases should be a list"),
        (EVENTS + "  - {name: a, when: paid}\n", "9:5: item 1 needs the key 'expect'"),
        (CASE % "payd", "there is no event named 'payd' in this file. Did you mean 'paid'?"),
        (CASE % "{event: paid, with: {order: {nots: a}}}", "an Order has no 'nots'. Did you mean 'note'?"),
        (CASE % "{event: paid, with: {order: {total: {amount: 1}}}}", "'total' is computed. Set what it is made of"),
        (CASE % "{event: paid, with: {order: {totals: {total: {amount: much}}}}}", "order.totals.total.amount: "),
        (CASE % "{type: ordr.payd.x, data: {ordr: 1}}", "has no 'ordr'"),
        (CASE % "{type: order.payd, data: {order: 1}}", "there is no event type 'order.payd'"),
        (CASE % "{webhook: shopify/orders-payd}", "shopify has no payload 'orders-payd'. Did you mean 'orders-paid'?"),
        (CASE % "{webhook: {connector: shopfy, payload: a}}",
         "there is no connector 'shopfy'. Did you mean 'shopify'?"),
        (CASE % "{event: paid, at: 2026-11-22}", "at should be a time with its offset from UTC"),
        (CASE % "{event: paid, at: '2026-11-22T10:00:00'}", "at should be a time with its offset from UTC"),
        (CASE % "{pass: 3 days}", "'3 days' is not a duration"),
        (CASE % "{pass: 3d, test: true}", "there is no key 'test' here"),
        (CASE % "{event: paid, note: a}", "there is no key 'note' here"),
        (CASE % "{approve: invoice}", "no step 'invoice' asks a person"),
        (EVENTS.replace("due_days", "due_day") + "  - {name: a, when: paid, expect: done}\n",
         "1:10: invoice has no input 'due_day'. Did you mean 'due_days'?"),
        (EVENTS.replace("30", "soon") + "  - {name: a, when: paid, expect: done}\n", "'soon' is not a number"),
        (EVENTS + "  - {name: a, when: paid, answers: {invoce: {id: a}}, expect: done}\n",
         "invoice has no step or action 'invoce'. Did you mean 'invoice'?"),
        (EVENTS + "  - {name: a, when: paid, answers: {invoice: {idd: a}}, expect: done}\n",
         "an Invoice has no 'idd'. Did you mean 'id'?"),
        (EVENTS + "  - {name: a, when: paid, answers: {invoice: {fails: often}}, expect: done}\n",
         "fails should be one of: retryable, permanent, unsure, credential"),
        (EVENTS + "  - {name: a, when: paid, expect: {calls: [quickbooks.create_invoce]}}\n",
         "invoice never uses 'quickbooks.create_invoce'. Did you mean 'quickbooks.create_invoice'?"),
        (EVENTS + "  - {name: a, when: paid, expect: {calls: [{use: quickbooks.create_invoice, with: {days: 1}}]}}\n",
         "a CreateInvoice has no 'days'"),
        (EVENTS + "  - {name: a, when: paid, expect: {run: finished}}\n", "run should be one of: done, failed"),
    ],
)  # fmt: skip
def test_a_test_that_would_test_nothing_is_told(text: str, expected: str) -> None:
    _, problems = read(text)
    assert any(expected in line for line in problems), problems


def test_data_is_laid_over_objects_and_replaces_all_else() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert laid_over(below, {"a": {"c": [3]}, "e": None}) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": None}
    assert laid_over({"a": {"b": 1}}, {"a": None}) == {"a": None}


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        ({"a": 1}, {"a": Decimal("1.00"), "b": 2}, []),
        ({"a": None}, {}, []),
        ({"a": "2026-11-22"}, {"a": date(2026, 11, 22)}, []),
        ({"a": datetime(2026, 1, 2, tzinfo=UTC)}, {"a": "2026-01-02T00:00:00Z"}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: expected 1, got 2"]),
        ({"a": "1"}, {"a": 1}, ["a: expected '1', got 1"]),
        ({"a": True}, {"a": 1}, ["a: expected True, got 1"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1]: expected 2, got 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: expected 1 items, got 2: [1, 2]"]),
        ({"a": "x"}, {}, ["a: expected 'x', and it is missing"]),
    ],
)  # fmt: skip
def test_differences_are_told_field_by_field(expected: object, actual: object, lines: list[str]) -> None:
    assert list(differences(expected, actual)) == lines


def test_every_shipped_recipe_can_run_and_has_a_test_file_without_faults() -> None:
    catalogue = RegistryCatalogue(Registry())
    loaded = load_folder(FOLDER, catalogue)
    assert len(loaded) >= 2
    for each in loaded:
        assert [str(problem) for problem in each.problems] == []
        assert each.recipe is not None
        document = read_file(FOLDER / f"{each.name}.test.yaml", each.name)
        file, problems = read_test_file(document, each.recipe, catalogue)
        assert [str(problem) for problem in problems] == []
        outcomes = {case.expected.run for case in file.cases}
        assert {"done", "failed", "none"} <= outcomes, f"{each.name} tests only its good path"
