"""Customers of a workspace, the keys that they are recognised by, and their orders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from app.store.database import Connection, to_json
from app.store.gathered import later
from app.store.lists.where import Page, Where, called, few, in_workspace


@dataclass(slots=True, kw_only=True)
class CustomerRow:
    """A customer as locked, or about to be made. `lifetime`: {currency: what was paid less what was refunded}."""

    id: UUID
    workspace: str
    email: str | None = None
    phone: str | None = None
    name: str | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    orders: int = 0
    lifetime: dict[str, Decimal] = field(default_factory=dict)
    first_order_at: datetime | None = None
    last_order_at: datetime | None = None
    merged_into: UUID | None = None
    new: bool = False
    changed: bool = False


@dataclass(slots=True, kw_only=True)
class OrderRow:
    """One order in a customer's account: its number, what was paid for it and what was given back. Nobody's and
    without a number as long as only refunds of it were told."""

    key: bytes
    workspace: str
    customer_id: UUID | None
    connection_id: UUID
    order_id: str
    number: int | None
    currency: str | None
    paid: Decimal | None
    refunded: Decimal
    ordered_at: datetime
    changed: bool = False


_OF_KEYS = """
select k.key, coalesce(c.merged_into, k.customer_id) as id from customer_key k
left join customer c on c.id = k.customer_id where k.key = any($1::bytea[])
"""
_FIELDS = """id, workspace, email, phone, name, profile, attributes, orders, lifetime, first_order_at, last_order_at,
    merged_into"""


async def find_keys(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, UUID]:
    """{key: the customer that it belongs to, after merges}; unknown keys are absent."""
    rows = await connection.fetch(_OF_KEYS, list(keys))
    return {row["key"]: row["id"] for row in rows}


async def find(connection: Connection, keys: Sequence[bytes]) -> tuple[dict[bytes, UUID], dict[UUID, CustomerRow]]:
    """({key: the customer that it belongs to, after merges}, these customers by their ids, locked in the order of
    them); unknown keys are absent."""
    rows = await connection.fetch(
        f"""with found as materialized ({_OF_KEYS}), locked as materialized (
             select {_FIELDS} from customer where id in (select found.id from found) order by id for update
           )
           select found.key, found.id as owner, locked.* from found left join locked on locked.id = found.id""",
        list(keys),
    )
    owners = {row["key"]: row["owner"] for row in rows}
    return owners, {row["id"]: _customer(dict(list(row.items())[2:])) for row in rows if row["id"] is not None}


async def take_keys(connection: Connection, keys: Iterable[tuple[bytes, UUID, str]]) -> set[bytes]:
    """Give new keys to customers, (key, customer, kind) each; answers those that nobody had taken first. Waits for
    another transaction that is taking the same."""
    rows = await connection.fetch(
        """insert into customer_key (key, customer_id, kind)
           select * from unnest($1::bytea[], $2::uuid[], $3::text[]) as t(key, customer_id, kind)
           on conflict (key) do nothing returning key""",
        *map(list, zip(*sorted(keys), strict=True)),
    )
    return {row["key"] for row in rows}


async def lock(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, CustomerRow]:
    """Lock customers in the order of their ids."""
    rows = await connection.fetch(
        f"select {_FIELDS} from customer where id = any($1::uuid[]) order by id for update",
        list(ids),
    )
    return {row["id"]: _customer(row) for row in rows}


def _customer(row: Mapping[str, Any]) -> CustomerRow:
    lifetime = {currency: Decimal(amount) for currency, amount in row["lifetime"].items()}
    return CustomerRow(**{**row, "lifetime": lifetime})


async def lock_orders(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, OrderRow]:
    """Lock the accounts of orders, in the order of their keys."""
    rows = await connection.fetch(
        """select key, workspace, customer_id, connection_id, order_id, number, currency, paid, refunded, ordered_at
           from customer_order where key = any($1::bytea[]) order by key for update""",
        list(keys),
    )
    return {row["key"]: OrderRow(**row) for row in rows}


_INSERT = """
insert into customer (id, workspace, email, phone, name, profile, attributes, orders, lifetime, first_order_at,
    last_order_at, merged_into)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::int[],
    $9::jsonb[], $10::timestamptz[], $11::timestamptz[], $12::uuid[])
"""
_UPDATE = """
update customer c set email = t.email, phone = t.phone, name = t.name, profile = t.profile, attributes = t.attributes,
    orders = t.orders, lifetime = t.lifetime, first_order_at = t.first_order_at, last_order_at = t.last_order_at,
    merged_into = t.merged_into, updated_at = clock_timestamp()
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::int[],
    $9::jsonb[], $10::timestamptz[], $11::timestamptz[], $12::uuid[])
    as t(id, workspace, email, phone, name, profile, attributes, orders, lifetime, first_order_at, last_order_at,
    merged_into)
