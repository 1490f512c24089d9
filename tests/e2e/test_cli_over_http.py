"""The same commands against a hub far away, and against a database alone; exit codes as documented."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.byhand.replays import Replays
from tests.support.bench import KEY, TWO_STEPS, Bench, benched
from tests.support.serving import serving
from tests.support.testconnector import payload
from tests.support.warm import command

ROOT = Path(__file__).parents[2]
HEAVY = {"sqlalchemy", "fastapi", "asyncpg", "redis", "jinja2"}
PROBE = """
import sys
from app.cli import main
try:
    main()
finally:
    sys.stderr.write("loaded:" + ",".join(sorted(set(%r) & set(sys.modules))))
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def run(environment: dict[str, str], *arguments: str, home: Path, code: str = "") -> Ran:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIND_")}
    environment = {**bare, "TRADEWIND_HOME": str(home), "COLUMNS": "200", **environment}
    if not code:
        warm = await asyncio.to_thread(command, ROOT, environment, *arguments)
        return Ran(warm.returncode, warm.stdout, warm.stderr)
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await started.communicate()
    return Ran(started.returncode or 0, out.decode(), err.decode())


async def test_commands_work_on_a_remote_hub_and_load_little(bench: Bench, tmp_path: Path) -> None:
    event_id = await bench.order()
    home = tmp_path / "nothing-runs-here"
    async with serving(bench.app) as url:
        there = {"TRADEWIND_URL": url, "TRADEWIND_KEY": KEY}

        async def cli(*arguments: str) -> Ran:
            return await run(there, *arguments, home=home)

        traced = await run(there, "trace", "1001", home=home, code=PROBE % HEAVY)
        assert (traced.code, traced.err) == (0, "loaded:"), traced.err
        assert "order.paid" in traced.out
        assert "two-steps" in traced.out
        assert (await cli("trace", "no-such-order")).code == 1
        listed = await cli("events", "--type", "order.paid", "--json")
        assert [event["id"] for event in listed.json] == [event_id]  # type: ignore[attr-defined]
        assert len((await cli("runs", "--limit", "1", "--json")).json) == 1  # type: ignore[arg-type]
        assert "would run" in (await cli("replay", event_id, "--dry-run")).out
        again = await cli("replay", "1001", "--dry-run")
        assert f"order.paid #1001 at shop, event {event_id}:" in again.out, again.err
        assert "first: testbench.make_native: exists: skipped" in again.out
        assert (await cli("replay", "7777777")).code == 2
        assert (await cli("recipes", "pause", "two-steps")).code == 0
        assert (await bench.get("/v1/recipes/two-steps"))["paused"]
        assert (await cli("connections", "test", "shop")).code == 0
        seen = {each["about"]: each["verdict"] for each in (await cli("doctor", "--json")).json}  # type: ignore[attr-defined]
        assert (seen["webhooks"], seen["key"], "connection shop" in seen) == ("ok", "ok", True)
        made = (await cli("keys", "new", "--name", "look", "--json")).json
        narrow = {"TRADEWIND_URL": url, "TRADEWIND_KEY": made["key"]}  # type: ignore[index]
        refused = await run(narrow, "recipes", "resume", "two-steps", home=home)
        assert (refused.code, refused.out) == (2, "")
        assert "scope 'recipes'" in refused.err
        unknown = await cli("recipes", "pause", "no-such-recipe")
        assert (unknown.code, unknown.err) == (2, "there is no recipe 'no-such-recipe'.\n")
        closed = await run({**there, "TRADEWIND_KEY": "tw_wrong"}, "runs", home=home)
        assert (closed.code, "opens nothing" in closed.err) == (2, True)
        local = await cli("keys", "rotate")
        assert (local.code, "own database" in local.err) == (2, True)
    away = await run(there, "events", home=home)
    assert (away.code, f"No Tradewind answers at {url}" in away.err) == (2, True)


