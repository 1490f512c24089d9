"""What is known about a value before there is one: its kind, and its fields, read off pydantic's models."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

Kind = Literal["any", "none", "string", "integer", "number", "boolean", "time", "date", "list", "object"]
NUMERIC = frozenset({"integer", "number"})
SAID: Mapping[str, str] = {
    "any": "something",
    "none": "nothing",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "time": "a time",
    "date": "a date",
    "list": "a list",
    "object": "an object",
}
ATOMS: Mapping[object, Kind] = {
    str: "string",
    bytes: "string",
    bool: "boolean",
    int: "integer",
    Decimal: "number",
    float: "number",
    datetime: "time",
    date: "date",
    type(None): "none",
}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """item: of a list, or of an object whose keys are free. known: the fields of an object, where they are known."""

    kind: Kind = "any"
    item: "Shape | None" = None
    model: type[BaseModel] | None = None
    known: "Mapping[str, Shape] | None" = None

    def fields(self) -> "Mapping[str, Shape] | None":
        """Field -> shape, or None when the fields are not known."""
        return model_fields(self.model) if self.model is not None else self.known

    @property
    def is_money(self) -> bool:
        fields = self.fields() if self.kind == "object" else None
        return fields is not None and fields.keys() == {"amount", "currency"}

    def __str__(self) -> str:
        if self.model is not None:
            name = self.model.__name__
            return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
        return SAID[self.kind]


ANY, NONE, STRING, INTEGER = Shape(), Shape("none"), Shape("string"), Shape("integer")
NUMBER, BOOLEAN, TIME, DATE = Shape("number"), Shape("boolean"), Shape("time"), Shape("date")
ATOM_SHAPES = {shape.kind: shape for shape in (ANY, NONE, STRING, INTEGER, NUMBER, BOOLEAN, TIME, DATE)}


def list_of(item: Shape) -> Shape:
    return Shape("list", item)


def object_of(known: Mapping[str, Shape]) -> Shape:
    return Shape("object", known=known)


@cache
def model_fields(model: type[BaseModel]) -> Mapping[str, Shape]:
    """Shapes of a model's fields, computed ones too, by the names that recipes use."""
    fields = {name: shape_of(field.annotation) for name, field in model.model_fields.items()}
    if not model.__pydantic_complete__:
        model.model_rebuild()  # event models are built when first used; before that, computed fields tell no type
    return fields | {name: shape_of(field.return_type) for name, field in model.model_computed_fields.items()}


def shape_of(annotation: Any) -> Shape:
    """The shape of a type as pydantic models write it; what is not understood is `any`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return _of_class(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return shape_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return joined([shape_of(each) for each in arguments if each is not type(None)])
    if origin is typing.Literal:
        return joined([shape_of_value(each) for each in arguments])
    if origin in (list, set, frozenset, Sequence) or (origin is tuple and len(arguments) == 2 and arguments[1] is ...):
        return list_of(shape_of(arguments[0]))
    if origin in (dict, Mapping):
        return Shape("object", shape_of(arguments[1]))
    return Shape("list", ANY) if origin is tuple else ANY


def _of_class(kind: type) -> Shape:
    if kind in ATOMS:
        return ATOM_SHAPES[ATOMS[kind]]
    if issubclass(kind, BaseModel):
        return Shape("object", model=kind)
    if issubclass(kind, Enum):
        return joined([shape_of_value(each.value) for each in kind])
    if issubclass(kind, dict):
        return Shape("object", ANY)
    return Shape("list", ANY) if issubclass(kind, list | tuple | set) else ANY


def shape_of_value(value: object) -> Shape:
    """The shape of plain data."""
    if isinstance(value, dict):
        return object_of({str(name): shape_of_value(each) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return list_of(joined([shape_of_value(each) for each in value]))
    return ATOM_SHAPES[ATOMS[type(value)]] if type(value) in ATOMS else ANY


def joined(shapes: Sequence[Shape]) -> Shape:
    """What is still known when a value may have any of these shapes; nothing (None) does not count."""
    said = [shape for shape in shapes if shape.kind != "none"]
    if not said:
        return NONE if shapes else ANY
    first = said[0]
    if all(shape is first or (shape.model is not None and shape.model is first.model) for shape in said):
        return first
    kinds = {shape.kind for shape in said}
    if kinds <= NUMERIC:
        return NUMBER if "number" in kinds else INTEGER
    if kinds == {"list"}:
        return list_of(joined([shape.item or ANY for shape in said]))
    if kinds == {"object"}:
        return Shape("object", ANY)
    return ATOM_SHAPES.get(first.kind, ANY) if len(kinds) == 1 else ANY


def group(shape: Shape) -> str:
    """Kinds that can be compared are of one group."""
    return "number" if shape.kind in NUMERIC else shape.kind


def unfit(given: Shape, wanted: Shape, at: str = "it") -> str | None:
    """Why a value of one shape can never stand where the other is wanted; None where it may.

    Nothing is assumed about values that may be absent: whether they are is known only when they come.
    """
    if "any" in (given.kind, wanted.kind) or given.kind == "none":
        return None
    if wanted.kind == "object" and given.kind == "object":
        return _unfit_object(given, wanted, at)
    if wanted.kind == "list" and given.kind == "list":
        return unfit(given.item or ANY, wanted.item or ANY, f"each item of {at}")
    if group(given) != group(wanted) or (wanted.kind == "integer" and given.kind == "number"):
        return f"{at} should be {wanted}, not {given}"
    return None


def _unfit_object(given: Shape, wanted: Shape, at: str) -> str | None:
    offered, fields = given.fields(), wanted.fields()
    same = given.model is not None and wanted.model is not None and issubclass(given.model, wanted.model)
    if same or offered is None or fields is None:
        return None
    needed = required(wanted)
    models = given.model is not None and wanted.model is not None
    if models and not needed and not offered.keys() <= fields.keys():  # anything fits such a model, and says nothing
        return f"{at} should be {wanted}, not {given}"
    for name in needed - offered.keys():
        return f"{at} should be {wanted}, and {given} has no {name!r}"
    for name in offered.keys() & fields.keys():
        if reason := unfit(offered[name], fields[name], f"{name!r}"):
            return f"{at} should be {wanted}, but {reason}" if given.model is not None else reason
    return None


def required(shape: Shape) -> set[str]:
    """Fields that an object of this shape must have."""
    if shape.model is None:
        return set(shape.known or ())
    return {name for name, field in shape.model.model_fields.items() if field.is_required()}
