"""One sale, one order: what a processor tells of a payment stands on the timeline of the shop's order.

The shop names the order in the payment's metadata, or its own events name the payment (`Event.links`). Either may come
first. Until somebody says where a payment belongs, it stands on a timeline of its own; told later, it moves over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.facts import Fact
from app.store import links as store
from app.store.database import Connection as Db

_OF_A_SHOP = frozenset({"order", "checkout", "cart", "gid"})
"""Kinds of links that name something of a shop, not of a processor."""


@dataclass(frozen=True)
class Sellers:
    """The connections of one workspace, by what they do in a sale."""

    shops: tuple[Connection, ...]
    processors: tuple[Connection, ...]


def sellers(connections: Connections, workspace: str) -> Sellers:
    """The shops are those whose role says so; where none does, the stores."""
    mine = [each for each in connections if each.workspace == workspace and each.connector.source is not None]
    named = tuple(each for each in mine if each.role == "shop")
    stores = tuple(each for each in mine if each.is_shop)
    return Sellers(named or stores, tuple(each for each in mine if each.role == "payments"))


async def link(db: Db, hasher: Hasher, connections: Connections, facts: Sequence[Fact]) -> None:
    """Put facts of processors on the timelines of the shops' orders, as far as these are known, in both directions."""
    for workspace in {fact.connection.workspace for fact in facts}:
        found = sellers(connections, workspace)
        if found.processors and found.shops:
            mine = [fact for fact in facts if fact.connection.workspace == workspace]
            await _told_by_shops(db, hasher, workspace, mine, found)
            await _told_by_processors(db, hasher, workspace, mine, found)


async def _told_by_shops(db: Db, hasher: Hasher, workspace: str, facts: Sequence[Fact], found: Sellers) -> None:
    """Shops' events that name payments: remember whose they are, and move what was told of them before."""
    told: dict[bytes, tuple[UUID, str]] = {}
    for fact in facts:
        if fact.connection.is_shop and fact.event.subject.kind == "order":
            for ref in fact.event.links:
                if ref.kind not in _OF_A_SHOP:
                    told[_key(hasher, workspace, ref.id)] = (fact.connection.id, fact.event.subject.id)
    await _tell(db, workspace, told, found)


async def _tell(db: Db, workspace: str, told: dict[bytes, tuple[UUID, str]], found: Sellers) -> None:
    if not told:
        return
    before = await store.claim(db, [(key, workspace, *home) for key, home in told.items()])
    processors = {each.id for each in found.processors}
    early = {key: link for key, link in before.items() if link[0] in processors}
    if early:
        await store.move(db, [(key, *told[key]) for key in sorted(early)])
        await store.rehome(db, workspace, sorted({(*link, *told[key]) for key, link in early.items()}))


async def _told_by_processors(db: Db, hasher: Hasher, workspace: str, facts: Sequence[Fact], found: Sellers) -> None:
    mine = [fact for fact in facts if fact.connection.role == "payments" and fact.event.subject.kind == "order"]
    named: dict[bytes, tuple[UUID, str]] = {}
    keys: dict[bytes, tuple[UUID, str]] = {}
    for fact in mine:
        order = next((ref.id for ref in fact.event.links if ref.kind == "order"), None)
        for key in {_key(hasher, workspace, each) for each in _own_ids(fact)}:
            keys[key] = (fact.connection.id, fact.event.subject.id)
            if order is not None and len(found.shops) == 1:
                named[key] = (found.shops[0].id, order)
    known = await store.claim(db, [(key, workspace, *home) for key, home in keys.items()]) if keys else {}
    homes = {key: home for key, home in known.items() if home[0] not in {each.id for each in found.processors}}
    news = {key: home for key, home in named.items() if key not in homes}
    if news:
        await _tell(db, workspace, news, found)
    for fact in mine:
        keyed = [_key(hasher, workspace, each) for each in _own_ids(fact)]
        home = next((place[key] for place in (homes, named) for key in keyed if key in place), None)
        if home is not None:
            fact.shop, fact.order = home
            fact.event = replace(fact.event, data=_with_order(fact.event.data, home[1]))


def _own_ids(fact: Fact) -> list[str]:
    """The ids by which a shop may know the sale: the sale's, the object's, and those beside them."""
    ids = {fact.event.subject.id: None}
    for name in ("payment", "refund", "dispute"):
        noun = getattr(fact.event.data, name, None)
        if noun is not None:
            external: Iterable[Any] = getattr(noun, "external_ids", {}).values()
            own = noun.id if name == "payment" else getattr(noun, "payment_id", None)
            ids |= {each: None for each in (own, *external) if isinstance(each, str) and each}
    return list(ids)


def _with_order(data: BaseModel, order: str) -> BaseModel:
    changed = {
        name: noun.model_copy(update={"order_id": order})
        for name in ("payment", "refund", "dispute")
        if (noun := getattr(data, name, None)) is not None and noun.order_id != order
    }
    return data.model_copy(update=changed) if changed else data


def _key(hasher: Hasher, workspace: str, outside_id: str) -> bytes:
    return hasher("link", workspace, outside_id)
