"""Who a customer is, across the sources and connections of a workspace, and what was known of them at each event.

A customer is recognised by a sender's id, then by the e-mail address, else (with neither) by the phone number. Two
customers that turn out to be one are merged into the older: nothing of the other is lost, and its id still leads here.

Of an order, the number and the money are counted once, whatever topics state it and however often: it is counted when
it is first told as created or paid; its amount joins the lifetime value when it is paid, and refunds lessen that again.
A test order counts for nothing. Customers, then orders, are locked in sorted order in the transaction of the events.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app.crypto import Hasher
from app.domain.connections import Connections
from app.domain.facts import Fact
from app.events import Customer, Money, Order, Refund, customer_of, iso
from app.ids import new_id
from app.store import customers as store
from app.store import workspaces
from app.store.customers import CustomerRow, OrderRow
from app.store.database import Connection as Db

COUNTED = frozenset({"order.created", "order.paid"})
_HAS_PAID = frozenset({"paid", "partially_refunded", "refunded"})
_NOBODY = frozenset({"privacy.customer_redacted", "privacy.data_requested", "privacy.shop_redacted"})
_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_PUNCTUATION = str.maketrans("", "", " ()-./\u00a0")
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Told:
    """A fact with what it says of a customer."""

    fact: Fact
    customer: Customer | None
    email: str | None


@dataclass(slots=True)
class Person:
    """The facts of a batch that are about one customer: `keys` {key: kind}, `ids` those that the keys were found at."""

    keys: dict[bytes, str] = field(default_factory=dict)
    facts: list["Told"] = field(default_factory=list)
    ids: set[UUID] = field(default_factory=set)

    def absorb(self, other: "Person") -> None:
        self.keys |= other.keys
        self.facts += other.facts
        self.ids |= other.ids


@dataclass(slots=True)
class Recognised:
    """The customers of a batch, locked. `rows` by every id that leads to them; `first_guest_orders`: facts by which a
    customer without an account at the shop ordered for the first time that we know of; `paid`: by which orders became
    paid, `vips`: by which customers reached what the workspace calls a VIP."""

    rows: dict[UUID, CustomerRow] = field(default_factory=dict)
    orders: dict[bytes, OrderRow] = field(default_factory=dict)
    first_guest_orders: list[Fact] = field(default_factory=list)
    paid: list[tuple[Fact, CustomerRow]] = field(default_factory=list)
    vips: list[Fact] = field(default_factory=list)


def normal_email(email: str | None) -> str | None:
    """Trimmed and in lower case; dots and plus signs are part of an address."""
    return email.strip().lower() or None if email else None


def e164(phone: str | None, country: str | None) -> str | None:
    """The number as +4915112345678; None if it is none. `country` (ISO 3166-1) reads national ways to write it."""
    if not phone:
        return None
    plain = phone.translate(_PUNCTUATION)
    if _E164.fullmatch(plain):
        return plain
    import phonenumbers  # 50 ms to import

    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def history_known(connections: Connections, workspace: str) -> bool:
    """Whether the past of everything that sells in the workspace is known, so that "first order" can be said."""
    sellers = [each for each in connections if each.workspace == workspace and each.sells]
    return bool(sellers) and all(each.history == "complete" for each in sellers)


# --- who it is --------------------------------------------------------------------------------------------------


def _email_of(data: BaseModel, customer: Customer | None) -> str | None:
    """The customer's address, else the one that was left with the order or checkout."""
    if customer is not None and customer.email:
        return normal_email(customer.email)
    noun = getattr(data, "order", None) or getattr(data, "checkout", None)
    return normal_email(getattr(noun, "email", None))


def _phone_of(data: BaseModel, customer: Customer | None) -> str | None:
    noun = getattr(data, "order", None) or getattr(data, "checkout", None)
    said = (customer.phone if customer else None) or getattr(noun, "phone", None)
    if not said:
        return None
    address = (customer.default_address if customer else None) or getattr(noun, "billing_address", None)
    return e164(said, getattr(address, "country_code", None))


