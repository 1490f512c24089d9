"""HTTP: a step's words cannot lead to another place, bodies are signed, hooks mean what their makers say."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.connections import Connection
from app.http import Request as Rendered
from app.http.request import target
from connectors.http import connector
from connectors.http.actions import joined
from connectors.http.models import MOST_JSON, MOST_TEXT, MakeWebhook, Request, Settings, ZapierCatch
from connectors.http.sandbox import SECRET
from tests.connectors.conftest import KEY, NOW, REGISTRY, Bench, open_bench

HOOK = "https://hooks.example.com/hooks/sandbox"


@pytest.fixture
async def http() -> AsyncIterator[Bench]:
    async for bench in open_bench(REGISTRY["http"]):
        yield bench


async def sent(bench: Bench) -> list[Any]:
    return list((await bench.state())["requests"])


def settings(**given_: Any) -> Settings:
    return Settings.model_validate({"name": "x", "url": "https://api.example.com/v1/", **given_})


# --- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("input", "body", "kind"),
    [
        ({"body": {"total": "24.00", "n": [1]}}, '{"total":"24.00","n":[1]}', "application/json"),
        ({"body": "text"}, '"text"', "application/json"),
        ({"form": {"a": "1 2"}}, "a=1+2", "application/x-www-form-urlencoded"),
        ({"text": "<a/>", "content_type": "text/xml"}, "<a/>", "text/xml"),
        ({}, "", None),
    ],
)
async def test_a_body_goes_out_as_it_was_meant(http: Bench, input: dict[str, Any], body: str, kind: str | None) -> None:
    answer = await http.ok("request", Request(path="/orders/7", method="PUT", **input))
    assert (answer.status, answer.data) == (200, {"status": "success", "id": "r1"})
    kept = (await sent(http))[0]
    assert (kept["method"], kept["path"], kept["body"], kept["key"]) == ("PUT", "/orders/7", body, KEY.hex())
    assert http.recorder.seen[0][0].headers.get("content-type") == kind


async def test_a_body_is_signed_as_standard_webhooks_says(http: Bench) -> None:
    await http.ok("request")
    request = http.recorder.seen[0][0]
    text = SECRET.removeprefix("whsec_")
    key = base64.b64decode(text + "=" * (-len(text) % 4))
    content = f"msg_{KEY.hex()}.{int(NOW.timestamp())}.".encode() + request.content
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{wanted}"


async def test_a_refusal_fails_unless_it_is_accepted(http: Bench) -> None:
    failed = await http.failed("request", Request(path="/status/404", method="GET"))
    assert (failed.kind, failed.status) == ("permanent", 404)
    assert (await http.ok("request", Request(path="/status/404", method="GET", accept=[404]))).status == 404


async def test_a_text_is_an_answer_too_and_bounded(http: Bench) -> None:
    answer = await http.ok("request", Request(path="/status/202"))
    assert (answer.status, answer.text, answer.data, answer.cut) == (202, "as told", None, False)
    await http.fault(huge=MOST_JSON + 1, times=1)
    cut = await http.ok("request", Request())
    assert (cut.data, cut.cut) == (None, True)
    assert MOST_TEXT < MOST_JSON


async def test_a_get_that_got_no_answer_is_simply_tried_again(http: Bench) -> None:
    await http.fault(close="before", times=1)
    assert (await http.failed("request", Request(method="GET"))).kind == "retryable"


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"auth": "bearer", "token": "t"}, "authorization", "Bearer t"),
        ({"auth": "header", "header": "X-Key", "token": "t"}, "x-key", "t"),
        ({"auth": "basic", "username": "u", "password": "p:w"}, "authorization", "Basic dTpwOnc="),
    ],
)
def test_credentials_go_out_as_the_connection_says(auth: dict[str, str], header: str, value: str) -> None:
    assert connector.auth.headers(settings(**auth)) == {header: value}  # type: ignore[union-attr]
    assert connector.auth.headers(settings()) == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth": "bearer"},
        {"auth": "basic", "username": "u"},
        {"url": "ftp://example.com/"},
        {"url": "https://user:verysecret@example.com/"},
        {"url": "/hooks"},
        {"url": "https://example.com:99999/"},
        {"url": "https://example.com:0/"},
        {"signing_secret": "whsec_short"},
        {"signing_secret": "whsec_%%%%"},
    ],
)
def test_settings_that_cannot_work_are_refused_and_not_shown(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**wrong)
    assert "verysecret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bücher.example/x", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://books.example/ü", "https://books.example"),
    ],
)
def test_a_host_of_another_script_is_called_as_the_net_knows_it(url: str, host: str) -> None:
    made = Connection(UUID(int=1), "main", "http", connector, "", None, settings(url=url), None, False, "test", NOW)
    assert made.host == host
    assert target(f"{made.host}/x").origin == host


# --- where requests go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path", "whole"),
    [
        ("https://api.example.com", "", "/"),
        ("https://api.example.com/v1/", "/orders", "/v1/orders"),
        ("https://api.example.com/v1", "/orders?a=1", "/v1/orders?a=1"),
        ("https://api.example.com/hook/1/", "", "/hook/1/"),
        ("https://api.example.com/hook?code=7", "/x?a=1", "/hook/x?code=7&a=1"),
        ("https://api.example.com/hook?code=7", "", "/hook?code=7"),
        ("https://api.example.com/", "/a b/é", "/a%20b/%C3%A9"),
        ("https://api.example.com/", "/a%2Fb", "/a%2Fb"),
    ],
)
def test_a_path_stands_behind_the_urls_own(url: str, path: str, whole: str) -> None:
    assert joined(settings(url=url), path) == whole


@pytest.mark.parametrize(
    "path",
    [
        ".evil.example/",
        "@evil.example/",
        ":8080/",
        "https://evil.example/",
        "/../admin",
        "/a/..",
        "/%2E%2e/x",
        "/a#b",
        "\\x",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Request(path=path)


@given(st.text(max_size=40))
def test_whatever_a_buyer_wrote_the_request_goes_to_the_connections_host(text: str) -> None:
    try:
        path = Request(path=text).path
        whole = "https://api.example.com" + joined(settings(), path)
    except (ValidationError, UnicodeEncodeError):
        return
    assert target(whole).address == ("api.example.com", 443)
    assert target(whole).exact.raw_path.startswith("/v1/")
    Rendered("POST", whole)


@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-Api-Key", "x-auth-token"])
def test_a_step_holds_no_credentials(name: str) -> None:
    with pytest.raises(ValidationError, match="belong to the connection"):
        Request(headers={name: "x"})


async def test_a_header_cannot_smuggle_another(http: Bench) -> None:
    failed = await http.failed("request", Request(headers={"X-Note": "a\r\nX-Evil: b"}))
    assert (failed.kind, await sent(http)) == ("permanent", [])


async def test_a_body_too_large_is_not_sent(http: Bench) -> None:
    failed = await http.failed("request", Request(text="x" * 5_000_001))
    assert (failed.kind, await http.requests()) == ("permanent", [])


# --- hooks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["zapier_catch", "make_webhook"])
async def test_a_hook_takes_the_data_as_it_is(http: Bench, action: str) -> None:
    data = {"order": {"id": "1001"}}
    await http.ok(action, ZapierCatch(data=data) if action == "zapier_catch" else MakeWebhook(data=data))
    assert (await sent(http))[0]["body"] == '{"order":{"id":"1001"}}'


@pytest.mark.parametrize("action", ["zapier_catch", "make_webhook"])
@pytest.mark.parametrize("status", [404, 410])
async def test_a_hook_that_is_gone_is_said_to_be(http: Bench, action: str, status: int) -> None:
    failed = await http.failed(action, url=f"{HOOK}/status/{status}")
    assert (failed.kind, "deleted or switched off" in failed.error) == ("permanent", True)


@pytest.mark.parametrize(("action", "kind"), [("zapier_catch", "permanent"), ("make_webhook", "retryable")])
async def test_a_full_queue_of_make_is_tried_again(http: Bench, action: str, kind: str) -> None:
    assert (await http.failed(action, url=f"{HOOK}/status/400")).kind == kind