where c.id = t.id
"""


async def save(connection: Connection, customers: Iterable[CustomerRow]) -> None:
    """Write new and changed customers; the rows of the others are left alone."""
    new = [customer for customer in customers if customer.new]
    changed = [customer for customer in customers if customer.changed and not customer.new]
    for statement, rows in ((_INSERT, new), (_UPDATE, changed)):
        if rows:
            await later(connection, statement, *map(list, zip(*map(_columns, rows), strict=True)))


def _columns(c: CustomerRow) -> tuple[Any, ...]:
    lifetime = {currency: format(amount, "f") for currency, amount in c.lifetime.items()}
    return (c.id, c.workspace, c.email, c.phone, c.name, to_json(c.profile), to_json(c.attributes), c.orders,
            orjson.dumps(lifetime).decode(), c.first_order_at, c.last_order_at, c.merged_into)  # fmt: skip


async def save_orders(connection: Connection, orders: Iterable[OrderRow]) -> None:
    """Write new and changed accounts of orders."""
    rows = [(o.key, o.workspace, o.customer_id, o.connection_id, o.order_id, o.number, o.currency, o.paid, o.refunded,
             o.ordered_at) for o in sorted(orders, key=lambda o: o.key) if o.changed]  # fmt: skip
    if rows:
        await later(
            connection,
            """insert into customer_order (key, workspace, customer_id, connection_id, order_id, number, currency, paid,
                   refunded, ordered_at)
               select * from unnest($1::bytea[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::int[], $7::text[],
                   $8::numeric[], $9::numeric[], $10::timestamptz[])
               on conflict (key) do update set customer_id = excluded.customer_id, number = excluded.number,
                   currency = excluded.currency, paid = excluded.paid, refunded = excluded.refunded,
                   ordered_at = excluded.ordered_at""",
            *map(list, zip(*rows, strict=True)),
        )


async def merged_away(connection: Connection, loser: UUID, survivor: UUID) -> None:
    """Let all that was merged into `loser` before, and its orders, belong to `survivor`."""
    await connection.execute("update customer set merged_into = $2 where merged_into = $1", loser, survivor)
    await connection.execute("update customer_order set customer_id = $2 where customer_id = $1", loser, survivor)


_PROFILE = """
select r.* from customer c join customer r on r.id = coalesce(c.merged_into, c.id)
where c.id = $1 and c.workspace = $2
"""
_ORDERS = """
select connection_id, order_id, number, currency, paid, refunded, ordered_at from customer_order
where customer_id = $1 order by ordered_at desc, number desc limit $2
"""


async def profile(
    connection: Connection, workspace: str, customer_id: UUID, limit: int
) -> tuple[Any, list[Any], list[UUID]] | None:
    """(the customer's row, the latest orders, ids of customers that were merged into it), or None."""
    row = await connection.fetchrow(_PROFILE, customer_id, workspace)
    if row is None:
        return None
    orders = await connection.fetch(_ORDERS, row["id"], limit)
    merged = await connection.fetch("select id from customer where merged_into = $1 order by id", row["id"])
    return row, orders, [each["id"] for each in merged]


NEAR = 300
"""So many of the newest customers are looked at before an index of words is asked: a word may be a common one."""


async def search(
    connection: Connection, workspace: str, page: Page, text: str | None, keys: Sequence[bytes], phone: str | None
) -> list[Any]:
    """Customers, newest first, who are known by this address, the phone number or one of the keys; where there are
    none, those whose name or address has the text in it, from the beginning of a word. A row more than the page holds
    where there are more."""
    where = in_workspace("c", workspace)
    where.conditions.append("c.merged_into is null and not c.profile ? 'erased'")
    where.page(page, "c")
    if not text:
        return await _newest(connection, page, where)
    known = await connection.fetch(_KNOWN, workspace, phone, list(keys), text.strip().lower())
    if known:
        where.add("c.id = any({})", [row["id"] for row in known])
        return await _newest(connection, page, where)
    borne = Where(list(where.args), list(where.conditions))
    borne.conditions.append(f"({called(borne, 'c.name', text, False)} or {called(borne, 'c.email', text, False)})")
    near = f"(select * from customer c where {where.sql()} order by c.id desc limit {NEAR})"
    rows = await _newest(connection, page, borne, near)
    if len(rows) > page.limit:
        return rows
    asked = in_workspace("n", workspace)
    asked.conditions.append(f"(({called(asked, 'n.name', text)}) or ({called(asked, 'n.email', text)}))")
    ids = await few(connection, f"select n.id from customer n where {asked.sql()}", *asked.args)
    if ids is None:
        return await _newest(connection, page, borne)
    where.add("c.id = any({})", list(ids))
    return await _newest(connection, page, where)


async def _newest(connection: Connection, page: Page, where: Where, table: str = "customer") -> list[Any]:
    return await connection.fetch(
        f"""select c.id, c.email, c.phone, c.name, c.orders, c.lifetime, c.first_order_at, c.last_order_at, c.created_at
            from {table} c where {where.sql()} order by c.id desc limit {page.limit + 1}""",
        *where.args,
    )


_KNOWN = """
select n.id from customer n where n.workspace = $1 and n.phone = $2
union select coalesce(n.merged_into, n.id) from customer n where n.workspace = $1 and n.email = $4
union select coalesce(o.merged_into, o.id) from customer_key k join customer o on o.id = k.customer_id
where k.key = any($3::bytea[])
"""


async def order_numbers(
    connection: Connection, workspace: str, order_ids: Sequence[str]
) -> dict[tuple[UUID, str], str]:
    """{(connection, the sender's id): the number that people know an order by}."""
    rows = await connection.fetch(
        """select distinct on (subject_connection_id, subject_id) subject_connection_id, subject_id, number from event
           where workspace = $1 and subject_kind = 'order' and subject_id = any($2::text[]) and number is not null
           order by subject_connection_id, subject_id, id desc""",
        workspace,
        list(order_ids),
    )
    return {(row["subject_connection_id"], row["subject_id"]): row["number"] for row in rows}
