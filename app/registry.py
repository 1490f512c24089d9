"""Finds the connectors: every package under `connectors/` that has a `connector`."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from app import pushed
from app.connector import Action, Connector
from app.errors import ConfigError
from app.settings import Settings


class Registry:
    """All connectors by slug (a connector's slug is its folder's name), each imported when it is first asked for: a
    process carries only the systems that it works with. `extra` adds connectors that are not shipped. The hub's own, of
    events that are pushed, is known but in no list."""

    def __init__(self, *extra: Connector[Any]) -> None:
        self._loaded = {connector.slug: connector for connector in extra}
        self._own = {pushed.SLUG: pushed.connector}
        self._shipped = frozenset(_shipped())

    @classmethod
    def of(cls, settings: Settings) -> "Registry":
        """The shipped connectors and those of the modules that the settings name."""
        names = [name.strip() for name in settings.connectors.split(",") if name.strip()]
        return cls(*(_connector_in(name) for name in names))

    def __iter__(self) -> Iterator[Connector[Any]]:
        return (self[slug] for slug in self.slugs)

    def __contains__(self, slug: str) -> bool:
        return slug in self._loaded or slug in self._shipped or slug in self._own

    @property
    def slugs(self) -> list[str]:
        return sorted(self._shipped | self._loaded.keys())

    def __getitem__(self, slug: str) -> Connector[Any]:
        if slug in self._own and slug not in self._loaded:
            return self._own[slug]
        if slug not in self._loaded:
            if slug not in self._shipped:
                raise ConfigError(f"There is no connector {slug!r}; there are {', '.join(self.slugs)}.")
            self._loaded[slug] = importlib.import_module(f"connectors.{slug}").connector
        return self._loaded[slug]

    def find(self, slug: str) -> Connector[Any] | None:
        if slug not in self:
            return None
        return self[slug]

    def actions(self, slug: str) -> Mapping[str, Action]:
        return {action.name: action for action in self[slug].actions}

    def action(self, name: str) -> Action:
        """Find `connector.action`."""
        slug, _, verb = name.partition(".")
        try:
            return self.actions(slug)[verb]
        except KeyError:
            raise ConfigError(f"{slug} has no action {verb!r}; it has {', '.join(self.actions(slug))}.") from None


def _connector_in(name: str) -> Connector[Any]:
    try:
        found = getattr(importlib.import_module(name), "connector", None)
    except ImportError as e:
        raise ConfigError(f"TRADEWIND_CONNECTORS: the module {name!r} cannot be imported: {e}") from e
    if not isinstance(found, Connector):
        raise ConfigError(f"TRADEWIND_CONNECTORS: the module {name!r} has no `connector`.")
    return found


def _shipped() -> Iterator[str]:
    package = importlib.import_module("connectors")
    return (module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)
