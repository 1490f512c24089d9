"""The stage of a benchmark: real PostgreSQL (fsync on) and Redis, one API process, workers, a sink; all bounded."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import psutil

from app.crypto import new_key
from app.embedded import Embedded, free_port

ROOT = Path(__file__).parent.parent
CONNECTIONS = """
connections:
  store:
    connector: shopify
    role: shop
    settings: {shop: b.myshopify.com, webhook_secrets: [bench-secret]}
  sink:
    connector: testbench
    settings: {}
    base_url: http://127.0.0.1:%d
"""


@dataclass
class Stage:
    """What runs, and how to ask it."""

    home: Path
    embedded: Embedded
    environment: dict[str, str]
    port: int
    sink_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sent: int = 0
    changes: int = 0
    """Of what was sent, those that the sink counts apart."""

    def start(self, name: str, *command: str, **extra: str) -> None:
        log = (self.home / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environment | extra, stderr=log, stdout=log
        )

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def wait_ready(self, port: int, path: str = "/readyz", seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"nothing answers on port {port}; see {self.home}")

    def load(self, count: int, *more: str, port: int | None = None) -> dict[str, Any]:
        """Send orders that were never sent before."""
        first = self.sent + 1
        self.sent += count
        self.changes += count if "--changes" in more else 0
        command = [sys.executable, "-m", "bench.load", "--port", str(port or self.port), "--count", str(count)]
        out = self.home / "load.json"
        command += ["--first", str(first), "--out", str(out), *more]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr.decode()[-2000:]}")
        result: dict[str, Any] = orjson.loads(out.read_bytes())
        return result

    def sink(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sink_port}/{what}", timeout=20) as answer:
            body: dict[str, Any] = orjson.loads(answer.read())
        return body

    def wait_arrived(self, total: int, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while self.sink("stats")["distinct"] < total - self.changes:
            if time.monotonic() > end:
                raise RuntimeError(f"only {self.sink('stats')} of {total} arrived; see {self.home}")
            time.sleep(0.02)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by process (PostgreSQL with all its backends)."""
        used = {name: _cpu(psutil.Process(process.pid)) for name, process in self.processes.items()}
        used["postgres"] = _cpu_tree(self.embedded.postgres.pid)
        used["redis"] = _cpu_tree(self.embedded.redis.pid)
        return used

    def written(self) -> tuple[float, float]:
        """(statements run, bytes of log written) by PostgreSQL so far."""

        async def read() -> tuple[float, float]:
            connection = await asyncpg.connect(self.embedded.database_url)
            try:
                await connection.execute("create extension if not exists pg_stat_statements")
                calls = await connection.fetchval("select coalesce(sum(calls), 0) from pg_stat_statements")
                log = await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
                return float(calls), float(log)
            finally:
                await connection.close()

        return asyncio.run(read())

    def memory(self, name: str) -> tuple[float, float]:
        """(MB with shared pages counted by their share, resident MB)."""
        full = psutil.Process(self.processes[name].pid).memory_full_info()
        return full.pss / 1e6, full.rss / 1e6


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_tree(pid: int) -> float:
    process = psutil.Process(pid)
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children():
        total += _cpu(child)
    return float(total)


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything but the hub's own processes, which measures start as they need them."""
    with (
        tempfile.TemporaryDirectory(prefix="tw-bench-", ignore_cleanup_errors=True) as folder,
        staged(Path(folder)) as hub,
    ):
        yield hub


def _kept_key(file: Path) -> str:
    if not file.exists():
        file.write_text(new_key())
    return file.read_text()


@contextmanager
def staged(home: Path) -> Iterator[Stage]:
    """The same in a folder that stays, with all that is in its database."""
    with Embedded(home) as embedded:
        port, sink_port = free_port(), free_port()
        (home / "connections.yaml").write_text(CONNECTIONS % sink_port)
        environment = os.environ | {
            "TRADEWIND_HOME": str(home),
            "TRADEWIND_DATABASE_URL": embedded.database_url,
            "TRADEWIND_REDIS_URL": embedded.redis_url,
            "TRADEWIND_PORT": str(port),
            "TRADEWIND_SECRET_KEYS": _kept_key(home / "secret-keys"),
            "TRADEWIND_ADMIN_KEY": new_key(),
            "TRADEWIND_CONNECTIONS": str(home / "connections.yaml"),
            "TRADEWIND_RECIPES": str(ROOT / "bench" / "recipes"),
            "TRADEWIND_CONNECTORS": "tests.support.testconnector",
            "TRADEWIND_LOG_LEVEL": "warning",
            "TRADEWIND_API_RATE": "100000",  # one key and one connection stand for many
            "TRADEWIND_WEBHOOK_RATE": "100000",
            "PYTHONPATH": str(ROOT),
        }
        made = Stage(home, embedded, environment, port, sink_port)
        try:
            prepare = [sys.executable, "-c", "from app.preparing import Settings, prepare; prepare(Settings())"]
            subprocess.run(prepare, cwd=ROOT, env=environment, check=True)
            made.start("sink", "-m", "bench.sink", str(sink_port))
            made.wait_ready(sink_port, "/stats")
            yield made
        finally:
            made.stop_all()
