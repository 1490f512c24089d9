"""What is kept of a person, and its removal, from events to attempts, profiles and keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.store import runs
from app.store.database import Connection, Row, to_json
from app.store.packing import pack
from app.store.trace import time_in

ERASED = "erased on request"
"""The note of an event whose personal data is gone."""
NOTHING = pack(b"{}")
NO_HEADERS = pack(b"[]")


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose data is meant: customers, e-mail addresses (lower case), orders of a connection; or all of a connection."""

    workspace: str
    customers: Sequence[UUID]
    emails: Sequence[str]
    connection_id: UUID | None = None
    orders: Sequence[str] = ()
    everything: bool = False

    @property
    def arguments(self) -> tuple[Any, ...]:
        """$1 to $6 of THEIRS."""
        return (self.workspace, list(self.customers), list(self.emails), self.connection_id, list(self.orders),
                self.everything)  # fmt: skip


THEIRS = """
workspace = $1 and type not like 'privacy.%'
and (customer_id = any($2::uuid[]) or email = any($3::text[]) or (connection_id = $4::uuid and $6::bool)
  or (connection_id = $4::uuid and subject_kind = 'order' and subject_id = any($5::text[]))
  or (subject_kind = 'order' and (subject_connection_id, subject_id) in
      (select connection_id, order_id from customer_order where customer_id = any($2::uuid[]))))
"""
"""Events of a `Whose`: told of them, with their address, or on the timelines of their orders."""
_EVENTS = f"""
select id, at, type, schema_version, data, webhook_id, email from event
where {THEIRS} and note is distinct from $7 and at <= $8 order by id limit $9 for update
"""


async def events(connection: Connection, whose: Whose, until: datetime, limit: int) -> list[Row]:
    """Lock some events of theirs, made till then, that still hold personal data."""
    rows: list[Row] = await connection.fetch(_EVENTS, *whose.arguments, ERASED, until, limit)
    return rows


async def of_nobody(connection: Connection, workspace: str, webhook_ids: Sequence[UUID]) -> list[Row]:
    """Lock the events of webhooks that are tied to no customer and no address: what somebody's own types say."""
    rows: list[Row] = await connection.fetch(
        """select id, at, type, schema_version, data, webhook_id, email from event
           where workspace = $1 and webhook_id = any($2::uuid[]) and at >= $3 and customer_id is null and email is null
             and type not like 'privacy.%' and note is distinct from $4 order by id for update""",
        workspace,
        list(webhook_ids),
        time_in(min(webhook_ids)),
        ERASED,
    )
    return rows


async def theirs(connection: Connection, whose: Whose, after: UUID, limit: int) -> list[Row]:
    """Events of theirs, by id."""
    rows: list[Row] = await connection.fetch(
        f"""select id, type, connection_id, occurred_at, object_kind, object_id, subject_kind, subject_id, webhook_id,
              data from event where {THEIRS} and id > $7 order by id limit $8""",
        *whose.arguments,
        after,
        limit,
    )
    return rows


async def troubles(connection: Connection, workspace: str) -> list[Row]:
    """The hub's own troubles, whose reasons may name somebody."""
    rows: list[Row] = await connection.fetch(
        """select id, at, type, schema_version, data, webhook_id, email from event
           where workspace = $1 and type like 'hub.%' and note is distinct from $2 order by id for update""",
        workspace,
        ERASED,
    )
    return rows


async def blank_events(connection: Connection, blank: Sequence[tuple[UUID, datetime, bytes]]) -> None:
    """Write what is left of events: (id, at, packed data) each. Why recipes did not run may quote them; which ran
    stays."""
    await connection.execute(
        """update event e set data = t.data, email = null, note = $4, decisions = coalesce(
             (select jsonb_object_agg(recipe, case when said like 'run %' then said else $4 end)
              from jsonb_each_text(e.decisions) as d(recipe, said)), '{}')
           from unnest($1::uuid[], $2::timestamptz[], $3::bytea[]) as t(id, at, data)
           where e.id = t.id and e.at = t.at""",
        *map(list, zip(*blank, strict=True)),
        ERASED,
    )


