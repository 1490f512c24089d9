"""`tradewind dev`: everything on one machine, as child processes of this one, and the flow on screen.

PostgreSQL and Redis (unless settings name servers), API, worker, sandboxes, and a demo shop where there is one beside
the package. Ctrl-C or SIGTERM stops all of it in order; `kill -9` too, by the system (Linux).
"""

import asyncio
import errno
import gc
import mmap
import os
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType

import httpx
from rich.text import Text

import app
from app.domain.keys import ensure_admin_key
from app.domain.recipes_folder import sync_folder
from app.embedded import Service, start_postgres, start_redis
from app.errors import ConfigError
from app.flow import HEADING, Flow
from app.hub import Hub, open_hub
from app.logs import set_up_logging
from app.preparing import fill, migrate_database
from app.processes import (
    Forked,
    fork_child,
    own_command,
    run_sandbox,
    run_worker,
    serve,
    start_child,
)
from app.registry import Registry
from app.running import Running, announce, find, withdraw
from app.settings import Settings
from app.store.database import is_refused
from app.terminal import Terminal

ROOT = Path(app.__file__).parent.parent
DEMO = ROOT / "demo"
LOOK_EVERY = 0.2
READY_WITHIN = 60.0
STOP_WITHIN = 25.0
KEPT_LOG = 4 * 1024 * 1024
MOST_PORT = 65533
"""The sandboxes take the next two."""
HINT_EVERY = 25
"""Lines of flow between two hints."""


@dataclass
class Stop:
    """How often we were asked to stop. Asked for the third time, we end at once, and the system ends our children."""

    asked: int = 0

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        if self.asked > 2:
            os._exit(130)


@dataclass
class Child:
    """One process of ours; started again if it dies after it had worked."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | Forked | None" = None
    started: float = 0.0

    def start(self) -> None:
        """By its command; at any time."""
        self.process = start_child(self.command, self.environment, self.log)
        self.started = time.monotonic()

    def start_quickly(self, work: Callable[[], None]) -> None:
        """By a fork, where that is safe: the same `work` as the command's, without its imports."""
        if self.log.exists() and self.log.stat().st_size > KEPT_LOG:
            self.log.unlink()
        if sys.platform != "linux":
            self.start()
            return
        self.process = fork_child(self.name, work, self.environment, self.log)
        self.started = time.monotonic()

    @property
    def died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def end(self, stop: Stop, seconds: float) -> None:
        """Wait until it has stopped; kill it when that takes too long, or when somebody asks again."""
        if self.process is None:
            return
        deadline = time.monotonic() + seconds
        asked = stop.asked
        while self.process.poll() is None:
            if time.monotonic() > deadline or stop.asked > asked:
                self.process.kill()
            time.sleep(0.02)

    def last_words(self) -> str:
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(said.splitlines()[-15:])


@dataclass
class Served:
    """One embedded server; started again on its port if it dies after it had worked."""

    service: Service
    start: Callable[..., Service]
    started: float = field(default_factory=time.monotonic)

    def start_again(self, home: Path) -> None:
        self.service.kill(signal.SIGKILL)  # lets go of its home
        self.service = self.start(home, port=self.service.port)
        self.started = time.monotonic()


