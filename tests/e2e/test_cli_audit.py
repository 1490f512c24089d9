"""Every verb of the command line that changes something leaves a line in the audit log."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.cli import main
from app.crypto import new_key
from tests.support.bench import TWO_STEPS, benched
from tests.support.everyroute import World, world_of
from tests.unit.test_cli import all_commands

CHANGES_NOTHING = {
    *("dev", "serve", "worker", "sandbox", "migrate", "doctor"),  # processes; what they bring in notes itself
    *("trace", "events", "runs", "send", "capture", "export", "connectors list", "connectors new", "keys new-secret"),
    *("replays list", "replays show", "effects list", "webhooks list", "webhooks states", "webhooks amounts"),
    *("customers list", "customers show", "recipes list", "recipes check", "recipes inputs", "recipes preview"),
    *("recipes test", "recipes dry-run", "recipes explain", "recipes backtest", "connections list", "connections test"),
    *("suppressions list", "keys list"),
}
FILE = """
connections:
  more:
    connector: testbench
    settings: {account: more, token: a-token-of-it, webhook_secrets: [a-webhook-secret]}
"""


def verbs(world: World, folder: Path) -> list[tuple[str, list[str]]]:
    """Each changing command with arguments that are good, in an order in which each finds what it needs."""
    (folder / "connections.yaml").write_text(FILE)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "more.yaml").write_text(TWO_STEPS)
    return [
        ("replay", [world.event, "--recipe", "two-steps"]),
        ("approve", [world.asking, "--decline", "--note", "too dear"]),
        ("cancel", [world.waiting[-1]]),
        ("replays pause", [world.replay]),
        ("replays resume", [world.replay]),
        ("replays cancel", [world.replay]),
        ("effects answer", [world.effect, "did-not"]),
        ("webhooks reprocess", ["--state", "unknown"]),
        ("customers export", [world.customer, "--out", str(folder / "person.json")]),
        ("customers erase", [world.customer, "--yes"]),
        ("recipes sync", [str(folder / "recipes")]),
        *((f"recipes {verb}", ["two-steps"]) for verb in ("pause", "resume", "disable", "enable")),
        ("connections apply", [str(folder / "connections.yaml")]),
        ("connections rotate", ["shop", "--setting", "webhook_secrets", "--generate"]),
        *((f"connections {verb}", ["shop"]) for verb in ("pause", "resume")),
        ("suppressions add", ["ada@example.com"]),
        ("suppressions remove", ["ada@example.com"]),
        ("keys new", ["--scope", "read", "--connection", "shop"]),
        ("keys revoke", [world.key]),
        ("keys rotate", []),
    ]


def test_every_verb_that_changes_something_is_noted(
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = new_key()

    async def fill() -> World:
        async with benched(database_url, redis_url, tmp_path / "bench", secret_keys=old) as bench:
            world = await world_of(bench)
            await bench.post(f"/v1/replays/{world.replay}/start")
            return world

    world = asyncio.run(fill())
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HOME": str(tmp_path / "home"),
                   "SECRET_KEYS": f"{new_key()},{old}", "CONNECTORS": "tests.support.testconnector"}  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(f"TRADEWIND_{name}", value)
    asked = verbs(world, tmp_path)
    unknown = all_commands().keys() - CHANGES_NOTHING - {name for name, _ in asked}
    assert not unknown, f"say of each whether it changes something: {unknown}"
    for name, arguments in asked:
        before = count(database_url)
        monkeypatch.setattr(sys, "argv", ["tradewind", *name.split(), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, f"{name}: {said.err}{said.out}"
        assert count(database_url) > before, f"`tradewind {name}` left no line in the audit log"


def count(url: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("select count(*) from audit where actor like 'command line%'")
        finally:
            await connection.close()

    return asyncio.run(ask())
