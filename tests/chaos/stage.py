"""The stage of a fault test: real PostgreSQL, Redis, API, workers, destinations; each a process that can be killed."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.crypto import new_key
from app.domain.connections import split_secrets
from app.domain.connections_file import read_connections
from app.embedded import Service, free_port, start_postgres, start_redis
from app.processes import start_child
from app.registry import Registry
from app.settings import Settings
from tests.support.secrecy import SECRECY, search_hub, search_tables
from tests.support.services import QUICK, migrated_postgres, temporary_home
from tests.support.warm import COLD, Warm, start_warm

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Stage:
    """What runs, by name, and how to start, kill and ask it. Call it from the main thread only."""

    home: Path
    postgres: Service
    redis: Service
    environment: dict[str, str]
    port: int
    processes: dict[str, "Warm | subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str, module: str, *arguments: str, **environment: str) -> None:
        """Start `python -m module arguments`."""
        whole, log = self.environment | environment, self.home / f"{name}.log"
        if COLD & whole.keys():
            self.processes[name] = start_child([sys.executable, "-m", module, *arguments], whole, log)
        else:
            self.processes[name] = start_warm(module, arguments, whole, log)

    def hub(self, name: str, role: str, **environment: str) -> None:
        """Start an API (`serve`) or a `worker`."""
        self.start(name, "tests.chaos.child", role, **environment)

    def send(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """`kill -9`, and wait until it is dead."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self, name: str, seconds: float = 30) -> float:
        """SIGTERM; answers the seconds that it took to end. A process that does not end is killed (TimeoutExpired)."""
        process = self.processes.pop(name)
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(seconds)
        finally:
            process.kill()
            process.wait(10)
        return time.monotonic() - began

    def stop_all(self) -> None:
        for name, process in list(self.processes.items()):
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                self.stop(name, 5)

    def restart_postgres(self, number: int = signal.SIGQUIT) -> None:
        """End PostgreSQL (SIGQUIT: immediate mode) and start it again where it was."""
        port = self.postgres.port
        self.postgres.kill(number)
        self.postgres = start_postgres(self.home, port=port, options=QUICK)

    def start_redis(self) -> None:
        self.redis = start_redis(self.home, port=self.redis.port)

    def log(self, name: str) -> str:
        path = self.home / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def wait_ready(self, port: int | None = None, path: str = "/readyz", seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=5):
                return
            time.sleep(0.02)
        raise RuntimeError(
            f"nothing answers on port {port or self.port}: {[self.log(name) for name in self.processes]}"
        )


def ask(url: str, body: Any = None) -> Any:
    """GET, or POST of a body as JSON; answers the JSON."""
    data = None if body is None else orjson.dumps(body)
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=20) as answer:
        return orjson.loads(answer.read())


@contextmanager
def stage(connections: str, recipes: Mapping[str, str], connectors: str) -> Iterator[Stage]:
    """PostgreSQL and Redis run, the database is prepared; processes are started by the test. All end with the block.

    connections: the text of a connections file; recipes: sources by name; connectors: modules, commas between.
    """
    with temporary_home() as home:
        (home / "connections.yaml").write_text(connections)
        (home / "recipes").mkdir()
        for name, source in recipes.items():
            (home / "recipes" / f"{name}.yaml").write_text(source)
        postgres = migrated_postgres(home)
        redis = start_redis(home)
        port = free_port()
        environment = {
            "TRADEWIND_HOME": str(home),
            "TRADEWIND_DATABASE_URL": postgres.url,
            "TRADEWIND_REDIS_URL": redis.url,
            "TRADEWIND_PORT": str(port),
            "TRADEWIND_SECRET_KEYS": new_key(),
            "TRADEWIND_ADMIN_KEY": new_key(),
            "TRADEWIND_CONNECTIONS": str(home / "connections.yaml"),
            "TRADEWIND_RECIPES": str(home / "recipes"),
            "TRADEWIND_CONNECTORS": connectors,
            "TRADEWIND_LOG_LEVEL": "info",
            "PYTHONPATH": str(ROOT),
        }
        made = Stage(home, postgres, redis, environment, port)
        try:
            _prepare(made)
            yield made
            _search(made, connectors)
        finally:
            made.stop_all()
            made.redis.stop()
            made.postgres.stop()


def _search(made: Stage, connectors: str) -> None:
    """No secret of a connection stands in a log of any process, in a table, or in what the API answers."""
    registry = Registry.of(Settings(connectors=connectors))
    for each in read_connections(made.home / "connections.yaml", registry):
        SECRECY.learn(split_secrets(each.settings)[1])
    for path in made.home.glob("*.log"):
        SECRECY.search(path.name, path.read_bytes())
    search_tables(made.postgres.url)
    search_hub(f"http://127.0.0.1:{made.port}", made.environment["TRADEWIND_ADMIN_KEY"])
    if found := SECRECY.end():
        raise RuntimeError(f"secrets stand where they may not: {found}")


def _prepare(made: Stage) -> None:
    made.start("prepare", "tests.chaos.child", "prepare")
    code, said = made.processes.pop("prepare").wait(60), made.log("prepare")
    if code or "yaml:" in said:
        raise RuntimeError(f"the stage could not be prepared: {said}")
