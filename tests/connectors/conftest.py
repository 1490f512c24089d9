"""A connector's actions run here as they do in a lane, by the real `attempt.run`, against its sandbox."""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from pydantic import BaseModel

from app.connector import Action, Connector, EffectKey, OAuth2, Suppression, SuppressionReason
from app.domain.connections import Connection, secret_texts
from app.http import Transport
from app.ids import new_id
from app.mail import Door
from app.pipeline.deliver.attempt import Attempt, Line, context_of, run
from app.pipeline.deliver.limits import Limiter
from app.pipeline.deliver.outcome import Failed, Ok, Outcome
from app.registry import Registry
from app.sandbox import make_app
from app.store.calls import DueCall, Sending
from app.store.packing import pack
from tests.support.byhand import wrong_with
from tests.support.contracts import Verdict, judge
from tests.support.testconnector import connector as testbench

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BASE = "http://sandbox.test"
KEY = bytes(range(16))


@dataclass
class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on to the sandboxes and keeps each with its answer, for checks against vendors' descriptions."""

    inner: httpx.AsyncBaseTransport
    slug: str = ""
    seen: list[tuple[httpx.Request, httpx.Response]] = field(default_factory=list)
    judged: list[Verdict] = field(default_factory=list)
    faulty: bool = False
    """The sandbox was told to fail: what it answers is not the vendor's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        body = await response.aread()
        kept = httpx.Response(response.status_code, headers=response.headers, content=body)
        self.seen.append((request, kept))
        if kept.status_code < 400 and (verdict := judge(self.slug, request, None if self.faulty else kept)):
            self.judged.append(verdict)
        if kept.status_code < 400 and (wrong := wrong_with(self.slug, request)):
            self.judged.append(Verdict(f"{request.method} {request.url.path}", wrong))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


@dataclass
class Listed:
    """A suppression list in memory."""

    kept: dict[str, Suppression] = field(default_factory=dict)
    said: list[str | None] = field(default_factory=list)
    links: bool = True

    async def find(self, workspace: str, addresses: Sequence[str]) -> dict[str, Suppression]:
        return {address: self.kept[address.lower()] for address in addresses if address.lower() in self.kept}

    async def add(self, workspace: str, address: str, reason: SuppressionReason, said: str | None = None) -> bool:
        self.kept.setdefault(address.lower(), Suppression(reason, NOW))
        self.said.append(said)
        return True

    def unsubscribe_url(self, workspace: str, address: str) -> str | None:
        return f"https://hub.example/unsubscribe/{address.partition('@')[0]}" if self.links else None


@dataclass
class Bench:
    """One connector with its sandbox, and the settings that fit it."""

    connector: Connector[Any]
    recorder: Recorder
    settings: dict[str, Any]
    people: httpx.AsyncClient
    token: str | None = None
    smtp_port: int = 0
    suppressions: "Listed | None" = None

    async def perform(
        self,
        action: Action | str,
        input: BaseModel | None = None,
        *,
        key: bytes = KEY,
        stored: tuple[bytes, ...] = (),
        if_found: bool = False,
        attempt: Attempt | None = None,
        seconds: float = 5.0,
        limited: bool = False,
        **settings: Any,
    ) -> Outcome:
        """One attempt at an action, with its example as input unless said; `settings` over those of the sandbox."""
        if isinstance(action, str):
            action = next(each for each in self.connector.actions if each.name == action)
        given = (input or action.example()).model_dump(mode="json", exclude_none=True)
        attempt = attempt or Attempt(due_call(self.connector, action, given, key))
        line = self._line({**self.settings, **settings}, limited)
        return await run(line, action, attempt, stored, if_found, seconds)

    async def ok(self, action: Action | str, input: BaseModel | None = None, **options: Any) -> Any:
        """As `perform`, for what must succeed: the output as its model."""
        if isinstance(action, str):
            action = next(each for each in self.connector.actions if each.name == action)
        outcome = await self.perform(action, input, **options)
        assert isinstance(outcome, Ok), outcome
        return action.output.model_validate_json(outcome.output)

    async def failed(self, action: Action | str, input: BaseModel | None = None, **options: Any) -> Failed:
        outcome = await self.perform(action, input, **options)
        assert isinstance(outcome, Failed), outcome
        return outcome

    async def test(self, **settings: Any) -> str:
        """The connector's own test of its credentials."""
        connector = self.connector
        assert connector.test is not None
        line = self._line({**self.settings, **settings}, False)
        attempt = Attempt(due_call(connector, connector.actions[0], {}, KEY))
        return await connector.test(context_of(line, attempt, EffectKey(KEY.hex())))

    async def state(self) -> Any:
        return (await self.people.get(f"/_state/{self.connector.slug}")).json()

    async def fault(self, **rule: Any) -> None:
        """Tell the sandbox what goes wrong from now on (not with the token, which is fetched before)."""
        await self._credentials(self.connector.settings.model_validate(self.settings), False)
        self.recorder.faulty = True
        answer = await self.people.post(f"/_faults/{self.connector.slug}", json=rule)
        assert answer.status_code == 204, answer.text

    async def requests(self) -> list[dict[str, Any]]:
        return list((await self.people.get(f"/_requests/{self.connector.slug}")).json()["requests"])

    def _line(self, settings: Mapping[str, Any], limited: bool) -> Line:
        connector = self.connector
        door = connector.door
        assert door is not None
        http, smtp = connector.http, connector.smtp
        connection = Connection(
            id=UUID(int=1),
            workspace="main",
            slug=connector.slug,
            connector=replace(
                connector,
                http=replace(http, timeout=1.0) if http else None,
                smtp=replace(smtp, timeout=1.0) if smtp else None,
            ),
            account="account",
            role=None,
            settings=connector.settings.model_validate(settings),
            base_url=f"smtp://127.0.0.1:{self.smtp_port}" if smtp else f"{BASE}/{connector.slug}",
            paused=False,
            origin="test",
            created_at=NOW,
        )

        async def credentials(fresh: bool) -> Mapping[str, str]:
            return await self._credentials(connection.settings, fresh)

        async def mark(sending: Sending) -> bool:
            return True

        limiter = Limiter(door.limits if limited else ())
        transport, secrets = Transport(transport=self.recorder), secret_texts(connection.settings)
        listed: Any = self.suppressions
        return Line(
            connection,
            "tests",
            transport,
            limiter,
            credentials,
            mark,
            lambda: NOW,
            lambda _, requests: requests,
            secrets,
            Door(),
            listed,
        )

    async def _credentials(self, settings: BaseModel, fresh: bool) -> Mapping[str, str]:
        auth = self.connector.auth
        if not isinstance(auth, OAuth2):
            return auth.headers(settings)
        if self.token is None:
            self.token = await self._refreshed(auth, settings)
        return auth.header(self.token)

    async def _refreshed(self, auth: OAuth2[Any], settings: BaseModel) -> str:
        client, secret = auth.client(settings)
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        answer = await self.people.post(
            f"/{self.connector.slug}{httpx.URL(auth.token_url).path}",
            data={"grant_type": "refresh_token", "refresh_token": auth.first(settings)},
            headers={"authorization": f"Basic {basic}"},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def due_call(connector: Connector[Any], action: Action, given: Any, key: bytes) -> DueCall:
    """A call as a lane claims it, for the first time."""
    return DueCall(
        id=new_id(),
        at=NOW,
        workspace="main",
        connection_id=UUID(int=1),
        run_id=new_id(),
        event_id=new_id(),
        recipe="test",
        path="0",
        item=None,
        action=f"{connector.slug}.{action.name}",
        subject=b"subject",
        effect_key=key,
        input=pack(orjson.dumps(given)),
        options={},
        attempts=0,
        failures=0,
        unsure=False,
        sent_at=None,
        fence=1,
    )


REGISTRY = Registry(testbench)


async def open_bench(connector: Connector[Any]) -> AsyncIterator[Bench]:
    """A bench with sandboxes of its own; a mail server among them listens for a connector that sends mail."""
    app = make_app([connector], ("127.0.0.1", 0) if connector.smtp else None, noted=False)
    people = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    recorder = Recorder(httpx.ASGITransport(app), connector.slug)
    assert connector.sandbox is not None
    async with people, app.router.lifespan_context(app):
        port = app.state.smtp_port if connector.smtp else 0
        yield Bench(connector, recorder, dict(connector.sandbox().settings), people, None, port, Listed())
    assert [verdict for verdict in recorder.judged if verdict.wrong] == []


@pytest.fixture
async def quickbooks() -> AsyncIterator[Bench]:
    async for bench in open_bench(REGISTRY["quickbooks"]):
        yield bench


@pytest.fixture
async def slack() -> AsyncIterator[Bench]:
    async for bench in open_bench(REGISTRY["slack"]):
        yield bench
