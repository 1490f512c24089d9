"""Erasing a person: what a privacy request (or an operator) asks for, done in batches, and written down as done.

Personal data goes from events, webhooks, runs, calls and profiles, in the whole workspace; what was sold, when and for
how much stays, of nobody. Runs that still wait for such an event are cancelled; a call in flight ends first. Webhooks
that made no event are searched for the person's addresses. The keys by which the person was recognised go too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import orjson

from app.crypto import Hasher
from app.domain.customers import e164, normal_email
from app.domain.memory import keys_by
from app.domain.suppressions import key_of
from app.ids import new_id
from app.store import customers, erasure, suppressions
from app.store.database import Connection as Db
from app.store.erasure import Whose
from app.store.packing import pack, unpack, unpack_json

BATCH = 200
FIRST = UUID(int=0)
TELLING = 10
"""Characters from which on a sender's id or a word is not met by chance in another's body."""

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


@dataclass(slots=True)
class Job:
    """How far an erasure is, as its row keeps it. emails: addresses met in events that are blank by now; after: the
    webhook up to which bodies were searched; open: calls that have not ended; customers: who it was, when done."""

    actor: str
    events: int = 0
    webhooks: int = 0
    searched: bool = False
    after: str = str(FIRST)
    emails: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> "Job":
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})

    def dump(self) -> dict[str, Any]:
        return asdict(self)


async def whose(db: Db, hasher: Hasher, request: Request, emails: Sequence[str] = ()) -> Whose:
    """The customers and addresses that a request means; `emails` were found to be theirs before."""
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
    theirs = [row["email"] for row in await erasure.persons(db, ids) if row["email"]]
    known = list(dict.fromkeys([*([email] if email else []), *theirs, *emails]))
    return Whose(workspace, ids, known, request.connection_id, request.orders, request.everything)


async def step(
    db: Db, hasher: Hasher, request: Request, job: Job, asked_at: datetime
) -> Literal["more", "waits", "done"]:
    """Do a part of it, in the caller's transaction: "waits" for calls that are being sent; "done" is written down."""
    who = await whose(db, hasher, request, job.emails)
    if rows := await erasure.events(db, who, asked_at, BATCH):
        words = () if who.everything else _words(who, await erasure.persons(db, who.customers))
        await _blank(db, rows, job, words)
        return "more"
    if not job.searched:
        await _search(db, who, job, asked_at)
        return "more"
    job.open = await _calls_left(db, job.open)
    if job.open:
        return "waits"
    await _finish(db, hasher, who, job)
    return "done"


async def _blank(db: Db, rows: Sequence[Any], job: Job, words: Sequence[str] = ()) -> None:
    """Erase events with all that followed from them; `words` wherever they stand in what is left."""
    await erasure.blank_events(db, [(row["id"], row["at"], _stripped(row["data"], words)) for row in rows])
    webhooks = {row["webhook_id"] for row in rows if row["webhook_id"] is not None}
    await erasure.blank_webhooks(db, sorted(webhooks))
    job.open += map(str, await erasure.blank_what_followed(db, [row["id"] for row in rows]))
    job.events += len(rows)
    job.emails = list(dict.fromkeys([*job.emails, *(row["email"] for row in rows if row["email"])]))


async def _search(db: Db, who: Whose, job: Job, until: datetime) -> None:
    """Look through webhooks that made no event (repeats, what was ignored or not understood) for who it is."""
    rows = await erasure.kept_webhooks(db, who.workspace, UUID(job.after), until, BATCH)
    people = await erasure.persons(db, who.customers)
    ids = naming(rows, who, people)
    if ids and (nobodys := await erasure.of_nobody(db, who.workspace, sorted(ids))):
        await _blank(db, nobodys, job, _words(who, people))
    await erasure.blank_webhooks(db, sorted(ids))
    job.webhooks += len(ids)
    job.searched = len(rows) < BATCH
    job.after = str(rows[-1]["id"]) if rows else job.after


