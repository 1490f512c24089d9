"""The schema that editors use: every key of the language, and every shipped recipe fits it."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

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
