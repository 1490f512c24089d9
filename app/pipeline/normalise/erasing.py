"""Privacy requests carried out: each is a due row, worked in batches until nothing of the person is left."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app import events as canonical
from app.crypto import Hasher
from app.domain import erasure
from app.domain.erasure import Request
from app.domain.facts import Fact
from app.events import PrivacyEvent
from app.ids import new_id
from app.store import deadlines
from app.store import erasure as store
from app.store import events as stored_events
from app.store.database import Connection as Db
from app.store.database import Row
from app.store.deadlines import Deadline
from app.store.packing import pack, unpack

ERASE = "erase"
LOOK_AGAIN = timedelta(minutes=1)
"""While calls of the person are still in flight."""


def asked(hasher: Hasher, fact: Fact, now: datetime) -> Deadline | None:
    """The row by which a privacy request is carried out; None for other events. Requests of test shops are too."""
    if fact.event.type not in ("privacy.customer_redacted", "privacy.shop_redacted"):
        return None
    data = {"event_id": str(fact.id), "events": 0, "open": []}
    key = hasher("timer", ERASE, fact.id.bytes)
    return Deadline(new_id(), fact.connection.workspace, ERASE, fact.connection.id, key, data, now)


async def carry_out(db: Db, hasher: Hasher, now: datetime) -> bool:
    """Work on one due request in the caller's transaction; False when none is due."""
    due = await deadlines.claim(db, [ERASE], now, 1)
    if not due:
        return False
    timer, data = due[0], dict(due[0]["data"])
    event = (await stored_events.load(db, [UUID(data["event_id"])])).get(UUID(data["event_id"]))
    if event is None:
        await deadlines.remove(db, [timer["id"]])
        return True
    who = await erasure.whose(db, hasher, _request(timer, event))
    found, open_ = await erasure.erase_some(db, who)
    data["events"] += found
    data["open"] += [str(each) for each in open_]
    if found:
        await deadlines.postpone(db, timer["id"], now, data)
    elif left := await _calls_left(db, data["open"]):
        await deadlines.postpone(db, timer["id"], now + LOOK_AGAIN, data | {"open": left})
    else:
        await _done(db, hasher, timer, event, who, data)
    return True


async def _calls_left(db: Db, calls: list[str]) -> list[str]:
    """Erase the calls that have ended meanwhile; answers those that have not."""
    ids = [UUID(each) for each in calls]
    left = set(await store.still_open(db, ids)) if ids else set()
    await store.blank_calls(db, [each for each in ids if each not in left])
    return [str(each) for each in left]


async def _done(db: Db, hasher: Hasher, timer: Row, event: Row, who: Any, data: dict[str, Any]) -> None:
    note = f"erased: {data['events']} events, {len(who.customers)} customers"
    await erasure.finish(db, hasher, who, "privacy request", str(event["id"]), {"events": data["events"]})
    said = canonical.load(event["type"], event["schema_version"], unpack(event["data"]))
    left = erasure.stripped(canonical.plain(said))
    await store.blank_request(db, event, pack(canonical.dump(canonical.load(event["type"], 1, left))), note)
    await deadlines.remove(db, [timer["id"]])


def _request(timer: Row, event: Row) -> Request:
    said = canonical.load(event["type"], event["schema_version"], unpack(event["data"]))
    asked_for = said.request if isinstance(said, PrivacyEvent) else None
    return Request(
        workspace=timer["workspace"],
        connection_id=timer["connection_id"],
        customer_id=asked_for.customer_id if asked_for else None,
        email=asked_for.email if asked_for else None,
        phone=asked_for.phone if asked_for else None,
        orders=tuple(asked_for.order_ids or ()) if asked_for else (),
        everything=event["type"] == "privacy.shop_redacted",
    )