def _told(fact: Fact) -> Told:
    customer = customer_of(fact.event.data)
    return Told(fact, customer, _email_of(fact.event.data, customer))


def _keys(hasher: Hasher, told: Told) -> dict[bytes, str]:
    fact, customer = told.fact, told.customer
    if fact.event.type in _NOBODY:
        return {}
    keys, connection = {}, fact.connection
    if customer is not None and customer.id:
        keys[hasher("customer", "id", connection.workspace, connection.id.bytes, customer.id)] = "id"
    if told.email:
        keys[hasher("customer", "email", connection.workspace, told.email)] = "email"
    if not keys and (phone := _phone_of(fact.event.data, customer)):
        keys[hasher("customer", "phone", connection.workspace, phone)] = "phone"
    return keys


def _persons(hasher: Hasher, facts: Iterable[Told]) -> list[Person]:
    """Facts that share a key, even through others, are about one person."""
    by_key: dict[bytes, Person] = {}
    for told in facts:
        keys = _keys(hasher, told)
        if keys:
            person = Person(keys, [told])
            for other in {id(by_key[key]): by_key[key] for key in keys if key in by_key}.values():
                other.absorb(person)
                person = other
            by_key.update(dict.fromkeys(person.keys, person))
    return list({id(person): person for person in by_key.values()}.values())


async def _find(db: Db, persons: Sequence[Person], rows: dict[UUID, CustomerRow]) -> tuple[list[Person], set[UUID]]:
    """Find the ids that lead to the persons, and lock who these are; new ones where nobody knows any (apart)."""
    keys = [key for person in persons for key in person.keys]
    found, locked = await store.find(db, keys) if keys else ({}, {})
    rows.update(locked)
    new: set[UUID] = set()
    missing = []
    for person in persons:
        person.ids = {found[key] for key in person.keys if key in found}
        if not person.ids:
            new.add(made := new_id())
            person.ids.add(made)
        missing += [(key, min(person.ids), kind) for key, kind in person.keys.items() if key not in found]
    if missing:
        taken = await store.take_keys(db, missing)
        lost = {key for key, _, _ in missing} - taken
        if lost:
            theirs = await store.find_keys(db, list(lost))
            for person in persons:
                person.ids |= {theirs[key] for key in person.keys if key in theirs}
    by_id: dict[UUID, Person] = {}
    for person in persons:
        for other in {id(by_id[each]): by_id[each] for each in person.ids if each in by_id}.values():
            other.absorb(person)
            person = other
        by_id.update(dict.fromkeys(person.ids, person))
    return list({id(person): person for person in by_id.values()}.values()), new


async def _lock(db: Db, ids: set[UUID], rows: dict[UUID, CustomerRow]) -> None:
    """Lock customers, and those that they were merged into meanwhile."""
    merged = {row.merged_into for row in rows.values() if row.merged_into is not None}
    wanted = {each for each in ids | merged if each not in rows}
    while wanted:
        locked = await store.lock(db, wanted)
        rows.update(locked)
        roots = {row.merged_into for row in locked.values() if row.merged_into is not None}
        wanted = {each for each in roots if each not in rows}


def _root(rows: dict[UUID, CustomerRow], customer_id: UUID) -> CustomerRow:
    row = rows[customer_id]
    while row.merged_into is not None:
        row = rows[row.merged_into]
    return row


async def _one(db: Db, person: Person, workspace: str, rows: dict[UUID, CustomerRow]) -> CustomerRow:
    """The one customer that a person is; merges where there were several."""
    for each in [each for each in person.ids if each not in rows]:
        rows[each] = CustomerRow(id=each, workspace=workspace, new=True)
    if len(person.ids) == 1:
        return _root(rows, next(iter(person.ids)))
    roots = {row.id: row for row in (_root(rows, each) for each in person.ids)}
    survivor = min(roots.values(), key=lambda row: (row.new, row.id))
    for loser in roots.values():
        if loser is not survivor:
            _merge(survivor, loser)
            if not loser.new:
                await store.merged_away(db, loser.id, survivor.id)
    return survivor


