"""Every shipped recipe does what its test file says; and the runner itself tells what is wrong."""

from pathlib import Path

import pytest

from app.recipes.reading import RECIPE_KEYS
from app.recipes.steps import EVERY_KEY
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
    assert "✗ greet: greeted (line 4)" in said
    assert "call 1, slack.post_message: text: expected 'bob@example.com', got 'ada@example.com'" in said


def test_branches_that_no_case_meets_are_told(folder: Path) -> None:
    (coverage,) = run_tests(folder, Registry()).coverage
    assert coverage.missing == ("where is false", "choose, branch 1", "test")


def test_expectations_are_written_anew_when_asked_and_nothing_else_is(folder: Path) -> None:
    assert run_tests(folder, Registry(), update=True).updated == ["greet"]
    assert run_tests(folder, Registry()).passed
    written = (folder / "greet.test.yaml").read_text()
    assert "# kept" in written
    assert "text: ada@example.com" in written


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
