"""Which order an outside id (a payment's, a charge's) belongs to, and on whose timeline events stand."""

from collections.abc import Sequence
from uuid import UUID

from app.store.database import Connection

Link = tuple[UUID, str]
"""(connection, order id there)."""


async def claim(connection: Connection, links: Sequence[tuple[bytes, str, UUID, str]]) -> dict[bytes, Link]:
    """Say where outside ids belong, (key, workspace, connection, order id) each, keys distinct. Answers, locked for the
    transaction, what was said of them before; those that nobody had spoken of are absent."""
    ordered = sorted(links)
    fresh = await connection.fetch(
        """insert into order_link (key, workspace, connection_id, order_id)
           select * from unnest($1::bytea[], $2::text[], $3::uuid[], $4::text[])
               as t(key, workspace, connection_id, order_id)
           on conflict (key) do nothing returning key""",
        *map(list, zip(*ordered, strict=True)),
    )
    new = {row["key"] for row in fresh}
    known = [key for key, *_ in ordered if key not in new]
    if not known:
        return {}
    rows = await connection.fetch(
        """select key, connection_id, order_id from order_link where key = any($1::bytea[]) order by key for update""",
        known,
    )
    return {row["key"]: (row["connection_id"], row["order_id"]) for row in rows}


async def move(connection: Connection, keys: Sequence[tuple[bytes, UUID, str]]) -> None:
    """Say anew where outside ids belong: (key, connection, order id) each."""
    await connection.execute(
        """update order_link l set connection_id = t.connection_id, order_id = t.order_id
           from unnest($1::bytea[], $2::uuid[], $3::text[]) as t(key, connection_id, order_id) where l.key = t.key""",
        *map(list, zip(*keys, strict=True)),
    )


async def rehome(connection: Connection, workspace: str, moves: Sequence[tuple[UUID, str, UUID, str]]) -> None:
    """Put what stood on the timeline of a processor's sale on that of the shop's order:
    (processor's connection, its sale, shop's connection, its order) each."""
    await connection.execute(
        """update event e set subject_connection_id = t.shop, subject_id = t.order_id
           from unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[]) as t(processor, sale, shop, order_id)
           where e.workspace = $1 and e.subject_kind = 'order' and e.subject_id = t.sale
               and e.subject_connection_id = t.processor""",
        workspace,
        *map(list, zip(*moves, strict=True)),
    )
