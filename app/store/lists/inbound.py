"""What came in, and what was refused: the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from app.store.database import Connection, Row
from app.store.kinds import WEBHOOK_STATES
from app.store.lists.where import (
    THE_WEBHOOK,
    Page,
    Where,
    among,
    few,
    in_workspace,
    matching,
    named,
    newest,
    of_connection,
    saying,
)


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    state: str | None = None
    connection: str | None = None
    topic: str | None = None
    text: str | None = None


async def webhooks(db: Connection, workspace: str, page: Page, wanted: WebhookFilter) -> list[Row]:
    """Text finds the order number, e-mail address or sender's id of an event that was made of one; where none is found,
    part of the reason of an unknown or malformed one, or of one in the state that is asked for."""
    for by_reason in (False, True):
        rows = await _webhooks(db, workspace, page, wanted, by_reason)
        if rows or not wanted.text:
            return rows
    return []


async def _webhooks(db: Connection, workspace: str, page: Page, wanted: WebhookFilter, by_reason: bool) -> list[Row]:
    where = in_workspace("w", workspace)
    where.page(page, "w")
    where.add("w.state = {}", wanted.state)
    where.add("w.topic = {}", wanted.topic)
    if not await of_connection(db, where, "w", workspace, wanted.connection):
        return []
    if wanted.text and by_reason:
        if wanted.state is None:
            where.conditions.append("w.state in ('unknown', 'malformed')")
        where.conditions.append(saying(where, "w.reason", wanted.text))
    elif wanted.text:
        made = in_workspace("n", workspace)
        made.conditions.append(named(made, wanted.text))
        ids = await few(db, f"select n.webhook_id from event n where {made.sql()}", *made.args)
        if ids is not None:
            return await newest(page.part_of(ids - {None}), page.limit, partial(_fetch, db, page, where))
        borne = named(where, wanted.text)
        where.conditions.append(f"w.id in (select n.webhook_id from event n where n.workspace = $1 and {borne})")
    return await _fetch(db, page, where, None)


async def _fetch(db: Connection, page: Page, where: Where, ids: Sequence[UUID] | None) -> list[Row]:
    asked = Where(list(where.args), where.conditions)
    join = among(asked, ids, THE_WEBHOOK)
    return await db.fetch(
        f"""select w.id, w.at, c.slug as connection, w.topic, w.size, w.state, w.reason, w.test, w.events,
              w.normalised_at
            from webhook w {join} left join connection c on c.id = w.connection_id
            where {asked.sql()} order by w.id desc limit {page.limit + 1}""",
        *asked.args,
    )


@dataclass(frozen=True, slots=True)
class RefusedFilter:
    """`slug` as the sender named it; text: part of the reason."""

    slug: str | None = None
    status: int | None = None
    text: str | None = None


async def rejected(db: Connection, workspace: str, page: Page, wanted: RefusedFilter) -> list[Row]:
    where = in_workspace("j", workspace)
    where.page(page, "j")
    where.add("j.slug = {}", wanted.slug)
    where.add("j.status = {}", wanted.status)
    where.add("j.reason ilike {}", matching(wanted.text.strip()) if wanted.text else None)
    return await db.fetch(
        f"""select j.id, j.at, j.slug, j.status, j.reason, j.size from rejected j
            where {where.sql()} order by j.id desc limit {page.limit + 1}""",
        *where.args,
    )


async def connection_health(db: Connection, workspace: str, connection_id: UUID, slug: str) -> dict[str, Any]:
    """When something last came in, how many there are in each state, what was refused within an hour, and since when a
    call waits."""
    row = await db.fetchrow(
        """select (select max(last.at) from unnest($4::text[]) as s(state), lateral (
                     select w.at from webhook w where w.workspace = $1 and w.connection_id = $2 and w.state = s.state
                     order by w.id desc limit 1) as last) as last_webhook_at,
                  (select count(*) from rejected j where j.workspace = $1 and j.slug = $3
                     and j.at > clock_timestamp() - interval '1 hour') as refused_last_hour,
                  (select min(c.due_at) from call c where c.connection_id = $2 and c.state = 'due') as oldest_due_at""",
        workspace,
        connection_id,
        slug,
        list(WEBHOOK_STATES),
    )
    counts = await webhook_counts(db, workspace, connection_id)
    return dict(row) | {
        "webhooks": dict.fromkeys(WEBHOOK_STATES, 0) | {each["state"]: each["count"] for each in counts}
    }


async def webhook_counts(db: Connection, workspace: str, connection_id: UUID | None = None) -> list[Row]:
    """(connection's slug, state, how many webhooks that are still kept ended so)."""
    return await db.fetch(
        """select c.slug as connection, w.state, w.count from (
             select connection_id, state, count(*) as count from webhook
             where workspace = $1 and ($2::uuid is null or connection_id = $2) group by connection_id, state) as w
           left join connection c on c.id = w.connection_id order by c.slug, w.state""",
        workspace,
        connection_id,
    )
