"""`tradewind dev` as a newcomer meets it: one command, orders flow, Ctrl-C leaves nothing behind, nothing is lost."""

import io
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psutil
import pytest

import app.dev
from app.domain.connections import secret_texts, split_secrets
from app.domain.connections_file import read_connections
from app.errors import ConfigError
from app.hub import Hub
from app.registry import Registry
from app.settings import Settings
from demo.shop import FOLDER
from tests.support.journal import Journal
from tests.support.secrecy import SECRECY, search_hub
from tests.support.services import free_port, temporary_home
from tests.support.serving import got
from tests.support.warm import command

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
BY_HAND = 100_000
"""Orders sent by hand have numbers above this; those of the demo shop begin at 1001."""
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def port() -> int:
    """A free port with two free ones after it."""
    while True:
        port = free_port()
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port + 1))
                other.bind(("127.0.0.1", port + 2))
            except OSError:
                continue
        return port


@pytest.fixture(autouse=True)
def _journal(sandbox_journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "TRADEWIND_SANDBOX_JOURNAL", str(sandbox_journal.folder))


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in another terminal of the same folder, without any setting in its environment."""
    return command(folder, ENVIRONMENT, *arguments)


def eventually(condition: Callable[[], Any], seconds: float, what: Callable[[], str] = str, pause: float = 0.1) -> Any:
    """The first true answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(pause)
    return answer


