"""What a running `tradewind dev` tells commands in other terminals: a file in its home that only its owner may read."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings

FILE = "dev.json"
LOCK = "dev.lock"
_held: list[int] = []


@dataclass(frozen=True)
class Running:
    """Where the servers of a running `tradewind dev` are."""

    pid: int
    url: str
    sandbox_url: str
    database_url: str
    redis_url: str

    def complete(self, settings: "Settings") -> "Settings":
        """Settings with these servers in place of those that the environment does not name."""
        port = int(self.url.rpartition(":")[2])
        return settings.model_copy(
            update={
                "port": port,
                "database_url": settings.database_url or self.database_url,
                "redis_url": settings.redis_url or self.redis_url,
            }
        )


def announce(home: Path, running: Running) -> None:
    """Write the file, whole or not at all, and lock its neighbour for as long as this process lives: a number of a
    process is given again (in a container to the same program), a lock is not."""
    new = home / f"{FILE}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(running), file, indent=2)
    _held.append(os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    fcntl.flock(_held[-1], fcntl.LOCK_EX)
    new.replace(home / FILE)


def withdraw(home: Path) -> None:
    (home / FILE).unlink(missing_ok=True)
    while _held:
        os.close(_held.pop())


def find(home: Path) -> Running | None:
    """The `tradewind dev` that runs on this home, if one does."""
    try:
        running = Running(**json.loads((home / FILE).read_text()))
        lock = os.open(home / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError, TypeError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return running
    finally:
        os.close(lock)
