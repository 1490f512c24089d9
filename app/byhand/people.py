"""One customer by hand: who it is, all that is held of them, and their erasure."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from app.domain import customers, erasure, memory
from app.domain.connections import secret_texts
from app.domain.erasure import Request
from app.errors import NotFoundError
from app.events import Money
from app.hub import Hub
from app.pipeline.normalise import erasing
from app.store import byhand as audit
from app.store import customers as store
from app.store import deadlines, remembered
from app.store import erasure as kept
from app.store import trace as traces
from app.store.byhand import Deed
from app.store.database import Connection as Db
from app.store.database import Row, to_json
from app.store.lists import Page
from app.store.packing import unpack, unpack_json
from app.store.webhooks import unpack_headers
from app.trace import blotted, in_full

AT_MOST = 10.0
"""Seconds that an erasure is worked on before the answer; workers do the rest."""
PAGE = 200


class CustomerShown(BaseModel):
    """A customer of the workspace, whatever shops they bought at."""

    id: UUID
    email: str | None
    phone: str | None = Field(description="E.164", examples=["+4915112345678"])
    name: str | None
    orders_count: int = Field(description="Orders that came in here; none of tests.")
    lifetime_value: list[Money] = Field(description="What was paid less what was refunded, one amount a currency.")
    first_order_at: datetime | None
    last_order_at: datetime | None
    created_at: datetime


class Identity(BaseModel):
    """Who a customer is at a connection."""

    connection: str | None = Field(description="Slug; null if it was removed.", examples=["main-store"])
    id: str = Field(description="The sender's id.", examples=["7049234112"])


class CustomerOrder(BaseModel):
    """One order of a customer."""

    connection: str | None = Field(examples=["main-store"])
    id: str = Field(description="The sender's id.")
    number: str | None = Field(description="The number that people search it by.", examples=["#1001"])
    nth: int | None = Field(description="The customer's n-th order that came in here.")
    paid: Money | None
    refunded: Money | None
    ordered_at: datetime


class CustomerDetail(CustomerShown):
    """A customer with what is known of them. `past_known`: whether all that was sold before the connections were made
    is known too; while it is not, recipes are not told of n-th orders and lifetime values."""

    profile: dict[str, Any] = Field(description="First and last name, company, locale ... as the newest event says.")
    tags: list[str] = Field(description="The sender's, with those that recipes added, less those they removed.")
    attributes: dict[str, Any] = Field(description="What recipes remembered with `set`.")
    identities: list[Identity]
    merged: list[UUID] = Field(description="Ids of customers that turned out to be this one; each still leads here.")
    orders: list[CustomerOrder] = Field(description="The latest 50.")
    past_known: bool
    erased: bool


class Erased(BaseModel):
    """An erasure; what is not done yet, workers do by themselves."""

    customer_id: UUID
    done: bool
    events: int = Field(description="Events from which the person was removed, with their runs, calls and webhooks.")
    webhooks: int = Field(description="Further webhooks that named the person, and made no event of their own.")
    open_calls: int = Field(description="Calls whose outcome is still open; they are erased when they end.")


class Export(BaseModel):
    """All that is held of one customer."""

    exported_at: datetime
    customer: CustomerDetail
    events: list[dict[str, Any]] = Field(description="Events about them, with their data, oldest first.")
    webhooks: list[dict[str, Any]] = Field(description="What came in that names them: headers and body as sent.")
    runs: list[dict[str, Any]] = Field(description="What recipes did about them: steps, calls, attempts, effects.")
    suppressions: list[dict[str, Any]] = Field(description="That nothing is written to an address of theirs, and why.")


async def find(hub: Hub, workspace: str, page: Page, text: str | None) -> list[CustomerShown]:
    """Customers, newest first, with one more than the page holds where there are more. Text is an e-mail address, a
    phone number, a sender's id, or part of a name or address."""
    async with hub.database.looking() as db:
        keys = customers.keys_for(hub.hasher, hub.connections, workspace, text) if text else []
        phone = customers.e164(text, None) if text else None
        return [_shown(row) for row in await store.search(db, workspace, page, text, keys, phone)]


