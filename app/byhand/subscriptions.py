"""Others subscribe to canonical events: a connection to their address, and recipes that send there.

So subscriptions have what recipes and connections have: order, retries, a lane that parks, effects, traces, pausing.
"""

import base64
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from app.byhand.connecting import checked_settings
from app.connector import Connector
from app.domain.connections_file import Declared, stored
from app.errors import ConfigError, ConflictError, InvalidError, NotFoundError, PermanentError
from app.events import EVENT_TYPES, event_type
from app.hub import Hub
from app.ids import new_id
from app.store.byhand import Deed
from app.store.changes import connections, recipes
from app.store.changes.audit import note_change
from app.store.database import Row

ORIGIN = "subscription:"
"""First part of the origin of a subscription's connection and recipes; its slug follows."""

_RECIPE = """\
title: Send {family} events to {host}
description: Made by the webhook subscription {slug}.
on: [{types}]
once_per: event.id
steps:
  - id: send
    use: {connector}.{action}
    connection: {slug}
    retry: {{attempts: 1000, within: 36h}}
    with:
      id: "{{{{ event.id }}}}"
      type: "{{{{ event.type }}}}"
      source: "/connections/{{{{ event.connection or 'hub' }}}}"
      time: "{{{{ event.occurred_at }}}}"
      data: {{{nouns}}}
"""


def new_secret() -> str:
    """A signing secret as Standard Webhooks writes them."""
    return f"whsec_{base64.b64encode(os.urandom(32)).decode()}"


def types_of(wanted: Sequence[str]) -> list[str]:
    """The event types that patterns name: `order.paid`, `order.*`, `*`. Raises InvalidError for one that names none."""
    found: dict[str, None] = {}
    for index, each in enumerate(wanted):
        family = each.removesuffix("*")
        named = [name for name in EVENT_TYPES if name.startswith(family)] if each.endswith("*") else _named(each)
        if not named:
            fault = {"field": f"body.events.{index}", "detail": f"no event type is named by {each!r}"}
            raise InvalidError("there is no such event", [fault])
        found |= dict.fromkeys(named)
    return list(found)


def _named(name: str) -> list[str]:
    try:
        return [event_type(name).name]
    except ValueError:
        return []


def leads_inside(host: str) -> bool:
    """Whether a host is, as it is written, of a private network."""
    from app.http.guard import is_private_host  # with what makes calls, which the API does not carry

    return is_private_host(host)


def unreachable(url: str) -> str | None:
    """Why nothing could ever be sent to an address; None where it may be tried."""
    from app.http.request import target

    try:
        parts = urlsplit(url)
        host, _ = target(f"{parts.scheme}://{parts.netloc}").address
    except (PermanentError, ValueError) as e:
        return str(e)
    if not url.isprintable():
        return "the URL holds characters that none may hold"
    return "is in a private network: nothing is ever sent there" if leads_inside(host) else None


async def subscribe(
    hub: Hub, workspace: str, slug: str, url: str, events: Sequence[str], secret: str, actor: str, *, anew: bool
) -> None:
    """Make a subscription, or (not `anew`) change the one of that slug. Raises InvalidError, ConflictError where there
    is one already or somebody's own recipe is in its place, and NotFoundError where there is none to change."""
    carrier = _carrier(hub)
    if why := unreachable(url):
        raise InvalidError("the address cannot be reached", [{"field": "body.url", "detail": why}])
    types = types_of(events)
    settings = _settings(carrier, {"name": f"subscription {slug}", "url": url, "signing_secret": secret})
    texts = _recipes(carrier, slug, urlsplit(url).hostname or "", types)
    async with hub.database.begin() as db:
        row = await connections.lock(db, workspace, slug)
        if row is not None and row.origin != f"{ORIGIN}{slug}":
            raise InvalidError("the slug is taken", [{"field": "body.slug", "detail": f"{slug} is another connection"}])
        if row is not None and anew:
            raise ConflictError(
                f"there is a webhook subscription {slug!r} already: PUT changes it, with a new secret, DELETE ends it"
            )
        if row is None and not anew:
            raise NotFoundError(f"there is no webhook subscription {slug!r}")
        for name, owner in (await recipes.owners(db, workspace, list(texts))).items():
            if owner != f"{ORIGIN}{slug}":
                raise ConflictError(f"a recipe of yours is called {name}: take another slug for the subscription")
        one = Declared(slug, carrier, settings, None, None, slug)
        known = await connections.find_account(db, workspace, carrier.slug, one.account, one.alias)
        row_id = known.id if known is not None else new_id()
        await connections.save(db, stored(one, workspace, f"{ORIGIN}{slug}", row_id, hub.ring))
        for name, source in texts.items():
            await recipes.save(db, workspace, name, source, f"{ORIGIN}{slug}")
        await recipes.remove_others(db, workspace, f"{ORIGIN}{slug}", list(texts))
        deed = Deed(workspace, actor, "subscribe", f"webhook-subscription/{slug}", {"events": list(events)})
        await note_change(db, deed)
    await hub.refresh()


async def unsubscribe(hub: Hub, workspace: str, slug: str, actor: str) -> None:
    """End a subscription: nothing more is sent. Raises NotFoundError."""
    async with hub.database.begin() as db:
        row = await connections.lock(db, workspace, slug)
        if row is None or row.origin != f"{ORIGIN}{slug}":
            raise NotFoundError(f"there is no webhook subscription {slug!r}")
        await connections.remove(db, row.id)
        await recipes.remove_others(db, workspace, row.origin, [])
        await note_change(db, Deed(workspace, actor, "unsubscribe", f"webhook-subscription/{slug}", {}))
    await hub.refresh()


def events_of(hub: Hub, row: Row) -> list[str]:
    """The event types that a subscription's recipes answer."""
    start = f"webhooks-{row['slug']}-"
    mine = (each for each in hub.recipes if each.workspace == row["workspace"] and each.name.startswith(start))
    return sorted(event for active in mine for event in active.recipe.events)


def _settings(carrier: Connector[Any], given: Mapping[str, Any]) -> BaseModel:
    """Faults are told by the fields of the request."""
    try:
        return checked_settings(carrier, given)
    except InvalidError as e:
        faults = [{**each, "field": each["field"].replace("body.settings.", "body.")} for each in e.errors]
        raise InvalidError("the address cannot be reached", faults) from None


def _carrier(hub: Hub) -> Connector[Any]:
    """The connector that serves subscriptions. Raises ConfigError where none is installed."""
    for connector in hub.registry:
        if connector.outgoing is not None:
            return connector
    raise ConfigError("no connector that can send webhooks is installed")


def _recipes(carrier: Connector[Any], slug: str, host: str, types: Sequence[str]) -> Mapping[str, str]:
    """{recipe name: its text}, one for the types of each model: those have the same nouns."""
    by_model: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in types:
        by_model[tuple(event_type(name).model.model_fields)].append(name)
    return {
        f"webhooks-{slug}-{nouns[0]}": _RECIPE.format(
            family=nouns[0],
            host=host,
            slug=slug,
            types=", ".join(named),
            connector=carrier.slug,
            action=carrier.outgoing,
            nouns=", ".join(f'{noun}: "{{{{ {noun} }}}}"' for noun in nouns),
        )
        for nouns, named in by_model.items()
    }
