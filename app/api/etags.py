"""ETags of what can be changed: who changes it says which version was seen, and overwrites no other (RFC 9110).

A tag is `"version-state"`: a change compares the version alone, for what a lane does meanwhile is no reason to refuse
it; who asks whether there is news compares both."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Response
from pydantic import BaseModel

from app.errors import ChangedError

IfMatch = Annotated[
    str | None,
    Header(
        description="The `ETag` of the version that was seen: refused (412) where it changed since.", max_length=500
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="`*` only makes what is not there yet (412 where it is).", max_length=500)
]

IfNewer = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="The `ETag` of the answer that is known: 304, and no body, while nothing of it has changed.",
        max_length=500,
    ),
]
UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing has changed since the answer that `If-None-Match` names."}
}
"""What such a route may answer beside the thing itself."""


def tag_of(*parts: object) -> str:
    """A strong ETag of a version, told by what changes with it."""
    return f'"{hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()}"'


def check(current: str | None, if_match: str | None, if_none_match: str | None = None) -> None:
    """Raises ChangedError unless the conditions hold for the current version (None: there is none)."""
    if if_match is not None and not _named(current, if_match):
        raise ChangedError("it was changed meanwhile: get it again, and send its new ETag as If-Match")
    if if_none_match is not None and _named(current, if_none_match):
        raise ChangedError("it is there already")


def _named(current: str | None, condition: str) -> bool:
    if condition.strip() == "*":
        return current is not None
    return current in [_version(each) for each in condition.split(",")]


def _version(tag: str) -> str:
    """A tag without what tells how the thing does: a change overwrites nothing of that."""
    return tag.strip().removeprefix("W/").partition("-")[0].rstrip('"') + '"'


def shown(version: str, thing: BaseModel, response: Response, if_none_match: str | None) -> Response | None:
    """Give an answer the ETag of all that it shows: its version, and how the thing does. 304 to who has that."""
    digest = hashlib.blake2b(thing.model_dump_json().encode(), digest_size=8).hexdigest()
    tag = response.headers["etag"] = f'{version[:-1]}-{digest}"'
    asked = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return Response(status_code=304, headers={"etag": tag}) if {tag, "*"} & set(asked) else None