def _merge(survivor: CustomerRow, loser: CustomerRow) -> None:
    survivor.orders += loser.orders
    for currency, amount in loser.lifetime.items():
        survivor.lifetime[currency] = survivor.lifetime.get(currency, NOTHING) + amount
    survivor.first_order_at = _earlier(survivor.first_order_at, loser.first_order_at)
    survivor.last_order_at = _later(survivor.last_order_at, loser.last_order_at)
    survivor.attributes = loser.attributes | survivor.attributes
    ids = loser.profile.get("ids", {}) | survivor.profile.get("ids", {})
    survivor.profile = loser.profile | survivor.profile | ({"ids": ids} if ids else {})
    for name in ("email", "phone", "name"):
        setattr(survivor, name, getattr(survivor, name) or getattr(loser, name))
    survivor.changed = loser.changed = True
    loser.merged_into = survivor.id


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


# --- what is known of them --------------------------------------------------------------------------------------


def _learn(row: CustomerRow, told: Told) -> None:
    """Keep what the newest event says of the person."""
    fact, customer, email, at = told.fact, told.customer, told.email, iso(told.fact.occurred_at)
    if row.profile.get("at", "") > at and row.name and row.email:
        return
    said = _profile(customer, fact)
    name = customer and (customer.name or " ".join(p for p in (customer.first_name, customer.last_name) if p))
    ids = row.profile.get("ids", {}) | said.pop("ids", {})
    profile = row.profile | said | ({"ids": ids} if ids else {})
    if (email or row.email, name or row.name, profile) == (row.email, row.name, row.profile):
        return
    row.email, row.name = email or row.email, name or row.name
    row.phone = _phone_of(fact.event.data, customer) or row.phone
    row.profile, row.changed = profile | {"at": at}, True


def _profile(customer: Customer | None, fact: Fact) -> dict[str, Any]:
    if customer is None:
        return {}
    said: dict[str, Any] = {
        name: value
        for name in ("first_name", "last_name", "company", "locale", "timezone", "currency")
        if (value := getattr(customer, name))
    }
    if customer.tags is not None:
        said["tags"] = customer.tags
    if customer.id:
        said["ids"] = {f"{fact.connection.id}": customer.id}
    return said


def _order_row(fact: Fact, key: bytes) -> OrderRow:
    return OrderRow(
        key=key,
        workspace=fact.connection.workspace,
        customer_id=None,
        connection_id=fact.subject_connection_id,
        order_id=fact.subject.id,
        number=None,
        currency=None,
        paid=None,
        refunded=NOTHING,
        ordered_at=fact.occurred_at,
        changed=True,
    )


def _count(row: CustomerRow, account: OrderRow, fact: Fact, order: Order) -> None:
    """The customer's next order. What was refunded before it was known counts from now on."""
    at = order.created_at or fact.occurred_at
    row.orders += 1
    row.first_order_at, row.last_order_at = _earlier(row.first_order_at, at), _later(row.last_order_at, at)
    account.customer_id, account.number, account.ordered_at = row.id, row.orders, at
    account.changed = row.changed = True
    if account.refunded and account.currency:
        _add(row, Money(amount=account.refunded, currency=account.currency), -1)


def _add(row: CustomerRow, money: Money, sign: int) -> None:
    row.lifetime[money.currency] = row.lifetime.get(money.currency, NOTHING) + sign * money.amount
    row.changed = True


def _pay(row: CustomerRow, account: OrderRow, fact: Fact, order: Order) -> bool:
    """Once an order is paid, its amount as ordered is what the customer was worth; False if it was, or is not."""
    paid = fact.event.type == "order.paid" or order.payment_status in _HAS_PAID
    if paid and account.paid is None and order.total is not None:
        account.paid, account.currency, account.changed = order.total.amount, order.total.currency, True
        _add(row, order.total, 1)
        return True
    return False


def _reached(row: CustomerRow, thresholds: Mapping[str, Decimal]) -> bool:
    return any(row.lifetime.get(currency, NOTHING) >= amount for currency, amount in thresholds.items())


