"""The connectors' pages are as the code is: their reference part is generated, its examples executed."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.contracts import description
from tests.support.pages import FOLDER, MARK, ROOT, SHIPPED, documents, head, matrix


def test_the_reference_part_of_every_page_is_up_to_date(record_property: Callable[[str, object], None]) -> None:
    """`make docs` writes it. The matrix of what is held against descriptions is printed at the end of the run."""
    if description("quickbooks") is None:
        pytest.skip("the vendors' descriptions, by which the pages say what is checked, do not lie beside the checkout")
    written = asyncio.run(documents())
    record_property("printed", matrix(written))
    found = {path.name: (path.read_text(), text) for path, text in written.items()}
    assert [name for name, (written, wanted) in found.items() if written != wanted] == []


@pytest.mark.parametrize("slug", [each.slug for each in SHIPPED])
def test_every_page_says_what_it_does_and_how_to_connect_it(slug: str) -> None:
    text = head(FOLDER / f"{slug}.md")
    assert len(text.splitlines()) > 5
    assert "## Connect it" in text
    assert MARK in (FOLDER / f"{slug}.md").read_text()
    assert f"docs/connectors/{slug}.md" in (ROOT / "README.md").read_text()


def test_a_connector_with_two_actions_a_sandbox_and_docs_takes_less_than_150_lines() -> None:
    """Discord is what adding an API-key connector costs: all that is written by hand for it."""
    written = [*(ROOT / "connectors" / "discord").glob("*.py"), ROOT / "connectors" / "discord" / "README.md"]
    lines = sum(len(path.read_text().splitlines()) for path in written)
    lines += len(head(FOLDER / "discord.md").splitlines())
    assert lines < 150
    assert len(next(each for each in SHIPPED if each.slug == "discord").actions) == 2
