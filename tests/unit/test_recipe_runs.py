"""Every shipped recipe does what its test file says; and the runner itself tells what is wrong."""

import re
from difflib import ndiff
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.errors import ConfigError
from app.export import PAGE
from app.ids import new_id
from app.pipeline.match.simulate import START, Captured
from app.recipes import RegistryCatalogue, load_folder
from app.recipes.cursor import Cursor
from app.recipes.differences import calls_differ, versions_differ
from app.recipes.payloads import payload_folder
from app.recipes.reading import INPUT_KEYS, RECIPE_KEYS
from app.recipes.reference import EXAMPLES, SECTIONS, reference
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


def test_of_two_versions_only_what_changes_is_told() -> None:
    def made(step: str, item: str | None = None, **given: Any) -> dict[str, Any]:
        return {"use": "a.b", "step": step, "item": item, "input": given}

    order = {"id": "1", "lines": [{"sku": "A", "note": None}]}
    before = [made("same", x=1), made("bill", "A", order=order, days=14), made("gone", x=1)]
    noted = {"id": "1", "lines": [{"sku": "A", "note": "red"}]}
    after = [made("same", x=1), made("bill", "A", order=noted, days=30), made("new", x=2)]
    assert list(versions_differ(before, after)) == [
        "~ a.b (step bill, item A)",
        "    order.lines[0].note: before nothing, now 'red'",
        "    days: before 14, now 30",
        "- a.b with {'x': 1}",
        "+ a.b with {'x': 2}",
    ]
    assert list(versions_differ(before, before[::-1])) == ["the same calls in another order"]


def _call(use: str, values: dict[str, Any] | None = None) -> Captured:
    return Captured(new_id(), use, use, None, START, orjson.dumps(values or {}), "x")


