"""Processes of a hub begun as copies of one that has imported the hub already: a start costs a tenth of a second of CPU
instead of two, and the tests of faults begin dozens. They are processes like any: killed, frozen and waited for."""

import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from app.embedded.identity import PR_SET_PDEATHSIG

PRELOADED = ["app.processes", "app.main", "app.door", "app.worker", "app.registry", "uvicorn", "uvloop", "aiohttp"]
COLD = {"CHAOS_CLOCK_OFF", "LD_PRELOAD"}
"""What must be there before anything is imported."""


class Warm:
    """A running `python -m module arguments`, with what `subprocess.Popen` offers of use here."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """Its exit code. Raises TimeoutExpired when it has not ended by then."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, seconds or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_warm(module: str, arguments: Sequence[str], environment: Mapping[str, str], log_file: Path) -> Warm:
    """As `start_child` of `python -m module arguments`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run, args=(module, arguments, {**os.environ, **environment}, log_file))
    process.start()
    return Warm(process)


def _run(module: str, arguments: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for there in (1, 2):
        os.dup2(output, there)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")
