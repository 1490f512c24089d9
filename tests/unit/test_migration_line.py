"""The migrations stand in one line, each named by its number: two made at once would leave no head to go to."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "app" / "store" / "migrations" / "versions"


def test_each_migration_follows_the_one_before() -> None:
    before = None
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text()
        found = dict(re.findall(r'^(revision|down_revision)(?:: [^=]+)? = (?:"(\w+)"|None)$', text, re.MULTILINE))
        assert path.name.partition("_")[0] == found["revision"], path.name
        assert (found["down_revision"] or None) == before, path.name
        before = found["revision"]
    assert before is not None