def test_all_but_the_expectation_stays_to_the_letter(tmp_path: Path) -> None:
    for name in ("hold-risky-orders.yaml", "hold-risky-orders.test.yaml"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    path = tmp_path / "hold-risky-orders.test.yaml"
    before = path.read_text()
    path.write_text(before.replace("is risky and held", "is held"))
    report = run_tests(tmp_path, Registry(), update=True)
    assert report.updated == ["hold-risky-orders"]
    assert run_tests(tmp_path, Registry()).passed
    changed = [line for line in ndiff(before.splitlines(), path.read_text().splitlines()) if line[0] in "+-"]
    assert changed
    assert not any("when" in line or "name" in line for line in changed)


def test_one_recipe_alone_can_be_tested(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.yaml").write_text(RECIPE)
    assert run_folder(folder, ["other"]) == 0
    assert capsys.readouterr().out == "other: no test file\n"
    with pytest.raises(ConfigError, match="did you mean 'greet'"):
        run_folder(folder, ["gret"])


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


CHAIN = """\
title: What one step gave is what the next one takes
on: order.paid
steps:
  - {id: pdf, use: quickbooks.get_invoice_pdf, with: {invoice_id: "1"}}
  - {id: mail, use: email.send, with: {to: "{{ order.email }}", subject: a, text: b, attachments: ["{{ steps.pdf }}"]}}
  - {id: label, use: shippo.buy_label, with: {order: "{{ order }}"}}
  - id: sent
    use: shopify.create_fulfillment
    with: {order_id: "{{ order.id }}", tracking_number: "{{ steps.label.tracking_number }}"}
  - {id: said, use: slack.post_message, with: {channel: "#a", text: sent}}
  - {use: slack.update_message, with: {channel: "{{ steps.said.channel }}", ts: "{{ steps.said.ts }}", text: done}}
"""


def test_examples_of_answers_carry_a_run_to_its_end(folder: Path) -> None:
    (folder / "greet.yaml").write_text(CHAIN)
    order = "{type: order.paid, platform: shopify, data: {order: {id: '1', email: ada@example.com}}}"
    (folder / "greet.test.yaml").write_text(f"cases:\n  - {{name: a, when: {order}, expect: done}}\n")
    report = run_tests(folder, Registry())
    assert report.passed, report.text()


ONE_LINE = """cases:
  - {name: a, when: {type: order.paid, data: {order: {id: "1", email: ada@example.com}}}, expect: none}
"""


@pytest.mark.parametrize("tests", [TESTS, ONE_LINE])
def test_lines_that_end_as_on_windows_still_do(folder: Path, tests: str) -> None:
    place = folder / "greet.test.yaml"
    place.write_bytes(tests.replace("\n", "\r\n").encode())
    run_tests(folder, Registry(), update=True)
    written = place.read_bytes()
    assert b"text: ada@example.com" in written
    assert written.count(b"\n") == written.count(b"\r\n") > 2
    assert run_tests(folder, Registry()).passed


def test_an_event_that_the_recipe_does_not_take_is_told(folder: Path) -> None:
    case = "{name: a, when: {webhook: shopify/orders-create/paid-in-euro, with: {test: false}}, expect: done}"
    (folder / "greet.test.yaml").write_text(f"cases:\n  - {case}\n")
    (result,) = run_tests(folder, Registry()).results
    assert result.differences == (
        "run: expected done, got none (it does not ask for order.created, but for order.paid)",
    )


def test_files_that_nobody_reads_are_told(folder: Path) -> None:
    (folder / "greet.test.yaml").rename(folder / "gret.test.yaml")
    (folder / "other.yml").write_text(RECIPE)
    report = run_tests(folder, Registry())
    assert [str(each).partition("/")[2] for each in report.problems] == [
        "other.yml:1:1: warning: this is read by nobody: names of recipes end in .yaml. Rename it.",
        "gret.test.yaml:1:1: warning: this tests nothing: there is no gret.yaml beside it. Rename it, or remove it.",
    ]
    assert report.passed
    checked = CliRunner().invoke(app, ["recipes", "check", str(folder)])
    assert (checked.exit_code, checked.stderr.count("warning: ")) == (0, 2)


def test_a_recipe_without_a_test_file_is_named(folder: Path) -> None:
    (folder / "greet.test.yaml").unlink()
    report = run_tests(folder, Registry())
    assert report.untested == ["greet"]
    assert report.passed


def test_the_example_of_the_guide_is_good_and_passes(tmp_path: Path) -> None:
    guide = (FOLDER.parent / "docs" / "writing-recipes.md").read_text()
    recipe, tests = (block.split("\n```")[0] for block in guide.split("```yaml\n")[1:3])
    (tmp_path / "tell-large-orders.yaml").write_text(recipe)
    (tmp_path / "tell-large-orders.test.yaml").write_text(tests)
    report = run_tests(tmp_path, Registry())
    assert report.passed, report.text()
    assert len(report.results) == 3
    assert report.coverage[0].missing == ()


def test_the_recipe_that_tells_of_the_hubs_troubles_is_good(tmp_path: Path) -> None:
    page = (FOLDER.parent / "docs" / "scaling.md").read_text()
    (tmp_path / "tell-troubles.yaml").write_text(page.split("```yaml\n")[1].split("\n```")[0])
    (loaded,) = load_folder(tmp_path, RegistryCatalogue(Registry()))
    assert loaded.usable
    assert not loaded.problems


@pytest.fixture(scope="module")
def examples() -> Report:
    return run_tests(EXAMPLES, Registry())


def test_every_example_of_the_reference_page_does_what_its_tests_say(examples: Report) -> None:
    assert examples.passed, examples.text()
    assert examples.untested == []
    assert {each.recipe for each in examples.results} == {name for section in SECTIONS for name in section.examples}
    assert {each.recipe: each.missing for each in examples.coverage if each.missing} == {}


def test_every_key_that_the_reader_knows_is_in_an_example_of_its_section(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may stand at each place, against what the examples say there: as the reader itself is asked."""
    known: dict[frozenset[str], set[str]] = {}
    read = Cursor.mapping

    def noting(self: Cursor, allowed: Any, needed: Any = ()) -> Any:
        known.setdefault(frozenset(allowed), set()).update(read(self, allowed, needed))
        return read(self, allowed, needed)

    monkeypatch.setattr(Cursor, "mapping", noting)
    for loaded in load_folder(EXAMPLES, RegistryCatalogue(Registry())):
        assert loaded.usable
    common = {"id", "if", "for_each", "as", "key", "at_once", "on_error", "timeout"}
    steps = {key for allowed, used in known.items() if common <= allowed for key in used}
    assert steps == set(EVERY_KEY)
    lacking = {tuple(sorted(allowed - used)) for allowed, used in known.items() if not common <= allowed}
    awaited = {("reason",), ("timeout",), ("schedule",), ("timezone",)}  # of places that share most of their keys
    assert lacking - awaited <= {()}
    kinds = ("value", "within"), ("per", "at_most"), ("from", "to"), ("until",), ("when",), ("title", "message")
    kinds += ("reason", "failed"), ("attempts", "within"), ("attributes",), ("customer", "order"), INPUT_KEYS
    for keys in (*kinds, RECIPE_KEYS, ("schedule",), ("historical",)):
        assert any(set(keys) <= allowed for allowed in known), f"no example says {keys}"


def test_every_key_is_in_the_reference_page_with_its_meaning() -> None:
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", page, re.MULTILINE))
    assert set(rows) >= {*RECIPE_KEYS, *EVERY_KEY, *INPUT_KEYS}
    assert [key for key, meaning in rows.items() if len(meaning) < 8] == []
    assert page == reference(), "run `make openapi`"


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
