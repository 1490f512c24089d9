"""The command line without servers: quick help, plain sentences, files checked, fixtures without people."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.tree import Tree

from app.cli import main
from app.cli.output import console_for, moment, print_json, print_rows, say
from app.cli.trying import _tell
from app.errors import ConfigError, MalformedError
from app.fixtures import cleaned
from app.flow import Flow, Followed, event_line, refused_line
from app.ids import new_id
from app.running import Running, announce, find, withdraw
from app.scaffold import renamed, write_connector
from app.settings import Settings
from app.store import flow as store
from app.store.database import Database
from app.store.flow import Progress, Refused, Seen
from app.store.packing import pack
from app.trace.shapes import Event, EventWay, Thing, Trace, Way
from app.trace.terminal import render

ROOT = Path(__file__).parents[2]
GOOD = "title: Say hello\non: order.paid\nsteps:\n  - use: slack.post_message\n    with: {text: hello}\n"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["tradewind", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def all_commands() -> dict[str, Any]:
    from app.cli.commands import app

    return dict(commands(typer.main.get_command(app)))


def test_help_loads_nothing_heavy() -> None:
    heavy = {"sqlalchemy", "fastapi", "httpx", "pydantic", "asyncpg", "redis"}
    code = f"import app.cli.commands, sys; print({heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "set()"


def test_every_command_is_there_with_a_help_line_and_documented() -> None:
    found = all_commands()
    wanted = (
        "dev serve worker sandbox migrate doctor trace events runs replay send capture export|webhooks reprocess|"
        "recipes list|recipes check|recipes test|recipes sync|connectors list|connectors new|connections list|"
        "connections apply|connections test|connections rotate|connections pause|connections resume|"
        "keys list|keys new|keys revoke|keys new-secret"
    )
    names = wanted.split("|")
    assert {*names[0].split(), *names[1:]} <= set(found)
    documented = (ROOT / "docs" / "cli.md").read_text()
    for name, command in found.items():
        assert command.help, name
        assert f"`tradewind {name}" in documented, f"docs/cli.md does not tell of `tradewind {name}`"


def test_every_command_but_the_servers_answers_json_if_asked() -> None:
    servers = {"dev", "serve", "worker", "sandbox"}
    for name, command in all_commands().items():
        takes = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in takes) is (name not in servers), name


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tradewind recipes pa", ["pause"]),
        ("tradewind keys new --scope re", ["read", "replay", "recipes"]),
        ("tradewind events --type order.par", ["order.partially_paid", "order.partially_fulfilled"]),
        ("tradewind recipes pause no-hub-knows", []),
    ],
)
def test_names_are_completed_and_a_hub_that_is_away_completes_nothing(
    typed: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment = {"_TRADEWIND_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    for name, value in {**environment, "TRADEWIND_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch) == 0
    said = capsys.readouterr()
    assert (said.out.split(), said.err) == (offered, "")


ROWS = [
    {
        "id": "01a22cfe-4770-769f-a10d-7828bb0c114b",
        "state": "failed",
        "reason": "word " * 40,
        "at": "2026-11-30T15:06:33.1Z",
    }
]


def test_a_table_wider_than_the_terminal_becomes_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    print_rows(ROWS, False, empty="")
    assert len(capsys.readouterr().out.splitlines()) == 2, "who reads a pipe cuts columns: a row is a line"
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    print_rows(ROWS, False, empty="")
    painted = capsys.readouterr().out
    lines = re.sub(r"\x1b\[\d*m", "", painted).splitlines()
    assert max(map(len, lines)) <= 60
    assert "01a22cfe-4770-769f-a10d-7828bb0c114b" in lines[0]
    assert lines[-1].split() == ["at", "2026-11-30", "15:06:33Z"]
    assert "\x1b[3" not in painted, "NO_COLOR was asked for"


def test_a_tree_is_as_wide_as_it_is_where_no_terminal_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    tree = Tree("order 1001")
    tree.add("reason " * 30)
    console_for(tree)[0].print(tree)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "configuration.md").read_text()
    for name in Settings.model_fields:
        assert f"`TRADEWIND_{name.upper()}`" in documented, name


def test_what_an_operator_can_mend_is_a_sentence_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TRADEWIND_HOME", str(tmp_path))
    for command in (["serve"], ["worker"], ["migrate"], ["events"], ["trace", "1001"], ["recipes", "check", "nowhere"]):
        assert run(monkeypatch, *command) == 2, command
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.strip().count("\n") == 0
        assert said.strip().endswith((".", "!")), said


def test_a_database_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRADEWIND_DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/none")
    monkeypatch.setenv("TRADEWIND_REDIS_URL", "redis://127.0.0.1:1/0")
    assert run(monkeypatch, "events") == 2
    said = capsys.readouterr().err
    assert "127.0.0.1:1/none" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("DATABASE_URL", "postgres:hush", "it is no address like postgresql://user:password@host:port/name."),
        ("DATABASE_URL", "mysql://me:hush@host/x", "it is no address like postgresql://"),
        ("DATABASE_URL", "postgresql://me:hush@host:port/x", "it is no address like postgresql://"),
        ("REDIS_URL", "http://me:hush@host", "it is no address like redis://host:port/number."),
        ("PORT", "hush", "Input should be a valid integer"),
        ("LOG_LEVEL", "hush", "String should match pattern"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_and_not_repeated(
    setting: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TRADEWIND_{setting}", value)
    for command in ("events", "doctor", "serve"):
        assert run(monkeypatch, command) == 2, command
        told = capsys.readouterr().err
        assert told.startswith(f"TRADEWIND_{setting}: {said}"), told
        assert "hush" not in told


def test_recipes_check_shows_each_fault_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "hello.yaml").write_text(GOOD)
    assert run(monkeypatch, "recipes", "check", str(tmp_path)) == 0
    assert "1 of 1 recipes" in capsys.readouterr().out
    (tmp_path / "broken.yaml").write_text(GOOD.replace("order.paid", "order.payed"))
    assert run(monkeypatch, "recipes", "check", str(tmp_path)) == 1
    assert f"{tmp_path.name}/broken.yaml:2:" in capsys.readouterr().err
    assert run(monkeypatch, "recipes", "check", str(tmp_path), "--json") == 1
    faults = json.loads(capsys.readouterr().out)
    assert [fault["line"] for fault in faults] == [2]
    assert run(monkeypatch, "recipes", "check", str(tmp_path / "hello.yaml")) == 0
    assert capsys.readouterr().out == "hello is good.\n"
    assert run(monkeypatch, "recipes", "check", str(tmp_path / "broken.yaml")) == 1
    (tmp_path / "notes.txt").write_text("no recipe")
    assert run(monkeypatch, "recipes", "check", str(tmp_path / "notes.txt")) == 2


def test_a_new_secret_is_a_key_that_encrypts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "keys", "new-secret") == 0
    assert len(base64.b64decode(capsys.readouterr().out.strip(), validate=True)) == 32


def test_a_trace_says_that_no_recipe_asks_for_an_event() -> None:
    thing = Thing(kind="product", id="7")
    event = Event(id=new_id(), at=AT, type="product.updated", connection="shop", object=thing, subject=thing,
                  occurred_at=AT, number=None, email=None, test=False, historical=False, note=None, echo=None,
                  webhook_id=None)  # fmt: skip
    console = Console(file=io.StringIO(), width=100)
    console.print(render(Trace(asked="7", kind="name", ways=[Way(webhook=None, events=[EventWay(event=event)])])))
    assert "no recipe runs  none asks for product.updated" in console.file.getvalue()  # type: ignore[attr-defined]


# --- a running dev ----------------------------------------------------------------------------------------------


def test_a_running_dev_is_found_by_its_home_and_only_while_it_runs(tmp_path: Path) -> None:
    running = Running(os.getpid(), "http://127.0.0.1:8123", "http://127.0.0.1:8124", "postgresql://x/y", "redis://z/0")
    announce(tmp_path, running)
    assert find(tmp_path) == running
    assert (tmp_path / "dev.json").stat().st_mode & 0o777 == 0o600
    settings = running.complete(Settings(redis_url="redis://mine/1"))
    assert (settings.port, settings.database_url, settings.redis_url) == (8123, "postgresql://x/y", "redis://mine/1")
    left_behind = (tmp_path / "dev.json").read_text()
    withdraw(tmp_path)
    assert find(tmp_path) is None
    (tmp_path / "dev.json").write_text(left_behind)
    assert find(tmp_path) is None, "its process lives, but the lock is free: another program has its number now"


# --- the flow on screen -----------------------------------------------------------------------------------------


def seen(type_: str = "order.paid", **order: object) -> Seen:
    total = {"total": {"amount": "34.50", "currency": "EUR"}}
    data = {"order": {"id": "1", "customer": {"first_name": "Ada", "last_name": "Example"}, "totals": total, **order}}
    return Seen(UUID(int=1), AT, type_, 1, pack(orjson.dumps(data)), "demo-store", "#1001", "ada@example.com")


def progress(state: str, **more: object) -> Progress:
    values = {"reason": None, "calls": 3, "done": 3, "milliseconds": 41, "trouble": None, "replay": False, **more}
    return Progress(UUID(int=2), UUID(int=1), "invoice-paid-orders", state, **values)  # type: ignore[arg-type]


def test_a_line_says_who_bought_what_and_what_became_of_it() -> None:
    line = event_line(seen(), [progress("done")]).plain
    for word in ("#1001", "Ada Example", "34.50 EUR", "order.paid", "✓ invoice-paid-orders 3 calls 41 ms"):
        assert word in line


def test_a_failure_is_red_with_its_reason() -> None:
    for failed in (progress("failed", reason="the customer is inactive"), progress("running", trouble="status 500")):
        line = event_line(seen(), [failed])
        assert failed.reason or failed.trouble in line.plain
        assert "red" in {str(span.style) for span in line.spans}


def test_an_event_that_no_recipe_asks_for_says_so() -> None:
    assert "no recipe asks for it" in event_line(seen(), []).plain


def test_a_line_too_wide_for_the_terminal_sums_up_what_is_done() -> None:
    runs = [progress("done"), progress("done", milliseconds=90), progress("failed", reason="no such street")]
    assert event_line(seen(), runs, 300).plain.count("✓ invoice-paid-orders") == 2
    narrow = event_line(seen(), runs, 130).plain
    assert "✓ 2 recipes 6 calls 90 ms" in narrow
    assert "✗ invoice-paid-orders failed: no such street" in narrow


def test_columns_stand_below_each_other() -> None:
    short = event_line(seen(customer=None), [progress("done")]).plain
    assert short.index("✓") == event_line(seen(), [progress("done")]).plain.index("✓")


def test_a_run_that_ends_after_its_event_was_told_of_is_told_of_once() -> None:
    flow = Flow(cast(Database, None), AT)
    flow.followed[UUID(int=1)] = Followed(seen(), {UUID(int=2): "running"})
    assert not list(flow._later([progress("running")]))
    (line,) = flow._later([progress("done", milliseconds=31_000)])
    assert "#1001" in line.plain
    assert "later" in line.plain
    assert "✓ invoice-paid-orders 3 calls 31000 ms" in line.plain
    assert not list(flow._later([progress("done", milliseconds=31_000)]))
    assert not flow.followed


def test_a_replay_is_told_of_once_as_one() -> None:
    flow = Flow(cast(Database, None), AT)
    flow.followed[UUID(int=1)] = Followed(seen(), {})
    flow.began = AT
    replay = replace(progress("done", replay=True), id=new_id())
    (line,) = flow._later([progress("done"), replay])
    assert "replayed" in line.plain
    assert line.plain.count("✓") == 1
    assert not list(flow._later([progress("done"), replay]))


def test_what_was_refused_is_told_with_its_reason() -> None:
    line = refused_line(Refused(UUID(int=2), AT, "demo-store", "", "rejected", "401: the signature does not fit"))
    assert "demo-store" in line.plain
    assert "401" in line.plain


# --- fixtures without people ------------------------------------------------------------------------------------

BODY = {
    "id": 5600001027996,
    "email": "grace.hopper@navy.mil",
    "total_price": "49.90",
    "note": "call grace.hopper@navy.mil or +1 202 555 0143",
    "browser_ip": "81.2.69.160",
    "token": "f3b1c0ffee",
    "customer": {"first_name": "Grace", "last_name": "Hopper", "phone": "+12025550143", "name": "Grace Hopper"},
    "shipping_address": {"address1": "7 Secret Lane", "city": "Arlington", "zip": "22201", "country_code": "US"},
    "line_items": [{"name": "Blue mug", "sku": "MUG", "quantity": 2}],
    "order_status_url": "https://shop.example.com/orders/1?key=abcdef123456",
}


def test_people_and_tokens_are_replaced_and_the_rest_stays() -> None:
    text = cleaned(orjson.dumps(BODY), "application/json").decode()
    for personal in (
        "Grace",
        "Hopper",
        "navy.mil",
        "202",
        "Secret",
        "Arlington",
        "22201",
        "81.2.69",
        "f3b1c0",
        "abcdef1",
    ):
        assert personal not in text, personal
    data = json.loads(text)
    assert data.keys() == BODY.keys()
    assert (data["id"], data["total_price"], data["line_items"]) == (BODY["id"], "49.90", BODY["line_items"])
    assert data["shipping_address"]["country_code"] == "US"
    assert data["customer"]["phone"].startswith("+12")
    assert data["email"] in data["note"], "the same value is replaced by the same"


def test_a_form_stays_a_form() -> None:
    body = b"email=grace%40navy.mil&price=1000&full_name=Grace+Hopper&url_params%5Butm%5D=x"
    text = cleaned(body, "application/x-www-form-urlencoded").decode()
    assert "navy" not in text
    assert "Grace" not in text
    assert "price=1000" in text


def test_what_is_neither_is_left_out() -> None:
    with pytest.raises(MalformedError):
        cleaned(b"<xml/>", "text/xml")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.decimals(0, 9999, places=2).map(str),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "total", "sku"]), inner),
        max_leaves=12,
    )
)
def test_what_names_nobody_is_never_changed(value: object) -> None:
    body = orjson.dumps({"body": value})
    assert orjson.loads(cleaned(body, "application/json")) == orjson.loads(body)


# --- a new connector --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Acme", "1acme", "ac-me", "class", "a", "x" * 30, "../acme"])
def test_a_name_that_cannot_be_a_connectors_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_connector(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_connector_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        write_connector("mine", tmp_path)


def test_names_fit_where_they_stand() -> None:
    text = 'from connectors.acme import x  # Acme, "x-acme-topic", https://api.acme.example'
    assert renamed(text, "big_ship") == (
        'from connectors.big_ship import x  # Big Ship, "x-big-ship-topic", https://api.big-ship.example'
    )


HOSTILE = "R\x1b[2J\x1b]0;pwned\x07\x9b31m\r\x7f\u202e1-"
SHOWN = "R␛[2J␛]0;pwned␇�31m␍␡�1-"


def test_nothing_that_others_wrote_is_obeyed_by_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tree = Tree("orders")
    tree.add(HOSTILE)
    print_rows([{"number": HOSTILE, "tags": [{"of": HOSTILE}]}], False, empty="")
    say(HOSTILE)
    console_for(tree)[0].print(tree)
    printed = capsys.readouterr().out
    assert printed.count(SHOWN) >= 3
    assert not set(HOSTILE) & set(printed) - set("R[2J]0;pwned31m-")
    print_json([HOSTILE, "Zoë"])
    answered = capsys.readouterr().out
    assert json.loads(answered) == [HOSTILE, "Zoë"]
    assert "Zoë" in answered
    assert not set("\x1b\x07\x9b\r\x7f\u202e") & set(answered)


def test_commands_print_by_the_one_door_that_shows_what_others_wrote_as_it_is() -> None:
    for path in ROOT.glob("app/cli/*.py"):
        assert path.name == "output.py" or not re.search(
            r"typer\.(?:secho|echo)|(?<![\w.])print\(", path.read_text()
        ), path.name


@pytest.mark.parametrize(("holds", "told"), [(True, True), (False, False), (None, False)])
def test_a_condition_that_was_false_then_and_holds_today_is_told(
    holds: bool | None, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    part = {"condition": "customer.attributes.level", "holds": holds, "values": {}, "error": None}
    _tell({"recipe": "a", "ran": False, "reason": "where is false: ...", "decided": "then", "parts": [part]})
    assert ("it would hold today" in capsys.readouterr().out) is told


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("2026-12-01", "2026-12-01T00:00:00+05:30"),
        ("2026-12-01 08:30", "2026-12-01T08:30:00+05:30"),
        ("2026-12-01T08:30:00Z", "2026-12-01T08:30:00Z"),
        ("2026-12-01T08:30:00+01:00", "2026-12-01T08:30:00+01:00"),
        ("yesterday", "yesterday"),
        (None, None),
    ],
)
def test_a_moment_without_a_zone_is_meant_here(
    typed: str | None, sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert moment(typed) == sent
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_what_is_told_is_one_line_whatever_others_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def acquire(self) -> "Nothing":
            return self

        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...

    refused = Refused(UUID(int=1), datetime.now(UTC), "shop", "orders\n1001 paid", "malformed", "its\treason\n")

    async def told(*_: object) -> list[Refused]:
        return [refused]

    async def nothing(*_: object) -> list[Any]:
        return []

    async def none_parked(*_: object) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(store, "refused_since", told)
    for name in ("events_since", "replayed_since", "progress_of"):
        monkeypatch.setattr(store, name, nothing)
    monkeypatch.setattr(store, "parked", none_parked)
    (line,) = await Flow(cast(Database, Nothing()), datetime.now(UTC)).lines()
    assert not {"\n", "\t"} & set(line.plain)
    assert any(span.style == "red" for span in line.spans)
