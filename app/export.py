"""The files under `openapi/`: the API, the events and the recipe language as schemas, generated from the code."""

from pathlib import Path
from typing import Any

import orjson

from app import events, recipes
from app.compat import breaking
from app.main import described_app

FOLDER = Path(__file__).parent.parent / "openapi"


def documents() -> dict[str, Any]:
    """File name -> what it holds."""
    made: dict[str, Any] = {
        "openapi.json": described_app().openapi(),
        "events.schema.json": events.json_schema(),
    }
    recipe_schema = getattr(recipes, "json_schema", None)
    if callable(recipe_schema):
        made["recipe.schema.json"] = recipe_schema()
    return made


def export(folder: Path = FOLDER, check: bool = False) -> list[str]:
    """Write the files, or with `check` only compare; answers the names that were (or are) not up to date."""
    stale = []
    for name, document in documents().items():
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        path = folder / name
        if path.exists() and path.read_bytes() == text:
            continue
        stale.append(name)
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
    return stale


RELEASED = FOLDER / "released" / "openapi.json"
"""The description of the last release: what callers were written against."""


def broken() -> list[str]:
    """What of the last release's API does not hold any more."""
    return breaking(orjson.loads(RELEASED.read_bytes()), documents()["openapi.json"])


def release() -> None:
    """The API as it stands is released: what breaks it from now on is found."""
    RELEASED.parent.mkdir(parents=True, exist_ok=True)
    made = documents()["openapi.json"]
    RELEASED.write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
