"""What is generated from the code: `openapi/` (the API, the events, the recipe language as schemas), and the reference
page of the language."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from app import events, recipes
from app.compat import breaking
from app.main import described_app
from app.recipes.reference import EXAMPLES, reference

FOLDER = Path(__file__).parent.parent / "openapi"
PAGE = Path(__file__).parent.parent / "docs" / "recipe-language.md"


@cache
def documents() -> dict[str, Any]:
    """File name -> what it holds."""
    return {
        "openapi.json": described_app().openapi(),
        "events.schema.json": events.json_schema(),
        "recipe.schema.json": recipes.json_schema(),
    }


def export(folder: Path = FOLDER, check: bool = False) -> list[str]:
    """Write the files, or with `check` only compare; answers the names that were (or are) not up to date."""
    stale = []
    for path, text in _files(folder):
        if path.exists() and path.read_bytes() == text:
            continue
        stale.append(path.name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
    return stale


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file with what it should hold; beside the schemas, in a checkout, the reference page of the language."""
    for name, document in documents().items():
        yield folder / name, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if folder == FOLDER and EXAMPLES.is_dir():
        yield PAGE, reference().encode()


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
