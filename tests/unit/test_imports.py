"""Who may import whom: the rules are import-linter's, here it is made sure that they rule all there is."""

import ast
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import app.pipeline

ROOT = Path(__file__).parents[2]
ALLOWED = {"app.connector", "app.events", "app.signing", "app.errors"}


def contracts() -> dict[str, dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in settings["contracts"]}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "app")


def test_every_child_of_app_is_forbidden_to_connectors_but_the_contract() -> None:
    rule = next(rule for name, rule in contracts().items() if name.startswith("Connectors see"))
    assert rule["forbidden_modules"] == ["app.*"]
    ignored = rule["ignore_imports"]
    assert isinstance(ignored, list)
    assert {each.partition(" -> ")[2].removesuffix(".*") for each in ignored} == ALLOWED


def test_connectors_import_nothing_else_of_the_app_and_no_other_connector() -> None:
    for path in (ROOT / "connectors").rglob("*.py"):
        own = f"connectors.{path.relative_to(ROOT / 'connectors').parts[0]}"
        for name in imported(path):
            if name == "app" or name.startswith("app."):
                allowed = name == "app" or any(name == each or name.startswith(f"{each}.") for each in ALLOWED)
                assert allowed, f"{path}: {name}"
            assert not name.startswith("connectors.") or f"{name}.".startswith(f"{own}."), f"{path}: {name}"


def test_every_stage_of_the_pipeline_has_its_place() -> None:
    rule = contracts()["The pipeline goes one way"]
    stages = {module.name for module in pkgutil.iter_modules(app.pipeline.__path__)}
    assert set(rule["layers"]) == stages  # type: ignore[call-overload]
    assert rule["exhaustive"] is True


def test_a_connector_that_reaches_into_the_hub_is_found(tmp_path: Path) -> None:
    for package, text in {"app": "", "connectors": "", "demo": "", "connectors/spy": "import app.hub\n"}.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(text)
    for module in ("hub", "connector", "events", "signing", "errors"):
        (tmp_path / "app" / f"{module}.py").touch()
    rule = next(rule for name, rule in contracts().items() if name.startswith("Connectors see"))
    lines = ["[importlinter]", "root_packages =", "  app", "  connectors", "  demo", "[importlinter:contract:spy]"]
    for key, value in rule.items():
        lines += [f"{key} ="] + [f"  {item}" for item in value] if isinstance(value, list) else [f"{key} = {value}"]
    (tmp_path / "rules.ini").write_text("\n".join(lines))
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--config", "rules.ini", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert "connectors.spy -> app.hub" in found.stdout


@pytest.mark.parametrize(
    ("door", "unwanted"), [("app.main", {"click", "aiohttp"}), ("app.worker", {"fastapi", "sqlalchemy"})]
)
def test_a_server_carries_only_what_it_needs(door: str, unwanted: set[str]) -> None:
    code = f"import sys, app.processes, {door}; print(*(name for name, module in sys.modules.items() if module))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert door in said
    assert not (unwanted | {"rich", "pygments", "alembic", "sqlalchemy.orm"}) & set(said.split())