@dataclass
class Dev:
    """One run of `tradewind dev`."""

    settings: Settings
    demo: bool
    every: float
    stop: Stop = field(default_factory=Stop)
    console: Terminal = field(default_factory=lambda: Terminal(highlight=False, markup=False, emoji=False))
    began: float = field(default_factory=time.monotonic)
    servers: dict[str, "Served"] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    key_file: Path | None = None

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def url(self) -> str:
        return f"http://{_reachable(self.settings.host)}:{self.settings.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port + 1}"

    @property
    def mail_url(self) -> str:
        """Where the sandboxes take mail."""
        return f"smtp://127.0.0.1:{self.settings.port + 2}"

    def run(self) -> int:
        """Everything, until asked to stop; answers the exit code."""
        self.stop.listen()
        self._make_sure_of_room()
        with ExitStack() as at_end:
            at_end.callback(self._say_stopped)
            self._start_servers(at_end)
            begin = self._start_api()
            migrate_database(self.settings)
            asyncio.run(self._fill())
            at_end.callback(self._stop_children)
            begin()
            self._start_children()
            return asyncio.run(self._show())

    def _make_sure_of_room(self) -> None:
        """Raises ConfigError when the home is no folder to write into, another one runs on it, or a port is taken."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            (self.home / "logs").mkdir(exist_ok=True)
        except OSError as e:
            raise ConfigError(
                f"{self.home} cannot be made, or not be written into: {e.strerror}. Mend that, or set TRADEWIND_HOME "
                "to another folder."
            ) from e
        running = find(self.home)
        if running is not None:
            raise ConfigError(
                f"A tradewind dev runs on {self.home} already (process {running.pid}, {running.url}): stop that one, "
                "or give this one another TRADEWIND_HOME and TRADEWIND_PORT."
            )
        port, host = self.settings.port, self.settings.host
        if not 0 < port <= MOST_PORT:
            raise ConfigError(
                f"TRADEWIND_PORT={port} does not do here: the API takes it and the sandboxes the next two, so choose "
                f"one from 1 to {MOST_PORT}."
            )
        for each, what in ((port, "the API"), (port + 1, "the sandboxes"), (port + 2, "their mail server")):
            where = host if each == port else "127.0.0.1"
            why = _refusal(where, each)
            if why == errno.EADDRINUSE:
                other = port + 100 if port + 100 <= MOST_PORT else 8000
                raise ConfigError(
                    f"Port {each} is taken by another program, and {what} would listen there. Stop that program, "
                    f"or choose other ports: TRADEWIND_PORT={other} {_typed('dev')} takes that and the next two."
                )
            if why:
                raise ConfigError(
                    f"{what} cannot listen on port {each} of {where}: {os.strerror(why)}. TRADEWIND_HOST={host} and "
                    f"TRADEWIND_PORT={port} say so: choose others."
                )

    def _start_servers(self, at_end: ExitStack) -> None:
        """PostgreSQL and Redis, each unless a setting names a server."""
        update = {}
        if not self.settings.redis_url:
            redis = self._server(start_redis, at_end)
            update["redis_url"] = redis.url
        if not self.settings.database_url:
            postgres = self._server(start_postgres, at_end)
            update["database_url"] = postgres.url
        self.settings = self.settings.model_copy(update=update)

    def _server(self, start: Callable[..., Service], at_end: ExitStack) -> Service:
        """Start one; it stays in `servers`, with how to start it again."""
        service = start(self.home)
        self.servers[service.name] = Served(service, start)
        at_end.callback(lambda: self.servers[service.name].service.stop())
        return service

    def _child(self, name: str, command: list[str], **more: str) -> Child:
        settings = self.settings
        environment = {
            "TRADEWIND_HOME": str(settings.home),
            "TRADEWIND_DATABASE_URL": settings.database_url,
            "TRADEWIND_REDIS_URL": settings.redis_url,
            "TRADEWIND_PORT": str(settings.port),
            "TRADEWIND_SANDBOX": self.sandbox_url,
            "TRADEWIND_SANDBOX_MAIL": self.mail_url,
            "PYTHONUNBUFFERED": "1",
            **more,
        }
        return Child(name, command, environment, settings.home / "logs" / f"{name}.log")

    async def _fill(self) -> None:
        os.environ["TRADEWIND_SANDBOX"] = self.sandbox_url
        os.environ["TRADEWIND_SANDBOX_MAIL"] = self.mail_url
        async with open_hub(self.settings) as hub:
            await fill(hub, *([DEMO / "connections.yaml"] if self._has_demo() else []), forgiving=False)
            if self._has_demo():
                await sync_folder(hub.database, hub.registry, DEMO / "recipes", actor="demo")
            await self._keep_key(hub)

    def _start_api(self) -> Callable[[], None]:
        """The API's process imports what it needs while the database is filled here. What is answered lets it begin:
        nobody is served before; it is one of the children only then, and ends with us until then."""
        settings, filled = self.settings, mmap.mmap(-1, 1)
        gc.collect()
        gc.freeze()

        def work() -> None:
            import app.main  # noqa: F401

            while not filled[0]:
                time.sleep(0.005)
            serve(settings)

        api = self._child("api", own_command("serve", "--no-prepare"))
        if sys.platform == "linux":
            api.start_quickly(work)

        def begin() -> None:
            filled[0] = 1
            self.children.append(api)
            if api.process is None:
                api.start()

        return begin

    def _start_children(self) -> None:
        """Before any event loop runs here, so that they may be forked."""
        settings, port = self.settings, self.settings.port + 1
        gc.collect()
        gc.freeze()
        sandbox = self._child("sandbox", own_command("sandbox", "--port", str(port)))
        sandbox.start_quickly(lambda: run_sandbox("127.0.0.1", port, Registry.of(settings)))
        worker = self._child("worker", own_command("worker", "--no-prepare"))
        worker.start_quickly(lambda: run_worker(settings))
        self.children += [sandbox, worker]
        if self._has_demo():
            arguments = ["--hub", self.url, "--every", str(self.every)]
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
            shop = self._child("shop", [sys.executable, "-m", "demo.shop", *arguments], PYTHONPATH=path)
            shop.start_quickly(lambda: _run_module("demo.shop", arguments))
            self.children.append(shop)

    async def _show(self) -> int:
        async with open_hub(self.settings) as hub:
            since = await hub.database.now() - timedelta(seconds=time.monotonic() - self.began)
            if not await self._ready():
                return 0 if self.stop.asked else 1
            announce(self.home, self._running())
            try:
                self._welcome(hub)
                return await self._follow(
                    Flow(hub.database, since, width=self.console.width if self.console.is_terminal else None)
                )
            finally:
                withdraw(self.home)

    def _has_demo(self) -> bool:
        return self.demo and (DEMO / "shop.py").exists()

    async def _keep_key(self, hub: Hub) -> None:
        """The first API key goes into a file that only its owner may read."""
        path = self.home / "admin.key"
        key = await ensure_admin_key(hub)
        if key is not None:
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"{key}\n")
        self.key_file = path if path.exists() else None

    def _running(self) -> Running:
        settings = self.settings
        return Running(os.getpid(), self.url, self.sandbox_url, settings.database_url, settings.redis_url)

    async def _ready(self) -> bool:
        """Wait until API and sandboxes answer; False when one cannot, or when asked to stop."""
        deadline = time.monotonic() + READY_WITHIN
        pending = [f"{self.url}/readyz", f"{self.sandbox_url}/_state"]
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while pending and not self.stop.asked:
                for child in self.children:
                    if child.died:
                        self._say_died(child)
                        return False
                if time.monotonic() > deadline:
                    self.console.print(
                        f"{pending[0]} does not answer; see {self.home / 'logs'}", style="red", soft_wrap=True
                    )
                    return False
                pending = [url for url in pending if not await _answers(client, url)]
                await asyncio.sleep(0.03)
        return not self.stop.asked

    async def _follow(self, flow: Flow) -> int:
        """Print what happens until asked to stop (0), or until something of ours cannot go on (1)."""
        lines = 0
        while not self.stop.asked:
            if not self._all_well():
                return 1
            try:
                told = await flow.lines()
            except Exception as e:
                if is_refused(e):
                    raise
                told = []  # PostgreSQL is away, or in trouble
            for line in told:
                self.console.print(line, soft_wrap=True)
                lines += 1
                if flow.last and lines % HINT_EVERY == 1:
                    self._hint(flow.last)
            await asyncio.sleep(LOOK_EVERY)
        return 0

    def _all_well(self) -> bool:
        """Start again what died after it had worked. False when something dies at its start."""
        for name, server in self.servers.items():
            if not server.service.running:
                log = (self.home / f"{name}.log").read_text(errors="replace").splitlines()[-10:]
                self.console.print(
                    "\n".join([f"The {name} has ended; its log ends with:", *log]), style="red", soft_wrap=True
                )
                if time.monotonic() - server.started < 5:
                    return False
                server.start_again(self.home)
                self.console.print(f"The {name} starts again.", style="yellow")
        for child in self.children:
            if child.died:
                self._say_died(child)
                if time.monotonic() - child.started < 5:
                    return False
                child.start()
                self.console.print(f"The {child.name} starts again.", style="yellow")
        return True

    def _say_died(self, child: Child) -> None:
        code = child.process.returncode if child.process else ""
        self.console.print(
            f"The {child.name} has ended with {code}; its log {child.log} ends with:", style="red", soft_wrap=True
        )
        self.console.print(child.last_words(), style="dim", soft_wrap=True)

    def _welcome(self, hub: Hub) -> None:
        say = self._say
        self.console.print(f"Tradewind is ready, {time.monotonic() - self.began:.1f} s after its start.", style="bold")
        say("API", f"{self.url}/docs", "describes it; webhooks come in at /webhooks/<connection>")
        if self.key_file is not None:
            key = _short(self.key_file)
            fetch = f'curl -H "Authorization: Bearer $(cat {shlex.quote(str(key))})" {self.url}/v1/events'
            say("API key", str(key), fetch)
        for connection in sorted(hub.connections, key=lambda each: each.slug):
            if connection.base_url == self.mail_url:
                say(
                    connection.slug,
                    f"{self.sandbox_url}/{connection.connector.slug}/",
                    "the mails that were sent, to read",
                )
            elif (connection.base_url or "").startswith(self.sandbox_url):
                where = f"{self.sandbox_url}/_state/{connection.connector.slug}"
                say(connection.slug, where, f"what the {connection.connector.title} sandbox holds")
        say("Sandboxes", f"{self.sandbox_url}/", "all of them, and how to let one fail")
        say("Logs", str(_short(self.home / "logs")), "")
        if self._has_demo():
            say("Demo shop", f"an order every {self.every:g} s", "")
        elif self.demo:
            say(
                "Demo shop", "none", "the folder `demo` of the source code is not here, so no orders come by themselves"
            )
        self.console.print("Ctrl-C stops everything; the hub keeps what was done, the sandboxes begin anew.\n")
        self.console.print(HEADING, style="dim", soft_wrap=True)

    def _say(self, name: str, what: str, more: str) -> None:
        line = Text(f"  {name:<10} ", "cyan")
        line.append(what, "default")
        line.append(f"  {more}", "dim")
        self.console.print(line, soft_wrap=True)

    def _hint(self, number: str) -> None:
        order = shlex.quote(number.removeprefix("#"))
        self.console.print(
            Text.assemble(("  its whole way, in another terminal here: ", "dim"), (_typed(f"trace {order}"), "bold")),
            soft_wrap=True,
        )

    def _stop_children(self) -> None:
        """In order: who sends, who takes in, who works, what is worked with."""
        self.stop.asked = max(self.stop.asked, 1)
        by_name = {child.name: child for child in self.children}
        for name in ("shop", "api", "worker", "sandbox"):
            if name in by_name:
                by_name[name].ask_to_stop()
                by_name[name].end(self.stop, STOP_WITHIN)

    def _say_stopped(self) -> None:
        if self.stop.asked or self.children:
            self.console.print("Stopped. The next start goes on from here.")


def run(settings: Settings, *, demo: bool = True, every: float = 4.0, began: float | None = None) -> int:
    """Start everything, show the flow, stop everything; answers the exit code. `began`: when, by the monotonic
    clock, the program was started. Raises ConfigError where it cannot start, with the mend."""
    set_up_logging(settings.model_copy(update={"log_level": "warning"}))
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    return Dev(settings, demo, every, began=began or time.monotonic()).run()


def _run_module(name: str, arguments: list[str]) -> None:
    """What `python -m name arguments` does, in this process."""
    sys.path.insert(0, str(ROOT))
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _refusal(host: str, port: int) -> int:
    """Why nothing of ours can listen there, as an `errno`; 0 if it can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            return errno.EADDRNOTAVAIL
        except OSError as e:
            return e.errno or errno.EADDRINUSE
    return 0


def _reachable(host: str) -> str:
    """The address by which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


def _typed(command: str) -> str:
    """A command of ours as one would type it here, in another terminal."""
    program, home = Path(sys.argv[0]), os.environ.get("TRADEWIND_HOME")
    named = f"TRADEWIND_HOME={shlex.quote(home)} " if home else ""
    if shutil.which("tradewind") or program.name != "tradewind":
        return f"{named}tradewind {command}"
    return f"{named}{_short(program.resolve())} {command}"


def _short(path: Path) -> Path:
    """The path from where we stand, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
