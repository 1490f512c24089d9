"""A folder of recipes and a file of connections that are on another machine than the hub: brought in as if they were on
its own, and theirs from then on. What another folder or file owns is refused, unless it is to be taken over."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.byhand.connecting import checked_settings
from app.byhand.writing import ORIGIN
from app.documents import Problem
from app.domain.connections import base_url_problem
from app.domain.connections_file import Declared, apply
from app.domain.recipes_folder import sync_folder
from app.errors import ConflictError, InvalidError
from app.hub import Hub
from app.recipes import RegistryCatalogue, load_text
from app.store.changes import connections as connection_store
from app.store.changes import recipes as recipe_store


class StrangeFolderError(ConflictError):
    """A folder or file of the same path held others, and what comes now has none of them: it may be another
    machine's."""

    name = "strange-folder"


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


async def bring_recipes(
    hub: Hub, workspace: str, folder: str, texts: Mapping[str, str], templates: Mapping[str, str], actor: str,
    take_over: bool,
) -> list[Problem]:  # fmt: skip
    """Bring in the recipes of a folder: name -> text, beside the files of its templates. `folder`: where it is, in its
    owner's words. Answers what is wrong with them; raises ConflictError for what another folder owns, and
    StrangeFolderError."""

    origin = f"folder:{folder}"

    async def refuse(db: AsyncConnection) -> None:
        for name, owner in (await recipe_store.owners(db, workspace, list(texts))).items():
            _refuse_other(f"recipe {name}", owner, origin)
        held = await recipe_store.current_texts(db, workspace, origin)
        earlier = await asyncio.to_thread(_earlier_names, hub, texts)
        if held.keys().isdisjoint(texts) and held.keys().isdisjoint(earlier):
            _refuse_strange("recipes", folder, held)

    with TemporaryDirectory() as made:
        place = await asyncio.to_thread(_laid, Path(made), folder, texts, templates)
        problems = await sync_folder(
            hub.database, hub.registry, place, workspace, actor=actor, origin=origin,
            condition=None if take_over else refuse,
        )  # fmt: skip
    await hub.recipes.refresh()
    return problems


def _earlier_names(hub: Hub, texts: Mapping[str, str]) -> set[str]:
    catalogue = RegistryCatalogue(hub.registry)
    loaded = [load_text(text, name, catalogue) for name, text in texts.items()]
    return {name for one in loaded if one.recipe is not None for name in one.recipe.was}


def _laid(made: Path, folder: str, texts: Mapping[str, str], templates: Mapping[str, str]) -> Path:
    name = PurePath(folder).name
    place = made / (name if _PLAIN.fullmatch(name) else "recipes")
    (place / "templates").mkdir(parents=True)
    for recipe, text in texts.items():
        (place / f"{recipe}.yaml").write_text(text)
    for file, text in templates.items():
        (place / "templates" / file).write_text(text)
    return place


async def bring_connections(
    hub: Hub, workspace: str, file: str, wanted: Mapping[str, Mapping[str, Any]], actor: str, take_over: bool
) -> list[str]:
    """Bring in the connections of a file, secrets and all: slug -> its entry, with nothing left to be filled in. Those
    that it no longer names are removed. A line for each; raises InvalidError with every fault, ConflictError for what
    another file owns, and StrangeFolderError."""
    declared = [_declared(hub, slug, entry) for slug, entry in wanted.items()]
    _refuse_same_account(declared)
    origin = f"file:{file}"

    async def refuse(db: AsyncConnection) -> None:
        held, met = await connection_store.held_by(db, workspace, origin), set()
        for one in declared:
            account = await connection_store.find_account(db, workspace, one.connector.slug, one.account, one.alias)
            for row in (account, await connection_store.lock(db, workspace, one.slug)):
                if row is not None and not row.removed:
                    _refuse_other(f"connection {row.slug}", row.origin, origin)
                    met.add(row.id)
        if held.keys().isdisjoint(met):
            _refuse_strange("connections", file, held.values())

    lines = await apply(
        hub.database, hub.ring, declared, origin, workspace, actor=actor, condition=None if take_over else refuse
    )
    await hub.connections.refresh(always=True)
    return lines


def _declared(hub: Hub, slug: str, entry: Mapping[str, Any]) -> Declared:
    place = f"body.connections.{slug}"
    if entry["connector"] not in hub.registry:
        there = ", ".join(hub.registry.slugs)
        raise InvalidError(
            "there is no such connector", [{"field": f"{place}.connector", "detail": f"there are {there}"}]
        )
    connector = hub.registry[entry["connector"]]
    if entry["base_url"] is not None and (wrong := base_url_problem(connector, entry["base_url"])):
        raise InvalidError("base_url is no address", [{"field": f"{place}.base_url", "detail": wrong}])
    settings = checked_settings(connector, entry["settings"], place)
    return Declared(slug, connector, settings, entry["role"], entry["base_url"], entry["alias"], entry["history"])


def _refuse_same_account(declared: Sequence[Declared]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for one in declared:
        other = seen.setdefault((one.connector.slug, one.account, one.alias), one.slug)
        if other != one.slug:
            said = f"{other} is a connection to the same account: tell them apart with `as`"
            raise InvalidError("two connections are one", [{"field": f"body.connections.{one.slug}", "detail": said}])


def _refuse_strange(what: str, place: str, held: Collection[str]) -> None:
    if held:
        shown = ", ".join(sorted(held)[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
        raise StrangeFolderError(
            f"{place} brought in other {what} before ({shown}), and names none of them now: they would all be removed. "
            "Is it another machine's? Say that they are to be taken over if it takes their place"
        )


def _refuse_other(what: str, origin: str, ours: str) -> None:
    if origin not in (ours, ORIGIN):
        place = origin.partition(":")[2]
        raise ConflictError(f"{what} belongs to {place}: change it there, or say that it is to be taken over")
