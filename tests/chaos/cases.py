"""The faults, one function each: what happens to the processes while orders come in."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import redis

from tests.chaos.stage import Stage


class Scene(Protocol):
    """What a trouble may use. `wait(seconds)` answers False when the trouble is to end."""

    stage: Stage
    notes: list[str]

    def wait(self, seconds: float) -> bool: ...

    def ask(self, query: str) -> list[Any]: ...

    def start_sink(self) -> None: ...


Trouble = Callable[[Scene], None]


@dataclass(frozen=True)
class Case:
    """A fault. `seconds`: how long it lasts; `short`: the same in the short form, if it is part of that; `kills`:
    processes die or freeze; `cut`: the destination does. `sink`: how the destination behaves; `times`: how often each
    webhook is delivered."""

    name: str
    trouble: Trouble
    seconds: float = 20
    workers: int = 1
    kills: bool = False
    cut: bool = False
    sink: tuple[dict[str, Any], ...] = ()
    times: int = 1
    short: float | None = None
    environment: dict[str, dict[str, str]] = field(default_factory=dict)


def nothing(scene: Scene) -> None:
    while scene.wait(1):
        pass


def kill_worker(scene: Scene) -> None:
    number = 0
    while scene.wait(2):
        number += 1
        scene.stage.kill("worker-1")
        scene.stage.hub("worker-1", "worker")
    scene.notes.append(f"{number} kills")


def kill_api(scene: Scene) -> None:
    number = 0
    while scene.wait(2):
        number += 1
        scene.stage.kill("api")
        scene.stage.hub("api", "serve")
        scene.stage.wait_ready()
    scene.notes.append(f"{number} kills")


def kill_both(scene: Scene) -> None:
    number = 0
    while scene.wait(2):
        number += 2
        for name, role in (("worker-1", "worker"), ("api", "serve")):
            scene.stage.kill(name)
            scene.stage.hub(name, role)
        scene.stage.wait_ready()
    scene.notes.append(f"{number} kills")


def flush_redis(scene: Scene) -> None:
    number = 0
    while scene.wait(3):
        number += 1
        with redis.Redis.from_url(scene.stage.redis.url) as client:
            client.flushall()
    scene.notes.append(f"{number} times")


def stop_redis(scene: Scene) -> None:
    scene.wait(1)
    scene.stage.redis.stop()
    while scene.wait(1):
        pass
    scene.stage.start_redis()


def restart_postgres(scene: Scene) -> None:
    number = 0
    while scene.wait(5 + 7 * (number % 3)):
        number += 1
        scene.stage.restart_postgres(signal.SIGQUIT)
    scene.notes.append(f"{number} restarts")


def terminate_worker(scene: Scene) -> None:
    took: list[float] = []
    while scene.wait(2.5):
        took.append(scene.stage.stop("worker-1", 25))
        scene.stage.hub("worker-1", "worker")
    scene.notes.append(f"{len(took)} times, ended within {max(took, default=0):.1f} s")
    assert max(took, default=0) <= 20, f"a worker took {max(took):.1f} s to end"


def freeze_owner(scene: Scene) -> None:
    """SIGSTOP whoever drains the lane until another has taken it over and decided, then let it go on."""
    number = 0
    while scene.wait(2):
        owners = scene.ask("select owner from lane where owner is not null and lease_until > now()")
        if not owners or not owners[0][0].startswith(socket.gethostname()):
            continue
        pid = int(owners[0][0].split(":")[1])
        number += 1
        os.kill(pid, signal.SIGSTOP)
        scene.wait(FROZEN)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    scene.notes.append(f"{number} times")
    assert number, "no lane had an owner"


def outage(scene: Scene) -> None:
    """The destination is away, then back; the lane parks meanwhile and burns no attempts."""
    scene.wait(1)
    scene.stage.kill("sink")
    parked = 0
    before = _tried(scene)
    while scene.wait(1):
        parked += scene.ask("select count(*) from lane where state = 'parked'")[0][0]
    burned = _tried(scene) - before
    scene.start_sink()
    scene.notes.append(f"parked, {burned} attempts burned")
    assert parked, "no lane was parked"
    assert burned <= 150, f"{burned} attempts were burned while the destination was away"


def _tried(scene: Scene) -> int:
    return int(scene.ask("select count(*) from attempt where state = 'retryable'")[0][0])


def clock_off(seconds: int) -> dict[str, str]:
    """What puts a process's wall clock off: libfaketime where it is installed, else our own shift of it."""
    roots = [Path(root) for root in ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")]
    libraries = (path for root in roots for places in ("faketime", "*/faketime") for path in root.glob(places))
    found = next((str(path / LIBRARY) for path in libraries if (path / LIBRARY).exists()), None)
    if found is None:
        return {"CHAOS_CLOCK_OFF": str(seconds)}
    return {"LD_PRELOAD": found, "FAKETIME": f"+{seconds}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


LIBRARY = "libfaketime.so.1"
FROZEN = 21.0
"""Seconds: the lease, and an attempt's deadline after it."""
HUGE = 10 * 1024 * 1024
REFUSING = ({"what": "500", "rate": 0.30},)
BROKEN = (
    {"what": "timeout", "rate": 0.05},
    {"what": "close", "rate": 0.04},
    {"what": "half", "rate": 0.04},
    {"what": "huge", "rate": 0.01, "size": HUGE},
)
THROTTLED = ({"what": "429", "rate": 0.02, "retry_after": 1},)
"""Each is an order to the whole lane: 50 calls are in flight, so that it stands still every hundredth request or so."""
CASES = [
    Case("calm", nothing, 5),
    Case("worker kill -9 every 2 s", kill_worker, 20, kills=True),
    Case("api kill -9 every 2 s", kill_api, 20),
    Case("worker and api kill -9 every 2 s", kill_both, 20, kills=True, short=5),
    Case("redis FLUSHALL every 3 s", flush_redis, 20, short=4),
    Case("redis stopped for 30 s", stop_redis, 31, short=4),
    Case("postgres restarted every 5-19 s", restart_postgres, 40, short=6),
    Case("destination: 500 for 30 %", nothing, 20, sink=REFUSING),
    Case("destination: timeout after acting, close, half, 10 MB", nothing, 20, sink=BROKEN, short=4),
    Case("destination: 429 with Retry-After", nothing, 20, sink=THROTTLED),
    Case("every webhook three times, shuffled", nothing, 20, times=3, short=2),
    Case(
        "one worker's clock 10 minutes off",
        nothing,
        20,
        workers=2,
        short=2,
        environment={"worker-2": clock_off(600)},
    ),
    Case("worker SIGTERM every 2.5 s", terminate_worker, 20, short=6),
    Case("lane's owner SIGSTOPped", freeze_owner, 50, workers=2, kills=True, short=24),
    Case("destination away", outage, 20, short=5, cut=True),
]