def naming(rows: Iterable[Any], who: Whose, people: Sequence[Any]) -> set[UUID]:
    """Those of the kept webhooks that name one of these people: an address, a phone number or the sender's id."""
    anywhere = _needles([*who.emails, *(row["phone"] for row in people if row["phone"])])
    ids = set()
    for row in rows:
        needles = anywhere | _needles(_senders_ids(people, row["connection_id"]))
        text = unpack(row["body"]).lower() + (orjson.dumps(row["reads"]).lower() if row["reads"] else b"")
        whole = who.everything and row["connection_id"] == who.connection_id
        if whole or any(needle in text for needle in needles):
            ids.add(row["id"])
    return ids


def _needles(words: Iterable[str]) -> set[bytes]:
    """Words as they stand in JSON and in forms, in lower case."""
    found = {form for word in words for form in (word, quote(word, safe=""), quote(word, safe="@"))}
    return {form.lower().encode() for form in found} | {form.encode("unicode_escape").lower() for form in found}


def _senders_ids(people: Iterable[Any], connection_id: UUID) -> list[str]:
    ids = [row["profile"].get("ids", {}).get(str(connection_id), "") for row in people]
    return [each for each in ids if len(each) >= TELLING]


async def _calls_left(db: Db, calls: list[str]) -> list[str]:
    """Erase the calls that have ended meanwhile; answers those that have not."""
    ids = [UUID(each) for each in calls]
    left = set(await erasure.still_open(db, ids)) if ids else set()
    await erasure.blank_calls(db, [each for each in ids if each not in left])
    return [str(each) for each in left]


async def _finish(db: Db, hasher: Hasher, who: Whose, job: Job) -> None:
    """Forget who they are and what recipes remembered of them, and write down that it was done."""
    people = await erasure.persons(db, who.customers)
    await _blank_mentions(db, who, people, job)
    await erasure.begin_backtests_anew(db, [who.workspace])
    ids = [(UUID(source), id_) for row in people for source, id_ in row["profile"].get("ids", {}).items()]
    await erasure.forget(db, who.customers, keys_by(hasher, who.workspace, who.emails, ids))
    await suppressions.forget_addresses(db, who.workspace, [key_of(hasher, who.workspace, each) for each in who.emails])
    job.customers = [str(each) for each in who.customers]
    detail = {"events": job.events, "webhooks": job.webhooks, "customers": job.customers}
    await erasure.record(db, new_id(), who.workspace, job.actor, ",".join(job.customers) or "nobody", detail)


async def _blank_mentions(db: Db, who: Whose, people: Sequence[Any], job: Job) -> None:
    """What quotes them in free text: reasons of failed runs, the hub's own troubles, filters that people wrote."""
    words = _words(who, people)
    if not words:
        return
    await erasure.blank_mentions(db, who.workspace, words)
    needles = _needles(words)
    told = [
        row
        for row in await erasure.troubles(db, who.workspace)
        if any(needle in unpack(row["data"]).lower() for needle in needles)
    ]
    if told:
        await _blank(db, told, job, () if who.everything else words)


def _words(who: Whose, people: Sequence[Any]) -> list[str]:
    """What names them in free text: addresses, phone numbers, whole names."""
    names = [row["name"] for row in people if row["name"] and " " in row["name"].strip()]
    return [*who.emails, *(row["phone"] for row in people if row["phone"]), *names]


def _stripped(packed: bytes, words: Sequence[str] = ()) -> bytes:
    left = stripped(unpack_json(packed))
    if words:
        left = _without(left, re.compile("|".join(map(re.escape, words)), re.IGNORECASE))
    return pack(orjson.dumps(left))


def _without(value: Any, words: re.Pattern[str]) -> Any:
    """A JSON value whose texts no longer hold the words."""
    match value:
        case str():
            return words.sub("erased", value)
        case list():
            return [_without(each, words) for each in value]
        case dict():
            return {words.sub("erased", key): _without(each, words) for key, each in value.items()}
    return value


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
