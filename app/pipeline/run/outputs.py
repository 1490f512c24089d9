"""What steps gave, read back from the store with the types that it had."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from app import events as canonical
from app.connector import Action
from app.domain.scope import scope_of_stored
from app.recipes import Approve, Step, WaitFor


def typed(step: Step, output: Any, action: Action | None) -> Any:
    """`steps.x` of a step from its stored output (plain JSON); None where there is none."""
    if output is None:
        return None
    if step.for_each is not None and isinstance(output, list):
        return [_one(step, each, action) for each in output]
    return _one(step, output, action)


def _one(step: Step, output: Any, action: Action | None) -> Any:
    if action is not None and output is not None:
        return call_output(action, output)
    if isinstance(step.does, WaitFor) and isinstance(output, dict) and output.get("event"):
        return {**output, "event": event_output(output["event"])}
    if isinstance(step.does, Approve) and isinstance(output, dict) and isinstance(output.get("decided_at"), str):
        return {**output, "decided_at": datetime.fromisoformat(output["decided_at"])}
    return output


def call_output(action: Action, output: Any) -> Any:
    """An action's output with Decimals and times again; as it is where the action's model has changed since."""
    try:
        return action.output.model_validate_json(orjson.dumps(output)).model_dump()
    except ValidationError:
        return output


def event_output(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The event that a `wait_for` met: its nouns, and the fields of its envelope."""
    data = canonical.load(stored["type"], stored["schema"], stored["data"])
    scope = scope_of_stored(data, UUID(stored["id"]), stored)
    return {**scope["event"], **{name: value for name, value in scope.items() if name != "event"}}
