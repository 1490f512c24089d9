"""Secrets are planted in every connection; every action, webhook, failure and echo later they stand nowhere: in no log,
no table, no answer of the API and no metric, however they may be written."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import structlog
import yaml
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Action, Connector
from app.domain.connections import Connection, written
from app.logs import set_up_logging
from app.sandbox import make_app
from app.sandbox_mail import Listener
from app.store.packing import pack, unpack
from tests.connectors.test_conformance import SHIPPED, payload_files, settings_of
from tests.support.disguise import Disguise, planted
from tests.support.harness import Harness, running
from tests.support.secrecy import SECRECY, search_hub
from tests.support.serving import serving
from tests.support.testconnector import connector as testbench
from tests.support.testconnector import payload

TOO_LATE = {"shopify.create_fulfillment", "gumroad.partially_refund_sale"}
"""What an earlier step leaves nothing of: the order is cancelled, the sale refunded."""
WITH_ACTIONS = [each for each in SHIPPED if each.actions and each.sandbox is not None]


@dataclass
class Planted:
    """A hub whose every secret was made for this test."""

    hub: Harness
    outside: Disguise
    secrets: set[str]

    def found_in(self, text: str) -> set[str]:
        return {secret for secret in self.secrets if any(form in text for form in written(secret))}


def secret_fields(connector: Connector[Any]) -> Iterator[str]:
    return (name for name, info in connector.settings.model_fields.items() if "SecretStr" in repr(info.annotation))


def plant(connector: Connector[Any], given: dict[str, Any], outside: Disguise) -> dict[str, Any]:
    """The settings with other secrets, which `outside` knows as the old ones."""
    changed = dict(given)
    for number, name in enumerate(secret_fields(connector)):
        if given.get(name) is None:
            continue
        changed[name] = planted(name, given[name], number + 10 * len(outside.pairs))
        olds, news = ([each] if isinstance(each, str) else each for each in (given[name], changed[name]))
        outside.pairs |= {_sent(new): _sent(old) for new, old in zip(news, olds, strict=True)}
    return changed


def _sent(secret: str) -> str:
    """As much of a secret as requests hold: of an address its path."""
    return "/" + secret.partition("://")[2].partition("/")[2] if secret.startswith("https://") else secret


@pytest.fixture
async def everything(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Planted]:
    outside = Disguise(sandboxes=Disguise)  # type: ignore[arg-type]
    async with (
        running(database_url, redis_url, tmp_path, testbench) as hub,
        serving(outside) as url,
        AsyncExitStack() as mail,
    ):
        outside.sandboxes = make_app(hub.hub.registry)
        await hub.connect("bench", testbench, {}, role="shop")
        for connector in WITH_ACTIONS:
            assert connector.sandbox is not None
            given = plant(connector, dict(connector.sandbox().settings), outside)
            where = f"{url}/{connector.slug}"
            if connector.smtp is not None:
                where = f"smtp://127.0.0.1:{await mail.enter_async_context(mail_server(connector, given))}"
            await hub.connect(connector.slug, connector, given, base_url=where)
        secrets = {text for each in hub.hub.connections for text in _texts(each)}
        set_up_logging(hub.hub.settings)
        yield Planted(hub, outside, secrets)


@asynccontextmanager
async def mail_server(connector: Connector[Any], given: dict[str, Any]) -> AsyncIterator[int]:
    """The port of the connector's fake mail server, which knows the planted password."""
    assert connector.sandbox is not None
    fake = connector.sandbox().mailbox
    assert fake is not None
    mailbox = replace(fake, users={given["username"]: given["password"]})
    listener = Listener(lambda: mailbox, lambda *_: None, lambda _: None)
    yield await listener.start("127.0.0.1", 0)
    await listener.stop()


def _texts(connection: Connection) -> Iterable[str]:
    for name in secret_fields(connection.connector):
        value = getattr(connection.settings, name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, SecretStr):
                yield _sent(each.get_secret_value()).lstrip("/")


def recipe(actions: Iterable[tuple[Connector[Any], Action]]) -> str:
    steps = [
        {
            "use": f"{connector.slug}.{action.name}",
            "with": action.example().model_dump(mode="json", exclude_none=True),
            "on_error": "continue",
            "retry": {"attempts": 1},
            "if_unsure": "skip",
            "id": f"{connector.slug}_{action.name}",
        }
        for connector, action in actions
    ]
    return yaml.safe_dump({"title": "Everything", "on": "order.paid", "steps": steps}, sort_keys=False)


