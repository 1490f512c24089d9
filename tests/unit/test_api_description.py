"""The API's description: examples fit, pages load nothing from elsewhere, and what breaks callers is found."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from app.api.pages import POLICY
from app.api.problems import MEANINGS, NAMES
from app.compat import breaking
from tests.support.routes import described

API = described().openapi()
DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
Change = Callable[[dict[str, Any]], None]


def _bodies() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path, operations in API["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"].items()
            holders = [operation.get("requestBody", {}), *(each for status, each in answers if status.startswith("2"))]
            contents = [holder.get("content", {}).get("application/json") for holder in holders]
            found += [(f"{method} {path}", content) for content in contents if content and content.get("schema")]
    return found


def test_every_body_and_answer_has_an_example_that_fits_its_schema() -> None:
    bodies = _bodies()
    assert len(bodies) > 60
    for place, content in bodies:
        schema = {**content["schema"], "components": API["components"]}
        for example in content["examples"].values():
            fault = next(jsonschema.Draft202012Validator(schema).iter_errors(example["value"]), None)
            assert fault is None, f"{place}: {fault.message if fault else ''}"


def test_every_post_says_that_it_takes_an_idempotency_key() -> None:
    for path, operations in API["paths"].items():
        post = operations.get("post", {})
        if post.get("security"):
            assert "idempotency-key" in [each["name"] for each in post["parameters"]], path


def test_every_kind_of_problem_is_told_on_its_page_and_in_the_docs() -> None:
    assert set(NAMES.values()) <= set(MEANINGS)
    for name, (status, _) in MEANINGS.items():
        assert re.search(rf"`/problems/{name}` \| {status}", DOCS), name


@pytest.mark.parametrize("path", ["/docs", "/problems", "/problems/not-found"])
async def test_pages_hold_no_script_and_load_nothing_from_elsewhere(path: str) -> None:
    transport = httpx.ASGITransport(described())
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        page = await client.get(path)
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == POLICY
        assert "'unsafe" not in POLICY
        for loaded in re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]*)"', page.text):
            assert (await client.get(loaded)).status_code == 200, loaded
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|//cdn|src=.http", page.text)
        assert (await client.get("/problems/none")).status_code == 404


async def test_the_page_shows_every_operation() -> None:
    transport = httpx.ASGITransport(described())
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        page = (await client.get("/docs")).text
    for operations in API["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page


def _gone(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/runs/{id}"]


def _parameter_gone(document: dict[str, Any]) -> None:
    document["paths"]["/v1/runs"]["get"]["parameters"].pop()


def _must_be_given(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["WorkspaceWanted"]["required"].append("currency")


def _answer_field_gone(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["Run"]["properties"]["reason"]


def _choice_gone(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Said"]["properties"]["answer"]["enum"].remove("look_again")


def _other_type(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Workspace"]["properties"]["name"]["type"] = "integer"


def _other_scope(document: dict[str, Any]) -> None:
    document["paths"]["/v1/runs"]["get"]["security"] = [{"key": ["admin"]}]


def _status_gone(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/keys"]["post"]["responses"]["201"]


def _parameter(path: str, name: str, **said: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        (found,) = [each for each in document["paths"][path]["get"]["parameters"] if each["name"] == name]
        found["schema"] = {**next((each for each in found["schema"].get("anyOf", ())), found["schema"]), **said}

    return change


def _required_parameter(document: dict[str, Any]) -> None:
    more = {"in": "query", "name": "shop", "required": True, "schema": {"type": "string"}}
    document["paths"]["/v1/runs"]["get"]["parameters"].append(more)


def _body_needed(document: dict[str, Any]) -> None:
    document["paths"]["/v1/events/{id}/replay"]["post"]["requestBody"]["required"] = True


def _field(schema: str, name: str, **said: Any) -> Change:
    return lambda document: document["components"]["schemas"][schema]["properties"][name].update(said)


def _schema(schema: str, **said: Any) -> Change:
    return lambda document: document["components"]["schemas"][schema].update(said)


def _webhooks_gone(document: dict[str, Any]) -> None:
    del document["webhooks"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_required_parameter, "GET /v1/runs: the query parameter shop must be given"),
        (_parameter("/v1/runs", "state", enum=["done"]), "GET /v1/runs: query.state: does not take cancelled, failed"),
        (_parameter("/v1/runs", "limit", type="string"), "query.limit: takes string, not integer any more"),
        (_parameter("/v1/runs", "limit", maximum=100), "query.limit: maximum is 100, was 200"),
        (_parameter("/v1/runs", "since", format="date"), "query.since: must be date now"),
        (_body_needed, "POST /v1/events/{id}/replay: must have a body"),
        (_field("NewBacktest", "recipe", maxLength=5), "body.recipe: maxLength is 5, was 80"),
        (_field("NewBacktest", "recipe", pattern="^x"), "body.recipe: must be ^x now"),
        (_field("NewBacktest", "differences", minimum=5), "body.differences: minimum is 5, was 0"),
        (_field("Health", "webhooks", additionalProperties={"type": "string"}), "webhooks.*: is string, was integer"),
        (_field("RecipeSummary", "on", items={"type": "integer"}), "on[]: is integer, was string"),
        (_field("Run", "at", format="date"), "at: is no date-time any more"),
        (_schema("Run", required=[]), "recipe: may be absent"),
        (_schema("Problem", properties={}), "problems.type: is gone"),
        (_webhooks_gone, "POST inbound: is gone"),
        (_gone, "GET /v1/runs/{id}: is gone"),
        (_parameter_gone, "parameter"),
        (_must_be_given, "POST /v1/workspaces: body.currency: must be given"),
        (_answer_field_gone, "reason: is gone"),
        (_choice_gone, "does not take look_again any more"),
        (_other_type, "is integer, was string"),
        (_other_scope, "needs another key (read before, admin now)"),
        (_status_gone, "does not answer 201 any more"),
    ],
)
def test_what_breaks_callers_is_found(change: Change, said: str) -> None:
    changed = copy.deepcopy(API)
    change(changed)
    found = breaking(API, changed)
    assert any(said in each for each in found), found


def test_what_is_added_breaks_nobody() -> None:
    changed = json.loads(json.dumps(API))
    changed["paths"]["/v1/more"] = changed["paths"]["/v1/runs"]
    changed["components"]["schemas"]["Run"]["properties"]["more"] = {"type": "string"}
    changed["components"]["schemas"]["KeyWanted"]["properties"]["more"] = {"type": "string"}
    changed["components"]["schemas"]["Said"]["properties"]["answer"]["enum"].append("perhaps")
    assert breaking(API, changed) == []
    assert breaking(API, API) == []


def test_a_body_that_is_closed_breaks_callers() -> None:
    before = copy.deepcopy(API)
    del before["components"]["schemas"]["Said"]["additionalProperties"]
    assert breaking(before, API) == ["POST /v1/effects/{key}/answer: body: takes no other fields any more"]


def test_no_body_passes_over_what_it_does_not_know() -> None:
    """A key with `connection` for `connections` would be limited to none, a replay with `dry_run` would replay."""
    schemas = API["components"]["schemas"]

    def open_ones(schema: Any, place: str) -> Iterator[str]:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield place
        for name, part in schema.get("properties", {}).items():
            yield from open_ones(part, f"{place}.{name}")
        for part in [*schema.get("anyOf", ()), schema.get("items", {})]:
            if part:
                yield from open_ones(part, place)

    bodies = {
        f"{method} {path}": operation["requestBody"]["content"]["application/json"]["schema"]
        for path, operations in API["paths"].items()
        for method, operation in operations.items()
        if path != "/v1/events" and isinstance(operation, dict) and "requestBody" in operation
    }
    assert len(bodies) > 10
    assert [each for place, schema in bodies.items() for each in open_ones(schema, place)] == []
