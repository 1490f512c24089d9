"""What proves us goes to the connection's own host, and is kept nowhere in the open."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from app.connector import Connector, Context, HeaderAuth, HttpOptions, OAuth2, action, unsafe
from app.domain.connections import blot, secret_texts, written
from app.errors import PermanentError
from app.pipeline.deliver.attempt import Attempt, address_of
from app.pipeline.deliver.outcome import Failed, Ok
from app.store.packing import unpack
from tests.connectors.conftest import KEY, REGISTRY, Bench, Recorder, due_call, open_bench

SECRET = 'p"ss/w+rd geheim ü'


class Settings(BaseModel):
    name: str = "mine"
    token: SecretStr = SecretStr(SECRET)


class Path(BaseModel):
    path: str


class Echo(BaseModel):
    text: str


@action(safe=unsafe, example=lambda: Path(path="/"))
async def go_to(ctx: Context[Settings], input: Path) -> Echo:
    """Go wherever the path leads."""
    return Echo(text=(await ctx.http.post(input.path)).text)


CONNECTOR = Connector(
    slug="anywhere",
    title="Anywhere",
    category="other",
    settings=Settings,
    account="name",
    actions=[go_to],
    auth=HeaderAuth(
        lambda settings: {"x-proof": base64.b64encode(settings.token.get_secret_value().encode()).decode()}
    ),
    http=HttpOptions(lambda settings: "http://sandbox.test"),
)


@dataclass
class Echoing(httpx.AsyncBaseTransport):
    """Answers what it was asked, headers included."""

    status: int = 200
    secret: str = SECRET

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        secret = self.secret
        said = f"{request.headers.get('x-proof')} {secret} {quote(secret, '')} {json.dumps(secret)}"
        return httpx.Response(self.status, text=said, request=request)


@pytest.fixture
async def anywhere() -> AsyncIterator[Bench]:
    async with httpx.AsyncClient() as people:
        yield Bench(CONNECTOR, Recorder(Echoing()), {}, people)


async def test_credentials_go_to_the_connections_own_host_alone(anywhere: Bench) -> None:
    for path in (
        "/orders",
        "http://sandbox.test/orders",
        "http://elsewhere.test/orders",
        "https://sandbox.test/orders",
    ):
        await anywhere.ok(go_to, Path(path=path))
    given = ["x-proof" in request.headers for request, _ in anywhere.recorder.seen]
    assert given == [True, True, False, False]


@pytest.mark.parametrize("path", [".evil.test/x", "@evil.test/x", ":81/x"])
def test_a_path_cannot_lead_to_another_host(path: str) -> None:
    with pytest.raises(PermanentError):
        address_of("https://api.example.com", path)


@pytest.mark.parametrize("status", [200, 400])
async def test_what_an_answer_echoes_of_our_secrets_is_not_kept(anywhere: Bench, status: int) -> None:
    anywhere.recorder.inner = Echoing(status)
    outcome = await anywhere.perform(go_to, Path(path="/"))
    assert isinstance(outcome, Ok | Failed)
    kept = unpack(outcome.response or b"").decode() + (outcome.output if isinstance(outcome, Ok) else outcome.error)
    assert "•••" in kept
    assert not [form for form in written(SECRET) if form in kept]


@pytest.mark.parametrize("status", [200, 400])
async def test_a_token_that_an_answer_echoes_is_not_kept(anywhere: Bench, status: int) -> None:
    """It is no setting: only who sends it knows it."""
    auth: OAuth2[Settings] = OAuth2("https://x.example/a", "https://x.example/t", (), lambda _: ("", ""), lambda _: "")
    anywhere.connector, anywhere.token = replace(CONNECTOR, auth=auth), 'acc"ess/tok+en'
    anywhere.recorder.inner = Echoing(status, anywhere.token)
    outcome = await anywhere.perform(go_to, Path(path="/"))
    assert isinstance(outcome, Ok | Failed)
    kept = unpack(outcome.response or b"").decode() + (outcome.output if isinstance(outcome, Ok) else outcome.error)
    assert "•••" in kept
    assert not [form for form in written(anywhere.token) if form in kept]


@given(st.text(min_size=6, max_size=40), st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_found_however_it_is_written(secret: str, before: bytes, behind: bytes) -> None:
    if any("\ud800" <= char <= "\udfff" for char in secret) or secret.startswith(("http://", "https://")):
        return
    raw = secret.encode()
    texts = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, "")]
    texts += [coder(before + raw + behind).decode() for coder in (base64.b64encode, base64.urlsafe_b64encode)]
    for text in texts:
        assert any(form in text for form in written(secret))


def test_of_a_secret_address_the_path_is_secret() -> None:
    assert secret_texts(REGISTRY["http"].settings(name="x", url="https://example.com")) == frozenset()
    hook = REGISTRY["slack"].settings(webhook_url="https://hooks.slack.com/services/T1/B2/abcdefghijkl")
    assert blot("posted to https://hooks.slack.com/services/T1/B2/abcdefghijkl", secret_texts(hook)) == (
        "posted to https://hooks.slack.com/•••"
    )


async def test_slacks_upload_sends_no_token_to_another_host() -> None:
    """Slack gives the address to upload to; its own files do not live on the API's host."""
    async for slack in open_bench(REGISTRY["slack"]):
        await slack.ok("upload_file")
        uploads = [request for request, _ in slack.recorder.seen if "/upload/" in request.url.path]
        assert uploads


async def test_requests_are_stored_sealed_and_go_out_as_they_were() -> None:
    async for bench in open_bench(REGISTRY["stripe"]):
        act = next(each for each in bench.connector.actions if each.name == "create_product")
        data: Any = act.example().model_dump(mode="json", exclude_none=True)
        attempt = Attempt(due_call(bench.connector, act, data, KEY))
        await bench.ok(act, attempt=attempt)
        await bench.ok(act, stored=tuple(attempt.requests))
        first, second = (request for request, _ in bench.recorder.seen)
        assert (first.content, first.url) == (second.content, second.url)
