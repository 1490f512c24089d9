"""Rotating a connection's secrets by hand: the new one counts at once, old signing secrets are taken meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from app.byhand.connecting import checked_settings
from app.byhand.writing import refuse_owned
from app.connector import Connector, OAuth2
from app.domain.connections import open_row
from app.domain.connections_file import Declared, stored
from app.errors import InvalidError, NotFoundError
from app.hub import Hub
from app.store.byhand import Deed
from app.store.changes import connections as store
from app.store.changes.audit import note_change

OLD = 2
"""Old secrets that are taken beside a new one: a sender may sign with the last for an hour (Shopify), and somebody may
rotate again within it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """taken: each setting that was changed, and how many secrets it holds now. works, said: what a cheap read at the
    system with the new secrets gave, where there is one to prove."""

    taken: Mapping[str, int]
    works: bool | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What shall change. setting: None where the connector has only one secret. value: the new secret, None for none;
    forget: the old secret that is taken no more; forget_old: take only the newest from now on. values: new secrets of
    several settings at once (a key and its secret count for nothing one by one), instead of all these."""

    setting: str | None = None
    value: str | None = None
    forget_old: bool = False
    forget: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)


async def rotate_secret(hub: Hub, workspace: str, slug: str, wanted: Rotation, actor: str) -> Rotated:
    """Put a new secret in the place of an old one. One of several (signing secrets) goes first, and two older ones are
    still taken until they are forgotten; where each endpoint has one of its own, none goes that is not named. A single
    one (a token) is proven at the system before it counts.

    Raises NotFoundError, ConflictError for what a file owns, InvalidError for what does not fit or is refused there.
    """
    async with hub.database.begin() as db:
        row, connector, values = _place(hub, slug, await store.lock(db, workspace, slug), wanted)
    single = not all(several(connector, setting) for setting in values)
    proof = await _proven(hub, row, connector, values, wanted) if single else None
    async with hub.database.begin() as db:
        row, connector, values = _place(hub, slug, await store.lock(db, workspace, slug), wanted)
        settings = _rotated(_kept(hub, row), connector, values, wanted)
        one = Declared(slug, connector, settings, row.role, row.base_url, row.alias)
        await store.save(db, stored(one, workspace, row.origin, row.id, hub.ring))
        detail = {"setting": ", ".join(values), "forget_old": wanted.forget_old, "forget": bool(wanted.forget)}
        await note_change(db, Deed(workspace, actor, "rotate", f"connection/{slug}", detail))
    await hub.connections.refresh()
    return Rotated({setting: _held(getattr(settings, setting)) for setting in values}, *(proof or ()))


def _held(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def secret_settings(connector: Connector[Any]) -> list[str]:
    """The settings that are secret."""
    return [name for name, info in connector.settings.model_fields.items() if "SecretStr" in repr(info.annotation)]


def several(connector: Connector[Any], setting: str) -> bool:
    """Whether a setting takes several secrets at a time."""
    return "list[" in repr(connector.settings.model_fields[setting].annotation)


def an_endpoint_each(connector: Connector[Any], setting: str) -> bool:
    """Whether the secrets of a setting may be of several endpoints: then an older one need not be an old one."""
    said = connector.settings.model_fields[setting].json_schema_extra
    return isinstance(said, dict) and bool(said.get("x-one-an-endpoint"))


def _place(
    hub: Hub, slug: str, row: Any | None, wanted: Rotation
) -> tuple[Any, Connector[Any], Mapping[str, str | None]]:
    """The row that is there, its connector, and the settings that are meant with their new secrets."""
    if row is None:
        raise NotFoundError(f"there is no connection {slug!r}")
    refuse_owned(row, f"connection {slug}")
    connector = hub.registry[row.connector]
    names = secret_settings(connector)
    if wanted.values:
        return row, connector, _several_at_once(connector, names, wanted)
    if wanted.setting is None and len(names) != 1:
        raise _refusal("setting", f"say which secret: {', '.join(names) or f'{connector.slug} has none'}")
    setting = wanted.setting or names[0]
    if setting not in names:
        raise _refusal("setting", f"{connector.slug} has no such secret; it has {', '.join(names) or 'none'}")
    if wanted.forget_old and not several(connector, setting):
        raise _refusal("forget_old", f"{setting} holds one secret: there is no old one")
    if wanted.forget and not several(connector, setting):
        raise _refusal("forget", f"{setting} holds one secret: there is no old one")
    if wanted.forget_old and an_endpoint_each(connector, setting):
        raise _refusal("forget_old", f"{setting} may be of several endpoints: say which one goes with `forget`")
    if not wanted.value and not wanted.forget_old and not wanted.forget:
        raise _refusal("value", "give the new secret, or forget the old ones")
    return row, connector, {setting: wanted.value}


def _several_at_once(connector: Connector[Any], names: list[str], wanted: Rotation) -> Mapping[str, str | None]:
    if wanted.setting or wanted.value or wanted.forget or wanted.forget_old:
        raise _refusal("values", "several at once are given alone: old ones are forgotten one setting at a time")
    if unknown := [name for name in wanted.values if name not in names]:
        raise _refusal("values", f"{connector.slug} has no secret {unknown[0]!r}; it has {', '.join(names) or 'none'}")
    return dict(wanted.values)


def _kept(hub: Hub, row: Any) -> dict[str, Any]:
    return {**row.settings, **hub.ring.open_json(row.secrets, row.id.bytes)}


def _rotated(
    kept: Mapping[str, Any], connector: Connector[Any], values: Mapping[str, str | None], wanted: Rotation
) -> BaseModel:
    """The settings as they are after it."""
    changed = {setting: _after(kept, connector, setting, value, wanted) for setting, value in values.items()}
    return checked_settings(connector, {**kept, **changed})


def _after(
    kept: Mapping[str, Any], connector: Connector[Any], setting: str, value: str | None, wanted: Rotation
) -> str | list[str] | None:
    if not several(connector, setting):
        return value
    new, old = [value] if value else [], list(kept.get(setting) or ())
    if wanted.forget and wanted.forget not in old:
        raise _refusal("forget", f"{setting} holds no such secret")
    held = [*new, *(each for each in old if each not in (*new, wanted.forget))]
    most = len(held) if an_endpoint_each(connector, setting) else 1 if wanted.forget_old else 1 + OLD
    return held[:most]


async def _proven(
    hub: Hub, row: Any, connector: Connector[Any], values: Mapping[str, str | None], wanted: Rotation
) -> tuple[bool | None, str | None]:
    """What the system says to the new secrets. Raises InvalidError where it refuses them: the old ones stay."""
    from app.proof import prove  # with all that a process needs which calls outside systems

    settings, auth = _rotated(_kept(hub, row), connector, values, wanted), connector.auth
    if isinstance(auth, OAuth2):
        for setting, value in values.items():
            if auth.first(settings) == value:
                raise _refusal("setting", f"{setting} rotates by itself: authorise the connection anew instead")
        # a token that is still good would answer for whatever is new
        return None, "It is proven when the token is refreshed next, and counts from then on."
    proof = await prove(hub, replace(open_row(row._mapping, hub.registry, hub.ring), settings=settings))
    if proof.refused:
        it, stays = ("it", "one stays") if len(values) == 1 else ("them", "ones stay")
        where = "values" if wanted.values else "value"
        raise _refusal(where, f"{connector.title} refuses {it}, and the old {stays}: {proof.said}")
    return (proof.works, proof.said) if proof.tried else (None, None)


def _refusal(field: str, detail: str) -> InvalidError:
    return InvalidError("the secret is not rotated", [{"field": f"body.{field}", "detail": detail}])
