"""Connection rows as the running hub reads them, their rotating credentials (sealed), and what is wrong with them."""

from datetime import datetime
from uuid import UUID

from app.store.database import Connection, Row


async def load_all(db: Connection) -> list[Row]:
    """Every connection that is not removed."""
    rows: list[Row] = await db.fetch("select * from connection where not removed order by workspace, slug")
    return rows


async def changed_at(db: Connection) -> datetime | None:
    """When the newest change of any connection was made; asked every second by every process."""
    changed: datetime | None = await db.fetchval("select max(updated_at) from connection")
    return changed


async def set_problem(db: Connection, connection_id: UUID, problem: str | None) -> None:
    """Say what is wrong with the credentials, or that nothing is."""
    await db.execute(
        "update connection set problem = $2 where id = $1 and problem is distinct from $2", connection_id, problem
    )


async def forget_problem(db: Connection, connection_id: UUID) -> None:
    """A connection was saved anew: what was wrong with the old credentials is not, unless the new ones were tried
    meanwhile, whose problem it may be."""
    await db.execute(
        "update connection set problem = null where id = $1 and problem is not null and probed_at is null",
        connection_id,
    )


async def set_told_problem(db: Connection, connection_id: UUID, problem: str | None) -> None:
    """Keep what a sender says is wrong with itself, or that it is mended; every process learns of it."""
    await db.execute(
        """update connection set problem = $2, updated_at = clock_timestamp()
           where id = $1 and problem is distinct from $2""",
        connection_id,
        problem,
    )


async def lock_credentials(db: Connection, connection_id: UUID) -> tuple[bytes | None, int]:
    """The sealed credentials and their version, locked for the transaction: one process refreshes at a time."""
    row = await db.fetchrow(
        "select credentials, credentials_version from connection where id = $1 for update", connection_id
    )
    return row["credentials"], row["credentials_version"]


async def save_credentials(
    db: Connection, connection_id: UUID, sealed: bytes, expires_at: datetime | None, until: datetime | None = None
) -> None:
    """Keep new tokens. expires_at: of the access token; until: of the whole authorisation, where the system says it."""
    await db.execute(
        """update connection set credentials = $2, credentials_version = credentials_version + 1,
             credentials_expire_at = $3, authorised_until = coalesce($4, authorised_until), problem = null
           where id = $1""",
        connection_id,
        sealed,
        expires_at,
        until,
    )


async def claim_probe(db: Connection, now: datetime, before: datetime) -> UUID | None:
    """A connection that was not probed since `before`; it counts as probed now, so that nobody else takes it."""
    claimed: UUID | None = await db.fetchval(
        """update connection set probed_at = $1 where id = (
             select id from connection where not removed and not paused and (probed_at is null or probed_at <= $2)
             order by probed_at nulls first limit 1 for update skip locked)
           returning id""",
        now,
        before,
    )
    return claimed


async def record_probe(
    db: Connection, connection_id: UUID, at: datetime, works: bool, said: str, problem: str | None
) -> None:
    """Keep what a probe said. `at`: when it counts as made; a system that did not answer keeps its old problem."""
    await db.execute(
        """update connection set probed_at = $2, probe_works = $3, probe_said = $4,
             problem = case when $3 or $5::text is not null then $5 else problem end
           where id = $1""",
        connection_id,
        at,
        works,
        said,
        problem,
    )
