"""Every column that holds a sealed secret, and its re-encryption a few rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, cast, func, literal_column, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.schema import Column

from app.store.secret import HASH_SECRET
from app.store.tables import attempt, connection, idempotency, setting


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of secrets. key: by which its rows are gone through, in order. bound: what each value was sealed
    about. rows: those that hold one."""

    column: Column[Any]
    key: Column[Any]
    bound: Column[Any]
    rows: ColumnElement[bool]

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"

    @property
    def key_id(self) -> ColumnElement[bytes]:
        """The four bytes after the version: which key of the ring it was sealed under."""
        return cast(func.substr(self.column, literal_column("2"), literal_column("4")), LargeBinary)


SEALED = (
    Sealed(setting.c.value, setting.c.name, setting.c.name, setting.c.name == HASH_SECRET),
    Sealed(connection.c.secrets, connection.c.id, connection.c.id, true()),
    Sealed(connection.c.credentials, connection.c.id, connection.c.id, connection.c.credentials.is_not(None)),
    Sealed(idempotency.c.answer, idempotency.c.key, idempotency.c.key, idempotency.c.answer.is_not(None)),
    Sealed(attempt.c.requests, attempt.c.id, attempt.c.call_id, attempt.c.requests.is_not(None)),
)


async def count_by_key(db: AsyncConnection, sealed: Sealed) -> dict[bytes, int]:
    """How many values of a column stand under which key."""
    rows = await db.execute(select(sealed.key_id, func.count()).where(sealed.rows).group_by(sealed.key_id))
    return {bytes(key): count for key, count in rows}


async def reseal_some(
    db: AsyncConnection,
    sealed: Sealed,
    current: bytes,
    reseal: Callable[[bytes, bytes], bytes],
    after: Any = None,
    limit: int = 200,
) -> tuple[int, Any]:
    """Re-encrypt at most `limit` values beyond `after` that do not stand under the current key: (how many, the last
    row's key). The rows are locked until the transaction ends, so a token that is refreshed meanwhile waits, and is not
    overwritten."""
    stale = select(sealed.key.label("key"), sealed.bound.label("bound"), sealed.column.label("value"))
    stale = stale.where(sealed.rows, sealed.key_id != current)
    if after is not None:
        stale = stale.where(sealed.key > after)
    rows = (await db.execute(stale.order_by(sealed.key).limit(limit).with_for_update())).all()
    for row in rows:
        fresh = {sealed.column: reseal(row.value, _bytes(row.bound))}
        await db.execute(update(sealed.column.table).where(sealed.key == row.key).values(fresh))
    return len(rows), rows[-1].key if rows else None


def _bytes(bound: Any) -> bytes:
    """What was given as `about` when it was sealed."""
    match bound:
        case str():
            return bound.encode()
        case bytes():
            return bound
        case _:
            return bytes(bound.bytes)
