"""Checks requests and answers against a vendor's own OpenAPI 3 description, in process.

The descriptions are not part of the repository: they lie beside the checkout in `../shared/specs`. Without that folder
the checks are skipped with a reason; where `CI` is set they are required.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
import pytest
from openapi_schema_validator import OAS30Validator, OAS31Validator, oas30_format_checker, oas31_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SPECS = Path(__file__).parents[3] / "shared" / "specs"
_METHODS = ("get", "put", "post", "patch", "delete")
_HERE = "urn:description"
Json = Any


@dataclass(frozen=True)
class Operation:
    """One method of one path. `pattern` matches a whole path below the server's address."""

    method: str
    template: str
    pattern: re.Pattern[str]
    parameters: list[dict[str, Json]]
    body: dict[str, Json] | None
    answers: dict[str, Json]


class VendorSpec:
    """A vendor's description, by the name of its file. `spec()` finds it or skips the test."""

    def __init__(self, path: Path) -> None:
        self.document = orjson.loads(path.read_bytes())
        newer = str(self.document.get("openapi", "")).startswith("3.1")
        self._validator = OAS31Validator if newer else OAS30Validator
        self._formats = oas31_format_checker if newer else oas30_format_checker
        whole = DRAFT202012.create_resource(_absolute(self.document))
        self._registry: Registry[Json] = Registry().with_resource(_HERE, whole)
        servers = self.document.get("servers") or [{"url": ""}]
        self.prefix = urlsplit(servers[0]["url"]).path.rstrip("/")
        self.operations = sorted(self._operations(), key=lambda operation: operation.template.count("{"))

    def operation(self, method: str, path: str) -> Operation | None:
        """What the description says of a request; None if it says nothing. `path` without the query."""
        below = path.removeprefix(self.prefix)
        matching = (each for each in self.operations if each.method == method and each.pattern.fullmatch(below))
        return next(matching, None)

    def check_request(self, request: httpx.Request, path: str) -> list[str]:
        """What is wrong with a request; `path` as the vendor knows it."""
        operation = self.operation(request.method, path)
        if operation is None:
            return [f"no operation {request.method} {path}"]
        wrong = list(self._wrong_parameters(operation, request))
        wrong += self._wrong_body(operation, request)
        return wrong

    def check_answer(self, request: httpx.Request, path: str, answer: httpx.Response) -> list[str]:
        """What is wrong with a JSON answer, by its status (or `default`)."""
        operation = self.operation(request.method, path)
        if operation is None:
            return [f"no operation {request.method} {path}"]
        described = operation.answers.get(str(answer.status_code)) or operation.answers.get("default")
        if described is None:
            return [f"no answer {answer.status_code} is described"]
        media = self._deref(described).get("content", {}).get("application/json")
        return list(self._wrong(media["schema"], answer.json(), "answer")) if media else []

    # --- reading the description ----------------------------------------------------------------------------------

    def _operations(self) -> Iterator[Operation]:
        for template, item in self.document["paths"].items():
            pattern = re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)))
            for method in _METHODS:
                if method in item:
                    said = item[method]
                    parameters = [self._deref(each) for each in item.get("parameters", []) + said.get("parameters", [])]
                    body = self._deref(said["requestBody"]) if "requestBody" in said else None
                    yield Operation(method.upper(), template, pattern, parameters, body, said.get("responses", {}))

    def _deref(self, value: dict[str, Json]) -> dict[str, Json]:
        while "$ref" in value:
            found: Json = self.document
            for part in value["$ref"][2:].split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            value = found
        return value

    # --- checking -------------------------------------------------------------------------------------------------

    def _wrong_parameters(self, operation: Operation, request: httpx.Request) -> Iterator[str]:
        query = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        known = {each["name"] for each in operation.parameters if each["in"] == "query"}
        yield from (f"query {name} is not described" for name in query.keys() - known)
        for each in operation.parameters:
            given: Mapping[str, str] = {"query": query, "header": request.headers}.get(each["in"], {})
            if each["in"] not in ("query", "header"):
                continue
            value = given.get(each["name"])
            if value is None:
                if each.get("required"):
                    yield f"{each['in']} {each['name']} is missing"
            else:
                yield from self._wrong(each.get("schema", {}), self._typed(value, each.get("schema", {})), each["name"])

    def _wrong_body(self, operation: Operation, request: httpx.Request) -> Iterator[str]:
        if operation.body is None:
            return
        if not request.content:
            if operation.body.get("required"):
                yield "the body is missing"
            return
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        content = operation.body.get("content", {})
        media = content.get(kind) or (content.get("application/json") if kind.endswith("+json") else None)
        if media is None:
            yield f"content type {kind!r} is not one of {sorted(content)}"
        elif kind == "application/x-www-form-urlencoded":
            form = self._typed(_nested(request.content.decode()), media.get("schema", {}))
            yield from self._wrong(media.get("schema", {}), form, "body")
        elif kind.endswith("json"):
            yield from self._wrong(media.get("schema", {}), orjson.loads(request.content), "body")

    def _wrong(self, schema: dict[str, Json], value: Json, what: str) -> Iterator[str]:
        validator = self._validator(_absolute(schema), registry=self._registry, format_checker=self._formats)
        for error in validator.iter_errors(value):
            place = "/".join(str(part) for part in error.absolute_path)
            yield f"{what} {place}: {error.message[:200]}"

    def _typed(self, value: Json, schema: dict[str, Json]) -> Json:
        """What a text of a form or query stands for, by the schema's type."""
        schema = self._deref(schema)
        for option in schema.get("anyOf") or schema.get("oneOf") or ():
            typed = self._typed(value, option)
            if not list(self._wrong(option, typed, "")):
                return typed
        match schema.get("type"):
            case "object" if isinstance(value, dict):
                inner = schema.get("properties", {})
                return {name: self._typed(each, inner.get(name, {})) for name, each in value.items()}
            case "array" if isinstance(value, dict | list):
                items = list(value.values()) if isinstance(value, dict) else value
                return [self._typed(each, schema.get("items", {})) for each in items]
            case "integer" if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
                return int(value)
            case "number" if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
                return float(value)
            case "boolean" if value in ("true", "false"):
                return value == "true"
        return value


def spec(name: str) -> VendorSpec:
    """The description in `<name>.json`; skips the test where it is absent, fails where CI is set."""
    path = SPECS / f"{name}.json"
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"CI needs the vendor's description {path.name} beside the checkout")
        pytest.skip(f"the vendor's description {path.name} does not lie beside the checkout")
    return VendorSpec(path)


def _nested(form: str) -> dict[str, Json]:
    """`a[b][c]=1` as {"a": {"b": {"c": "1"}}}."""
    root: dict[str, Json] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        parts = [name.split("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        place = root
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return root


def _absolute(value: Json) -> Any:
    """References to the document itself, as references to where the registry holds it."""
    if isinstance(value, dict):
        local = isinstance(value.get("$ref"), str) and value["$ref"].startswith("#/")
        return {name: _HERE + each if local and name == "$ref" else _absolute(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_absolute(each) for each in value]
    return cast(Any, value)