async def show(hub: Hub, workspace: str, customer_id: UUID) -> CustomerDetail:
    """Raises NotFoundError. The id of a customer that was merged leads to the one it is now."""
    async with hub.database.acquire() as db:
        return await _detail(db, hub, workspace, customer_id)


async def _detail(db: Db, hub: Hub, workspace: str, customer_id: UUID) -> CustomerDetail:
    found = await customers.profile(db, workspace, customer_id)
    if found is None:
        raise NotFoundError("there is no such customer")
    numbers = await store.order_numbers(db, workspace, [each.order_id for each in found.orders])
    laid = await _remembered(db, hub, workspace, found)
    details = {name: value for name, value in found.details.items() if name not in ("tags", "erased")}
    return CustomerDetail(
        **{name: getattr(found, name) for name in CustomerShown.model_fields},
        profile=details,
        tags=laid["tags"],
        attributes=laid["attributes"],
        identities=[Identity(connection=_slug(hub, UUID(at)), id=id_) for at, id_ in found.ids.items()],
        merged=found.merged,
        orders=[
            CustomerOrder(
                connection=_slug(hub, each.connection_id),
                id=each.order_id,
                number=numbers.get((each.connection_id, each.order_id)),
                nth=each.number,
                paid=each.paid,
                refunded=each.refunded,
                ordered_at=each.ordered_at,
            )
            for each in found.orders
        ],
        past_known=customers.history_known(hub.connections, workspace),
        erased=bool(found.details.get("erased")),
    )


async def _remembered(db: Db, hub: Hub, workspace: str, found: customers.Profile) -> dict[str, Any]:
    """Tags and attributes with what recipes remembered laid over."""
    ids = [(UUID(connection), id_) for connection, id_ in found.ids.items()]
    keys = memory.keys_by(hub.hasher, workspace, [found.email] if found.email else [], ids)
    said = await remembered.read(db, keys)
    laid: dict[str, Any] = {"tags": found.details.get("tags") or [], "attributes": found.attributes}
    for key in keys:
        if key in said:
            laid = memory.with_remembered(laid, said[key])
    return laid


def _slug(hub: Hub, connection_id: UUID) -> str | None:
    connection = hub.connections.get(connection_id)
    return connection.slug if connection else None


def _shown(row: Row) -> CustomerShown:
    lifetime = [Money(amount=amount, currency=currency) for currency, amount in sorted(row["lifetime"].items())]
    names = ("id", "email", "phone", "name", "first_order_at", "last_order_at", "created_at")
    return CustomerShown(**{name: row[name] for name in names}, orders_count=row["orders"], lifetime_value=lifetime)


# --- erasing ----------------------------------------------------------------------------------------------------


async def erase(hub: Hub, workspace: str, customer_id: UUID, actor: str) -> Erased:
    """Remove a person from all that is kept; what was sold, when and for how much stays, of nobody. Raises
    NotFoundError."""
    async with hub.database.transaction() as db:
        if await store.profile(db, workspace, customer_id, 0) is None:
            raise NotFoundError("there is no such customer")
        row = erasing.asked_by_hand(hub.hasher, workspace, customer_id, actor, hub.clock.now())
        await deadlines.put(db, [row])
    progress, until = erasing.Progress(False, 0, 0, 0), asyncio.get_running_loop().time() + AT_MOST
    while not progress.done and asyncio.get_running_loop().time() < until:
        try:
            async with hub.database.transaction() as db:
                went = await erasing.carry_out(db, hub.hasher, hub.clock.now(), row.id)
        except asyncpg.DeadlockDetectedError:
            continue
        if went is None:  # a worker has it, or has done it
            await asyncio.sleep(0.02)
            async with hub.database.acquire() as db:
                progress = await erasing.progress(db, row.id, progress)
        else:
            progress = went
        if progress.open_calls:
            break
    async with hub.database.acquire() as db:  # a worker may have done it, and counted
        said = await kept.proof(db, workspace, customer_id) if progress.done else {}
    return Erased(
        customer_id=customer_id,
        done=progress.done,
        events=said.get("events", progress.events),
        webhooks=said.get("webhooks", progress.webhooks),
        open_calls=progress.open_calls,
    )


