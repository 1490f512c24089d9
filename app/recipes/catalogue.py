"""What recipes are checked against: the actions of every connector, and what a shop of each kind calls them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.connector import Action
from app.registry import Registry


class Catalogue(Protocol):
    def connectors(self) -> Sequence[str]:
        """Slugs of all connectors."""
        ...

    def actions(self, connector: str) -> Mapping[str, Action]:
        """The connector's actions by name; empty for an unknown connector."""
        ...

    def store_actions(self) -> Mapping[str, Mapping[str, Action]]:
        """For each connector that can be a shop: the action behind `store.<name>`, by that name."""
        ...

    def store_refusals(self) -> Mapping[str, Mapping[str, str]]:
        """For each connector that can be a shop: why it has no `store.<name>`, by that name."""
        ...


class RegistryCatalogue:
    """The catalogue of the connectors that are installed."""

    def __init__(self, registry: Registry) -> None:
        self._actions = {connector.slug: registry.actions(connector.slug) for connector in registry}
        self._store = {
            connector.slug: {name: self._actions[connector.slug][own] for name, own in connector.store.items()}
            for connector in registry
            if connector.store
        }

        self._refusals = {connector.slug: connector.cannot for connector in registry if connector.cannot}

    def connectors(self) -> Sequence[str]:
        return tuple(self._actions)

    def actions(self, connector: str) -> Mapping[str, Action]:
        return self._actions.get(connector, {})

    def store_actions(self) -> Mapping[str, Mapping[str, Action]]:
        return self._store

    def store_refusals(self) -> Mapping[str, Mapping[str, str]]:
        return self._refusals
