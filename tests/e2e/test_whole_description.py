"""schemathesis over the whole API description, against the real server: with every right, with few, and with none.

No answer is a 5xx, each fits the description, and what a scope forbids is refused. SCHEMATHESIS_EXAMPLES=100 tries
harder: so many requests for each operation and key.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.door import Door
from app.registry import Registry
from app.settings import Settings
from tests.support.bench import Bench, benched
from tests.support.everyroute import World, world_of
from tests.support.harness import settings_for
from tests.support.routes import described, hub_app
from tests.support.testconnector import connector as testbench

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "2"))
KEEP = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
"""What each answer must keep to."""


@contextmanager
def serving_apart(given: Settings) -> Iterator[str]:
    """The hub in a thread of its own, with its own event loop: schemathesis calls it over HTTP and waits."""
    app = hub_app(given, Registry(testbench))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, http=Door, log_level="critical"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server did not start"
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def hub(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """(address, keys by kind, ids of things that are there): a hub with something of each kind in it."""

    async def fill() -> tuple[dict[str, str], dict[str, Any]]:
        async with benched(database_url, redis_url, tmp_path / "bench", api_rate=1_000_000) as bench:
            world = await world_of(bench)
            return {"valid": await key(bench, "admin"), "limited": await key(bench, "read")}, ids_of(world)

    keys, ids = asyncio.run(fill())
    with serving_apart(settings_for(database_url, redis_url, tmp_path / "api", api_rate=1_000_000)) as url:
        yield url, keys, ids


async def key(bench: Bench, scope: str) -> str:
    return str((await bench.post("/v1/keys", {"name": scope, "scopes": [scope]}, 201))["key"])


def ids_of(world: World) -> dict[str, Any]:
    return {"/v1/events/": world.event, "/v1/runs/": world.asking, "/v1/replays/": world.replay, "/v1/keys/": world.key,
            "/v1/customers/": world.customer, "/v1/recipes/": "two-steps", "/v1/connections/": "shop",
            "/v1/effects/": world.effect, "/v1/workspaces/": "main"}  # fmt: skip


@dataclass
class Trial:
    """What is asked of a running hub, and what came of it. `broken`: the first fault of each operation."""

    keys: dict[str, str]
    ids: dict[str, Any]
    session: requests.Session = field(default_factory=requests.Session)
    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)

    def operation(self, operation: Any, kind: str, mode: GenerationMode) -> None:
        """So many requests of one operation, as the description says they are, or as it says they are not."""

        def ask(case: Any) -> None:
            self._ask(case, operation, kind, mode)

        bounds = settings(
            max_examples=EXAMPLES if kind == "valid" else max(1, EXAMPLES // 2),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        try:
            seed(20261122)(bounds(given(case=operation.as_strategy(generation_mode=mode))(ask)))()
        except Unsatisfiable:
            pass  # nothing can be wrong with it
        except (Exception, BaseExceptionGroup) as e:
            self.broken.setdefault(f"{operation.label} ({kind}, {mode.value})", "".join(format_exception(e))[-1500:])

    def _ask(self, case: Any, operation: Any, kind: str, mode: GenerationMode) -> None:
        for name in ("Authorization", "Tradewind-Workspace"):
            (case.headers or {}).pop(name, None)
        there = next((thing for prefix, thing in self.ids.items() if operation.path.startswith(prefix)), None)
        if there and case.path_parameters and mode is GenerationMode.POSITIVE and self.asked[operation.label] % 2:
            case.path_parameters[next(iter(case.path_parameters))] = there
        headers = {"authorization": f"Bearer {self.keys[kind]}"} if kind in self.keys else {}
        answer = case.call(headers=headers, session=self.session)
        self.asked[operation.label] += 1
        self.statuses[f"{kind} {answer.status_code}"] += 1
        if answer.status_code == 431:
            return  # an address of 64 KiB: refused by the server before any route is known
        case.validate_response(answer, checks=KEEP)
        unread = UNREAD if mode is GenerationMode.NEGATIVE else ()
        scope = next((each["key"][0] for each in operation.definition.raw.get("security", [])), None)
        if scope is not None and kind == "none":
            assert answer.status_code in (401, *unread), f"{answer.status_code} for nobody"
        if scope not in (None, "read") and kind == "limited":
            assert answer.status_code in (403, *unread), f"{answer.status_code} with the scope read"


UNREAD = (400, 401, 404, 405, 413, 422)
"""What is answered before anybody is asked who they are: to a path, a header or a body that cannot be read."""


def test_no_request_breaks_the_api_or_passes_its_scope(
    hub: tuple[str, dict[str, str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, keys, ids = hub
    schema = schemathesis.openapi.from_dict(described().openapi())
    schema.config.update(base_url=url)
    trial = Trial(keys, ids)
    for found in schema.get_all_operations():
        for kind in ("valid", "limited", "none"):
            for mode in GenerationMode:
                trial.operation(found.ok(), kind, mode)
    with capsys.disabled():
        told = dict(sorted(trial.statuses.items()))
        print(f"\n  schemathesis: {trial.asked.total()} requests to {len(trial.asked)} operations: {told}")
    assert not trial.broken, "\n\n".join(f"{label}: {said}" for label, said in trial.broken.items())
    assert len(trial.asked) > 60
