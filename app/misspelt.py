"""What is wrong with a text that is no YAML, in words of people: the usual slips, each with its place and its mend."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml.error import MarkedYAMLError

Fault = tuple[int, int, str, str]
"""Line and column (from 1), what is wrong, what to do."""
UNQUOTED = re.compile(r"""(?:[:\-,\[]\s+|^\s*)\{\{""")
COMMENT = re.compile(r"\s#")
QUOTE = 'quote it with all the text around it: "{{ ... }}"'
CLOSING = {"sequence": "]", "mapping": "}"}


def fault_of(error: MarkedYAMLError, text: str) -> Fault:
    """The fault that a parser's error stands for."""
    lines = text.split("\n")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    for find in _FINDERS:
        for found in find(error, lines, line, column):
            return found
    said = (error.problem or error.context or "it cannot be read").replace("<", "").replace(">", "")
    return line, column, f"this is not YAML: {said}", "check indentation, quotes and brackets here and just before it"


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _began(error: MarkedYAMLError) -> tuple[int, int]:
    """Where the thing began within which the parser stumbled."""
    mark: Any = error.context_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _expression(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    for number in (line, line - 1):
        if found := UNQUOTED.search(_line(lines, number)):
            yield number, found.end() - 1, "an expression stands here without quotes", QUOTE


def _tab(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "\\t" in str(error.problem) or "\t" in _line(lines, line)[:column]:
        yield line, column, "a tab stands where spaces belong", "indent with spaces"


def _open_quote(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "end of stream" in str(error.problem) and "quoted scalar" in str(error.context):
        quote = _line(lines, _began(error)[0])[_began(error)[1] - 1 :][:1]
        yield *_began(error), f"the quote {quote} is opened here and never closed", "close it at the end of the text"


def _open_bracket(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    kind = str(error.context).rpartition(" ")[2]
    if kind not in CLOSING or "flow" not in str(error.context) or not error.context_mark:
        return
    first, at = _began(error)
    if "scalar" in str(error.problem) and first <= line and _line(lines, line)[column - 2 : column - 1] in ('"', "'"):
        yield from _after_quote(line, column)
    elif found := COMMENT.search(_line(lines, first), at):
        mend = "put quotes around what begins with #"
        yield first, found.start() + 2, "what follows # is a comment here, so the bracket before it stays open", mend
    else:
        mend = f"close it with {CLOSING[kind]}, or put a comma between its parts"
        yield first, at, f"the bracket {_line(lines, first)[at - 1 : at]} is opened here and not closed", mend


def _after_quote(line: int, column: int) -> Iterator[Fault]:
    mend = "use the other kind of quotes around the whole text, or double the quote inside it"
    yield line, column, "the text ended with the quote before this, and more of it follows", mend


def _indented(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    said = str(error.problem)
    if "expected <block end>" not in said:
        return
    if "scalar" in said and _line(lines, line)[: column - 1].rstrip()[-1:] in ('"', "'"):
        yield from _after_quote(line, column)
        return
    first, at = _began(error)
    mend = f"begin it in column {at}, as line {first} does, or deeper than its own key"
    if "collection" in str(error.context):
        mend = f"begin it with `- ` in column {at}, or in column {at + 2} where it belongs to the item above"
    yield line, column, "this line is indented unlike those that it belongs to", mend


def _colon(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "mapping values are not allowed" not in str(error.problem):
        return
    before = _line(lines, line)[: column - 1]
    if before.lstrip("- ").count(":"):
        yield line, column, "a text with a colon in it needs quotes", 'quote the whole text: key: "..."'
    else:
        mend = "indent this line as the line above, or quote the text above if it goes on here"
        yield line, column, "a key does not belong here", mend


def _keyless(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "could not find expected ':'" in str(error.problem):
        number, at = _began(error) if error.context_mark else (line, column)
        mend = "write `key: value`, or indent it deeper if it goes on with the text above"
        yield number, at, "this line has no key", mend


def _first_character(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "cannot start any token" in str(error.problem):
        begins = _line(lines, line)[column - 1 : column]
        yield line, column, f"a text cannot begin with {begins} unless it is quoted", f'quote it: "{begins}..."'


def _escape(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "unknown escape character" in str(error.problem):
        mend = "double the backslash, or put the text in single quotes"
        yield line, max(column - 1, 1), "a backslash means something else in double quotes", mend


def _end(error: MarkedYAMLError, lines: list[str], line: int, column: int) -> Iterator[Fault]:
    if "found '<stream end>'" in str(error.problem):
        yield line, column, "the file ends in the middle", "finish what its last line begins, or close the bracket"


Finder = Callable[[MarkedYAMLError, list[str], int, int], Iterator[Fault]]
_FINDERS: tuple[Finder, ...] = (
    *(_expression, _tab, _open_quote, _open_bracket, _indented, _colon, _keyless, _first_character, _escape, _end),
)
