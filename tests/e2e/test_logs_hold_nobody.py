"""A person is planted, everything that can go wrong goes wrong around them, and no log line knows them."""

import asyncio
import gc
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.connector import Context
from app.events import Event
from app.logs import placed, set_up_logging
from tests.support.harness import Harness, running
from tests.support.serving import serving
from tests.support.testconnector import ACTIONS, Thing, connector, payload

PERSON = {"email": "zelda.planted@example.com", "name": "Zelda Plantedsson", "phone": "+46 70 123 45 67"}
TRACES = ("zelda", "plantedsson", "70 123", "70%20123", "701234567", "emVsZGE")

TELL = """
title: Tell somebody
on: [order.paid, order.updated]
steps:
  - use: testbench.{action}
    with: {{id: "{{{{ order.id }}}}", note: "for {{{{ order.email }}}}"}}
    on_error: continue
    retry: {{attempts: 1}}
"""


def stumble(body: Any, *_: Any) -> list[Event]:
    """A fault in a connector, as Python tells it: with the value that it met."""
    raise ValueError(f"cannot read {body!r}")


async def fall(ctx: Context[Any], input: Thing) -> Any:
    raise KeyError(f"no {input!r}")


def broken() -> Any:
    assert connector.source is not None
    topics = {**connector.source.topics, "order.created": stumble}
    actions = [replace(each, call=fall) if each.name == "say_skip" else each for each in ACTIONS]
    return replace(connector, source=replace(connector.source, topics=topics), actions=actions)


async def echoing(request: Request) -> JSONResponse:
    """Answers as some systems do: with all that they were told."""
    body = (await request.body()).decode()
    return JSONResponse({"error": f"cannot take {body}"}, 500 if "unsafe" in request.url.path else 422)


async def sink(scope: Any, receive: Any, send: Any) -> None:
    await (await echoing(Request(scope, receive)))(scope, receive, send)


@pytest.fixture
def noisy(request: pytest.FixtureRequest) -> Iterator[None]:
    """The logging of a running hub, at its loudest."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    root.handlers.clear()
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [True, False])
async def test_no_log_line_knows_a_person(
    as_json: bool, database_url: str, redis_url: str, tmp_path: Path, noisy: None, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with (
        serving(sink) as url,
        running(database_url, redis_url, tmp_path, broken(), log_json=as_json, log_level="debug") as hub,
    ):
        set_up_logging(hub.hub.settings)
        for quiet in ("httpx", "httpcore"):
            logging.getLogger(quiet).setLevel(logging.WARNING)  # the test's own client
        await hub.connect("shop", broken(), {}, role="shop", base_url=url)
        for action in ("make_unsafe", "make_native", "say_skip", "say_repeat"):
            await hub.recipe(action.replace("_", "-"), TELL.format(action=action))
        await everything_goes_wrong(hub)
    libraries_stumble()
    await asyncio.sleep(0)
    logged = "".join(capfd.readouterr())
    assert logged.count("its text is not logged") >= 6, logged
    assert "stumble" in logged, "and yet they say where it was"
    assert "ValueError" in logged
    if as_json:
        assert all(json.loads(line) for line in logged.splitlines() if line.startswith("{"))
    found = [line for line in logged.splitlines() if any(trace in line.lower() for trace in TRACES)]
    assert not found, found[:3]


async def everything_goes_wrong(hub: Harness) -> None:
    body = payload("zelda-1", **PERSON, note=PERSON["name"])
    for topic in ("order.created", "order.paid", "planet.discovered", "order.cancelled"):
        assert (await hub.send("shop", topic, body)).status_code == 200
    await hub.settle()
    await hub.send("shop", "order.paid", {**body, "amount": PERSON["name"]})  # malformed
    await hub.send("shop", "order.paid", {**body, "id": "zelda-2", "email": "zelda.planted@" * 30})
    await hub.client.post("/webhooks/zelda.planted@example.com", content=json.dumps(body))
    await hub.client.post("/webhooks/shop", content=json.dumps(body))
    await hub.settle()
    bearer = {"authorization": "Bearer test-admin-key-of-good-length"}
    for path in (f"/v1/trace/{PERSON['email']}", f"/v1/events?q={PERSON['email']}", "/v1/events?q=%00zelda"):
        await hub.client.get(path, headers=bearer)
    nobody = f"check (email is distinct from '{PERSON['email']}') not valid"
    await hub.rows(f"alter table event add constraint nobody {nobody}")
    await hub.send("shop", "order.paid", {**body, "id": "zelda-4"})
    await hub.settle()
    await hub.rows("alter table event rename column number to broken")
    for path in (f"/v1/trace/{PERSON['email']}", f"/v1/events?q={PERSON['email']}"):
        with pytest.raises(asyncpg.PostgresError) as raised:  # after the answer: to the server, which logs it
            await hub.client.get(path, headers=bearer)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=raised.value)


def libraries_stumble() -> None:
    """What others log for us: a task that nobody awaited, a server's and a queue's last resort."""

    async def forgotten() -> None:
        raise LookupError(PERSON["name"])

    async def main() -> None:
        task = asyncio.create_task(forgotten(), name="forgotten")
        await asyncio.sleep(0)
        del task
        gc.collect(0)

    import threading

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    try:
        raise ValueError(PERSON["email"])
    except ValueError as e:
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=e)
        logging.getLogger("arq.worker").error("%s failed, %s: %s", "job", type(e).__name__, e)
        sys.excepthook(type(e), e, e.__traceback__)


def test_an_exception_is_told_by_type_and_place_and_by_what_the_system_calls_things() -> None:
    error = asyncpg.UniqueViolationError("Key (email)=(zelda.planted@example.com) already exists")
    error.sqlstate, error.table_name = "23505", "customer"
    try:
        try:
            raise error
        except asyncpg.PostgresError as e:
            raise ExceptionGroup(PERSON["name"], [ValueError(PERSON["name"])]) from e
    except ExceptionGroup as e:
        told = placed(e)
    assert not any(trace in told.lower() for trace in TRACES)
    assert "UniqueViolationError" in told
    assert "sqlstate=23505 table_name=customer" in told
    assert "test_logs_hold_nobody.py" in told