FILE = """
connections:
  far:
    connector: testbench
    settings: {account: far, token: "${FAR_TOKEN}", webhook_secrets: [a-webhook-secret]}
"""


async def test_files_of_this_machine_reach_a_remote_hub(bench: Bench, tmp_path: Path) -> None:
    """A folder of recipes, a file of connections, a text that is in no hub, a body to send: and what comes back."""
    event_id = await bench.order()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.yaml").write_text(TWO_STEPS)
    (folder / "broken.yaml").write_text(TWO_STEPS.replace("order.paid", "order.payed"))
    (tmp_path / "connections.yaml").write_text(FILE)
    async with serving(bench.app) as url:
        there = {"TRADEWIND_URL": url, "TRADEWIND_KEY": KEY, "FAR_TOKEN": "the-token-of-far",
                 "TRADEWIND_CONNECTORS": "tests.support.testconnector"}  # fmt: skip

        async def cli(*arguments: str) -> Ran:
            return await run(there, *arguments, home=tmp_path / "empty")

        synced = await cli("recipes", "sync", str(folder))
        assert (synced.code, "mine/broken.yaml:" in synced.err) == (1, True), synced.err
        mine = await bench.get("/v1/recipes/mine")
        assert mine["origin"] == f"folder:{folder}"
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "mine.yaml").write_text(TWO_STEPS)
        refused = await cli("recipes", "sync", str(tmp_path / "other"))
        assert (refused.code, f"recipe mine belongs to {folder}" in refused.err) == (2, True), refused.err
        assert (await cli("recipes", "sync", str(tmp_path / "other"), "--take-over")).code == 0
        (tmp_path / "other" / "mine.yaml").rename(tmp_path / "other" / "strange.yaml")  # the path of another machine
        refused = await cli("recipes", "sync", str(tmp_path / "other"))
        assert (refused.code, "names none of them now" in refused.err) == (2, True), refused.err
        assert (await bench.get("/v1/recipes/mine"))["usable"]
        (tmp_path / "other" / "strange.yaml").write_text(f"was: mine\n{TWO_STEPS}")
        assert (await cli("recipes", "sync", str(tmp_path / "other"))).code == 0, "it names its earlier name"
        strange = {"folder": str(tmp_path / "other"), "recipes": {}}
        told = await bench.post("/v1/recipes/sync", strange, 409)
        assert (told["type"], "strange" in told["detail"]) == ("/problems/strange-folder", True)
        await bench.post("/v1/recipes/sync", {**strange, "take_over": True})
        await bench.get("/v1/recipes/strange", expect=404)

        applied = await cli("connections", "apply", str(tmp_path / "connections.yaml"), "--json")
        assert applied.json[0] == "far: Testbench far", applied.err  # type: ignore[index]
        assert "the-token-of-far" not in applied.out + json.dumps(await bench.get("/v1/connections/far"))
        (tmp_path / "connections.yaml").write_text(FILE.replace("far", "farther"))
        stranger = await cli("connections", "apply", str(tmp_path / "connections.yaml"))
        assert (stranger.code, "brought in other connections before (far)" in stranger.err) == (2, True), stranger.err
        (tmp_path / "connections.yaml").write_text(FILE.replace("  far:", "  renamed:"))
        renamed = await cli("connections", "apply", str(tmp_path / "connections.yaml"), "--json")
        assert renamed.json[0] == "renamed: Testbench far", renamed.err  # type: ignore[index]

        dry = await cli("recipes", "dry-run", "mine", event_id, "--file", str(folder / "mine.yaml"), "--json")
        assert dry.json["decision"] == "run", dry.err  # type: ignore[index,call-overload]
        (told,) = (await cli("recipes", "explain", "1001", "--recipe", "two-steps", "--json")).json  # type: ignore[misc]
        assert told["recipes"][0]["ran"]

        (tmp_path / "body.json").write_text(json.dumps(payload(77)))
        sent = await cli("send", "shop", "--topic", "order.paid", "--file", str(tmp_path / "body.json"))
        assert (sent.code, "1 x 200" in sent.out) == (0, True), sent.err
        kept = await cli("capture", "--connection", "shop", "--out", str(tmp_path / "out"), "--last", "1")
        (fixture,) = (tmp_path / "out").rglob("captured-1.json")
        assert (json.loads(fixture.read_text())["number"], "buyer-77" in fixture.read_text()) == ("#77", False), kept

        (who,) = (await cli("customers", "list", "--json")).json  # type: ignore[misc]
        held = await cli("customers", "export", who["email"], "--json")
        assert event_id in [each["id"] for each in held.json["events"]]  # type: ignore[index,call-overload]
        erased = await cli("customers", "erase", who["id"], "--yes")
        assert (erased.code, who["id"] in erased.out) == (0, True), erased.err


