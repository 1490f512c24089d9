"""Starting the processes of a hub: API, worker, sandboxes; each as the command line runs it."""

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from app.embedded.identity import Identity, child_keywords
from app.errors import TradewindError
from app.hub import open_hub
from app.logs import set_up_logging
from app.production import check_database, check_secrets
from app.registry import Registry
from app.settings import Settings

log = structlog.get_logger()

_PR_SET_NAME = 15


def serve(settings: Settings, registry: Registry | None = None) -> None:
    """Run the API until SIGTERM."""
    import uvicorn

    from app.door import Door, make_room
    from app.main import make_app

    check_secrets(settings)
    set_up_logging(settings)
    make_room()
    config = uvicorn.Config(
        make_app(settings, registry, stays=True),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Door,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=10,
        backlog=4096,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        sys.exit(1)


def run_worker(settings: Settings, registry: Registry | None = None) -> None:
    """Run a worker until SIGTERM, also when that comes while it is starting."""
    import uvloop

    from app.worker import stop_on_signals, work

    check_secrets(settings)
    set_up_logging(settings)

    async def main() -> None:
        stop = stop_on_signals()
        async with open_hub(settings, registry, stays=True) as hub:
            await work(hub, stop, lambda: log.info("the worker works", name=hub.name))

    uvloop.run(main())


def run_sandbox(host: str, port: int, registry: Registry | None = None, smtp_port: int | None = None) -> None:
    """Serve the sandboxes of all connectors until SIGTERM; mail on `smtp_port`, the next one if not said."""
    import uvicorn

    from app.sandbox import make_app

    app = make_app(registry or Registry(), smtp=(host, smtp_port or port + 1))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, loop="uvloop")


def prepare_apart(settings: Settings, *, migrations: bool = True) -> None:
    """What a process of the hub does before it starts, in a forked process: what only the start needs (Alembic,
    SQLAlchemy, YAML, the checks of recipes) is 30 MB that a worker would carry for good. Ends this process with the
    other's code where that fails. Raises ConfigError where no database is named."""
    check_database(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    before = child_keywords(Identity(), signal.SIGTERM)["preexec_fn"]
    pid = os.fork()
    if pid == 0:
        before()
        os._exit(_code_of(lambda: _prepare(settings, migrations)))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        sys.exit(abs(code))


def _prepare(settings: Settings, migrations: bool) -> None:
    from app.preparing import prepare

    prepare(settings, migrations=migrations)


def _code_of(work: Callable[[], None]) -> int:
    """The exit code that a piece of work would end a command with; what went wrong is said."""
    code = 1
    try:
        work()
        code = 0
    except TradewindError as e:
        sys.stderr.write(f"{e}\n")
        code = 2
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1 if e.code else 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def own_command(*arguments: str) -> list[str]:
    """This same program with other arguments, for a child process."""
    return [sys.executable, "-m", "app.cli", *arguments]


def start_child(command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> "subprocess.Popen[bytes]":
    """Start a process of ours: a session of its own, so that Ctrl-C goes to us alone; its output appended to a file
    that only its owner may read; ended by the system when we end (Linux). Call it from the main thread."""
    keywords = child_keywords(Identity(), signal.SIGTERM) | {"env": {**os.environ, **environment}}
    output = _opened(log_file)
    try:
        return subprocess.Popen(  # noqa: S603 (the command line is made here, of no input from outside)
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, **keywords
        )
    finally:
        os.close(output)


class Forked:
    """A child made by `fork_child`, with what `subprocess.Popen` offers of use here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def fork_child(name: str, work: Callable[[], None], environment: Mapping[str, str], log_file: Path) -> Forked:
    """As `start_child`, but with what is imported already: four processes start in the time of one (Linux only). Call
    it while no event loop and no other thread runs. `name`: what `ps` shows as the command's short name."""
    before = child_keywords(Identity(), signal.SIGTERM)["preexec_fn"]
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Forked(pid)

    def become_and_work() -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        before()
        _become(name, environment, log_file)
        work()

    os._exit(_code_of(become_and_work))  # nothing that the parent would do at its end is done here


def _become(name: str, environment: Mapping[str, str], log_file: Path) -> None:
    """The forked process becomes one of its own: environment, output, short name."""
    os.environ.update(environment)
    nothing, output = os.open(os.devnull, os.O_RDONLY), _opened(log_file)
    for here, there in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(here, there)
    os.closerange(3, 256)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"tw-{name}".encode()[:15], 0, 0, 0)


def _opened(log_file: Path) -> int:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    return os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
