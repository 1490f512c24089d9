"""Nothing that stands in an address is passed over: a parameter that is not known, or stands there twice, is refused.

Else a filter that is misspelt would show everything, and a `dry-run` that should be `dry_run` would do it.
"""

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from app.errors import InvalidError

FAULTS = 20
"""Faults of one address that are told: what looks for the name that was meant takes its time."""
_KNOWN: dict[tuple[str, str], frozenset[str]] = {}
"""(method, path of a route) -> the names of its query parameters."""


def check(request: Request) -> None:
    """Raises InvalidError, which says what the address takes."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    place = (request.method, route.path)
    if (known := _KNOWN.get(place)) is None:
        known = _KNOWN[place] = frozenset(_names(route.dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [each for each in given if each not in known][:FAULTS]
    faults = [{"field": f"query.{each}"[:200], "detail": _unknown(each[:100], known)} for each in unknown]
    twice = sorted(each for each in known if given[each] > 1)
    faults += [{"field": f"query.{each}", "detail": "is given more than once"} for each in twice]
    if faults:
        raise InvalidError("The request does not fit the description.", faults[:FAULTS])


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)


def _unknown(name: str, known: frozenset[str]) -> str:
    if not known:
        return "there is no such parameter: this address takes none"
    near = get_close_matches(name.lower().replace("-", "_"), known, 1, 0.7)
    meant = f"perhaps {near[0]!r} is meant; " if near else ""
    return f"there is no such parameter: {meant}this address takes {', '.join(sorted(known))}"
