"""`tradewind connectors new` writes a connector that passes every check as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NAMES = ("acme", "big_ship")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "payloads")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source code, with two new connectors and none of the others."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("app", "tests/connectors", "tests/support", "demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", "connectors/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "app" / "scaffold", folder / "app" / "scaffold", dirs_exist_ok=True)
    for name in NAMES:
        written = run(folder, sys.executable, "-m", "app.cli", "connectors", "new", name)
        assert f"connectors/{name}/__init__.py" in written
    return folder


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_a_new_connector_passes_the_conformance_tests(copy: Path) -> None:
    tests = ("-m", "pytest", "-p", "no:cacheprovider", "tests/connectors/test_conformance.py")
    pages = "tests/connectors/test_pages.py"
    said = run(copy, sys.executable, *tests, pages, "-k", " or ".join(NAMES))
    assert said.count(".") > 50, said
    assert "FAILED" not in said


def test_a_new_connector_passes_linter_and_types(copy: Path) -> None:
    folders = [f"connectors/{name}" for name in NAMES]
    run(copy, BIN / "ruff", "check", "--no-cache", *folders)
    run(copy, BIN / "ruff", "format", "--no-cache", "--check", *folders)
    run(copy, BIN / "mypy", "--cache-dir", ROOT / ".mypy_cache" / "scaffold", *folders)


def test_a_new_connector_stands_in_the_catalogue(copy: Path) -> None:
    said = run(copy, sys.executable, "-m", "app.cli", "connectors", "list", "--json")
    assert '"slug": "big_ship"' in said
    assert '"create_note"' in said


def test_a_name_that_is_taken_is_refused_in_a_sentence(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "connectors", "new", NAMES[0]],
        cwd=copy,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is there already" in done.stderr
