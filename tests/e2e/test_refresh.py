"""OAuth tokens that rotate: one refresh for all who need it, the newest kept, and what a refusal means."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from app.domain.connections import Connection
from app.domain.credentials import Credentials
from app.errors import CredentialError, RetryableError, TradewindError
from app.http import Transport
from tests.support.harness import Harness, running
from tests.support.testconnector import connector as testbench


class Vendor(httpx.AsyncBaseTransport):
    """Gives tokens, and takes each refresh token once only: the strictest that rotation can be."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.good = "first-refresh-token"
        self.answer: httpx.Response | None = None
        self.more = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl((await request.aread()).decode()))
        self.asked.append(form["refresh_token"])
        await asyncio.sleep(0)
        if self.answer is not None:
            return self.answer
        if form["refresh_token"] != self.good:
            return _said(400, b'{"error":"invalid_grant"}')
        self.good = f"refresh-{len(self.asked)}"
        body = (
            f'{{"access_token":"access-{len(self.asked)}","expires_in":3600,"refresh_token":"{self.good}"{self.more}}}'
        )
        return _said(200, body.encode())


def _said(status: int, body: bytes) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(body))


class Office:
    """A connection with OAuth 2, and as many processes as are wanted that hold its tokens."""

    def __init__(self, hub: Harness, books: Connection) -> None:
        self.hub, self.books, self.vendor = hub, books, Vendor()

    def process(self) -> Credentials:
        transport = Transport(transport=self.vendor)
        return Credentials(self.hub.hub.database, self.hub.hub.ring, transport, self.hub.hub.clock)


@pytest.fixture
async def office(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with running(database_url, redis_url, tmp_path, testbench) as hub:
        quickbooks = hub.hub.registry["quickbooks"]
        settings: dict[str, Any] = {"realm_id": "1", "client_id": "c", "client_secret": "s"}
        settings["refresh_token"] = "first-refresh-token"
        yield Office(hub, await hub.connect("books", quickbooks, settings))


async def test_many_calls_in_several_processes_refresh_once_and_the_newest_token_is_kept(office: Office) -> None:
    processes = [office.process() for _ in range(3)]
    got = await asyncio.gather(*(each.headers(office.books) for each in processes for _ in range(4)))
    assert {each["authorization"] for each in got} == {"Bearer access-1"}
    refused = await asyncio.gather(*(each.headers(office.books, fresh=True) for each in processes for _ in range(4)))
    assert {each["authorization"] for each in refused} == {"Bearer access-2"}
    assert (await office.process().headers(office.books))["authorization"] == "Bearer access-2", "kept over a restart"
    assert office.vendor.asked == ["first-refresh-token", "refresh-1"]


WHAT_IT_MEANS: list[tuple[httpx.Response, type[TradewindError], str]] = [
    (_said(400, b'{"error":"invalid_grant"}'), CredentialError, "connect it again"),
    (_said(401, b'{"error":"invalid_client"}'), CredentialError, "client secret"),
    (_said(500, b"oops"), RetryableError, "status 500"),
    (_said(429, b""), RetryableError, "status 429"),
    (_said(200, b"<html>"), RetryableError, "holds no token"),
    (_said(200, b'{"access_token": null}'), RetryableError, "holds no token"),
]


async def test_what_a_refresh_came_to_says_what_happens_next(office: Office) -> None:
    for office.vendor.answer, kind, words in WHAT_IT_MEANS:
        with pytest.raises(kind, match=words):
            await office.process().headers(office.books)
    office.vendor.answer = None
    assert (await office.process().headers(office.books))["authorization"], "nothing was lost by it"


ODD_LIVES = (
    *('"expires_in":"soon"', '"expires_in":[]', '"expires_in":1e99', '"expires_in":-5', '"expires_in":true'),
    *('"x_refresh_token_expires_in":null', '"x_refresh_token_expires_in":"never"', '"refresh_token_expires_in":1e30'),
)


async def test_a_time_to_live_that_nobody_can_read_does_not_cost_the_rotated_token(office: Office) -> None:
    """The one before may be spent with that answer: to lose the new one is to have to connect again."""
    process = office.process()
    for number, odd in enumerate(ODD_LIVES, 1):
        office.vendor.more = f",{odd}"
        assert (await process.headers(office.books, fresh=True))["authorization"] == f"Bearer access-{number}"
