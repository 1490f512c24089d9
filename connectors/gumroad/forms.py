"""Gumroad's bodies: forms with bracketed keys (JSON for some subscribers), where every value may be text."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import unquote_plus

from app.connector import Json, RawWebhook, parse_json
from app.errors import MalformedError

Body = dict[str, Any]

_PAIRS_AT_MOST = 2000
_DEPTH_AT_MOST = 6
_PART = re.compile(r"\[([^\[\]]*)\]")
_KEY = re.compile(r"([^\[\]]*)((?:\[[^\[\]]*\])*)")
_RETRY = re.compile(rb"(?:^|&)retry_count=[^&]*")


def parse(raw: RawWebhook) -> Json:
    """The body as nested dicts: `card[visual]` below `card`, `purchase_ids[]` as a list. Raises MalformedError.

    Keys and values are percent-encoded: Gumroad writes a space as %20 and a plus as %2B, so a bare plus can only be the
    space of a relay that encoded the form anew. Brackets inside a name were encoded once more, so that `a%255Bb%255D`
    is the name `a[b]`.
    """
    if raw.body.lstrip()[:1] in (b"{", b"["):
        said = parse_json(raw)
        if not isinstance(said, dict):
            raise MalformedError("the body is not a JSON object")
        return said
    pairs = [pair for pair in raw.body.decode(errors="replace").split("&") if pair]
    if not pairs or len(pairs) > _PAIRS_AT_MOST or any("=" not in pair for pair in pairs):
        raise MalformedError("the body is neither a form nor JSON")
    body: Body = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        _put(body, _path(unquote_plus(key)), unquote_plus(value))
    return body


def _path(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    if match is None or not match[1]:
        return [key]
    parts = [match[1], *_PART.findall(match[2])]
    if len(parts) > _DEPTH_AT_MOST:
        raise MalformedError("the form is nested too deeply")
    return [part.replace("%5B", "[").replace("%5D", "]") for part in parts]


def _put(body: Body, path: list[str], value: str) -> None:
    """Set a value; `[]` at the end of a path appends. A name that is both text and object keeps what came last."""
    for name in path[:-1]:
        if path[-1] == "" and name == path[-2]:
            break
        below = body.get(name)
        if not isinstance(below, dict):
            below = body[name] = {}
        body = below
    if len(path) > 1 and path[-1] == "":
        kept = body.get(path[-2])
        body[path[-2]] = [*(kept if isinstance(kept, list) else []), value]
    else:
        body[path[-1]] = value


def content_key(body: bytes) -> tuple[str, bool]:
    """(a hash of what the ping says, whether it says that it is a repetition).

    A repeated ping is the same form with `retry_count` beside, so that is left out of the hash.
    """
    if body.lstrip()[:1] == b"{":
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if isinstance(said, dict):
            repeated = said.pop("retry_count", None) is not None
            return digest(said), repeated
    first = _RETRY.sub(b"", body).lstrip(b"&")
    return hashlib.sha256(first).hexdigest(), _RETRY.search(body) is not None


def digest(value: Json) -> str:
    """The same for the same JSON value, in whatever order its names come."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


# --- reading values ----------------------------------------------------------------------------------------------


def text(body: Body, name: str) -> str | None:
    value = body.get(name)
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def truth(body: Body, name: str) -> bool | None:
    value = body.get(name)
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value))


def whole(body: Body, name: str) -> int | None:
    """An integer, from a JSON number or digits."""
    said = text(body, name)
    return int(said) if said is not None and re.fullmatch(r"-?[0-9]{1,15}", said) else None


def nested(body: Body, name: str) -> Body:
    """An object; what a blank variant title made a list (`variants[]=Large`) stands under the blank name."""
    value = body.get(name)
    if isinstance(value, list):
        return {"": ", ".join(str(each) for each in value)} if value else {}
    return value if isinstance(value, dict) else {}


def texts(body: Body, name: str) -> list[str]:
    value = body.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
