"""What recipes remembered of customers and orders: found again by the customer's address or id, and the order's id."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from app.crypto import Hasher
from app.domain.connections import Connection
from app.events import FreeDict
from app.store import remembered
from app.store.database import Connection as Db

_FREE: TypeAdapter[dict[str, Any]] = TypeAdapter(FreeDict)


class Attributes(dict[str, Any]):
    """What is remembered, by name; what never was is nothing, not a mistake."""

    def __missing__(self, name: str) -> None:
        return None


def kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON holds them, from which `with_remembered` has the same values and types: free data."""
    found: dict[str, Any] = _FREE.dump_python(_FREE.validate_python(dict(attributes)), mode="json")
    return found


def keys_of(
    hasher: Hasher, workspace: str, connection: Connection | None, noun: str, thing: Mapping[str, Any]
) -> list[bytes]:
    """The keys under which a customer or order is remembered; none for one that nothing names."""
    found = []
    if thing.get("id"):
        found.append(_by_id(hasher, workspace, noun, connection.id.bytes if connection else b"", str(thing["id"])))
    if noun == "customer" and thing.get("email"):
        found.append(_by_email(hasher, workspace, str(thing["email"])))
    return found


def keys_by(hasher: Hasher, workspace: str, emails: Iterable[str], ids: Iterable[tuple[UUID, str]]) -> list[bytes]:
    """The keys under which a customer may be remembered: by addresses, and (connection, the sender's id)."""
    by_id = [_by_id(hasher, workspace, "customer", connection.bytes, id_) for connection, id_ in ids]
    return [*by_id, *(_by_email(hasher, workspace, email) for email in emails)]


def _by_id(hasher: Hasher, workspace: str, noun: str, source: bytes, id_: str) -> bytes:
    return hasher("remembered", workspace, noun, source, id_)


def _by_email(hasher: Hasher, workspace: str, email: str) -> bytes:
    return hasher("remembered", workspace, "email", email.strip().lower())


def with_remembered(thing: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A customer or order with what was remembered of it laid over: attributes, and tags added and removed."""
    gone, more = set(said.get("remove_tags") or ()), said.get("add_tags") or ()
    tags = [tag for tag in dict.fromkeys([*(thing.get("tags") or ()), *more]) if tag not in gone]
    attributes = Attributes({**(thing.get("attributes") or {}), **_FREE.validate_python(said.get("attributes") or {})})
    return {**thing, "attributes": attributes, "tags": tags}


async def recall(
    db: Db, hasher: Hasher, wanted: Sequence[tuple[str, Connection | None, dict[str, Any], frozenset[str]]]
) -> None:
    """Lay what is remembered over the nouns of scopes: (workspace, source, scope, nouns that are read)."""
    places = [
        (scope, noun, keys_of(hasher, workspace, connection, noun, scope[noun]))
        for workspace, connection, scope, nouns in wanted
        for noun in nouns
        if isinstance(scope.get(noun), Mapping)
    ]
    kept = await remembered.read(db, list({key for _, _, keys in places for key in keys}))
    for scope, noun, keys in places:
        _lay(scope, noun, keys, kept)


def lay_over(
    scope: Mapping[str, Any], kept: Mapping[bytes, Mapping[str, Any]],
    keys_of_noun: Callable[[str, Mapping[str, Any]], list[bytes]], nouns: Iterable[str],
) -> dict[str, Any]:  # fmt: skip
    """A scope with what is `kept` laid over the nouns that are read, where no database remembers it."""
    laid = dict(scope)
    for noun in nouns:
        if isinstance(laid.get(noun), Mapping):
            _lay(laid, noun, keys_of_noun(noun, laid[noun]), kept)
    return laid


def merged(
    before: Mapping[str, Any], attributes: Mapping[str, Any], add_tags: Iterable[str], remove_tags: Iterable[str]
) -> dict[str, Any]:
    """What is remembered after something new is said; a tag that is added is no longer removed, and the other way."""
    add, remove = list(add_tags), list(remove_tags)
    return {
        "attributes": {**before.get("attributes", {}), **attributes},
        "add_tags": [tag for tag in dict.fromkeys([*before.get("add_tags", ()), *add]) if tag not in remove],
        "remove_tags": [tag for tag in dict.fromkeys([*before.get("remove_tags", ()), *remove]) if tag not in add],
    }


def lay(scope: dict[str, Any], noun: str, said: Mapping[str, Any]) -> None:
    """Lay what was remembered over a noun of a scope."""
    scope[noun] = with_remembered(scope[noun], said)
    if noun == "customer":
        _into_order(scope)


def _lay(scope: dict[str, Any], noun: str, keys: Sequence[bytes], kept: Mapping[bytes, Mapping[str, Any]]) -> None:
    for said in [kept[key] for key in keys if key in kept] or [{}]:
        lay(scope, noun, said)


def _into_order(scope: dict[str, Any]) -> None:
    order = scope.get("order")
    if isinstance(order, Mapping) and isinstance(order.get("customer"), Mapping):
        same = {name: scope["customer"][name] for name in ("attributes", "tags") if name in scope["customer"]}
        scope["order"] = {**order, "customer": {**order["customer"], **same}}
