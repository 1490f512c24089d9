"""What is kept of a person, and its removal, from events to attempts, profiles and keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.store.database import Connection, Row, to_json
from app.store.packing import pack

ERASED = "erased on request"
"""The note of an event whose personal data is gone."""
NOTHING = pack(b"{}")


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose data is meant: customers, e-mail addresses (lower case), orders of a connection; or all of a connection."""

    workspace: str
    customers: Sequence[UUID]
    emails: Sequence[str]
    connection_id: UUID | None
    orders: Sequence[str]
    everything: bool = False


_EVENTS = """
select id, at, type, schema_version, data, webhook_id from event
where workspace = $1 and note is distinct from $7 and type not like 'privacy.%'
  and (customer_id = any($2::uuid[]) or email = any($3::text[]) or (connection_id = $4 and $6)
    or (connection_id = $4 and subject_kind = 'order' and subject_id = any($5::text[])))
order by id limit $8 for update
"""


async def events(connection: Connection, whose: Whose, limit: int) -> list[Row]:
    """Lock some events of theirs that still hold personal data."""
    rows: list[Row] = await connection.fetch(
        _EVENTS,
        whose.workspace,
        list(whose.customers),
        list(whose.emails),
        whose.connection_id,
        list(whose.orders),
        whose.everything,
        ERASED,
        limit,
    )
    return rows


async def blank_events(connection: Connection, blank: Sequence[tuple[UUID, datetime, bytes]]) -> None:
    """Write what is left of events: (id, at, packed data) each."""
    await connection.execute(
        """update event e set data = t.data, email = null, note = $4
           from unnest($1::uuid[], $2::timestamptz[], $3::bytea[]) as t(id, at, data)
           where e.id = t.id and e.at = t.at""",
        *map(list, zip(*blank, strict=True)),
        ERASED,
    )


_WEBHOOKS = "update webhook set body = $2, size = 0, reads = null, reason = $3 where id = any($1::uuid[])"
_CALLS_OF = "select id, state in ('due', 'uncertain') as open from call where event_id = any($1::uuid[])"
_UNSENT = """
update call set state = 'cancelled', ended_at = clock_timestamp()
where event_id = any($1::uuid[]) and state = 'due' and attempts = 0 and owner is null
"""
_OF_CALLS = (
    "update call set input = $2, output = null, error = null where id = any($1::uuid[])",
    "update attempt set requests = null, response = null, error = null where call_id = any($1::uuid[])",
    "update effect set output = null, label = null where call_id = any($1::uuid[])",
)
_OF_RUNS = (
    """update step set output = null, error = null
       where run_id in (select id from run where event_id = any($1::uuid[]))""",
    "delete from waiter where run_id in (select id from run where event_id = any($1::uuid[]))",
    """update run set data = null, due_at = null, ended_at = coalesce(ended_at, clock_timestamp()),
       reason = case when ended_at is null then 'its customer was erased' else reason end,
       state = case when ended_at is null then 'cancelled' else state end where event_id = any($1::uuid[])""",
)


async def blank_what_followed(
    connection: Connection, event_ids: Sequence[UUID], webhook_ids: Sequence[UUID]
) -> list[UUID]:
    """Remove the webhooks' bodies, and what runs and calls held of the events; runs that wait are cancelled, and calls
    of which nothing was sent. Answers the calls that are still open: they end first."""
    ids = list(event_ids)
    await connection.execute(_WEBHOOKS, list(webhook_ids), NOTHING, ERASED)
    await connection.execute(_UNSENT, ids)
    for statement in _OF_RUNS:
        await connection.execute(statement, ids)
    calls = await connection.fetch(_CALLS_OF, ids)
    await blank_calls(connection, [call["id"] for call in calls if not call["open"]])
    return [call["id"] for call in calls if call["open"]]


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


async def blank_request(connection: Connection, event: Row, data: bytes, note: str) -> None:
    """Remove from a privacy request itself whom it was about, and say what was done."""
    blank = "update event set data = $3, email = null, note = $4 where id = $1 and at = $2"
    await connection.execute(blank, event["id"], event["at"], data, note)
    await connection.execute(_WEBHOOKS, [event["webhook_id"]], NOTHING, ERASED)


async def senders_ids(connection: Connection, customers: Sequence[UUID]) -> list[dict[str, str]]:
    """{connection id: the sender's id} of each customer."""
    rows = await connection.fetch("select profile from customer where id = any($1::uuid[])", list(customers))
    return [row["profile"].get("ids", {}) for row in rows]


async def forget(connection: Connection, customers: Sequence[UUID], memories: Sequence[bytes]) -> None:
    """Remove who customers are, and what recipes remembered under these keys; how many orders they made and for how
    much stays, of nobody."""
    await connection.execute("delete from remembered where key = any($1::bytea[])", list(memories))
    await connection.execute("delete from customer_key where customer_id = any($1::uuid[])", list(customers))
    await connection.execute(
        """update customer set email = null, phone = null, name = null, profile = '{}', attributes = '{}',
           updated_at = clock_timestamp() where id = any($1::uuid[])""",
        list(customers),
    )


async def everybody(connection: Connection, connection_id: UUID) -> list[UUID]:
    """The customers who ordered at a connection."""
    rows = await connection.fetch(
        "select distinct customer_id from customer_order where connection_id = $1 and customer_id is not null",
        connection_id,
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


async def addresses(connection: Connection, customers: Sequence[UUID]) -> list[str]:
    """The e-mail addresses of customers."""
    rows = await connection.fetch(
        "select email from customer where id = any($1::uuid[]) and email is not null", list(customers)
    )
    return [row["email"] for row in rows]


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
