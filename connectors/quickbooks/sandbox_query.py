"""The part of QuickBooks' query language that the sandbox understands."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.connector import Json
from connectors.quickbooks.sandbox_fault import FaultError

if TYPE_CHECKING:
    from connectors.quickbooks.sandbox_books import Company

_QUERY = re.compile(
    r"""\s*select\s+(?P<what>\*|count\(\*\))\s+from\s+(?P<entity>\w+)
        (?:\s+where\s+(?P<where>.+?))?
        (?:\s+orderby\s+(?P<order>[\w.]+)(?:\s+(?P<way>asc|desc))?)?
        (?:\s+startposition\s+(?P<start>\d+))?
        (?:\s+maxresults\s+(?P<most>\d+))?\s*""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TEXT = r"'(?:[^'\\]|\\.)*'"
_VALUE = rf"(?:{_TEXT}|true|false)"
_CONDITION = re.compile(
    rf"\s*(?P<field>[\w.]+)\s*(?:(?P<op>=|<=|>=|<|>|\blike\b)\s*(?P<value>{_VALUE})"
    rf"|in\s*\((?P<values>\s*{_VALUE}(?:\s*,\s*{_VALUE})*\s*)\))\s*(?P<and>and\b|$)",
    re.IGNORECASE,
)
Test = Callable[[dict[str, Json]], bool]


def run_query(text: str, company: "Company") -> dict[str, Json]:
    """What `QueryResponse` holds: nothing at all when nothing was found."""
    parsed = _QUERY.fullmatch(text)
    if parsed is None:
        raise FaultError("Error parsing query", "4000", f"QueryParserError: {text[:200]}")
    entity = company.entity(parsed["entity"].lower())
    tests = list(_conditions(parsed["where"] or "", company.filterable(entity)))
    if "Active" in company.filterable(entity) and "active" not in (parsed["where"] or "").lower():
        tests.append(lambda each: each.get("Active", True) is True)
    found = [each for each in company.all(entity) if all(test(each) for test in tests)]
    if parsed["order"]:
        found.sort(key=_sorting(parsed["order"], company.filterable(entity)), reverse=parsed["way"] == "desc")
    if parsed["what"] != "*":
        return {"totalCount": len(found)}
    start, most = int(parsed["start"] or 1), int(parsed["most"] or 100)
    if most > 1000 or start < 1:
        raise FaultError("MAXRESULTS is at most 1000 and STARTPOSITION at least 1", "4001")
    page = found[start - 1 : start - 1 + most]
    return {entity: page, "startPosition": start, "maxResults": len(page)} if page else {}


def _sorting(field: str, filterable: frozenset[str]) -> Callable[[dict[str, Json]], tuple[int, str]]:
    """The time of creation goes by ids, which count up."""
    if field == "MetaData.CreateTime":
        return lambda entity: (int(entity["Id"]), "")
    if field not in filterable:
        raise FaultError("Invalid query", "4001", f"Property {field} is not sortable")
    return lambda entity: (0, str(_folded(_plain(entity.get(field)))))


def _conditions(where: str, filterable: frozenset[str]) -> Iterator[Test]:
    place = 0
    while place < len(where.rstrip()):
        match = _CONDITION.match(where, place)
        if match is None:
            raise FaultError("Error parsing query", "4000", f"QueryParserError: {where[place : place + 100]}")
        if match["field"] not in filterable:
            raise FaultError("Invalid query", "4001", f"Property {match['field']} is not queryable")
        yield _test(match)
        place = match.end()
    if where and where.rstrip().lower().endswith(" and"):
        raise FaultError("Error parsing query", "4000", "QueryParserError: nothing after AND")


def _test(match: re.Match[str]) -> Test:
    field, op = match["field"], (match["op"] or "in").lower()
    values = [_value(each) for each in re.findall(_VALUE, match["values"] or match["value"], re.IGNORECASE)]

    def test(entity: dict[str, Json]) -> bool:
        actual = _folded(_plain(entity.get(field)))
        first = _folded(values[0])
        match op:
            case "in" | "=":
                return any(actual == _folded(value) for value in values)
            case "like":
                pattern = "".join(".*" if char == "%" else re.escape(char) for char in str(first))
                return isinstance(actual, str) and re.fullmatch(pattern, actual) is not None
            case "<":
                return actual is not None and str(actual) < str(first)
            case ">":
                return actual is not None and str(actual) > str(first)
            case "<=":
                return actual is not None and str(actual) <= str(first)
            case _:
                return actual is not None and str(actual) >= str(first)

    return test


def _value(text: str) -> str | bool:
    if text.startswith("'"):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text.lower() == "true"


def _plain(value: Json) -> Json:
    """References and addresses are compared by what they hold."""
    return value.get("value", value.get("Address")) if isinstance(value, dict) else value


def _folded(value: Json) -> Json:
    return value.lower() if isinstance(value, str) else value
