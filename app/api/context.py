"""What routes share: the hub, ids and names in addresses, pages of lists, and what must not be shown."""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from app.domain.connections import secret_texts
from app.errors import MalformedError
from app.hub import Hub
from app.ids import time_of
from app.pipeline.match import Matcher
from app.store.database import Row
from app.store.lists import Page

T = TypeVar("T")


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


async def _matcher(request: Request) -> Matcher:
    matcher: Matcher = request.app.state.matcher
    return matcher


HubDep = Annotated[Hub, Depends(_hub)]
MatcherDep = Annotated[Matcher, Depends(_matcher)]


def _of_ours(row_id: UUID) -> UUID:
    try:
        time_of(row_id)
    except (ValueError, OverflowError):
        raise ValueError("this is no id of ours") from None
    return row_id


RowId = Annotated[UUID, Path(examples=["0199c0de-1234-7abc-8def-0123456789ab"]), AfterValidator(_of_ours)]
"""A UUIDv7 in an address."""
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""The name of a recipe or the slug of a connection in an address."""
Text = Annotated[
    str | None,
    Query(description="Finds an order number, an e-mail address, a sender's id, or part of an error.", max_length=200),
]
Since = Annotated[AwareDatetime | None, Query(description="From this moment on (RFC 3339).")]
Until = Annotated[AwareDatetime | None, Query(description="Before this moment (RFC 3339).")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200, description="Rows of a page.")]


class Listed(BaseModel, Generic[T]):
    """A page of a list, newest first."""

    items: list[T]
    next: str | None = Field(description="The cursor of the page after this one; null at the end.")


NO_CURSOR = "this is no cursor: take `next` of the page before as it is"


def to_cursor(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_cursor(cursor: str | None, size: int = 16) -> bytes | None:
    """Raises MalformedError for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise MalformedError(NO_CURSOR)
    return raw


async def _page(since: Since = None, until: Until = None, cursor: Cursor = None, limit: Limit = 50) -> Page:
    raw = from_cursor(cursor)
    return Page(limit, UUID(bytes=raw) if raw else None, since=since, until=until)


PageDep = Annotated[Page, Depends(_page)]


def listed(rows: Sequence[Row], limit: int, show: Callable[[Row], T]) -> Listed[Any]:
    """A page of at most `limit` rows; a row more says that there is a next page."""
    shown = rows[:limit]
    following = to_cursor(shown[-1]["id"].bytes) if len(rows) > limit else None
    return Listed(items=[show(row) for row in shown], next=following)


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list that is short enough to be read whole: what holds a text, after a name."""

    text: str
    after: str | None
    limit: int

    def of(
        self, items: Iterable[T], name: Callable[[T], str], text: Callable[[T], str], *, newest: bool = False
    ) -> Listed[T]:
        """By name, or from the last name to the first."""
        ordered = sorted(items, key=name, reverse=newest)
        found = [each for each in ordered if self.text in text(each).casefold() and self._follows(name(each), newest)]
        following = to_cursor(name(found[self.limit - 1]).encode()) if len(found) > self.limit else None
        return Listed(items=found[: self.limit], next=following)

    def _follows(self, name: str, newest: bool) -> bool:
        return self.after is None or (name < self.after if newest else name > self.after)


async def _part(
    q: Annotated[str | None, Query(description="Finds part of a name or a title.", max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = 200,
) -> Part:
    try:
        after = None if cursor is None else base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise MalformedError(NO_CURSOR) from None
    return Part((q or "").strip().casefold(), after, limit)


PartDep = Annotated[Part, Depends(_part)]


def secrets_of(hub: Hub, workspace: str) -> set[str]:
    """Every secret of a workspace's connections: blotted out of what systems echoed."""
    return {
        text
        for connection in hub.connections
        if connection.workspace == workspace
        for text in secret_texts(connection.settings)
    }
