"""The events on the timeline of one subject, by the sender's time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from app.store.database import Connection, Row
from app.store.lists import EVENT_FIELDS

_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a timeline ended."""

    SIZE: ClassVar = 24

    at: datetime
    id: UUID

    @classmethod
    def of(cls, row: Row) -> "Place":
        return cls(row["occurred_at"], row["id"])

    @classmethod
    def load(cls, raw: bytes) -> "Place":
        return cls(_EPOCH + int.from_bytes(raw[:8]) % (2**58) * _MICROSECOND, UUID(bytes=raw[8:]))

    def dump(self) -> bytes:
        return ((self.at - _EPOCH) // _MICROSECOND).to_bytes(8) + self.id.bytes


async def timeline(
    db: Connection,
    workspace: str,
    subject: tuple[str, str],
    connection: str | None,
    after: Place | None,
    limit: int,
) -> list[Row]:
    """Events of a subject (kind, the sender's id), oldest first, from after that place; a row more than `limit` where
    there are more. connection: slug of the one that it belongs to."""
    rows: list[Row] = await db.fetch(
        f"""{EVENT_FIELDS} where e.workspace = $1 and e.subject_kind = $2 and e.subject_id = $3
            and ($4::text is null or e.subject_connection_id in
                 (select s.id from connection s where s.workspace = $1 and s.slug = $4))
            and ($5::timestamptz is null or (e.occurred_at, e.id) > ($5, $6))
            order by e.occurred_at, e.id limit {limit + 1}""",
        workspace,
        *subject,
        connection,
        after.at if after else None,
        after.id if after else None,
    )
    return rows