@dataclass
class Dev:
    """A running `tradewind dev`."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    family: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return (self.folder / "screen").read_text()

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def state(self, connector: str) -> Any:
        try:
            return got(f"{self.sandbox}/_state/{connector}").json()
        except httpx.TransportError:
            return {}

    def until(self, condition: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
        def met() -> Any:
            answer = condition()  # the answer first: what ended the process may be what is waited for
            assert answer or self.process.poll() is None, self.said + self.logs()
            return answer

        return eventually(met, seconds, lambda: self.said + self.logs())

    def ready(self) -> None:
        self.until(lambda: "Ctrl-C stops everything" in self.said)
        parent = psutil.Process(self.process.pid)
        self.family = {child.pid: child for child in [parent, *parent.children(recursive=True)]}

    def logs(self) -> str:
        return "\n".join(f"{path}: {path.read_text()[-1500:]}" for path in self.folder.glob(".tradewind/logs/*.log"))

    def orders(self) -> list[str]:
        return re.findall(r"^\d\d:\d\d:\d\d +#(\d+)", self.said, re.MULTILINE)

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def left_over(self) -> list[psutil.Process]:
        return [each for each in self.family.values() if _runs(each)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def dev(folder: Path, port: int, *arguments: str) -> Iterator[Dev]:
    with (folder / "screen").open("wb") as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "dev", *arguments],
            cwd=folder,
            env={**ENVIRONMENT, "TRADEWIND_PORT": str(port)},
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
    running = Dev(folder, port, process)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        for each in running.left_over():
            each.kill()


def test_one_command_lets_orders_flow_and_a_restart_keeps_them(folder: Path, port: int) -> None:
    with dev(folder, port, "--every", "1.5") as first:
        first.ready()
        first.until(lambda: "1001" in first.orders() and len(first.orders()) > 1)
        invoices = first.state("quickbooks")["invoices"]
        numbers = [invoice["DocNumber"] for invoice in invoices]
        assert any(number.endswith("1001") for number in numbers), numbers
        assert len(set(numbers)) == len(numbers)
        assert first.state("slack")["messages"]
        first.until(lambda: "tradewind trace 1001" in first.said)

        traced = cli(folder, "trace", "1001")
        assert traced.returncode == 0, traced.stdout + traced.stderr
        for word in ("orders/paid", "order.paid", "invoice-paid-orders", "announce-orders", "create_invoice", "200"):
            assert word in traced.stdout, traced.stdout
        assert_a_platform_can_be_stood_in_for(first)
        assert_secrets_are_for_us_alone(folder / ".tradewind")
        assert_the_key_opens_the_api(first)
        assert_everything_is_well(folder)
        assert_no_secret_is_answered(first)

        assert first.stop(signal.SIGINT) == 0, first.said
        assert first.said.rstrip().endswith("The next start goes on from here.")
        eventually(lambda: not first.left_over(), 5, lambda: str(first.left_over()))
        assert_no_secret_was_said(first)
        shown = max(number for number in map(int, first.orders()) if number < BY_HAND)

    assert cli(folder, "events").returncode == 2
    with dev(folder, port, "--every", "1.5") as second:
        second.ready()
        second.until(second.orders)
        assert min(map(int, second.orders())) > shown - 1, "order numbers go on"
        kept = json.loads(cli(folder, "events", "1001", "--json").stdout)
        assert [event["type"] for event in kept] == ["order.paid"]
        assert second.stop(signal.SIGTERM) == 0, second.said
        eventually(lambda: not second.left_over(), 5, lambda: str(second.left_over()))


def assert_a_platform_can_be_stood_in_for(running: Dev) -> None:
    """What is sent by hand is taken and becomes orders; what came in becomes fixtures without people."""
    folder, before = running.folder, len(running.state("quickbooks")["invoices"])
    sent = cli(folder, "send", "demo-store", "--topic", "orders/paid", "--count", "3", "--rate", "30", "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert json.loads(sent.stdout)["statuses"] == {"200": 3}
    running.until(lambda: len(running.state("quickbooks")["invoices"]) >= before + 3)

    unknown = folder / "body.json"
    unknown.write_text('{"email": "grace@navy.mil", "amount": "1.50"}')
    assert cli(folder, "send", "demo-store", "--topic", "no/such", "--file", "body.json").returncode == 0
    running.until(lambda: "no rule for the topic 'no/such'" in running.said)

    captured = cli(folder, "capture", "--connection", "demo-store", "--last", "50", "--out", "fixtures", "--json")
    assert captured.returncode == 0, captured.stderr
    fixtures = [Path(folder / name) for name in json.loads(captured.stdout)]
    assert {path.parent.name for path in fixtures} >= {"orders-paid", "no-such"}
    order = json.loads(next(path for path in fixtures if path.parent.name == "orders-paid").read_text())
    assert order["email"].startswith("buyer-")
    assert order["line_items"]

    again = cli(folder, "webhooks", "reprocess", "--state", "unknown", "--connection", "demo-store", "--json")
    assert json.loads(again.stdout) == {"state": "unknown", "webhooks": 1}
    event = json.loads(cli(folder, "events", "1001", "--json").stdout)[0]["id"]
    replayed = cli(folder, "replay", event, "--dry-run", "--json")
    assert replayed.returncode == 0, replayed.stderr
    effects = [effect["standing"] for run in json.loads(replayed.stdout)["runs"] for effect in run["effects"]]
    assert set(effects) == {"done"}, "a replay finds every effect"


def assert_no_secret_was_said(running: Dev) -> None:
    """By the screen and the logs of each process, after a day of the demo."""
    declared = read_connections(FOLDER / "connections.yaml", Registry())
    secrets = frozenset().union(*(secret_texts(each.settings) for each in declared))
    assert len(secrets) > 20
    for path in (running.folder / "screen", *running.folder.glob(".tradewind/logs/*.log")):
        said = path.read_text()
        assert said or path.name != "screen"
        assert [secret for secret in secrets if secret in said] == [], path


def assert_no_secret_is_answered(running: Dev) -> None:
    """By the API or its metrics; what is found fails the test at its end."""
    for each in read_connections(FOLDER / "connections.yaml", Registry()):
        SECRECY.learn(split_secrets(each.settings)[1])
    key = (running.folder / ".tradewind" / "admin.key").read_text().strip()
    assert search_hub(f"http://127.0.0.1:{running.port}", key) > 20


def assert_secrets_are_for_us_alone(home: Path) -> None:
    for name in ("dev.json", "admin.key", "secret.key", "logs/api.log"):
        assert stat.S_IMODE((home / name).stat().st_mode) & 0o077 == 0, name


def assert_the_key_opens_the_api(running: Dev) -> None:
    key = (running.folder / ".tradewind" / "admin.key").read_text().strip()
    address = f"http://127.0.0.1:{running.port}"
    assert got(f"{address}/v1/events", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert got(f"{address}/v1/events").status_code == 401
    assert got(f"{address}/docs").status_code == 200
    assert key not in running.said


def assert_everything_is_well(folder: Path) -> None:
    """Once the outage that belongs to the demo's day is over."""
    said: list[str] = []

    def well() -> bool:
        found = cli(folder, "doctor", "--json")
        said.append(found.stdout + found.stderr)
        return found.returncode == 0 and {each["verdict"] for each in json.loads(found.stdout)} == {"ok"}

    eventually(well, 90, lambda: said[-1], pause=3)


