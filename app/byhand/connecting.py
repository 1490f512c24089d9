"""Connections that are set up by hand: checked as a file's are, secrets sealed, what a file owns left alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import pushed
from app.byhand.writing import ORIGIN, refuse_owned
from app.connector import Connector
from app.domain.connections import Connection, split_secrets
from app.domain.connections_file import Declared, stored
from app.errors import ConflictError, InvalidError, NotFoundError
from app.hub import Hub
from app.ids import new_id
from app.store.byhand import Deed, acting_under
from app.store.changes import connections as store
from app.store.changes.audit import note_change

Condition = Callable[[Any | None], None]
"""Told the row as it stands, locked, or None; may refuse."""


@dataclass(frozen=True, slots=True)
class ConnectionWanted:
    """A connection as it shall be. settings: whole, but for secrets: one that is not given stays as it is."""

    connector: str
    settings: Mapping[str, Any]
    role: str | None = None
    base_url: str | None = None
    alias: str = ""
    history: str = "unknown"


async def put_connection(
    hub: Hub, workspace: str, slug: str, wanted: ConnectionWanted, actor: str, condition: Condition
) -> bool:
    """Make or change a connection; True if it was made. Its permanent id belongs to the account.

    Raises InvalidError with every fault, ConflictError for what a file owns, or an account that another slug has.
    """
    if wanted.connector not in hub.registry:
        there = ", ".join(hub.registry.slugs)
        raise InvalidError("there is no such connector", [_fault("connector", f"there are {there}")])
    connector = hub.registry[wanted.connector]
    _check_base_url(wanted.base_url)
    async with hub.database.begin() as db:
        row = await store.lock(db, workspace, slug)
        condition(row)
        refuse_owned(row, f"connection {slug}")
        settings = checked_settings(connector, _with_kept_secrets(hub, connector, row, wanted.settings))
        one = Declared(slug, connector, settings, wanted.role, wanted.base_url, wanted.alias, wanted.history)
        await _save(hub, db, workspace, one, ORIGIN)
        detail = {"connector": connector.slug, "settings": sorted(wanted.settings)}
        await note_change(db, Deed(workspace, actor, "put", f"connection/{slug}", detail))
    await hub.connections.refresh()
    return row is None


async def _save(hub: Hub, db: AsyncConnection, workspace: str, one: Declared, origin: str) -> None:
    known = await store.find_account(db, workspace, one.connector.slug, one.account, one.alias)
    if known is not None and not known.removed and known.slug != one.slug:
        raise ConflictError(
            f"{known.slug} is a connection to the same {one.connector.title} account: tell them apart with `as`"
        )
    row_id = known.id if known is not None else new_id()
    await store.free_slug(db, workspace, one.slug, row_id)
    await store.save(db, stored(one, workspace, origin, row_id, hub.ring))


async def remove_connection(hub: Hub, workspace: str, slug: str, actor: str, condition: Condition) -> None:
    """Take a connection away: its webhooks are refused, its open calls wait. Under the same account it comes back with
    all that was known. Raises NotFoundError, ConflictError as above."""
    async with hub.database.begin() as db:
        row = await store.lock(db, workspace, slug)
        if row is None:
            raise NotFoundError(f"there is no connection {slug!r}")
        condition(row)
        refuse_owned(row, f"connection {slug}")
        await store.remove(db, row.id)
        await note_change(db, Deed(workspace, actor, "remove", f"connection/{slug}", {}))
    await hub.connections.refresh()


async def pushing_connection(hub: Hub, workspace: str, slug: str | None, actor: str) -> Connection:
    """The connection whose events somebody pushes: the one named, the only one, or (there is none) one made for it."""
    there = hub.connections.of_connector(workspace, pushed.SLUG)
    if slug is not None:
        named = next((each for each in there if each.slug == slug), None)
        if named is None:
            raise NotFoundError(f"there is no connection {slug!r} of the connector `{pushed.SLUG}`")
        return named
    if len(there) > 1:
        listed = ", ".join(sorted(each.slug for each in there))
        raise InvalidError("several systems push events", [_fault("connection", f"say which: {listed}", "query")])
    if not there:
        if hub.connections.find(workspace, pushed.SLUG) is not None:
            raise ConflictError(f"a connection of another system is called {pushed.SLUG!r}: make one to push with")
        before = acting_under.set(None)  # its line in the audit log does not say that the event was taken
        await put_connection(hub, workspace, pushed.SLUG, ConnectionWanted(pushed.SLUG, {}), actor, lambda row: None)
        acting_under.reset(before)
        there = hub.connections.of_connector(workspace, pushed.SLUG)
    return there[0]


def _with_kept_secrets(hub: Hub, connector: Connector[Any], row: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the secrets that are kept: what is never shown cannot be sent back."""
    if row is None or row.connector != connector.slug:
        return dict(given)
    return {**hub.ring.open_json(row.secrets, row.id.bytes), **given}


def checked_settings(connector: Connector[Any], given: Mapping[str, Any], place: str = "body") -> BaseModel:
    """The settings of a connection. Raises InvalidError with every fault, and without what was given."""
    unknown = sorted(given.keys() - connector.settings.model_fields.keys())
    if unknown:
        known = ", ".join(connector.settings.model_fields)
        said = f"{connector.slug} has no such setting; it has {known}"
        faults = [_fault(f"settings.{name}", said, place) for name in unknown]
        raise InvalidError("the settings do not fit the connector", faults)
    try:
        settings: BaseModel = connector.settings.model_validate(dict(given))
        split_secrets(settings)
    except ValidationError as e:
        errors = e.errors(include_input=False, include_url=False, include_context=False)
        faults = [
            _fault(".".join(("settings", *map(str, each["loc"]))), each["msg"].removeprefix("Value error, "), place)
            for each in errors
        ]
        raise InvalidError("the settings do not fit the connector", faults) from None
    return settings


def _check_base_url(value: str | None) -> None:
    parts = urlsplit(value or "http://x")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidError("base_url is an http or https address", [_fault("base_url", "an address, as https://host")])


def _fault(place: str, detail: str, where: str = "body") -> dict[str, str]:
    return {"field": f"{where}.{place}", "detail": detail}
