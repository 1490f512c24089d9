"""Whether a description of the API still lets everybody in who was written against an older one."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Description = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
_DEEPEST = 12
_UPPER = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_LOWER = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")


def breaking(old: Description, new: Description) -> list[str]:
    """What breaks those who call: a sentence each. Additions break nobody: new addresses, optional fields to send,
    fields in answers."""
    return list(dict.fromkeys((*_paths(old, new, "paths"), *_paths(old, new, "webhooks"), *_problems(old, new))))


def _problems(old: Description, new: Description) -> Iterator[str]:
    before, after = (each.get("components", {}).get("schemas", {}).get("Problem") for each in (old, new))
    if before is not None:
        yield from _poorer("problems", _See(old, before), _See(new, after or {}))


def _paths(old: Description, new: Description, part: str) -> Iterator[str]:
    for path, operations in old.get(part, {}).items():
        for method in _METHODS:
            if method not in operations:
                continue
            there = new.get(part, {}).get(path, {}).get(method)
            place = f"{method.upper()} {path}"
            if there is None:
                yield f"{place}: is gone"
                continue
            yield from _parameters(place, old, new, operations[method], there)
            yield from _bodies(place, old, new, operations[method], there)
            yield from _answers(place, old, new, operations[method], there)
            yield from _scope(place, operations[method], there)


def _scope(place: str, old: Schema, new: Schema) -> Iterator[str]:
    if old.get("security") != new.get("security"):
        yield f"{place}: needs another key ({_key(old)} before, {_key(new)} now)"


def _key(operation: Schema) -> str:
    return ", ".join(scope for each in operation.get("security", []) for scopes in each.values() for scope in scopes)


def _parameters(place: str, old_all: Description, new_all: Description, old: Schema, new: Schema) -> Iterator[str]:
    before = {(each["in"], each["name"]): each for each in old.get("parameters", [])}
    after = {(each["in"], each["name"]): each for each in new.get("parameters", [])}
    for key in before:
        if key not in after:
            yield f"{place}: the {key[0]} parameter {key[1]} is gone"
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield f"{place}: the {key[0]} parameter {key[1]} must be given"
        if key in before:
            was, now = _See(old_all, _spoken(before[key])), _See(new_all, _spoken(each))
            yield from _narrower(f"{place}: {key[0]}.{key[1]}", was, now)


def _spoken(parameter: Schema) -> Schema:
    """The schema of a parameter that is given: null means that it is not."""
    schema: Schema = parameter.get("schema", {})
    kinds = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    return {"anyOf": kinds} if kinds else schema


def _bodies(place: str, old_all: Description, new_all: Description, old: Schema, new: Schema) -> Iterator[str]:
    before, after = _json(old.get("requestBody")), _json(new.get("requestBody"))
    if before is None and after is None:
        return
    if after is None:
        yield f"{place}: takes no body any more"
    elif before is None:
        if new["requestBody"].get("required"):
            yield f"{place}: must have a body"
    else:
        if new["requestBody"].get("required") and not old["requestBody"].get("required"):
            yield f"{place}: must have a body"
        yield from _narrower(f"{place}: body", _See(old_all, before), _See(new_all, after))


def _answers(place: str, old_all: Description, new_all: Description, old: Schema, new: Schema) -> Iterator[str]:
    for status, answer in old["responses"].items():
        if not status.startswith("2"):
            continue
        there = new["responses"].get(status)
        if there is None:
            yield f"{place}: does not answer {status} any more"
            continue
        before, after = _json(answer), _json(there)
        if before is not None and after is None:
            yield f"{place}: answers no JSON any more"
        elif before is not None and after is not None:
            yield from _poorer(f"{place}: answer", _See(old_all, before), _See(new_all, after))


def _json(holder: Schema | None) -> Schema | None:
    found: Schema | None = (holder or {}).get("content", {}).get("application/json", {}).get("schema")
    return found


class _See:
    """A schema with the document in which its references are looked up."""

    def __init__(self, document: Description, schema: Schema, depth: int = 0) -> None:
        self.document, self.depth = document, depth
        while "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        self.schema = schema

    def into(self, schema: Schema) -> "_See":
        return _See(self.document, schema, self.depth + 1)

    @property
    def fields(self) -> dict[str, Schema]:
        return dict(self.schema.get("properties", {}))

    @property
    def values(self) -> "_See | None":
        """What a map holds under its keys, where that is said."""
        said = [*self.schema.get("patternProperties", {}).values(), self.schema.get("additionalProperties")][0]
        return self.into(said) if isinstance(said, Mapping) and said else None

    @property
    def required(self) -> set[str]:
        return set(self.schema.get("required", ()))

    @property
    def types(self) -> set[str]:
        """The JSON types that it allows; empty for any."""
        kinds = [self.into(each) for each in self.schema.get("anyOf", self.schema.get("oneOf", []))]
        if kinds:
            return set().union(*(kind.types for kind in kinds)) if all(kind.types for kind in kinds) else set()
        said = self.schema.get("type")
        return {said} if isinstance(said, str) else set(said or ())

    @property
    def alternatives(self) -> list["_See"]:
        """What may stand there, each by itself."""
        kinds = self.schema.get("anyOf", self.schema.get("oneOf", []))
        return [each for kind in kinds for each in self.into(kind).alternatives] if kinds else [self]

    @property
    def choices(self) -> set[str] | None:
        """The values that it allows; None where there is an alternative that allows more than a few."""
        found = [each.schema.get("enum", [each.schema["const"]] if "const" in each.schema else None)
                 for each in self.alternatives if each.types != {"null"}]  # fmt: skip
        return None if not found or None in found else {str(value) for values in found for value in values}

    def bound(self, name: str, loosest: float) -> float:
        """The loosest bound of that name among alternatives other than null."""
        kinds = [each for each in self.alternatives if each.types != {"null"}]
        bounds = [each.schema.get(name, loosest) for each in kinds] or [loosest]
        return float(max(bounds) if loosest > 0 else min(bounds))

    def said(self, name: str) -> set[str | None]:
        """What the alternatives other than null say under this name."""
        return {each.schema.get(name) for each in self.alternatives if each.types != {"null"}}

    @property
    def object(self) -> "_See":
        """The object among alternatives (`X or null`), or itself."""
        for each in self.schema.get("anyOf", []):
            if {"properties", "items", "additionalProperties", "patternProperties"} & self.into(each).schema.keys():
                return self.into(each)
        return self


def _narrower(place: str, old: _See, new: _See) -> Iterator[str]:
    """What could be sent and is refused now."""
    if new.types and (not old.types or not old.types <= _wider(new.types)):
        yield f"{place}: takes {_say(new.types)}, not {_say(old.types)} any more"
    if new.choices is not None and (gone := (old.choices or {"any other"}) - new.choices):
        yield f"{place}: does not take {', '.join(sorted(gone))} any more"
    for name in (*_UPPER, *_LOWER):
        loosest = math.inf if name in _UPPER else -math.inf
        was, now = old.bound(name, loosest), new.bound(name, loosest)
        narrower = now < was if name in _UPPER else now > was
        if narrower and not (was == loosest and name.endswith("Length")):  # no text that anybody sends is so long
            yield f"{place}: {name} is {now:g}, was {was:g}"
    for name in ("pattern", "format"):
        if None not in new.said(name) and not old.said(name) <= new.said(name):
            yield f"{place}: must be {' or '.join(sorted(filter(None, new.said(name))))} now"
    if old.depth > _DEEPEST:
        return
    before, after = old.object, new.object
    for name in sorted(after.required - before.required):
        yield f"{place}.{name}: must be given"
    closed = after.schema.get("additionalProperties") is False
    for name, schema in before.fields.items():
        if name in after.fields:
            yield from _narrower(f"{place}.{name}", before.into(schema), after.into(after.fields[name]))
        elif closed:
            yield f"{place}.{name}: is not taken any more"
    if closed and before.fields and before.schema.get("additionalProperties") is not False:
        yield f"{place}: takes no other fields any more"
    if (values := before.values) is not None and after.values is not None:
        yield from _narrower(f"{place}.*", values, after.values)
    if "items" in before.schema and "items" in after.schema:
        yield from _narrower(f"{place}[]", before.into(before.schema["items"]), after.into(after.schema["items"]))


def _poorer(place: str, old: _See, new: _See) -> Iterator[str]:
    """What was answered and is not any more."""
    if old.types and (not new.types or not new.types <= _wider(old.types)):
        yield f"{place}: is {_say(new.types)}, was {_say(old.types)}"
    if None not in old.said("format") and not new.said("format") <= old.said("format"):
        yield f"{place}: is no {' or '.join(sorted(filter(None, old.said('format'))))} any more"
    if old.depth > _DEEPEST:
        return
    before, after = old.object, new.object
    for name, schema in before.fields.items():
        if name not in after.fields:
            yield f"{place}.{name}: is gone"
            continue
        if name in before.required and name not in after.required:
            yield f"{place}.{name}: may be absent"
        yield from _poorer(f"{place}.{name}", before.into(schema), after.into(after.fields[name]))
    if (values := before.values) is not None:
        yield from _poorer(f"{place}.*", values, after.values or after.into({}))
    if "items" in before.schema and "items" in after.schema:
        yield from _poorer(f"{place}[]", before.into(before.schema["items"]), after.into(after.schema["items"]))


def _wider(types: set[str]) -> set[str]:
    """A number may be an integer."""
    return types | {"integer"} if "number" in types else types


def _say(types: set[str]) -> str:
    return " or ".join(sorted(types)) or "anything"
