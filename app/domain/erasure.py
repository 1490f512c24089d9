"""Erasing a person: what a privacy request (or an operator) asks for, done in batches, and written down as done.

Personal data goes from events, webhooks, runs, calls and profiles, in the whole workspace; what was sold, when and for
how much stays, of nobody. Runs that still wait for such an event are cancelled; a call in flight ends first. The keys
by which the person was recognised go too.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app.crypto import Hasher
from app.domain.customers import e164, normal_email
from app.ids import new_id
from app.store import customers, erasure
from app.store.database import Connection as Db
from app.store.erasure import Whose
from app.store.packing import pack, unpack_json

BATCH = 200

PERSONAL = frozenset(
    {
        *("email", "phone", "first_name", "last_name", "company", "ip_address", "tax_number", "tax_numbers", "author"),
        *(
            "billing_address",
            "shipping_address",
            "default_address",
            "addresses",
            "destination",
            "latitude",
            "longitude",
        ),
        *("note", "attributes", "metadata", "extra", "links", "url", "receipt_url", "label_url", "status_url", "body"),
        *("card_last4", "card_brand", "description", "attribution", "tracking_urls", "image_urls", "attachment_urls"),
    }
)
"""Fields that may name a person, wherever they stand in event data."""
_NAMED = frozenset({"payment", "payments", "customer"})
"""Nouns whose `name` is a person's."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who is to be erased, as a sender or an operator names them. `everything`: all of the connection's people."""

    workspace: str
    connection_id: UUID | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    orders: tuple[str, ...] = ()
    everything: bool = False
    customers: tuple[UUID, ...] = ()


async def whose(db: Db, hasher: Hasher, request: Request) -> Whose:
    """The customers and addresses that a request means."""
    workspace, email = request.workspace, normal_email(request.email)
    keys = []
    if request.customer_id and request.connection_id:
        keys.append(hasher("customer", "id", workspace, request.connection_id.bytes, request.customer_id))
    if email:
        keys.append(hasher("customer", "email", workspace, email))
    if not keys and (phone := e164(request.phone, None)):
        keys.append(hasher("customer", "phone", workspace, phone))
    found = {*request.customers, *(await customers.find_keys(db, keys)).values()}
    if request.everything and request.connection_id:
        found.update(await erasure.everybody(db, request.connection_id))
    ids = await erasure.with_merged(db, list(found))
    emails = [*([email] if email else []), *await erasure.addresses(db, ids)]
    return Whose(workspace, ids, emails, request.connection_id, request.orders, request.everything)


async def erase_some(db: Db, who: Whose) -> tuple[int, list[UUID]]:
    """Erase a batch of events with all that followed from them: (how many there were, calls that are still open and
    must be erased when they have ended). No events: nothing is left."""
    rows = await erasure.events(db, who, BATCH)
    if not rows:
        return 0, []
    await erasure.blank_events(db, [(row["id"], row["at"], _stripped(row["data"])) for row in rows])
    webhooks = [row["webhook_id"] for row in rows if row["webhook_id"] is not None]
    return len(rows), await erasure.blank_what_followed(db, [row["id"] for row in rows], webhooks)


async def finish(db: Db, hasher: Hasher, who: Whose, actor: str, about: str, detail: dict[str, Any]) -> None:
    """Forget who they are and what recipes remembered of them, and write down that it was done."""
    memories = [hasher("remembered", who.workspace, "email", email) for email in who.emails]
    for ids in await erasure.senders_ids(db, who.customers):
        memories += [
            hasher("remembered", who.workspace, "customer", UUID(source).bytes, id_) for source, id_ in ids.items()
        ]
    await erasure.forget(db, who.customers, memories)
    detail |= {"customers": [str(each) for each in who.customers]}
    await erasure.record(db, new_id(), who.workspace, actor, about, detail)


async def erase(db: Db, hasher: Hasher, request: Request, actor: str) -> tuple[int, list[UUID]]:
    """Erase at once, for an operator, in the caller's transaction: (events that were blanked, calls still open)."""
    who, done = await whose(db, hasher, request), 0
    open_: list[UUID] = []
    while True:
        found, calls = await erase_some(db, who)
        done, open_ = done + found, [*open_, *calls]
        if not found:
            break
    about = ",".join(map(str, who.customers)) or "nobody"
    await finish(db, hasher, who, actor, about, {"events": done, "open_calls": [str(each) for each in open_]})
    return done, open_


def _stripped(packed: bytes) -> bytes:
    return pack(orjson.dumps(stripped(unpack_json(packed))))


def stripped(value: Any, noun: str = "") -> Any:
    """Event data without what may name a person."""
    if isinstance(value, list):
        return [stripped(each, noun) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {} if key == "customer" else stripped(each, key) for key, each in value.items() if not _personal(key, noun)
    }


def _personal(key: str, noun: str) -> bool:
    if noun == "discrepancy":
        return False
    return key in PERSONAL or (key == "name" and noun in _NAMED)
