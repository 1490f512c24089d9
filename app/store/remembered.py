"""What recipes remembered of customers and orders with `set`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.store.database import Connection


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
