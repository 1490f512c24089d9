"""A change of a recipe is tried before it is trusted: on one stored event, and on all of the past."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app.byhand.trials import Trial
from app.byhand.versions import Version
from app.connector import Action
from app.domain.connections import Connection
from app.errors import MalformedError
from app.hub import Hub
from app.pipeline.match.dry import DryRun, dry_run
from app.recipes import Recipe, parse_duration, settled


async def dry(
    hub: Hub, workspace: str, event_id: UUID, recipe: Recipe, inputs: Mapping[str, Any] | None = None,
    within: timedelta = timedelta(0), reads: bool = False,
) -> DryRun:  # fmt: skip
    """What a version would do about a stored event; `reads`: calls that change nothing are made for real.

    Raises NotFoundError for an unknown event, MalformedError for inputs that the version refuses."""
    from app.proof import read_there  # with all that a process needs which calls outside systems

    async def read(connection: Connection, action: Action, given: BaseModel) -> BaseModel:
        return await read_there(hub, connection, action, given)

    _check(recipe, inputs)
    return await dry_run(
        hub.database, hub.recipes, hub.connections, hub.registry, workspace, event_id, recipe, inputs, within,
        read if reads else None, hub.hasher,
    )  # fmt: skip


def wanted_trial(
    hub: Hub, workspace: str, version: Version, since: datetime, until: datetime, against: Version | None = None,
    shown: int = 50, inputs: Mapping[str, Any] | None = None,
) -> Trial:  # fmt: skip
    """A backtest that can be done. Raises MalformedError for inputs that the version refuses."""
    _check(version.recipe, inputs)
    text = against.text if against is not None else None
    return Trial(workspace, version.recipe.name, version.text, since, until, text, inputs, shown)


def span_in(text: str) -> timedelta:
    """A duration that somebody asked for. Raises MalformedError."""
    try:
        return parse_duration(text)
    except ValueError as e:
        raise MalformedError(str(e)) from e


def _check(recipe: Recipe, inputs: Mapping[str, Any] | None) -> None:
    """Whether a version takes these inputs."""
    try:
        settled(recipe, inputs if inputs is not None else {})
    except ValueError as e:
        if inputs is not None:
            raise MalformedError(str(e)) from e
