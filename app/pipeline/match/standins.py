"""What stands in for an outside system where nothing is sent: what it is told to answer, else an example."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from app.connector import Action


@dataclass(frozen=True, slots=True)
class Told:
    """What an action is told to answer to one attempt: an output (as much of it as matters), or how it fails."""

    output: Mapping[str, Any] = field(default_factory=dict)
    fails: Literal["retryable", "permanent", "unsure", "credential"] | None = None
    message: str = ""


def output_of(action: Action | None, told: Mapping[str, Any]) -> Any:
    """An output as plain JSON: what was told, and of what must be there and was not told, an example."""
    if action is None:
        return dict(told)
    if not told:
        return orjson.loads(_example(action.output))
    return orjson.loads(_as_json(action.output, {**sample(action.output), **told}))


@lru_cache(maxsize=1000)
def _example(model: type[BaseModel]) -> bytes:
    return _as_json(model, sample(model))


def _as_json(model: type[BaseModel], values: Mapping[str, Any]) -> bytes:
    return model.model_validate(values).model_dump_json(exclude_none=True).encode()


@lru_cache(maxsize=1000)
def sample(model: type[BaseModel]) -> Mapping[str, Any]:
    """An example of a model: its fields' own examples, and for what must be there and has none a value that fits."""
    found: dict[str, Any] = {}
    for name, each in model.model_fields.items():
        if each.examples:
            found[name] = each.examples[0]
        elif each.is_required():
            found[name] = next((v for v in _guesses(name, each.annotation) if _fits(model, name, v)), None)
    return found


def _guesses(name: str, annotation: Any) -> list[Any]:
    nested = [sample(annotation)] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    likely = "ada@example.com" if "email" in name else f"{name}-1"
    return [*nested, likely, 1, True, [], {}, "2026-01-05T10:00:00Z", {"amount": "1.00", "currency": "EUR"},
            "https://example.com/1", "a@example.com"]  # fmt: skip


def _fits(model: type[BaseModel], name: str, value: Any) -> bool:
    try:
        model.__pydantic_validator__.validate_assignment(model.model_construct(), name, value)
    except (ValueError, TypeError):
        return False
    return True
