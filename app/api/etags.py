"""ETags of what can be changed: who changes it says which version was seen, and overwrites no other (RFC 9110)."""

import hashlib
from typing import Annotated

from fastapi import Header

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
    return current in [each.strip().removeprefix("W/") for each in condition.split(",")]
