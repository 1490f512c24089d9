"""`secret.key` in the home: the keys that encrypt secrets where TRADEWIND_SECRET_KEYS names none (on a laptop).

One line, keys in base64 with commas between, the first encrypts; only its owner may read it.
"""

import os
import threading
from pathlib import Path

from app.crypto import new_key
from app.errors import ConfigError
from app.running import FILE as RUNNING
from app.running import find

FILE = "secret.key"


def made_keys(home: Path) -> str:
    """What the file holds; made with one key at the first start, however many processes start at once. Raises
    ConfigError if others may read it, or none can be written."""
    path = home / FILE
    if not path.exists():
        try:
            _make(home, path)
        except OSError as e:
            raise ConfigError(
                f"{path} cannot be written: {e.strerror}. Mend that, set TRADEWIND_HOME to another folder, or give the "
                "keys by TRADEWIND_SECRET_KEYS."
            ) from e
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} may be read by others than its owner: chmod 600 {path}")
    return path.read_text().strip()


def _make(home: Path, path: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    new = _written(home, new_key())
    try:
        os.link(new, path)  # never half a file, and never one in another's place
    except FileExistsError:
        pass
    finally:
        new.unlink()


def put_in_front(home: Path) -> None:
    """Add a fresh key before those of the file: it encrypts from the next start on, the others still decrypt."""
    _replace(home, f"{new_key()},{made_keys(home)}")


def newer_than_dev(home: Path) -> bool:
    """Whether a `tradewind dev` runs on this home that started before the file was last changed."""
    return find(home) is not None and (home / FILE).stat().st_mtime > (home / RUNNING).stat().st_mtime


def keep_only_first(home: Path) -> None:
    """Drop every key of the file but the one that encrypts."""
    _replace(home, made_keys(home).split(",")[0])


def _replace(home: Path, text: str) -> None:
    _written(home, text).replace(home / FILE)


def _written(home: Path, text: str) -> Path:
    new = home / f"{FILE}.{os.getpid()}.{threading.get_ident()}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new
