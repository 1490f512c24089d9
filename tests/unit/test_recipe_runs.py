"""Every shipped recipe does what its test file says; and the runner itself tells what is wrong."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.ids import new_id
from app.pipeline.match.simulate import START, Captured
from app.recipes.differences import calls_differ
from app.recipes.payloads import payload_folder
from app.recipes.reading import RECIPE_KEYS
from app.recipes.steps import EVERY_KEY
from app.recipes.testfile import ExpectedCall
from app.recipes.testing import Report, run_folder, run_tests
from app.registry import Registry

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPE = """\
title: Greet
on: order.paid
where: order.email
inputs: {channel: {type: string, default: "#shop"}}
steps:
  - choose:
      - when: order.test
        steps:
          - {id: test, use: slack.post_message, with: {channel: "{{ inputs.channel }}", text: test}}
    otherwise:
      - {id: real, use: slack.post_message, with: {channel: "{{ inputs.channel }}", text: "{{ order.email }}"}}
"""
TESTS = """\
events:
  paid: {type: order.paid, data: {order: {id: "1", email: ada@example.com}}}
cases:
  - name: greeted   # kept
    when: paid
    expect: {calls: [{use: slack.post_message, with: {text: bob@example.com}}]}
"""


@pytest.fixture(scope="module")
def shipped() -> Report:
    return run_tests(FOLDER, Registry())


def test_every_shipped_recipe_passes_its_tests(shipped: Report) -> None:
    assert shipped.passed, shipped.text()
    assert shipped.untested == []


def test_every_branch_of_a_shipped_recipe_is_met_by_a_case(shipped: Report) -> None:
    missing = {each.recipe: each.missing for each in shipped.coverage if each.missing}
    assert missing == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greet.yaml").write_text(RECIPE)
    (tmp_path / "greet.test.yaml").write_text(TESTS)
    return tmp_path


def test_a_difference_is_told_with_its_case_and_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_folder(folder) == 1
    said = capsys.readouterr().out
    assert "✗ greet: greeted (greet.test.yaml:4)" in said
    assert "call 1, slack.post_message: text: expected 'bob@example.com', got 'ada@example.com'" in said


FIXTURES = """\
cases:
  - name: a body as the platform sends it
    when: {webhook: shopify/orders-paid/free-shipping, with: {email: ada@example.com}}
    expect: {calls: [{use: slack.post_message, step: real, with: {text: ada@example.com}}]}
  - name: by its topic alone
    when: {webhook: {connector: shopify, payload: orders/paid}}
    expect: {calls: [slack.post_message]}
  - name: one that was captured
    when: {webhook: shopify/fixtures/orders-paid/captured-1.json}
    expect: {calls: [{use: slack.post_message, with: {text: bea@example.com}}]}
  - name: one that becomes no event
    when: {webhook: shopify/order_transactions-create/pending}
    expect: {run: none, reason: "'pending' has moved nothing yet", calls: []}
"""


def test_a_named_webhook_is_normalised_and_runs_the_recipe_as_in_a_hub(folder: Path) -> None:
    (folder / "greet.test.yaml").write_text(FIXTURES)
    captured = folder / "fixtures" / "orders-paid" / "captured-1.json"
    captured.parent.mkdir(parents=True)
    body = (payload_folder("shopify") / "orders-paid" / "free-shipping.json").read_text()
    captured.write_text(re.sub(r'"[^"]+@[^"]+"', '"bea@example.com"', body))
    report = run_tests(folder, Registry())
    assert report.passed, report.text()
    assert len(report.results) == 4


def test_calls_that_lack_and_calls_that_are_too_many_are_told_apart() -> None:
    made = [_call("a.one", {"x": 1}), _call("b.two"), _call("d.four", {"text": "z"})]
    wanted = [ExpectedCall("a.one", {"x": 2}), ExpectedCall("c.three"), ExpectedCall("d.four")]
    assert list(calls_differ(made, wanted)) == [
        "calls: expected a.one, c.three, d.four; got a.one, b.two, d.four",
        "call 1, a.one: x: expected 2, got 1",
        "- c.three",
        "+ b.two",
    ]


def test_long_texts_are_told_from_where_they_differ() -> None:
    before, after = "Dear Ada, " * 20 + "thanks", "Dear Ada, " * 20 + "sorry"
    first, *both = calls_differ([_call("a.b", {"text": after})], [ExpectedCall("a.b", {"text": before})])
    assert first == "call 1, a.b: text: they differ from character 201 on"
    assert [line.split()[0] for line in both] == ["expected", "got"]
    assert "thanks" in both[0]
    assert "sorry" in both[1]


def _call(use: str, values: dict[str, Any] | None = None) -> Captured:
    return Captured(new_id(), use, use, None, START, orjson.dumps(values or {}), "x")


def test_branches_that_no_case_meets_are_told(folder: Path) -> None:
    (coverage,) = run_tests(folder, Registry()).coverage
    assert coverage.missing == ("where is false", "choose, branch 1", "test")


def test_expectations_are_written_anew_when_asked_and_nothing_else_is(folder: Path) -> None:
    assert run_tests(folder, Registry(), update=True).updated == ["greet"]
    assert run_tests(folder, Registry()).passed
    written = (folder / "greet.test.yaml").read_text()
    assert "# kept" in written
    assert "text: ada@example.com" in written
    (folder / "greet.test.yaml").write_text(written.replace("run: done", "run: none\n      reason: where"))
    run_tests(folder, Registry(), update=True)
    assert run_tests(folder, Registry()).passed


def test_a_recipe_without_a_test_file_is_named(folder: Path) -> None:
    (folder / "greet.test.yaml").unlink()
    report = run_tests(folder, Registry())
    assert report.untested == ["greet"]
    assert report.passed


def test_the_example_of_the_guide_is_good_and_passes(tmp_path: Path) -> None:
    guide = (FOLDER.parent / "docs" / "writing-recipes.md").read_text()
    recipe, tests = (block.split("\n```")[0] for block in guide.split("```yaml\n")[1:3])
    (tmp_path / "greet-large-orders.yaml").write_text(recipe)
    (tmp_path / "greet-large-orders.test.yaml").write_text(tests)
    report = run_tests(tmp_path, Registry())
    assert report.passed, report.text()
    assert len(report.results) == 2
    assert report.coverage[0].missing == ()


def test_every_key_of_the_language_is_in_the_guide() -> None:
    guide = (FOLDER.parent / "docs" / "writing-recipes.md").read_text()
    assert [key for key in (*RECIPE_KEYS, *EVERY_KEY) if f"`{key}" not in guide and f"`{key}:" not in guide] == []


def test_every_end_of_what_a_recipe_waits_for_is_a_branch(folder: Path) -> None:
    (folder / "greet.yaml").write_text(
        "title: Wait\non: order.paid\ncancel_on: {event: order.cancelled, where: order.id == run.order.id}\nsteps:\n"
        "  - {id: asked, approve: Sure?, timeout: 1d}\n"
        "  - id: late\n    wait_for: {event: refund.created, where: order.id == run.order.id, timeout: 1d}\n"
    )
    (folder / "greet.test.yaml").write_text(TESTS.split("cases:")[0] + (
        "cases:\n  - {name: a, when: [paid, {approve: asked}, {pass: 2d}], expect: done}\n"
    ))  # fmt: skip
    (coverage,) = run_tests(folder, Registry()).coverage
    assert coverage.missing == ("cancel_on", "asked, declined", "asked, timed out", "late, an event came")
