"""Files as people write them: exact values, the place of everything, and a plain sentence for every mistake."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents import MAX_BYTES, Document, DocumentError, Problem, read_document, read_file, scalar
from app.errors import ConfigError

RECIPE = """title: Invoice every paid order
on: order.paid
off: no
inputs:
  due_days: {type: integer, default: 14}
steps:
  - id: invoice
    use: "quickbooks.create_invoice"
    with: {order: "{{ order }}", note: 'it''s'}
  - text: |
      first line
      second line
"""


def read(text: str) -> Document:
    return read_document(text, "shop.yaml")


def fault(text: str) -> Problem:
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert isinstance(caught.value, ConfigError)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_a_file_becomes_plain_data() -> None:
    assert read(RECIPE).data == {
        "title": "Invoice every paid order",
        "on": "order.paid",
        "off": "no",
        "inputs": {"due_days": {"type": "integer", "default": 14}},
        "steps": [
            {
                "id": "invoice",
                "use": "quickbooks.create_invoice",
                "with": {"order": "{{ order }}", "note": "it's"},
            },
            {"text": "first line\nsecond line\n"},
        ],
    }


def test_everything_has_its_line_and_column() -> None:
    document = read(RECIPE)
    value, key = document.mark(("steps", 0, "use")), document.mark(("steps", 0, "use"), key=True)
    assert (value.line, value.column, value.style) == (8, 10, '"')
    assert (key.line, key.column) == (8, 5)
    assert document.mark(("steps", 0)).line == 7
    assert document.mark(("steps", 0, "with", "order")).column == 19
    assert document.mark(("steps", 0, "missing", "too")) == document.mark(("steps", 0))
    assert document.mark(("nowhere",)).line == 1


@pytest.mark.parametrize(
    ("path", "within", "place"),
    [
        (("title",), (1, 9), (1, 16)),
        (("steps", 0, "with", "order"), (1, 4), (9, 23)),
        (("steps", 1, "text"), (2, 3), (12, 9)),
    ],
)
def test_a_place_inside_a_text_is_a_place_in_the_file(
    path: tuple[str | int, ...], within: tuple[int, int], place: tuple[int, int]
) -> None:
    problem = read(RECIPE).problem(path, "wrong", within=within)
    assert (problem.line, problem.column) == place


def test_a_problem_reads_as_a_sentence_with_its_place() -> None:
    problem = Problem("a.yaml", 3, 7, "there is no 'totl'", "did you mean 'total'?")
    assert str(problem) == "a.yaml:3:7: there is no 'totl'. Did you mean 'total'?"
    assert str(Problem("a.yaml", 1, 1, "odd", severity="warning")) == "a.yaml:1:1: warning: odd."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("0.19", Decimal("0.19")),
        ("1.10", Decimal("1.10")),
        ("-5e3", Decimal("-5e3")),
        ("010", 10),
        ("-7", -7),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("2026-01-02", date(2026, 1, 2)),
        ("2026-01-02T10:00:00+02:00", datetime(2026, 1, 2, 8, tzinfo=UTC)),
        ("2026-01-02 10:00", datetime(2026, 1, 2, 10, tzinfo=UTC)),
        ("3d", "3d"),
        ("order.paid", "order.paid"),
    ],
)
def test_words_mean_what_a_reader_expects(text: str, expected: object) -> None:
    result = scalar(text)
    assert result == expected
    assert type(result) is type(expected)
    assert str(result) == str(expected)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_a_number_keeps_all_its_digits(number: Decimal) -> None:
    assert read(f"a: {number:f}").data == {"a": number}
    assert str(read(f"a: {number:f}").data["a"]) == f"{number:f}"


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "mend"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "'a' is here twice", "line 1"),
        ("a:\n  b: {{ order.id }}\n", 2, 6, "without quotes", "quote it"),
        ("a: {{ order.id }} and more\n", 1, 4, "without quotes", "quote it"),
        ("a:\n  - {{ order.id }}\n", 2, 5, "without quotes", "quote it"),
        ("with: {a: {{ x }}, b: 1}\n", 1, 11, "without quotes", "quote it"),
        ('a: !!python/object/apply:os.system ["ls"]\n', 1, 4, "tags", "leave it out"),
        ("a: !foo 1\n", 1, 4, "tags (!foo)", "leave it out"),
        ("a: !!str 1\n", 1, 4, "tags", "leave it out"),
        ("a: &x 1\n", 1, 4, "anchors (&x)", "leave it out"),
        ("a: *x\n", 1, 4, "references (*x)", "write the value out"),
        ("a:\n  <<: {b: 1}\n", 2, 3, "merging", "write the keys out"),
        ("? [a]\n: 1\n", 1, 3, "a key must be a word", ""),
        ("a: 1\n---\nb: 2\n", 2, 1, "one document", "remove the ---"),
        ("a:\n\tb: 1\n", 2, 1, "tab", "spaces"),
        ("a: b: c\n", 1, 5, "colon", "quote the whole text"),
        ("a: [1, 2\nb: 3\n", 1, 4, "[ is opened here", "close it with ]"),
        ("a: {b: 1\nc: 2\n", 1, 4, "{ is opened here", "close it with }"),
        ("a: {b: #c, d: 1}\ne: 2\n", 1, 8, "what follows # is a comment", "quotes around what begins with #"),
        ("a: 'it's'\n", 1, 8, "ended with the quote", "double the quote"),
        ('a: {b: "x "y""}\n', 1, 12, "ended with the quote", "the other kind of quotes"),
        ('a: "x\nb: 1\n', 1, 4, 'the quote " is opened here and never closed', "close it"),
        ('a: "x\\y"\n', 1, 6, "a backslash means something else", "double the backslash"),
        ("a: @x\n", 1, 4, "cannot begin with @", 'quote it: "@..."'),
        ("a:\n  - b: 1\n   c: 2\n", 3, 4, "indented unlike", "or in column 5"),
        ("a:\n    b: 1\n  c: 2\n", 3, 3, "indented unlike", "in column 1, as line 1 does"),
        ("a:\n  - b: 1\n  c: 2\n", 3, 3, "indented unlike", "begin it with `- ` in column 3, or in column 5"),
        ("a: b\n  c: 1\n", 2, 4, "a key does not belong here", "indent this line as the line above"),
        ("a: |\nb\nc: 1\n", 2, 1, "this line has no key", "write `key: value`"),
        ("a: !b\n", 1, 4, "tags (!b)", "write `not`"),
        ("a: .inf\n", 1, 4, ".inf", "quote it"),
        ("a: 1e400\n", 1, 4, "too large", "quote it"),
        ("a: " + "9" * 31 + "\n", 1, 4, "too large", "quote it"),
        ("a: 2026-13-45\n", 1, 4, "calendar", "quote it"),
        ("a: \x07\n", 1, 4, "U+0007 cannot stand in a file", "remove the character"),
    ],
)
def test_a_mistake_is_told_where_and_how_to_mend_it(text: str, line: int, column: int, message: str, mend: str) -> None:
    problem = fault(text)
    assert message in problem.message
    assert mend in problem.mend
    assert (problem.line, problem.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)),
        "a: &a [*a]\n",
        "[" * 2_000,
        "{a: " * 2_000,
        "- " * 2_000,
        "a: [" + "1," * 25_000 + "]",
        "x" * (MAX_BYTES + 1),
        "? " * 1_500 + "a",
    ],
)
@pytest.mark.usefixtures("uncollected")
def test_no_file_takes_the_hub_down(text: str) -> None:
    began = time.thread_time()
    fault(text)
    assert time.thread_time() - began < 3


def test_an_empty_file_is_nothing() -> None:
    assert read("").data is None
    assert read("# only a comment\n").data is None


def test_files_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: ü\n")
    assert read_file(tmp_path / "a.yaml").data == {"a": "ü"}
    (tmp_path / "b.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(DocumentError, match=r"b.yaml:2:1: the file is not UTF-8"):
        read_file(tmp_path / "b.yaml", "b.yaml")
    with pytest.raises(DocumentError, match="cannot be read"):
        read_file(tmp_path / "c.yaml")
