"""The sandbox server: what it shows, and that its faults are real ones, seen through raw sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
import uvicorn

from app.registry import Registry
from app.sandbox import make_app
from tests.support.testconnector import TOKEN, connector

BODY = b'{"id": "1"}'


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A real server on the loopback."""
    config = uvicorn.Config(make_app(Registry(connector)), host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    async with asyncio.timeout(10):
        await task


@pytest.fixture
async def people(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def exchange(port: int, path: str = "/testbench/native", key: str = "k1") -> bytes:
    """One request on a connection of its own; everything that came back until the other side closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nX-Effect-Key: {key}\r\n"
    writer.write(f"{head}Connection: close\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def tell(people: httpx.AsyncClient, *rules: dict[str, object]) -> None:
    answer = await people.post("/_faults/testbench", json=list(rules))
    assert answer.status_code == 204, answer.text


async def made(people: httpx.AsyncClient) -> int:
    return len((await people.get("/_state/testbench")).json()["made"])


async def test_without_a_fault_the_system_acts_and_shows_its_state(port: int, people: httpx.AsyncClient) -> None:
    assert b"200 OK" in await exchange(port)
    assert await made(people) == 1
    assert "testbench" in (await people.get("/_state")).json()["sandboxes"]


async def test_requests_are_kept_without_their_credentials(port: int, people: httpx.AsyncClient) -> None:
    await exchange(port)
    kept = (await people.get("/_requests/testbench")).json()["requests"]
    assert [(each["method"], each["path"], each["body"]) for each in kept] == [("POST", "/native", BODY.decode())]
    assert "authorization" not in kept[0]["headers"]
    assert TOKEN not in orjson.dumps(kept).decode()


async def test_a_status_fault_answers_instead_of_acting(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"status": 429, "retry_after": 3})
    answer = await exchange(port)
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"retry-after: 3\r\n" in answer
    assert await made(people) == 0


async def test_a_fault_after_acting_leaves_the_act_standing(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"status": 500, "after_acting": True})
    assert (await exchange(port)).startswith(b"HTTP/1.1 500")
    assert await made(people) == 1


async def test_a_connection_closed_before_the_answer_carries_no_byte(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"close": "before"})
    assert await exchange(port) == b""
    assert await made(people) == 0


async def test_a_connection_closed_half_way_ends_short_of_its_length(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"close": "half", "after_acting": True})
    head, _, body = (await exchange(port)).partition(b"\r\n\r\n")
    assert b"content-length: 1000" in head
    assert 0 < len(body) < 1000
    assert await made(people) == 1


async def test_a_huge_answer_has_every_byte_that_was_told(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"huge": 3_000_001})
    assert len((await exchange(port)).partition(b"\r\n\r\n")[2]) == 3_000_001


async def test_a_malformed_answer_is_no_json(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"malformed": True})
    answer = await exchange(port)
    assert b"200 OK" in answer
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(answer.partition(b"\r\n\r\n")[2])


async def test_a_slow_answer_comes_late_and_right(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"slow": 0.2})
    before = asyncio.get_running_loop().time()
    assert b"200 OK" in await exchange(port)
    assert asyncio.get_running_loop().time() - before >= 0.2


async def test_slow_after_acting_has_acted_when_the_caller_gives_up(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"slow": 30, "after_acting": True, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        await people.post("/testbench/native", content=BODY, headers={"authorization": f"Bearer {TOKEN}"}, timeout=0.3)
    assert await made(people) == 1


async def test_a_fault_strikes_as_often_as_told_where_told(port: int, people: httpx.AsyncClient) -> None:
    await tell(people, {"status": 503, "times": 2, "path": "/lookup", "method": "post"})
    native = [await exchange(port) for _ in range(2)]
    lookups = [await exchange(port, "/testbench/lookup") for _ in range(3)]
    assert all(b"200 OK" in answer for answer in native)
    assert [answer[9:12] for answer in lookups] == [b"503", b"503", b"200"]


async def test_a_rate_with_a_seed_strikes_the_same_requests_each_time(port: int, people: httpx.AsyncClient) -> None:
    async def struck() -> list[bool]:
        await people.delete("/_faults/testbench")
        await tell(people, {"status": 500, "rate": 0.5, "seed": 7})
        return [(await exchange(port)).startswith(b"HTTP/1.1 500") for _ in range(12)]

    first, second = await struck(), await struck()
    assert first == second
    assert len(set(first)) == 2


async def test_reset_forgets_what_was_made(port: int, people: httpx.AsyncClient) -> None:
    await exchange(port)
    assert (await people.delete("/_state/testbench")).status_code == 204
    assert await made(people) == 0
    assert (await people.get("/_requests/testbench")).json() == {"requests": []}


@pytest.mark.parametrize("told", [b"{", b'{"status": "no"}', b'{"unknown": 1}', b"[1]"])
async def test_a_fault_that_cannot_be_read_is_refused(people: httpx.AsyncClient, told: bytes) -> None:
    assert (await people.post("/_faults/testbench", content=told)).status_code == 400


async def test_an_unknown_sandbox_is_said_to_be_unknown(people: httpx.AsyncClient) -> None:
    answer = await people.get("/_state/nowhere")
    assert answer.status_code == 404
    assert "testbench" in answer.json()["error"]
