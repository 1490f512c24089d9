"""YAML files as people write them: plain data with the line and column of everything, so that each fault can be shown.

YAML 1.2 (so `on` and `no` are words), numbers exact (`0.19` is a Decimal), and only what a reader sees: no tags,
anchors, merges or keys that are not words. Serves recipes, their test files and connections.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any, Literal, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml import events as yaml
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from app.errors import ConfigError
from app.misspelt import QUOTE, fault_of

MAX_BYTES = 64 * 1024
MAX_NODES = 10_000
MAX_DEPTH = 40
MAX_DIGITS = 30

Path: TypeAlias = tuple[str | int, ...]
Severity = Literal["error", "warning"]

# YAML 1.2 core schema, and dates; nothing else is more than text
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INTEGER = re.compile(r"[-+]?[0-9]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_A_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[-+][0-9]{2}:[0-9]{2})?"
)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a file: where (from 1), what is wrong, what to do."""

    file: str
    line: int
    column: int
    message: str
    mend: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        mend = f" {_sentence(self.mend)}" if self.mend else ""
        warning = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {warning}{_stop(self.message)}{mend}"


class DocumentError(ConfigError):
    """A file that cannot be used; `problems` says why, each with its place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a node begins, both from 1, and how it is written: `'`, `"`, `|`, `>` or nothing."""

    line: int
    column: int
    style: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's plain data, and the marks of its values and keys by path (`("steps", 0, "use")`)."""

    file: str
    data: Any
    marks: Mapping[Path, Mark]
    keys: Mapping[Path, Mark]
    lines: list[str] = field(repr=False, default_factory=list)

    def at(self, path: Path) -> Any:
        """The value at a path; None where there is none."""
        found = self.data
        for each in path:
            inside = each in found if isinstance(found, dict) else isinstance(found, list) and isinstance(each, int)
            if not inside:
                return None
            found = found[each]
        return found

    def mark(self, path: Path, key: bool = False) -> Mark:
        """The mark of a value, or of its key; where the path does not exist, of what encloses it."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark(1, 1))

    def problem(
        self,
        path: Path,
        message: str,
        mend: str = "",
        *,
        severity: Severity = "error",
        key: bool = False,
        within: tuple[int, int] | None = None,
    ) -> Problem:
        """A fault of the value at `path` (or of its key), or at a line and column `within` its text."""
        mark = self.mark(path, key)
        line, column = mark.line, mark.column
        while within and path and path not in self.marks:
            path = path[:-1]
        if within and isinstance(value := self.at(path), str):
            line, column = written_at(self.lines, mark, value, *within)
        return Problem(self.file, line, column, message, mend, severity)


def written_at(lines: Sequence[str], mark: Mark, value: str, line: int, column: int) -> tuple[int, int]:
    """Where a place in a text value (line and column, both from 1) stands in its file, however the text is written:
    quoted, folded, or over several lines."""
    wanted = sum(len(each) + 1 for each in value.split("\n")[: line - 1]) + column - 1
    row, at = mark.line - 1, mark.column - 1 + (mark.style in ("'", '"'))
    if mark.style in ("|", ">"):
        row, at = row + 1, 0
    for index, letter in enumerate(value):
        row, at = _skip_to(lines, row, at, letter, mark.style)
        if index >= wanted or row >= len(lines):
            break
        at += _width(lines[row], at, letter, mark.style)
    return min(row, len(lines) - 1) + 1, at + 1


def _skip_to(lines: Sequence[str], row: int, at: int, letter: str, style: str) -> tuple[int, int]:
    """Over indentation and line ends, to where a letter of the text stands; a blank may be a line's end."""
    while row < len(lines):
        text = lines[row]
        end = at >= len(text.rstrip("\r"))
        if not end and (text[at] == letter or (text[at] == "\\" and style == '"' and at + 1 < len(text))):
            return row, at
        if letter.isspace() and not (not end and text[at].isspace()):
            return row, at
        row, at = (row + 1, 0) if end else (row, at + 1)
    return row, at


def _width(text: str, at: int, letter: str, style: str) -> int:
    """How many letters of the file one letter of the text takes."""
    if at >= len(text) or (letter.isspace() and not text[at].isspace() and text[at] != "\\"):
        return 0
    if style == '"' and text[at] == "\\":
        return 2 + {"x": 2, "u": 4, "U": 8}.get(text[at + 1 : at + 2], 0)
    return 2 if style == "'" and letter == "'" else 1


def read_file(path: FilePath, name: str | None = None) -> Document:
    """The document in a file, which `name` calls in problems. Raises DocumentError."""
    shown = name or str(path)
    try:
        raw = path.read_bytes()
        return read_document(raw.decode(), shown)
    except OSError as error:
        raise DocumentError(
            [
                Problem(
                    shown, 1, 1, f"the file cannot be read: {error.strerror}", "check that it is there and may be read"
                )
            ]
        ) from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DocumentError([Problem(shown, line, 1, "the file is not UTF-8", "save it as UTF-8")]) from None