_WEBHOOKS = """
update webhook set body = $2, headers = $4, size = 0, reads = null, reason = $3,
    state = case when state in ('reading', 'unknown', 'malformed') then 'ignored' else state end
where id = any($1::uuid[])
"""
_READS = "delete from timer where kind = 'read' and data ->> 'webhook_id' = any($1::text[])"
_OF_CALLS = (
    """update call set input = $2, output = null, error = null, question = null, item = null
       where id = any($1::uuid[])""",
    "update attempt set requests = null, response = null, error = null where call_id = any($1::uuid[])",
    "update effect set output = null, label = null where call_id = any($1::uuid[])",
)
_TOLD = """
update backtest b set error = null, report = b.report || jsonb_build_object('differences', coalesce(
    (select jsonb_agg(told order by n)
     from jsonb_array_elements(b.report -> 'differences') with ordinality as d(told, n)
     where told ->> 'event_id' <> all($2::text[])), '[]'))
from (select distinct workspace from event where id = any($1::uuid[])) e
where b.workspace = e.workspace and b.ended_at is not null
  and exists (select from jsonb_array_elements(b.report -> 'differences') as told
              where told ->> 'event_id' = any($2::text[]))
"""
"""Reports of backtests that tell of these events, without what they tell of them."""
_BEGIN_ANEW = """
update backtest set state = 'queued', owner = null, begun = begun - 1
where state = 'running' and workspace = any($1::text[])
"""
_OF_RUNS = (
    "update step set output = null, error = null where run_id = any($1::uuid[])",
    "delete from waiter where run_id = any($1::uuid[])",
    """update run set data = null, due_at = null, once_value = '', ended_at = coalesce(ended_at, clock_timestamp()),
       reason = case when ended_at is null then 'its customer was erased' when reason is not null then $2 end,
       state = case when ended_at is null then 'cancelled' else state end where id = any($1::uuid[])""",
)


async def blank_webhooks(connection: Connection, webhook_ids: Sequence[UUID]) -> None:
    """Remove bodies and what was read for them; one that was not understood will not be read again."""
    ids = list(webhook_ids)
    if ids:
        await connection.execute(_WEBHOOKS, ids, NOTHING, ERASED, NO_HEADERS)
        await connection.execute(_READS, [str(each) for each in ids])


async def blank_what_followed(connection: Connection, event_ids: Sequence[UUID]) -> list[UUID]:
    """Remove what runs and calls held of the events; runs that wait are cancelled, and calls that are not being sent.
    Answers the calls that are still open: they end first."""
    ids = list(event_ids)
    rows = await connection.fetch("select id, ended_at is null as open from run where event_id = any($1::uuid[])", ids)
    await runs.cancel_calls(connection, [row["id"] for row in rows if row["open"]])
    steps, waiters, ended = _OF_RUNS
    of_runs = [row["id"] for row in rows]
    await connection.execute(steps, of_runs)
    await connection.execute(waiters, of_runs)
    await connection.execute(ended, of_runs, ERASED)
    await connection.execute(_TOLD, ids, [str(each) for each in ids])
    workspaces = await connection.fetch("select distinct workspace from event where id = any($1::uuid[])", ids)
    await begin_backtests_anew(connection, [row["workspace"] for row in workspaces])
    calls = await connection.fetch(
        "select id, state in ('due', 'uncertain') as open from call where event_id = any($1::uuid[])", ids
    )
    await blank_calls(connection, [call["id"] for call in calls if not call["open"]])
    return [call["id"] for call in calls if call["open"]]


async def begin_backtests_anew(connection: Connection, workspaces: Sequence[str]) -> None:
    """A backtest that runs has read events that are being erased: what it found is dropped, and it reads once more."""
    await connection.execute(_BEGIN_ANEW, list(workspaces))


async def blank_calls(connection: Connection, call_ids: Sequence[UUID]) -> None:
    """Remove what calls sent and got back."""
    calls, *others = _OF_CALLS
    await connection.execute(calls, list(call_ids), NOTHING)
    for statement in others:
        await connection.execute(statement, list(call_ids))