async def test_commands_work_on_a_database_without_any_process(bench: Bench, tmp_path: Path) -> None:
    event_id = await bench.order()
    settings = bench.hub.hub.settings
    servers = {
        "TRADEWIND_DATABASE_URL": settings.database_url,
        "TRADEWIND_REDIS_URL": settings.redis_url,
        "TRADEWIND_SECRET_KEYS": settings.secret_keys,
    }
    listed = await run(servers, "events", "1001", "--type", "order.paid", "--json", home=tmp_path)
    assert [event["id"] for event in listed.json] == [event_id], listed.err  # type: ignore[attr-defined]
    paused = await run(servers, "recipes", "pause", "two-steps", home=tmp_path)
    assert paused.code == 0, paused.err
    assert (await bench.get("/v1/audit", verb="pause"))["items"][0]["actor"] == "command line"


async def test_doubts_floods_and_replays_are_in_hand_from_the_command_line(bench: Bench, tmp_path: Path) -> None:
    bench.outside.statuses["/unsafe"] = [500]
    await bench.order(1)
    await bench.order(2)
    async with serving(bench.app) as url:
        there = {"TRADEWIND_URL": url, "TRADEWIND_KEY": KEY}

        async def cli(*arguments: str) -> Ran:
            return await run(there, *arguments, home=tmp_path)

        (doubt,) = (await cli("effects", "list", "--json")).json  # type: ignore[misc]
        assert doubt["question"].startswith("Did make unsafe happen?")
        told = await cli("effects", "answer", doubt["key"], "happened", "--output", '{"id": "1-2", "key": "k"}')
        assert told.out == "its call is done, its effect done.\n", told.err
        await bench.work()

        draining = asyncio.create_task(_drain(Replays(bench.hub.hub, bench.hub.normaliser.matcher)))
        many = await cli("replay", "--type", "order.paid", "--per-second", "1000", "--yes")
        draining.cancel()
        assert many.out == "2 events, 2 runs; effects: 4 exists: skipped\ndone: 2 events, 2 runs begun\n", many.err
        await bench.work()
        (replay,) = (await cli("replays", "list", "--json")).json  # type: ignore[misc]
        assert (replay["state"], replay["done"], replay["total"]) == ("done", 2, 2)
        paused = await cli("replays", "pause", replay["id"])
        assert (paused.code, "the replay is done" in paused.err) == (2, True)

        assert (await cli("connections", "pause", "shop", "--lane")).code == 0
        assert (await bench.get("/v1/connections/shop"))["lane"]["paused"]
        await bench.hub.send("shop", "order.paid", payload(3))
        await bench.hub.normaliser.drain()
        look = await cli("cancel", "--recipe", "two-steps", "--dry-run")
        assert look.out.startswith("1 run would end; 1 calls would not be sent"), look.err
        assert (await cli("cancel", "--recipe", "two-steps")).out.startswith("1 run ended")
        assert (await cli("cancel")).code == 2
    assert (bench.outside.count("/native"), bench.outside.count("/unsafe")) == (2, 2)


async def _drain(replays: Replays) -> None:
    while True:
        if not await replays.drain():
            await asyncio.sleep(0.05)
