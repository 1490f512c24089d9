"""Templates of mails and messages: found by language, checked as the recipe is, filled in safely."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.expressions import EvaluationError
from app.recipes import RegistryCatalogue, load_folder, parse_recipe, read_templates
from app.recipes.preview import preview
from app.recipes.templates import Template, compiled, filled, reader_locale, texts_of, with_templates
from app.recipes.testing import run_tests
from app.registry import Registry

REGISTRY = Registry()
CATALOGUE = RegistryCatalogue(REGISTRY)
RECIPE = """\
title: Greet
on: order.paid
inputs: {shop: {type: string, default: My Shop}}
steps:
  - use: email.send
    with: {to: ada@example.com, template: hello, data: {code: HI10}}
"""
GOOD = {
    "hello.subject.txt.j2": "Order {{ order.number }}\n",
    "hello.txt.j2": """Hello,
{% for item in order.line_items -%}
- {{ item.title }}
{% endfor %}
{{ inputs.shop }}
""",
    "hello.html.j2": "<p>{{ order.customer.first_name | default('Hello') }}: {{ code }}</p>",
    "hello.de.subject.txt.j2": "Bestellung {{ order.number }}",
    "hello.de.txt.j2": "Hallo",
    "hello.de.html.j2": "<p>Hallo</p>",
}
EVENT = "{type: order.paid, data: {order: {id: '1', number: '#1', line_items: [{id: '1', title: Mug & <i>}]}}}"


def folder_of(tmp_path: Path, texts: dict[str, str], recipe: str = RECIPE) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "greet.yaml").write_text(recipe)
    for name, text in texts.items():
        (tmp_path / "templates" / name).write_text(text)
    return tmp_path


def problems(folder: Path) -> list[str]:
    return [str(problem) for loaded in load_folder(folder, CATALOGUE) for problem in loaded.problems]


def test_a_template_fills_subject_text_and_html(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, GOOD)
    said = r'{subject: "Order #1", text: "Hello,\n- Mug & <i>\n\nMy Shop", html: "<p>Hello: HI10</p>"}'
    expected = (
        f"cases:\n  - name: said\n    when: {EVENT}\n    expect: {{calls: [{{use: email.send, with: {said}}}]}}\n"
    )
    (folder / "greet.test.yaml").write_text(expected)
    report = run_tests(folder, REGISTRY)
    assert report.passed, report.text()


@pytest.mark.parametrize(
    ("locale", "shop", "subject"),
    [
        ("de", None, "Bestellung #1"),
        ("de-AT", None, "Bestellung #1"),
        ("de_CH", None, "Bestellung #1"),
        ("DE", None, "Bestellung #1"),
        ("fr", None, "Order #1"),
        ("fr", "de-DE", "Bestellung #1"),
        (None, "de", "Bestellung #1"),
        (None, None, "Order #1"),
        ("", None, "Order #1"),
        ("d", "-", "Order #1"),
    ],
)
def test_the_language_is_that_of_the_order_else_the_workspaces_else_none(
    locale: str | None, shop: str | None, subject: str
) -> None:
    scope = {"order": {"number": "#1", "locale": locale, "customer": None, "line_items": []}, "inputs": {"shop": ""}}
    said = filled({"template": "hello", "data": {"code": "X"}}, scope, compiled(GOOD), ("subject",), shop)
    assert said == {"subject": subject}


def test_who_orders_says_the_language_and_a_step_may_say_another() -> None:
    scope: dict[str, Any] = {"order": {"number": "#1", "locale": None, "customer": {"locale": "de"}}}
    assert reader_locale(scope) == "de"
    said = filled({"template": "hello", "locale": "en"}, scope, compiled(GOOD), ("subject",), None)
    assert said["subject"] == "Order #1"


def test_what_the_step_says_itself_goes_before_and_a_subject_is_one_line() -> None:
    library = compiled({"a.subject.txt.j2": "Hi\n{{ name }}\n", "a.txt.j2": "{{ name }}"})
    scope = {"name": "Ada\r\nBcc: eve@example.com"}
    assert filled({"template": "a"}, scope, library, ("subject", "text"), None)["subject"] == (
        "Hi Ada Bcc: eve@example.com"
    )
    assert filled({"template": "a", "subject": "Mine"}, scope, library, ("subject",), None)["subject"] == "Mine"


def test_what_buyers_wrote_cannot_become_html() -> None:
    library = compiled({"a.html.j2": "<a title='{{ name }}'>{{ name }}</a>"})
    said = filled({"template": "a"}, {"name": "<script>'\""}, library, ("html",), None)
    assert said["html"] == "<a title='&lt;script&gt;&#39;&#34;'>&lt;script&gt;&#39;&#34;</a>"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hello.html.j2": "<p>\n{{ order.totl }}</p>"}, "/templates/hello.html.j2:2:10: order has no 'totl'. Did you"),
        (
            {"hello.de.txt.j2": "{{ cod }}"},
            "/templates/hello.de.txt.j2:1:4: there is no 'cod' here. Did you mean 'code'",
        ),
        ({"hello.txt.j2": "{% for x in order %}{% endfor"}, "/templates/hello.txt.j2:1:"),
        ({"hello.txt.j2": "{{ order.number | shout }}"}, ": there is no filter 'shout'"),
        ({"hello.txt.j2": "{% for x in order.line_items %}{{ x.titel }}{% endfor %}"}, "has no 'titel'. Did you mean"),
        ({"hello.de.subject.txt.j2": None}, "the template 'hello' has no subject for the locale 'de'"),
        ({"hello.subject.txt.j2": None}, "email.send needs 'subject'"),
        ({name: None for name in GOOD if ".de." not in name}, "the template 'hello' has no file without a locale"),
        (dict.fromkeys(GOOD), "greet.yaml:6:43: there is no template 'hello'. Write templates/hello.subject.txt.j2"),
        ({**dict.fromkeys(GOOD), "helo.txt.j2": "x", "helo.subject.txt.j2": "x"}, "Did you mean 'helo'?"),
    ],
)
def test_a_mistake_in_a_template_is_found_with_its_place(
    tmp_path: Path, change: dict[str, str | None], said: str
) -> None:
    texts = {name: text for name, text in {**GOOD, **change}.items() if text is not None}
    if "hello.subject.txt.j2" in change and len(change) == 1:
        texts.pop("hello.de.subject.txt.j2")
    found = problems(folder_of(tmp_path, texts))
    assert any(said in each for each in found), found


def test_a_good_template_has_no_problem(tmp_path: Path) -> None:
    assert problems(folder_of(tmp_path, GOOD)) == []


def test_a_message_takes_the_text_alone(tmp_path: Path) -> None:
    recipe = RECIPE.replace("email.send", "slack.post_message").replace("to: ada@example.com", 'channel: "#a"')
    folder = folder_of(tmp_path, {"hello.txt.j2": "Hi", "hello.html.j2": "{{ unknown_here }}"}, recipe)
    assert problems(folder) == []


def test_an_action_without_texts_takes_no_template(tmp_path: Path) -> None:
    recipe = RECIPE.replace("email.send", "mailchimp.add_tags")
    assert any("takes no 'template'" in each for each in problems(folder_of(tmp_path, GOOD, recipe)))


def test_a_name_that_is_not_written_out_is_refused(tmp_path: Path) -> None:
    recipe = RECIPE.replace("template: hello", 'template: "{{ order.name }}"')
    assert any("must be written out" in each for each in problems(folder_of(tmp_path, GOOD, recipe)))


def test_a_file_that_is_no_text_is_told_and_the_mark_of_an_editor_goes_into_no_mail(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {**GOOD, "hello.subject.txt.j2": "\ufeffOrder"})
    (subject,) = (part for part in read_templates(folder)[0]["hello"].parts() if part.file == "hello.subject.txt.j2")
    assert subject.text.evaluate({}) == "Order"
    (folder / "templates/hello.txt.j2").write_bytes(b"one\ncaf\xe9")
    (folder / "templates/logo.png").write_bytes(b"\x89PNG\xff")
    assert any("hello.txt.j2:2:1: the file is not UTF-8. Save it as UTF-8." in each for each in problems(folder))
    assert [each.file.rpartition("/")[2] for each in read_templates(folder)[1]] == ["logo.png"]


def test_a_file_of_another_name_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {**GOOD, "hello.md": "x", "Hello.html.j2": "x"})
    _, strange = read_templates(folder)
    assert [each.file.rpartition("/")[2] for each in strange] == ["Hello.html.j2", "hello.md"]
    run = CliRunner().invoke(app, ["recipes", "check", str(folder)])
    assert run.exit_code == 1


def test_a_changed_template_is_a_new_version_and_an_old_one_keeps_its_texts() -> None:
    old, new = compiled(GOOD), compiled({**GOOD, "hello.txt.j2": "Changed"})
    first, second = parse_recipe(RECIPE, "greet", old), parse_recipe(RECIPE, "greet", new)
    assert first.digest != second.digest
    assert texts_of(first.templates) == GOOD
    assert with_templates(parse_recipe(RECIPE, "greet"), {}).templates == {}


def test_a_template_without_a_plain_language_says_so_when_nothing_fits() -> None:
    with pytest.raises(EvaluationError, match="no file without a locale"):
        Template("a", {"de": {}}).variant(["fr"])


def test_a_template_is_shown_as_it_would_be_sent(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, GOOD), tmp_path / "out"
    run = CliRunner().invoke(app, ["recipes", "preview", "hello", str(folder), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "Subject ---\nOrder #" in run.output
    assert "My Shop" in run.output
    assert (out / "hello.html").read_text().endswith(": HI10</p>")
    german = CliRunner().invoke(app, ["recipes", "preview", "hello", str(folder), "--locale", "de-AT", "--json"])
    assert '"Bestellung #' in german.output


SHIPPED = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def loaded() -> list[Any]:
    return [each.recipe for each in load_folder(SHIPPED, CATALOGUE)]


@pytest.mark.parametrize("name", sorted(read_templates(SHIPPED)[0]))
def test_every_shipped_template_reads_well_in_english_and_german(name: str, loaded: list[Any]) -> None:
    library, strange = read_templates(SHIPPED)
    assert strange == []
    assert set(library[name].variants) == {"", "de"}
    shown = [preview(name, library, loaded, REGISTRY, locale=locale, folder=SHIPPED) for locale in ("en", "de")]
    for each in shown:
        assert each.subject
        assert each.text
        assert each.html
        assert each.recipe, f"no recipe sends {name}"
        assert "None" not in each.text
        assert "\n\n\n" not in each.text
        assert each.html.startswith("<!doctype html>")
    assert shown[0].subject != shown[1].subject
    assert ("Herzliche Grüße" in (shown[1].text or ""), "Best wishes" in (shown[0].text or "")) == (True, True)