async def test_planted_secrets_stand_nowhere(
    everything: Planted, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the test's own clients
    hub = everything.hub
    for connector in WITH_ACTIONS:
        await hub.recipe(f"all-{connector.slug}", recipe((connector, action) for action in connector.actions))
    await hub.send("bench", "order.paid", payload(1))
    await hub.settle(120)
    done = await hub.rows("select action, state, error from call")
    acted = {row["action"] for row in done if row["state"] == "done"}
    wanted = {f"{each.slug}.{action.name}" for each in WITH_ACTIONS for action in each.actions}
    assert wanted - acted == TOO_LATE, [dict(row) for row in done if row["state"] != "done"]
    await webhooks(everything)
    everything.outside.echo = True  # from now on every answer is a 400 that holds the whole request
    await hub.send("bench", "order.paid", payload(2))
    await hub.settle(120)
    assert await hub.one("select count(*) from call where state = 'dead'") > 50
    shown = [await tables(hub), await answers(hub), caplog.text, *capfd.readouterr()]
    for text in shown:
        assert len(text) > 0 or text is shown[-1] or text is shown[-2]
        assert everything.found_in(text) == set()


async def webhooks(everything: Planted) -> None:
    """Every payload with its planted proof, and one whose proof is refused."""
    for connector in WITH_ACTIONS:
        if connector.source is None:
            continue
        for topic, path in payload_files(connector):
            assert (await everything.hub.send(connector.slug, topic, path.read_bytes())).status_code == 200
        signed = connector.source.signature.sign(b"other", settings_of(connector), everything.hub.hub.clock.now())
        refused = {"params": dict(signed.query), "headers": {**signed.headers}}
        answer = await everything.hub.client.post(f"/webhooks/{connector.slug}", content=b"body", **refused)
        assert answer.status_code in (401, 404)
        greeted = await everything.hub.client.get(f"/webhooks/{connector.slug}", params={"token": "wrong"})
        assert greeted.status_code in (404, 405)
    await everything.hub.settle(120)


async def tables(hub: Harness) -> str:
    """Every value of every row of every table, what is packed unpacked."""
    names = [row["tablename"] for row in await hub.rows("select tablename from pg_tables where schemaname = 'public'")]
    texts = []
    for name in names:
        for row in await hub.rows(f'select * from "{name}"'):
            texts += [text for value in row.values() for text in _told(value)]
    return "\n".join(texts)


def _told(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield value.decode("latin-1")
        yield _unpacked(value).decode("utf-8", "replace")
    elif isinstance(value, str):
        yield value
    elif value is not None:
        yield orjson.dumps(value, default=str).decode()


def _unpacked(value: bytes) -> bytes:
    try:
        return unpack(value)
    except Exception:
        return b""


async def answers(hub: Harness) -> str:
    """Everything that the API and the trace show."""
    client, key = hub.client, {"authorization": "Bearer test-admin-key-of-good-length"}
    described = (await client.get("/openapi.json")).json()["paths"]
    ids = {
        "/v1/events/{id}": "select distinct on (type) id from event",
        "/v1/events/{id}/raw": "select distinct on (type) id from event",
        "/v1/events/{id}/explain": "select distinct on (type) id from event",
        "/v1/runs/{id}": "select id from run",
        "/v1/customers/{id}": "select id from customer limit 5",
        "/v1/customers/{id}/export": "select id from customer limit 5",
        "/v1/connections/{slug}": "select slug from connection",
        "/v1/connections/{slug}/health": "select slug from connection",
        "/v1/connectors/{slug}": "select distinct connector from connection",
        "/v1/recipes/{name}": "select name from recipe",
        "/v1/recipes/{name}/versions": "select name from recipe",
        "/v1/recipes/{name}/inputs": "select name from recipe",
    }
    paths = [path for path, said in described.items() if "get" in said and "{" not in path]
    for path, query in ids.items():
        paths += [f"{path.partition('{')[0]}{row[0]}{path.partition('}')[2]}" for row in await hub.rows(query)]
    texts = []
    for path in paths:
        answer = await client.get(path, headers=key)
        assert answer.status_code in (200, 404, 422), (path, answer.text)
        texts.append(answer.text)
    for row in await hub.rows("select id from run"):
        texts.append((await client.get(f"/v1/trace/{row[0]}", headers=key)).text)
    return "\n".join(texts)


@pytest.mark.shows_secrets(
    "the answer to GET /v1/recipes",
    "the answer to GET /v1/recipes/leaky",
    "the table recipe_version",
    "Captured stderr call",
    "Captured log call",
)
async def test_the_search_finds_what_is_there(
    everything: Planted, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A secret put where none belongs, in any of its written forms, is found: in tables, logs and answers; by the
    search at the end of every test as well."""
    hub, secret = everything.hub, next(iter(everything.secrets))
    escaped = orjson.dumps(secret).decode()[1:-1]
    for form in (secret, quote(secret, ""), escaped, base64.b64encode(f"user:{secret}".encode()).decode()):
        raw = pack(orjson.dumps({"said": form, "more": "x" * 500}))
        await hub.rows("update connection set problem = $1 where slug = 'slack'", form)
        assert everything.found_in(await tables(hub)) == {secret}
        await hub.rows("update connection set problem = null, credentials = $1 where slug = 'slack'", raw)
        assert everything.found_in(await tables(hub)) == {secret}
        await hub.rows("update connection set credentials = null where slug = 'slack'")
        for log in (structlog.get_logger().error, logging.getLogger("anybody").error):
            log(form)
            assert everything.found_in("".join([caplog.text, *capfd.readouterr()])) == {secret}
            caplog.clear()
    assert everything.found_in(await tables(hub)) == set()
    told = await answers(hub)
    assert "# HELP tradewind_" in told, "the metrics are among the answers"
    assert everything.found_in(told) == set()
    leaky = {"title": secret, "on": "order.paid", "steps": [{"emit": "seen.it"}]}
    await hub.recipe("leaky", yaml.safe_dump(leaky, sort_keys=False))
    assert everything.found_in(await answers(hub)) == {secret}


@pytest.mark.shows_secrets("the answer to GET /metrics", "the answer to GET /v1/runs")
async def test_the_answers_of_a_hub_that_runs_as_a_process_are_searched_too() -> None:
    """Asked over the wire with a key, each address that needs no id."""
    secret, key = "planted-secret-of-a-process", "a-key"

    async def leaks(request: Request) -> Response:
        told = request.headers["authorization"] == f"Bearer {key}" and request.url.path in ("/metrics", "/v1/runs")
        return Response(quote(secret, "") if told else "nothing")

    SECRECY.learn({"token": secret})
    async with serving(Starlette(routes=[Route("/{path:path}", leaks)])) as address:
        assert await asyncio.to_thread(search_hub, address, key) > 20
    assert search_hub(address, key) == 0, "it is not there any more"
