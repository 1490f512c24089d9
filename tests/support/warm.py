"""Processes of a hub, and commands, begun as copies of one that has imported the hub already: a start costs a tenth of
a second of CPU instead of one or two, and the tests begin hundreds. They are processes like any: killed, frozen and
waited for."""

import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from app.embedded.identity import PR_SET_PDEATHSIG

PRELOADED = [
    *("app.processes", "app.main", "app.door", "app.worker", "app.registry", "uvicorn", "uvloop", "aiohttp"),
    *("app.cli.commands", "app.doctor", "httpx"),
]
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
    return _start(module, arguments, {**os.environ, **environment}, Path.cwd(), log_file, log_file)


def command(folder: Path, environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` of `tradewind arguments`, in a folder, with this environment and no other."""
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said, "out"), Path(said, "err")
        code = _start("app.cli", arguments, environment, folder, out, err).wait(60)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def _start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path
) -> Warm:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run, args=(module, arguments, environment, folder, out, err))
    process.start()
    return Warm(process)


def _run(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path
) -> None:
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    for number, path in ((1, out), (2, err)):
        output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, number)
        os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")