def read_document(text: str, file: str) -> Document:
    """Text of one YAML document as plain data with marks; `file` is its name in problems. Raises DocumentError."""
    if len(text.encode()) > MAX_BYTES:
        fault = Problem(file, 1, 1, f"the file is larger than {MAX_BYTES // 1024} kB", "split it")
        raise DocumentError([fault])
    try:
        return _Reader(text, file).read()
    except MarkedYAMLError as error:
        raise DocumentError([_syntax_problem(error, text, file)]) from None
    except YAMLError as error:
        raise DocumentError([_unprintable(error, text, file)]) from None


def _unprintable(error: YAMLError, text: str, file: str) -> Problem:
    """The first character that YAML does not take."""
    found = UNPRINTABLE.search(text)
    if found is None:
        return Problem(file, 1, 1, f"this is not YAML: {error}", "check indentation, quotes and brackets")
    line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
    return Problem(file, line, column, f"U+{ord(found.group()):04X} cannot stand in a file", "remove the character")


def scalar(text: str) -> Any:
    """What an unquoted word means: nothing, true or false, a whole number, a Decimal, a date, a time in UTC, or text.

    Raises ValueError with a sentence for numbers and times that cannot be meant."""
    if text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    if INTEGER.fullmatch(text):
        return _within(int(text[:100]), text)
    if NUMBER.fullmatch(text):
        return _within(Decimal(text), text)
    if HEXADECIMAL.fullmatch(text):
        return _within(int(text[:100], 0), text)
    if NOT_A_NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not a number that can be used")
    return _moment(text)


def _within(number: int | Decimal, text: str) -> int | Decimal:
    if len(text) > 100 or (number and abs(Decimal(number).adjusted()) >= MAX_DIGITS):
        raise ValueError("the number is too large")
    return number


def _moment(text: str) -> date | str:
    """A date or an aware UTC time, if it is written like one."""
    try:
        if DATE.fullmatch(text):
            return date.fromisoformat(text)
        if TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.replace("t", "T").replace("z", "Z"))
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{text} is not in the calendar") from None
    return text


class _Reader:
    """Builds the data from YAML's events: nothing is resolved that the schema above does not know."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.marks: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        parser = YAML(typ="safe", pure=True)
        self.events: Iterator[Any] = parser.parse(io.StringIO(text))
        self.nodes = 0

    def read(self) -> Document:
        data: Any = None
        for event in self.events:
            if isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if self.marks:
                    raise self.fault(event, "a file holds one document", "remove the --- and what follows")
                continue
            data = self.value(event, ())
        return Document(self.file, data, self.marks, self.keys, self.text.split("\n"))

    def fault(self, event: Any, message: str, mend: str = "") -> DocumentError:
        mark = event.start_mark
        return DocumentError([Problem(self.file, mark.line + 1, mark.column + 1, message, mend)])

    def value(self, event: Any, path: Path) -> Any:
        self.admit(event, path)
        style = getattr(event, "style", "") or ""
        absent = path in self.keys and not style and getattr(event, "value", None) == ""  # shown where its key stands
        here = Mark(event.start_mark.line + 1, event.start_mark.column + 1, style)
        self.marks[path] = self.keys[path] if absent else here
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event)

    def admit(self, event: Any, path: Path) -> None:
        """Refuses what the reader of a file could not see, and what has no end."""
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise self.fault(event, "the file is too large or nested too deeply", "split it")
        if isinstance(event, yaml.AliasEvent):
            raise self.fault(
                event, f"references (*{event.anchor}) are not used here", "write the value out, or quote it"
            )
        if event.anchor is not None:
            raise self.fault(event, f"anchors (&{event.anchor}) are not used here", "leave it out, or quote the value")
        if event.tag is not None:
            mend = "leave it out, quote the value, or write `not` for its contrary"
            raise self.fault(event, f"tags ({event.tag}) are not used here", mend)

    def scalar(self, event: Any) -> Any:
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in event.value):
            raise self.fault(event, "the text holds a character that no system takes", "leave it out")
        if event.style is not None:
            return event.value
        try:
            return scalar(event.value)
        except ValueError as error:
            raise self.fault(event, str(error), "quote it if it is text") from None

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            name = self.key(event, path)
            if name in made:
                first = self.keys[(*path, name)]
                raise self.fault(event, f"{name!r} is here twice", f"it is also in line {first.line}; keep one")
            self.keys[(*path, name)] = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
            made[name] = self.value(next(self.events), (*path, name))
        return made

    def key(self, event: Any, path: Path) -> str:
        if isinstance(event, yaml.MappingStartEvent):
            outer = self.marks[path]
            unquoted = Problem(self.file, outer.line, outer.column, "an expression stands here without quotes", QUOTE)
            raise DocumentError([unquoted])
        self.admit(event, path)
        if not isinstance(event, yaml.ScalarEvent):
            raise self.fault(event, "a key must be a word", "write `name: value`")
        if event.value == "<<" and event.style is None:
            raise self.fault(event, "merging (<<) is not used here", "write the keys out")
        return str(event.value)


def _syntax_problem(error: MarkedYAMLError, text: str, file: str) -> Problem:
    """A sentence instead of the parser's own words, with the mend of the usual mistakes."""
    return Problem(file, *fault_of(error, text))


def _stop(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _sentence(text: str) -> str:
    return _stop(text[:1].upper() + text[1:])
