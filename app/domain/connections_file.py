"""`connections.yaml`: read, check, and bring into the database. What is wrong is said with file, line and column."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.connector import Connector
from app.crypto import KeyRing
from app.documents import Document, Problem, read_file
from app.domain.connections import base_url_problem, split_secrets
from app.errors import ConfigError
from app.expressions.errors import hint
from app.ids import new_id
from app.registry import Registry
from app.store.byhand import Deed
from app.store.changes import connections as store
from app.store.changes import workspaces
from app.store.changes.audit import note_change
from app.store.database import Condition, Database

_KEYS = {"connector", "role", "settings", "base_url", "as", "history"}
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Declared:
    """One connection of a file, checked."""

    slug: str
    connector: Connector[Any]
    settings: BaseModel
    role: str | None
    base_url: str | None
    alias: str
    history: str = "unknown"

    @property
    def account(self) -> str:
        return str(getattr(self.settings, self.connector.account))


def read_connections(path: Path, registry: Registry, environment: Mapping[str, str] = os.environ) -> list[Declared]:
    """The connections that a file declares. Raises ConfigError with every problem, one a line."""
    document = read_file(path)
    problems: list[Problem] = []
    data = document.data if isinstance(document.data, dict) else {}
    given = data.get("connections")
    if set(data) != {"connections"} or not isinstance(given, dict):
        raise ConfigError(
            str(document.problem((), "the file holds one key, `connections`", "Start with `connections:`"))
        )
    declared = []
    for slug, entry in given.items():
        found = _declared(document, slug, entry, registry, environment, problems)
        if found is not None:
            declared.append(found)
    _same_account(document, declared, problems)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    return declared


def slugs_in(path: Path) -> dict[str, list[str]]:
    """The slugs that a file declares, by connector; its settings are not looked at, so that nobody needs its secrets.
    Raises DocumentError for what is no YAML."""
    given = read_file(path).at(("connections",))
    found: dict[str, list[str]] = {}
    for slug, entry in given.items() if isinstance(given, dict) else ():
        if isinstance(entry, dict):
            found.setdefault(str(entry.get("connector")), []).append(slug)
    return found


def _declared(
    document: Document,
    slug: str,
    entry: Any,
    registry: Registry,
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Declared | None:
    at = ("connections", slug)
    if not _SLUG.fullmatch(slug):
        problems.append(document.problem(at, f"{slug!r} is no slug", "Use lower-case letters, digits and dashes"))
    if not isinstance(entry, dict):
        problems.append(document.problem(at, "a connection is a mapping", "Give it `connector` and `settings`"))
        return None
    for key in entry.keys() - _KEYS:
        problems.append(document.problem((*at, key), f"unknown key {key!r}", f"Known are {', '.join(sorted(_KEYS))}"))
    try:
        connector = registry[str(entry.get("connector"))]
    except ConfigError as e:
        problems.append(document.problem((*at, "connector") if "connector" in entry else at, str(e)))
        return None
    if entry.get("role") not in (None, "shop", "payments"):
        problems.append(document.problem((*at, "role"), "role is `shop` or `payments`"))
    history = entry.get("history", "unknown")
    if history not in ("unknown", "complete"):
        problems.append(document.problem((*at, "history"), "history is `unknown` or `complete`"))
    address = _filled(document, (*at, "base_url"), entry.get("base_url"), environment, problems)
    base_url = _base_url(connector, document, at, address, problems)
    settings = _settings(document, (*at, "settings"), connector, entry.get("settings") or {}, environment, problems)
    if settings is None:
        return None
    return Declared(slug, connector, settings, entry.get("role"), base_url, str(entry.get("as") or ""), history)


def _base_url(
    connector: Connector[Any], document: Document, at: Any, value: Any, problems: list[Problem]
) -> str | None:
    if value is None:
        return None
    if (wrong := base_url_problem(connector, str(value))) is not None:
        problems.append(document.problem((*at, "base_url"), wrong))
    return str(value)


def _settings(
    document: Document,
    at: tuple[str | int, ...],
    connector: Connector[Any],
    given: Any,
    environment: Mapping[str, str],
    problems: list[Problem],
) -> BaseModel | None:
    before = len(problems)
    filled = _filled(document, at, given, environment, problems)
    if len(problems) > before:
        return None
    if isinstance(filled, dict):
        for key in filled.keys() - connector.settings.model_fields.keys():
            mend = hint(str(key), connector.settings.model_fields)
            problems.append(document.problem((*at, key), f"{connector.slug} has no setting {key!r}", mend))
    try:
        settings: BaseModel = connector.settings.model_validate(filled)
    except ValidationError as e:
        for error in e.errors(include_input=False, include_url=False):
            if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
                continue  # said above
            said = (".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, "))
            problems.append(document.problem((*at, *error["loc"]), ": ".join(filter(None, said))))
        return None
    return settings if len(problems) == before else None


def _filled(
    document: Document,
    at: tuple[str | int, ...],
    value: Any,
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Any:
    """The value with `${NAME}` (or `${NAME:-default}`) put in from the environment."""
    if isinstance(value, dict):
        return {key: _filled(document, (*at, key), item, environment, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(document, (*at, index), item, environment, problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        name, default = found.group(1), found.group(2)
        if environment.get(name) or default is not None:
            return environment.get(name) or default
        problems.append(document.problem(at, f"the environment has no {name}", f"Set {name}, or write the value here"))
        return ""

    return _REFERENCE.sub(fill, value)


def _same_account(document: Document, declared: list[Declared], problems: list[Problem]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for one in declared:
        key = (one.connector.slug, one.account, one.alias)
        if key in seen:
            problems.append(
                document.problem(
                    ("connections", one.slug),
                    f"{seen[key]!r} is a connection to the same {one.connector.title} account",
                    "Tell them apart with `as:`",
                )
            )
        seen.setdefault(key, one.slug)


async def apply(
    database: Database,
    ring: KeyRing,
    declared: list[Declared],
    origin: str,
    workspace: str = "main",
    *,
    actor: str = "command line",
    condition: Condition | None = None,
) -> list[str]:
    """Bring declared connections into the database; those that this origin no longer names are removed. Answers a line
    for each. A renamed slug keeps its permanent id; tokens that rotated since are not touched. condition: may refuse,
    within the transaction."""
    lines, kept = [], []
    async with database.begin() as db:
        await workspaces.ensure(db, workspace)
        await workspaces.take_turn(db, workspace)
        if condition is not None:
            await condition(db)
        for one in declared:
            known = await store.find_account(db, workspace, one.connector.slug, one.account, one.alias)
            row_id = known.id if known is not None else new_id()
            plain, secret = split_secrets(one.settings)
            await store.free_slug(db, workspace, one.slug, row_id)
            kept.append(await store.save(db, stored(one, workspace, origin, row_id, ring)))
            lines.append(f"{one.slug}: {one.connector.title} {one.account}")
            if changed := _changed(known, one, plain, secret, ring):
                detail = {"origin": origin, "changed": changed}
                await note_change(db, Deed(workspace, actor, "apply", f"connection/{one.slug}", detail))
        removed = await store.remove_others(db, workspace, origin, kept)
        for slug in removed:
            await note_change(db, Deed(workspace, actor, "remove", f"connection/{slug}", {"origin": origin}))
    return [*lines, *(f"{slug}: removed" for slug in removed)]


def _changed(known: Any, one: Declared, plain: dict[str, Any], secret: dict[str, Any], ring: KeyRing) -> list[str]:
    """The names of what an application changes; never a value, for some are secret."""
    if known is None or known.removed:
        return ["everything"]
    before, after = dict(known.settings), plain
    try:
        before, after = before | ring.open_json(known.secrets, known.id.bytes), after | secret
    except ConfigError:
        return ["everything"]
    names = [name for name in (*after, *before.keys() - after.keys()) if before.get(name) != after.get(name)]
    facts = ("slug", "role", "base_url", *(("history",) if one.history != "unknown" else ()))
    return [*(name for name in facts if getattr(known, name) != getattr(one, name)), *names]


def stored(one: Declared, workspace: str, origin: str, row_id: UUID, ring: KeyRing) -> store.NewConnection:
    """The row of a connection, its secrets sealed."""
    plain, secret = split_secrets(one.settings)
    return store.NewConnection(
        row_id,
        workspace,
        one.slug,
        one.connector.slug,
        one.account,
        one.alias,
        one.role,
        plain,
        ring.seal_json(secret, row_id.bytes),
        one.base_url,
        origin,
        one.history,
    )
