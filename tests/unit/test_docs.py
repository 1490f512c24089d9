"""The documentation names what is there, and all of what is there."""

import re
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for name, field in Settings.model_fields.items():
        row = next((line for line in text.splitlines() if f"`TRADEWIND_{name.upper()}`" in line), None)
        assert row is not None, f"TRADEWIND_{name.upper()} is not in docs/configuration.md"
        default = field.default
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert f"`{default}`" in row, f"the default of TRADEWIND_{name.upper()} is {default}: {row}"


def test_every_command_is_documented() -> None:
    from typer.main import get_command

    from app.cli.commands import app

    text = (ROOT / "docs" / "cli.md").read_text()
    for name in _commands(get_command(app), ""):
        assert f"tradewind {name}" in text or f"`{name}" in text, f"`tradewind {name}` is not in docs/cli.md"


def _commands(command: object, prefix: str) -> list[str]:
    children = getattr(command, "commands", None)
    if not children:
        return [prefix.strip()]
    return [name for child, sub in children.items() for name in _commands(sub, f"{prefix} {child}")]


def test_every_event_type_is_documented() -> None:
    from app.events import EVENT_TYPES

    text = (ROOT / "docs" / "events.md").read_text()
    missing = [name for name in EVENT_TYPES if f"`{name}`" not in text]
    assert not missing, f"docs/events.md lacks {missing}"


def test_every_step_and_recipe_key_is_documented() -> None:
    from app.recipes.model import KINDS
    from app.recipes.reading import RECIPE_KEYS

    text = (ROOT / "docs" / "writing-recipes.md").read_text()
    missing = [key for key in (*KINDS.values(), *RECIPE_KEYS) if f"`{key}" not in text]
    assert not missing, f"docs/writing-recipes.md lacks {missing}"


def test_every_kind_of_problem_is_documented() -> None:
    named = set(re.findall(r'problem\(\s*\d+,\s*"([a-z-]+)"', _source("app/api")))
    text = (ROOT / "docs" / "api.md").read_text()
    missing = [name for name in named if name not in text]
    assert named
    assert not missing, f"docs/api.md lacks {missing}"


def _source(folder: str) -> str:
    return "\n".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(
        r"`((?:app|connectors|tests|bench|recipes|demo)/[\w/.-]+\.(?:py|yaml|md))`", page.read_text()
    ):
        if "<" not in name and "acme" not in name:
            assert (ROOT / name).exists(), f"{page.name} names {name}, which is not there"


def test_the_way_of_a_webhook_names_code_that_is_there() -> None:
    """Every `file` followed by `name`s in how-a-webhook-travels.md defines them."""
    text = (ROOT / "docs" / "how-a-webhook-travels.md").read_text()
    pairs = re.findall(r"`(app/[\w/]+\.py|connectors/[\w/]+\.py)`\s+`([A-Za-z_.]+)`", text)
    assert len(pairs) > 15
    for file, name in pairs:
        source = (ROOT / file).read_text()
        for part in name.split("."):
            assert re.search(rf"((class|def) |self\.){part}\b", source), f"{file} has no {part}"


def test_commands_of_the_readme_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"`?\$? ?make ([a-z]+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), f"make {command} is not there"


def test_no_registry_address_and_no_foreign_path_is_committed() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".lock", ".yaml", ".yml", ".sql", ""} and path.is_file():
            text = path.read_text(errors="replace")
            assert "pypi" + ".org" not in text, name
            assert "/work" + "/" not in text, name


def test_the_tests_that_security_names_are_there() -> None:
    """Every defence in docs/security.md is shown by a test that exists."""
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 30
    for file, test in named:
        source = (ROOT / file).read_text()
        assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{file} has no {test}"
    threats = [
        line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 5 and "STRIDE" not in line
    ]
    for line in threats[threats.index(next(each for each in threats if "poofing" in each)) :]:
        assert "`tests/" in line, f"no test shows the defence: {line}"
