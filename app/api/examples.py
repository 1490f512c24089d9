"""Examples for the description, put together from those that the models give field by field."""

import re
from collections.abc import Mapping
from typing import Any

Schemas = Mapping[str, Any]

_FORMATS = {
    "date-time": "2026-11-22T18:00:00Z",
    "date": "2026-11-22",
    "uuid": "0199c0de-1234-7abc-8def-0123456789ab",
    "uri": "https://example.com",
    "duration": "PT1H",
}
_DEEPEST = 8


def add_examples(made: Mapping[str, Any]) -> None:
    """Give every JSON body and every good answer of a description an example, unless it has one."""
    schemas = made["components"]["schemas"]
    for operations in made["paths"].values():
        for operation in operations.values():
            good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for holder in (operation.get("requestBody", {}), *good):
                content = holder.get("content", {}).get("application/json")
                if content and "examples" not in content and content.get("schema"):
                    content["examples"] = {"example": {"value": example_of(content["schema"], schemas)}}


def example_of(schema: Schemas, schemas: Schemas, depth: int = 0) -> Any:
    """A value that fits a JSON Schema: its example, its default, its first choice, else one made of its parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas, depth)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if choices:
        return example_of(choices[0] if depth < _DEEPEST else choices[-1], schemas, depth + 1)
    return _by_type(schema, schemas, depth)


def _text(schema: Schemas) -> str:
    pattern = schema.get("pattern")
    if pattern:
        return next((text for text in ("text", "24.00", "EUR", "10") if re.search(pattern, text)), "text")
    return "text"[: schema.get("maxLength", 4)]


def _by_type(schema: Schemas, schemas: Schemas, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            required = set(schema.get("required", ()))
            wanted = [name for name in fields if name in required or depth < 2]
            return {name: example_of(fields[name], schemas, depth + 1) for name in wanted}
        case "array":
            if depth >= _DEEPEST and not schema.get("minItems"):
                return []
            return [example_of(schema.get("items", {}), schemas, depth + 1)]
        case "string":
            return _FORMATS.get(schema.get("format", "")) or _text(schema)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return {}
