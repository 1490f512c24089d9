"""One process a home, and the end of what an earlier one left behind."""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.errors import ConfigError

LOCK_SECONDS = 3.0  # a process that was just killed may still hold its lock for a moment
END_SECONDS = 20.0


def hold(home: Path, name: str) -> int:
    """Lock `home` for one kind of server; returns the open file that carries the lock, which ends with the process."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"start {name} from the main thread: it would be stopped when this thread ends")
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise ConfigError(
                    f"{home} is in use by another Tradewind: stop that one, or give this one another TRADEWIND_HOME"
                ) from None
            time.sleep(0.02)


@contextlib.contextmanager
def released_on_error(lock: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(lock)
        raise


def end_left_over(pid_file: Path, words: Sequence[str]) -> None:
    """End the server that `pid_file` names if it is really ours (its command line holds `words`), then drop the file.

    PostgreSQL itself would refuse to start when the pid has meanwhile been given to another process, belongs to an
    unreaped zombie (its command line is empty), or when the file is empty.
    """
    pid = recorded(pid_file, 0)
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if not pid.isdigit() or not _runs(int(pid), words):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signum)
        wait_until(lambda: not _runs(int(pid), words), END_SECONDS)
    pid_file.unlink(missing_ok=True)


def recorded(pid_file: Path, line: int) -> str:
    lines = pid_file.read_text(errors="replace").splitlines() if pid_file.exists() else []
    return lines[line].strip() if line < len(lines) else ""


def _runs(pid: int, words: Sequence[str]) -> bool:
    command = _command_line(pid)
    return bool(command) and all(word and word in command for word in words)


def _command_line(pid: int) -> str:
    """What `pid` was started with; empty if there is no such process or it is a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    listed = subprocess.run(["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return listed.stdout.decode(errors="replace").strip()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
