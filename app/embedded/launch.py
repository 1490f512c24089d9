"""Starting a server on a free port and waiting until it answers."""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from app.embedded.home import recorded, wait_until
from app.embedded.identity import Identity, child_keywords
from app.errors import ConfigError

START_SECONDS = 120.0  # crash recovery of a large log takes its time
LARGEST_LOG = 8 * 1024 * 1024


Process: TypeAlias = "subprocess.Popen[bytes]"


@dataclass(frozen=True, slots=True)
class Server:
    """What to start: the command without its port, where it logs, as whom it runs, what it is sent when we die."""

    title: str
    command: Sequence[str]
    port_flag: str
    log: Path
    identity: Identity
    death_signal: signal.Signals


def launch(server: Server, port: int | None, ready: Callable[[Process, int], bool]) -> tuple[Process, int]:
    """Start and wait until `ready`; again with another port if ours was just taken, or while an orphan is ending."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        chosen = port or free_port()
        logged = _size(server.log)
        process = _spawn(server, chosen)
        if _is_up(process, partial(ready, process, chosen), deadline - time.monotonic()):
            return process, chosen
        said = server.log.read_bytes()[logged:].decode(errors="replace").strip()
        taken = port is None and "ddress already in use" in said
        orphaned = "shared memory block" in said  # the last backends of a killed server are still running
        if not (taken or orphaned) or time.monotonic() > deadline:
            raise ConfigError(
                f"{server.title} did not start on port {chosen}; its log {server.log} ends with:\n{said[-800:]}"
            )
        time.sleep(0.02)


def _spawn(server: Server, port: int) -> Process:
    command = [*server.command, server.port_flag, str(port)]
    keywords = child_keywords(server.identity, server.death_signal)
    with server.log.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **keywords)


def _is_up(process: Process, ready: Callable[[], bool], seconds: float) -> bool:
    """Wait until it is ready; if it ends or is not ready in time, nothing of it stays."""
    try:
        wait_until(lambda: process.poll() is not None or ready(), seconds)
        if process.poll() is None and ready():
            return True
    except BaseException:
        process.kill()
        raise
    process.kill()
    process.wait()
    return False


def free_port() -> int:
    """A free port below those that the system lends to clients, so that a restart on it finds it free again."""
    for port in random.sample(range(15_000, 32_000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ConfigError("no free port on 127.0.0.1 between 15000 and 32000")


def _size(log: Path) -> int:
    """Where this start's lines will begin in the log (bytes); a log that has grown large begins anew."""
    size = log.stat().st_size if log.exists() else 0
    if size > LARGEST_LOG:
        log.unlink()
        return 0
    return size


def postgres_is_ready(data: Path, process: Process) -> bool:
    """The server writes its state into the eighth line of its pid file (what `pg_ctl -w` waits for)."""
    pid_file = data / "postmaster.pid"
    return recorded(pid_file, 0) == str(process.pid) and recorded(pid_file, 7) == "ready"


def redis_is_ready(port: int, process: Process) -> bool:
    """It answers, has loaded its data, and is not another Redis that had the port before."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\nINFO server\r\n")
            answer = connection.recv(8192)
    except OSError:
        return False
    return answer.startswith(b"+PONG") and b"process_id:%d\r" % process.pid in answer