# --- all that is held -------------------------------------------------------------------------------------------


async def export(hub: Hub, workspace: str, customer_id: UUID, actor: str) -> Export:
    """All that is held of a person, without the connections' secrets. Raises NotFoundError."""
    async with hub.database.acquire() as db:
        customer = await _detail(db, hub, workspace, customer_id)
        who = await erasure.whose(db, hub.hasher, Request(workspace, customers=(customer.id,)))
        events, runs = await _events(db, workspace, who)
        named = await _webhooks(db, hub, who, {row["webhook_id"] for row in events if row["webhook_id"]})
        deed = Deed(workspace, actor, "customer.exported", f"customer/{customer.id}", {})
        await audit.note(db, deed, to_json({"events": len(events)}))
    left = await hub.suppressions.kept(workspace, who.emails)
    secrets = {
        secret for each in hub.connections if each.workspace == workspace for secret in secret_texts(each.settings)
    }
    return Export(
        exported_at=hub.clock.now(),
        customer=customer,
        events=blotted([_event(hub, row) for row in events], secrets),
        webhooks=blotted(named, secrets),
        runs=blotted(runs, secrets),
        suppressions=[
            {"address": each.address, "reason": each.reason, "said": each.said, "since": each.since} for each in left
        ],
    )


async def _events(db: Db, workspace: str, who: kept.Whose) -> tuple[list[Row], list[dict[str, Any]]]:
    events: list[Row] = []
    runs: list[dict[str, Any]] = []
    while page := await kept.theirs(db, who, events[-1]["id"] if events else erasure.FIRST, PAGE):
        events += page
        found = await traces.runs_of(db, workspace, [row["id"] for row in page])
        runs += [run.model_dump(mode="json") for run in await in_full(db, workspace, found)]
    return events, runs


async def _webhooks(db: Db, hub: Hub, who: kept.Whose, ids: set[UUID]) -> list[dict[str, Any]]:
    people = await kept.persons(db, who.customers)
    after, until, found = erasure.FIRST, hub.clock.now(), []
    while rows := await kept.kept_webhooks(db, who.workspace, after, until, PAGE):
        named = erasure.naming(rows, who, people)
        found += [_webhook(hub, row) for row in rows if row["id"] in ids or row["id"] in named]
        after = rows[-1]["id"]
    return found


def _event(hub: Hub, row: Row) -> dict[str, Any]:
    names = ("id", "type", "occurred_at", "object_kind", "object_id", "subject_kind", "subject_id", "webhook_id")
    slug = _slug(hub, row["connection_id"]) if row["connection_id"] else None
    return {**{name: row[name] for name in names}, "connection": slug, "data": unpack_json(row["data"])}


def _webhook(hub: Hub, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": row["at"],
        "connection": _slug(hub, row["connection_id"]),
        "topic": row["topic"],
        "headers": unpack_headers(row["headers"]),
        "body": unpack(row["body"]).decode(errors="replace"),
    }


def one_of(found: Sequence[CustomerShown], text: str) -> UUID:
    """The only customer that a text found. Raises NotFoundError for none, or several."""
    if len(found) == 1:
        return found[0].id
    several = ", ".join(f"{each.id} ({each.email or each.name or 'no address'})" for each in found)
    raise NotFoundError(f"{text!r} finds several customers: {several}" if found else f"no customer is {text!r}")
