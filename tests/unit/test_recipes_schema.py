"""The schema that editors use: every key of the language, and every shipped recipe fits it."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.events import EVENT_TYPES
from app.recipes import json_schema
from app.recipes.reading import RECIPE_KEYS
from app.recipes.steps import EVERY_KEY

jsonschema = pytest.importorskip("jsonschema", reason="it checks instances against JSON Schema")
FOLDER = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def test_every_key_of_the_language_has_a_text(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(RECIPE_KEYS)
    assert set(schema["$defs"]["step"]["properties"]) == set(EVERY_KEY)
    assert all(each["description"] for each in schema["properties"].values())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*[!t].yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_fits_the_schema(path: Path, schema: dict[str, Any]) -> None:
    if not path.name.endswith(".test.yaml"):
        jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe", pure=True).load(path.read_text()))


def test_an_unknown_input_of_an_action_does_not_fit(schema: dict[str, Any]) -> None:
    recipe = {"title": "x", "on": "order.paid", "steps": [{"use": "slack.post_message", "with": {"txt": "x"}}]}
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(recipe))
    assert any("txt" in error.message for error in found)


def test_an_editor_refuses_a_misspelt_event_and_takes_one_of_your_own(schema: dict[str, Any]) -> None:
    """As `check` does: a word of the hub's own families is one of its events, or none."""
    judge = jsonschema.Draft202012Validator(schema)

    def recipe(on: Any = "order.paid", wait: str = "order.paid", cancel: str = "order.paid", emit: str = "a.b") -> Any:
        tied = {"where": "order.id == run.order.id"}
        steps = [{"emit": emit}, {"wait_for": {"event": wait, **tied, "timeout": "1d"}}]
        return {"title": "x", "on": on, "cancel_on": [{"event": cancel, **tied}], "steps": steps}

    def fits(event: str) -> bool:
        named = [
            {"on": event},
            {"on": [event]},
            {"on": {"event": event, "test": True}},
            {"wait": event},
            {"cancel": event},
        ]
        (found,) = {judge.is_valid(recipe(**each)) for each in named}  # the same wherever it is named
        return found

    assert all(map(fits, EVENT_TYPES))
    assert fits("vip.reached")
    assert fits("orders.delayed_twice")
    assert not any(map(fits, ("order.payd", "customer.vip", "hub.x", "vip", "Vip.reached")))
    assert not any(judge.is_valid(recipe(emit=emit)) for emit in ("order.payd", "order.paid", "schedule.due", "vip"))


def test_an_editor_shows_what_an_event_brings_and_what_an_action_takes(schema: dict[str, Any]) -> None:
    events = {each["const"]: each["description"] for each in schema["$defs"]["event"]["anyOf"][0]["oneOf"]}
    assert events.keys() == EVENT_TYPES.keys()
    assert "`refund` has " in events["refund.created"]
    assert "total_refunded" in events["refund.created"]
    assert "beside it there is order, payment, customer, event, now." in events["refund.created"]
    actions = {each["if"]["properties"]["use"]["const"]: each["then"] for each in schema["$defs"]["step"]["allOf"]}
    assert all(each["description"] for each in schema["$defs"]["step"]["properties"]["use"]["oneOf"])
    for taken in actions.values():
        assert all(each["description"] for each in taken["properties"]["with"]["properties"].values())
    assert "customer_id" in actions["quickbooks.create_invoice"]["properties"]["with"]["required"]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"order_id": "1", "refund": True, "restock": False, "reason": "fraud"}, None),
        ({"order_id": "{{ order.id }}", "refund": "{{ true }}", "restock": True, "reason": "{{ steps.x }}"}, None),
        ({"order_id": "1", "refund": True, "restock": False, "reason": "frud"}, "'frud'"),
        ({"order_id": "1", "refund": ["yes"], "restock": False}, "['yes']"),
        ({"order_id": "1", "refund": True}, "'restock'"),
    ],
)
def test_an_editor_knows_the_words_and_kinds_of_an_input(
    values: dict[str, Any], wrong: str | None, schema: dict[str, Any]
) -> None:
    recipe = {"title": "x", "on": "order.paid", "steps": [{"use": "shopify.cancel_order", "with": values}]}
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(recipe))
    assert bool(found) == bool(wrong)
    assert wrong is None or any(wrong in error.message for error in found)


def test_every_shipped_recipe_names_its_schema_to_editors() -> None:
    for path in sorted(FOLDER.glob("*.yaml")):
        first = path.read_text().partition("\n")[0]
        assert path.name.endswith(".test.yaml") or first == HEADER, path.name
    assert (FOLDER / HEADER.partition("$schema=")[2]).resolve() == FOLDER.parent / "openapi" / "recipe.schema.json"


HEADER = "# yaml-language-server: $schema=../openapi/recipe.schema.json"
