"""Making PostgreSQL's data folder and the database `tradewind` in it."""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.embedded.identity import Identity, child_keywords, hand_over
from app.errors import ConfigError

LONGEST_PATH = 900
"""Bytes of the data folder's path: PostgreSQL cuts paths at 1,024."""


def make_cluster(data: Path, bin_folder: Path, identity: Identity) -> None:
    """The data folder and the database, made aside and then renamed: a crash half way leaves nothing half-made."""
    if (data / "PG_VERSION").exists():
        return
    made = data.with_suffix(".new")
    if len(os.fsencode(made)) > LONGEST_PATH:
        raise ConfigError(
            f"The path of {data.parent} is too long for PostgreSQL ({LONGEST_PATH} bytes at most, with the names that "
            "come below it): set TRADEWIND_HOME to a shorter one"
        )
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    hand_over(made, identity)
    locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    owner = ["-U", "tradewind", "--auth=trust", "--encoding=UTF8", f"--locale={locale}", "--no-sync"]
    _run([str(bin_folder / "initdb"), "-D", str(made), *owner], identity)
    single = [str(bin_folder / "postgres"), "--single", "-D", str(made), "-c", "fsync=off", "postgres"]
    _run(single, identity, b"create database tradewind\n")
    os.sync()
    made.rename(data)


def _run(command: Sequence[str], identity: Identity, typed: bytes = b"") -> None:
    keywords = child_keywords(identity, signal.SIGKILL)
    done = subprocess.run(command, input=typed, capture_output=True, check=False, **keywords)
    if done.returncode != 0:
        raise ConfigError(
            f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr).decode(errors='replace')[-800:]}"
        )