async def still_open(connection: Connection, call_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the calls that have not ended."""
    rows = await connection.fetch(
        "select id from call where id = any($1::uuid[]) and state in ('due', 'uncertain')", list(call_ids)
    )
    return [row["id"] for row in rows]


async def kept_webhooks(
    connection: Connection, workspace: str, after: UUID, until: datetime, limit: int
) -> Sequence[Row]:
    """Webhooks that came till then and still have their bodies, by id; none that is about to become events."""
    rows: list[Row] = await connection.fetch(
        """select id, at, connection_id, topic, headers, body, reads from webhook
           where workspace = $1 and id > $2 and at <= $3 and size > 0 and state <> 'due' order by id limit $4""",
        workspace,
        after,
        until,
        limit,
    )
    return rows


_MENTIONS = (
    "update replay set filter = regexp_replace(filter::text, $2, 'erased', 'gi')::jsonb, "
    "preview = regexp_replace(preview::text, $2, 'erased', 'gi')::jsonb, "
    "report = regexp_replace(report::text, $2, 'erased', 'gi')::jsonb "
    "where workspace = $1 and (filter::text ~* $2 or preview::text ~* $2 or report::text ~* $2)",
    "update run set reason = $3 where workspace = $1 and reason ~* $2",
    "update lane set reason = regexp_replace(reason, $2, 'erased', 'gi') where workspace = $1 and reason ~* $2",
    "update connection set problem = regexp_replace(problem, $2, 'erased', 'gi') "
    "where workspace = $1 and problem ~* $2",
    "update backtest set error = regexp_replace(error, $2, 'erased', 'gi'), "
    "report = regexp_replace(report::text, $2, 'erased', 'gi')::jsonb, "
    "wanted = regexp_replace(wanted::text, $2, 'erased', 'gi')::jsonb "
    "where workspace = $1 and ended_at is not null and (error ~* $2 or report::text ~* $2 or wanted::text ~* $2)",
    "update idempotency set answer = null where workspace = $1 and $2 <> ''",
)


async def blank_mentions(connection: Connection, workspace: str, words: Sequence[str]) -> None:
    """Take words (addresses, names) out of what people and systems wrote in free text. Answers that are kept for
    repeats are sealed: they go whatever they say, and a repeat learns that it was done."""
    if words:
        pattern = "|".join(re.escape(word) for word in words)
        for statement in _MENTIONS:
            more = [ERASED] if "$3" in statement else []
            await connection.execute(statement, workspace, pattern, *more)


async def blank_request(connection: Connection, event: Row, data: bytes, note: str) -> None:
    """Remove from a privacy request itself whom it was about, and say what was done."""
    blank = "update event set data = $3, email = null, note = $4 where id = $1 and at = $2"
    await connection.execute(blank, event["id"], event["at"], data, note)
    await blank_webhooks(connection, [event["webhook_id"]] if event["webhook_id"] else [])


async def persons(connection: Connection, customers: Sequence[UUID]) -> list[Row]:
    """(email, phone, name, profile) of each customer."""
    rows: list[Row] = await connection.fetch(
        "select email, phone, name, profile from customer where id = any($1::uuid[])", list(customers)
    )
    return rows


async def forget(connection: Connection, customers: Sequence[UUID], memories: Sequence[bytes]) -> None:
    """Remove who customers are, and what recipes remembered under these keys; how many orders they made and for how
    much stays, of nobody."""
    await connection.execute("delete from remembered where key = any($1::bytea[])", list(memories))
    await connection.execute("delete from customer_key where customer_id = any($1::uuid[])", list(customers))
    await connection.execute(
        """update customer set email = null, phone = null, name = null, profile = '{"erased": true}', attributes = '{}',
           updated_at = clock_timestamp() where id = any($1::uuid[])""",
        list(customers),
    )


async def everybody(connection: Connection, connection_id: UUID) -> list[UUID]:
    """The customers who ordered at a connection, or have an account there."""
    rows = await connection.fetch(
        """select distinct customer_id from customer_order where connection_id = $1 and customer_id is not null
           union select id from customer where profile -> 'ids' ? $2""",
        connection_id,
        str(connection_id),
    )
    return [row["customer_id"] for row in rows]


async def with_merged(connection: Connection, customers: Sequence[UUID]) -> list[UUID]:
    """These customers, those that they were merged into, and all that were merged into these."""
    rows = await connection.fetch(
        """select id from customer where coalesce(merged_into, id) in
           (select coalesce(merged_into, id) from customer where id = any($1::uuid[]))""",
        list(customers),
    )
    return [row["id"] for row in rows]


async def record(
    connection: Connection, audit_id: UUID, workspace: str, actor: str, about: str, detail: dict[str, Any]
) -> None:
    """Write down that it was done."""
    await connection.execute(
        """insert into audit (id, workspace, actor, verb, object, detail)
           values ($1, $2, $3, 'customer.erased', $4, $5::jsonb)""",
        audit_id,
        workspace,
        actor,
        about,
        to_json(detail),
    )


async def proof(connection: Connection, workspace: str, customer_id: UUID) -> dict[str, Any]:
    """What was written down of the newest erasure of a customer: how many events and webhooks; {} if there was none."""
    found: dict[str, Any] | None = await connection.fetchval(
        """select detail from audit where workspace = $1 and verb = 'customer.erased' and detail -> 'customers' ? $2
           order by at desc limit 1""",
        workspace,
        str(customer_id),
    )
    return found or {}