def test_what_dies_is_started_again_and_what_is_killed_takes_all_with_it(folder: Path, port: int) -> None:
    with dev(folder, port, "--no-demo") as running:
        running.ready()
        assert running.orders() == []
        worker = next(each for each in running.family.values() if named(each) == "tw-worker")
        running.until(lambda: time.time() - worker.create_time() > 6)  # what dies at its start is not started again
        parent = psutil.Process(running.process.pid)
        for name, title in (("redis-server", "redis"), ("postgres", "postgres")):
            next(each for each in parent.children() if named(each) == name).kill()
            running.until(lambda title=title: f"The {title} starts again." in running.said)
        running.until(lambda: is_ready(running.port))
        worker.kill()
        running.until(lambda: "The worker starts again." in running.said)
        assert "The worker has ended with -9" in running.said
        running.until(lambda: len(parent.children()) >= 5)
        running.family |= {child.pid: child for child in parent.children(recursive=True)}
        running.process.kill()
        running.process.wait()
        eventually(lambda: not running.left_over(), STOP_SECONDS, lambda: str(running.left_over()))
    refused = cli(folder, "runs")
    assert refused.returncode == 2
    assert "tradewind dev" in refused.stderr


def is_ready(port: int) -> bool:
    try:
        return got(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def named(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_taken_port_is_said_with_the_mend(folder: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 1))
        other.listen()
        with dev(folder, port) as refused:
            assert refused.process.wait(START_SECONDS) == 2
            assert f"Port {port + 1} is taken" in refused.said
            assert "TRADEWIND_PORT=" in refused.said
            assert "Traceback" not in refused.said


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"port": 65534}, "TRADEWIND_PORT=65534 does not do here.* from 1 to 65533"),
        ({"port": 0}, "TRADEWIND_PORT=0 does not do here"),
        ({"host": "192.0.2.1"}, r"the API cannot listen on port \d+ of 192.0.2.1: Cannot assign"),
        ({"host": "no such host"}, "cannot listen on port"),
        ({"home": "file"}, "file cannot be made, or not be written into: File exists"),
        ({"home": "file/below"}, "below cannot be made, or not be written into: Not a directory"),
    ],
)
def test_where_it_cannot_start_it_says_so_in_a_sentence(
    tmp_path: Path, port: int, where: dict[str, Any], said: str
) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / where.get("home", "home")
    settings = Settings.model_validate({"port": port, **where, "home": home})
    with pytest.raises(ConfigError, match=said):
        app.dev.Dev(settings, demo=False, every=4)._make_sure_of_room()


def test_what_is_typed_off_the_screen_works_in_any_folder(tmp_path: Path, port: int) -> None:
    home = tmp_path / "my [shop] & :smile: 'more' [/x]"
    told = io.StringIO()
    shown = app.dev.Dev(Settings(home=home, port=port), demo=False, every=4, key_file=home / "admin.key")
    shown.console.file, shown.console.width = told, 60
    shown._welcome(cast(Hub, SimpleNamespace(connections=[])))
    shown._say_died(app.dev.Child("api", [], {}, home / "logs" / "api.log"))
    text = told.getvalue()
    assert f"$(cat {shlex.quote(str(home / 'admin.key'))})" in text
    assert f"its log {home / 'logs' / 'api.log'} ends with" in text


def test_a_broken_connections_file_is_refused_with_its_place(folder: Path, port: int) -> None:
    (folder / "connections.yaml").write_text("connections:\n  shop: {connector: nowhere}\n")
    done = refused_dev(folder, port, TRADEWIND_CONNECTIONS="connections.yaml")
    assert "connections.yaml:2:" in done.stderr


def test_a_broken_recipe_is_refused_with_its_place_and_mend(folder: Path, port: int) -> None:
    (folder / "recipes").mkdir()
    (folder / "recipes" / "greet.yaml").write_text(
        "title: Greet\non: order.paid\nwhere: order.totl.amount > 0\nsteps:\n  - {stop: done}\n"
    )
    done = refused_dev(folder, port, TRADEWIND_RECIPES="recipes")
    assert "greet.yaml:3:" in done.stderr
    assert "`order.total`" in done.stderr or "'total'" in done.stderr


def refused_dev(folder: Path, port: int, **more: str) -> "subprocess.CompletedProcess[str]":
    """What `tradewind dev` says when it does not start."""
    line = [sys.executable, "-m", "app.cli", "dev", "--no-demo"]
    environment = {**ENVIRONMENT, "TRADEWIND_PORT": str(port), **more}
    done = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("server", ["serve", "worker"])
@pytest.mark.parametrize("later", [0.0, 0.9])
def test_a_stop_right_at_the_start_is_a_clean_stop(
    server: str, later: float, folder: Path, port: int, database_url: str, redis_url: str
) -> None:
    servers = {"TRADEWIND_DATABASE_URL": database_url, "TRADEWIND_REDIS_URL": redis_url, "TRADEWIND_PORT": str(port)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", server],
            cwd=folder,
            env={**ENVIRONMENT, **servers},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: hears(process.pid, signal.SIGTERM), START_SECONDS)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(later)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0, (folder / "log").read_text()
        assert "Traceback" not in (folder / "log").read_text(), (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def hears(pid: int, number: signal.Signals) -> bool:
    """Whether the process handles a signal itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
