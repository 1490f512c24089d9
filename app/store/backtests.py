"""Backtests that were asked for: what is wanted, how far it has got, and the report."""

from typing import Any
from uuid import UUID

from app.store.database import Connection, Row, to_json

FIELDS = """id, workspace, recipe, wanted, state, events, share, report, error, actor, begun, created_at, started_at,
    ended_at"""
OPEN = "('queued', 'running')"


async def create(
    db: Connection, backtest_id: UUID, workspace: str, recipe: str, wanted: dict[str, Any], actor: str
) -> None:
    await db.execute(
        "insert into backtest (id, workspace, recipe, wanted, actor) values ($1, $2, $3, $4::jsonb, $5)",
        backtest_id,
        workspace,
        recipe,
        to_json(wanted),
        actor,
    )


async def load(db: Connection, workspace: str, backtest_id: UUID) -> Row | None:
    row: Row | None = await db.fetchrow(
        f"select {FIELDS} from backtest where id = $1 and workspace = $2", backtest_id, workspace
    )
    return row


async def claim(db: Connection, owner: str, silent: float, tries: int) -> Row | None:
    """Take the oldest that is queued, or whose process was not heard of for so many seconds; None if there is none.
    One that was begun `tries` times is given up."""
    await db.execute(
        """update backtest set state = 'failed', ended_at = clock_timestamp(),
              error = 'the process that ran it was cut off, ' || begun || ' times; start it again'
            where state = 'running' and begun >= $2 and heard_at < clock_timestamp() - make_interval(secs => $1)""",
        silent,
        tries,
    )
    row: Row | None = await db.fetchrow(
        f"""update backtest set state = 'running', owner = $1, heard_at = clock_timestamp(), begun = begun + 1,
              events = 0, share = 0, started_at = clock_timestamp()
            where id = (select id from backtest where state = 'queued' or (state = 'running'
                and heard_at < clock_timestamp() - make_interval(secs => $2))
                order by id limit 1 for update skip locked)
            returning {FIELDS}""",
        owner,
        silent,
    )
    return row


async def heard(db: Connection, backtest_id: UUID, owner: str, events: int, share: float) -> bool:
    """Note how far it has got; False when it is not this process's any more: it was cancelled, or taken over."""
    status = await db.execute(
        """update backtest set heard_at = clock_timestamp(), events = $3, share = $4
           where id = $1 and owner = $2 and state = 'running'""",
        backtest_id,
        owner,
        events,
        share,
    )
    return bool(status.endswith(" 1"))


async def end(db: Connection, backtest_id: UUID, owner: str, report: dict[str, Any] | None, error: str | None) -> None:
    await db.execute(
        """update backtest set state = $3, report = $4::jsonb, error = $5, ended_at = clock_timestamp(),
             share = case when $3 = 'done' then 1 else share end
           where id = $1 and owner = $2 and state = 'running'""",
        backtest_id,
        owner,
        "done" if error is None else "failed",
        None if report is None else to_json(report),
        error,
    )


async def give_back(db: Connection, backtest_id: UUID, owner: str) -> None:
    """Let another process begin it: this one ends."""
    await db.execute(
        """update backtest set state = 'queued', owner = null, begun = begun - 1
           where id = $1 and owner = $2 and state = 'running'""",
        backtest_id,
        owner,
    )


async def cancel(db: Connection, workspace: str, backtest_id: UUID) -> bool:
    """False where it has ended."""
    status = await db.execute(
        f"""update backtest set state = 'cancelled', ended_at = clock_timestamp()
            where id = $1 and workspace = $2 and state in {OPEN}""",
        backtest_id,
        workspace,
    )
    return bool(status.endswith(" 1"))
