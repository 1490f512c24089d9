"""Every column that holds a sealed secret, and its re-encryption a few rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, cast, func, literal_column, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.schema import Column

from app.store.tables import connection, idempotency, setting

HASH_SECRET = "hash secret"  # noqa: S105 (its name, not itself)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column, the key of its table, what each value is bound to (as it was sealed), and which rows hold one."""

    column: Column[Any]
    key: Column[Any]
    about: Callable[[Any], bytes]
    rows: ColumnElement[bool]

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"

    @property
    def key_id(self) -> ColumnElement[bytes]:
        """The four bytes after the version: which key of the ring it was sealed under."""
        return cast(func.substr(self.column, literal_column("2"), literal_column("4")), LargeBinary)


SEALED = (
    Sealed(connection.c.secrets, connection.c.id, lambda row_id: row_id.bytes, true()),
    Sealed(
        connection.c.credentials, connection.c.id, lambda row_id: row_id.bytes, connection.c.credentials.is_not(None)
    ),
    Sealed(setting.c.value, setting.c.name, lambda name: name.encode(), setting.c.name == HASH_SECRET),
    Sealed(idempotency.c.answer, idempotency.c.key, bytes, idempotency.c.answer.is_not(None)),
)


async def count_by_key(db: AsyncConnection, sealed: Sealed) -> dict[bytes, int]:
    """How many values of a column stand under which key."""
    rows = await db.execute(select(sealed.key_id, func.count()).where(sealed.rows).group_by(sealed.key_id))
    return {bytes(key): count for key, count in rows}


async def reseal_some(
    db: AsyncConnection, sealed: Sealed, current: bytes, reseal: Callable[[bytes, bytes], bytes], limit: int = 100
) -> int:
    """Re-encrypt at most `limit` values that do not stand under the current key; answers how many. The rows are locked
    until the transaction ends, so a token that is refreshed meanwhile waits, and is not overwritten."""
    stale = select(sealed.key, sealed.column).where(sealed.rows, sealed.key_id != current)
    rows = (await db.execute(stale.order_by(sealed.key).limit(limit).with_for_update())).all()
    for key, value in rows:
        fresh = {sealed.column: reseal(value, sealed.about(key))}
        await db.execute(update(sealed.column.table).where(sealed.key == key).values(fresh))
    return len(rows)