async def _crown(db: Db, found: Recognised) -> None:
    """Who paid, and by that reached the workspace's `vip_at`, is a VIP from now on: told once, also after merges."""
    thresholds = await workspaces.vip_at(db) if found.paid else {}
    for fact, row in found.paid:
        wanted = thresholds.get(row.workspace)
        if wanted and "vip_since" not in row.profile and _reached(row, wanted):
            row.profile, row.changed = row.profile | {"vip_since": iso(fact.occurred_at)}, True
            found.vips.append(fact)


def _refund(row: CustomerRow | None, account: OrderRow, fact: Fact, refund: Refund) -> None:
    sign = {"refund.created": 1, "refund.failed": -1}.get(fact.event.type, 0)
    if sign and refund.amount is not None and not (sign > 0 and refund.status == "failed"):
        account.refunded += sign * refund.amount.amount
        account.currency, account.changed = account.currency or refund.amount.currency, True
        if row is not None and account.number is not None:
            _add(row, refund.amount, -sign)


def _book(found: Recognised, row: CustomerRow | None, key: bytes | None, fact: Fact) -> OrderRow | None:
    """Bring a fact into the account of its order; None if it has none."""
    if key is None or fact.test:
        return None
    own = fact.shop is None  # a processor tells again what the shop tells
    order: Any = getattr(fact.event.data, "order", None)
    refund: Any = getattr(fact.event.data, "refund", None)
    counts = row is not None and fact.event.type in COUNTED and isinstance(order, Order)
    refunds = own and isinstance(refund, Refund)
    if key not in found.orders and (counts or refunds):
        found.orders[key] = _order_row(fact, key)
    account = found.orders.get(key)
    if account is None:
        return None
    if row is not None and counts and account.number is None:
        _count(row, account, fact, order)
        if row.orders == 1 and not row.profile.get("ids"):
            found.first_guest_orders.append(fact)
    told = row is not None and account.number is not None and fact.event.type.startswith("order.")
    if row is not None and told and _pay(row, account, fact, order):
        found.paid.append((fact, row))
    if refunds:
        _refund(row, account, fact, refund)
    return account


def _as_then(row: CustomerRow, account: OrderRow | None, known: bool) -> dict[str, Any]:
    """What recipes may read of the customer, as it is at this event."""
    said: dict[str, Any] = {"attributes": dict(row.attributes)} if row.attributes else {}
    if known:
        said["order_number"] = account.number if account else None
        said["first_order_at"] = row.first_order_at
        said["lifetime_value"] = [Money(amount=amount, currency=each) for each, amount in sorted(row.lifetime.items())]
    return said


def with_facts(data: BaseModel, said: dict[str, Any]) -> BaseModel:
    """The event data with these fields on the customer, wherever it says one."""
    changed: dict[str, Any] = {}
    for name in type(data).model_fields:
        noun = getattr(data, name)
        if isinstance(noun, Customer):
            changed[name] = noun.model_copy(update=said)
        elif isinstance(customer := getattr(noun, "customer", None), Customer):
            changed[name] = noun.model_copy(update={"customer": customer.model_copy(update=said)})
    return data.model_copy(update=changed) if changed else data


# --- the batch --------------------------------------------------------------------------------------------------


def _order_key(hasher: Hasher, fact: Fact) -> bytes | None:
    if fact.subject.kind != "order":
        return None
    return hasher("order", fact.subject_connection_id.bytes, fact.subject.id)


