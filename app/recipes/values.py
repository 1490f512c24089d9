"""Whether the values of a step fit what its action takes: names, shapes of expressions, and constants as they are."""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from app.documents import Path
from app.expressions import Expression, Shape, Tree, expressions, hint, render, shape_of, unfit

Found = tuple[Path, str, str, bool]  # place, what is wrong, what to do, whether the key is meant
MONEY = {"amount": "1.00", "currency": "EUR"}
STAND_INS: tuple[Any, ...] = ("a@example.com", 1, True, {}, [], "2026-01-05T10:00:00Z", MONEY)
MOST_WAYS = 64
"""In how many ways the expressions of one step may turn out, for a rule over all of them to be tried."""


def value_problems(
    use: str, model: type[BaseModel], values: Mapping[str, Tree], shapes: Mapping[str, Shape], at: Path
) -> Iterator[Found]:
    """Faults of the values given to an action. shapes: of the same values, as far as they are known."""
    for name in values:
        if name not in model.model_fields:
            mend = hint(name, model.model_fields) or "it takes nothing: leave it out"
            yield (*at, name), f"{use} takes no {name!r}", mend, True
    for name, field in model.model_fields.items():
        if name in values:
            yield from _value(name, field, values[name], shapes[name], (*at, name))
        elif field.is_required():
            yield at, f"{use} needs {name!r}", _meaning(field) or f"it is {shape_of(field.annotation)}", False


def rule_broken(model: type[BaseModel], values: Mapping[str, Tree]) -> str | None:
    """The rule of an action's input that these values break together, whatever their expressions give: a mail without
    a text. None where none is broken, or nobody can tell."""
    if not model.__pydantic_decorators__.model_validators:
        return None
    constants = {name: render(tree, {}) for name, tree in values.items() if _constant(tree)}
    free = {name: _stand_ins(model.model_fields[name]) for name in values if name not in constants}
    ways = [dict(zip(free, chosen, strict=True)) for chosen in islice(product(*free.values()), MOST_WAYS + 1)]
    found = [_broken(model, {**constants, **way}) for way in ways]
    return found[0] if 0 < len(found) <= MOST_WAYS and all(found) else None


def _stand_ins(field: FieldInfo) -> list[Any]:
    """What an expression might give a field: something, and nothing where it may be left out."""
    something = [value for value in (*(field.examples or ()), *STAND_INS) if _refused(field, value) is None][:1]
    nothing = [] if field.is_required() or _refused(field, None) else [None]
    return [*something, *nothing]


def _broken(model: type[BaseModel], given: Mapping[str, Any]) -> str | None:
    """What a rule over all of an input says; None where none is broken, or a single field does not fit."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        return first["msg"].removeprefix("Value error, ") if not first["loc"] else None
    return None


def _value(name: str, field: FieldInfo, tree: Tree, shape: Shape, at: Path) -> Iterator[Found]:
    if _constant(tree):
        message = _refused(field, render(tree, {}))
        if message:
            yield at, f"{name}: {message}", _meaning(field) or f"it takes {shape_of(field.annotation)}", False
    elif reason := unfit(shape, shape_of(field.annotation), repr(name)):
        yield at, reason, _conversion(shape, shape_of(field.annotation)), False


def _constant(tree: Tree) -> bool:
    """Whether the value holds no expression: it can be tried as it is."""
    return not expressions(tree) and not (isinstance(tree, Expression) and tree.kind != "constant")


def _refused(field: FieldInfo, value: Any) -> str | None:
    """Why the field's own type refuses a constant."""
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        said = (
            first["msg"]
            .removeprefix("Value error, ")
            .replace("Input should", "it should")
            .replace("String should", "it should")
            .rstrip(".")
        )
        return f"{place}: {said}" if place else said
    return None


def _meaning(field: FieldInfo) -> str:
    return field.description or ""


def _conversion(given: Shape, wanted: Shape) -> str:
    """The filter that makes one of the other."""
    if wanted.kind == "string" and given.kind in ("integer", "number"):
        return "make text of it with `| string`"
    if wanted.kind == "string" and given.kind in ("time", "date"):
        return "say it with `| date('%d %b %Y')`"
    if wanted.kind == "string" and given.kind == "list":
        return "join its items with `| join(', ')`, or name a field of each: `| join(', ', 'title')`"
    if wanted.kind == "integer" and given.kind in ("number", "string"):
        return "make a whole number of it with `| int`"
    if wanted.kind == "number" and given.kind == "string":
        return "make a number of it with `| number`"
    if wanted.kind == "string" and given.is_money:
        return "say it with `| money`"
    if wanted.kind in ("string", "number") and given.kind == "object":
        return "name a field of it"
    if wanted.kind == "list" and given.kind != "list":
        return "put it in a list: [...]"
    return f"give it {wanted}"
