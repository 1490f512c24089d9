"""What recipes remembered of customers and orders with `set`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.store.database import Connection, Row


@dataclass(frozen=True, slots=True)
class Memory:
    """What to remember under one key. attributes: JSON text."""

    key: bytes
    workspace: str
    attributes: str
    add_tags: tuple[str, ...]
    remove_tags: tuple[str, ...]


async def write(connection: Connection, memories: Sequence[Memory]) -> None:
    """Lay what is new over what was remembered; a tag that is added is no longer removed, and the other way round."""
    for memory in sorted(memories, key=lambda each: each.key):
        await connection.execute(
            """insert into remembered as r (key, workspace, attributes, add_tags, remove_tags)
               values ($1, $2, $3, $4, $5)
               on conflict (key) do update set attributes = r.attributes || excluded.attributes,
                 add_tags = array(select distinct tag from unnest(r.add_tags || excluded.add_tags) as t(tag)
                                  where not (tag = any(excluded.remove_tags))),
                 remove_tags = array(select distinct tag from unnest(r.remove_tags || excluded.remove_tags) as t(tag)
                                     where not (tag = any(excluded.add_tags))),
                 updated_at = clock_timestamp()""",
            memory.key,
            memory.workspace,
            memory.attributes,
            list(memory.add_tags),
            list(memory.remove_tags),
        )


async def read(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Mapping[str, Any]]:
    """What is remembered under keys: attributes, add_tags, remove_tags."""
    if not keys:
        return {}
    rows = await connection.fetch(
        "select key, attributes, add_tags, remove_tags from remembered where key = any($1)", list(keys)
    )
    return {row["key"]: dict(row) for row in rows}


async def said(connection: Connection, workspace: str, until: datetime, after: UUID | None, limit: int) -> list[Row]:
    """What runs remembered before a moment, in the order in which they did, from behind one step on: the event of the
    run with all its columns, and step_id, said_at, said (plain JSON), recipe. As far back as events and steps are kept.
    """
    return await connection.fetch(
        """select e.*, s.id as step_id, s.at as said_at, s.output as said, r.recipe
           from step s join run r on r.id = s.run_id join event e on e.id = r.event_id
           where s.workspace = $1 and s.kind = 'set' and s.state = 'done' and r.mode = 'live' and s.at < $2
             and ($3::uuid is null or s.id > $3) order by s.id limit $4""",
        workspace,
        until,
        after,
        limit,
    )