async def recognise(db: Db, hasher: Hasher, facts: Sequence[Fact], known: Callable[[str], bool]) -> Recognised:
    """Say of new facts whose they are, count orders and money, and put what recipes may read into their data.

    `known`: whether a workspace's past is. Everything is written in this transaction, some statements a batch.
    """
    found = Recognised()
    told = {fact.id: _told(fact) for fact in facts}
    rows = found.rows
    persons, new = await _find(db, _persons(hasher, told.values()), rows)
    await _lock(db, {each for person in persons for each in person.ids} - new, rows)
    owner: dict[UUID, CustomerRow] = {}
    for person in persons:
        row = await _one(db, person, person.facts[0].fact.connection.workspace, rows)
        owner.update((each.fact.id, row) for each in person.facts)
    keys = {fact.id: _order_key(hasher, fact) for fact in facts}
    orders = [key for key in keys.values() if key is not None]
    if orders:
        found.orders = await store.lock_orders(db, list(set(orders)))
        await _lock(db, {each.customer_id for each in found.orders.values() if each.customer_id is not None}, rows)
    pasts = {workspace: known(workspace) for workspace in {fact.connection.workspace for fact in facts}}
    for fact in facts:
        _settle(found, owner.get(fact.id), keys[fact.id], told[fact.id], pasts[fact.connection.workspace])
    await _crown(db, found)
    await store.save(db, rows.values())
    await store.save_orders(db, found.orders.values())
    return found


def _settle(found: Recognised, row: CustomerRow | None, key: bytes | None, told: Told, known: bool) -> None:
    fact, account = told.fact, found.orders.get(key) if key else None
    if account is not None and account.customer_id is not None:
        holder = _root(found.rows, account.customer_id)
        if row is None:
            row = holder
        elif row is not holder:  # told of another person since: the account stays where it was counted
            _learn(row, told)
            _book(found, holder, key, fact)
            fact.customer_id = row.id
            return
    if row is None:
        _book(found, None, key, fact)
        return
    _learn(row, told)
    account = _book(found, row, key, fact)
    fact.customer_id = row.id
    if said := _as_then(row, account, known):
        fact.event = replace(fact.event, data=with_facts(fact.event.data, said))


def keys_for(hasher: Hasher, connections: Connections, workspace: str, text: str) -> list[bytes]:
    """The keys that a text may be: an address, a phone number, or a sender's id at any connection."""
    text = text.strip()
    keys = [hasher("customer", "id", workspace, each.id.bytes, text) for each in connections]
    keys.append(hasher("customer", "email", workspace, normal_email(text) or ""))
    return [*keys, hasher("customer", "phone", workspace, phone)] if (phone := e164(text, None)) else keys


# --- for people -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """One order in a customer's account."""

    connection_id: UUID
    order_id: str
    number: int | None
    paid: Money | None
    refunded: Money | None
    ordered_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer as people see one. `lifetime_value`: what was paid less what was refunded, one amount a currency;
    `ids`: {connection id: the sender's id}."""

    id: UUID
    email: str | None
    phone: str | None
    name: str | None
    details: dict[str, Any]
    attributes: dict[str, Any]
    ids: dict[str, str]
    merged: list[UUID]
    orders_count: int
    lifetime_value: list[Money]
    first_order_at: datetime | None
    last_order_at: datetime | None
    created_at: datetime
    orders: list[CustomerOrder]


async def profile(db: Db, workspace: str, customer_id: UUID, orders: int = 50) -> Profile | None:
    """A customer with the latest orders; an id that was merged leads to the one it was merged into. None: not there."""
    found = await store.profile(db, workspace, customer_id, orders)
    if found is None:
        return None
    row, accounts, merged = found
    details = {name: value for name, value in row["profile"].items() if name not in ("ids", "at")}
    lifetime = [Money(amount=amount, currency=currency) for currency, amount in sorted(row["lifetime"].items())]
    return Profile(
        id=row["id"],
        email=row["email"],
        phone=row["phone"],
        name=row["name"],
        details=details,
        attributes=row["attributes"],
        ids=row["profile"].get("ids", {}),
        merged=merged,
        orders_count=row["orders"],
        lifetime_value=lifetime,
        first_order_at=row["first_order_at"],
        last_order_at=row["last_order_at"],
        created_at=row["created_at"],
        orders=[_account(each) for each in accounts],
    )


def _account(row: Any) -> CustomerOrder:
    currency = row["currency"]
    paid = None if row["paid"] is None or not currency else Money(amount=row["paid"], currency=currency)
    refunded = Money(amount=row["refunded"], currency=currency) if currency and row["refunded"] else None
    return CustomerOrder(row["connection_id"], row["order_id"], row["number"], paid, refunded, row["ordered_at"])
