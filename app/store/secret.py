"""The secret of keys that are kept for ever."""

from app.store.database import Connection

HASH_SECRET = "hash secret"  # noqa: S105 (its name, not itself)


async def keep_first(connection: Connection, made: bytes) -> bytes:
    """Keep a sealed secret if there is none; answers the one that is kept."""
    await connection.execute(
        "insert into setting (name, value) values ($1, $2) on conflict do nothing", HASH_SECRET, made
    )
    kept: bytes = await connection.fetchval("select value from setting where name = $1", HASH_SECRET)
    return kept
