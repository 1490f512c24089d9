"""The sink that fault tests believe: it logs what it reads before anything else, and behaves as told."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.sink import Row, read_log


@dataclass
class Running:
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    log: Path

    async def post(self, key: str) -> httpx.Response:
        return await self.client.post("/unsafe", json={"id": "1"}, headers={"x-effect-key": key}, timeout=2)

    async def behave(self, *do: dict[str, object], seed: int = 0) -> None:
        await self.client.post("/_behave", json={"do": list(do), "seed": seed})

    def rows(self) -> list[Row]:
        return read_log(self.log)


async def start(log: Path) -> Running:
    command = [sys.executable, "-m", "tests.support.sink", "--port", "0", "--log", str(log)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        said = re.fullmatch(rb"listening on (\d+)\n", await process.stdout.readline())
    assert said is not None
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{int(said[1])}", trust_env=False)
    return Running(process, client, log)


async def stop(running: Running) -> None:
    await running.client.aclose()
    if running.process.returncode is None:
        running.process.kill()
    await running.process.wait()


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Running]:
    running = await start(tmp_path / "sink.log")
    yield running
    await stop(running)


async def test_every_request_is_logged_with_its_key_and_again_when_repeated(sink: Running) -> None:
    for key in ("a", "b", "a"):
        assert (await sink.post(key)).json() == {"ok": True}
    assert [(row.sequence, row.key, row.acted) for row in sink.rows()] == [
        (1, "a", True),
        (2, "b", True),
        (3, "a", True),
    ]


async def test_what_was_read_is_logged_though_no_answer_comes(sink: Running) -> None:
    await sink.behave({"what": "timeout"})
    with pytest.raises(httpx.ReadTimeout):
        await sink.client.post("/unsafe", headers={"x-effect-key": "a"}, timeout=0.2)
    assert [(row.did, row.acted) for row in sink.rows()] == [("timeout", True)]


@pytest.mark.parametrize("what", ["close", "half"])
async def test_a_dropped_connection_acted(sink: Running, what: str) -> None:
    await sink.behave({"what": what})
    with pytest.raises(httpx.RemoteProtocolError):
        await sink.post("a")
    assert (await sink.client.get("/found?key=a")).json() == {"found": True}


async def test_refusals_do_not_act(sink: Running) -> None:
    await sink.behave({"what": "500", "times": 1}, {"what": "429", "retry_after": 2})
    first, second = await sink.post("a"), await sink.post("a")
    assert (first.status_code, second.status_code, second.headers["retry-after"]) == (500, 429, "2")
    assert (await sink.client.get("/found?key=a")).json() == {"found": False}


async def test_a_huge_answer_comes_whole(sink: Running) -> None:
    await sink.behave({"what": "huge", "size": 2_000_000})
    assert len((await sink.post("a")).content) == 2_000_000


async def test_shares_are_about_as_told_and_the_same_for_a_seed(sink: Running) -> None:
    async def failures() -> list[bool]:
        await sink.behave({"what": "500", "rate": 0.3}, seed=5)
        return [(await sink.post("a")).status_code == 500 for _ in range(200)]

    first = await failures()
    assert 30 < sum(first) < 90
    assert await failures() == first


async def test_a_sink_that_was_killed_goes_on_where_its_log_ends(sink: Running) -> None:
    await sink.post("a")
    sink.process.kill()
    await sink.process.wait()
    again = await start(sink.log)
    try:
        await again.post("b")
        assert (await again.client.get("/found?key=a")).json() == {"found": True}
        assert [(row.sequence, row.key) for row in again.rows()] == [(1, "a"), (2, "b")]
    finally:
        await stop(again)
